//! Rows: from a statement's current row into Python objects.

use super::buffer::bytes_object;
use super::error::operational_error;
use super::text::str_object;
use crate::core::raw::{ColumnValue, LockGuard, Statement};
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString, PyTuple};
use std::ffi::{CStr, c_int};

/// What becomes of TEXT values.
pub enum TextFactory<'py> {
    Str,
    Bytes,
    ByteArray,
    Call(Bound<'py, PyAny>),
}

impl<'py> TextFactory<'py> {
    /// Classify a connection's `text_factory`; None if it was never set.
    #[inline]
    pub fn of(py: Python<'py>, factory: Option<Py<PyAny>>) -> Self {
        let Some(factory) = factory else {
            return TextFactory::Str;
        };
        let factory = factory.into_bound(py);
        if factory.is(py.get_type::<PyString>()) {
            TextFactory::Str
        } else if factory.is(py.get_type::<PyBytes>()) {
            TextFactory::Bytes
        } else if factory.is(py.get_type::<PyByteArray>()) {
            TextFactory::ByteArray
        } else {
            TextFactory::Call(factory)
        }
    }
}

/// Converters of a result's columns; None where a column has none.
pub type Converters = Vec<Option<Py<PyAny>>>;

/// Build the tuple of the current row.
///
/// Python code may run (converters, text factories): the caller has marked the cursor as in use.
#[inline]
pub fn row<'py>(
    py: Python<'py>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    text_factory: &TextFactory<'py>,
    converters: Option<&Converters>,
) -> PyResult<Bound<'py, PyTuple>> {
    let count = statement.data_count(guard);
    if converters.is_none() {
        let value = |index| statement.column(guard, index);
        return plain_row(py, guard, statement, text_factory, count, value);
    }
    let tuple = new_tuple(py, count as usize)?;
    for index in 0..count {
        let converter = converters.and_then(|all| all.get(index as usize)?.as_ref());
        let object = match converter {
            Some(converter) => converted(py, guard, statement, index, converter)?,
            None => {
                let value = statement.column(guard, index);
                plain(py, guard, statement, text_factory, index, value)?
            }
        };
        // SAFETY: the index is in range, the slot is empty, the reference is handed over.
        unsafe { ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, object) };
    }
    Ok(tuple)
}

/// Build the tuple of a row without converters, wherever its values are.
#[inline]
pub fn plain_row<'py, 'v>(
    py: Python<'py>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    text_factory: &TextFactory<'py>,
    count: c_int,
    value: impl Fn(c_int) -> ColumnValue<'v>,
) -> PyResult<Bound<'py, PyTuple>> {
    let tuple = new_tuple(py, count as usize)?;
    for index in 0..count {
        let object = plain(py, guard, statement, text_factory, index, value(index))?;
        // SAFETY: the index is in range, the slot is empty, the reference is handed over.
        unsafe { ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, object) };
    }
    if !matches!(text_factory, TextFactory::Call(_)) {
        untrack(&tuple);
    }
    Ok(tuple)
}

/// A new reference to the object for a value that has no converter.
#[inline(always)]
fn plain<'py>(
    py: Python<'py>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    text_factory: &TextFactory<'py>,
    index: c_int,
    value: ColumnValue<'_>,
) -> PyResult<*mut ffi::PyObject> {
    if let ColumnValue::Text(text) = value
        && !matches!(text_factory, TextFactory::Str)
    {
        return other_text(py, text_factory, text);
    }
    let object = object_or_null(py, value);
    match object.is_null() {
        false => Ok(object),
        true => Err(not_made(py, guard, statement, index, value)),
    }
}

/// The object for TEXT that is not to become a str.
#[inline(never)]
fn other_text(
    py: Python<'_>,
    factory: &TextFactory<'_>,
    text: &[u8],
) -> PyResult<*mut ffi::PyObject> {
    Ok(match factory {
        TextFactory::Str => unreachable!("these are made by `object_or_null`"),
        TextFactory::Bytes => bytes_object(py, text)?.into_ptr(),
        TextFactory::ByteArray => PyByteArray::new(py, text).into_ptr(),
        TextFactory::Call(factory) => factory.call1((bytes_object(py, text)?,))?.into_ptr(),
    })
}

