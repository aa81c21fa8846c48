//! The system calls of SQLite's own VFS that ours stand in for (sqlite.org/c3ref/vfs.html, `unixSyscalls` in SQLite's
//! os_unix.c): to learn the descriptors that it opens, of which it tells nobody; on Linux, so that its locks are isolated
//! (`isolation`), and so that the child of a fork takes no file for one that it inherited.

use super::descriptors::NONE;
use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};

#[cfg(target_os = "linux")]
use {super::isolation::ISOLATION, crate::core::process, std::ffi::c_void};

type Call = unsafe extern "C" fn();

thread_local! {
    static LAST: Cell<c_int> = const { Cell::new(NONE) };
    /// A database file is being opened.
    static IS_DATABASE: Cell<bool> = const { Cell::new(false) };
}

/// Take the place of what a VFS calls. Called once.
///
/// # Safety
/// `vfs` is SQLite's own VFS, and nobody uses it meanwhile.
pub unsafe fn install(vfs: *mut ffi::sqlite3_vfs) {
    // SAFETY: the VFS is alive.
    let Some(set) = (unsafe { (*vfs).xSetSystemCall }) else {
        return;
    };
    // SAFETY: SQLite calls each with the arguments that ours take. `fcntl` is called as a variadic function, which on
    // Linux passes three arguments in the registers of a function that has three.
    let calls: &[(&CStr, Call)] = unsafe {
        use std::mem::transmute;
        &[
            (c"open", transmute::<*const (), Call>(open as *const ())),
            #[cfg(target_os = "linux")]
            (c"close", transmute::<*const (), Call>(close as *const ())),
            #[cfg(target_os = "linux")]
            (c"fcntl", transmute::<*const (), Call>(fcntl as *const ())),
            #[cfg(target_os = "linux")]
            (c"stat", transmute::<*const (), Call>(stat as *const ())),
            #[cfg(target_os = "linux")]
            (c"fstat", transmute::<*const (), Call>(fstat as *const ())),
        ]
    };
    for (name, call) in calls {
        // SAFETY: the VFS is alive, and knows calls of these names.
        unsafe { set(vfs, name.as_ptr(), Some(*call)) };
    }
}

unsafe extern "C" fn open(path: *const c_char, mut flags: c_int, mode: c_int) -> c_int {
    // Also for files of SQLite's other VFSs, which a URI may name.
    if super::opens_for_reading() {
        // SAFETY: called by SQLite with a C string.
        let name = unsafe { CStr::from_ptr(path) }.to_bytes();
        if ![&b"-wal"[..], b"-shm", b"-journal"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            flags &= !libc::O_CREAT;
        }
    }
    #[cfg(target_os = "linux")]
    let descriptor = contained(|| {
        // SAFETY: called by SQLite with a C string.
        unsafe { ISOLATION.open(path, flags, mode, || IS_DATABASE.get()) }
    });
    #[cfg(not(target_os = "linux"))]
    // SAFETY: as above; a mode is given.
    let descriptor = unsafe { libc::open(path, flags, mode) };
    LAST.set(descriptor);
    descriptor
}

/// Run a call for SQLite, which gets an error if it panics: nothing may unwind into C.
#[cfg(target_os = "linux")]
#[inline]
fn contained(call: impl FnOnce() -> c_int) -> c_int {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(call)).unwrap_or_else(|_| {
        // SAFETY: the place is this thread's.
        unsafe { *libc::__errno_location() = libc::EIO };
        NONE
    })
}

/// Run a function of SQLite's that opens a file, a database file or not; give what it gives and the descriptor, or `NONE`.
#[inline]
pub fn opened_by<R>(is_database: bool, body: impl FnOnce() -> R) -> (R, c_int) {
    LAST.set(NONE);
    IS_DATABASE.set(is_database);
    let result = body();
    IS_DATABASE.set(false);
    (result, LAST.replace(NONE))
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    contained(|| ISOLATION.close(descriptor))
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn fcntl(descriptor: c_int, command: c_int, argument: *mut c_void) -> c_int {
    contained(|| {
        // SAFETY: called by SQLite with what the command wants.
        unsafe { ISOLATION.control(descriptor, command, argument) }
    })
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn stat(path: *const c_char, status: *mut libc::stat) -> c_int {
    // SAFETY: called by SQLite with a C string and a place to write to.
    unsafe { of_this_process(libc::stat(path, status), status) }
}

#[cfg(target_os = "linux")]
unsafe extern "C" fn fstat(descriptor: c_int, status: *mut libc::stat) -> c_int {
    // SAFETY: called by SQLite with a place to write to.
    unsafe { of_this_process(libc::fstat(descriptor, status), status) }
}

/// SQLite keeps account of its locks by device and inode, and compares them with nothing else. The account that a child
/// inherits is of locks that it has not, so every file is on another device there.
///
/// # Safety
/// `status` was written to if `code` is 0.
#[cfg(target_os = "linux")]
unsafe fn of_this_process(code: c_int, status: *mut libc::stat) -> c_int {
    if code == 0 {
        // The kernel's numbers of devices have 32 bits.
        let mark = libc::dev_t::from(process::number()) << 32;
        // SAFETY: as the caller promises.
        unsafe { (*status).st_dev ^= mark };
    }
    code
}
