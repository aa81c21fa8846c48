//! A fork while other threads are in SQLite. The child has what they held: SQLite's own locks, which would never be let go
//! there, and open files. So the thread that forks holds these locks itself meanwhile, and the child closes the files:
//! that lets the locks of a parent that ends go, and drops nothing as long as it lives.
//!
//! What they were doing on their connections is `raw::inherited`'s concern.

use super::linger;
use crate::core::process;
use rusqlite::ffi;
use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;

#[cfg(target_os = "linux")]
use super::isolation::ISOLATION;

/// SQLite's locks for the whole process, in the order in which it takes them: who opens a database on a shared cache, files
/// and locks by inode, who draws a random number for a name, what there is of each kind, pages, memory.
const LIBRARY: [c_int; 7] = [
    ffi::SQLITE_MUTEX_STATIC_OPEN,
    ffi::SQLITE_MUTEX_STATIC_VFS1,
    ffi::SQLITE_MUTEX_STATIC_PRNG,
    ffi::SQLITE_MUTEX_STATIC_MAIN,
    ffi::SQLITE_MUTEX_STATIC_LRU,
    ffi::SQLITE_MUTEX_STATIC_PMEM,
    ffi::SQLITE_MUTEX_STATIC_MEM,
];

struct Mutexes([*mut ffi::sqlite3_mutex; LIBRARY.len()]);

// SAFETY: SQLite's static mutexes live for ever, for all threads.
unsafe impl Send for Mutexes {}
// SAFETY: see above.
unsafe impl Sync for Mutexes {}

static MUTEXES: OnceLock<Mutexes> = OnceLock::new();

/// Be called when the process forks. Called once.
pub fn watch() {
    // Those of a child run in this order, those of before in the other one: nothing lingers first, which may need locks.
    let is_numbered = process::watch_forks();
    // SAFETY: the functions do what may be done in the child of a process with threads; SQLite is initialised.
    let code = unsafe {
        MUTEXES.get_or_init(|| Mutexes(LIBRARY.map(|number| ffi::sqlite3_mutex_alloc(number))));
        libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child))
    };
    if code != 0 || !is_numbered {
        log::warn!("no connection may be in use at a fork: it will not be noticed ({code})");
    }
    linger::watch_forks();
}

fn mutexes() -> impl DoubleEndedIterator<Item = *mut ffi::sqlite3_mutex> {
    let known = MUTEXES
        .get()
        .map_or([ptr::null_mut(); LIBRARY.len()], |known| known.0);
    known.into_iter()
}

unsafe extern "C" fn before() {
    for mutex in mutexes() {
        // SAFETY: a static mutex, or null, for which nothing is done.
        unsafe { ffi::sqlite3_mutex_enter(mutex) };
    }
    #[cfg(target_os = "linux")]
    ISOLATION.hold();
}

unsafe extern "C" fn in_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: `before` held it.
    unsafe {
        ISOLATION.let_go();
    }
    leave_library();
}

unsafe extern "C" fn in_child() {
    #[cfg(target_os = "linux")]
    // SAFETY: `before` held it, and the child has no other thread.
    unsafe {
        ISOLATION.close_inherited();
    }
    leave_library();
}

fn leave_library() {
    for mutex in mutexes().rev() {
        // SAFETY: this thread took it in `before`.
        unsafe { ffi::sqlite3_mutex_leave(mutex) };
    }
}
