//! The pool of one database file: connections of `connect()` and of sessions, and what they share.
//!
//! r2d2 keeps the idle connections (`shelf`); the rest is ours: who gets one (`gate`), whether it is still good
//! (`identity`, `opener`), who may write (`writers`), and what is counted.

mod file;
mod gate;
mod identity;
mod idle;
mod inherited;
mod leaks;
mod lease;
mod opener;
mod path;
mod places;
mod pragmas;
mod refusal;
pub mod registry;
pub mod settings;
mod shelf;
mod statistics;
pub mod uri;
mod waits;
mod workers;
mod writers;

pub use gate::{InterruptCheck, Place, set_interrupt_check};
pub use identity::{Identity, Look};
pub use lease::Lease;
pub use settings::Settings;
pub use statistics::Statistics;
pub use writers::Turn;

use crate::core::error::Result;
use crate::core::process;
use crate::core::sqlite::open::Access;
use crate::core::sync::{Mutex, RwLock};
use crate::core::vfs;
use file::{CheckedIn, FileState};
use gate::{Gate, InVain, Refusal};
use leaks::Holders;
use lease::Admission;
use opener::{Door, Kept};
use shelf::{Held, Shelf};
use statistics::{Counters, Load, Reason};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use writers::Writers;

/// Where the pools' messages go; Python's `logging` calls it `dbmanager.pool`.
const LOG: &str = "dbmanager::pool";

/// What sessions need.
struct Managed {
    shelf: Shelf,
    gate: Arc<Gate>,
    settings: RwLock<Arc<Settings>>,
}

/// See the head of this file.
pub struct Pool {
    /// The number of the process that it belongs to.
    process: AtomicU32,
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
    /// Somebody else closed its connections' files.
    is_lost: AtomicBool,
}

/// Count a time-out. Tells whether there was a wait at all: what would never have ended was refused at once.
fn count_wait<T>(outcome: &Result<T, InVain>, timeouts: &AtomicU64) -> bool {
    match outcome.as_ref().map_err(|vain| vain.reason) {
        Err(Refusal::Endless(_)) => return false,
        Err(Refusal::TimedOut) => {
            timeouts.fetch_add(1, Ordering::Relaxed);
        }
        Ok(_) | Err(Refusal::Interrupted) => {}
    }
    true
}

