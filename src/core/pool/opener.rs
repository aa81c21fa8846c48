//! Opening and configuring the connections of one database, setting them back, and closing them.

use super::identity::{Beside, Look, Stamp};
use super::idle::IdleMark;
use super::registry;
use super::settings::Settings;
use super::statistics::{Counters, Reason};
use super::workers::log_later;
use crate::core::error::{Error, Result};
use crate::core::raw::{Database, LockGuard};
use crate::core::sqlite::Connection;
use crate::core::sqlite::open::{self, Access};
use crate::core::sync::{Mutex, RwLock};
use crate::core::text::Effect;
use crate::core::text::effect::Alone;
use crate::core::text::effect::RESTORABLE;
use crate::core::vfs::Traces;
use log::Level;
use r2d2::ManageConnection as _;
use rusqlite::ffi;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Through which door connections are lent.
#[derive(Debug, Clone, PartialEq)]
pub enum Door {
    /// `connect()`: as the stdlib opens them.
    Plain,
    /// Sessions of a manager.
    Managed(Arc<Settings>),
}

/// An open connection and its history.
pub struct Kept {
    pub connection: Connection,
    expires: Option<Instant>,
    pub idle_since: Instant,
    /// How the file looked when the pages that it has in memory were right.
    pub seen: Option<Stamp>,
    generation: u64,
    /// It is counted as idle.
    pub idle: Option<IdleMark>,
    /// r2d2's worker has asked for it, and has not lent it yet.
    pub is_coming: bool,
    /// Why it is not to be kept, once that is known.
    pub doom: Option<Reason>,
}

impl Kept {
    /// It is lent while the file looks so. Pages from another time may be those of a file that was written over: SQLite
    /// would not notice if the new one happened to have been changed as often. Where its own notices, because somebody
    /// has written, it reads them anew as well.
    #[inline]
    pub fn see(&mut self, look: &Look) {
        if self.seen != Some(look.stamp) {
            self.see_anew(look.stamp);
        }
    }

    #[cold]
    fn see_anew(&mut self, stamp: Stamp) {
        if self.seen.replace(stamp).is_some() {
            let guard = self.connection.database().lock();
            if guard.database().is_open() {
                guard.forget_pages();
            }
        }
    }

    /// Close it when it comes back.
    pub fn keep_no_longer(&mut self) {
        self.generation = NEVER;
    }

    /// What it did with its file since it was last asked; None if that is not known.
    pub fn take_traces(&self) -> Option<Traces> {
        let guard = self.connection.database().lock();
        match guard.database().is_open() {
            true => guard.take_traces(),
            false => None,
        }
    }

    /// Whether somebody else closed its files, as `os.closerange` does: their numbers may be those of others' files now.
    #[inline]
    pub fn is_lost(&self) -> bool {
        let guard = self.connection.database().lock();
        guard.database().is_open() && guard.is_lost()
    }

    /// Never use it again, and never close it, which would close what is others' by now.
    pub fn abandon(&mut self) {
        self.connection.set_left_open();
        std::mem::forget(Arc::clone(self.connection.database()));
    }

    /// Remember how the WAL is, for the time when the file is another one's.
    pub fn remember_wal(&self) {
        let guard = self.connection.database().lock();
        if guard.database().is_open() {
            guard.remember_wal();
        }
    }

    /// Whether its `-wal` file is still there; None if it has none open.
    #[inline]
    pub fn wal_is_there(&self) -> Option<bool> {
        let guard = self.connection.database().lock();
        match guard.database().is_open() {
            true => guard.wal_is_there(),
            false => None,
        }
    }
}

/// A generation that never comes.
const NEVER: u64 = u64::MAX;

/// Opens connections of one database for one door.
pub struct Opener {
    access: Access,
    door: RwLock<Door>,
    counters: Arc<Counters>,
    /// Connections of an earlier generation are not kept.
    generation: AtomicU64,
    /// The `-wal` file at the path belongs to another file by now.
    has_lost_wal: AtomicBool,
    /// The file could not be switched to WAL when it was last tried, and that has been said.
    lacks_wal: AtomicBool,
    /// Held while a connection is configured: two that switch a new file to WAL at once fail.
    configuring: Mutex<()>,
}

