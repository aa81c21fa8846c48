//! What is done when Python forks (`os.fork`, `multiprocessing`).

use crate::core::pool::registry;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Close what nobody uses, so that the child does not get it.
#[pyfunction]
fn before_fork(py: Python<'_>) {
    py.detach(registry::before_fork);
}

#[pyfunction]
fn after_fork() {
    registry::after_fork();
}

/// Have Python call these functions, where it can fork.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let os = module.py().import("os")?;
    if !os.hasattr("register_at_fork")? {
        return Ok(());
    }
    let hooks = PyDict::new(module.py());
    hooks.set_item("before", wrap_pyfunction!(before_fork, module)?)?;
    hooks.set_item("after_in_parent", wrap_pyfunction!(after_fork, module)?)?;
    os.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}
