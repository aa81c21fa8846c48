//! What pyo3's classes can't say of themselves: a C function in a method's place, attributes with the words of a C
//! structure's members, a class that is complete and can't be changed.
//!
//! All of it happens while the module is made, before anybody else has seen the classes.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use std::ffi::{c_int, c_void};

pub type Object = *mut ffi::PyObject;

/// The head of CPython's descriptors, and what a method's and an attribute's has behind it.
#[repr(C)]
struct Descriptor<T> {
    head: ffi::PyObject,
    class: *mut ffi::PyTypeObject,
    name: Object,
    qualified_name: Object,
    definition: *mut T,
}

/// Replace a method without arguments. Gives the descriptor of the method proper, never to be freed.
pub fn replace_plain<T: PyTypeInfo>(
    py: Python<'_>,
    name: &str,
    function: ffi::PyCFunction,
) -> PyResult<Object> {
    let function = ffi::PyMethodDefPointer {
        PyCFunction: function,
    };
    replace::<T>(py, name, function, ffi::METH_NOARGS)
}

/// Replace a method with positional arguments. Gives the descriptor of the method proper, never to be freed.
pub fn replace_positional<T: PyTypeInfo>(
    py: Python<'_>,
    name: &str,
    function: ffi::PyCFunctionFast,
) -> PyResult<Object> {
    let function = ffi::PyMethodDefPointer {
        PyCFunctionFast: function,
    };
    replace::<T>(py, name, function, ffi::METH_FASTCALL)
}

fn replace<T: PyTypeInfo>(
    py: Python<'_>,
    name: &str,
    function: ffi::PyMethodDefPointer,
    flags: c_int,
) -> PyResult<Object> {
    let class = py.get_type::<T>();
    let proper = class.getattr(name)?;
    // SAFETY: the attribute is a method descriptor of pyo3's making; the new definition lives for ever.
    let quick = unsafe {
        let definition = (*proper.as_ptr().cast::<Descriptor<ffi::PyMethodDef>>()).definition;
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: (*definition).ml_name,
            ml_meth: function,
            ml_flags: flags,
            ml_doc: (*definition).ml_doc,
        }));
        let descriptor = ffi::PyDescr_NewMethod(T::type_object_raw(py), definition);
        Bound::from_owned_ptr_or_err(py, descriptor)?
    };
    class.setattr(name, quick)?;
    Ok(proper.into_ptr())
}

/// The definition of an attribute that has a getter, found by its descriptor.
fn attribute<T: PyTypeInfo>(py: Python<'_>, name: &str) -> PyResult<*mut ffi::PyGetSetDef> {
    let descriptor = py
        .get_type::<T>()
        .getattr("__dict__")?
        .get_item(name)?
        .as_ptr();
    // SAFETY: the attribute is a getset descriptor of pyo3's making, alive with its class.
    Ok(unsafe { (*descriptor.cast::<Descriptor<ffi::PyGetSetDef>>()).definition })
}

/// Let attributes without a setter say what members of a C structure say.
pub fn make_readonly<T: PyTypeInfo>(py: Python<'_>, names: &[&str]) -> PyResult<()> {
    for name in names {
        let definition = attribute::<T>(py, name)?;
        // SAFETY: pyo3 made the definition for this class alone, in memory that it never frees.
        unsafe { (*definition).set = Some(refuse) };
    }
    Ok(())
}

unsafe extern "C" fn refuse(_: Object, _: Object, _: *mut c_void) -> c_int {
    // SAFETY: called with the interpreter held; the text is a C string.
    unsafe {
        ffi::PyErr_SetString(
            ffi::PyExc_AttributeError,
            c"readonly attribute".as_ptr().cast(),
        );
    }
    -1
}

/// Refuse changes of a class from now on, as for the stdlib's. `abc.Sequence.register` respects that, too, so that a
/// pattern `[a, b]` does not match a `Row`.
pub fn make_immutable<T: PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type is complete, and the interpreter, which guards its flags, is held.
    unsafe {
        ffi::PyType_Modified(class);
        (*class).tp_flags |= ffi::Py_TPFLAGS_IMMUTABLETYPE;
    }
}