/// Another process may be switching the file to WAL, which SQLite's busy handler does not wait for.
const WAL_RETRY_AFTER: Duration = Duration::from_millis(2);

/// How long the first connection tries to switch a file to WAL that others have in use. They may be of its own thread,
/// and whoever tries keeps new readers out.
const WAL_PATIENCE: Duration = Duration::from_millis(250);

impl Opener {
    pub fn new(access: Access, door: Door, counters: Arc<Counters>) -> Self {
        Self {
            access,
            door: RwLock::new(door),
            counters,
            generation: AtomicU64::new(0),
            has_lost_wal: AtomicBool::new(false),
            lacks_wal: AtomicBool::new(false),
            configuring: Mutex::new(()),
        }
    }

    /// Say whether the `-wal` file at the path belongs to another file.
    pub fn set_lost_wal(&self, lost: bool) {
        self.has_lost_wal.store(lost, Ordering::SeqCst);
    }

    pub fn set_door(&self, door: Door) {
        *self.door.write() = door;
    }

    /// Whether it opens a database in memory.
    pub fn is_of_memory(&self) -> bool {
        self.access == Access::Memory
    }

    /// Whether it can be used on in the child of a fork.
    pub fn is_whole(&self) -> bool {
        self.configuring.try_lock().is_some() && self.door.try_read().is_some()
    }

    fn settings(&self) -> Option<Arc<Settings>> {
        match &*self.door.read() {
            Door::Plain => None,
            Door::Managed(settings) => Some(Arc::clone(settings)),
        }
    }

    /// Open a connection in this thread, with SQLite's own error when that fails.
    pub fn open(&self, path: &Path) -> Result<Kept> {
        let settings = self.settings();
        // What was begun before the file was let go of belongs to the old generation.
        let mut generation = self.generation.load(Ordering::Relaxed);
        let raw = open::manager(path, open::flags_for(self.access))
            .connect()
            .map_err(|error| Error::from_rusqlite(error, &path.to_string_lossy()))?;
        let database = open::prepare(Database::adopt(raw, false))?;
        let guard = database.lock();
        guard.install_counters()?;
        if let Some(settings) = &settings {
            if !self.configure(&guard, settings, path)? {
                // The next one tries again.
                generation = NEVER;
            }
            if settings.pool_pre_ping {
                guard.refuse_commits_when_moved();
            }
        }
        drop(guard);
        database.begin_to_lend();
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        let cached = settings
            .as_ref()
            .map_or(Settings::default().cached_statements, |settings| {
                settings.cached_statements
            });
        let now = Instant::now();
        Ok(Kept {
            connection: Connection::new(database, cached as usize),
            expires: settings.and_then(|settings| expiry(&settings, now)),
            idle_since: now,
            seen: None,
            generation,
            idle: None,
            is_coming: false,
            doom: None,
        })
    }

    /// Gives whether all is as the settings say. What is wrong with the file is not told here but by the first statement
    /// that needs it, as after the stdlib's `connect()`.
    fn configure(&self, guard: &LockGuard<'_>, settings: &Settings, path: &Path) -> Result<bool> {
        if settings.defensive {
            guard.config(ffi::SQLITE_DBCONFIG_DEFENSIVE, 1)?;
            guard.config(ffi::SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)?;
        }
        let _turn = self.configuring.lock();
        let mut has_wal = true;
        let mut is_as_set = true;
        for (name, value) in settings.pragmas.in_order() {
            let sql = pragma(name, value);
            let is_switch = name == "journal_mode" && value.eq_ignore_ascii_case("WAL");
            let outcome = match is_switch {
                true => self.switch_to_wal(guard, &sql, busy_timeout(settings)),
                false => guard.execute_batch(&sql),
            };
            let code = match &outcome {
                Err(Error::Sqlite(failure)) => failure.primary_code(),
                _ => ffi::SQLITE_OK,
            };
            match code {
                // It stays as it is, for whoever may only read it.
                ffi::SQLITE_READONLY if is_switch => has_wal = false,
                ffi::SQLITE_BUSY if is_switch => {
                    has_wal = false;
                    is_as_set = false;
                    self.tell_of_wal(path);
                }
                ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT | ffi::SQLITE_CANTOPEN => {
                    is_as_set = false
                }
                _ => outcome?,
            }
        }
        if !has_wal && settings.pragmas.comes_to("synchronous", "NORMAL") {
            // Which is safe with a WAL only.
            guard.execute_batch(c"PRAGMA synchronous=FULL")?;
        }
        Ok(is_as_set)
    }

