//! A connection that is lent; dropping the lease gives it back, clean.

use super::manager::ConnectionManager;
use super::statistics::Counters;
use crate::core::raw::Database;
use crate::core::sqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// See the head of this file.
pub struct Lease {
    connection: r2d2::PooledConnection<ConnectionManager>,
    counters: Arc<Counters>,
}

impl Lease {
    pub(super) fn new(
        connection: r2d2::PooledConnection<ConnectionManager>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            connection,
            counters,
        }
    }

    /// What was lent.
    #[inline]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What was lent, for its statement cache.
    #[inline]
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Undo what can be undone cheaply; whatever else was changed has tainted the connection already.
fn reset(database: &Database) {
    let guard = database.lock();
    if !database.is_open() {
        return;
    }
    if !guard.can_close() || guard.has_blobs() {
        // Something still runs on it or reads from it.
        database.taint();
        return;
    }
    guard.reset_busy_statements();
    if !guard.is_autocommit() && guard.execute_batch(c"ROLLBACK").is_err() {
        database.taint();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        reset(self.connection.database());
        self.counters.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}
