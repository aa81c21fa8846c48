//! Parameters: from Python objects into a statement.
//!
//! Exact tuples, lists and dicts of plain objects take the quick way: no copy of texts and bytes, which stay
//! alive in a tuple that the cursor holds until the statement is reset. Everything else is adapted and
//! bound one by one, without the connection's lock while Python code runs.

use super::adapters::{adapt_parameter, plain_types_are_plain};
use super::buffer::View;
use super::connection::{Connection, Locked};
use super::error::{last_exception, programming_error};
use super::fetch::new_tuple;
use super::interpreter;
use super::memo;
use super::names::type_name;
use super::state::state;
use crate::core::raw::{LockGuard, Statement};
use pyo3::exceptions::{PyLookupError, PyOverflowError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PySequence, PyString, PyTuple};
use rusqlite::ffi as sqlite;
use std::ffi::c_int;

/// Why a quick binding stopped.
enum Quick {
    Bound,
    /// An object that must be adapted.
    NotPlain,
    Failed(PyErr),
}

/// SQLite's lengths are C ints.
const LONGEST: usize = c_int::MAX as usize;

#[cold]
fn wrong_count(py: Python<'_>, needed: c_int, supplied: usize) -> PyErr {
    programming_error(
        py,
        format!(
            "Incorrect number of bindings supplied. The current statement uses {needed}, and there \
             are {supplied} supplied."
        ),
    )
}

#[cold]
fn closed_meanwhile(py: Python<'_>) -> PyErr {
    programming_error(py, "Cannot operate on a closed database.")
}

/// Bind all parameters. Gives the tuple whose objects must stay alive until the statement is reset, and
/// the lock, which is let go while Python code runs.
#[inline]
pub fn parameters<'py, 'c>(
    py: Python<'py>,
    connection: &'c Connection,
    statement: &mut Statement,
    guard: Locked<'c>,
    parameters: Option<&Bound<'py, PyAny>>,
) -> PyResult<(Option<Bound<'py, PyTuple>>, Locked<'c>)>
where
    'py: 'c,
{
    let needed = statement.parameter_count();
    let Some(parameters) = parameters else {
        return match needed {
            0 => Ok((None, guard)),
            _ => Err(wrong_count(py, needed, 0)),
        };
    };
    // What fails here fails again below, where it is told as the stdlib does.
    if let Ok(Some(tuple)) = values(py, statement, &guard, parameters) {
        if tuple.len() != needed as usize {
            return Err(wrong_count(py, needed, tuple.len()));
        }
        match quick_locked(py, statement, &guard, parameters, &tuple) {
            Quick::Bound => return Ok((Some(tuple), guard)),
            Quick::Failed(error) => return Err(error),
            Quick::NotPlain => {}
        }
    }
    drop(guard);
    // Not from the tuple: an adapter may change the list or dict that it was made of, and the stdlib looks at it
    // again for each parameter.
    match parameters.cast::<PyDict>() {
        Ok(dict) => by_name(py, statement, dict)?,
        Err(_) => by_position(py, statement, parameters)?,
    }
    Ok((None, relock(py, connection, statement)?))
}

/// Bind an exact tuple, list or dict of plain objects, or no parameters. Gives what must stay alive until the
/// statement is reset. None if they are not that, and for whatever is wrong with them: the statement must then be
/// bound anew by `parameters`.
///
/// # Safety
/// `parameters` is null or a living object.
#[inline]
pub unsafe fn plain<'py>(
    py: Python<'py>,
    statement: &mut Statement,
    guard: &LockGuard<'_>,
    parameters: *mut ffi::PyObject,
) -> Option<Option<Bound<'py, PyTuple>>> {
    let needed = statement.parameter_count();
    if parameters.is_null() {
        return (needed == 0).then_some(None);
    }
    // SAFETY: as the caller promises.
    let parameters = unsafe { Borrowed::from_ptr(py, parameters) };
    let tuple = values(py, statement, guard, &parameters).ok()??;
    if tuple.len() != needed as usize {
        return None;
    }
    match quick_locked(py, statement, guard, &parameters, &tuple) {
        Quick::Bound => Some(Some(tuple)),
        Quick::NotPlain | Quick::Failed(_) => None,
    }
}

