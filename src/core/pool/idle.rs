//! How many connections of the process are idle.

use crate::core::process::PerProcess;
use std::sync::atomic::{AtomicU32, Ordering};

static IDLE: PerProcess<AtomicU32> = PerProcess::new(AtomicU32::default);

/// How many connections of the process are idle, in all pools.
pub fn idle_in_process() -> u32 {
    IDLE.load(Ordering::Relaxed)
}

/// Counts a connection as idle as long as it lives.
pub struct IdleMark(());

impl IdleMark {
    #[inline]
    pub fn new() -> Self {
        IDLE.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for IdleMark {
    #[inline]
    fn drop(&mut self) {
        IDLE.fetch_sub(1, Ordering::Relaxed);
    }
}
