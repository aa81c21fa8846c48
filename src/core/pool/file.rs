//! What a pool knows of its file between leases: who changes it, and how it is left when the last connection is back.

use super::identity::{Beside, Look, Stamp};
use super::opener::Kept;
use super::{LOG, Pool};
use crate::core::error::Result;
use crate::core::sync::MutexGuard;
use crate::core::text::Effect;
use std::path::PathBuf;
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
    /// Something was written through `connect()` since.
    written_by_connect: bool,
    /// The WAL holds something that sessions committed.
    has_wal_content: bool,
    /// There was a `-wal` file then.
    has_wal: bool,
    /// When the last one came back.
    quiet_since: Instant,
    /// When the idle connections were last looked through.
    pub swept: Instant,
}

/// After this time without use the WAL of a managed database is emptied.
const TIDY_AFTER: Duration = Duration::from_secs(1);

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
            written_by_connect: false,
            has_wal_content: false,
            has_wal: false,
            quiet_since: Instant::now(),
            swept: Instant::now(),
        }
    }

    pub fn set_path(&mut self, path: PathBuf) {
        self.wal = Beside::wal(&path);
        self.path = path;
    }

    /// Whether the file was changed by others since all connections were back.
    fn was_changed(&self, look: &Look) -> bool {
        self.stamp.is_some_and(|stamp| stamp != look.stamp)
    }

    /// Whether somebody may have removed the `-wal` file since.
    fn may_miss_wal(&self, now: Instant) -> bool {
        self.has_wal && now.saturating_duration_since(self.quiet_since) > BLINK
    }

    /// Whether the `-wal` file that there was is gone, or its index. Two system calls.
    pub fn misses_wal(&self) -> bool {
        let is_there = || self.wal.exists() && Beside::shm(&self.path).exists();
        self.lent == 0 && self.has_wal && !is_there()
    }
}

/// A connection is counted as lent.
pub struct CheckedIn {
    /// Nobody used the file for a while: the connection's `-wal` file is to be looked at.
    pub doubts_wal: bool,
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
            doubts_wal: quiet && file.may_miss_wal(now),
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
        if self.has_left() {
            // The WAL at the path is another file's.
            return Ok(false);
        }
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
    pub(super) fn tidy(&self, now: Instant) {
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
}
