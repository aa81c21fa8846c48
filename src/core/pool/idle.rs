//! How many connections are idle, of a shelf and of the process.

use crate::core::process::{self, PerProcess};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

static IDLE: PerProcess<AtomicU32> = PerProcess::new(AtomicU32::default);

/// How many connections of the process are idle, in all pools.
pub fn idle_in_process() -> u32 {
    IDLE.load(Ordering::Relaxed)
}

/// How many connections of one shelf are idle.
#[derive(Default)]
pub struct IdleCount(Arc<AtomicU32>);

impl IdleCount {
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Count one more.
    #[inline]
    pub fn mark(&self) -> IdleMark {
        IDLE.fetch_add(1, Ordering::Relaxed);
        self.0.fetch_add(1, Ordering::Relaxed);
        IdleMark {
            shelf: Arc::clone(&self.0),
            process: process::number(),
        }
    }
}

/// Counts a connection as idle as long as it lives.
pub struct IdleMark {
    shelf: Arc<AtomicU32>,
    /// The process whose count it is in: a database in memory is taken along by a child.
    process: u32,
}

impl Drop for IdleMark {
    #[inline]
    fn drop(&mut self) {
        if self.process == process::number() {
            IDLE.fetch_sub(1, Ordering::Relaxed);
        }
        self.shelf.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_from_before_a_fork_is_not_taken_off_the_childs_count() {
        process::watch_forks();
        let count = IdleCount::default();
        let mark = count.mark();
        // SAFETY: the child only counts, and ends without running destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(mark);
            let is_right = idle_in_process() == 0 && count.get() == 0;
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(!is_right)) };
        }
        let mut status = -1;
        // SAFETY: waits for the child that was just made.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(count.get(), 1);
    }
}
