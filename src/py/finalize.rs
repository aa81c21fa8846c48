//! `Connection.__del__` (Python 3.12), and the ResourceWarning for a connection that was never closed (3.13).
//!
//! pyo3 offers no `tp_finalize`, so it is set on the finished type, and called from a `tp_dealloc` that
//! wraps pyo3's. Subclasses made in Python inherit both.

use super::connection::Connection;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::CString;
#[cfg(Py_3_13)]
use std::sync::OnceLock;

#[pymethods]
impl Connection {
    /// The finalizer, for subclasses that call it.
    fn __del__(slf: &Bound<'_, Self>) {
        if cfg!(Py_3_13) {
            warn_if_open(slf);
        }
    }
}

#[cfg(Py_3_13)]
static DEALLOC: OnceLock<ffi::destructor> = OnceLock::new();

/// Give the class its finalizer. Called once, before the class can be subclassed.
#[cfg(Py_3_13)]
pub fn install(py: Python<'_>) {
    let class = py.get_type::<Connection>().as_type_ptr();
    // SAFETY: the type is complete, nobody else uses it yet, and both functions fit their slots.
    unsafe {
        if let Some(original) = (*class).tp_dealloc {
            DEALLOC.get_or_init(|| original);
            (*class).tp_finalize = Some(finalize);
            (*class).tp_dealloc = Some(dealloc);
            ffi::PyType_Modified(class);
        }
    }
}

#[cfg(Py_3_13)]
unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: called by CPython for an object whose last reference went; the finalizer may bring it back.
    unsafe {
        if ffi::PyObject_CallFinalizerFromDealloc(object) < 0 {
            return;
        }
        if let Some(original) = DEALLOC.get() {
            original(object);
        }
    }
}

#[cfg(Py_3_13)]
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: finalizers run with the interpreter held.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: an object of the class that the slot was set on, or of a subclass.
    let object = unsafe { Bound::from_borrowed_ptr(py, object) };
    if let Ok(connection) = object.cast::<Connection>() {
        warn_if_open(connection);
    }
}

fn warn_if_open(connection: &Bound<'_, Connection>) {
    let py = connection.py();
    // A finalizer must leave the current exception alone.
    let current = PyErr::take(py);
    if connection.get().is_open(py)
        && let Err(error) = warn(connection.as_any())
    {
        error.write_unraisable(py, Some(connection.as_any()));
    }
    if let Some(error) = current {
        error.restore(py);
    }
}

/// `repr()` of an object, but that of `object` is done here: CPython runs the handlers of signals before each, and what
/// they raise (KeyboardInterrupt) would be lost in a finalizer.
fn repr(object: &Bound<'_, PyAny>) -> PyResult<String> {
    let class = object.get_type();
    // SAFETY: looking at slots of live types.
    let is_plain = unsafe {
        let own = (*class.as_type_ptr()).tp_repr;
        own.map(|slot| slot as usize) == ffi::PyBaseObject_Type.tp_repr.map(|slot| slot as usize)
    };
    if !is_plain {
        return Ok(object.repr()?.to_string());
    }
    let (module, name) = (class.module()?, class.qualname()?);
    // Not by `Display`, which is `str()`.
    let (module, name) = (module.to_str()?, name.to_str()?);
    Ok(format!("<{module}.{name} object at {:p}>", object.as_ptr()))
}

fn warn(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    let message = CString::new(format!("unclosed database in {}", repr(object)?))?;
    // SAFETY: live objects and C string; the source is given for tracemalloc.
    let code = unsafe {
        let format = c"%s".as_ptr();
        PyErr_ResourceWarning(object.as_ptr(), 1, format, message.as_ptr())
    };
    if code < 0 {
        Err(PyErr::fetch(py))
    } else {
        Ok(())
    }
}

unsafe extern "C" {
    // pyo3-ffi has no variadic functions.
    fn PyErr_ResourceWarning(
        source: *mut ffi::PyObject,
        stack_level: ffi::Py_ssize_t,
        format: *const std::ffi::c_char,
        ...
    ) -> std::ffi::c_int;
}
