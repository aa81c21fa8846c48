//! Databases that the child of a fork inherits. Their SQLite may be in the middle of something that no thread of the child
//! will end, believes in locks that only the parent has, and knows files by numbers that are others' there. So the child
//! only notes that they are closed: nothing of them is ever called, closed or waited for again.
//!
//! What is in memory alone is the child's own, and may be used on, if no thread of the parent's was just using it.

use super::Database;
use crate::core::process::InHand;
use crate::core::sync::{Mutex, MutexGuard};
use crate::core::vfs;
use std::collections::BTreeMap;
use std::sync::Once;

/// A place in memory.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place(*const Database);

/// A file's device and inode.
pub type FileNumber = (u64, u64);

// SAFETY: it is looked at with the lock of `ALL`, under which what it points to is alive, or in the child of a fork, which
// has one thread.
unsafe impl Send for Place {}

/// Every database that there is.
static ALL: Mutex<All> = Mutex::new(BTreeMap::new());

/// With their main files.
type All = BTreeMap<Place, Option<FileNumber>>;

/// The list in the hands of a thread that forks.
static HELD: InHand<MutexGuard<'static, All>> = InHand::new();

/// Note a database that was just made.
pub(super) fn enlist(database: *const Database, file: Option<FileNumber>) {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // Those of the VFS first: in the child its files are closed before the databases are.
        vfs::install();
        // SAFETY: the functions do what may be done in the child of a process with threads.
        let code = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        if code != 0 {
            log::warn!("connections must not be open at a fork: it will not be noticed ({code})");
        }
    });
    ALL.lock().insert(Place(database), file);
}

/// How many connections of this process have a file open as their main one.
pub fn connections_to(file: FileNumber) -> usize {
    let all = ALL.lock();
    let is_open = |place: &Place| {
        // SAFETY: what is in the list is alive as long as it is locked.
        unsafe { &*place.0 }.is_open()
    };
    all.iter()
        .filter(|(place, known)| **known == Some(file) && is_open(place))
        .count()
}

/// Forget a database that goes.
pub(super) fn delist(database: *const Database) {
    ALL.lock().remove(&Place(database));
}

unsafe extern "C" fn before() {
    let all = ALL.lock();
    // SAFETY: with the lock.
    unsafe { HELD.keep(all) };
}

unsafe extern "C" fn in_parent() {
    // SAFETY: with the lock, which `before` took.
    drop(unsafe { HELD.take() });
}

unsafe extern "C" fn in_child() {
    // SAFETY: as above.
    let all = unsafe { HELD.take() };
    for Place(database) in all.iter().flat_map(|all| all.keys()) {
        // SAFETY: it is alive, as it would not be in the list else, and no other thread is.
        unsafe { Database::inherit(*database) };
    }
}
