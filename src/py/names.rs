//! Names and texts as C and CPython want them.

use crate::core::text::Terminated;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::ffi::{CStr, CString};

/// The type's `tp_name`, which is what CPython's messages show.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    // SAFETY: tp_name is a C string for every type.
    unsafe { CStr::from_ptr((*object.get_type_ptr()).tp_name) }
        .to_string_lossy()
        .into_owned()
}

/// A str argument as a C string, with CPython's errors for other types, surrogates and NUL.
pub fn c_string(object: &Bound<'_, PyAny>, what: &str) -> PyResult<CString> {
    let text = string(object, what)?.to_str()?;
    CString::new(text).map_err(|_| PyValueError::new_err("embedded null character"))
}

/// The UTF-8 of a str, which the object keeps, with the NUL that CPython writes behind it.
#[inline]
pub fn terminated<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Terminated<'a>> {
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: a live str; the buffer is UTF-8 of that length with a NUL behind it and lives with the object.
    unsafe {
        let data = ffi::PyUnicode_AsUTF8AndSize(text.as_ptr(), &mut length);
        if data.is_null() {
            return Err(PyErr::fetch(text.py()));
        }
        let bytes = std::slice::from_raw_parts(data.cast(), length as usize);
        Ok(Terminated::assume(std::str::from_utf8_unchecked(bytes)))
    }
}

/// A str argument; `what` is for example `execute() argument 1`.
#[inline]
pub fn string<'a, 'py>(
    object: &'a Bound<'py, PyAny>,
    what: &str,
) -> PyResult<&'a Bound<'py, PyString>> {
    object
        .cast::<PyString>()
        .map_err(|_| wrong_type(object, what))
}

#[cold]
fn wrong_type(object: &Bound<'_, PyAny>, what: &str) -> PyErr {
    wrong_argument(object, what, "str")
}

/// The error for an argument of a wrong type, as CPython's argument parser words it.
#[cold]
pub fn wrong_argument(object: &Bound<'_, PyAny>, what: &str, expected: &str) -> PyErr {
    let given = if object.is_none() {
        "None".to_owned()
    } else {
        type_name(object)
    };
    let mut message = format!("{what} must be {expected}, not {given}");
    let module = object.get_type().module();
    if module.is_ok_and(|name| name.to_string_lossy().starts_with("sqlalchemy")) {
        message.push_str(
            "; statements of SQLAlchemy go to orm_session(), or give their text: str(statement)",
        );
    }
    PyTypeError::new_err(message)
}
