//! `Statement`: what calling a connection gives. It has no methods; the stdlib has it for its cache.

use crate::core::raw::Statement;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::sync::Mutex;

/// A prepared statement.
#[pyclass(frozen, name = "Statement", module = "sqlite3")]
pub struct PyStatement {
    _statement: Mutex<Statement>,
    sql: Py<PyString>,
}

impl PyStatement {
    /// The statement that was made of a text.
    pub fn new(statement: Statement, sql: &Bound<'_, PyString>) -> Self {
        Self {
            _statement: Mutex::new(statement),
            sql: sql.clone().unbind(),
        }
    }

    /// The text.
    pub fn sql<'py>(&self, py: Python<'py>) -> &Bound<'py, PyString> {
        self.sql.bind(py)
    }
}

#[pymethods]
impl PyStatement {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        Err(PyTypeError::new_err(
            "cannot create 'sqlite3.Statement' instances",
        ))
    }
}
