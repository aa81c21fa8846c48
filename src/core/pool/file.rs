//! What a pool knows of its file between leases: who changes it, and how it is left when the last connection is back.

use super::identity::{Beside, Look, Stamp};
use super::opener::Kept;
use super::settings::Settings;
use super::{LOG, Pool, places};
use crate::core::error::Result;
use crate::core::process::{self, PerProcess};
use crate::core::sync::MutexGuard;
use crate::core::text::Effect;
use crate::core::vfs::Traces;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What is known of the file, to notice when somebody else puts another content there.
pub struct FileState {
    /// The canonical path at which it was seen.
    pub path: PathBuf,
    wal: Beside,
    /// Connections that are lent.
    pub lent: u32,
    /// How the file looked when no connection was lent for the last time.
    stamp: Option<Stamp>,
    /// Something was written since.
    pub written: bool,
    /// Not only to the WAL.
    written_itself: bool,
    /// Something was written since that is to be in the file itself when the last one comes back: through `connect()`, or by
    /// sessions that are set so.
    wants_checkpoint: bool,
    /// The WAL holds something that sessions committed.
    wal_content: Unfiled,
    /// There was a `-wal` file then.
    has_wal: bool,
    /// When the last one came back.
    quiet_since: Instant,
    /// When the idle connections were last looked through.
    pub swept: Instant,
}

/// Within this time nobody removes a file and comes back, so that a look at the `-wal` file is spared.
const BLINK: Duration = Duration::from_micros(2);

impl FileState {
    /// What is known at first of the file at a path.
    pub fn of(path: PathBuf) -> Self {
        Self {
            wal: Beside::wal(&path),
            path,
            lent: 0,
            stamp: None,
            written: false,
            written_itself: false,
            wants_checkpoint: false,
            wal_content: Unfiled::default(),
            has_wal: false,
            quiet_since: Instant::now(),
            swept: Instant::now(),
        }
    }

    pub fn set_path(&mut self, path: PathBuf) {
        self.wal = Beside::wal(&path);
        self.path = path;
    }

    /// A connection was opened, which may have recovered the file or switched it to WAL.
    pub fn note_opened(&mut self, traces: Option<Traces>) {
        self.written = true;
        self.written_itself |= traces.is_none_or(|traces| traces.wrote);
    }

    /// Whether the file was changed by others since all connections were back.
    fn was_changed(&self, look: &Look) -> bool {
        self.stamp.is_some_and(|stamp| stamp != look.stamp)
    }

    /// Whether others wrote into the file itself while no connection is lent.
    pub fn was_overwritten(&self, look: &Look) -> bool {
        self.lent == 0 && self.was_changed(look)
    }

    /// Whether somebody may have removed the `-wal` file since.
    fn may_miss_wal(&self, now: Instant) -> bool {
        self.has_wal && now.saturating_duration_since(self.quiet_since) > BLINK
    }

    /// Whether there is something in the WAL, though the file is as it was left. Two system calls.
    fn others_left_wal_content(&self) -> bool {
        let is_as_it_was = || Look::at(&self.path).is_ok_and(|look| Some(look.stamp) == self.stamp);
        self.wal.has_content() && is_as_it_was()
    }

    /// Whether the `-wal` file that there was is gone, or its index. Two system calls.
    pub fn misses_wal(&self) -> bool {
        let is_there = || self.wal.exists() && Beside::shm(&self.path).exists();
        self.lent == 0 && self.has_wal && !is_there()
    }
}

/// Whether others wrote into the file itself, which looked so when nobody of this process had written there yet. Then it
/// keeps the stamp that it had, by which the next user knows that the connections there are have pages of before.
fn others_wrote(was: Option<Stamp>, path: &Path) -> bool {
    was.is_some_and(|was| Look::at(path).is_ok_and(|look| look.stamp != was))
}

/// How many pools of the process have something in their WAL that is not in the file.
static UNFILED: PerProcess<AtomicU32> = PerProcess::new(AtomicU32::default);