/// The values of an exact tuple, list or dict in the order of the statement's parameters. None for what is none of
/// these, and for a dict that lacks a value.
#[inline]
fn values<'py>(
    py: Python<'py>,
    statement: &mut Statement,
    guard: &LockGuard<'_>,
    parameters: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    if let Ok(tuple) = parameters.cast_exact::<PyTuple>() {
        return Ok(Some(tuple.clone()));
    }
    if let Ok(list) = parameters.cast_exact::<PyList>() {
        return Ok(Some(list.to_tuple()));
    }
    let Ok(dict) = parameters.cast_exact::<PyDict>() else {
        return Ok(None);
    };
    if !plain_types_are_plain(py, state(py)) {
        // Its keys would be looked up twice.
        return Ok(None);
    }
    let Some(keys) = memo::keys(py, statement, guard)? else {
        return Ok(None);
    };
    let tuple = new_tuple(py, keys.len())?;
    for (index, key) in keys.iter_borrowed().enumerate() {
        let Some(value) = dict.get_item(key)? else {
            return Ok(None);
        };
        // SAFETY: the index is in range, the slot is empty, the reference is handed over.
        unsafe {
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t, value.into_ptr());
        }
    }
    Ok(Some(tuple))
}

/// Lock the connection again after Python code ran, which may have closed it or opened it anew.
fn relock<'c>(
    py: Python<'c>,
    connection: &'c Connection,
    statement: &Statement,
) -> PyResult<Locked<'c>> {
    let guard = connection.lock(py)?;
    if statement.is_live() && std::ptr::eq(guard.database(), &**statement.database()) {
        return Ok(guard);
    }
    Err(closed_meanwhile(py))
}

/// Bind the values of parameters if all of them are plain and there is nothing to warn about.
#[inline]
fn quick_locked(
    py: Python<'_>,
    statement: &Statement,
    guard: &LockGuard<'_>,
    parameters: &Bound<'_, PyAny>,
    tuple: &Bound<'_, PyTuple>,
) -> Quick {
    let warns =
        cfg!(Py_3_12) && statement.has_names() && !parameters.is_exact_instance_of::<PyDict>();
    if warns || !plain_types_are_plain(py, state(py)) {
        return Quick::NotPlain;
    }
    for index in 0..tuple.len() {
        // SAFETY: the index is in range; the item is borrowed from the tuple, which outlives this.
        let object = unsafe { ffi::PyTuple_GET_ITEM(tuple.as_ptr(), index as ffi::Py_ssize_t) };
        let position = index as c_int + 1;
        // SAFETY: a live object; text and bytes stay alive in the tuple that `parameters` gives back.
        let code = unsafe { plain_object(py, statement, guard, position, object) };
        match code {
            Ok(sqlite::SQLITE_OK) => {}
            Ok(NOT_PLAIN) => return Quick::NotPlain,
            Ok(_) => return Quick::Failed(last_exception(py, guard)),
            Err(error) => return Quick::Failed(error),
        }
    }
    Quick::Bound
}

/// Not a result code of SQLite's.
const NOT_PLAIN: c_int = -1;

/// Bind an object of a plain type, without a copy.
///
/// # Safety
/// `object` is alive and stays so until the statement is reset or this position is bound again.
#[inline]
unsafe fn plain_object(
    py: Python<'_>,
    statement: &Statement,
    guard: &LockGuard<'_>,
    position: c_int,
    object: *mut ffi::PyObject,
) -> PyResult<c_int> {
    // SAFETY: type checks and accessors on a live object of the checked type.
    unsafe {
        if ffi::PyUnicode_CheckExact(object) != 0 {
            let text = utf8(py, object)?;
            return Ok(statement.bind_text_borrowed(guard, position, text));
        }
        if ffi::PyLong_CheckExact(object) != 0 {
            return Ok(statement.bind_integer(guard, position, integer(py, object)?));
        }
        if ffi::PyFloat_CheckExact(object) != 0 {
            return Ok(statement.bind_real(guard, position, ffi::PyFloat_AS_DOUBLE(object)));
        }
        if object == ffi::Py_None() {
            return Ok(statement.bind_null(guard, position));
        }
        if ffi::PyBool_Check(object) != 0 {
            let value = i64::from(object == ffi::Py_True());
            return Ok(statement.bind_integer(guard, position, value));
        }
        if ffi::PyBytes_CheckExact(object) != 0 {
            let data = ffi::PyBytes_AS_STRING(object).cast::<u8>();
            let length = ffi::PyBytes_Size(object) as usize;
            if length > LONGEST {
                return Err(PyOverflowError::new_err("BLOB longer than INT_MAX bytes"));
            }
            let bytes = std::slice::from_raw_parts(data, length);
            return Ok(statement.bind_blob_borrowed(guard, position, bytes));
        }
        Ok(NOT_PLAIN)
    }
}