/// A tuple to be filled.
#[inline]
pub fn new_tuple(py: Python<'_>, length: usize) -> PyResult<Bound<'_, PyTuple>> {
    // SAFETY: plain allocation; the result is checked. Unset items are NULL, which a tuple's destructor
    // and traversal allow.
    unsafe {
        let tuple = ffi::PyTuple_New(length as ffi::Py_ssize_t);
        Ok(Bound::from_owned_ptr_or_err(py, tuple)?.cast_into_unchecked())
    }
}

/// Numbers, texts and bytes can't be part of a cycle: spare the collector the visit.
#[inline]
fn untrack(tuple: &Bound<'_, PyTuple>) {
    // SAFETY: the tuple is complete; untracking a container without containers in it is what the collector
    // itself does at its first pass.
    unsafe { ffi::PyObject_GC_UnTrack(tuple.as_ptr().cast()) };
}

/// A new reference to the object for a value, TEXT as str; null with an exception set if it can't be made.
#[inline]
pub fn object_or_null(_py: Python<'_>, value: ColumnValue<'_>) -> *mut ffi::PyObject {
    // SAFETY: plain constructors, with the interpreter held.
    unsafe {
        match value {
            ColumnValue::Null => ffi::Py_NewRef(ffi::Py_None()),
            ColumnValue::Integer(value) => ffi::PyLong_FromLongLong(value),
            ColumnValue::Real(value) => ffi::PyFloat_FromDouble(value),
            ColumnValue::Text(text) => str_object(text),
            ColumnValue::Blob(bytes) => ffi::PyBytes_FromStringAndSize(
                bytes.as_ptr().cast(),
                bytes.len() as ffi::Py_ssize_t,
            ),
            ColumnValue::NoMemory => ffi::PyErr_NoMemory(),
        }
    }
}

/// Why there is no object for a value.
#[cold]
fn not_made(
    py: Python<'_>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    index: c_int,
    value: ColumnValue<'_>,
) -> PyErr {
    match value {
        ColumnValue::Text(text) => not_utf8(py, guard, statement, index, text),
        _ => PyErr::fetch(py),
    }
}

/// The stdlib's message stops at the first NUL and after 199 bytes, and replaces what isn't ASCII.
#[cold]
fn not_utf8(
    py: Python<'_>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    index: c_int,
    text: &[u8],
) -> PyErr {
    let error = PyErr::fetch(py);
    if !error.is_instance_of::<pyo3::exceptions::PyUnicodeDecodeError>(py) {
        return error;
    }
    let Some(name) = statement.column_name(guard, index) else {
        return PyMemoryError::new_err(());
    };
    let mut message = b"Could not decode to UTF-8 column '".to_vec();
    message.extend_from_slice(name.to_bytes());
    message.extend_from_slice(b"' with text '");
    message.extend(text.iter().take_while(|&&byte| byte != 0));
    message.push(b'\'');
    message.truncate(198);
    let message: String = message
        .into_iter()
        .map(|byte| {
            if byte.is_ascii() {
                byte as char
            } else {
                '\u{fffd}'
            }
        })
        .collect();
    operational_error(py, message)
}

fn converted(
    py: Python<'_>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    index: c_int,
    converter: &Py<PyAny>,
) -> PyResult<*mut ffi::PyObject> {
    let object = match statement.column_as_blob(guard, index) {
        Some(bytes) => {
            let bytes = bytes_object(py, bytes)?;
            converter.bind(py).call1((bytes,))?.unbind()
        }
        None => py.None(),
    };
    Ok(object.into_ptr())
}

/// The name of a column for `description`: up to the bracket if type names in brackets are looked for.
fn shown_name(name: &[u8], parse_colnames: bool) -> &[u8] {
    match name.iter().position(|byte| *byte == b'[') {
        Some(bracket) if parse_colnames => {
            let shown = &name[..bracket];
            shown.strip_suffix(b" ").unwrap_or(shown)
        }
        _ => name,
    }
}

/// Find the converters of a statement's columns.
pub fn find_converters(
    py: Python<'_>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    detect_types: c_int,
) -> PyResult<Converters> {
    use super::constants::{PARSE_COLNAMES, PARSE_DECLTYPES};
    let mut all = Vec::new();
    for index in 0..statement.column_count(guard) {
        let mut converter = None;
        if detect_types & PARSE_COLNAMES != 0 {
            let name = statement
                .column_name(guard, index)
                .ok_or_else(|| PyMemoryError::new_err(()))?;
            if let Some(key) = bracketed(name.to_bytes()) {
                converter = converter_for(py, key)?;
            }
        }
        if converter.is_none()
            && detect_types & PARSE_DECLTYPES != 0
            && let Some(declared) = statement.column_decltype(guard, index)
        {
            let declared = declared.to_bytes();
            let end = declared.iter().position(|byte| b" (".contains(byte));
            converter = converter_for(py, &declared[..end.unwrap_or(declared.len())])?;
        }
        all.push(converter);
    }
    Ok(all)
}

/// What stands between the last `[` and the first `]` behind one.
fn bracketed(name: &[u8]) -> Option<&[u8]> {
    let mut start = None;
    for (index, byte) in name.iter().enumerate() {
        match (byte, start) {
            (b'[', _) => start = Some(index + 1),
            (b']', Some(start)) => return Some(&name[start..index]),
            _ => {}
        }
    }
    None
}

fn converter_for(py: Python<'_>, key: &[u8]) -> PyResult<Option<Py<PyAny>>> {
    let key = PyString::from_bytes(py, key)?.call_method0("upper")?;
    let converters = super::state::state(py).converters.bind(py);
    let converter = converters.get_item(key)?;
    Ok(converter
        .filter(|object| !object.is_none())
        .map(Bound::unbind))
}

/// The name of a column as `description` shows it.
pub fn column_name<'py>(
    py: Python<'py>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    index: c_int,
    parse_colnames: bool,
) -> PyResult<Bound<'py, PyString>> {
    let name = statement
        .column_name(guard, index)
        .ok_or_else(|| PyMemoryError::new_err(()))?;
    let shown = shown_name(name.to_bytes(), parse_colnames);
    match std::str::from_utf8(shown) {
        // Interned, so that looking a row up by a literal is a comparison of addresses.
        Ok(text) if is_for_ever(guard, statement, index, &name) => Ok(PyString::intern(py, text)),
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => PyString::from_bytes(py, shown),
    }
}

/// Whether a name may be interned. In Python 3.12 it then lives for ever, so there it must be the name of a table's
/// column: an expression without a name is called after its text, and those are without number.
fn is_for_ever(guard: &LockGuard<'_>, statement: &Statement, index: c_int, name: &CStr) -> bool {
    !cfg!(all(Py_3_12, not(Py_3_13))) || statement.column_is_named(guard, index, name)
}
