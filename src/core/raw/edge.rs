//! The edge between C and Rust: nothing may unwind over it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Ends a thread's run without unwinding when something other than a panic unwinds through it.
///
/// CPython before 3.14 ends daemon threads with `pthread_exit` when the interpreter is going down, wherever
/// they wait for it. That unwinds through our frames, which Rust answers with an abort of the process. The
/// thread is stopped for good instead, as Python 3.14 does it; the process is about to exit.
pub struct StopForeignUnwind(());

impl StopForeignUnwind {
    /// Run a function that may call Python.
    #[inline]
    pub fn guard<R>(body: impl FnOnce() -> R) -> R {
        let guard = Self(());
        let result = body();
        std::mem::forget(guard);
        result
    }
}

impl Drop for StopForeignUnwind {
    fn drop(&mut self) {
        while !std::thread::panicking() {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
}

/// Run the body of a function that C calls. None if it panicked.
#[inline]
pub fn contain<R>(body: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(|| StopForeignUnwind::guard(body))).ok()
}

#[cfg(test)]
mod tests {
    use super::contain;

    #[test]
    fn a_panic_is_contained() {
        assert_eq!(contain(|| 1), Some(1));
        let silent = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        assert_eq!(contain(|| -> i32 { panic!("in a callback") }), None);
        std::panic::set_hook(silent);
    }
}
