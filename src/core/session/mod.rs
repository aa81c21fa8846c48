//! One manager a process and database: it knows where the database is and how its pool is to behave.

pub mod asked;
pub mod url;

use crate::core::error::{Error, Result};
use crate::core::pool::{Lease, Look, Place, Pool, Settings, Statistics, Turn, registry};
use crate::core::process::Own;
use crate::core::sqlite::Connection;
use crate::core::sqlite::open::Access;
use crate::core::sync::{Mutex, RwLock};
use asked::Asked;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use url::Target;

/// See the head of this file.
pub struct Manager {
    url: String,
    target: Target,
    /// As it was made with; `resize` changes what counts now.
    first: Settings,
    own: Own<State>,
    closed: AtomicBool,
}

/// What a process has for itself of a manager that was made before a fork.
struct State {
    settings: RwLock<Arc<Settings>>,
    current: RwLock<Option<Arc<Pool>>>,
    last_look: Mutex<Option<Instant>>,
}

impl State {
    fn new(settings: Arc<Settings>, current: Option<Arc<Pool>>) -> Self {
        Self {
            settings: RwLock::new(settings),
            current: RwLock::new(current),
            last_look: Mutex::new(None),
        }
    }
}

impl Manager {
    /// A manager; opens nothing yet.
    pub fn new(url: &str, target: Target, asked: &Asked) -> Result<Self> {
        let settings = asked.settings()?;
        Ok(Self {
            url: url.to_owned(),
            target,
            first: settings.clone(),
            own: Own::new(State::new(Arc::new(settings), None)),
            closed: AtomicBool::new(false),
        })
    }

    #[inline]
    fn own(&self) -> &State {
        self.own.get(|parents| {
            // Locked only if a thread that is gone was just changing it.
            let settings = parents.settings.try_read();
            let settings =
                settings.map_or_else(|| Arc::new(self.first.clone()), |known| Arc::clone(&known));
            let current = match self.target {
                Target::Memory => parents.current.try_read().and_then(|pool| pool.clone()),
                Target::File(_) => None,
            };
            State::new(settings, current)
        })
    }

