//! A Python callable that SQLite calls, visible to the garbage collector through its connection.

use super::guarded::Guarded;
use super::interpreter;
use super::state::state;
use crate::core::raw::Database;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::sync::atomic::Ordering;

/// The callable and the database that calls it.
pub struct Hook {
    callable: Guarded<Option<Py<PyAny>>>,
    database: *const Database,
}

// SAFETY: the pointer is only followed from callbacks of the very database, which is alive then.
unsafe impl Send for Hook {}
// SAFETY: see above; the callable is guarded by the interpreter lock.
unsafe impl Sync for Hook {}

impl Hook {
    pub fn new(callable: Bound<'_, PyAny>, database: &Database) -> Self {
        Self {
            callable: Guarded::new(Some(callable.unbind())),
            database: std::ptr::from_ref(database),
        }
    }

    /// Run Python code for a callback, with the callable. None after the collector has cleared it.
    #[inline]
    pub fn enter<R>(&self, body: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> R) -> Option<R> {
        // SAFETY: called from a callback of this database only, so it is alive.
        let database = unsafe { &*self.database };
        interpreter::callback(database, |py| {
            let callable = self.callable.clone_ref(py)?.into_bound(py);
            Some(body(py, &callable))
        })
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.callable.traverse(visit)
    }

    pub fn clear(&self, py: Python<'_>) {
        drop(self.callable.take(py));
    }
}

/// Report an exception that can't be raised, if the user asked for it; else drop it, as the stdlib does.
#[cold]
pub fn report(py: Python<'_>, error: PyErr, callable: &Bound<'_, PyAny>) {
    if state(py).callback_tracebacks.load(Ordering::Relaxed) {
        error.write_unraisable(py, Some(callable));
    }
}

/// An exception of a collation, which has no way to fail within SQLite: raised when the step is over.
#[derive(Default)]
pub struct PendingError(Guarded<Option<(PyErr, Py<PyAny>)>>);

// SAFETY: the content is only touched with the interpreter lock held.
unsafe impl Sync for PendingError {}

impl PendingError {
    pub fn set(&self, py: Python<'_>, error: PyErr, callable: &Bound<'_, PyAny>) {
        drop(self.0.replace(py, Some((error, callable.clone().unbind()))));
    }

    #[inline]
    pub fn is_set(&self, py: Python<'_>) -> bool {
        // SAFETY: a look at the discriminant runs no Python code.
        unsafe { self.0.peek(py) }.is_some()
    }

    /// Raise it.
    #[inline]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        if !self.is_set(py) {
            return Ok(());
        }
        match self.0.take(py) {
            Some((error, _)) => Err(error),
            None => Ok(()),
        }
    }

    /// Report it instead, when SQLite's own error is raised.
    pub fn discard(&self, py: Python<'_>) {
        if let Some((error, callable)) = self.0.take(py) {
            report(py, error, callable.bind(py));
        }
    }
}
