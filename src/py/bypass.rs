//! The way back: modules whose `connect()` is the stdlib's again, by their names, without a change to their code.

use super::guarded::Guarded;
use super::listener;
use super::state::state;
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
