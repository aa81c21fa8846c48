//! Interior mutability under the interpreter lock.
//!
//! Frozen classes keep their state in `Guarded` cells. A cell hands out copies, never references that
//! could live while Python code runs (and changes the cell); the one exception, `peek`, is unsafe.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use std::cell::UnsafeCell;

/// A value that may be read and replaced by whoever holds the interpreter lock.
pub struct Guarded<T>(UnsafeCell<T>);

// SAFETY: every access needs a `Python` token, that is, the interpreter lock, which one thread holds at a
// time (the module does not declare itself safe without it); no reference outlives a method.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T: Default> Default for Guarded<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Guarded<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Put a value in, give the old one out (dropping it may run Python code, so the caller does).
    #[inline]
    pub fn replace(&self, _py: Python<'_>, value: T) -> T {
        // SAFETY: exclusive by the interpreter lock; nothing runs in between.
        unsafe { std::mem::replace(&mut *self.0.get(), value) }
    }

    #[inline]
    pub fn take(&self, py: Python<'_>) -> T
    where
        T: Default,
    {
        self.replace(py, T::default())
    }

    #[inline]
    pub fn get(&self, _py: Python<'_>) -> T
    where
        T: Copy,
    {
        // SAFETY: exclusive by the interpreter lock.
        unsafe { *self.0.get() }
    }

    #[inline]
    pub fn set(&self, _py: Python<'_>, value: T)
    where
        T: Copy,
    {
        // SAFETY: exclusive by the interpreter lock; a `Copy` type has no destructor.
        unsafe { *self.0.get() = value }
    }

    /// The value, by exclusive ownership (in a destructor).
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    /// Look at the value in place.
    ///
    /// # Safety
    /// While the reference lives no Python code runs and the interpreter is not given up.
    #[inline]
    pub unsafe fn peek<'a>(&'a self, _py: Python<'a>) -> &'a T {
        // SAFETY: as the caller promises.
        unsafe { &*self.0.get() }
    }

    /// Look at and change the value in place.
    ///
    /// # Safety
    /// As for `peek`, and no other reference into this cell is alive.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn peek_mut<'a>(&'a self, _py: Python<'a>) -> &'a mut T {
        // SAFETY: as the caller promises.
        unsafe { &mut *self.0.get() }
    }
}

impl<T> Guarded<Option<Py<T>>> {
    /// A new reference to the object within.
    #[inline]
    pub fn clone_ref(&self, py: Python<'_>) -> Option<Py<T>> {
        // SAFETY: exclusive by the interpreter lock; taking a reference runs no Python code.
        unsafe { (*self.0.get()).as_ref().map(|object| object.clone_ref(py)) }
    }

    /// Put an object in and let the old one go. A bound reference is dropped at once, where a `Py` first asks a
    /// thread-local variable whether it may.
    #[inline]
    pub fn renew(&self, py: Python<'_>, value: Option<Py<T>>) {
        drop(self.replace(py, value).map(|old| old.into_bound(py)));
    }

    /// For `__traverse__`, which runs with the interpreter lock held but without a token.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // SAFETY: the collector holds the interpreter lock and runs no Python code while it visits.
        unsafe { visit.call(&*self.0.get()) }
    }
}
