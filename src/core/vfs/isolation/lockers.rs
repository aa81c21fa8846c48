//! The descriptors through which files are locked: which one, how it is opened, and how a better one takes its place.

use super::system::{
    change_lock, is_about_room, is_forbidden, is_writable, let_locks_go, no_locker, ofd_lock,
    open_again, whole_file,
};
use super::{FileKey, Files, Isolation, Locker, key_of};
use crate::core::vfs::descriptors::{self, Known};
use std::ffi::c_int;
use std::io;

/// The bytes of a database file that SQLite locks for those who read it (`SHARED_FIRST` in os_unix.c).
pub(super) const SHARED_LOCKS: std::ops::Range<i64> = 0x4000_0002..0x4000_0200;

impl Isolation {
    /// The descriptor for the locks of a file; None if they can't be isolated.
    pub(super) fn locker(
        &self,
        files: &mut Files,
        descriptor: c_int,
        key: FileKey,
        is_index: bool,
    ) -> io::Result<Option<c_int>> {
        if !is_index && files.lockers.contains_key(&key) {
            return self.known_locker(files, descriptor, key).map(Some);
        }
        // Giving back what nobody has: does nothing, but tells whether there are such locks here.
        if let Err(error) = ofd_lock(descriptor, libc::F_UNLCK) {
            self.refuse(&format!(
                "the file system has no locks of open files ({error})"
            ));
            return Ok(None);
        }
        let mut can_write = true;
        let opened = match self.open_to_write(files, descriptor, key) {
            // SQLite gives the index that it makes and writes to the permissions of the database. It is its own locker
            // then: a child that lives on with the mapping keeps its locks, but else nobody could take them.
            Err(error) if is_forbidden(&error) && is_index && is_writable(descriptor) => {
                Ok(descriptor)
            }
            Err(error) if is_forbidden(&error) => {
                can_write = false;
                open_again(descriptor, libc::O_RDONLY)
            }
            outcome => outcome,
        };
        let locker = match opened {
            Ok(locker) => locker,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.refuse(&format!("there is no /proc/self/fd ({error})"));
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if !is_index {
            let new = Locker {
                descriptor: locker,
                users: 1,
                is_writable: can_write,
                successor: None,
            };
            files.lockers.insert(key, new);
        }
        Ok(Some(locker))
    }

    /// The locker of a file that has one, for one more descriptor. If that may write, and the locker can't, a successor
    /// is opened now.
    pub(super) fn known_locker(
        &self,
        files: &mut Files,
        descriptor: c_int,
        key: FileKey,
    ) -> io::Result<c_int> {
        let can_write = |locker: &Locker| locker.is_writable || locker.successor.is_some();
        let mut successor = None;
        if !files.lockers.get(&key).is_some_and(can_write) && is_writable(descriptor) {
            successor = match self.open_to_write(files, descriptor, key) {
                // The permission that its own open had is gone again.
                Err(error) if is_forbidden(&error) => None,
                outcome => Some(outcome?),
            };
        }
        let locker = files.lockers.get_mut(&key).ok_or_else(no_locker)?;
        locker.successor = locker.successor.or(successor);
        locker.users += 1;
        Ok(locker.descriptor)
    }

    /// A descriptor of a file for writing, with an open file description of its own.
    pub(super) fn open_to_write(
        &self,
        files: &mut Files,
        descriptor: c_int,
        key: FileKey,
    ) -> io::Result<c_int> {
        if let Some(parked) = self.take_parked(files, key, true) {
            return Ok(parked);
        }
        match open_again(descriptor, libc::O_RDWR) {
            Err(error) if self.parked() > 0 && is_about_room(&error) => {
                self.close_all_parked(files);
                open_again(descriptor, libc::O_RDWR)
            }
            outcome => outcome,
        }
    }

    /// Have a file's locks go through the successor of its locker from now on, with those that the locker has.
    ///
    /// Called for a lock to write. Nobody else locks the file meanwhile, because SQLite holds its mutex of the inode
    /// (`pLockMutex` in os_unix.c).
    #[cold]
    pub(super) fn succeed(&self, descriptor: c_int) -> io::Result<c_int> {
        let mut files = self.files();
        let status = descriptors::status(descriptor).ok_or_else(io::Error::last_os_error)?;
        let locker = files.lockers.get_mut(&key_of(&status));
        let locker = locker.ok_or_else(no_locker)?;
        let successor = locker.successor.ok_or_else(no_locker)?;
        // All that a descriptor for reading can have between two calls of SQLite's: it lets the byte before go at once.
        // Who wants to write has it, too.
        let shared = libc::flock {
            l_start: SHARED_LOCKS.start,
            l_len: SHARED_LOCKS.end - SHARED_LOCKS.start,
            ..whole_file(libc::F_RDLCK)
        };
        change_lock(successor, &shared)?;
        locker.successor = None;
        locker.is_writable = true;
        let before = std::mem::replace(&mut locker.descriptor, successor);
        self.descriptors
            .replace(Known::Locks(before), Known::Locks(successor));
        // Not closed, which would drop the locks of the other copy.
        let_locks_go(before);
        self.park(&mut files, before);
        Ok(successor)
    }
}
