//! The online backup API: copy the pages of one database into another, some at a time.

use super::database::{Database, LockGuard};
use crate::core::error::{Error, Result};
use crate::core::text::Effect;
use rusqlite::ffi;
use std::ffi::{CStr, c_int};
use std::sync::Arc;

/// A copy in progress. Dropped unfinished, it leaves the destination rolled back.
pub struct Backup {
    raw: *mut ffi::sqlite3_backup,
    source: Arc<Database>,
    destination: Arc<Database>,
}

// SAFETY: all use of `raw` happens under the locks of both databases.
unsafe impl Send for Backup {}

/// Where a copy stands after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// SQLITE_OK, SQLITE_DONE, SQLITE_BUSY, SQLITE_LOCKED or an error.
    pub code: c_int,
    /// Pages still to copy.
    pub remaining: c_int,
    /// Pages of the source.
    pub page_count: c_int,
}

impl Backup {
    /// Begin to copy schema `name` of `source` over the main database of `destination`.
    pub fn begin(source: &Arc<Database>, destination: &Arc<Database>, name: &CStr) -> Result<Self> {
        let (from, to) = lock_both(source, destination);
        // All of the destination is new, its header included.
        destination.taint();
        destination.note(Effect::WROTE);
        // SAFETY: both handles are open and locked by us.
        let raw = unsafe {
            ffi::sqlite3_backup_init(to.handle(), c"main".as_ptr(), from.handle(), name.as_ptr())
        };
        if raw.is_null() {
            return Err(Error::Sqlite(to.last_failure()));
        }
        for guard in [&from, &to] {
            guard.backups().set(guard.backups().get() + 1);
        }
        Ok(Self {
            raw,
            source: Arc::clone(source),
            destination: Arc::clone(destination),
        })
    }

    /// Copy up to `pages` pages (all if negative).
    pub fn step(&mut self, pages: c_int) -> Result<Progress> {
        let (from, to) = lock_both(&self.source, &self.destination);
        if !from.database().is_open() || !to.database().is_open() {
            return Err(from.database().why_closed());
        }
        // SAFETY: the backup is unfinished and both handles are open and locked.
        unsafe {
            Ok(Progress {
                code: ffi::sqlite3_backup_step(self.raw, pages),
                remaining: ffi::sqlite3_backup_remaining(self.raw),
                page_count: ffi::sqlite3_backup_pagecount(self.raw),
            })
        }
    }

    /// End the copy and learn whether it succeeded.
    pub fn finish(mut self) -> Result<()> {
        let destination = Arc::clone(&self.destination);
        let code = self.end();
        let guard = destination.lock();
        guard.check(code)
    }

    fn end(&mut self) -> c_int {
        if self.raw.is_null() {
            return ffi::SQLITE_OK;
        }
        let raw = std::mem::replace(&mut self.raw, std::ptr::null_mut());
        let (from, to) = lock_both(&self.source, &self.destination);
        for guard in [&from, &to] {
            guard.backups().set(guard.backups().get() - 1);
        }
        // SAFETY: the backup is unfinished and not used again; `can_close` kept both handles open.
        unsafe { ffi::sqlite3_backup_finish(raw) }
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        self.end();
    }
}

/// Lock two databases in the order of their addresses, so that two backups can't wait for each other.
fn lock_both<'a>(
    source: &'a Database,
    destination: &'a Database,
) -> (LockGuard<'a>, LockGuard<'a>) {
    if std::ptr::from_ref(source) < std::ptr::from_ref(destination) {
        let first = source.lock();
        (first, destination.lock())
    } else {
        let first = destination.lock();
        (source.lock(), first)
    }
}
