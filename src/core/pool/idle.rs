//! How many connections are idle, of a shelf and of the process.

use crate::core::process::PerProcess;
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
        IdleMark(Arc::clone(&self.0))
    }
}

/// Counts a connection as idle as long as it lives.
pub struct IdleMark(Arc<AtomicU32>);

impl Drop for IdleMark {
    #[inline]
    fn drop(&mut self) {
        IDLE.fetch_sub(1, Ordering::Relaxed);
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
