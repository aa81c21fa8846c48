//! The pool of one database: r2d2 keeps the idle connections, the rest is ours.
//!
//! Connections are opened in the thread that needs one, so that a bad path fails at once with SQLite's
//! own error; r2d2's worker only adopts them. A connection that comes back is rolled back and judged:
//! whoever changed more than data on it (pragmas, ATTACH, functions, hooks, limits, schema) made it
//! unfit for the next user, and it goes.

mod gate;
mod lease;
mod manager;
mod statistics;

pub use lease::Lease;
pub use manager::Options;
pub use statistics::Statistics;

use crate::core::error::{Error, Result, SqliteFailure};
use gate::Gate;
use manager::{ConnectionManager, Opener};
use scheduled_thread_pool::ScheduledThreadPool;
use statistics::Counters;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// r2d2's housekeeping for all pools; its default is three threads a pool.
static HOUSEKEEPER: OnceLock<Arc<ScheduledThreadPool>> = OnceLock::new();

/// See the head of this file.
pub struct Pool {
    connections: r2d2::Pool<ConnectionManager>,
    opener: Arc<Opener>,
    gate: Arc<Gate>,
    options: Options,
    name: String,
    counters: Arc<Counters>,
}

impl Pool {
    /// A pool for a file. Opens nothing yet.
    pub fn new(path: &Path, options: Options) -> Self {
        let counters = Arc::new(Counters::default());
        let opener = Arc::new(Opener::new(path, options.clone(), Arc::clone(&counters)));
        let manager = ConnectionManager::of(Arc::clone(&opener));
        let housekeeper = HOUSEKEEPER.get_or_init(|| {
            Arc::new(
                ScheduledThreadPool::builder()
                    .num_threads(1)
                    .thread_name_pattern("dbmanager-pool-{}")
                    .build(),
            )
        });
        let connections = r2d2::Pool::builder()
            .max_size(options.pool_size)
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(options.pool_timeout)
            .idle_timeout(None)
            .max_lifetime(None)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .thread_pool(Arc::clone(housekeeper))
            .build_unchecked(manager);
        Self {
            connections,
            opener,
            gate: Gate::new(options.pool_size),
            name: path.display().to_string(),
            options,
            counters,
        }
    }

    /// Lend a connection: an idle one, a new one while there is room, else the first that comes back
    /// within the time-out. Blocks; call it without the interpreter.
    pub fn lease(&self) -> Result<Lease> {
        let since = Instant::now();
        let place = self.gate.enter(self.options.pool_timeout).map_err(|load| {
            self.counters.timeouts.fetch_add(1, Ordering::Relaxed);
            Error::PoolTimeout {
                pool: self.name.clone(),
                waited: since.elapsed(),
                in_use: load.in_use,
                waiting: load.waiting,
            }
        })?;
        // With a place there is an idle connection, or room for a new one.
        let connection = match self.connections.try_get() {
            Some(connection) => connection,
            None => self.grow()?,
        };
        self.counters.acquired.fetch_add(1, Ordering::Relaxed);
        Ok(Lease::new(connection, place))
    }

    /// Open a connection in this thread and have r2d2's worker adopt it.
    fn grow(&self) -> Result<r2d2::PooledConnection<ConnectionManager>> {
        self.opener.open_ahead()?;
        let outcome = self.connections.get();
        if self.connections.state().connections >= self.options.pool_size {
            // Another lease came back meanwhile, and its connection was taken instead of the new one.
            self.opener.discard_ahead();
        }
        outcome.map_err(|error| {
            Error::Sqlite(SqliteFailure {
                extended_code: rusqlite::ffi::SQLITE_CANTOPEN,
                message: format!("the pool of '{}' could not grow: {error}", self.name),
            })
        })
    }

    /// Close the idle connections in this thread; those that are lent are closed when they come back.
    pub fn close(&self) {
        self.opener.close();
        while let Some(connection) = self.connections.try_get() {
            drop(connection);
        }
    }

    /// The pool's figures at this moment.
    pub fn statistics(&self) -> Statistics {
        let state = self.connections.state();
        let (in_use, waiting) = self.gate.load();
        self.counters
            .read(self.options.pool_size, &state, in_use, waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::raw::Statement;
    use crate::core::raw::statement::Step;
    use std::time::Duration;

    fn pool(folder: &Path, size: u32) -> Pool {
        let options = Options {
            pool_size: size,
            pool_timeout: Duration::from_millis(50),
            ..Options::default()
        };
        Pool::new(&folder.join("a.db"), options)
    }

    fn run(lease: &Lease, sql: &str) {
        let database = lease.connection().database();
        let statement = Statement::prepare(database, sql).unwrap();
        let guard = database.lock();
        assert!(!matches!(statement.step(&guard), Step::Failed(_)), "{sql}");
    }

    #[test]
    fn a_connection_is_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path(), 2);
        drop(pool.lease().unwrap());
        drop(pool.lease().unwrap());
        let figures = pool.statistics();
        assert_eq!((figures.opened_total, figures.acquired_total), (1, 2));
    }

    #[test]
    fn an_open_transaction_is_rolled_back_on_return() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path(), 1);
        let lease = pool.lease().unwrap();
        run(&lease, "create table t(x)");
        run(&lease, "begin immediate");
        run(&lease, "insert into t values(1)");
        drop(lease);
        let lease = pool.lease().unwrap();
        let database = lease.connection().database();
        let statement = Statement::prepare(database, "select count(*) from t").unwrap();
        let guard = database.lock();
        assert!(guard.is_autocommit());
        statement.step(&guard);
        assert_eq!(
            statement.column(&guard, 0),
            crate::core::raw::ColumnValue::Integer(0)
        );
    }

    #[test]
    fn a_connection_whose_settings_were_changed_is_not_lent_again() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path(), 1);
        let lease = pool.lease().unwrap();
        run(&lease, "pragma query_only=1");
        drop(lease);
        drop(pool.lease().unwrap());
        let figures = pool.statistics();
        assert_eq!((figures.opened_total, figures.discarded_total), (2, 1));
    }

    #[test]
    fn waiting_too_long_says_how_many_are_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let pool = pool(folder.path(), 1);
        let _held = pool.lease().unwrap();
        let Err(error) = pool.lease() else {
            panic!("there is one connection, and it is lent")
        };
        assert!(
            error.to_string().contains("(1 in use, 0 waiting)"),
            "{error}"
        );
    }

    #[test]
    fn a_bad_path_fails_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pool = Pool::new(folder.path(), Options::default());
        assert!(matches!(pool.lease(), Err(Error::Sqlite(_))));
    }
}
