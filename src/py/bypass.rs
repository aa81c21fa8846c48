//! The way back: modules whose `connect()` is the stdlib's again, by their names, without a change to their code.

use super::error::core_exception;
use super::guarded::Guarded;
use super::listener;
use super::state::state;
use crate::core::pool::Turn;
use crate::core::session::Manager;
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether any module is bypassed: looked at by each `connect()`.
static IS_SET: AtomicBool = AtomicBool::new(false);

/// Tells whether a module is, by its globals.
static IS_BYPASSED: Guarded<Option<Py<PyAny>>> = Guarded::new(None);

/// Have a function tell which modules are bypassed; None: none is.
#[pyfunction]
#[pyo3(name = "_set_bypass", signature = (is_bypassed, /))]
pub fn set_bypass(py: Python<'_>, is_bypassed: Option<Py<PyAny>>) {
    IS_SET.store(is_bypassed.is_some(), Ordering::Relaxed);
    drop(IS_BYPASSED.replace(py, is_bypassed));
}

/// Whether the module whose code is calling is bypassed.
#[inline]
pub fn is_calling(py: Python<'_>) -> PyResult<bool> {
    match IS_SET.load(Ordering::Relaxed) {
        false => Ok(false),
        true => asks(py),
    }
}

#[cold]
fn asks(py: Python<'_>) -> PyResult<bool> {
    // SAFETY: cloning a reference runs no Python code.
    let Some(is_bypassed) = unsafe { IS_BYPASSED.peek(py) }
        .as_ref()
        .map(|known| known.clone_ref(py))
    else {
        return Ok(false);
    };
    // SAFETY: the globals of the frame that calls, borrowed from it; null if there is none.
    let globals = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetGlobals()) };
    match globals {
        Some(globals) => is_bypassed.call1(py, (globals,))?.is_truthy(py),
        None => Ok(false),
    }
}

/// A turn to write, for a session on a connection of the stdlib's.
#[pyclass(frozen, name = "_Turn", module = "dbmanager")]
pub struct HeldTurn(Guarded<Option<Turn>>);

#[pymethods]
impl HeldTurn {
    /// Let the next one write.
    fn end(&self, py: Python<'_>) {
        let turn = self.0.take(py);
        py.detach(|| drop(turn));
    }
}

impl HeldTurn {
    /// Wait for the turn.
    pub fn of(py: Python<'_>, manager: &Manager) -> PyResult<Self> {
        let turn = py.detach(|| manager.turn());
        let turn = turn.map_err(|error| core_exception(py, error))?;
        Ok(Self(Guarded::new(Some(turn))))
    }
}

/// The stdlib's own `connect`, whatever others put in its place, and no direct call.
#[pyfunction]
#[pyo3(name = "_stdlib_connect", signature = (*args, **kwargs))]
pub fn stdlib_connect<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    match connect(args, kwargs, None)? {
        Some(connection) => Ok(connection),
        None => Err(PyImportError::new_err(
            "this Python has no sqlite3 of its own",
        )),
    }
}

/// A connection of the stdlib's, for arguments of `connect()`. None if they ask for a class of ours, which it can't make.
pub fn connect<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    factory: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = args.py();
    let Some(stdlib) = &state(py).stdlib else {
        return Ok(None);
    };
    if let Some(class) = factory.and_then(|factory| factory.cast::<PyType>().ok())
        && class.is_subclass_of::<super::connection::Connection>()?
    {
        return Ok(None);
    }
    // It is what the module is set to, and no direct call.
    listener::as_ours(|| stdlib.connect.bind(py).call(args, kwargs)).map(Some)
}
