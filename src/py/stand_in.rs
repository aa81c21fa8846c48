//! What stands in the place of the stdlib's `connect` while direct calls are routed.
//!
//! It is an object of C, as the function that it replaces: it doesn't bind as a method where a class keeps it, and no
//! frame of Python is between the caller and what a warning is attributed to.

use super::listener;
use super::state::state;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

// The text is what `help()` shows.
/// Open a connection to an SQLite database.
#[pyclass(frozen, name = "connect", module = "sqlite3")]
pub struct StandIn {
    /// Called with the arguments and the keywords. True: it is to be a connection of ours; False: one of the stdlib's, and
    /// the call was noted; None: one of the stdlib's, and the audit event tells of it.
    decide: Py<PyAny>,
}

#[pymethods]
impl StandIn {
    #[new]
    fn new(decide: Py<PyAny>) -> Self {
        Self { decide }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        let keywords = kwargs.map_or_else(|| PyDict::new(py), Clone::clone);
        let decision = self.decide.bind(py).call1((args, keywords))?;
        let theirs = || original(py)?.call(args, kwargs);
        match decision.extract::<Option<bool>>()? {
            Some(true) => super::make_connection(args, kwargs),
            Some(false) => listener::as_noted(theirs),
            None => theirs(),
        }
    }

    /// What signatures and decorators look at.
    #[getter]
    fn __wrapped__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        original(py)
    }

    #[getter]
    fn __name__(&self) -> &'static str {
        "connect"
    }

    #[getter]
    fn __qualname__(&self) -> &'static str {
        "connect"
    }

    /// Pickled by its name, as the function.
    fn __reduce__(&self) -> &'static str {
        "connect"
    }
}

fn original(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    match &state(py).stdlib {
        Some(stdlib) => Ok(stdlib.connect.bind(py).clone()),
        None => Err(PyImportError::new_err(
            "this Python has no sqlite3 of its own",
        )),
    }
}
