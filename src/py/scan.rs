//! What the command line asks of `core::scan`; its answers are JSON.

use super::interruptible::interruptible;
use crate::core::scan::migration::{self, Options};
use crate::core::scan::rules::{Choice, RULES};
use crate::core::scan::scanning;
use crate::core::scan::services::Services;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::{BTreeMap, BTreeSet};
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
    interruptible(py, move || {
        serde_json::to_string(&scanning::scan(&paths, &services))
    })?
    .map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// A file that changes: its path, its service, the content that was read, the new one.
type Changed<'py> = (PathBuf, String, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// Rewrite the calls of Python files; nothing is written.
#[pyfunction]
#[pyo3(name = "_migrate", signature = (paths, services, /, *, rules, only, with_unsafe, databases))]
pub fn migrate(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    services: BTreeMap<String, Vec<String>>,
    rules: BTreeSet<String>,
    only: BTreeSet<String>,
    with_unsafe: bool,
    databases: Vec<(PathBuf, String)>,
) -> PyResult<(String, Vec<Changed<'_>>)> {
    let options = Options {
        choice: Choice {
            rules,
            with_unsafe,
            databases,
        },
        services: only,
    };
    let (migration, told) = interruptible(py, move || {
        let migration = migration::migrate(&paths, &Services(services), &options);
        let told = serde_json::to_string(&migration);
        (migration, told)
    })?;
    let told = told.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let changes = migration.changes.into_iter().map(|change| {
        let (before, after) = (&change.before, &change.after);
        let contents = (PyBytes::new(py, before), PyBytes::new(py, after));
        (change.path, change.service, contents.0, contents.1)
    });
    Ok((told, changes.collect()))
}

/// The rules, as JSON.
#[pyfunction]
#[pyo3(name = "_rules", signature = ())]
pub fn rules() -> PyResult<String> {
    serde_json::to_string(&RULES).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

/// Give the service of each Python file that a scan looks at.
#[pyfunction]
#[pyo3(name = "_services_of_files", signature = (paths, services, /))]
pub fn services_of_files(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    services: BTreeMap<String, Vec<String>>,
) -> PyResult<BTreeMap<String, String>> {
    let services = Services(services);
    interruptible(py, move || scanning::services_of_files(&paths, &services))
}
