//! The default VFS of the bundled library: SQLite's own, with a `xSleep` that gives blocking away, databases that know
//! what happens to them (`watch`), read locks that linger (`linger`), and temporary files that stay in memory while they
//! are small (`temporary`).
//!
//! SQLite's busy handler sleeps through the VFS. A statement that runs with the interpreter held must not
//! sleep with it, whatever set the busy timeout (`timeout=`, `PRAGMA busy_timeout`), so the sleep is
//! wrapped by a function that the bindings install. Without bindings it just sleeps.

mod descriptors;
mod fork;
#[cfg(target_os = "linux")]
mod isolation;
mod linger;
mod room;
mod rounds;
mod system_calls;
mod temporary;
mod watch;

pub use linger::{allow as let_locks_linger, stop as stop_lingering};
pub use temporary::is_on_disk;
pub use watch::{
    Traces, expect_write, is_lost, remember_wal, take_traces, wal_has_name, wal_is_as_left,
};

use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::{Once, OnceLock};

/// Runs a blocking function with everything given up that others may need meanwhile.
pub type BlockingWrapper = fn(&mut dyn FnMut());

static WRAPPER: OnceLock<BlockingWrapper> = OnceLock::new();
static INSTALL: Once = Once::new();
static PARENT: OnceLock<Parent> = OnceLock::new();

type SleepFn = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, c_int) -> c_int;
type OpenFn = unsafe extern "C" fn(
    *mut ffi::sqlite3_vfs,
    ffi::sqlite3_filename,
    *mut ffi::sqlite3_file,
    c_int,
    *mut c_int,
) -> c_int;

/// SQLite's own VFS, and those of its methods that ours stand in for.
struct Parent {
    vfs: *mut ffi::sqlite3_vfs,
    sleep: SleepFn,
    open: OpenFn,
}

// SAFETY: SQLite's built-in VFS objects are static and their methods are thread-safe.
unsafe impl Send for Parent {}
// SAFETY: see above.
unsafe impl Sync for Parent {}

const NAME: &CStr = c"dbmanager";

/// Why locks are not kept apart from those of another copy of SQLite in this process, if that is so for some file
/// (`isolation`). None as long as no file was opened.
pub fn unisolated() -> Option<String> {
    #[cfg(target_os = "linux")]
    return isolation::ISOLATION.refused().map(str::to_owned);
    #[cfg(not(target_os = "linux"))]
    return Some("only Linux has locks of open files".to_owned());
}

/// Whether an open descriptor of a database file is one of our copy's; None where that is not known.
pub fn has_opened(descriptor: c_int) -> Option<bool> {
    #[cfg(target_os = "linux")]
    return Some(isolation::ISOLATION.has_opened(descriptor));
    #[cfg(not(target_os = "linux"))]
    return None;
}

/// Close descriptors that could not be closed when SQLite did it.
pub fn close_parked() {
    #[cfg(target_os = "linux")]
    isolation::ISOLATION.close_parked();
}

/// How many descriptors could not be closed yet.
pub fn parked() -> u32 {
    #[cfg(target_os = "linux")]
    return isolation::ISOLATION.parked();
    #[cfg(not(target_os = "linux"))]
    return 0;
}

