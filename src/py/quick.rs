//! The quick way of `execute`, `fetchone` and iteration.
//!
//! A look-up by key costs about as much in SQLite as an ordinary method call costs around it: parsing arguments for
//! keywords that these methods don't have, counting attachments, checking what rarely is. So these methods are
//! C functions of ours that handle the plain case — a text that was executed lately, a tuple of plain objects, no
//! callbacks, rows as tuples — and leave everything else, every error included, to the methods proper, without
//! having done anything.

use super::bind;
use super::connection::Connection;
use super::cursor::Cursor;
use super::cursor_fetch::next_plain_row;
use super::freelist;
use super::guarded::Guarded;
use super::slots::{Object, replace_plain, replace_positional};
use crate::core::raw::edge::contain;
use crate::core::raw::{LockGuard, Statement};
use pyo3::exceptions::PySystemError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::{PyString, PyTuple};
use std::ptr;

/// The methods proper.
struct Proper {
    connection_execute: Object,
    cursor_execute: Object,
    cursor_fetchone: Object,
    cursor_next: Option<ffi::iternextfunc>,
}

// SAFETY: the pointers are references to immortal descriptors, used under the interpreter lock only.
unsafe impl Send for Proper {}

static PROPER: Guarded<Proper> = Guarded::new(Proper {
    connection_execute: ptr::null_mut(),
    cursor_execute: ptr::null_mut(),
    cursor_fetchone: ptr::null_mut(),
    cursor_next: None,
});

/// Put the quick functions in the methods' places. Called once, before the classes can be subclassed.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let connection_execute = replace_positional::<Connection>(py, "execute", connection_execute)?;
    let cursor_execute = replace_positional::<Cursor>(py, "execute", cursor_execute)?;
    let cursor_fetchone = replace_plain::<Cursor>(py, "fetchone", cursor_fetchone)?;
    let class = Cursor::type_object_raw(py);
    // SAFETY: the type is complete, and nobody else uses it yet.
    unsafe {
        *PROPER.peek_mut(py) = Proper {
            connection_execute,
            cursor_execute,
            cursor_fetchone,
            cursor_next: (*class).tp_iternext,
        };
        (*class).tp_iternext = Some(cursor_next);
        ffi::PyType_Modified(class);
    }
    Ok(())
}

/// Call a method proper with the object it belongs to and the arguments.
///
/// # Safety
/// `arguments` are `count` living objects.
#[cold]
pub unsafe fn properly(
    method: Object,
    slf: Object,
    arguments: *const Object,
    count: usize,
) -> Object {
    let mut all = [slf, ptr::null_mut(), ptr::null_mut()];
    // SAFETY: as the caller promises.
    unsafe {
        if count < all.len() {
            ptr::copy_nonoverlapping(arguments, all.as_mut_ptr().add(1), count);
            return ffi::PyObject_Vectorcall(method, all.as_ptr(), count + 1, ptr::null_mut());
        }
        // Too many: the method proper says so.
        let mut all = vec![slf];
        all.extend(std::slice::from_raw_parts(arguments, count));
        ffi::PyObject_Vectorcall(method, all.as_ptr(), count + 1, ptr::null_mut())
    }
}

/// Run a quick function for C: it gives null when it has raised an exception or has no more rows, None when the work
/// is to be done properly.
#[inline]
pub fn quickly(py: Python<'_>, body: impl FnOnce() -> Option<Object>) -> Option<Object> {
    match contain(body) {
        // SAFETY: the interpreter is held.
        Some(Some(object)) if object.is_null() && unsafe { !ffi::PyErr_Occurred().is_null() } => {
            // Objects that were dropped since, which pyo3 keeps as long as it thinks itself detached, go now.
            Python::attach(|_| ());
            Some(object)
        }
        Some(outcome) => outcome,
        None => {
            let message = "dbmanager failed; what happened was written to stderr";
            PySystemError::new_err(message).restore(py);
            Some(ptr::null_mut())
        }
    }
}

unsafe extern "C" fn connection_execute(
    slf: Object,
    arguments: *mut Object,
    count: ffi::Py_ssize_t,
) -> Object {
    // SAFETY: called with the interpreter held, on an instance of the class, with `count` living arguments.
    unsafe {
        let py = Python::assume_attached();
        let outcome = quickly(py, || {
            let (sql, parameters) = sql_and_parameters(arguments, count)?;
            let connection = Borrowed::from_ptr(py, slf).cast_unchecked::<Connection>();
            let this = connection.get();
            this.locked_plain(py, |guard| {
                let cursor = freelist::spare_cursor(&connection)?;
                execute(cursor, this, guard, sql, parameters)
            })
        });
        outcome.unwrap_or_else(|| {
            properly(
                PROPER.peek(py).connection_execute,
                slf,
                arguments,
                count as usize,
            )
        })
    }
}

