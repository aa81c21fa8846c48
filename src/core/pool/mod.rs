//! The pool of one database file: connections of `connect()` and of sessions, and what they share.
//!
//! r2d2 keeps the idle connections (`shelf`); the rest is ours: who gets one (`gate`), whether it is still good
//! (`identity`, `opener`), who may write (`writers`), and what is counted.

mod gate;
mod identity;
mod leaks;
mod lease;
mod opener;
pub mod registry;
pub mod settings;
mod shelf;
mod statistics;
mod workers;
mod writers;

pub use gate::{InterruptCheck, Place, set_interrupt_check};
pub use identity::{Identity, Look};
pub use lease::Lease;
pub use settings::Settings;
pub use statistics::Statistics;
pub use writers::{NoTurn, Turn};

use crate::core::error::{Error, Result};
use crate::core::sqlite::open::Access;
use crate::core::text::Effect;
use gate::Gate;
use identity::{Stamp, Wal};
use leaks::Holders;
use lease::Admission;
use opener::{Door, Kept};
use parking_lot::{Mutex, MutexGuard, RwLock};
use shelf::{Held, Shelf};
use statistics::{Counters, Load, Reason};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use writers::Writers;

/// Where the pools' messages go; Python's `logging` calls it `dbmanager.pool`.
const LOG: &str = "dbmanager::pool";

/// What is known of the file, to notice when somebody else puts another content there.
struct FileState {
    /// The canonical path at which it was seen.
    path: PathBuf,
    wal: Wal,
    /// Connections that are lent.
    lent: u32,
    /// How the file looked when no connection was lent for the last time.
    stamp: Option<Stamp>,
    /// Something was written since.
    written: bool,
    /// Not only to the WAL.
    written_itself: bool,
    /// Something was written through `connect()` since.
    written_by_connect: bool,
    /// The WAL holds something that sessions committed.
    has_wal_content: bool,
    /// There was a `-wal` file then.
    has_wal: bool,
    /// When the last one came back.
    quiet_since: Instant,
    /// When the idle connections were last looked through.
    swept: Instant,
}

/// After this time without use the WAL of a managed database is emptied.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// Within this time nobody removes a file and comes back, so that a look at the `-wal` file is spared.
const BLINK: Duration = Duration::from_micros(2);

impl FileState {
    fn set_path(&mut self, path: PathBuf) {
        self.wal = Wal::of(&path);
        self.path = path;
    }

    /// Whether the file was changed by others since all connections were back: it, or the WAL beside it removed.
    fn was_changed(&self, look: &Look, now: Instant) -> bool {
        self.stamp.is_some_and(|stamp| stamp != look.stamp)
            || self.has_wal
                && now.saturating_duration_since(self.quiet_since) > BLINK
                && !self.wal.exists()
    }
}

/// What sessions need.
struct Managed {
    shelf: Shelf,
    gate: Arc<Gate>,
    settings: RwLock<Arc<Settings>>,
}

/// See the head of this file.
pub struct Pool {
    identity: Identity,
    file: Mutex<FileState>,
    plain: Shelf,
    managed: OnceLock<Managed>,
    writers: Arc<Writers>,
    holders: Holders,
    counters: Arc<Counters>,
    recently_used: AtomicBool,
    /// Another file is at its path, as far as is known.
    has_left: AtomicBool,
}

/// Waiting for a lease was in vain, in words that the caller completes.
fn timed_out(pool: &Pool, since: Instant, load: gate::InVain) -> Error {
    if load.interrupted {
        return Error::Interrupted;
    }
    pool.counters.timeouts.fetch_add(1, Ordering::Relaxed);
    Error::PoolTimeout {
        pool: pool.name(),
        waited: since.elapsed(),
        in_use: load.in_use,
        waiting: load.waiting,
        holders: pool
            .holders
            .places()
            .into_iter()
            .map(|(held, place)| format!("\n  for {:.2} s: {place}", held.as_secs_f64()))
            .collect(),
    }
}

