//! Spare `Cursor` objects, of which `connection.execute(...)` needs one a call.
//!
//! A cursor that dies with nothing in it but its connection is emptied and brought back to life here, as a finalizer
//! may do, and the next call fills in the connection: no allocator, no constructor, nothing to tell the garbage
//! collector (which is why `gc.get_objects()` shows some cursors that nobody made). The interpreter lock guards the
//! list; pyo3's own free list would lock a mutex twice for each object.

use super::connection::Connection;
use super::cursor::Cursor;
use super::guarded::Guarded;
use super::result::{self, Result};
use crate::core::raw::edge::contain;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use std::sync::atomic::{AtomicUsize, Ordering};

const CAPACITY: usize = 32;

/// The spare objects of one class.
struct FreeList {
    objects: [*mut ffi::PyObject; CAPACITY],
    length: usize,
    class: *mut ffi::PyTypeObject,
    /// pyo3's destructor, for all that is not kept.
    destroy: Option<ffi::destructor>,
}

// SAFETY: the list owns one reference to each object; they are touched under the interpreter lock only.
unsafe impl Send for FreeList {}

const EMPTY: FreeList = FreeList {
    objects: [std::ptr::null_mut(); CAPACITY],
    length: 0,
    class: std::ptr::null_mut(),
    destroy: None,
};

static CURSORS: Guarded<FreeList> = Guarded::new(EMPTY);
static RESULTS: Guarded<FreeList> = Guarded::new(EMPTY);

/// Where an object's contents begin; the same for a cursor and a result, which extends it.
static CONTENTS: AtomicUsize = AtomicUsize::new(0);

/// Give the classes their destructors. Called once, before they can be subclassed; subclasses made in Python have
/// one of their own, which calls these.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let probe = Bound::new(py, Cursor::empty())?;
    let distance = std::ptr::from_ref(probe.get()) as usize - probe.as_ptr() as usize;
    CONTENTS.store(distance, Ordering::Relaxed);
    // SAFETY: the types are complete, nobody else uses them yet, and the functions fit their slots.
    unsafe {
        let prepare =
            |list: &Guarded<FreeList>, class: *mut ffi::PyTypeObject, dealloc: ffi::destructor| {
                let list = list.peek_mut(py);
                list.class = class;
                list.destroy = (*class).tp_dealloc;
                (*class).tp_dealloc = Some(dealloc);
            };
        prepare(&CURSORS, Cursor::type_object_raw(py), dealloc_cursor);
        prepare(&RESULTS, Result::type_object_raw(py), dealloc_result);
    }
    Ok(())
}

/// A cursor for a connection, as its class wants it: a `Result` for a session.
#[inline]
pub fn cursor<'py>(connection: &Bound<'py, Connection>) -> PyResult<Bound<'py, Cursor>> {
    if let Some(spare) = spare_cursor(connection) {
        return Ok(spare);
    }
    if connection.get().is_session(connection.py()) {
        return result::new(connection);
    }
    let cursor = Bound::new(connection.py(), Cursor::empty())?;
    cursor.get().start(connection);
    Ok(cursor)
}

/// A cursor for a connection, if one is spare: without any Python code running on the way.
#[inline]
pub fn spare_cursor<'py>(connection: &Bound<'py, Connection>) -> Option<Bound<'py, Cursor>> {
    let py = connection.py();
    let list = match connection.get().is_session(py) {
        true => &RESULTS,
        false => &CURSORS,
    };
    // SAFETY: no Python code runs while the list is borrowed, which hands its reference over.
    let cursor = unsafe {
        let list = list.peek_mut(py);
        list.length = list.length.checked_sub(1)?;
        Bound::from_owned_ptr(py, list.objects[list.length]).cast_into_unchecked::<Cursor>()
    };
    // SAFETY: a living object.
    if unsafe { ffi::Py_REFCNT(cursor.as_ptr()) } != 1 || !cursor.get().is_empty(py) {
        // Somebody found it with the garbage collector's help: theirs it is, or was.
        return None;
    }
    cursor.get().start(connection);
    Some(cursor)
}

/// The object that a cursor is the contents of.
pub fn object_of(cursor: &Cursor) -> *mut ffi::PyObject {
    let contents = std::ptr::from_ref(cursor).cast_mut();
    // SAFETY: cursors live in objects only, at this distance.
    unsafe { contents.byte_sub(CONTENTS.load(Ordering::Relaxed)).cast() }
}

unsafe extern "C" fn dealloc_cursor(object: *mut ffi::PyObject) {
    // SAFETY: destructors are called with the interpreter held, on an object of the class or a subclass.
    unsafe { dealloc(&CURSORS, object) }
}

unsafe extern "C" fn dealloc_result(object: *mut ffi::PyObject) {
    // SAFETY: as above.
    unsafe { dealloc(&RESULTS, object) }
}

/// # Safety
/// `object` is dead, of the list's class or a subclass, and the interpreter is held.
#[inline]
unsafe fn dealloc(list: &Guarded<FreeList>, object: *mut ffi::PyObject) {
    // SAFETY: as the caller promises.
    unsafe {
        let py = Python::assume_attached();
        let (class, full, destroy) = {
            let list = list.peek(py);
            (list.class, list.length == CAPACITY, list.destroy)
        };
        let own = ffi::Py_TYPE(object) == class;
        if (!own || full || !keep(py, list, object))
            && let Some(destroy) = destroy
        {
            destroy(object);
        }
    }
}

/// Empty a dead cursor and keep it. False if it must be destroyed instead.
///
/// # Safety
/// `object` is of the list's class, not of a subclass, without references.
#[inline]
unsafe fn keep(py: Python<'_>, list: &Guarded<FreeList>, object: *mut ffi::PyObject) -> bool {
    // SAFETY: the object is complete, and nobody else has it.
    unsafe {
        let weak_references = object
            .byte_offset((*list.peek(py).class).tp_weaklistoffset)
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
        let list = list.peek_mut(py);
        if list.length == CAPACITY {
            ffi::Py_DECREF(object);
            return true;
        }
        list.objects[list.length] = object;
        list.length += 1;
        true
    }
}