/// The UTF-8 of a str object, which the object keeps.
///
/// # Safety
/// `object` is a live str; the result lives as long as it.
#[inline]
unsafe fn utf8<'a>(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<&'a [u8]> {
    let mut length: ffi::Py_ssize_t = 0;
    // SAFETY: a live str object.
    let data = unsafe { ffi::PyUnicode_AsUTF8AndSize(object, &mut length) };
    if data.is_null() {
        return Err(PyErr::fetch(py));
    }
    if length as usize > LONGEST {
        return Err(PyOverflowError::new_err("string longer than INT_MAX bytes"));
    }
    // SAFETY: CPython gave `length` bytes that live with the object.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), length as usize) })
}

/// The value of an int (of no subclass) that fits into 64 bits.
#[inline]
pub fn exact_integer(object: &Bound<'_, PyAny>) -> Option<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: a type check and an accessor on a live object of that type, which can't fail otherwise.
    unsafe {
        if ffi::PyLong_CheckExact(object.as_ptr()) == 0 {
            return None;
        }
        let value = ffi::PyLong_AsLongLongAndOverflow(object.as_ptr(), &mut overflow);
        (overflow == 0).then_some(value)
    }
}

/// The value of an int object.
///
/// # Safety
/// `object` is a live int (or an instance of a subclass).
#[inline]
pub unsafe fn integer(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<i64> {
    let mut overflow: c_int = 0;
    // SAFETY: a live int object.
    let value = unsafe { ffi::PyLong_AsLongLongAndOverflow(object, &mut overflow) };
    if overflow != 0 {
        return Err(PyOverflowError::new_err(
            "Python int too large to convert to SQLite INTEGER",
        ));
    }
    if value == -1 && PyErr::occurred(py) {
        return Err(PyErr::fetch(py));
    }
    Ok(value)
}

/// Adapt an object and bind it with a copy.
fn adapted(
    py: Python<'_>,
    statement: &Statement,
    position: c_int,
    object: Bound<'_, PyAny>,
) -> PyResult<()> {
    let object = adapt_parameter(object)?;
    let code = copied(py, statement, position, &object)?;
    if code == sqlite::SQLITE_OK {
        return Ok(());
    }
    let guard = interpreter::lock(py, statement.database());
    Err(last_exception(py, &guard))
}

fn locked_live<'s>(py: Python<'_>, statement: &'s Statement) -> PyResult<LockGuard<'s>> {
    let guard = interpreter::lock(py, statement.database());
    if statement.is_live() {
        Ok(guard)
    } else {
        Err(closed_meanwhile(py))
    }
}

fn copied(
    py: Python<'_>,
    statement: &Statement,
    position: c_int,
    object: &Bound<'_, PyAny>,
) -> PyResult<c_int> {
    if object.is_none() {
        return Ok(statement.bind_null(&locked_live(py, statement)?, position));
    }
    if object.is_instance_of::<PyInt>() {
        // SAFETY: just checked.
        let value = unsafe { integer(py, object.as_ptr())? };
        return Ok(statement.bind_integer(&locked_live(py, statement)?, position, value));
    }
    if let Ok(value) = object.cast::<PyFloat>() {
        return Ok(statement.bind_real(&locked_live(py, statement)?, position, value.value()));
    }
    if object.is_instance_of::<PyString>() {
        // SAFETY: just checked; `object` outlives the call, and SQLite copies.
        let text = unsafe { utf8(py, object.as_ptr())? };
        return Ok(statement.bind_text(&locked_live(py, statement)?, position, text));
    }
    // SAFETY: any object may be asked.
    if unsafe { ffi::PyObject_CheckBuffer(object.as_ptr()) } == 0 {
        return Err(programming_error(
            py,
            format!(
                "Error binding parameter {position}: type '{}' is not supported",
                type_name(object)
            ),
        ));
    }
    with_buffer(object, |bytes| {
        Ok(statement.bind_blob(&locked_live(py, statement)?, position, bytes))
    })
}

/// Hand the bytes of a contiguous buffer to a function.
pub fn with_buffer<R>(
    object: &Bound<'_, PyAny>,
    body: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    let view = View::get(object)?;
    if view.bytes().len() > LONGEST {
        return Err(PyOverflowError::new_err("BLOB longer than INT_MAX bytes"));
    }
    body(view.bytes())
}

fn by_position(
    py: Python<'_>,
    statement: &Statement,
    parameters: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: any object may be asked.
    if unsafe { ffi::PySequence_Check(parameters.as_ptr()) } == 0 {
        return Err(programming_error(py, "parameters are of unsupported type"));
    }
    // SAFETY: just checked that the sequence protocol is there, which is all the casts stand for.
    let sequence = unsafe { parameters.cast_unchecked::<PySequence>() };
    let supplied = sequence.len()?;
    let needed = statement.parameter_count();
    if supplied != needed as usize {
        return Err(wrong_count(py, needed, supplied));
    }
    for index in 0..supplied {
        #[cfg(Py_3_12)]
        complain_about_name(py, statement, index as c_int + 1)?;
        adapted(py, statement, index as c_int + 1, sequence.get_item(index)?)?;
    }
    Ok(())
}

/// Python 3.12 began to warn about named placeholders that are bound by position, and Python 3.14 refuses them. The first
/// releases of 3.12 took a number (`?1`) for a name; we don't.
#[cfg(Py_3_12)]
fn complain_about_name(py: Python<'_>, statement: &Statement, position: c_int) -> PyResult<()> {
    if !statement.has_names() {
        return Ok(());
    }
    let name = {
        let guard = locked_live(py, statement)?;
        match statement.parameter_name(&guard, position) {
            Some(name) if name.to_bytes().first() != Some(&b'?') => {
                name.to_string_lossy().into_owned()
            }
            _ => return Ok(()),
        }
    };
    let message = format!(
        "Binding {position} ('{name}') is a named parameter, but you supplied a sequence which requires \
         nameless (qmark) placeholders."
    );
    if cfg!(Py_3_14) {
        return Err(programming_error(py, message));
    }
    let message = std::ffi::CString::new(format!(
        "{message} Starting with Python 3.14 an sqlite3.ProgrammingError will be raised."
    ))?;
    let class = py.get_type::<pyo3::exceptions::PyDeprecationWarning>();
    PyErr::warn(py, &class, &message, 1)
}

fn by_name(py: Python<'_>, statement: &Statement, dict: &Bound<'_, PyDict>) -> PyResult<()> {
    for position in 1..=statement.parameter_count() {
        let name = {
            let guard = locked_live(py, statement)?;
            let name = statement.parameter_name(&guard, position);
            // Without the prefix `:`, `@` or `$`.
            name.map(|name| name.to_string_lossy()[1..].to_owned())
        };
        let Some(name) = name else {
            return Err(programming_error(
                py,
                format!(
                    "Binding {position} has no name, but you supplied a dictionary (which has only \
                     names)."
                ),
            ));
        };
        let found = match dict.is_exact_instance_of::<PyDict>() {
            true => dict.get_item(&name),
            false => dict.as_any().get_item(&name).map(Some),
        };
        let object = match found {
            Ok(object) => object,
            Err(error) if error.is_instance_of::<PyLookupError>(py) => None,
            Err(error) => return Err(error),
        };
        let Some(object) = object else {
            return Err(programming_error(
                py,
                format!("You did not supply a value for binding parameter :{name}."),
            ));
        };
        adapted(py, statement, position, object)?;
    }
    Ok(())
}
