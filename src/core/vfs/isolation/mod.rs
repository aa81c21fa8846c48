//! Locks that another copy of SQLite in this process can neither miss nor drop, and closes that drop none of its own.
//!
//! SQLite locks with record locks, which belong to the process: two copies of it in one process don't see each other's,
//! and whoever closes any descriptor of a file drops all that the process has on it
//! (sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_). So our copy takes
//! locks of open file descriptions instead (fcntl(2), F_OFD_SETLK), which exclude record locks, those of this process
//! too, and end only with their own description.
//!
//! SQLite keeps account of locks by inode and takes each through whatever descriptor is at hand, so all of one database
//! file go through one descriptor of ours, with a description that is its own. A WAL index has one descriptor for all
//! connections already, but it is mapped, and a mapping that a child inherits keeps a description: it gets one, too.
//!
//! A close would still drop the locks of the other copy. So a file's descriptors are closed together, when SQLite has
//! none of them open any more, while we hold the whole file exclusively: then nobody has a lock to lose. When that is
//! refused they are parked, all without locks, for the next open of the file or a better moment.

mod lockers;
mod parking;
mod system;
#[cfg(test)]
mod tests;

use super::descriptors::{self, Descriptors, Known, NONE};
use crate::core::process::InHand;
use crate::core::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use system::{
    Whole, close_at_once, is_for_reading_only, is_out_of_descriptors, let_locks_go, lock_whole,
    set_errno,
};

/// The isolation of the library that is linked here.
pub static ISOLATION: Isolation = Isolation::new();

/// The bytes of a WAL index that are locked (sqlite.org/walformat.html#locks). In a database file they are beyond 1 GB.
const INDEX_LOCKS: std::ops::Range<i64> = 120..129;

/// Device and inode.
type FileKey = (u64, u64);

/// The descriptor through which a database file's locks go.
struct Locker {
    descriptor: c_int,
    /// How many descriptors of SQLite's lock through it.
    users: u32,
    /// Whether it can take locks to write: not if the process could only read the file when it was opened.
    is_writable: bool,
    /// One that can, without locks yet. It takes over at the first lock to write.
    successor: Option<c_int>,
}

/// An open descriptor that nobody uses and that has no locks.
struct Parked {
    descriptor: c_int,
    is_writable: bool,
}

struct Files {
    lockers: BTreeMap<FileKey, Locker>,
    parked: BTreeMap<FileKey, Vec<Parked>>,
}

/// See the head of this file.
pub struct Isolation {
    descriptors: Descriptors,
    files: Mutex<Files>,
    /// How many descriptors are parked.
    parked: AtomicU32,
    /// Why some file has record locks of the process after all.
    refused: OnceLock<String>,
    /// The files, while the process forks.
    held: InHand<MutexGuard<'static, Files>>,
}

impl Isolation {
    const fn new() -> Self {
        Self {
            descriptors: Descriptors::new(),
            files: Mutex::new(Files {
                lockers: BTreeMap::new(),
                parked: BTreeMap::new(),
            }),
            parked: AtomicU32::new(0),
            refused: OnceLock::new(),
            held: InHand::new(),
        }
    }

