//! BEGIN IMMEDIATE of a session. Other processes are waited for between attempts and not within SQLite, so that a signal
//! (Ctrl-C) can end the wait: its handler may run Python code, which may use the connection.

use super::connection::Connection;
use super::error::core_exception;
use crate::core::error::Error;
use crate::core::pool::Pool;
use crate::core::raw::LockGuard;
use crate::core::text::Effect;
use pyo3::prelude::*;
use rusqlite::ffi;
use std::time::{Duration, Instant};

/// The pauses between attempts, in milliseconds, as SQLite's busy handler makes them; the last one is repeated.
pub(super) const PAUSES: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

/// What is to be said of SQLITE_BUSY_SNAPSHOT.
pub(super) const SNAPSHOT_IS_OLD: &str = ": others have written since an open BLOB or a running statement of this session \
                                          began to read; close it before the first write, or open the session with \
                                          mode='write'";

impl Connection {
    /// Run BEGIN IMMEDIATE, and wait for the locks of others as long as the connection's busy timeout says.
    pub(super) fn begin_immediate(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        pool: &Pool,
    ) -> PyResult<()> {
        self.refuse_replaced(py, guard)?;
        if !guard.is_autocommit() {
            // A signal's handler began a transaction, while the turn was waited for.
            return Ok(());
        }
        let since = Instant::now();
        let mut pauses = PAUSES.iter().copied();
        let mut pause = Duration::ZERO;
        loop {
            // A signal's handler may set another one.
            let patience = patience(guard, pool);
            let error = match self.begin_at_once(py, guard, patience) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let left = patience.saturating_sub(since.elapsed());
            if !is_busy(&error) || guard.has_transaction() || left.is_zero() {
                return Err(core_exception(py, explained(error)));
            }
            pause = pauses.next().map_or(pause, Duration::from_millis);
            py.detach(|| std::thread::sleep(pause.min(left)));
            py.check_signals()?;
            self.check(py)?;
            if !guard.is_autocommit() {
                // The handler began a transaction.
                return Ok(());
            }
        }
    }

    /// One attempt without patience, which comes back afterwards.
    fn begin_at_once(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        patience: Duration,
    ) -> Result<(), Error> {
        guard.set_busy_timeout(Duration::ZERO);
        guard.expect_write();
        let outcome = self.try_begin(py, guard, c"BEGIN IMMEDIATE");
        guard.set_busy_timeout(patience);
        outcome
    }
}

/// A snapshot that is too old to write keeps one that nobody can read ahead, in more than SQLite's words.
fn explained(error: Error) -> Error {
    match error {
        Error::Sqlite(mut failure) if failure.extended_code == ffi::SQLITE_BUSY_SNAPSHOT => {
            failure.message.push_str(SNAPSHOT_IS_OLD);
            Error::Sqlite(failure)
        }
        error => error,
    }
}

/// Whether another connection has a lock that it will let go of.
fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Sqlite(failure) if failure.primary_code() == ffi::SQLITE_BUSY)
}

/// The connection's busy timeout: that of the settings if no statement may have set another one.
fn patience(guard: &LockGuard<'_>, pool: &Pool) -> Duration {
    let may_differ = Effect::BUSY_TIMEOUT.and(Effect::LASTING);
    match guard.database().effects().has(may_differ) {
        true => guard.busy_timeout().unwrap_or_else(|| pool.busy_timeout()),
        false => pool.busy_timeout(),
    }
}