thread_local! {
    static OPENS_FOR_READING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread opens databases for reading only.
fn opens_for_reading() -> bool {
    OPENS_FOR_READING.get()
}

/// Run a function of SQLite's that opens databases; they are opened for reading only, and none is made.
pub fn opening_for_reading<R>(body: impl FnOnce() -> R) -> R {
    let before = OPENS_FOR_READING.replace(true);
    let result = body();
    OPENS_FOR_READING.set(before);
    result
}

/// Let the bindings wrap what blocks. The first call wins.
pub fn set_blocking_wrapper(wrapper: BlockingWrapper) {
    WRAPPER.get_or_init(|| wrapper);
}

/// Make our VFS the default one of this copy of SQLite. Idempotent; called before every open.
pub fn install() {
    INSTALL.call_once(|| {
        // SAFETY: the built-in VFS lives for ever. The copy is leaked on purpose: SQLite keeps a pointer
        // to it until the process ends.
        unsafe {
            let parent = ffi::sqlite3_vfs_find(ptr::null());
            let methods = parent.as_ref().map(|vfs| (vfs.xSleep, vfs.xOpen));
            let Some((Some(sleep), Some(open))) = methods else {
                log::warn!("this SQLite has no VFS that sleeps; lock waits hold the interpreter");
                return;
            };
            let mut copy = Box::new(ptr::read(parent));
            copy.zName = NAME.as_ptr();
            copy.pNext = ptr::null_mut();
            copy.xSleep = Some(sleep_given_up);
            copy.xOpen = Some(open_file);
            copy.szOsFile = room::memory_of_file(copy.szOsFile);
            PARENT.get_or_init(|| Parent {
                vfs: parent,
                sleep,
                open,
            });
            system_calls::install(parent);
            fork::watch();
            ffi::sqlite3_vfs_register(Box::into_raw(copy), 1);
        }
    });
}

unsafe extern "C" fn sleep_given_up(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    let Some(parent) = PARENT.get() else {
        return 0;
    };
    let mut slept = 0;
    let mut sleep = || {
        // SAFETY: the parent's own method with the parent's own object.
        slept = unsafe { (parent.sleep)(parent.vfs, microseconds) };
    };
    match WRAPPER.get() {
        Some(wrapper) => wrapper(&mut sleep),
        None => sleep(),
    }
    slept
}

unsafe extern "C" fn open_file(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    mut flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let Some(parent) = PARENT.get() else {
        return ffi::SQLITE_CANTOPEN;
    };
    if flags & ffi::SQLITE_OPEN_MAIN_DB != 0 && OPENS_FOR_READING.get() {
        flags &= !(ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE);
        flags |= ffi::SQLITE_OPEN_READONLY;
    }
    // SAFETY: our VFS is a copy of the parent, which its own method works on as well; the file's memory is of the
    // size that the copy tells.
    unsafe {
        if temporary::may_stay_in_memory(name, flags) {
            if let Some(out_flags) = out_flags.as_mut() {
                *out_flags = flags;
            }
            return temporary::open(file, flags, open_temporary);
        }
        let is_database = flags & ffi::SQLITE_OPEN_MAIN_DB != 0;
        let (code, descriptor) = system_calls::opened_by(is_database, || {
            (parent.open)(vfs, name, file, flags, out_flags)
        });
        if code == ffi::SQLITE_OK {
            if is_database {
                if !is_prepared(descriptor) {
                    give_up(file);
                    return ffi::SQLITE_CANTOPEN;
                }
                watch::watch(file, descriptor);
            } else if flags & ffi::SQLITE_OPEN_WAL != 0 {
                watch::note_wal(ffi::sqlite3_database_file_object(name), descriptor);
            }
        }
        code
    }
}

/// Whether a database file that was just opened can be locked.
fn is_prepared(descriptor: c_int) -> bool {
    #[cfg(target_os = "linux")]
    return descriptor == descriptors::NONE || isolation::ISOLATION.prepare(descriptor).is_ok();
    #[cfg(not(target_os = "linux"))]
    return {
        let _ = descriptor;
        true
    };
}

/// Close a file that was just opened, as if it had not been.
///
/// # Safety
/// `file` is open.
unsafe fn give_up(file: *mut ffi::sqlite3_file) {
    // SAFETY: an open file has methods; one without is not open.
    unsafe {
        if let Some(close) = (*file).pMethods.as_ref().and_then(|methods| methods.xClose) {
            close(file);
        }
        (*file).pMethods = ptr::null();
    }
}

/// # Safety
/// `file` has the memory of a file of our VFS.
unsafe fn open_temporary(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    match PARENT.get() {
        // SAFETY: the parent's own method with the parent's own object.
        Some(parent) => unsafe {
            (parent.open)(parent.vfs, ptr::null(), file, flags, ptr::null_mut())
        },
        None => ffi::SQLITE_CANTOPEN,
    }
}
