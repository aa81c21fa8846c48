//! Which file is at a pool's path: letting go of one that another has replaced, following one that was moved.

use super::identity::Look;
use super::statistics::Reason;
use super::{Pool, registry};
use crate::core::process;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Pool {
    /// Close the connections, because the path names another file now: the idle ones at once, those that are lent
    /// (to the housekeeper, say) when they come back.
    pub fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.next_generation();
        self.discard_idle(Reason::Stale);
        // From now on the new file's pool may open connections.
        self.set_lost_wal(true);
    }

    /// Tell those who close connections whether the `-wal` file at the path belongs to another file.
    fn set_lost_wal(&self, lost: bool) {
        self.plain.opener.set_lost_wal(lost);
        if let Some(managed) = self.managed.get() {
            managed.shelf.opener.set_lost_wal(lost);
        }
    }

    /// Whether another file has taken its place, as far as is known.
    pub fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Relaxed)
    }

    /// Its file is at the path again (the same file, or another one with the number of the old inode): the pool whose
    /// file was there meanwhile lets go.
    pub(super) fn return_to_path(self: &Arc<Self>) {
        if self.has_left.swap(false, Ordering::Relaxed) {
            self.set_lost_wal(false);
            let path = self.file.lock().path.clone();
            registry::arrive(path, self);
        }
    }

    pub(super) fn next_generation(&self) {
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

    /// Whether it is this process's. What a child of `fork()` gets from its parent is left alone: its threads are gone, its
    /// locks may be held by them, its connections believe in locks that only the parent has. A database in memory is the
    /// child's own, like all its memory (`inherit`).
    #[inline]
    pub fn is_here(&self) -> bool {
        self.process.load(Ordering::Relaxed) == process::number()
    }

    /// Use a pool of a database in memory on in the child of a fork, which has one thread at this moment, unless another
    /// one of the parent was using it.
    pub(super) fn inherit(&self) {
        let managed = self.managed.get();
        let is_whole = self.file.try_lock().is_some()
            && self.holders.is_whole()
            && self.writers.is_whole()
            && self.plain.is_whole()
            && managed.is_none_or(|managed| {
                let is_set = managed.settings.try_read().is_some();
                is_set && managed.gate.is_whole() && managed.shelf.is_whole()
            });
        if is_whole {
            self.writers.inherit();
            if let Some(managed) = managed {
                managed.gate.inherit();
            }
            self.process.store(process::number(), Ordering::Relaxed);
        }
    }

    /// Whether its connections call the journals after this very path.
    pub fn is_at(&self, path: &Path) -> bool {
        self.file.lock().path == path
    }

    /// Whether it is the pool of what was seen at the path by which the pool was found before.
    pub fn is_of(&self, look: &Look) -> bool {
        self.is_here()
            && self.identity.file == look.id
            && self.identity.name.is_some() == look.has_other_names
    }

    /// Close the idle connections of a file that is not at its path any more: they would keep its space on the disk.
    /// Those of one that others have written to: they keep the index of a WAL that may belong to another content. And
    /// those whose `-wal` or `-shm` file was removed: they would not see what others write.
    pub(super) fn let_go_of_what_is_gone(&self) {
        if self.is_in_memory() || self.load().idle == 0 {
            return;
        }
        let path = self.file.lock().path.clone();
        let look = Look::at(&path).ok().filter(|look| self.is_of(look));
        let Some(look) = look else {
            self.leave();
            return;
        };
        let is_stale = {
            let file = self.file.lock();
            file.was_overwritten(&look) || file.misses_wal()
        };
        if is_stale {
            self.discard_idle(Reason::Stale);
        }
    }
}
