//! What a pool counts, named as psycopg_pool names it.

use std::sync::atomic::{AtomicU64, Ordering};

/// The live counters.
#[derive(Default)]
pub struct Counters {
    pub acquired: AtomicU64,
    pub timeouts: AtomicU64,
    pub opened: AtomicU64,
    pub discarded: AtomicU64,
}

/// The figures of one moment. Counters since the pool was made end in `_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// The most connections the pool keeps.
    pub pool_max: u32,
    /// Connections it has now.
    pub pool_size: u32,
    /// Of these, waiting to be lent.
    pub pool_idle: u32,
    /// Of these, lent.
    pub pool_in_use: u32,
    /// Callers that wait for one.
    pub requests_waiting: u32,
    /// Leases given.
    pub acquired_total: u64,
    /// Callers that waited in vain.
    pub timeouts_total: u64,
    /// Connections opened.
    pub opened_total: u64,
    /// Connections that were not fit to be lent again.
    pub discarded_total: u64,
}

impl Counters {
    pub(super) fn read(
        &self,
        max: u32,
        state: &r2d2::State,
        in_use: u32,
        waiting: u32,
    ) -> Statistics {
        Statistics {
            pool_max: max,
            pool_size: state.connections,
            pool_idle: state.idle_connections,
            pool_in_use: in_use,
            requests_waiting: waiting,
            acquired_total: self.acquired.load(Ordering::Relaxed),
            timeouts_total: self.timeouts.load(Ordering::Relaxed),
            opened_total: self.opened.load(Ordering::Relaxed),
            discarded_total: self.discarded.load(Ordering::Relaxed),
        }
    }
}

impl Statistics {
    /// `(name, value)` in the order of the declaration.
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("pool_max", u64::from(self.pool_max)),
            ("pool_size", u64::from(self.pool_size)),
            ("pool_idle", u64::from(self.pool_idle)),
            ("pool_in_use", u64::from(self.pool_in_use)),
            ("requests_waiting", u64::from(self.requests_waiting)),
            ("acquired_total", self.acquired_total),
            ("timeouts_total", self.timeouts_total),
            ("opened_total", self.opened_total),
            ("discarded_total", self.discarded_total),
        ]
    }
}
