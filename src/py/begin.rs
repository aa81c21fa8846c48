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
const PAUSES: [u64; 12] = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100];

impl Connection {
    /// Run BEGIN IMMEDIATE, and wait for the locks of others as long as the connection's busy timeout says.
    pub(super) fn begin_immediate(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        pool: &Pool,
    ) -> PyResult<()> {
        let patience = patience(guard, pool);
        guard.set_busy_timeout(Duration::ZERO);
        let outcome = self.begin_within(py, guard, patience);
        guard.set_busy_timeout(patience);
        outcome
    }

    fn begin_within(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        patience: Duration,
    ) -> PyResult<()> {
        let Err(mut error) = self.try_begin(py, guard, c"BEGIN IMMEDIATE") else {
            return Ok(());
        };
        let end = Instant::now() + patience;
        let mut pauses = PAUSES.iter().copied();
        let mut pause = Duration::ZERO;
        while is_busy(&error) && !guard.has_transaction() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            pause = pauses.next().map_or(pause, Duration::from_millis);
            py.detach(|| std::thread::sleep(pause.min(left)));
            py.check_signals()?;
            // The signal's handler may have used the connection.
            self.check(py)?;
            if !guard.is_autocommit() {
                return Ok(());
            }
            match self.try_begin(py, guard, c"BEGIN IMMEDIATE") {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        Err(core_exception(py, error))
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
