//! What a pool counts, named as psycopg_pool names it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Why a connection was closed instead of kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its user changed something on it that can't be undone.
    Altered,
    /// It could not be rolled back or set back.
    Broken,
    /// Older than `pool_recycle`.
    Recycled,
    /// Longer without use than `pool_idle_timeout`.
    Idle,
    /// Its file was moved, replaced or overwritten.
    Stale,
    /// A statement wanted the file alone.
    Aside,
    /// There are enough without it: `pool_size`, or the process's bound.
    Surplus,
    /// The pool was closed or drained.
    Closed,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::Altered,
        Self::Broken,
        Self::Recycled,
        Self::Idle,
        Self::Stale,
        Self::Aside,
        Self::Surplus,
        Self::Closed,
    ];

    /// For people and for names of figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Altered => "altered",
            Self::Broken => "broken",
            Self::Recycled => "recycled",
            Self::Idle => "idle",
            Self::Stale => "stale",
            Self::Aside => "aside",
            Self::Surplus => "surplus",
            Self::Closed => "closed",
        }
    }
}

/// The live counters.
#[derive(Default)]
pub struct Counters {
    pub acquired: AtomicU64,
    pub waited: AtomicU64,
    wait_us: AtomicU64,
    use_us: AtomicU64,
    pub timeouts: AtomicU64,
    writers_waited: AtomicU64,
    writers_wait_us: AtomicU64,
    pub writers_timeouts: AtomicU64,
    pub opened: AtomicU64,
    pub overflow: AtomicU64,
    pub reset: AtomicU64,
    discarded: [AtomicU64; Reason::ALL.len()],
}

impl Counters {
    pub fn discard(&self, reason: Reason) {
        self.discarded[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn waited_for(&self, time: Duration) {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.wait_us
            .fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn writer_waited_for(&self, time: Duration) {
        self.writers_waited.fetch_add(1, Ordering::Relaxed);
        self.writers_wait_us
            .fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    pub fn used_for(&self, time: Duration) {
        self.use_us
            .fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}

/// What there is at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Connections that are kept at most.
    pub max: u32,
    /// Connections that there are.
    pub size: u32,
    /// Of these, waiting to be lent.
    pub idle: u32,
    /// Sessions that wait for a connection.
    pub waiting: u32,
    /// Sessions that wait for their turn to write.
    pub writers_waiting: u32,
    /// Descriptors of the process that could not be closed yet.
    pub parked: u32,
}

/// The figures of one moment by name. Counters since the pool was made end in `_total`, times in their unit.
pub type Statistics = Vec<(String, u64)>;

impl Counters {
    pub(super) fn read(&self, load: Load) -> Statistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let discarded: Vec<u64> = self.discarded.iter().map(get).collect();
        let mut figures = vec![
            ("pool_max", u64::from(load.max)),
            ("pool_size", u64::from(load.size)),
            ("pool_idle", u64::from(load.idle)),
            ("pool_in_use", u64::from(load.size - load.idle)),
            ("requests_waiting", u64::from(load.waiting)),
            ("writers_waiting", u64::from(load.writers_waiting)),
            ("descriptors_parked", u64::from(load.parked)),
            ("acquired_total", get(&self.acquired)),
            ("waited_total", get(&self.waited)),
            ("wait_ms", get(&self.wait_us) / 1000),
            ("use_ms", get(&self.use_us) / 1000),
            ("timeouts_total", get(&self.timeouts)),
            ("writers_waited_total", get(&self.writers_waited)),
            ("writers_wait_ms", get(&self.writers_wait_us) / 1000),
            ("writers_timeouts_total", get(&self.writers_timeouts)),
            ("opened_total", get(&self.opened)),
            ("overflow_total", get(&self.overflow)),
            ("reset_total", get(&self.reset)),
            ("discarded_total", discarded.iter().sum()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Statistics>();
        for (reason, count) in Reason::ALL.iter().zip(discarded) {
            figures.push((format!("discarded_{}_total", reason.name()), count));
        }
        figures
    }
}
