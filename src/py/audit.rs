//! Audit events (PEP 578), with the stdlib's names and arguments.

use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_char, c_int};

unsafe extern "C" {
    // pyo3-ffi has no variadic functions.
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

fn outcome(py: Python<'_>, code: c_int) -> PyResult<()> {
    if code < 0 {
        Err(PyErr::fetch(py))
    } else {
        Ok(())
    }
}

/// Raise an event with one object.
pub fn object(event: &CStr, argument: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: the format names one object, which is alive.
    let code = unsafe { PySys_Audit(event.as_ptr(), c"O".as_ptr(), argument.as_ptr()) };
    outcome(argument.py(), code)
}

/// Raise an event with an object and a switch.
pub fn object_and_switch(event: &CStr, first: &Bound<'_, PyAny>, switch: bool) -> PyResult<()> {
    // SAFETY: the format names two objects, which are alive.
    let code = unsafe {
        let flag = if switch {
            ffi::Py_True()
        } else {
            ffi::Py_False()
        };
        PySys_Audit(event.as_ptr(), c"OO".as_ptr(), first.as_ptr(), flag)
    };
    outcome(first.py(), code)
}

/// Raise an event with an object and a text.
pub fn object_and_text(event: &CStr, first: &Bound<'_, PyAny>, text: &CStr) -> PyResult<()> {
    // SAFETY: the format names an object and a C string, both alive.
    let code = unsafe {
        PySys_Audit(
            event.as_ptr(),
            c"Os".as_ptr(),
            first.as_ptr(),
            text.as_ptr(),
        )
    };
    outcome(first.py(), code)
}
