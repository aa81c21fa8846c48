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

use super::descriptors::{self, Descriptors, Known, NONE};
use crate::core::process::InHand;
use crate::core::sync::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The isolation of the library that is linked here.
pub static ISOLATION: Isolation = Isolation::new();

/// So many descriptors of a file that is in use may wait for its last close; of more, each is closed when nobody at all
/// has a lock.
const PARKED_OF_USED_FILE: usize = 16;

/// The bytes of a WAL index that are locked (sqlite.org/walformat.html#locks). In a database file they are beyond 1 GB.
const INDEX_LOCKS: std::ops::Range<i64> = 120..129;

/// Device and inode.
type FileKey = (u64, u64);

/// The bytes of a database file that SQLite locks for those who read it (`SHARED_FIRST` in os_unix.c).
const SHARED_LOCKS: std::ops::Range<i64> = 0x4000_0002..0x4000_0200;

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

/// What came of asking for a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// Nobody has a lock on it, and it is locked as long as the descriptor that was asked is open.
    Locked,
    /// Nobody had a lock on it when it was asked. A descriptor for reading only can't get more.
    Quiet,
    /// Somebody has a lock on it.
    InUse,
    /// It can't be locked: not a file, or of a file system without these locks.
    Never,
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

    /// A parked descriptor in the place of a new one.
    #[inline]
    fn reuse(&self, path: &CStr, flags: c_int) -> Option<c_int> {
        let new = libc::O_EXCL | libc::O_TRUNC | libc::O_DIRECTORY;
        match self.parked() > 0 && flags & new == 0 {
            true => self.find_parked(path, flags),
            false => None,
        }
    }

    #[cold]
    fn find_parked(&self, path: &CStr, flags: c_int) -> Option<c_int> {
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

    fn take_parked(&self, files: &mut Files, key: FileKey, is_writable: bool) -> Option<c_int> {
        let parked = files.parked.get_mut(&key)?;
        let fits = |one: &Parked| one.is_writable == is_writable;
        let one = parked.swap_remove(parked.iter().position(fits)?);
        if parked.is_empty() {
            files.parked.remove(&key);
        }
        self.parked.fetch_sub(1, Ordering::Relaxed);
        Some(one.descriptor)
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

    /// The descriptor for the locks of a file; None if they can't be isolated.
    fn locker(
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
    fn known_locker(
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
    fn open_to_write(
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
    fn succeed(&self, descriptor: c_int) -> io::Result<c_int> {
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

    /// Park a descriptor that has no locks.
    fn park(&self, files: &mut Files, descriptor: c_int) -> c_int {
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

    fn forget(&self, closed: usize) {
        self.parked.fetch_sub(closed as u32, Ordering::Relaxed);
    }

    /// Close the parked descriptors of a file that SQLite has not open, if nobody has a lock on it.
    fn close_parked_of(&self, files: &mut Files, key: FileKey) -> c_int {
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

    fn close_all_parked(&self, files: &mut Files) {
        let keys: Vec<_> = files.parked.keys().copied().collect();
        for key in keys {
            self.close_parked_of(files, key);
        }
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

/// The file of a descriptor once more, with an open file description of its own.
fn open_again(descriptor: c_int, access: c_int) -> io::Result<c_int> {
    let path = format!("/proc/self/fd/{descriptor}\0");
    // SAFETY: the path ends in a NUL.
    match unsafe { libc::open(path.as_ptr().cast(), access | libc::O_CLOEXEC) } {
        descriptor if descriptor >= 0 => Ok(descriptor),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a file may be read only.
fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::ETXTBSY)
    )
}

/// What SQLite is told of a lock that can't be taken, as by `fcntl` of a descriptor that is not for it.
fn no_locker() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

/// A lock on a whole file, of a type.
fn whole_file(kind: c_int) -> libc::flock {
    // SAFETY: numbers only; zeros stand for all of the file, from its start, and no process.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

/// Change the lock of a descriptor's description on the whole file, without waiting.
fn ofd_lock(descriptor: c_int, kind: c_int) -> io::Result<()> {
    change_lock(descriptor, &whole_file(kind))
}

/// Change a lock of a descriptor's description, without waiting.
fn change_lock(descriptor: c_int, lock: &libc::flock) -> io::Result<()> {
    // SAFETY: the command reads a lock.
    match unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, lock) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Give back all locks of a descriptor's description.
fn let_locks_go(descriptor: c_int) {
    if let Err(error) = ofd_lock(descriptor, libc::F_UNLCK) {
        debug_assert!(false, "locks can always be given back: {error}");
    }
}

/// Lock the whole of a file if nobody has any lock on it.
fn lock_whole(descriptor: c_int) -> Whole {
    let Err(error) = ofd_lock(descriptor, libc::F_WRLCK) else {
        return Whole::Locked;
    };
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Whole::InUse,
        Some(libc::EBADF) => {
            let mut lock = whole_file(libc::F_WRLCK);
            // SAFETY: the command reads and writes a lock.
            let asked = unsafe { libc::fcntl(descriptor, libc::F_OFD_GETLK, &mut lock) };
            match asked == 0 && c_int::from(lock.l_type) != libc::F_UNLCK {
                true => Whole::InUse,
                false => Whole::Quiet,
            }
        }
        _ => Whole::Never,
    }
}

fn is_writable(descriptor: c_int) -> bool {
    // SAFETY: any number may be asked for.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_RDWR
}

fn close_at_once(descriptor: c_int) -> c_int {
    // SAFETY: the descriptor is SQLite's or ours, and nobody uses it any more.
    unsafe { libc::close(descriptor) }
}

fn is_out_of_descriptors() -> bool {
    is_about_room(&io::Error::last_os_error())
}

/// Whether there are no descriptors left.
fn is_about_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether a lock to write was just refused because the descriptor is for reading.
#[cold]
fn is_for_reading_only() -> bool {
    io::Error::last_os_error().raw_os_error() == Some(libc::EBADF)
}

fn set_errno(number: c_int) {
    // SAFETY: the place is this thread's.
    unsafe { *libc::__errno_location() = number };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};
    use std::os::unix::ffi::OsStrExt as _;
    use std::sync::atomic::AtomicBool;

    /// A file that another copy of SQLite has open, too. Closing a descriptor of it drops the process's locks: the test's
    /// own are open until its end.
    struct Shared {
        path: CString,
        theirs: c_int,
        witness: std::fs::File,
        _folder: tempfile::TempDir,
    }

    /// Where SQLite locks a database.
    const PENDING: i64 = 0x4000_0000;

    fn lock(kind: c_int, start: i64) -> libc::flock {
        let mut lock = whole_file(kind);
        lock.l_start = start;
        lock.l_len = 1;
        lock
    }

    impl Shared {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.db");
            let file = std::fs::File::create_new(&path).unwrap();
            Self {
                path: CString::new(path.as_os_str().as_bytes()).unwrap(),
                witness: std::fs::File::options()
                    .read(true)
                    .write(true)
                    .open(&path)
                    .unwrap(),
                theirs: file.into_raw_fd(),
                _folder: folder,
            }
        }

        /// Change a lock of the process, as the other copy does.
        fn they(&self, kind: c_int) -> bool {
            // SAFETY: the command reads a lock.
            unsafe { libc::fcntl(self.theirs, libc::F_SETLK, &lock(kind, PENDING)) == 0 }
        }

        /// Whether the process has the lock, as others see it.
        fn they_have_it(&self) -> bool {
            let mut seen = lock(libc::F_WRLCK, PENDING);
            // SAFETY: the command reads and writes a lock.
            let code =
                unsafe { libc::fcntl(self.witness.as_raw_fd(), libc::F_OFD_GETLK, &mut seen) };
            assert_eq!(code, 0);
            seen.l_pid == std::process::id() as i32
        }

        fn open(&self, isolation: &Isolation) -> c_int {
            // SAFETY: a C string.
            let descriptor = unsafe {
                isolation.open(
                    self.path.as_ptr(),
                    libc::O_RDWR | libc::O_CLOEXEC,
                    0,
                    || true,
                )
            };
            assert!(descriptor >= 0);
            descriptor
        }
    }

    impl Drop for Shared {
        fn drop(&mut self) {
            close_at_once(self.theirs);
        }
    }

    /// Change a lock of ours. Tells whether that was possible.
    fn we(isolation: &Isolation, descriptor: c_int, kind: c_int, start: i64) -> bool {
        let mut lock = lock(kind, start);
        // SAFETY: the command reads a lock.
        unsafe { isolation.control(descriptor, libc::F_SETLK, (&raw mut lock).cast()) == 0 }
    }

    #[test]
    fn each_copys_locks_keep_the_other_out() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        let ours = shared.open(&isolation);
        assert!(shared.they(libc::F_WRLCK));
        assert!(!we(&isolation, ours, libc::F_RDLCK, PENDING));
        assert!(shared.they(libc::F_UNLCK));
        assert!(we(&isolation, ours, libc::F_WRLCK, PENDING));
        assert!(!shared.they(libc::F_WRLCK));
        assert!(we(&isolation, ours, libc::F_UNLCK, PENDING));
        assert!(shared.they(libc::F_WRLCK));
        isolation.close(ours);
    }

    #[test]
    fn connections_of_ours_share_their_locks_by_file() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        let (first, second) = (shared.open(&isolation), shared.open(&isolation));
        assert!(isolation.prepare(first).is_ok());
        // As SQLite does, which keeps account: what one has locked, the other gives back.
        assert!(we(&isolation, first, libc::F_WRLCK, PENDING));
        assert!(we(&isolation, second, libc::F_WRLCK, PENDING));
        assert!(!shared.they(libc::F_WRLCK));
        assert!(we(&isolation, second, libc::F_UNLCK, PENDING));
        assert!(shared.they(libc::F_WRLCK));
        assert!(shared.they(libc::F_UNLCK));
        isolation.close(first);
        assert_eq!(isolation.parked(), 1, "it waits for the other");
        isolation.close(second);
        assert_eq!(isolation.parked(), 0);
    }

    #[test]
    fn two_indexes_at_one_inode_keep_each_other_out() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        let (first, second) = (shared.open(&isolation), shared.open(&isolation));
        assert!(we(&isolation, first, libc::F_WRLCK, INDEX_LOCKS.start));
        assert!(!we(&isolation, second, libc::F_WRLCK, INDEX_LOCKS.start));
        isolation.close(first);
        assert!(
            we(&isolation, second, libc::F_WRLCK, INDEX_LOCKS.start),
            "it ended with its file"
        );
        isolation.close(second);
        assert_eq!(isolation.parked(), 0);
    }

    #[test]
    fn a_close_drops_no_lock_of_the_process_and_what_is_parked_is_used_again() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        for start in [PENDING, INDEX_LOCKS.start] {
            assert!(shared.they(libc::F_WRLCK));
            let mut seen = Vec::new();
            for _ in 0..5 {
                let ours = shared.open(&isolation);
                // Another byte: theirs is taken.
                assert!(we(&isolation, ours, libc::F_WRLCK, start + 1));
                isolation.close(ours);
                assert!(shared.they_have_it());
                seen.push(isolation.parked());
                isolation.close_parked();
                assert!(shared.they_have_it());
            }
            assert_eq!(seen, [2; 5], "a descriptor and that of its locks");
            assert!(shared.they(libc::F_UNLCK));
            isolation.close_parked();
            assert_eq!(isolation.parked(), 0);
        }
    }

    #[test]
    fn what_was_opened_and_never_locked_drops_no_lock_either() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        assert!(shared.they(libc::F_WRLCK));
        let ours = shared.open(&isolation);
        isolation.close(ours);
        assert!(shared.they_have_it());
        assert_eq!(isolation.parked(), 1);
        assert!(shared.they(libc::F_UNLCK));
        isolation.close_parked();
        assert_eq!(isolation.parked(), 0);
    }

    #[test]
    fn a_descriptor_for_reading_is_not_given_to_who_wants_to_write() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        assert!(shared.they(libc::F_WRLCK));
        // SAFETY: a C string.
        let open = |flags| unsafe { isolation.open(shared.path.as_ptr(), flags, 0, || true) };
        let reading = open(libc::O_RDONLY);
        isolation.close(reading);
        assert_eq!(isolation.parked(), 1);
        let writing = open(libc::O_RDWR);
        assert!(writing != reading && is_writable(writing));
        assert_eq!(open(libc::O_RDONLY), reading);
        isolation.close(writing);
        isolation.close(reading);
        assert!(shared.they_have_it());
        assert!(shared.they(libc::F_UNLCK));
        isolation.close_parked();
        assert_eq!(isolation.parked(), 0);
    }

    #[test]
    fn a_locker_for_reading_hands_its_locks_over_at_the_first_lock_to_write() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        let reading = shared.open(&isolation);
        assert!(isolation.prepare(reading).is_ok());
        // As if the process could only read the file then.
        // SAFETY: a C string.
        let for_reading = unsafe { libc::open(shared.path.as_ptr(), libc::O_RDONLY) };
        for locker in isolation.files().lockers.values_mut() {
            let before = std::mem::replace(&mut locker.descriptor, for_reading);
            locker.is_writable = false;
            let after = Known::Locks(for_reading);
            isolation.descriptors.replace(Known::Locks(before), after);
            close_at_once(before);
        }
        let shared_lock = SHARED_LOCKS.start;
        assert!(we(&isolation, reading, libc::F_RDLCK, shared_lock));
        assert!(!we(&isolation, reading, libc::F_WRLCK, PENDING));
        let writing = shared.open(&isolation);
        assert!(isolation.prepare(writing).is_ok());
        assert_eq!(isolation.parked(), 0);
        assert!(we(&isolation, writing, libc::F_WRLCK, PENDING));
        assert!(!shared.they(libc::F_RDLCK));
        let is_read = |isolation: &Isolation| {
            let mut seen = lock(libc::F_WRLCK, shared_lock);
            // SAFETY: the command reads and writes a lock.
            unsafe { libc::fcntl(shared.theirs, libc::F_OFD_GETLK, &mut seen) };
            assert_eq!(isolation.parked(), 1, "the one before");
            c_int::from(seen.l_type) == libc::F_RDLCK
        };
        assert!(is_read(&isolation));
        assert!(we(&isolation, reading, libc::F_UNLCK, shared_lock));
        assert!(!is_read(&isolation));
        assert!(we(&isolation, reading, libc::F_WRLCK, shared_lock));
        let mut all = whole_file(libc::F_UNLCK);
        // SAFETY: the command reads a lock.
        unsafe { isolation.control(reading, libc::F_SETLK, (&raw mut all).cast()) };
        isolation.close(writing);
        isolation.close(reading);
        assert_eq!(isolation.parked(), 0);
    }

    #[test]
    fn few_descriptors_wait_for_a_file_that_stays_in_use() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        let stays = shared.open(&isolation);
        assert!(we(&isolation, stays, libc::F_RDLCK, PENDING));
        let many: Vec<_> = (0..3 * PARKED_OF_USED_FILE)
            .map(|_| shared.open(&isolation))
            .collect();
        assert!(we(&isolation, stays, libc::F_UNLCK, PENDING));
        for descriptor in many {
            assert!(isolation.prepare(descriptor).is_ok());
            isolation.close(descriptor);
            assert!(isolation.parked() as usize <= PARKED_OF_USED_FILE);
        }
        isolation.close(stays);
        assert_eq!(isolation.parked(), 0);
    }

    /// Lets the other thread end, whatever comes of this one.
    struct EndOfTest<'a>(&'a AtomicBool);

    impl Drop for EndOfTest<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn closing_while_another_thread_locks_never_drops_its_lock() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        let is_over = AtomicBool::new(false);
        let taken = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let ours = shared.open(&isolation);
                    assert!(isolation.prepare(ours).is_ok());
                    isolation.close(ours);
                    isolation.close_parked();
                }
            });
            let _end = EndOfTest(&is_over);
            let mut taken = 0;
            for _ in 0..100_000 {
                // Refused for the moment of a close, which holds the whole file.
                if shared.they(libc::F_WRLCK) {
                    assert!(shared.they_have_it());
                    std::hint::spin_loop();
                    assert!(shared.they_have_it());
                    assert!(shared.they(libc::F_UNLCK));
                    taken += 1;
                }
            }
            taken
        });
        assert!(taken > 1_000, "only {taken} locks could be taken");
        isolation.close_parked();
        assert_eq!(isolation.parked(), 0);
    }

    #[test]
    fn journals_folders_and_others_are_just_closed() {
        let (isolation, shared) = (Isolation::new(), Shared::new());
        // SAFETY: C strings.
        let (folder, null) = unsafe {
            (
                isolation.open(c"/".as_ptr(), libc::O_RDONLY, 0, || false),
                isolation.open(c"/dev/null".as_ptr(), libc::O_RDWR, 0, || false),
            )
        };
        for descriptor in [folder, null, shared.open(&isolation)] {
            assert_eq!(isolation.close(descriptor), 0);
            assert!(descriptors::status(descriptor).is_none());
        }
        assert_eq!(isolation.parked(), 0);
    }
}
