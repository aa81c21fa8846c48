//! What the command line asks of `core::scan`; its answers are JSON.

use crate::core::scan::scanning;
use crate::core::scan::services::Services;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Scan Python files for calls that open a database directly.
#[pyfunction]
#[pyo3(name = "_scan", signature = (paths, services, /))]
pub fn scan(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    services: BTreeMap<String, Vec<String>>,
) -> PyResult<String> {
    let services = Services(services);
    py.detach(|| serde_json::to_string(&scanning::scan(&paths, &services)))
        .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
