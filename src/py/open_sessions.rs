//! The sessions that are open, by manager and thread: ours, and those of bypassed modules.

use super::guarded::Guarded;
use super::session::Session;
use crate::core::session::Manager;
use crate::core::thread;
use pyo3::ffi;
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// They are borrowed: each takes itself out at its end.
static OPEN: Guarded<Vec<OpenSession>> = Guarded::new(Vec::new());

/// The number of the next session.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

struct OpenSession {
    number: u64,
    manager: *const Manager,
    /// Not the system's number, which the next thread may get.
    thread: usize,
    session: *mut ffi::PyObject,
    /// It is a bypassed module's, of this process.
    plain: Option<u32>,
}

// SAFETY: the pointers are used under the interpreter lock only.
unsafe impl Send for OpenSession {}

impl OpenSession {
    fn is_open(&self, py: Python<'_>) -> bool {
        match self.plain {
            Some(process) => process == std::process::id(),
            // SAFETY: what is in the list is alive, and ours if it is not plain.
            None => unsafe {
                Bound::from_borrowed_ptr(py, self.session)
                    .cast_unchecked::<Session>()
                    .as_super()
                    .get()
                    .is_open(py)
            },
        }
    }
}

/// Note that this thread opened a session. Gives the number by which it is forgotten, which it must be before it dies.
pub fn note(
    py: Python<'_>,
    manager: &Arc<Manager>,
    session: &Bound<'_, PyAny>,
    plain: bool,
) -> u64 {
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: pushing runs no Python code.
    unsafe { OPEN.peek_mut(py) }.push(OpenSession {
        number,
        manager: Arc::as_ptr(manager),
        thread: thread::number(),
        session: session.as_ptr(),
        plain: plain.then(std::process::id),
    });
    number
}

/// Take a session out of the list of those that are open.
pub fn forget(py: Python<'_>, number: u64) {
    // SAFETY: removing from the list runs no Python code.
    unsafe { OPEN.peek_mut(py) }.retain(|open| open.number != number);
}

/// The session of this thread that was opened last and is open still.
pub fn current<'py>(py: Python<'py>, manager: &Arc<Manager>) -> Option<Bound<'py, PyAny>> {
    let thread = thread::number();
    // SAFETY: looking and taking a reference run no Python code; what is in the list is alive.
    unsafe {
        OPEN.peek(py)
            .iter()
            .rev()
            .filter(|open| open.manager == Arc::as_ptr(manager) && open.thread == thread)
            .find(|open| open.is_open(py))
            .map(|open| Bound::from_borrowed_ptr(py, open.session))
    }
}

/// The sessions of bypassed modules that a thread has open.
pub fn plain_ones_of<'py>(py: Python<'py>, thread: usize) -> Vec<Bound<'py, PyAny>> {
    // SAFETY: as above.
    unsafe {
        OPEN.peek(py)
            .iter()
            .filter(|open| open.thread == thread && open.plain == Some(std::process::id()))
            .map(|open| Bound::from_borrowed_ptr(py, open.session))
            .collect()
    }
}
