//! A connection that is lent; dropping the lease gives it back, clean.

use super::gate::Place;
use super::manager::ConnectionManager;
use crate::core::raw::Database;
use crate::core::sqlite::Connection;

/// See the head of this file.
pub struct Lease {
    // Dropped in this order: whoever waits for the place finds the connection back in the pool.
    connection: r2d2::PooledConnection<ConnectionManager>,
    _place: Place,
}

impl Lease {
    pub(super) fn new(connection: r2d2::PooledConnection<ConnectionManager>, place: Place) -> Self {
        Self {
            connection,
            _place: place,
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

/// Undo what can be undone cheaply; close what was changed for good, with all that is still open on it, so
/// that no cursor or BLOB of the session keeps the file open or locked.
fn reset(database: &Database) {
    let guard = database.lock();
    if !database.is_open() {
        return;
    }
    if !guard.can_close() {
        // Something still runs on it.
        database.taint();
        return;
    }
    if !database.is_tainted() && !guard.has_blobs() {
        guard.reset_busy_statements();
        if guard.is_autocommit() || guard.execute_batch(c"ROLLBACK").is_ok() {
            return;
        }
    }
    guard.close();
}

impl Drop for Lease {
    fn drop(&mut self) {
        reset(self.connection.database());
    }
}