/// Whether any has.
#[inline]
fn has_unfiled() -> bool {
    UNFILED.load(Ordering::Relaxed) > 0
}

/// Whether something is in the WAL only, and in which process that is counted.
#[derive(Default)]
struct Unfiled(Option<u32>);

impl Unfiled {
    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    fn set(&mut self, is_there: bool) {
        let now = process::number();
        match (self.0, is_there) {
            (None, true) => {
                UNFILED.fetch_add(1, Ordering::Relaxed);
                self.0 = Some(now);
            }
            (Some(counted_in), false) => {
                if counted_in == now {
                    UNFILED.fetch_sub(1, Ordering::Relaxed);
                }
                self.0 = None;
            }
            _ => {}
        }
    }
}

impl Drop for Unfiled {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// A connection is counted as lent.
pub struct CheckedIn {
    /// Nobody used the file for a while: the connection's files are to be looked at.
    pub was_quiet: bool,
    /// There was a `-wal` file.
    pub has_wal: bool,
}

impl Pool {
    /// Count a connection as lent unless the file was changed by others since all were back.
    pub(super) fn check_in_unchanged(&self, look: &Look, now: Instant) -> Option<CheckedIn> {
        let mut file = self.file.lock();
        let quiet = file.lent == 0;
        if quiet && (file.stamp.is_none() || file.was_changed(look)) {
            return None;
        }
        file.lent += 1;
        Some(CheckedIn {
            was_quiet: quiet && now.saturating_duration_since(file.quiet_since) > BLINK,
            has_wal: file.has_wal,
        })
    }

    /// Take back that a connection is lent.
    pub(super) fn check_out(&self) {
        self.file.lock().lent -= 1;
    }

    /// Count a connection as lent. Tells whether the file was changed by others since all were back.
    pub(super) fn check_in(&self, look: Option<&Look>, now: Instant) -> bool {
        let mut file = self.file.lock();
        let quiet = file.lent == 0;
        file.lent += 1;
        let Some(look) = look else {
            return false;
        };
        let misses_wal = || file.may_miss_wal(now) && !file.wal.exists();
        let changed = quiet && (file.was_changed(look) || misses_wal());
        if quiet {
            file.stamp = Some(look.stamp);
            file.has_wal &= !changed;
        }
        changed
    }

    /// Count a connection as back. The last one leaves the file as the last `close()` of the stdlib's would: with
    /// all in it that was committed.
    pub(super) fn settle(&self, kept: &mut Kept, connect: bool, now: Instant) {
        let wrote = kept.connection.database().effects().has(Effect::WROTE);
        kept.connection.database().forget_effects();
        let traces = match wrote || self.file.lock().written {
            true => kept.take_traces(),
            false => None,
        };
        let mut file = self.file.lock();
        file.written |= wrote;
        file.wants_checkpoint |= wrote && connect;
        if wrote {
            file.wal_content.set(true);
        }
        if !file.written {
            file.lent -= 1;
            file.quiet_since = now;
            let was_last = file.lent == 0;
            drop(file);
            if was_last && connect && has_unfiled() {
                self.file_what_others_left(now);
            }
            return;
        }
        file.written_itself |= traces.is_none_or(|traces| traces.wrote || !traces.uses_wal);
        if file.lent > 1 {
            file.lent -= 1;
            return;
        }
        let at_once = wrote && !connect && self.checkpoint_after() == Some(Duration::ZERO);
        file.wants_checkpoint |= at_once;
        if !file.written_itself && !file.wants_checkpoint && kept.doom.is_none() {
            // The file is as it was, and the WAL is there.
            kept.remember_wal();
            file.lent -= 1;
            file.written = false;
            file.has_wal = true;
            file.quiet_since = Instant::now();
            return;
        }
        self.settle_changed(kept, connect, file);
    }

