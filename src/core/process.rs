//! What belongs to one process. The child of a `fork()` has its parent's memory and none of its threads and locks, so it
//! begins anew and leaves what it got untouched.

use super::thread;
use crate::core::sync::Mutex;
use std::cell::UnsafeCell;
use std::ops::Deref;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// How many forks lead to this process, as far as they came after `watch_forks`.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A thread is about to fork.
static FORKING: AtomicBool = AtomicBool::new(false);

/// This process's number, which differs from its parent's.
#[inline]
pub fn number() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Have children of this process get numbers of their own, and tell whether they do. Idempotent.
pub fn watch_forks() -> bool {
    static ARE_WATCHED: OnceLock<bool> = OnceLock::new();
    *ARE_WATCHED.get_or_init(|| {
        // SAFETY: the function does no more than what may be done in the child of a process with threads.
        let code = unsafe { libc::pthread_atfork(None, None, Some(on_child)) };
        if code != 0 {
            log::warn!(
                "forks will not be noticed: {}",
                std::io::Error::from_raw_os_error(code)
            );
        }
        code == 0
    })
}

/// The thread that forked this process, by its number; 0 in one that began otherwise.
static FORKER: AtomicUsize = AtomicUsize::new(0);

/// The one thread that a child has at first.
pub fn forker() -> usize {
    FORKER.load(Ordering::Relaxed)
}

unsafe extern "C" fn on_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    FORKER.store(thread::number(), Ordering::Relaxed);
    FORKING.store(false, Ordering::Relaxed);
}

/// Say that a fork begins or, in the parent, is over.
pub fn set_forking(forking: bool) {
    FORKING.store(forking, Ordering::SeqCst);
}

/// Whether a fork is about to happen: what is open now is open in the child, too.
#[inline]
pub fn is_forking() -> bool {
    FORKING.load(Ordering::SeqCst)
}

/// What a thread that forks has in hand from before the fork until after it, in both processes: locks above all.
pub struct InHand<T>(UnsafeCell<Option<T>>);

// SAFETY: it is touched by its functions only, whose callers have the locks in it.
unsafe impl<T> Sync for InHand<T> {}

impl<T> InHand<T> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// Keep something until `take`.
    ///
    /// # Safety
    /// In it are locks without which no thread calls this.
    pub unsafe fn keep(&self, value: T) {
        // SAFETY: with the locks, nobody else is here.
        unsafe { *self.0.get() = Some(value) };
    }

    /// What is kept.
    ///
    /// # Safety
    /// This thread called `keep`, be it in the parent.
    pub unsafe fn take(&self) -> Option<T> {
        // SAFETY: with the locks that are in it.
        unsafe { (*self.0.get()).take() }
    }
}

impl<T> Default for InHand<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A static value that each process makes for itself. The parent's is leaked in the child: its locks may be held by
/// threads that are not there.
pub struct PerProcess<T: 'static> {
    made: AtomicPtr<Made<T>>,
    make: fn() -> T,
}

struct Made<T> {
    process: u32,
    value: T,
}

impl<T> PerProcess<T> {
    /// A value that is made by a function when it is first used.
    pub const fn new(make: fn() -> T) -> Self {
        Self {
            made: AtomicPtr::new(ptr::null_mut()),
            make,
        }
    }

    /// This process's value.
    #[inline]
    pub fn get(&self) -> &'static T {
        let made = self.made.load(Ordering::Acquire);
        // SAFETY: null, or a value that is never freed.
        match unsafe { made.as_ref() } {
            Some(known) if known.process == number() => &known.value,
            _ => self.make_anew(made),
        }
    }

    #[cold]
    fn make_anew(&self, old: *mut Made<T>) -> &'static T {
        let process = number();
        let value = (self.make)();
        let new = Box::into_raw(Box::new(Made { process, value }));
        let outcome = self
            .made
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire);
        match outcome {
            // SAFETY: it is never freed.
            Ok(_) => unsafe { &(*new).value },
            Err(quicker) => {
                // SAFETY: nobody else knows the one that was just made; the other thread's is never freed.
                unsafe {
                    drop(Box::from_raw(new));
                    &(*quicker).value
                }
            }
        }
    }
}

impl<T> Deref for PerProcess<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.get()
    }
}

/// What each process knows of an object for itself. The parent's is leaked in the child, as with `PerProcess`.
pub struct Own<T> {
    made: AtomicPtr<Made<T>>,
}

impl<T> Own<T> {
    pub fn new(value: T) -> Self {
        let process = number();
        Self {
            made: AtomicPtr::new(Box::into_raw(Box::new(Made { process, value }))),
        }
    }

    /// This process's value: in a child made of its parent's, of which only parts that are not locked are to be used.
    #[inline]
    pub fn get(&self, inherit: impl FnOnce(&T) -> T) -> &T {
        // SAFETY: never null; freed in `drop` or never.
        let made = unsafe { &*self.made.load(Ordering::Acquire) };
        match made.process == number() {
            true => &made.value,
            false => self.make_anew(inherit),
        }
    }

    #[cold]
    fn make_anew(&self, inherit: impl FnOnce(&T) -> T) -> &T {
        static MAKING: PerProcess<Mutex<()>> = PerProcess::new(Mutex::default);
        let _making = MAKING.lock();
        // SAFETY: as in `get`.
        let made = unsafe { &*self.made.load(Ordering::Acquire) };
        if made.process == number() {
            return &made.value;
        }
        let new = Box::into_raw(Box::new(Made {
            process: number(),
            value: inherit(&made.value),
        }));
        self.made.store(new, Ordering::Release);
        // SAFETY: as in `get`.
        unsafe { &(*new).value }
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        let made = *self.made.get_mut();
        // SAFETY: nobody has a reference any more. The parent's is left alone.
        unsafe {
            if (*made).process == number() {
                drop(Box::from_raw(made));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static VALUE: PerProcess<Mutex<Vec<u32>>> = PerProcess::new(Mutex::default);

    #[test]
    fn a_child_has_values_of_its_own_and_the_parent_keeps_its() {
        watch_forks();
        VALUE.lock().push(1);
        // Held by a thread that the child has not.
        let held = VALUE.lock();
        // SAFETY: the child does no more than look at the value, and ends without running destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_own = VALUE.try_lock().is_some_and(|value| value.is_empty());
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!is_own)) };
        }
        drop(held);
        let mut status = -1;
        // SAFETY: waits for the child that was just made.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(*VALUE.lock(), [1]);
    }
}