    fn switch_to_wal(&self, guard: &LockGuard<'_>, sql: &CStr, own: Duration) -> Result<()> {
        let patience = match self.lacks_wal.load(Ordering::Relaxed) {
            true => Duration::ZERO,
            false => own.min(WAL_PATIENCE),
        };
        guard.set_busy_timeout(patience);
        let since = Instant::now();
        let outcome = loop {
            match guard.execute_batch(sql) {
                Err(Error::Sqlite(failure))
                    if failure.primary_code() == ffi::SQLITE_BUSY && since.elapsed() < patience =>
                {
                    std::thread::sleep(WAL_RETRY_AFTER);
                }
                outcome => break outcome,
            }
        };
        guard.set_busy_timeout(own);
        if outcome.is_ok() {
            self.lacks_wal.store(false, Ordering::Relaxed);
        }
        outcome
    }

    /// Say once that a file could not be switched to WAL.
    fn tell_of_wal(&self, path: &Path) {
        if !self.lacks_wal.swap(true, Ordering::Relaxed) {
            log_later(
                Level::Warn,
                format!(
                    "others have {} in use, so that it can't be switched to WAL now: sessions go on in the mode that \
                     it has, where readers and a writer wait for each other, and the next ones try again. To switch it \
                     once, run PRAGMA journal_mode = WAL while nobody uses it",
                    path.display()
                ),
            );
        }
    }

    /// Whether the connection may be lent again as far as its age goes.
    pub fn age(&self, kept: &Kept, now: Instant) -> Result<(), Reason> {
        if self.access == Access::Memory {
            return Ok(());
        }
        if kept.generation != self.generation.load(Ordering::Relaxed) {
            return Err(Reason::Closed);
        }
        if kept.expires.is_some_and(|expires| now >= expires) {
            return Err(Reason::Recycled);
        }
        Ok(())
    }

    /// Begin a generation: what is open now is not kept when it comes back.
    pub fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Undo what a user left behind. What can't be undone dooms the connection.
    pub fn set_back(&self, kept: &mut Kept) {
        let database = Arc::clone(kept.connection.database());
        let guard = database.lock();
        kept.doom = self.cleaned(&guard).err();
        if kept.doom.is_none() {
            return;
        }
        let files = match database.is_open() {
            true => guard.files(&Alone::All),
            false => Vec::new(),
        };
        self.close(&guard);
        drop(guard);
        // Attached ones: the close would have emptied their WAL, if no other connection had them open.
        for file in files.iter().skip(1) {
            registry::file_now(file);
        }
    }

    fn cleaned(&self, guard: &LockGuard<'_>) -> Result<(), Reason> {
        let database = guard.database();
        if !database.is_open() || !guard.can_close() {
            return Err(Reason::Broken);
        }
        let effects = database.effects();
        guard.close_blobs();
        if database.effects().has(Effect::LASTING) && self.access != Access::Memory {
            return Err(Reason::Altered);
        }
        guard.reset_busy_statements();
        // First, so that they neither hear of what follows nor refuse it.
        guard.take_hooks_back();
        if !guard.is_autocommit() {
            guard
                .execute_batch(c"ROLLBACK")
                .map_err(|_| Reason::Broken)?;
            self.counters.reset.fetch_add(1, Ordering::Relaxed);
        }
        let altered = effects.without(Effect::WROTE);
        if !altered.is_none() {
            if !guard.take_back() {
                return Err(Reason::Broken);
            }
            self.set_back_pragmas(guard, altered)
                .map_err(|_| Reason::Broken)?;
            self.counters.reset.fetch_add(1, Ordering::Relaxed);
            // The file's fate is the pool's business still.
            database.forget_effects();
            if effects.has(Effect::WROTE) {
                database.note(Effect::WROTE);
            }
        }
        Ok(())
    }

