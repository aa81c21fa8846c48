//! Threads as the system counts them: one that has ended for its process may be there a little longer.

use std::path::Path;
use std::time::{Duration, Instant};

/// Look again and again whether something is so, until a time.
pub fn wait(until: Instant, is_so: impl Fn() -> bool) {
    while !is_so() && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// The system's number of this thread.
#[cfg(target_os = "linux")]
pub fn this() -> i32 {
    // SAFETY: no arguments, no failures.
    unsafe { libc::gettid() }
}

/// The system's number of this thread: of no use where the system does not show the threads.
#[cfg(not(target_os = "linux"))]
pub fn this() -> i32 {
    1
}

/// Whether the process has such a thread, as far as the system tells it.
pub fn is_running(thread: i32) -> bool {
    thread != 0 && Path::new(&format!("/proc/self/task/{thread}")).exists()
}
