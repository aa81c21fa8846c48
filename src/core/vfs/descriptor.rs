//! Which file descriptor SQLite's own VFS opened last in this thread. SQLite tells nobody the descriptors of its files,
//! but opens them through a function that can be replaced.

use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::mem;
use std::sync::OnceLock;

type Open = unsafe extern "C" fn(*const c_char, c_int, c_int) -> c_int;

static OWN: OnceLock<Open> = OnceLock::new();

thread_local! {
    static LAST: Cell<c_int> = const { Cell::new(NONE) };
}

/// No descriptor.
pub const NONE: c_int = -1;

/// Take the place of the function by which a VFS opens files. Called once.
///
/// # Safety
/// `vfs` is SQLite's own VFS, and nobody opens files with it meanwhile.
pub unsafe fn watch_opens(vfs: *mut ffi::sqlite3_vfs) {
    // SAFETY: the VFS is alive; a system call called "open" has this signature
    // (sqlite.org/c3ref/vfs.html, unixSyscalls in SQLite's os_unix.c).
    unsafe {
        let (Some(get), Some(set)) = ((*vfs).xGetSystemCall, (*vfs).xSetSystemCall) else {
            return;
        };
        let Some(own) = get(vfs, c"open".as_ptr()) else {
            return;
        };
        OWN.get_or_init(|| mem::transmute::<unsafe extern "C" fn(), Open>(own));
        let ours = mem::transmute::<Open, unsafe extern "C" fn()>(open);
        set(vfs, c"open".as_ptr(), Some(ours));
    }
}

unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    let descriptor = match OWN.get() {
        // SAFETY: called by SQLite, with arguments for the function in whose place this is.
        Some(own) => unsafe { own(path, flags, mode) },
        None => NONE,
    };
    LAST.set(descriptor);
    descriptor
}

/// Run a function of SQLite's that opens a file; give what it gives and the descriptor, or `NONE`.
#[inline]
pub fn opened_by<R>(body: impl FnOnce() -> R) -> (R, c_int) {
    LAST.set(NONE);
    let result = body();
    (result, LAST.replace(NONE))
}

/// Whether a descriptor's file still has a name; None if it can't be told. One system call, and a cheap one.
#[inline]
pub fn has_name(descriptor: c_int) -> Option<bool> {
    let mut status = mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes to a place of the right size; any number may be asked for.
    unsafe {
        (libc::fstat(descriptor, status.as_mut_ptr()) == 0)
            .then(|| status.assume_init().st_nlink > 0)
    }
}
