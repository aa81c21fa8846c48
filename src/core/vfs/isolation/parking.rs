//! Descriptors that can't be closed yet: they are without locks, for the next open of the file or a better moment.

use super::system::{Whole, close_at_once, is_writable, lock_whole};
use super::{FileKey, Files, Isolation, Parked, key_of};
use crate::core::vfs::descriptors::{self, NONE};
use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;

/// So many descriptors of a file that is in use may wait for its last close; of more, each is closed when nobody at all
/// has a lock.
pub(super) const PARKED_OF_USED_FILE: usize = 16;

impl Isolation {
    /// A parked descriptor in the place of a new one.
    #[inline]
    pub(super) fn reuse(&self, path: &CStr, flags: c_int) -> Option<c_int> {
        let new = libc::O_EXCL | libc::O_TRUNC | libc::O_DIRECTORY;
        match self.parked() > 0 && flags & new == 0 {
            true => self.find_parked(path, flags),
            false => None,
        }
    }

    #[cold]
    pub(super) fn find_parked(&self, path: &CStr, flags: c_int) -> Option<c_int> {
        let is_writable = flags & libc::O_ACCMODE == libc::O_RDWR;
        let access = match is_writable {
            true => libc::R_OK | libc::W_OK,
            false => libc::R_OK,
        };
        let mut status = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the path is a C string, and the kernel writes to a place of the right size.
        let status = unsafe {
            let at = libc::AT_FDCWD;
            let is_there = libc::lstat(path.as_ptr(), status.as_mut_ptr()) == 0
                // The process may have given up rights since.
                && libc::faccessat(at, path.as_ptr(), access, libc::AT_EACCESS) == 0;
            is_there.then(|| status.assume_init())?
        };
        self.take_parked(&mut self.files(), key_of(&status), is_writable)
    }

    pub(super) fn take_parked(
        &self,
        files: &mut Files,
        key: FileKey,
        is_writable: bool,
    ) -> Option<c_int> {
        let parked = files.parked.get_mut(&key)?;
        let fits = |one: &Parked| one.is_writable == is_writable;
        let one = parked.swap_remove(parked.iter().position(fits)?);
        if parked.is_empty() {
            files.parked.remove(&key);
        }
        self.parked.fetch_sub(1, Ordering::Relaxed);
        Some(one.descriptor)
    }

    /// Park a descriptor that has no locks.
    pub(super) fn park(&self, files: &mut Files, descriptor: c_int) -> c_int {
        let Some(status) = descriptors::status(descriptor) else {
            return close_at_once(descriptor);
        };
        let key = key_of(&status);
        let parked = files.parked.entry(key).or_default();
        parked.push(Parked {
            descriptor,
            is_writable: is_writable(descriptor),
        });
        self.parked.fetch_add(1, Ordering::Relaxed);
        if parked.len() > PARKED_OF_USED_FILE && files.lockers.contains_key(&key) {
            // Each for itself: it excludes our own locks, too.
            let before = parked.len();
            parked.retain(|one| match lock_whole(one.descriptor) {
                Whole::Locked => close_at_once(one.descriptor) != 0,
                Whole::Quiet | Whole::InUse | Whole::Never => true,
            });
            self.forget(before - parked.len());
        }
        0
    }

    pub(super) fn forget(&self, closed: usize) {
        self.parked.fetch_sub(closed as u32, Ordering::Relaxed);
    }

    /// Close the parked descriptors of a file that SQLite has not open, if nobody has a lock on it.
    pub(super) fn close_parked_of(&self, files: &mut Files, key: FileKey) -> c_int {
        if files.lockers.contains_key(&key) {
            return 0;
        }
        let Some(parked) = files.parked.get(&key) else {
            return 0;
        };
        let keeper = parked
            .iter()
            .find(|one| one.is_writable)
            .or(parked.first())
            .map_or(NONE, |one| one.descriptor);
        if lock_whole(keeper) == Whole::InUse {
            return 0;
        }
        let others = parked.iter().map(|one| one.descriptor);
        let mut outcome = 0;
        for descriptor in others.filter(|descriptor| *descriptor != keeper) {
            outcome |= close_at_once(descriptor);
        }
        // It has the lock.
        outcome |= close_at_once(keeper);
        self.forget(parked.len());
        files.parked.remove(&key);
        outcome
    }

    /// Close what is parked, as far as nobody has a lock on its file.
    pub fn close_parked(&self) {
        if self.parked() == 0 {
            return;
        }
        self.close_all_parked(&mut self.files());
    }

    pub(super) fn close_all_parked(&self, files: &mut Files) {
        let keys: Vec<_> = files.parked.keys().copied().collect();
        for key in keys {
            self.close_parked_of(files, key);
        }
    }
}
