//! Pools of databases in memory that the child of a fork inherits: its memory is its own, and so are they, unless another
//! thread of the parent was just using or wanting one.

use super::Pool;
use crate::core::process::InHand;
use crate::core::sync::{Mutex, MutexGuard};
use std::sync::{Arc, Once, Weak};

static IN_MEMORY: Mutex<Vec<Weak<Pool>>> = Mutex::new(Vec::new());

/// The list in the hands of a thread that forks.
static HELD: InHand<MutexGuard<'static, Vec<Weak<Pool>>>> = InHand::new();

/// Note a pool of a database in memory.
pub fn enlist(pool: &Arc<Pool>) {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the functions do what may be done in the child of a process with threads.
        let code = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        if code != 0 {
            log::warn!("databases in memory end at a fork: it will not be noticed ({code})");
        }
    });
    let mut all = IN_MEMORY.lock();
    all.retain(|pool| pool.strong_count() > 0);
    all.push(Arc::downgrade(pool));
}

unsafe extern "C" fn before() {
    let all = IN_MEMORY.lock();
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
    for pool in all.iter().flat_map(|all| all.iter()) {
        if let Some(pool) = pool.upgrade() {
            pool.inherit();
        }
    }
}
