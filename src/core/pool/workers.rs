//! The threads that all pools share. They end before a fork: what a thread that waits leaves behind in the child confuses
//! the locks of threads that are started there.

use super::LOG;
use crate::core::process::PerProcess;
use parking_lot::Mutex;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the names of the threads begin, as far as the system shows them.
const HOUSEKEEPER_NAME: &str = "dbmanager-pool-";
const ADOPTER_NAME: &str = "dbmanager-adopt";

/// One worker for the housekeeping of all pools, which may wait for the disk.
static HOUSEKEEPER: PerProcess<Mutex<Option<Housekeeper>>> = PerProcess::new(Mutex::default);

struct Housekeeper {
    pool: ScheduledThreadPool,
    /// It looks after the pools.
    sweeps: bool,
}

/// One worker for r2d2 in all pools, which is waited for and never waits; r2d2's default is three threads a pool.
static ADOPTER: PerProcess<Mutex<Option<Arc<ScheduledThreadPool>>>> =
    PerProcess::new(Mutex::default);

fn worker(name: &str) -> ScheduledThreadPool {
    ScheduledThreadPool::builder()
        .num_threads(1)
        .thread_name_pattern(name)
        // Else the next sweep is waited for.
        .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled)
        .build()
}

fn with_housekeeper(work: impl FnOnce(&mut Housekeeper)) {
    work(HOUSEKEEPER.lock().get_or_insert_with(|| Housekeeper {
        pool: worker("dbmanager-pool-{}"),
        sweeps: false,
    }));
}

/// Have the housekeeper call a function again and again, the same one each time this is said.
pub fn sweep_every(period: Duration, sweep: fn()) {
    with_housekeeper(|housekeeper| {
        if !std::mem::replace(&mut housekeeper.sweeps, true) {
            housekeeper
                .pool
                .execute_at_fixed_rate(period, period, sweep);
        }
    });
}

/// Log a message by the housekeeper, because the caller may hold locks.
#[cold]
pub fn log_later(message: String) {
    with_housekeeper(|housekeeper| {
        housekeeper
            .pool
            .execute(move || log::debug!(target: LOG, "{message}"));
    });
}

/// The worker for r2d2.
pub fn adopter() -> Arc<ScheduledThreadPool> {
    let mut adopter = ADOPTER.lock();
    Arc::clone(adopter.get_or_insert_with(|| Arc::new(worker("dbmanager-adopt-{}"))))
}

/// Let the threads end, and wait for that a little. They are started again when they are needed. r2d2's worker stays as
/// long as it has a pool.
pub fn stop() {
    drop(HOUSEKEEPER.lock().take());
    let adopter = ADOPTER.lock().take();
    let stays = adopter.is_some_and(|adopter| Arc::into_inner(adopter).is_none());
    let most = usize::from(stays);
    let until = Instant::now() + Duration::from_millis(100);
    while running() > most && Instant::now() < until {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// How many of the threads there are, where the system tells it.
fn running() -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else {
        return 0;
    };
    let is_ours = |folder: &std::fs::DirEntry| {
        std::fs::read_to_string(folder.path().join("comm"))
            .is_ok_and(|name| name.starts_with(HOUSEKEEPER_NAME) || name.starts_with(ADOPTER_NAME))
    };
    threads.flatten().filter(is_ours).count()
}