impl Pool {
    /// The pool of a file that was seen at a path. Opens nothing yet.
    pub fn new(identity: Identity, path: PathBuf, writers: Arc<Writers>) -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        let size = Settings::default().pool_size;
        let access = identity.access;
        process::watch_forks();
        Arc::new(Self {
            process: AtomicU32::new(process::number()),
            identity,
            file: Mutex::new(FileState::of(path)),
            plain: Shelf::new(access, Door::Plain, size, &counters),
            managed: OnceLock::new(),
            writers,
            holders: Holders::default(),
            counters,
            recently_used: AtomicBool::new(true),
            has_left: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
        })
    }

    /// The pool of a database in memory: one connection, which is the database.
    pub fn in_memory(settings: &Settings) -> Arc<Self> {
        let pool = Self::new(
            Identity::of_memory(),
            PathBuf::from(":memory:"),
            Writers::new(),
        );
        pool.manage(&Arc::new(settings.of_memory()));
        inherited::enlist(&pool);
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

    /// The name of its file without folders, for the log: warnings tell no paths.
    fn label(&self) -> String {
        let file = self.file.lock();
        let name = file.path.file_name().unwrap_or(file.path.as_os_str());
        name.display().to_string()
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
        let waited = since.elapsed();
        if count_wait(&place, &self.counters.timeouts) {
            self.counters.waited_for(waited);
        }
        let place = place.map_err(|vain| self.no_connection(waited, &vain))?;
        Ok((place, true))
    }

    /// `enter` if that takes no time.
    pub fn enter_at_once(&self) -> Option<Place> {
        self.managed().gate.try_enter()
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
        if self.has_left.load(Ordering::Relaxed) {
            return None;
        }
        let CheckedIn { was_quiet, has_wal } = self.check_in_unchanged(look, now)?;
        let Some(mut held) = shelf.take_at_once(now) else {
            self.check_out();
            return None;
        };
        let misses_wal = || has_wal && held.kept().wal_is_there() != Some(true);
        if was_quiet && (held.kept().is_lost() || misses_wal()) {
            self.check_out();
            shelf.give_back(held, self.most_idle(), now);
            return None;
        }
        held.kept_mut().see(look);
        self.counters.acquired.fetch_add(1, Ordering::Relaxed);
        Some(Lease::new(held, Arc::clone(self), now, admission))
    }

    /// Lend a connection that was opened before its file had an identity.
    fn lease_fresh(self: &Arc<Self>, mut kept: Kept, look: &Look) -> Lease {
        self.return_to_path();
        kept.see(look);
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
        let mut held = shelf.take(now);
        if let Some(mut lost) = held.take_if(|held| held.kept().is_lost()) {
            self.is_lost.store(true, Ordering::Relaxed);
            lost.kept_mut().doom = Some(Reason::Broken);
            shelf.give_back(lost, self.most_idle(), now);
            self.discard_idle(Reason::Broken);
        }
        if self.is_lost.load(Ordering::Relaxed) {
            self.check_out();
            return Err(self.lost());
        }
        if look.is_some()
            && let Some(stale) = held.take_if(|held| held.kept().wal_is_there() == Some(false))
        {
            shelf.give_back(stale, self.most_idle(), now);
            self.discard_idle(Reason::Stale);
            held = shelf.take(now);
        }
        let held = match held {
            Some(held) => Ok(held),
            None => self.grow(shelf, path),
        };
        match held {
            Ok(mut held) => {
                if let Some(look) = look {
                    held.kept_mut().see(look);
                }
                self.counters.acquired.fetch_add(1, Ordering::Relaxed);
                Ok(held)
            }
            Err(error) => {
                self.check_out();
                Err(error)
            }
        }
    }

    /// Open a connection to what is at the path now. If that is another file by now, it is not kept.
    fn grow(&self, shelf: &Shelf, path: &Path) -> Result<Held> {
        let mut held = registry::with_room(|| shelf.grow(path))?;
        let traces = held.kept_mut().take_traces();
        self.file.lock().note_opened(traces);
        if !self.is_in_memory() && !Look::at(path).is_ok_and(|look| self.is_of(&look)) {
            held.kept_mut().keep_no_longer();
        }
        Ok(held)
    }

    /// Whether its database is one in memory.
    pub fn is_in_memory(&self) -> bool {
        self.identity.access == Access::Memory
    }

    /// Close the idle connections, and say nothing. Gives how many.
    fn close_all_idle(&self, reason: Reason) -> u32 {
        if self.is_in_memory() {
            // The connection is the database.
            return 0;
        }
        let managed = self.managed.get();
        let close = |shelf: &Shelf| shelf.close_idle(|_| Some(reason));
        close(&self.plain) + managed.map_or(0, |managed| close(&managed.shelf))
    }

    /// Close the idle connections, because a statement wants the file alone.
    pub fn step_aside(&self) {
        self.discard_idle(Reason::Aside);
    }

    fn discard_idle(&self, reason: Reason) -> u32 {
        let closed = self.close_all_idle(reason);
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

    /// `drain`, and let go of all that would keep a thread alive.
    fn prepare_for_fork(&self) {
        self.next_generation();
        self.plain.let_go(Reason::Closed);
        if let Some(managed) = self.managed.get() {
            managed.shelf.let_go(Reason::Closed);
        }
    }

    /// Close the idle connections now, and those that are lent when they come back.
    pub fn drain(&self) {
        self.next_generation();
        self.discard_idle(Reason::Closed);
        vfs::close_parked();
    }

    /// Keep another number of connections, and let another number of sessions in.
    pub fn resize(&self, settings: &Arc<Settings>) {
        let settings = &match self.is_in_memory() {
            true => Arc::new(settings.of_memory()),
            false => Arc::clone(settings),
        };
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

    /// Wait for this thread's turn to write, which it has waited for already for some time. Blocks.
    pub fn turn(&self, already: Duration) -> Result<Turn> {
        if let Some(turn) = self.writers.try_enter() {
            return Ok(turn);
        }
        let timeout = self.managed().settings.read().pool_timeout;
        let since = Instant::now();
        let turn = self.writers.enter(timeout.saturating_sub(already));
        let waited = since.elapsed();
        if count_wait(&turn, &self.counters.writers_timeouts) {
            self.counters.writer_waited_for(waited);
        }
        turn.map_err(|vain| self.no_turn(already + waited, &vain))
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
                    self.label(),
                    held.as_secs_f64()
                );
            }
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
            parked: vfs::parked(),
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
            parked: vfs::parked(),
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