    fn set_back_pragmas(&self, guard: &LockGuard<'_>, altered: Effect) -> Result<()> {
        let settings = self.settings();
        for (name, _) in RESTORABLE.iter().filter(|(_, effect)| altered.has(*effect)) {
            let own = settings
                .as_ref()
                .and_then(|settings| settings.pragmas.get(name));
            guard.execute_batch(&pragma(name, own.unwrap_or(default_of(name))))?;
        }
        Ok(())
    }

    /// Close a connection that nobody uses. Blocks.
    pub fn close(&self, guard: &LockGuard<'_>) {
        if !guard.can_close() || !guard.database().is_open() {
            return;
        }
        let path = guard.file_name(c"main").unwrap_or_default();
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        if guard.wal_is_there() == Some(false) && Beside::wal(path).exists() {
            // Others have begun another WAL since. The pages of the old one do not belong over what they write.
            guard.close_without_checkpoint();
            return;
        }
        if guard.has_moved() && path.exists() {
            // What this pool left in the WAL would be read over the new file: into the old one with it. But what others
            // have written since is the new file's, though it is in the same WAL. (Locks don't tell: those who have the
            // new file open and idle hold none, and they don't keep connections of one process apart.)
            if !self.has_lost_wal.load(Ordering::SeqCst) && guard.wal_is_as_left() {
                guard.set_busy_timeout(Duration::ZERO);
                if let Err(error) = guard.checkpoint() {
                    log_later(
                        Level::Debug,
                        format!("the WAL of a replaced file was not emptied: {error}"),
                    );
                }
            }
            // Neither is the `-wal` file at the path removed, which is the new file's by now.
            guard.close_without_checkpoint();
            return;
        }
        // Who only read does not write by it.
        let optimizes = guard.database().has_written()
            && self
                .settings()
                .is_some_and(|settings| settings.optimize_on_close);
        if optimizes && guard.is_autocommit() && !guard.has_blobs() {
            // Help for the planner only: when others are at work it is not worth a wait. It is none of the last
            // user's business.
            guard.take_hooks_back();
            guard.set_busy_timeout(Duration::ZERO);
            if let Err(error) = guard.execute_batch(c"PRAGMA optimize") {
                log_later(
                    Level::Debug,
                    format!("PRAGMA optimize was not possible: {error}"),
                );
            }
        }
        guard.close();
    }
}

/// SQLite's own values of the settings that are set back.
fn default_of(name: &str) -> &'static str {
    match name {
        "synchronous" => "FULL",
        "cache_size" => "-2000",
        "wal_autocheckpoint" => "1000",
        // All others are off, or set by `connect()`.
        _ => "0",
    }
}

fn pragma(name: &str, value: &str) -> CString {
    // Settings hold words and numbers only; `UTF-16` is neither without quotes.
    CString::new(format!("PRAGMA {name}='{value}'")).unwrap_or_default()
}

/// How long a managed connection waits for locks of others.
pub fn busy_timeout(settings: &Settings) -> Duration {
    let set = settings.pragmas.get("busy_timeout");
    let milliseconds = set.and_then(|value| value.parse().ok()).unwrap_or(0);
    Duration::from_millis(milliseconds)
}

/// When a connection that is opened now is replaced.
fn expiry(settings: &Settings, now: Instant) -> Option<Instant> {
    let life = settings.pool_recycle?;
    // The hasher's keys are random and all that is needed of randomness here.
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8);
    let fraction = random as f64 / u64::MAX as f64;
    now.checked_add(life.mul_f64(1.0 - settings.pool_recycle_jitter * fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_end_at_different_times_within_the_jitter() {
        let now = Instant::now();
        let lives = |pool_recycle_jitter| {
            let settings = Settings {
                pool_recycle: Some(Duration::from_secs(100)),
                pool_recycle_jitter,
                ..Settings::default()
            };
            let mut lives: Vec<_> = (0..200)
                .map(|_| (expiry(&settings, now).unwrap() - now).as_secs_f64())
                .collect();
            lives.sort_by(f64::total_cmp);
            (lives[0], lives[199])
        };
        assert_eq!(lives(0.0), (100.0, 100.0));
        let (shortest, longest) = lives(0.5);
        assert!((50.0..65.0).contains(&shortest), "{shortest}");
        assert!((85.0..=100.0).contains(&longest), "{longest}");
        let endless = Settings {
            pool_recycle: None,
            ..Settings::default()
        };
        assert_eq!(expiry(&endless, now), None);
    }
}