    /// `settle` for the last connection, when the file itself was changed or is to be.
    fn settle_changed(&self, kept: &mut Kept, connect: bool, mut file: MutexGuard<'_, FileState>) {
        let checkpoints = std::mem::take(&mut file.wants_checkpoint);
        let (path, wal) = (file.path.clone(), file.wal.clone());
        let was = file.stamp.filter(|_| !file.written_itself);
        let only_wal = !file.written_itself;
        drop(file);
        let others = others_wrote(was, &path);
        let empty = checkpoints && self.is_emptied(self.checkpoint(kept, connect));
        let stamp = Look::at(&path).ok().map(|look| look.stamp);
        let has_wal = wal.exists();
        if only_wal && !others {
            // Only this checkpoint changed it.
            kept.seen = stamp;
        }
        let mut file = self.file.lock();
        file.lent -= 1;
        if file.lent == 0 {
            file.written = false;
            file.written_itself = false;
            if !others {
                file.stamp = stamp;
            }
            file.has_wal = has_wal;
            if empty {
                file.wal_content.set(false);
            }
            file.quiet_since = Instant::now();
        }
    }

    /// How long what was committed may stay in the WAL when nobody uses the file.
    fn checkpoint_after(&self) -> Option<Duration> {
        match self.managed.get() {
            Some(managed) => managed.settings.read().checkpoint_after,
            None => Settings::default().checkpoint_after,
        }
    }

    /// Bring what was committed into the file, through this connection or, if it was closed, an idle one. Without
    /// patience: when others are reading, their last `close()` does it.
    /// Tells whether the WAL is empty afterwards.
    fn checkpoint(&self, kept: &Kept, connect: bool) -> Result<bool> {
        if self.has_left() {
            // The WAL at the path is another file's.
            return Ok(false);
        }
        let run = |kept: &Kept, timeout: Duration| {
            let guard = kept.connection.database().lock();
            guard.set_busy_timeout(Duration::ZERO);
            let outcome = guard.checkpoint();
            guard.set_busy_timeout(timeout);
            guard.remember_wal();
            // These are known.
            guard.take_traces();
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
    /// finds no rest of it beside. Also of what others left there, whose last close empties it as a rule, but not while
    /// a connection of ours has the file open.
    pub(super) fn tidy(&self, now: Instant) {
        let after = self.checkpoint_after();
        self.empty_wal(now, |file| {
            let idle = now.saturating_duration_since(file.quiet_since);
            let rests = after.is_some_and(|after| idle >= after);
            rests && (file.wal_content.is_there() || file.others_left_wal_content())
        });
    }

    /// Bring what sessions committed, and what others left in the WAL, into the file at once, as somebody is about to read
    /// it. Waits for no lock of others.
    pub(super) fn file_now(&self, now: Instant) {
        self.empty_wal(now, |file| {
            file.wal_content.is_there() || file.others_left_wal_content()
        });
    }

    /// The last connection of `connect()` is back: what connections of this file that were opened in another way could not
    /// bring into it while this one was reading.
    #[cold]
    fn file_what_others_left(&self, now: Instant) {
        for other in places::others(self) {
            other.file_now(now);
        }
    }

    fn empty_wal(&self, now: Instant, is_wanted: impl FnOnce(&FileState) -> bool) {
        let others = {
            let mut file = self.file.lock();
            if file.lent > 0 || self.is_in_memory() || !is_wanted(&file) {
                return;
            }
            // As if it were lent, so that nobody takes the file for changed by others.
            file.lent += 1;
            file.written = true;
            others_wrote(file.stamp, &file.path)
        };
        let managed = self.managed.get().map(|managed| (&managed.shelf, false));
        let shelves = [managed, Some((&self.plain, true))];
        let outcome = shelves.into_iter().flatten().find_map(|(shelf, connect)| {
            shelf.with_idle(self.most_idle(), now, |kept| self.checkpoint(kept, connect))
        });
        let empty = self.is_emptied(outcome.unwrap_or(Ok(true)));
        let look = Look::at(&self.file.lock().path.clone()).ok();
        let mut file = self.file.lock();
        file.lent -= 1;
        if file.lent == 0 {
            file.written = false;
            file.written_itself = false;
            if !others {
                file.stamp = look.map(|look| look.stamp);
            }
            file.wal_content.set(!empty);
        }
    }
}
