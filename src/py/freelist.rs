//! A free list for `Cursor` objects, of which `connection.execute(...)` makes one a call.
//!
//! pyo3's own free list locks a mutex twice for each object and hands objects out that the collector does
//! not know. The interpreter lock is enough here.

use super::cursor::Cursor;
use super::guarded::Guarded;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use std::ffi::c_void;

const CAPACITY: usize = 32;

struct FreeList {
    objects: [*mut ffi::PyObject; CAPACITY],
    length: usize,
}

// SAFETY: the pointers are memory without an owner; they are touched under the interpreter lock only.
unsafe impl Send for FreeList {}

static FREE: Guarded<FreeList> = Guarded::new(FreeList {
    objects: [std::ptr::null_mut(); CAPACITY],
    length: 0,
});

/// Give the class its allocator. Called once, before the class can be subclassed; subclasses made in Python
/// have allocators of their own.
pub fn install(py: Python<'_>) {
    let class = Cursor::type_object_raw(py);
    // SAFETY: the type is complete, nobody else uses it yet, and both functions fit their slots.
    unsafe {
        (*class).tp_alloc = Some(allocate);
        (*class).tp_free = Some(free);
        ffi::PyType_Modified(class);
    }
}

unsafe extern "C" fn allocate(
    class: *mut ffi::PyTypeObject,
    items: ffi::Py_ssize_t,
) -> *mut ffi::PyObject {
    // SAFETY: allocators are called with the interpreter held. The memory comes from an object of the very
    // class, and pyo3 writes all of its contents before anybody sees it.
    unsafe {
        let py = Python::assume_attached();
        let list = FREE.peek_mut(py);
        if list.length == 0 || class != Cursor::type_object_raw(py) {
            return ffi::PyType_GenericAlloc(class, items);
        }
        list.length -= 1;
        let object = list.objects[list.length];
        ffi::PyObject_Init(object, class);
        // Not tracked yet: the contents are written first (see `cursor::track`).
        object
    }
}

unsafe extern "C" fn free(object: *mut c_void) {
    // SAFETY: called with the interpreter held, for an object that is dead and untracked.
    unsafe {
        let py = Python::assume_attached();
        let list = FREE.peek_mut(py);
        let own = ffi::Py_TYPE(object.cast()) == Cursor::type_object_raw(py);
        if own && list.length < CAPACITY {
            list.objects[list.length] = object.cast();
            list.length += 1;
        } else {
            ffi::PyObject_GC_Del(object);
        }
    }
}
