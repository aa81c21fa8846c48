//! The lock of a connection: re-entrant, because callbacks run SQL on their own connection, and with a reservation
//! that lets the one thread that may use a connection lock it without an atomic operation.

use crate::core::sync::Latch;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// See the head of this file.
pub(super) struct ReentrantLock {
    latch: Latch,
    /// The thread that has the latch; 0 if none.
    owner: AtomicUsize,
    /// How often the owner has locked it. Only the owner changes it.
    depth: AtomicU32,
    /// The depth at which the lock is idle: 1 while a thread has it reserved, else 0.
    idle_depth: AtomicU32,
}

/// A number that no other living thread has; never 0. (The address of a thread-local would do, but costs a
/// call of the dynamic linker's in a shared library.)
#[inline]
pub fn this_thread() -> usize {
    #[cfg(unix)]
    // SAFETY: no arguments, cannot fail.
    return unsafe { libc::pthread_self() } as usize;
    #[cfg(not(unix))]
    crate::core::thread::number()
}

impl ReentrantLock {
    pub(super) fn new() -> Self {
        Self {
            latch: Latch::new(),
            owner: AtomicUsize::new(0),
            depth: AtomicU32::new(0),
            idle_depth: AtomicU32::new(0),
        }
    }

    /// The lock of all connections that share a cache.
    pub(super) fn of_shared_caches() -> Arc<Self> {
        static LOCK: OnceLock<Arc<ReentrantLock>> = OnceLock::new();
        Arc::clone(LOCK.get_or_init(|| Arc::new(Self::new())))
    }

    /// Take the lock unless another thread has it.
    #[inline]
    pub(super) fn try_enter(&self) -> bool {
        let me = this_thread();
        if self.owner.load(Ordering::Relaxed) == me {
            self.set_depth(self.depth() + 1);
            return true;
        }
        self.try_enter_first(me)
    }

    fn try_enter_first(&self, me: usize) -> bool {
        if !self.latch.try_take() {
            return false;
        }
        self.owner.store(me, Ordering::Relaxed);
        self.set_depth(1);
        true
    }

    /// Take the lock, waiting for the thread that has it.
    pub(super) fn enter(&self) {
        if !self.try_enter() {
            self.latch.take();
            self.owner.store(this_thread(), Ordering::Relaxed);
            self.set_depth(1);
        }
    }

    /// Let go of the lock once.
    ///
    /// # Safety
    /// This thread has it.
    #[inline]
    pub(super) unsafe fn leave(&self) {
        let depth = self.depth();
        if depth != 1 {
            self.set_depth(depth - 1);
            return;
        }
        self.free();
    }

    fn free(&self) {
        self.set_depth(0);
        self.owner.store(0, Ordering::Relaxed);
        self.latch.let_go();
    }

    /// How often this thread, which has the lock, took it, without the reservation.
    #[inline]
    pub(super) fn times_entered(&self) -> u32 {
        self.depth() - self.idle_depth.load(Ordering::Relaxed)
    }

    /// Keep the lock for this thread, which has it.
    pub(super) fn reserve(&self) {
        self.idle_depth.store(1, Ordering::Relaxed);
        self.set_depth(self.depth() + 1);
    }

    /// Whether a thread has the lock reserved.
    #[inline]
    pub(super) fn is_reserved(&self) -> bool {
        self.idle_depth.load(Ordering::Relaxed) != 0
    }

    /// End a reservation, of any thread, unless the lock is in use. Tells whether it is not reserved
    /// afterwards.
    ///
    /// # Safety
    /// As long as the lock is reserved, it is taken, let go and unreserved only under one and the same outer
    /// lock.
    pub(super) unsafe fn unreserve_if_idle(&self) -> bool {
        if !self.is_reserved() {
            return true;
        }
        if self.depth() != 1 {
            return false;
        }
        self.idle_depth.store(0, Ordering::Relaxed);
        // The latch is taken (by the reservation) and nobody is using it, as the depth shows.
        self.free();
        true
    }

    /// Whether another thread is using the lock, not only keeping it.
    pub(super) fn is_used_by_another(&self) -> bool {
        let owner = self.owner.load(Ordering::Relaxed);
        let is_free = self.latch.try_take();
        if is_free {
            self.latch.let_go();
            return false;
        }
        owner != this_thread() && self.times_entered() > 0
    }

    /// Have it free, whoever had it.
    ///
    /// # Safety
    /// The process has no other thread, and this one does not have the lock.
    pub(super) unsafe fn make_anew(this: *const Self) {
        // SAFETY: nobody else knows it, as the caller promises; what is in it needs no destructor.
        unsafe { this.cast_mut().write(Self::new()) };
    }

    #[inline]
    fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    #[inline]
    fn set_depth(&self, depth: u32) {
        self.depth.store(depth, Ordering::Relaxed);
    }
}
