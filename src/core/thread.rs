//! Threads as the system sees them: signals come to any that does not block them, and one that has ended for its process
//! may be there a little longer.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Start threads that no signal comes to: a program that has blocked one in all of its threads waits for it elsewhere, and
/// one of ours would let it end the process.
pub fn without_signals<R>(start: impl FnOnce() -> R) -> R {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the sets are written before they are read, and the calls can't fail with these arguments.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: `before` was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    started
}

/// Look again and again whether something is so, until a time.
pub fn wait(until: Instant, is_so: impl Fn() -> bool) {
    while !is_so() && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// A number of this thread that no other one of the process has or will have, unlike the system's; never 0.
#[inline]
pub fn number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(0) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// Whether it is the thread that the process began with, or may be: Python runs the handlers of signals there.
pub fn is_first() -> bool {
    !cfg!(target_os = "linux") || i64::from(this()) == i64::from(std::process::id())
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
