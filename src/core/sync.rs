//! Locks: the standard library's, without its poison, because nothing that is done under ours leaves it half done.
//!
//! All that a lock of these knows is in itself. So the child of a fork can begin anew by making new ones, whatever its
//! parent's threads were doing: parking_lot, which r2d2 uses, keeps one table of all threads that wait, and a child
//! inherits it in the state of that moment, waiters and held locks included.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{self, PoisonError, TryLockError};
use std::time::Instant;

pub use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

#[derive(Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value if no other thread has it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[derive(Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value if no other thread changes it.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        match self.0.try_read() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wait until somebody notifies or until a time.
    pub fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, until: Instant) -> MutexGuard<'a, T> {
        let time = until.saturating_duration_since(Instant::now());
        let woken = self.0.wait_timeout(guard, time);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A lock without a value and without a guard: another thread than the one that took it may let it go.
#[derive(Default)]
pub struct Latch {
    is_taken: AtomicBool,
    /// How many threads wait, or are about to.
    waiting: AtomicU32,
    sleepers: Mutex<()>,
    change: Condvar,
}

impl Latch {
    pub const fn new() -> Self {
        Self {
            is_taken: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            sleepers: Mutex::new(()),
            change: Condvar::new(),
        }
    }

    #[inline]
    pub fn try_take(&self) -> bool {
        self.is_taken
            .compare_exchange(false, true, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Take it, and wait for that.
    pub fn take(&self) {
        if self.try_take() {
            return;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut sleepers = self.sleepers.lock();
        while !self.try_take() {
            sleepers = self.change.wait(sleepers);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Let it go. Whoever waits sees that it is free, or is seen here and woken when it sleeps.
    #[inline]
    pub fn let_go(&self) {
        self.is_taken.store(false, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        drop(self.sleepers.lock());
        self.change.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;

    struct Counter(UnsafeCell<u64>);
    // SAFETY: the test's threads change it with the latch only.
    unsafe impl Sync for Counter {}

    #[test]
    fn a_latch_excludes_and_wakes_those_who_wait() {
        let (latch, counter) = (Latch::new(), Counter(UnsafeCell::new(0)));
        let (counter, latch) = (&counter, &latch);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for turn in 0..20_000 {
                        latch.take();
                        // SAFETY: with the latch.
                        unsafe { *counter.0.get() += 1 };
                        if turn % 64 == 0 {
                            std::thread::yield_now();
                        }
                        latch.let_go();
                    }
                });
            }
        });
        // SAFETY: the threads are over.
        assert_eq!(unsafe { *counter.0.get() }, 80_000);
        assert!(latch.try_take() && !latch.try_take());
    }
}
