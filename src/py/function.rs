//! Functions, aggregates and window functions in Python, as SQLite calls them.

use super::bind;
use super::error::programming_error;
use super::fetch;
use super::hook::{Hook, report};
use super::names::type_name;
use crate::core::raw::function::{AggregateFunction, Arguments, Context, ScalarFunction};
use pyo3::exceptions::{PyAttributeError, PyMemoryError, PyOverflowError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyString};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::sync::Arc;

/// More arguments than this go through the heap.
const INLINE_ARGUMENTS: usize = 8;

/// Call a Python callable with SQLite values, by the vectorcall protocol.
#[inline(always)]
fn call<'py>(
    py: Python<'py>,
    callable: &Bound<'py, PyAny>,
    arguments: &Arguments<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let count = arguments.len();
    // The slot before the arguments is the callee's to use (PY_VECTORCALL_ARGUMENTS_OFFSET).
    let result = if count <= INLINE_ARGUMENTS {
        let mut stack = [const { MaybeUninit::uninit() }; INLINE_ARGUMENTS + 1];
        call_on(py, callable, arguments, &mut stack[1..=count])
    } else {
        call_with_many(py, callable, arguments)
    };
    // SAFETY: a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

/// `call_on` with room in the heap.
#[cold]
fn call_with_many(
    py: Python<'_>,
    callable: &Bound<'_, PyAny>,
    arguments: &Arguments<'_>,
) -> *mut ffi::PyObject {
    let mut objects = vec![MaybeUninit::uninit(); arguments.len() + 1];
    call_on(py, callable, arguments, &mut objects[1..])
}

/// `call` with room for the objects, before which there is another slot. A new reference, or null with an exception
/// set.
#[inline(always)]
fn call_on(
    py: Python<'_>,
    callable: &Bound<'_, PyAny>,
    arguments: &Arguments<'_>,
    objects: &mut [MaybeUninit<*mut ffi::PyObject>],
) -> *mut ffi::PyObject {
    let mut made = 0;
    while made < objects.len() {
        let object = match arguments.integer(made) {
            // SAFETY: a plain constructor, with the interpreter held.
            Some(value) => unsafe { ffi::PyLong_FromLongLong(value) },
            None => other_object(py, arguments, made),
        };
        if object.is_null() {
            break;
        }
        objects[made].write(object);
        made += 1;
    }
    let complete = made == objects.len();
    // SAFETY: so many slots were written, behind one that may be written to; a new reference or null comes back.
    unsafe {
        let result = match complete {
            true => ffi::PyObject_Vectorcall(
                callable.as_ptr(),
                objects.as_ptr().cast(),
                made | ffi::PY_VECTORCALL_ARGUMENTS_OFFSET,
                std::ptr::null_mut(),
            ),
            false => std::ptr::null_mut(),
        };
        for object in &objects[..made] {
            ffi::Py_DECREF(object.assume_init());
        }
        result
    }
}

/// The object for an argument that is no integer. Apart, for the sake of those that are.
#[inline(never)]
fn other_object(py: Python<'_>, arguments: &Arguments<'_>, index: usize) -> *mut ffi::PyObject {
    fetch::object_or_null(py, arguments.get(index))
}

/// Hand a Python value to SQLite.
#[inline(always)]
fn set_result(context: &Context, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match bind::exact_integer(value) {
        Some(value) => {
            context.result_integer(value);
            Ok(())
        }
        None => set_other_result(context, value),
    }
}

#[inline(never)]
fn set_other_result(context: &Context, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = value.py();
    if value.is_none() {
        context.result_null();
    } else if value.is_instance_of::<PyInt>() {
        // SAFETY: just checked.
        context.result_integer(unsafe { bind::integer(py, value.as_ptr())? });
    } else if let Ok(value) = value.cast::<PyFloat>() {
        context.result_real(value.value());
    } else if let Ok(text) = value.cast::<PyString>() {
        context.result_text(text.to_str()?.as_bytes());
    // SAFETY: any object may be asked.
    } else if unsafe { ffi::PyObject_CheckBuffer(value.as_ptr()) } != 0 {
        bind::with_buffer(value, |bytes| {
            context.result_blob(bytes);
            Ok(())
        })?;
    } else {
        return Err(programming_error(
            py,
            format!(
                "User-defined functions cannot return '{}' values to SQLite",
                type_name(value)
            ),
        ));
    }
    Ok(())
}

/// Make an exception SQLite's error; its text is for the SQL side, the exception is only reported.
#[cold]
fn fail(
    py: Python<'_>,
    context: &Context,
    error: PyErr,
    message: &str,
    callable: &Bound<'_, PyAny>,
) {
    if error.is_instance_of::<PyMemoryError>(py) {
        context.error_no_memory();
    } else if error.is_instance_of::<PyOverflowError>(py) {
        context.error_too_big();
    } else {
        context.error(message);
    }
    report(py, error, callable);
}

