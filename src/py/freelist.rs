//! Spare `Cursor` objects, of which `connection.execute(...)` needs one a call.
//!
//! A cursor that dies with nothing in it but its connection is emptied and brought back to life here, as a finalizer
//! may do, and the next call fills in the connection: no allocator, no constructor, nothing to tell the garbage
//! collector (which is why `gc.get_objects()` shows some cursors that nobody made). The interpreter lock guards the
//! list; pyo3's own free list would lock a mutex twice for each object.

use super::connection::Connection;
use super::cursor::Cursor;
use super::guarded::Guarded;
use crate::core::raw::edge::contain;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;

const CAPACITY: usize = 32;

struct FreeList {
    objects: [*mut ffi::PyObject; CAPACITY],
    length: usize,
    class: *mut ffi::PyTypeObject,
    /// pyo3's destructor, for all that is not kept.
    destroy: Option<ffi::destructor>,
}

// SAFETY: the list owns one reference to each object; they are touched under the interpreter lock only.
unsafe impl Send for FreeList {}

static FREE: Guarded<FreeList> = Guarded::new(FreeList {
    objects: [std::ptr::null_mut(); CAPACITY],
    length: 0,
    class: std::ptr::null_mut(),
    destroy: None,
});

/// Give the class its destructor. Called once, before the class can be subclassed; subclasses made in Python
/// have one of their own, which calls this one.
pub fn install(py: Python<'_>) {
    let class = Cursor::type_object_raw(py);
    // SAFETY: the type is complete, nobody else uses it yet, and the function fits its slot.
    unsafe {
        let list = FREE.peek_mut(py);
        list.class = class;
        list.destroy = (*class).tp_dealloc;
        (*class).tp_dealloc = Some(dealloc);
    }
}

/// A cursor for a connection.
#[inline]
pub fn cursor<'py>(connection: &Bound<'py, Connection>) -> PyResult<Bound<'py, Cursor>> {
    if let Some(spare) = spare_cursor(connection) {
        return Ok(spare);
    }
    let cursor = Bound::new(connection.py(), Cursor::empty())?;
    cursor.get().start(connection);
    Ok(cursor)
}

/// A cursor for a connection, if one is spare: without any Python code running on the way.
#[inline]
pub fn spare_cursor<'py>(connection: &Bound<'py, Connection>) -> Option<Bound<'py, Cursor>> {
    let py = connection.py();
    // SAFETY: no Python code runs while the list is borrowed, which hands its reference over.
    let cursor = unsafe {
        let list = FREE.peek_mut(py);
        list.length = list.length.checked_sub(1)?;
        Bound::from_owned_ptr(py, list.objects[list.length]).cast_into_unchecked::<Cursor>()
    };
    // SAFETY: a living object.
    if unsafe { ffi::Py_REFCNT(cursor.as_ptr()) } != 1 {
        // Somebody found it with the garbage collector's help: theirs it is.
        return None;
    }
    cursor.get().start(connection);
    Some(cursor)
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: destructors are called with the interpreter held, on an object of the class or a subclass.
    unsafe {
        let py = Python::assume_attached();
        let list = FREE.peek_mut(py);
        let own = ffi::Py_TYPE(object) == list.class;
        if !own || list.length == CAPACITY || !keep(py, object, list.class) {
            if let Some(destroy) = list.destroy {
                destroy(object);
            }
        }
    }
}

/// Empty a dead cursor and keep it. False if it must be destroyed instead.
///
/// # Safety
/// `object` is a `Cursor`, not of a subclass, without references.
#[inline]
unsafe fn keep(py: Python<'_>, object: *mut ffi::PyObject, class: *mut ffi::PyTypeObject) -> bool {
    // SAFETY: the object is complete, and nobody else has it.
    unsafe {
        let weak_references = object
            .byte_offset((*class).tp_weaklistoffset)
            .cast::<*mut ffi::PyObject>();
        let borrowed = Borrowed::from_ptr(py, object).cast_unchecked::<Cursor>();
        let cursor = borrowed.get();
        if !(*weak_references).is_null() || !cursor.holds_little(py) {
            return false;
        }
        // Back to life, with the list as the owner, before the connection goes, which may run Python code.
        ffi::Py_INCREF(object);
        if contain(|| cursor.forget(py)).is_none() {
            // Nobody knows what it is like now.
            return true;
        }
        let list = FREE.peek_mut(py);
        if list.length == CAPACITY {
            ffi::Py_DECREF(object);
            return true;
        }
        list.objects[list.length] = object;
        list.length += 1;
        true
    }
}
