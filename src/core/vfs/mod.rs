//! The default VFS of the bundled library: SQLite's own, with a `xSleep` that gives blocking away.
//!
//! SQLite's busy handler sleeps through the VFS. A statement that runs with the interpreter held must not
//! sleep with it, whatever set the busy timeout (`timeout=`, `PRAGMA busy_timeout`), so the sleep is
//! wrapped by a function that the bindings install. Without bindings it just sleeps.

use rusqlite::ffi;
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::{Once, OnceLock};

/// Runs a blocking function with everything given up that others may need meanwhile.
pub type BlockingWrapper = fn(&mut dyn FnMut());

static WRAPPER: OnceLock<BlockingWrapper> = OnceLock::new();
static INSTALL: Once = Once::new();
static PARENT: OnceLock<ParentSleep> = OnceLock::new();

type SleepFn = unsafe extern "C" fn(*mut ffi::sqlite3_vfs, c_int) -> c_int;

struct ParentSleep {
    vfs: *mut ffi::sqlite3_vfs,
    sleep: SleepFn,
}

// SAFETY: SQLite's built-in VFS objects are static and their methods are thread-safe.
unsafe impl Send for ParentSleep {}
// SAFETY: see above.
unsafe impl Sync for ParentSleep {}

const NAME: &CStr = c"dbmanager";

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
            let Some(sleep) = (!parent.is_null()).then(|| (*parent).xSleep).flatten() else {
                log::warn!("this SQLite has no VFS that sleeps; lock waits hold the interpreter");
                return;
            };
            let mut copy = Box::new(ptr::read(parent));
            copy.zName = NAME.as_ptr();
            copy.pNext = ptr::null_mut();
            copy.xSleep = Some(sleep_given_up);
            PARENT.get_or_init(|| ParentSleep { vfs: parent, sleep });
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
