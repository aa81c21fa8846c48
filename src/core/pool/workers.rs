//! The threads that all pools share. They end before a fork: what a thread that waits leaves behind in the child confuses
//! the locks of threads that are started there.

use super::LOG;
use crate::core::process::PerProcess;
use crate::core::sync::Mutex;
use crate::core::thread;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// One worker for the housekeeping of all pools, which may wait for the disk.
static HOUSEKEEPER: PerProcess<Mutex<Option<Housekeeper>>> = PerProcess::new(Mutex::default);

struct Housekeeper {
    worker: Worker,
    /// It looks after the pools.
    sweeps: bool,
}

/// One worker for r2d2 in all pools, which is waited for and never waits; r2d2's default is three threads a pool.
static ADOPTER: PerProcess<Mutex<Option<Worker>>> = PerProcess::new(Mutex::default);

/// A pool of one thread.
struct Worker(Arc<ScheduledThreadPool>);

impl Worker {
    fn start(name: &str) -> Self {
        let builder = ScheduledThreadPool::builder()
            .num_threads(1)
            .thread_name_pattern(name)
            // Else the next sweep is waited for.
            .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled);
        let pool = thread::without_signals(|| builder.build());
        Self(Arc::new(pool))
    }

    /// Let the thread end when nobody else uses the pool, and wait for that, but not beyond a time.
    fn end(self, until: Instant) {
        // When the thread has told its number, it has begun, and what it did before no longer uses the pool.
        let number = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&number);
        self.0
            .execute(move || told.store(thread::this(), Ordering::Release));
        let number = || number.load(Ordering::Acquire);
        thread::wait(until, || number() != 0);
        if Arc::into_inner(self.0).is_some() {
            thread::wait(until, || !thread::is_running(number()));
        }
    }
}

fn with_housekeeper(work: impl FnOnce(&mut Housekeeper)) {
    work(HOUSEKEEPER.lock().get_or_insert_with(|| Housekeeper {
        worker: Worker::start("dbmanager-pool-{}"),
        sweeps: false,
    }));
}

/// Have the housekeeper call a function again and again, the same one each time this is said.
pub fn sweep_every(period: Duration, sweep: fn()) {
    with_housekeeper(|housekeeper| {
        if !std::mem::replace(&mut housekeeper.sweeps, true) {
            housekeeper
                .worker
                .0
                .execute_at_fixed_rate(period, period, sweep);
        }
    });
}

/// Log a message by the housekeeper, because the caller may hold locks.
#[cold]
pub fn log_later(message: String) {
    with_housekeeper(|housekeeper| {
        housekeeper
            .worker
            .0
            .execute(move || log::debug!(target: LOG, "{message}"));
    });
}

/// The worker for r2d2.
pub fn adopter() -> Arc<ScheduledThreadPool> {
    let mut adopter = ADOPTER.lock();
    let worker = adopter.get_or_insert_with(|| Worker::start("dbmanager-adopt-{}"));
    Arc::clone(&worker.0)
}

/// Let the threads end, and wait for that a little. They are started again when they are needed. r2d2's worker stays as
/// long as it has a pool.
pub fn stop() {
    let until = Instant::now() + Duration::from_millis(100);
    let housekeeper = HOUSEKEEPER.lock().take();
    if let Some(housekeeper) = housekeeper {
        housekeeper.worker.end(until);
    }
    let adopter = ADOPTER.lock().take();
    if let Some(adopter) = adopter {
        adopter.end(until);
    }
}
