//! The quick way of what costs next to nothing: the end of a transaction that is not open, `with`, an item of a
//! `Row`. See `quick`.

use super::connection::Connection;
use super::guarded::Guarded;
use super::quick::{properly, quickly};
use super::row::Row;
use super::slots::{Object, replace_plain, replace_positional};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use std::ptr;

/// The methods proper.
struct Proper {
    commit: Object,
    rollback: Object,
    enter: Object,
    exit: Object,
    row_item: Option<ffi::binaryfunc>,
}

// SAFETY: the pointers are references to immortal descriptors, used under the interpreter lock only.
unsafe impl Send for Proper {}

static PROPER: Guarded<Proper> = Guarded::new(Proper {
    commit: ptr::null_mut(),
    rollback: ptr::null_mut(),
    enter: ptr::null_mut(),
    exit: ptr::null_mut(),
    row_item: None,
});

/// Put the quick functions in the methods' places. Called once, before the classes can be subclassed.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let mut proper = Proper {
        commit: replace_plain::<Connection>(py, "commit", commit)?,
        rollback: replace_plain::<Connection>(py, "rollback", rollback)?,
        enter: replace_plain::<Connection>(py, "__enter__", enter)?,
        exit: replace_positional::<Connection>(py, "__exit__", exit)?,
        row_item: None,
    };
    let class = Row::type_object_raw(py);
    // SAFETY: the type is complete, and nobody else uses it yet.
    unsafe {
        if let Some(mapping) = (*class).tp_as_mapping.as_mut() {
            proper.row_item = mapping.mp_subscript;
            mapping.mp_subscript = Some(row_item);
            ffi::PyType_Modified(class);
        }
        *PROPER.peek_mut(py) = proper;
    }
    Ok(())
}

/// Whether there is no transaction that COMMIT or ROLLBACK could end, and nothing to complain about.
///
/// # Safety
/// `slf` is a living connection.
#[inline]
unsafe fn has_nothing_to_end(py: Python<'_>, slf: Object) -> bool {
    // SAFETY: as the caller promises.
    let connection = unsafe { Borrowed::from_ptr(py, slf).cast_unchecked::<Connection>() };
    connection.get().has_nothing_to_end(py)
}

/// COMMIT or ROLLBACK by the method proper, unless there is nothing to do.
///
/// # Safety
/// `slf` is a living connection, the interpreter is held.
#[inline]
unsafe fn end(slf: Object, method: impl FnOnce(&Proper) -> Object) -> Object {
    // SAFETY: as the caller promises.
    unsafe {
        let py = Python::assume_attached();
        match has_nothing_to_end(py, slf) {
            true => ffi::Py_NewRef(ffi::Py_None()),
            false => properly(method(PROPER.peek(py)), slf, ptr::null(), 0),
        }
    }
}

unsafe extern "C" fn commit(slf: Object, _: Object) -> Object {
    // SAFETY: called with the interpreter held, on an instance of the class.
    unsafe { end(slf, |proper| proper.commit) }
}

unsafe extern "C" fn rollback(slf: Object, _: Object) -> Object {
    // SAFETY: as for `commit`.
    unsafe { end(slf, |proper| proper.rollback) }
}

unsafe extern "C" fn enter(slf: Object, _: Object) -> Object {
    // SAFETY: as for `commit`.
    unsafe {
        let py = Python::assume_attached();
        let connection = Borrowed::from_ptr(py, slf).cast_unchecked::<Connection>();
        match connection.get().is_open(py) {
            true => ffi::Py_NewRef(slf),
            false => properly(PROPER.peek(py).enter, slf, ptr::null(), 0),
        }
    }
}

unsafe extern "C" fn exit(slf: Object, arguments: *mut Object, count: ffi::Py_ssize_t) -> Object {
    // SAFETY: as for `commit`, with `count` living arguments.
    unsafe {
        let py = Python::assume_attached();
        // Whether by an exception or not: nothing is open that could be committed or rolled back.
        match count == 3 && has_nothing_to_end(py, slf) {
            true => ffi::Py_NewRef(ffi::Py_False()),
            false => properly(PROPER.peek(py).exit, slf, arguments, count as usize),
        }
    }
}

unsafe extern "C" fn row_item(slf: Object, key: Object) -> Object {
    // SAFETY: called with the interpreter held, on an instance of the class.
    unsafe {
        let py = Python::assume_attached();
        let row = Borrowed::from_ptr(py, slf).cast_unchecked::<Row>();
        let item = quickly(py, || row.get().plain_item(py, key));
        match (item, PROPER.peek(py).row_item) {
            (Some(item), _) => item,
            (None, Some(proper)) => proper(slf, key),
            (None, None) => ptr::null_mut(),
        }
    }
}