impl Pool {
    /// The pool of a file that was seen at a path. Opens nothing yet.
    pub fn new(identity: Identity, path: PathBuf, writers: Arc<Writers>) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let size = Settings::default().pool_size;
        let access = identity.access;
        Arc::new(Self {
            identity,
            file: Mutex::new(FileState {
                wal: Wal::of(&path),
                path,
                lent: 0,
                stamp: None,
                written: false,
                written_itself: false,
                written_by_connect: false,
                has_wal_content: false,
                has_wal: false,
                quiet_since: Instant::now(),
                swept: Instant::now(),
            }),
            plain: Shelf::new(access, Door::Plain, size, &counters),
            managed: OnceLock::new(),
            writers,
            holders: Holders::default(),
            counters,
            recently_used: AtomicBool::new(true),
            has_left: AtomicBool::new(false),
        })
    }

    /// The pool of a database in memory: one connection, which is the database.
    pub fn in_memory(settings: &Settings) -> Arc<Self> {
        let pool = Self::new(
            Identity::of_memory(),
            PathBuf::from(":memory:"),
            Writers::new(),
        );
        pool.manage(&Arc::new(Settings {
            pool_size: 1,
            max_overflow: Some(0),
            pool_recycle: None,
            pool_idle_timeout: None,
            ..settings.clone()
        }));
        pool
    }

    /// Give the pool what sessions need; with other settings than an earlier manager had, its connections go.
    pub fn manage(&self, settings: &Arc<Settings>) {
        let managed = self.managed.get_or_init(|| {
            let size = settings.pool_size;
            self.plain.resize(size);
            let door = Door::Managed(Arc::clone(settings));
            Managed {
                shelf: Shelf::new(self.identity.access, door, size, &self.counters),
                gate: Gate::new(settings.most_sessions().unwrap_or(u32::MAX)),
                settings: RwLock::new(Arc::clone(settings)),
            }
        });
        let known = Arc::clone(&managed.settings.read());
        if known != *settings {
            managed.shelf.opener.next_generation();
            managed.shelf.close_idle(|_| Some(Reason::Closed));
            self.resize(settings);
        }
    }

    fn managed(&self) -> &Managed {
        match self.managed.get() {
            Some(managed) => managed,
            None => unreachable!("sessions come through a manager, which calls `manage` first"),
        }
    }

    fn shelf(&self, sessions: bool) -> &Shelf {
        match sessions {
            true => &self.managed().shelf,
            false => &self.plain,
        }
    }

    /// What the pool is for.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The path of its file, for people.
    pub fn name(&self) -> String {
        self.file.lock().path.display().to_string()
    }

    /// Let a session in, at once or, first come, first served, within the time-out. Tells whether it waited: then
    /// what was seen of the file before is old. Blocks.
    pub fn enter(&self) -> Result<(Place, bool)> {
        let managed = self.managed();
        if let Some(place) = managed.gate.try_enter() {
            return Ok((place, false));
        }
        let since = Instant::now();
        let timeout = managed.settings.read().pool_timeout;
        let place = managed.gate.enter(timeout);
        self.counters.waited_for(since.elapsed());
        let place = place.map_err(|load| timed_out(self, since, load))?;
        Ok((place, true))
    }

    /// Lend a connection to a session that was let in: an idle one or a new one. Blocks. `look` is what is at the path
    /// now, None to trust the last look.
    pub fn lease(
        self: &Arc<Self>,
        place: Place,
        path: &Path,
        look: Option<&Look>,
        caller: Option<String>,
    ) -> Result<Lease> {
        self.return_to_path();
        let now = Instant::now();
        let held = self.lend(&self.managed().shelf, path, look, now)?;
        let holder = caller.map(|caller| self.holders.enter(caller));
        let admission = Some(Admission { place, holder });
        Ok(Lease::new(held, Arc::clone(self), now, admission))
    }

    /// `enter` and `lease` if that takes no time.
    pub fn lease_idle_session(self: &Arc<Self>, look: &Look) -> Option<Lease> {
        let managed = self.managed.get()?;
        let place = managed.gate.try_enter()?;
        let admission = Admission {
            place,
            holder: None,
        };
        self.lease_idle(&managed.shelf, look, Some(admission))
    }

    /// Lend a connection to `connect()`: an idle one, else a new one, whatever their number.
    pub fn lease_plain(self: &Arc<Self>, path: &Path, look: &Look) -> Result<Lease> {
        self.return_to_path();
        let now = Instant::now();
        let held = self.lend(&self.plain, path, Some(look), now)?;
        Ok(Lease::new(held, Arc::clone(self), now, None))
    }

    /// `lease_plain` if that takes no time.
    pub fn lease_idle_plain(self: &Arc<Self>, look: &Look) -> Option<Lease> {
        self.lease_idle(&self.plain, look, None)
    }

    /// Lend an idle connection if there is one and the file is as it was.
    fn lease_idle(
        self: &Arc<Self>,
        shelf: &Shelf,
        look: &Look,
        admission: Option<Admission>,
    ) -> Option<Lease> {
        self.recently_used.store(true, Ordering::Relaxed);
        let now = Instant::now();
        if self.has_left.load(Ordering::Relaxed) || !self.check_in_unchanged(look, now) {
            return None;
        }
        let Some(held) = shelf.take_at_once(now) else {
            self.file.lock().lent -= 1;
            return None;
        };
        self.counters.acquired.fetch_add(1, Ordering::Relaxed);
        Some(Lease::new(held, Arc::clone(self), now, admission))
    }

    /// Count a connection as lent unless the file was changed by others since all were back.
    fn check_in_unchanged(&self, look: &Look, now: Instant) -> bool {
        let mut file = self.file.lock();
        if file.lent == 0 && (file.stamp.is_none() || file.was_changed(look, now)) {
            return false;
        }
        file.lent += 1;
        true
    }

    /// Lend a connection that was opened before its file had an identity.
    fn lease_fresh(self: &Arc<Self>, kept: Kept, look: &Look) -> Lease {
        self.return_to_path();
        self.recently_used.store(true, Ordering::Relaxed);
        self.check_in(Some(look), Instant::now());
        self.counters.acquired.fetch_add(1, Ordering::Relaxed);
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        self.counters.overflow.fetch_add(1, Ordering::Relaxed);
        let held = Held::Overflow(Box::new(kept));
        Lease::new(held, Arc::clone(self), Instant::now(), None)
    }

    fn lend(&self, shelf: &Shelf, path: &Path, look: Option<&Look>, now: Instant) -> Result<Held> {
        self.recently_used.store(true, Ordering::Relaxed);
        if self.check_in(look, now) {
            self.discard_idle(Reason::Stale);
        }
        let held = match shelf.take(now) {
            Some(held) => Ok(held),
            None => self.grow(shelf, path),
        };
        match held {
            Ok(held) => {
                self.counters.acquired.fetch_add(1, Ordering::Relaxed);
                Ok(held)
            }
            Err(error) => {
                self.file.lock().lent -= 1;
                Err(error)
            }
        }
    }

    /// Open a connection to what is at the path now. If that is another file by now, it is not kept.
    fn grow(&self, shelf: &Shelf, path: &Path) -> Result<Held> {
        let mut held = registry::with_room(|| shelf.grow(path))?;
        // Opening may have recovered the file or switched it to WAL.
        self.file.lock().written = true;
        if !self.is_in_memory() && !Look::at(path).is_ok_and(|look| self.is_of(&look)) {
            held.kept_mut().keep_no_longer();
        }
        Ok(held)
    }

    /// Count a connection as lent. Tells whether the file was changed by others since all were back.
    fn check_in(&self, look: Option<&Look>, now: Instant) -> bool {
        let mut file = self.file.lock();
        let quiet = file.lent == 0;
        file.lent += 1;
        let Some(look) = look else {
            return false;
        };
        let changed = quiet && file.was_changed(look, now);
        if quiet {
            file.stamp = Some(look.stamp);
            file.has_wal &= !changed;
        }
        changed
    }

    /// Count a connection as back. The last one leaves the file as the last `close()` of the stdlib's would: with
    /// all in it that was committed.
    fn settle(&self, kept: &mut Kept, connect: bool, now: Instant) {
        let wrote = kept.connection.database().effects().has(Effect::WROTE);
        kept.connection.database().forget_effects();
        let traces = match wrote || self.file.lock().written {
            true => kept.take_traces(),
            false => None,
        };
        let mut file = self.file.lock();
        file.written |= wrote;
        file.written_by_connect |= wrote && connect;
        file.has_wal_content |= wrote;
        if !file.written {
            file.lent -= 1;
            file.quiet_since = now;
            return;
        }
        file.written_itself |= traces.is_none_or(|traces| traces.wrote || !traces.uses_wal);
        if file.lent > 1 {
            file.lent -= 1;
            return;
        }
        if !file.written_itself && !file.written_by_connect && kept.doom.is_none() {
            // The file is as it was, and the WAL is there.
            file.lent -= 1;
            file.written = false;
            file.has_wal = true;
            file.quiet_since = Instant::now();
            return;
        }
        self.settle_changed(kept, connect, file);
    }

    /// `settle` for the last connection, when the file itself was changed or is to be.
    fn settle_changed(&self, kept: &Kept, connect: bool, mut file: MutexGuard<'_, FileState>) {
        let checkpoints = std::mem::take(&mut file.written_by_connect);
        let (path, wal) = (file.path.clone(), file.wal.clone());
        drop(file);
        let empty = checkpoints && self.is_emptied(self.checkpoint(kept, connect));
        let stamp = Look::at(&path).ok().map(|look| look.stamp);
        let has_wal = wal.exists();
        let mut file = self.file.lock();
        file.lent -= 1;
        if file.lent == 0 {
            file.written = false;
            file.written_itself = false;
            file.stamp = stamp;
            file.has_wal = has_wal;
            file.has_wal_content &= !empty;
            file.quiet_since = Instant::now();
        }
    }

    /// Bring what was committed into the file, through this connection or, if it was closed, an idle one. Without
    /// patience: when others are reading, their last `close()` does it.
    /// Tells whether the WAL is empty afterwards.
    fn checkpoint(&self, kept: &Kept, connect: bool) -> Result<bool> {
        let run = |kept: &Kept, timeout: Duration| {
            let guard = kept.connection.database().lock();
            guard.set_busy_timeout(Duration::ZERO);
            let outcome = guard.checkpoint();
            guard.set_busy_timeout(timeout);
            outcome.map(|()| true)
        };
        let timeout = match connect {
            true => Duration::ZERO,
            false => self.busy_timeout(),
        };
        if kept.doom.is_none() && kept.connection.database().is_open() {
            return run(kept, timeout);
        }
        let run = |idle: &Kept| run(idle, Duration::ZERO);
        let outcome = self.plain.with_idle(self.most_idle(), Instant::now(), run);
        // Without one SQLite did it when the last connection was closed.
        outcome.unwrap_or(Ok(false))
    }

    /// Whether the WAL is empty after a checkpoint.
    fn is_emptied(&self, outcome: Result<bool>) -> bool {
        outcome.unwrap_or_else(|error| {
            log::debug!(target: LOG, "{}: no checkpoint: {error}", self.name());
            false
        })
    }

    /// Empty the WAL when nobody has used the database for a while, so that whoever replaces or copies the file
    /// finds no rest of it beside.
    fn tidy(&self, now: Instant) {
        let Some(managed) = self.managed.get() else {
            return;
        };
        {
            let mut file = self.file.lock();
            let rests = now.saturating_duration_since(file.quiet_since) >= TIDY_AFTER;
            if file.lent > 0 || !file.has_wal_content || !rests || self.is_in_memory() {
                return;
            }
            // As if it were lent, so that nobody takes the file for changed by others.
            file.lent += 1;
            file.written = true;
        }
        let run = |kept: &Kept| self.checkpoint(kept, false);
        let outcome = managed.shelf.with_idle(self.most_idle(), now, run);
        let empty = self.is_emptied(outcome.unwrap_or(Ok(true)));
        let look = Look::at(&self.file.lock().path.clone()).ok();
        let mut file = self.file.lock();
        file.lent -= 1;
        if file.lent == 0 {
            file.written = false;
            file.written_itself = false;
            file.stamp = look.map(|look| look.stamp);
            file.has_wal_content = !empty;
        }
    }

    /// Close the connections, because the path names another file now: the idle ones at once, those that are lent
    /// (to the housekeeper, say) when they come back.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.next_generation();
        self.discard_idle(Reason::Stale);
    }

    /// Its file is at the path again (the same file, or another one with the number of the old inode): the pool whose
    /// file was there meanwhile lets go.
    fn return_to_path(self: &Arc<Self>) {
        if self.has_left.swap(false, Ordering::Relaxed) {
            let path = self.file.lock().path.clone();
            registry::arrive(path, self);
        }
    }

    fn next_generation(&self) {
        self.plain.opener.next_generation();
        if let Some(managed) = self.managed.get() {
            managed.shelf.opener.next_generation();
        }
    }

    /// See that the file is still where the pool's connections think it is. If not, those that are idle are closed:
    /// they would call the journals after the old path.
    pub fn follow(self: &Arc<Self>, path: &Path) {
        let known = {
            let file = self.file.lock();
            if file.path == path {
                return;
            }
            file.path.clone()
        };
        if Look::at(&known).is_ok_and(|look| self.is_of(&look)) {
            return;
        }
        self.leave();
        let canonical = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.file.lock().set_path(canonical.clone());
        registry::arrive(canonical, self);
    }

    /// Whether its connections call the journals after this very path.
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.lock().path == path
    }

    /// Whether it is the pool of what was seen at the path by which the pool was found before.
    pub fn is_of(&self, look: &Look) -> bool {
        self.identity.file == look.id && self.identity.name.is_some() == look.has_other_names
    }

    fn is_in_memory(&self) -> bool {
        self.identity.access == Access::Memory
    }

    fn discard_idle(&self, reason: Reason) -> u32 {
        if self.is_in_memory() {
            // The connection is the database.
            return 0;
        }
        let mut closed = self.plain.close_idle(|_| Some(reason));
        if let Some(managed) = self.managed.get() {
            closed += managed.shelf.close_idle(|_| Some(reason));
        }
        if closed > 0 {
            log::info!(
                target: LOG,
                "{}: closed {closed} idle connection(s) ({})",
                self.name(),
                reason.name()
            );
        }
        closed
    }

    /// Close the idle connections, because the process has too many.
    fn give_up_idle(&self) {
        self.discard_idle(Reason::Surplus);
    }

    /// Close the connections that nobody uses. Gives how many.
    pub fn close_idle(&self) -> u32 {
        self.discard_idle(Reason::Idle)
    }

    /// Close the idle connections now, and those that are lent when they come back.
    pub fn drain(&self) {
        self.next_generation();
        self.discard_idle(Reason::Closed);
    }

    /// Keep another number of connections, and let another number of sessions in.
    pub fn resize(&self, settings: &Arc<Settings>) {
        let managed = self.managed();
        *managed.settings.write() = Arc::clone(settings);
        managed
            .shelf
            .opener
            .set_door(Door::Managed(Arc::clone(settings)));
        managed.shelf.resize(settings.pool_size);
        self.plain.resize(settings.pool_size);
        managed
            .gate
            .resize(settings.most_sessions().unwrap_or(u32::MAX));
        for shelf in [&self.plain, &managed.shelf] {
            let surplus = shelf.load().0.saturating_sub(settings.pool_size);
            let left = std::cell::Cell::new(surplus);
            shelf.close_idle(|_| {
                let more = left.get().checked_sub(1)?;
                left.set(more);
                Some(Reason::Surplus)
            });
        }
    }

    /// This thread's turn to write, if it is nobody else's.
    #[inline]
    pub fn try_turn(&self) -> Option<Turn> {
        self.writers.try_enter()
    }

    /// Wait for this thread's turn to write. Blocks.
    pub fn turn(&self) -> Result<Turn, NoTurn> {
        if let Some(turn) = self.writers.try_enter() {
            return Ok(turn);
        }
        let timeout = self.managed().settings.read().pool_timeout;
        let since = Instant::now();
        let turn = self.writers.enter(timeout);
        match turn {
            // They were refused, and did not wait.
            Err(NoTurn::OwnTurn | NoTurn::DeadLock) => return turn,
            Err(NoTurn::TimedOut { .. }) => {
                self.counters
                    .writers_timeouts
                    .fetch_add(1, Ordering::Relaxed);
            }
            Ok(_) | Err(NoTurn::Interrupted) => {}
        }
        self.counters.writer_waited_for(since.elapsed());
        turn
    }

    /// How long a managed connection waits for locks of others.
    pub fn busy_timeout(&self) -> Duration {
        opener::busy_timeout(&self.managed().settings.read())
    }

    /// Close what has been idle for too long, empty the WAL of an idle database, and report sessions that are held
    /// for too long.
    pub fn sweep(&self, now: Instant) {
        self.let_go_of_what_is_gone();
        self.tidy(now);
        let settings = self
            .managed
            .get()
            .map(|managed| Arc::clone(&managed.settings.read()));
        let limit = match &settings {
            Some(settings) => settings.pool_idle_timeout,
            None => Settings::default().pool_idle_timeout,
        };
        if let Some(limit) = limit.filter(|limit| self.is_due(now, *limit / 10)) {
            let expired = |kept: &Kept| {
                (now.saturating_duration_since(kept.idle_since) >= limit).then_some(Reason::Idle)
            };
            self.plain.close_idle(expired);
            if let Some(managed) = self.managed.get() {
                managed.shelf.close_idle(expired);
            }
        }
        if let Some(threshold) = settings.and_then(|settings| settings.leak_detection_threshold) {
            for (held, place) in self.holders.overdue(now, threshold) {
                log::warn!(
                    target: LOG,
                    "{}: a session is open for {:.2} s; it was opened by {place}",
                    self.name(),
                    held.as_secs_f64()
                );
            }
        }
    }

    /// Close the idle connections of a file that is not at its path any more: they would keep its space on the disk.
    fn let_go_of_what_is_gone(&self) {
        if self.is_in_memory() || self.load().idle == 0 {
            return;
        }
        let path = self.file.lock().path.clone();
        if !Look::at(&path).is_ok_and(|look| self.is_of(&look)) {
            self.leave();
        }
    }

    /// Whether so much time has gone by since the idle connections were last looked through: they are taken out for
    /// it, so not too often.
    fn is_due(&self, now: Instant, every: Duration) -> bool {
        let mut file = self.file.lock();
        let due = now.saturating_duration_since(file.swept) >= every;
        if due {
            file.swept = now;
        }
        due
    }

    /// How many idle connections the process may have.
    fn most_idle(&self) -> u32 {
        registry::max_idle()
    }

    fn load(&self) -> Load {
        let (mut size, mut idle) = self.plain.load();
        let mut load = Load {
            max: self.plain.size(),
            writers_waiting: self.writers.waiting(),
            ..Load::default()
        };
        if let Some(managed) = self.managed.get() {
            let (more, more_idle) = managed.shelf.load();
            (size, idle) = (size + more, idle + more_idle);
            load.waiting = managed.gate.load().1;
        }
        // Overflow connections are lent, too.
        load.size = size.max(idle + self.file.lock().lent);
        load.idle = idle;
        load
    }

    /// The figures of a pool that nobody has used yet.
    pub fn no_statistics(size: u32) -> Statistics {
        Counters::default().read(Load {
            max: size,
            ..Load::default()
        })
    }

    /// The pool's figures at this moment.
    pub fn statistics(&self) -> Statistics {
        self.counters.read(self.load())
    }

    /// Whether there is nothing in it, and nobody lately wanted anything of it.
    fn is_forgotten(&self) -> bool {
        !self.recently_used.swap(false, Ordering::Relaxed) && self.load().size == 0
    }
}

#[cfg(test)]
mod tests;
