//! Locks of open file descriptions, and what else is asked of the system, a call each.

use std::ffi::c_int;
use std::io;

/// What came of asking for a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// Nobody has a lock on it, and it is locked as long as the descriptor that was asked is open.
    Locked,
    /// Nobody had a lock on it when it was asked. A descriptor for reading only can't get more.
    Quiet,
    /// Somebody has a lock on it.
    InUse,
    /// It can't be locked: not a file, or of a file system without these locks.
    Never,
}

/// The file of a descriptor once more, with an open file description of its own.
pub fn open_again(descriptor: c_int, access: c_int) -> io::Result<c_int> {
    let path = format!("/proc/self/fd/{descriptor}\0");
    // SAFETY: the path ends in a NUL.
    match unsafe { libc::open(path.as_ptr().cast(), access | libc::O_CLOEXEC) } {
        descriptor if descriptor >= 0 => Ok(descriptor),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a file may be read only.
pub fn is_forbidden(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::ETXTBSY)
    )
}

/// What SQLite is told of a lock that can't be taken, as by `fcntl` of a descriptor that is not for it.
pub fn no_locker() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

/// A lock on a whole file, of a type.
pub fn whole_file(kind: c_int) -> libc::flock {
    // SAFETY: numbers only; zeros stand for all of the file, from its start, and no process.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

/// Change the lock of a descriptor's description on the whole file, without waiting.
pub fn ofd_lock(descriptor: c_int, kind: c_int) -> io::Result<()> {
    change_lock(descriptor, &whole_file(kind))
}

/// Change a lock of a descriptor's description, without waiting.
pub fn change_lock(descriptor: c_int, lock: &libc::flock) -> io::Result<()> {
    // SAFETY: the command reads a lock.
    match unsafe { libc::fcntl(descriptor, libc::F_OFD_SETLK, lock) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Give back all locks of a descriptor's description.
pub fn let_locks_go(descriptor: c_int) {
    if let Err(error) = ofd_lock(descriptor, libc::F_UNLCK) {
        debug_assert!(false, "locks can always be given back: {error}");
    }
}

/// Lock the whole of a file if nobody has any lock on it.
pub fn lock_whole(descriptor: c_int) -> Whole {
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

pub fn is_writable(descriptor: c_int) -> bool {
    // SAFETY: any number may be asked for.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ACCMODE == libc::O_RDWR
}

pub fn close_at_once(descriptor: c_int) -> c_int {
    // SAFETY: the descriptor is SQLite's or ours, and nobody uses it any more.
    unsafe { libc::close(descriptor) }
}

pub fn is_out_of_descriptors() -> bool {
    is_about_room(&io::Error::last_os_error())
}

/// Whether there are no descriptors left.
pub fn is_about_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether a lock to write was just refused because the descriptor is for reading.
#[cold]
pub fn is_for_reading_only() -> bool {
    io::Error::last_os_error().raw_os_error() == Some(libc::EBADF)
}

pub fn set_errno(number: c_int) {
    // SAFETY: the place is this thread's.
    unsafe { *libc::__errno_location() = number };
}
