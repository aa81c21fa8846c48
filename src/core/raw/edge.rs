//! The edge between C and Rust: nothing may unwind over it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Run the body of a function that C calls. None if it panicked.
#[inline]
pub fn contain<R>(body: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(body)).ok()
}

/// Have threads stop for good, instead of ending the process, that are ended while code of ours is on their stack.
///
/// CPython before 3.14 ends daemon threads with `pthread_exit` when the interpreter is going down, wherever they wait
/// for it. glibc does that by unwinding the stack, and Rust answers unwinding that is no panic of its own with an abort
/// of the process: at calls of C functions, at `catch_unwind`, or in a destructor that needs the interpreter lock. So
/// the thread stops at the first frame of ours that would clean up, as Python 3.14 stops it; the process is about to
/// exit.
#[cfg(all(target_os = "linux", target_env = "gnu", panic = "unwind"))]
pub fn stop_threads_that_are_ended() {
    forced::install();
}

/// Other C libraries end threads without unwinding.
#[cfg(not(all(target_os = "linux", target_env = "gnu", panic = "unwind")))]
pub fn stop_threads_that_are_ended() {}

/// Every frame that cleans up names a *personality routine*, which the unwinder asks what is to be done in it. Position
/// independent code names it by a variable, and the linker keeps one such variable for the whole library.
#[cfg(all(target_os = "linux", target_env = "gnu", panic = "unwind"))]
mod forced {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicPtr, Ordering};
    use std::time::Duration;

    /// `_Unwind_Personality_Fn` of the Itanium C++ ABI, which Rust uses on Linux.
    type Personality = unsafe extern "C" fn(c_int, c_int, u64, *mut c_void, *mut c_void) -> c_int;

    /// `_UA_FORCE_UNWIND`: the stack is unwound by `pthread_exit` or a cancellation, not by a panic.
    const FORCED: c_int = 8;

    unsafe extern "C" {
        #[link_name = "DW.ref.rust_eh_personality"]
        static VARIABLE: AtomicPtr<c_void>;
    }

    /// Rust's own.
    static RUSTS: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

    pub fn install() {
        let ours: Personality = personality;
        let ours = ours as *mut c_void;
        // SAFETY: the compiler makes the variable, of a pointer's size, in writable data; unwinders only read it.
        let variable = unsafe { &VARIABLE };
        let rusts = variable.load(Ordering::Acquire);
        if rusts != ours {
            RUSTS.store(rusts, Ordering::Release);
            variable.store(ours, Ordering::Release);
        }
    }

    unsafe extern "C" fn personality(
        version: c_int,
        actions: c_int,
        class: u64,
        exception: *mut c_void,
        context: *mut c_void,
    ) -> c_int {
        if actions & FORCED != 0 {
            loop {
                std::thread::sleep(Duration::from_secs(3600));
            }
        }
        // SAFETY: it was the variable's content, a routine of this type; the arguments are handed on.
        unsafe {
            let rusts: Personality = std::mem::transmute(RUSTS.load(Ordering::Acquire));
            rusts(version, actions, class, exception, context)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{contain, stop_threads_that_are_ended};

    fn panics_are_contained() {
        assert_eq!(contain(|| 1), Some(1));
        let silent = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        assert_eq!(contain(|| -> i32 { panic!("in a callback") }), None);
        std::panic::set_hook(silent);
    }

    #[test]
    fn a_panic_is_contained() {
        panics_are_contained();
        stop_threads_that_are_ended();
        panics_are_contained();
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn a_thread_that_is_ended_runs_no_destructor_and_the_process_goes_on() {
        use std::sync::mpsc;
        use std::time::Duration;

        struct Told(mpsc::Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }

        stop_threads_that_are_ended();
        let (sender, receiver) = mpsc::channel();
        let (begun, wait) = mpsc::channel();
        std::thread::spawn(move || {
            let _told = Told(sender);
            let _ = begun.send(());
            // SAFETY: it ends this thread, which nothing else needs.
            unsafe { pthread_exit(std::ptr::null_mut()) }
        });
        assert_eq!(wait.recv(), Ok(()));
        // Long enough for an abort to be seen, and for a destructor to tell.
        let told = receiver.recv_timeout(Duration::from_millis(200));
        assert_eq!(told, Err(mpsc::RecvTimeoutError::Timeout));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe extern "C-unwind" {
        fn pthread_exit(value: *mut std::ffi::c_void) -> !;
    }
}
