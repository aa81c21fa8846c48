//! Work that knows nothing of Python and may take long: Ctrl-C ends the wait for it.
//!
//! Signals are heeded by the interpreter's main thread only, so another thread works while this one looks for them. Who
//! is interrupted does not wait for the work: it may hang in the system, on a network's file system for one. It goes on
//! until its end or the process's, which a command that was interrupted reaches at once; nobody hears of its result.

use pyo3::prelude::*;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// So often signals are looked for: nobody feels it, and it costs nothing.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The room for what goes through files one by one; the threads that parse have their own.
const STACK_BYTES: usize = 64 << 20;

/// Do some work, the interpreter given up.
///
/// # Errors
///
/// What a signal's handler raised, `KeyboardInterrupt` for one; or the system has no room for a thread.
pub fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, mut receiver) = mpsc::channel();
    // Nobody listens any more, if it was interrupted.
    let working = Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let _ = sender.send(work());
    })?;
    loop {
        let receiver = &mut receiver;
        match py.detach(move || receiver.recv_timeout(LOOK_EVERY)) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => panic_on(working),
        }
    }
}

/// Go on with the panic by which a thread ended.
fn panic_on(ended: JoinHandle<()>) -> ! {
    match ended.join() {
        Err(panic) => std::panic::resume_unwind(panic),
        Ok(()) => unreachable!("a thread that did not panic has sent its result"),
    }
}