/// A scalar function.
pub struct Scalar(pub Arc<Hook>);

impl ScalarFunction for Scalar {
    fn call(&self, context: &Context, arguments: &Arguments<'_>) {
        self.0.enter(|py, callable| {
            let outcome =
                call(py, callable, arguments).and_then(|value| set_result(context, &value));
            if let Err(error) = outcome {
                let message = "user-defined function raised exception";
                fail(py, context, error, message, callable);
            }
        });
    }
}

/// An aggregate or window function: a class, one instance a run.
pub struct Aggregate(pub Arc<Hook>);

impl Aggregate {
    /// The instance of the run, made by the first step. A slot that stays empty marks a failed `__init__`.
    fn instance<'py>(
        context: &Context,
        class: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = class.py();
        let Some(slot) = context.aggregate_slot(true) else {
            return Err(PyMemoryError::new_err(()));
        };
        if slot.get().is_null() {
            match class.call0() {
                Ok(instance) => slot.set(instance.into_ptr().cast()),
                Err(error) => {
                    let message = "user-defined aggregate's '__init__' method raised error";
                    fail(py, context, error, message, class);
                    return Ok(None);
                }
            }
        }
        // SAFETY: the slot holds a reference of ours until `finalize` takes it.
        let instance = unsafe { Bound::from_borrowed_ptr(py, slot.get().cast()) };
        Ok(Some(instance))
    }

    /// Run `step` or `inverse`.
    fn update(
        &self,
        context: &Context,
        arguments: &Arguments<'_>,
        method: impl FnOnce(Python<'_>) -> &Bound<'_, PyString>,
    ) {
        self.0.enter(|py, class| {
            let method = method(py);
            let instance = match Self::instance(context, class) {
                Ok(Some(instance)) => instance,
                Ok(None) => return,
                Err(error) => return fail(py, context, error, "out of memory", class),
            };
            let function = match instance.getattr(method) {
                Ok(function) => function,
                Err(error) => {
                    let message = format!("user-defined aggregate's '{method}' method not defined");
                    return fail(py, context, error, &message, class);
                }
            };
            if let Err(error) = call(py, &function, arguments) {
                let message = format!("user-defined aggregate's '{method}' method raised error");
                fail(py, context, error, &message, class);
            }
        });
    }

    /// Run `finalize` or `value` and hand its result to SQLite.
    fn conclude(
        context: &Context,
        class: &Bound<'_, PyAny>,
        instance: &Bound<'_, PyAny>,
        method: &Bound<'_, PyString>,
    ) {
        let py = class.py();
        let says = |what| format!("user-defined aggregate's '{method}' method{what}");
        let (error, message) = match instance.call_method0(method) {
            Ok(value) => match set_result(context, &value) {
                Ok(()) => return,
                Err(error) if method == "value" => {
                    (error, format!("unable to set result from {}", says("")))
                }
                Err(error) => (error, says(" raised error")),
            },
            Err(error) if error.is_instance_of::<PyAttributeError>(py) => {
                (error, says(" not defined"))
            }
            Err(error) => (error, says(" raised error")),
        };
        fail(py, context, error, &message, class);
    }
}

impl AggregateFunction for Aggregate {
    fn step(&self, context: &Context, arguments: &Arguments<'_>) {
        self.update(context, arguments, |py| intern!(py, "step"));
    }

    fn inverse(&self, context: &Context, arguments: &Arguments<'_>) {
        self.update(context, arguments, |py| intern!(py, "inverse"));
    }

    fn value(&self, context: &Context) {
        self.0.enter(|py, class| {
            let instance = context
                .aggregate_slot(false)
                .map_or(std::ptr::null_mut(), |s| s.get());
            if instance.is_null() {
                return;
            }
            // SAFETY: the slot holds a reference of ours.
            let instance = unsafe { Bound::from_borrowed_ptr(py, instance.cast()) };
            Self::conclude(context, class, &instance, intern!(py, "value"));
        });
    }

    fn finalize(&self, context: &Context) {
        // No row matched, or `__init__` failed: nothing to finish.
        let Some(slot) = context.aggregate_slot(false) else {
            return;
        };
        let instance: *mut c_void = slot.replace(std::ptr::null_mut());
        if instance.is_null() {
            return;
        }
        let entered = self.0.enter(|py, class| {
            // SAFETY: the reference that the first step put into the slot, taken out just now.
            let instance = unsafe { Bound::from_owned_ptr(py, instance.cast()) };
            Self::conclude(context, class, &instance, intern!(py, "finalize"));
        });
        if entered.is_none() {
            log::warn!("an aggregate outlived its class; its instance is leaked");
        }
    }
}
