//! Opening, configuring and judging the connections of one pool, for r2d2.

use super::statistics::Counters;
use crate::core::error::{Error, Result};
use crate::core::raw::{Database, LockGuard};
use crate::core::sqlite::{Connection, open};
use parking_lot::Mutex;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::ffi;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a pool and its connections behave.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Connections kept, and the most that are lent at a time.
    pub pool_size: u32,
    /// How long a lease is waited for.
    pub pool_timeout: Duration,
    /// How long SQLite waits for locks of other connections.
    pub busy_timeout: Duration,
    /// Prepared statements kept by each connection.
    pub cached_statements: usize,
    /// The path is a `file:` URI.
    pub uri: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pool_size: 10,
            pool_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(5),
            cached_statements: 128,
            uri: false,
        }
    }
}

/// Opens connections for a pool.
pub struct Opener {
    opener: SqliteConnectionManager,
    path: PathBuf,
    options: Options,
    /// Opened by the thread that needs one, waiting for r2d2 to adopt them.
    ahead: Mutex<Vec<Connection>>,
    counters: Arc<Counters>,
    closed: AtomicBool,
    /// Held while a connection is configured: two that switch a new file to WAL at once fail.
    configuring: Mutex<()>,
}

/// Another process may be switching the file to WAL, which SQLite's busy handler does not wait for.
const WAL_RETRY_AFTER: Duration = Duration::from_millis(2);

impl Opener {
    pub fn new(path: &Path, options: Options, counters: Arc<Counters>) -> Self {
        Self {
            opener: open::manager(path, open::flags(options.uri)),
            path: path.to_owned(),
            options,
            ahead: Mutex::new(Vec::new()),
            counters,
            closed: AtomicBool::new(false),
            configuring: Mutex::new(()),
        }
    }

    fn open(&self) -> Result<Connection> {
        let raw = r2d2::ManageConnection::connect(&self.opener)
            .map_err(|error| Error::from_rusqlite(error, &self.path.to_string_lossy()))?;
        let database = open::prepare(Database::adopt(raw, false))?;
        self.configure(&database)?;
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Connection::new(database, self.options.cached_statements))
    }

    /// A managed database is in WAL mode, syncs at checkpoints, and enforces foreign keys.
    fn configure(&self, database: &Database) -> Result<()> {
        let guard = database.lock();
        let timeout = i32::try_from(self.options.busy_timeout.as_millis()).unwrap_or(i32::MAX);
        guard.set_busy_timeout(timeout);
        self.switch_to_wal(&guard)?;
        guard.execute_batch(c"PRAGMA synchronous=NORMAL")?;
        guard.config(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, 1)?;
        database.untaint();
        Ok(())
    }

    fn switch_to_wal(&self, guard: &LockGuard<'_>) -> Result<()> {
        let _turn = self.configuring.lock();
        let since = Instant::now();
        loop {
            match guard.execute_batch(c"PRAGMA journal_mode=WAL") {
                Err(Error::Sqlite(failure))
                    if failure.primary_code() == ffi::SQLITE_BUSY
                        && since.elapsed() < self.options.busy_timeout =>
                {
                    std::thread::sleep(WAL_RETRY_AFTER);
                }
                outcome => return outcome,
            }
        }
    }

    /// From now on no connection is kept.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Open a connection in this thread, for r2d2 to adopt.
    pub fn open_ahead(&self) -> Result<()> {
        let connection = self.open()?;
        self.ahead.lock().push(connection);
        Ok(())
    }

    /// Close what nobody adopted.
    pub fn discard_ahead(&self) {
        let surplus = std::mem::take(&mut *self.ahead.lock());
        drop(surplus);
    }
}

/// What r2d2 asks for connections; shares the opener with the pool.
pub struct ConnectionManager(Arc<Opener>);

impl ConnectionManager {
    pub fn of(opener: Arc<Opener>) -> Self {
        Self(opener)
    }
}

impl r2d2::ManageConnection for ConnectionManager {
    type Connection = Connection;
    type Error = Error;

    fn connect(&self) -> Result<Connection> {
        let ready = self.0.ahead.lock().pop();
        match ready {
            Some(connection) => Ok(connection),
            // Another thread's lease was given this thread's connection.
            None => self.0.open(),
        }
    }

    fn is_valid(&self, _connection: &mut Connection) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        let database = connection.database();
        if self.0.closed.load(Ordering::Acquire) {
            return true;
        }
        let broken = !database.is_open() || database.is_tainted();
        if broken {
            self.0.counters.discarded.fetch_add(1, Ordering::Relaxed);
        }
        broken
    }
}
