//! Adapters: turning a Python object into one that SQLite can store (PEP 246 as the stdlib does it).

use super::error::programming_error;
use super::state::{State, state};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyString, PyTuple, PyType};
use std::sync::atomic::Ordering;

/// Marks in `State::adapters_seen` that a plain type has an adapter.
const PLAIN_TYPE_ADAPTED: usize = usize::MAX;

/// Whether objects of plain types (int, bool, float, str, bytes, bytearray, None) can be bound as they are.
///
/// The registry is shared with the stdlib, which may register behind our back, so its size is watched.
#[inline]
pub fn plain_types_are_plain(py: Python<'_>, state: &State) -> bool {
    let size = state.adapters.bind(py).len();
    let seen = state.adapters_seen.load(Ordering::Relaxed);
    size == seen || (seen != PLAIN_TYPE_ADAPTED && search_adapters(py, state, size))
}

#[cold]
fn search_adapters(py: Python<'_>, state: &State, size: usize) -> bool {
    let none = py.None().bind(py).get_type();
    let plain = [
        py.get_type::<PyInt>(),
        py.get_type::<PyBool>(),
        py.get_type::<PyFloat>(),
        py.get_type::<PyString>(),
        py.get_type::<PyBytes>(),
        py.get_type::<PyByteArray>(),
        none,
    ];
    let protocol = state.prepare_protocol.bind(py);
    let adapted = plain.iter().any(|class| {
        PyTuple::new(py, [class, protocol])
            .and_then(|key| state.adapters.bind(py).contains(key))
            .unwrap_or(true)
    });
    let seen = if adapted { PLAIN_TYPE_ADAPTED } else { size };
    state.adapters_seen.store(seen, Ordering::Relaxed);
    !adapted
}

/// Register an adapter for a type.
pub fn register(
    py: Python<'_>,
    class: &Bound<'_, PyAny>,
    adapter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let state = state(py);
    let key = PyTuple::new(py, [class, state.prepare_protocol.bind(py).as_any()])?;
    state.adapters.bind(py).set_item(key, adapter)?;
    if state.adapters_seen.load(Ordering::Relaxed) != PLAIN_TYPE_ADAPTED {
        search_adapters(py, state, state.adapters.bind(py).len());
    }
    Ok(())
}

/// Adapt an object to a protocol: by the registry, by the protocol's `__adapt__`, by the object's
/// `__conform__`; else `alternative`, else "can't adapt".
pub fn adapt<'py>(
    object: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
    alternative: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let key = PyTuple::new(py, [object.get_type().as_any(), protocol])?;
    if let Some(adapter) = state(py).adapters.bind(py).get_item(key)? {
        return adapter.call1((object,));
    }
    for (owner, name, argument) in [
        (protocol, intern!(py, "__adapt__"), object),
        (object, intern!(py, "__conform__"), protocol),
    ] {
        if let Some(method) = owner.getattr_opt(name)? {
            match method.call1((argument,)) {
                Ok(adapted) if !adapted.is_none() => return Ok(adapted),
                Ok(_) => {}
                Err(error) if error.is_instance_of::<PyTypeError>(py) => {}
                Err(error) => return Err(error),
            }
        }
    }
    match alternative {
        Some(object) => Ok(object.clone()),
        None => Err(programming_error(py, "can't adapt")),
    }
}

/// Adapt a parameter for binding; what has no adapter goes as it is.
pub fn adapt_parameter<'py>(object: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    let state = state(py);
    let plain = object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyString>()
        || object.is_exact_instance_of::<PyByteArray>();
    if plain && plain_types_are_plain(py, state) {
        return Ok(object);
    }
    let protocol: &Bound<'py, PyType> = state.prepare_protocol.bind(py);
    adapt(&object, protocol.as_any(), Some(&object))
}