    /// Nothing logs meanwhile, and SQLite is not called.
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock()
    }

    /// How many descriptors wait to be closed.
    pub fn parked(&self) -> u32 {
        self.parked.load(Ordering::Relaxed)
    }

    /// Whether a descriptor of a database file is one of our copy's.
    pub fn has_opened(&self, descriptor: c_int) -> bool {
        let files = self.files();
        let mut lockers = files.lockers.values();
        let mut parked = files.parked.values().flatten();
        self.descriptors.get(descriptor) != Known::No
            || lockers.any(|one| one.descriptor == descriptor || one.successor == Some(descriptor))
            || parked.any(|one| one.descriptor == descriptor)
    }

    /// Why the locks of some file are not isolated, once that has happened.
    pub fn refused(&self) -> Option<&str> {
        self.refused.get().map(String::as_str)
    }

    /// `open(2)` for SQLite, of a database file or of one that goes with it.
    ///
    /// # Safety
    /// `path` is a C string.
    pub unsafe fn open(
        &self,
        path: *const c_char,
        flags: c_int,
        mode: c_int,
        is_database: impl FnOnce() -> bool,
    ) -> c_int {
        // SAFETY: as the caller promises.
        let path = unsafe { CStr::from_ptr(path) };
        // SAFETY: as above; a mode is given.
        let open = || unsafe { libc::open(path.as_ptr(), flags, mode) };
        let mut descriptor = self.reuse(path, flags).unwrap_or_else(open);
        if descriptor < 0 && self.parked() > 0 && is_out_of_descriptors() {
            self.close_parked();
            descriptor = open();
        }
        // A temporary file has no locks, and a child that goes on with a database in memory needs it.
        if flags & libc::O_EXCL == 0 {
            self.descriptors.set(descriptor, Known::Open);
        }
        match descriptor >= 0 && path.to_bytes().ends_with(b"-shm") && !is_database() {
            true => self.prepared_index(descriptor),
            false => descriptor,
        }
    }

    /// A WAL index that was just opened, with a descriptor for its locks: see `prepare`.
    #[cold]
    fn prepared_index(&self, descriptor: c_int) -> c_int {
        let Err(error) = self.give_locker(descriptor, true) else {
            return descriptor;
        };
        self.close(descriptor);
        set_errno(error.raw_os_error().unwrap_or(libc::EIO));
        NONE
    }

    /// Have the locks of a database file, which SQLite just opened, go through a descriptor of ours. Else it is done at
    /// the first lock, where SQLite has no good word for a process that can't open any more files.
    pub fn prepare(&self, descriptor: c_int) -> io::Result<()> {
        match self.descriptors.get(descriptor) {
            Known::Open => self.give_locker(descriptor, false),
            _ => Ok(()),
        }
    }

    #[cold]
    fn give_locker(&self, descriptor: c_int, is_index: bool) -> io::Result<()> {
        let mut files = self.files();
        if self.descriptors.get(descriptor) != Known::Open {
            // Another thread was quicker.
            return Ok(());
        }
        let status = descriptors::status(descriptor).ok_or_else(io::Error::last_os_error)?;
        let key = key_of(&status);
        let known = match self.locker(&mut files, descriptor, key, is_index)? {
            None => Known::Plain,
            Some(locker) if is_index => Known::IndexLocks(locker),
            Some(locker) => Known::Locks(locker),
        };
        self.descriptors.set(descriptor, known);
        Ok(())
    }

    fn refuse(&self, why: &str) {
        self.refused.get_or_init(|| why.to_owned());
    }

    /// `fcntl(2)` for SQLite.
    ///
    /// # Safety
    /// `argument` is what the command wants.
    #[inline]
    pub unsafe fn control(
        &self,
        descriptor: c_int,
        command: c_int,
        argument: *mut libc::c_void,
    ) -> c_int {
        let ofd_command = match command {
            libc::F_SETLK => libc::F_OFD_SETLK,
            libc::F_SETLKW => libc::F_OFD_SETLKW,
            libc::F_GETLK => libc::F_OFD_GETLK,
            // SAFETY: as the caller promises.
            _ => return unsafe { libc::fcntl(descriptor, command, argument) },
        };
        let mut known = self.descriptors.get(descriptor);
        if known == Known::Open {
            // SAFETY: these commands take a lock.
            let start = unsafe { (*argument.cast::<libc::flock>()).l_start };
            if let Err(error) = self.give_locker(descriptor, INDEX_LOCKS.contains(&start)) {
                set_errno(error.raw_os_error().unwrap_or(libc::EIO));
                return -1;
            }
            known = self.descriptors.get(descriptor);
        }
        match known {
            Known::Locks(locker) | Known::IndexLocks(locker) => {
                // SAFETY: as above. These locks belong to no process.
                let lock = |locker| unsafe {
                    (*argument.cast::<libc::flock>()).l_pid = 0;
                    libc::fcntl(locker, ofd_command, argument)
                };
                match lock(locker) {
                    -1 if is_for_reading_only() => match self.succeed(descriptor) {
                        Ok(successor) => lock(successor),
                        Err(error) => {
                            set_errno(error.raw_os_error().unwrap_or(libc::EIO));
                            -1
                        }
                    },
                    code => code,
                }
            }
            // SAFETY: as the caller promises.
            Known::Plain | Known::Open | Known::No => unsafe {
                libc::fcntl(descriptor, command, argument)
            },
        }
    }

    /// `close(2)` for SQLite. A descriptor that is parked is closed as far as SQLite goes.
    pub fn close(&self, descriptor: c_int) -> c_int {
        match self.descriptors.take(descriptor) {
            Known::No | Known::Plain => close_at_once(descriptor),
            // A journal, a folder, or a database in which nothing was read.
            Known::Open => match lock_whole(descriptor) {
                Whole::InUse => self.park(&mut self.files(), descriptor),
                Whole::Locked | Whole::Quiet | Whole::Never => close_at_once(descriptor),
            },
            Known::Locks(_) => self.close_database(descriptor),
            Known::IndexLocks(locker) => {
                self.close_with_locker(&mut self.files(), descriptor, locker)
            }
        }
    }

    fn close_database(&self, descriptor: c_int) -> c_int {
        let mut files = self.files();
        let Some(status) = descriptors::status(descriptor) else {
            return close_at_once(descriptor);
        };
        let key = key_of(&status);
        match files.lockers.get_mut(&key) {
            Some(locker) if locker.users > 1 => {
                locker.users -= 1;
                self.park(&mut files, descriptor)
            }
            _ => match files.lockers.remove(&key) {
                Some(locker) => {
                    if let Some(successor) = locker.successor {
                        self.park(&mut files, successor);
                    }
                    // Those first that wait for this moment.
                    self.close_parked_of(&mut files, key);
                    self.close_with_locker(&mut files, descriptor, locker.descriptor)
                }
                None => close_at_once(descriptor),
            },
        }
    }

    /// Close what SQLite had open last of a file, and the descriptor of its locks.
    fn close_with_locker(&self, files: &mut Files, descriptor: c_int, locker: c_int) -> c_int {
        // It may lock: SQLite closes a WAL index with a lock on it.
        let other = (descriptor != locker).then_some(descriptor);
        if lock_whole(locker) != Whole::InUse {
            return other.map_or(0, close_at_once) | close_at_once(locker);
        }
        let_locks_go(locker);
        other.map_or(0, |other| self.park(files, other)) | self.park(files, locker)
    }
}

