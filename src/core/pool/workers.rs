//! The threads that all pools share.

use super::LOG;
use crate::core::process::PerProcess;
use scheduled_thread_pool::ScheduledThreadPool;
use std::sync::Arc;

/// One worker for the housekeeping of all pools, which may wait for the disk.
pub fn housekeeper() -> &'static Arc<ScheduledThreadPool> {
    static HOUSEKEEPER: PerProcess<Arc<ScheduledThreadPool>> =
        PerProcess::new(|| worker("dbmanager-pool-{}"));
    HOUSEKEEPER.get()
}

/// One worker for r2d2 in all pools, which is waited for and never waits; r2d2's default is three threads a pool.
pub fn adopter() -> &'static Arc<ScheduledThreadPool> {
    static ADOPTER: PerProcess<Arc<ScheduledThreadPool>> =
        PerProcess::new(|| worker("dbmanager-adopt-{}"));
    ADOPTER.get()
}

fn worker(name: &str) -> Arc<ScheduledThreadPool> {
    let builder = ScheduledThreadPool::builder()
        .num_threads(1)
        .thread_name_pattern(name);
    Arc::new(builder.build())
}

/// Log a message by the housekeeper, because the caller may hold locks.
#[cold]
pub fn log_later(message: String) {
    housekeeper().execute(move || log::debug!(target: LOG, "{message}"));
}
