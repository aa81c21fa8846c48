//! The bytes of an object that has the buffer protocol.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A contiguous view of an object's bytes, with the exporter's own error if there is none.
pub struct View(Box<ffi::Py_buffer>);

impl View {
    pub fn get(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: a live object; the view is released by `Drop` when this succeeds.
        let code =
            unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut(), ffi::PyBUF_SIMPLE) };
        if code == 0 {
            Ok(Self(view))
        } else {
            Err(PyErr::fetch(object.py()))
        }
    }

    pub fn bytes(&self) -> &[u8] {
        if self.0.len == 0 {
            return &[];
        }
        // SAFETY: a simple view has `len` contiguous bytes at `buf` until it is released.
        unsafe { std::slice::from_raw_parts(self.0.buf.cast(), self.0.len as usize) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the view was filled by PyObject_GetBuffer and is released once, with the interpreter.
        unsafe { ffi::PyBuffer_Release(self.0.as_mut()) }
    }
}

/// A bytes object; MemoryError where `PyBytes::new` would panic.
pub fn bytes_object<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: the pointer and length describe the slice; a NULL result is turned into the exception.
    unsafe {
        let object =
            ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t);
        Ok(Bound::from_owned_ptr_or_err(py, object)?.cast_into_unchecked())
    }
}