/// At a fork.
impl Isolation {
    /// Have no other thread change anything until `let_go`.
    pub fn hold(&'static self) {
        let files = self.files();
        // SAFETY: with the lock.
        unsafe { self.held.keep(files) };
    }

    /// See `hold`.
    ///
    /// # Safety
    /// This thread called `hold`.
    pub unsafe fn let_go(&self) {
        // SAFETY: with the lock.
        drop(unsafe { self.held.take() });
    }

    /// Let go in a child, and close whatever its parent has open: the parent's locks stay as they are, and end with it.
    ///
    /// # Safety
    /// As for `let_go`, and nobody uses these descriptors any more.
    pub unsafe fn close_inherited(&self) {
        // SAFETY: with the lock.
        let Some(mut files) = (unsafe { self.held.take() }) else {
            return;
        };
        self.descriptors.take_all(|descriptor, known| {
            close_at_once(descriptor);
            if let Known::IndexLocks(locker) = known
                && locker != descriptor
            {
                close_at_once(locker);
            }
        });
        for locker in files.lockers.values() {
            close_at_once(locker.descriptor);
            locker.successor.map(close_at_once);
        }
        for parked in files.parked.values().flatten() {
            close_at_once(parked.descriptor);
        }
        files.lockers.clear();
        files.parked.clear();
        self.parked.store(0, Ordering::Relaxed);
    }
}

fn key_of(status: &libc::stat) -> FileKey {
    (status.st_dev, status.st_ino)
}