unsafe extern "C" fn cursor_execute(
    slf: Object,
    arguments: *mut Object,
    count: ffi::Py_ssize_t,
) -> Object {
    // SAFETY: as for `connection_execute`.
    unsafe {
        let py = Python::assume_attached();
        let outcome = quickly(py, || {
            let (sql, parameters) = sql_and_parameters(arguments, count)?;
            let cursor = Borrowed::from_ptr(py, slf).cast_unchecked::<Cursor>();
            let this = cursor.get();
            let connection = this.plain_connection(py)?;
            let connection = connection.get();
            connection.locked_plain(py, |guard| {
                if !this.release_plain(py, connection, guard) {
                    return None;
                }
                execute(cursor.to_owned(), connection, guard, sql, parameters)
            })
        });
        outcome.unwrap_or_else(|| {
            properly(
                PROPER.peek(py).cursor_execute,
                slf,
                arguments,
                count as usize,
            )
        })
    }
}

unsafe extern "C" fn cursor_fetchone(slf: Object, _: Object) -> Object {
    // SAFETY: called with the interpreter held, on an instance of the class; `None` is immortal or counted here.
    unsafe {
        let py = Python::assume_attached();
        match fetch(py, slf) {
            Some(row) if row.is_null() && ffi::PyErr_Occurred().is_null() => {
                ffi::Py_NewRef(ffi::Py_None())
            }
            Some(row) => row,
            None => properly(PROPER.peek(py).cursor_fetchone, slf, ptr::null(), 0),
        }
    }
}

unsafe extern "C" fn cursor_next(slf: Object) -> Object {
    // SAFETY: as for `cursor_fetchone`.
    unsafe {
        let py = Python::assume_attached();
        match (fetch(py, slf), PROPER.peek(py).cursor_next) {
            (Some(row), _) => row,
            (None, Some(proper)) => proper(slf),
            (None, None) => ptr::null_mut(),
        }
    }
}

/// The next row; null without an exception at the end.
///
/// # Safety
/// `slf` is a living cursor, the interpreter is held.
#[inline]
unsafe fn fetch(py: Python<'_>, slf: Object) -> Option<Object> {
    // SAFETY: as the caller promises.
    let cursor = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<Cursor>() };
    quickly(py, || next_plain_row(&cursor))
}

/// The text and the parameters (may be null) if they could be plain.
///
/// # Safety
/// `arguments` are `count` living objects.
#[inline]
unsafe fn sql_and_parameters(
    arguments: *const Object,
    count: ffi::Py_ssize_t,
) -> Option<(Object, Object)> {
    // SAFETY: as the caller promises.
    unsafe {
        let parameters = match count {
            1 => ptr::null_mut(),
            2 => *arguments.add(1),
            _ => return None,
        };
        let sql = *arguments;
        (ffi::PyUnicode_CheckExact(sql) != 0).then_some((sql, parameters))
    }
}

/// Execute on a plain connection, with a cursor that has no statement, and give the cursor. None, with nothing done,
/// if the statement or the parameters are not plain.
///
/// # Safety
/// `sql` is a living str, `parameters` null or a living object.
#[inline]
unsafe fn execute(
    cursor: Bound<'_, Cursor>,
    connection: &Connection,
    guard: &LockGuard<'_>,
    sql: Object,
    parameters: Object,
) -> Option<Object> {
    let py = cursor.py();
    // SAFETY: as the caller promises; the parameters stay alive in the cursor as long as they are bound.
    unsafe {
        let sql = Borrowed::from_ptr(py, sql).cast_unchecked::<PyString>();
        let mut statement = connection.take_recent(py, &sql)?;
        let this = cursor.get();
        let bound = match !parameters.is_null() && ffi::PyDict_Check(parameters) != 0 {
            // Marked as in use: a key may run Python code when it is compared.
            true => this.exclusively(py, connection, || {
                bound(py, connection, guard, &mut statement, parameters)
            }),
            false => bound(py, connection, guard, &mut statement, parameters),
        };
        let Some(bound) = bound else {
            connection.give_back_locked(py, guard, statement);
            return None;
        };
        let outcome = this.execute_plain(py, connection, guard, statement, bound);
        Some(match outcome {
            Some(()) => cursor.into_ptr(),
            None => ptr::null_mut(),
        })
    }
}

/// Bind the parameters if they and the statement are plain. Gives what must stay alive until the statement is reset.
///
/// # Safety
/// `parameters` is null or a living object.
#[inline]
unsafe fn bound<'py>(
    py: Python<'py>,
    connection: &Connection,
    guard: &LockGuard<'_>,
    statement: &mut Statement,
    parameters: Object,
) -> Option<Option<Bound<'py, PyTuple>>> {
    let plain = Connection::keeps_interpreter(py, guard, statement)
        && connection.needs_no_turn(py, statement);
    if !plain {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe { bind::plain(py, statement, guard, parameters) }
}