    /// The URL it was made for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it manages.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.own().settings.read())
    }

    /// What is asked for otherwise than it is; nothing if it was made with that, before it was resized.
    pub fn differences(&self, asked: &Asked) -> Result<Vec<(String, String, String)>> {
        let mut wanted = self.first.clone();
        asked.apply(&mut wanted)?;
        if self.first == wanted {
            return Ok(Vec::new());
        }
        let settings = self.settings();
        let mut wanted = (*settings).clone();
        asked.apply(&mut wanted)?;
        Ok(settings.differences(&wanted))
    }

    /// Refuse what comes after `close`.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::ManagerClosed(self.url.clone()));
        }
        Ok(())
    }

    /// Lend a connection. Blocks; call it without the interpreter. `caller` is where the session was opened, if
    /// that is tracked.
    pub fn lease(&self, caller: Option<String>) -> Result<Lease> {
        let (pool, look) = self.find()?;
        let (place, waited) = pool.enter()?;
        self.lease_of(pool, look, place, waited, caller)
    }

    /// Lend a connection to a session that was let in. If it waited for that, others wrote meanwhile, and the file may
    /// have been replaced.
    fn lease_of(
        &self,
        mut pool: Arc<Pool>,
        mut look: Option<Look>,
        mut place: Place,
        mut waited: bool,
        caller: Option<String>,
    ) -> Result<Lease> {
        while waited {
            let now;
            (now, look) = self.find()?;
            if Arc::ptr_eq(&pool, &now) {
                break;
            }
            pool = now;
            (place, waited) = pool.enter()?;
        }
        pool.lease(place, self.path(), look.as_ref(), caller)
    }

    /// Lend a connection for a session that writes from its start. Its turn comes first, so that those who wait for
    /// theirs keep no connection, and the one that was used last is used next. Who has the turn does not wait for a
    /// connection, though: all may be lent to sessions that wait for the turn. Blocks.
    pub fn lease_for_writing(&self, caller: Option<String>) -> Result<(Turn, Lease)> {
        let mut waited = Duration::ZERO;
        let mut turn_of = |pool: &Pool| {
            let since = Instant::now();
            let turn = pool.turn(waited);
            waited += since.elapsed();
            turn
        };
        loop {
            let pool = self.find()?.0;
            let turn = turn_of(&pool)?;
            // The look comes after the turn, for the same reason.
            let (now, look) = self.find()?;
            if !Arc::ptr_eq(&pool, &now) {
                continue;
            }
            if let Some(place) = pool.enter_at_once() {
                let lease = self.lease_of(now, look, place, false, caller)?;
                return Ok((turn, lease));
            }
            drop(turn);
            let lease = self.lease(caller.clone())?;
            let turn = turn_of(lease.pool())?;
            if Arc::ptr_eq(&self.find()?.0, lease.pool()) {
                return Ok((turn, lease));
            }
        }
    }

    /// This thread's turn to write among the sessions of the process, for one that has a connection of its own. Blocks.
    pub fn turn(&self) -> Result<Turn> {
        self.find()?.0.turn(Duration::ZERO)
    }

    /// `lease_for_writing` if that takes no time.
    pub fn lease_for_writing_at_once(&self) -> Option<(Turn, Lease)> {
        let pool = self.pool()?;
        let turn = pool.try_turn()?;
        let lease = self.lease_at_once()?;
        Arc::ptr_eq(&pool, lease.pool()).then_some((turn, lease))
    }

    /// Lend a connection if that takes no time: there is a place, an idle connection, and the file is as it was.
    pub fn lease_at_once(&self) -> Option<Lease> {
        let settings = self.own().settings.read();
        if self.closed.load(Ordering::Relaxed)
            || settings.leak_detection_threshold.is_some()
            || !settings.pool_pre_ping
            || !settings.pool_pre_ping_after.is_zero()
        {
            return None;
        }
        let Target::File(path) = &self.target else {
            return None;
        };
        let look = Look::at(path).ok()?;
        let pool = Arc::clone(self.own().current.read().as_ref()?);
        if !pool.is_of(&look) || !pool.is_at(path) {
            return None;
        }
        pool.lease_idle_session(&look)
    }

    fn path(&self) -> &Path {
        match &self.target {
            Target::Memory => Path::new(":memory:"),
            Target::File(path) => path,
        }
    }

    /// The pool as it is to be used now, and what was seen of its file; nothing if that was taken on trust.
    fn find(&self) -> Result<(Arc<Pool>, Option<Look>)> {
        self.check_open()?;
        match &self.target {
            Target::Memory => {
                let known = self.own().current.read().clone();
                if known.is_some_and(|known| !known.is_here()) {
                    return Err(Error::inherited());
                }
                let pool = self.adopt(None, || Ok(Pool::in_memory(&self.own().settings.read())))?;
                Ok((pool, None))
            }
            Target::File(path) => {
                if let Some(pool) = self.pool_on_trust() {
                    return Ok((pool, None));
                }
                let look = self.look(path)?;
                let pool = self.adopt(Some(&look), || {
                    registry::pool_of(path, &look, Access::ReadWriteCreate)
                })?;
                pool.follow(path);
                Ok((pool, Some(look)))
            }
        }
    }

    /// The pool, if the settings say that its file need not be looked at.
    fn pool_on_trust(&self) -> Option<Arc<Pool>> {
        let settings = self.own().settings.read();
        if settings.pool_pre_ping {
            if settings.pool_pre_ping_after.is_zero() {
                return None;
            }
            let mut last = self.own().last_look.lock();
            let now = Instant::now();
            if !last.is_some_and(|last| now - last < settings.pool_pre_ping_after) {
                *last = Some(now);
                return None;
            }
        }
        self.pool()
    }

    /// Look at the file; make it if it is not there.
    fn look(&self, path: &Path) -> Result<Look> {
        match Look::at(path) {
            Ok(look) if look.is_file => Ok(look),
            // SQLite says what is wrong, or makes the file.
            _ => {
                registry::leave(path);
                drop(Connection::open(path, false, false, 0)?);
                Ok(Look::at(path)?)
            }
        }
    }

    /// The pool for what was seen: the present one, or another one if the file was replaced.
    fn adopt(
        &self,
        look: Option<&Look>,
        find: impl FnOnce() -> Result<Arc<Pool>>,
    ) -> Result<Arc<Pool>> {
        if let Some(pool) = &*self.own().current.read()
            && look.is_none_or(|look| pool.is_of(look))
        {
            return Ok(Arc::clone(pool));
        }
        // Without a lock: letting go of the old file logs, which may run any Python code and waits for the interpreter,
        // whose holder may want the present pool.
        let pool = find()?;
        pool.manage(&self.own().settings.read());
        let mut current = self.own().current.write();
        let others = current.as_ref().filter(|known| match look {
            // Another thread was quicker.
            Some(look) => known.is_of(look),
            None => known.is_here(),
        });
        if let Some(others) = others {
            return Ok(Arc::clone(others));
        }
        let old = current.replace(Arc::clone(&pool));
        drop(current);
        match old {
            Some(old) if old.is_here() => old.drain(),
            old => std::mem::forget(old),
        }
        Ok(pool)
    }

    /// The pool's figures. All are 0 before the first use of the file.
    pub fn statistics(&self) -> Result<Statistics> {
        self.check_open()?;
        Ok(match self.known_pool() {
            Some(pool) => pool.statistics(),
            None => Pool::no_statistics(self.own().settings.read().pool_size),
        })
    }

    /// The present pool, unless it is one that a fork left behind.
    fn pool(&self) -> Option<Arc<Pool>> {
        let current = self.own().current.read();
        current.as_ref().filter(|pool| pool.is_here()).cloned()
    }

    /// The pool of the file as far as it is known, also if only `connect()` has used it so far.
    fn known_pool(&self) -> Option<Arc<Pool>> {
        let pool = self.pool();
        match (&self.target, &pool) {
            (Target::Memory, _) => pool,
            (_, Some(current)) if !current.has_left() => pool,
            (Target::File(path), _) => self.pool_of_connect(path).or(pool),
        }
    }

    /// The pool that there is of what is at the path now.
    fn pool_of_connect(&self, path: &Path) -> Option<Arc<Pool>> {
        let look = Look::at(path).ok().filter(|look| look.is_file)?;
        let known = registry::known(path, &look)?;
        self.adopt(Some(&look), || Ok(known)).ok()
    }

    /// Close the idle connections. Gives how many.
    pub fn close_idle(&self) -> u32 {
        self.known_pool().map_or(0, |pool| pool.close_idle())
    }

    /// Close all connections: the idle ones now, those that are lent when they come back.
    pub fn drain(&self) {
        if let Some(pool) = self.known_pool() {
            pool.drain();
        }
    }

    /// Keep another number of connections and let another number of sessions in.
    pub fn resize(&self, settings: Settings) -> Result<()> {
        self.check_open()?;
        settings.check()?;
        let settings = Arc::new(settings);
        *self.own().settings.write() = Arc::clone(&settings);
        if let Some(pool) = self.pool() {
            pool.resize(&settings);
        }
        Ok(())
    }

    /// Close the idle connections and refuse further leases; what is lent is closed when it comes back.
    pub fn close(&self) {
        self.known_pool();
        self.closed.store(true, Ordering::Relaxed);
        let pool = self.own().current.write().take();
        match pool {
            Some(pool) if pool.is_here() => {
                registry::forget(&pool);
                pool.drain();
            }
            left_behind => std::mem::forget(left_behind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::url::DatabaseUrl;
    use super::*;
    use crate::core::raw::{ColumnValue, Statement, Step};

    fn manager(url: &str, folder: &Path) -> Manager {
        let parsed = DatabaseUrl::parse(url, || Ok(folder.to_owned()));
        let target = parsed.unwrap().target;
        Manager::new(url, target, &Asked::default()).unwrap()
    }

    #[test]
    fn a_closed_manager_lends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let manager = manager("sqlite:///a.db", folder.path());
        drop(manager.lease(None).unwrap());
        manager.close();
        assert!(matches!(manager.lease(None), Err(Error::ManagerClosed(_))));
    }

    #[test]
    fn a_file_that_was_replaced_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let manager = manager("sqlite:///a.db", folder.path());
        let first = manager.lease(None).unwrap();
        let pool = Arc::clone(first.pool());
        drop(first);
        std::fs::rename(folder.path().join("a.db"), folder.path().join("b.db")).unwrap();
        let second = manager.lease(None).unwrap();
        assert!(!Arc::ptr_eq(&pool, second.pool()));
        assert!(folder.path().join("a.db").exists());
    }

    /// Bring everything into the file, then put a copy of it into its place.
    fn replace_by_a_copy(path: &Path) {
        let connection = registry::connect(path, false, false, 128).unwrap();
        if let registry::Opened::Pooled(lease) = &connection {
            let database = lease.connection().database();
            let guard = database.lock();
            let sql = "pragma wal_checkpoint(truncate)";
            let checkpoint = Statement::prepare(database, sql).unwrap();
            // Refused, without an error, while the housekeeper does one.
            let is_busy = || {
                checkpoint.reset(&guard);
                assert_eq!(checkpoint.step(&guard), Step::Row);
                checkpoint.column(&guard, 0) != ColumnValue::Integer(0)
            };
            while is_busy() {
                std::thread::yield_now();
            }
        }
        drop(connection);
        let copy = path.with_extension("copy");
        std::fs::copy(path, &copy).unwrap();
        std::fs::rename(copy, path).unwrap();
    }

    #[test]
    fn a_file_is_replaced_again_and_again_while_the_housekeeper_works() {
        let folder = tempfile::tempdir().unwrap();
        let manager = manager("sqlite:///a.db", folder.path());
        let path = folder.path().join("a.db");
        let run = |sql| {
            let lease = manager.lease(None).unwrap();
            let guard = lease.connection().database().lock();
            guard.execute_batch(sql).unwrap();
        };
        let count = || {
            let lease = manager.lease(None).unwrap();
            let database = lease.connection().database();
            let guard = database.lock();
            let count = Statement::prepare(database, "select count(*) from t").unwrap();
            assert_eq!(count.step(&guard), Step::Row);
            match count.column(&guard, 0) {
                ColumnValue::Integer(count) => count,
                other => panic!("{other:?}"),
            }
        };
        run(c"create table t(x)");
        /// Ends the other thread also when this one fails, which would wait for it for ever.
        struct Ended<'a>(&'a AtomicBool);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    registry::sweep(Instant::now() + std::time::Duration::from_secs(2));
                }
            });
            let _ended = Ended(&ended);
            for round in 1..=300 {
                run(c"begin immediate; insert into t values(1); commit");
                replace_by_a_copy(&path);
                assert_eq!(count(), 2 * round - 1);
                run(c"begin immediate; insert into t values(1); commit");
                assert_eq!(count(), 2 * round);
            }
        });
    }

    #[test]
    fn a_database_in_memory_lives_as_long_as_its_manager() {
        let manager = manager("sqlite://", Path::new("/"));
        let run = |sql| {
            let lease = manager.lease(None).unwrap();
            let guard = lease.connection().database().lock();
            guard.execute_batch(sql).unwrap();
        };
        run(c"create temp table t(x)");
        run(c"insert into t values(1)");
        manager.close_idle();
        run(c"update t set x = 2");
    }
}
