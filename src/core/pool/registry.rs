//! All pools of the process, and the door through which `connect()` comes to them.

use super::identity::{Identity, Look};
use super::idle::idle_in_process;
use super::lease::Lease;
use super::opener::{Door, Opener};
pub use super::places::are_there as has_pools;
use super::statistics::Counters;
use super::writers::Writers;
use super::{Pool, places, uri, workers};
use crate::core::error::{Error, Result};
use crate::core::process::{self, PerProcess};
use crate::core::sqlite::Connection;
use crate::core::sqlite::open::Access;
use crate::core::sync::Mutex;
use crate::core::vfs;
use foldhash::HashMap;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

static POOLS: PerProcess<Mutex<HashMap<Identity, Arc<Pool>>>> = PerProcess::new(Mutex::default);

/// The queue of writers of each file: a closed manager's sessions may still be writing when the next manager's begin.
static WRITERS: PerProcess<Mutex<HashMap<Identity, Weak<Writers>>>> =
    PerProcess::new(Mutex::default);

/// How many idle connections the process keeps at most, each with up to five open files.
static MAX_IDLE: AtomicU32 = AtomicU32::new(BY_DEFAULT);
const BY_DEFAULT: u32 = u32::MAX;

/// Pools are looked after this often.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How many idle connections the process keeps at most.
#[inline]
pub fn max_idle() -> u32 {
    match MAX_IDLE.load(Ordering::Relaxed) {
        BY_DEFAULT => {
            let most = default_max_idle();
            MAX_IDLE.store(most, Ordering::Relaxed);
            most
        }
        most => most,
    }
}

/// As many as take a quarter of the files that the process may open, at most 256.
fn default_max_idle() -> u32 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written to a live structure.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => (limit.rlim_cur / 20).clamp(1, 256) as u32,
        _ => 256,
    }
}

/// Open something; if the process has no file descriptors left, once more after all idle connections were closed.
pub fn with_room<T>(open: impl Fn() -> Result<T>) -> Result<T> {
    match open() {
        Err(Error::Sqlite(failure))
            if failure.primary_code() == rusqlite::ffi::SQLITE_CANTOPEN
                && idle_in_process() > 0
                && is_out_of_descriptors() =>
        {
            make_room(0);
            open()
        }
        outcome => outcome,
    }
}

fn is_out_of_descriptors() -> bool {
    let probe = std::fs::File::open("/dev/null").err();
    probe.is_some_and(|error| matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)))
}

/// Keep at most so many idle connections in the process, and close those that are too many.
pub fn set_max_idle(most: u32) {
    MAX_IDLE.store(most.min(BY_DEFAULT - 1), Ordering::Relaxed);
    make_room(most);
}

/// Close idle connections of pools that were not used lately, until there are at most `most`.
fn make_room(most: u32) {
    for pool in all() {
        if idle_in_process() <= most {
            return;
        }
        pool.close_idle();
    }
}

/// The pools in the order in which they are asked to give up idle connections.
static NEXT_TO_GIVE: PerProcess<Mutex<VecDeque<Weak<Pool>>>> = PerProcess::new(Mutex::default);

/// Close idle connections of pools that were not used lately if the process has too many.
#[inline]
pub fn keep_bound() {
    if idle_in_process() > max_idle() {
        give_up_some();
    }
}

/// Go round the pools: one that was used since it was last passed is passed again (the clock algorithm of page
/// caches).
#[cold]
fn give_up_some() {
    let rounds = 2 * NEXT_TO_GIVE.lock().len();
    for _ in 0..rounds {
        if idle_in_process() <= max_idle() {
            return;
        }
        let Some(pool) = NEXT_TO_GIVE.lock().pop_front().map(|pool| pool.upgrade()) else {
            return;
        };
        let Some(pool) = pool else {
            continue;
        };
        if !pool.recently_used.swap(false, Ordering::Relaxed) {
            pool.give_up_idle();
        }
        NEXT_TO_GIVE.lock().push_back(Arc::downgrade(&pool));
    }
}

/// All pools, those first that were not used for the longest time, as far as that is known.
fn all() -> Vec<Arc<Pool>> {
    let mut pools: Vec<_> = POOLS.lock().values().cloned().collect();
    pools.sort_by_key(|pool| pool.recently_used.load(Ordering::Relaxed));
    pools
}

/// The pool of what was seen at a path.
pub fn pool_of(path: &Path, look: &Look, access: Access) -> Result<Arc<Pool>> {
    let identity = Identity::of(path, look, access)?;
    let mut pools = POOLS.lock();
    if let Some(pool) = pools.get(&identity) {
        return Ok(Arc::clone(pool));
    }
    drop(pools);
    start_sweeping();
    let canonical = std::fs::canonicalize(path)?;
    let writers = writers_of(&identity);
    let pool = Pool::new(identity.clone(), canonical.clone(), writers);
    pools = POOLS.lock();
    let pool = Arc::clone(pools.entry(identity).or_insert(pool));
    drop(pools);
    NEXT_TO_GIVE.lock().push_back(Arc::downgrade(&pool));
    arrive(canonical, &pool);
    Ok(pool)
}

/// The pool of what is at a path, if there is one.
pub fn known(path: &Path, look: &Look) -> Option<Arc<Pool>> {
    let identity = Identity::of(path, look, Access::ReadWriteCreate).ok()?;
    POOLS.lock().get(&identity).cloned()
}

/// The queue of those who write to a file.
fn writers_of(identity: &Identity) -> Arc<Writers> {
    let mut all = WRITERS.lock();
    if let Some(writers) = all.get(identity).and_then(Weak::upgrade) {
        return writers;
    }
    let writers = Writers::new();
    all.insert(identity.clone(), Arc::downgrade(&writers));
    writers
}

/// Note that a pool's file is at a path. The pool whose file was there before lets go of it.
pub fn arrive(path: PathBuf, pool: &Arc<Pool>) {
    for before in places::arrive(path, pool) {
        before.leave();
    }
}

/// Let go of the file that was at a path where there is none now, and of its journals, before a new one is made.
pub fn leave(path: &Path) {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return;
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let Ok(folder) = folder.canonicalize() else {
        return;
    };
    for before in places::leave(&folder.join(name)) {
        before.leave();
    }
}

/// Forget a pool whose manager was closed: the next one begins with a new pool and its own settings.
pub fn forget(pool: &Arc<Pool>) {
    let mut pools = POOLS.lock();
    let forgotten = match pools.get(pool.identity()) {
        Some(known) if Arc::ptr_eq(known, pool) => pools.remove(pool.identity()),
        _ => None,
    };
    drop(pools);
    drop(forgotten);
}

/// How many connections are lent, by the path of their file.
pub fn lent() -> Vec<(PathBuf, u32)> {
    let lent = |pool: Arc<Pool>| {
        let file = pool.file.lock();
        (file.path.clone(), file.lent)
    };
    let all = all().into_iter().map(lent);
    all.filter(|(_, lent)| *lent > 0).collect()
}

/// Whether a file of that name, in whatever folder, has a pool.
pub fn knows_name(path: &Path) -> bool {
    !places::named(path.file_name().unwrap_or_default()).is_empty()
}

/// The pools of what is at a path. The names first: most paths are others'.
fn pools_at(path: &Path) -> Vec<Arc<Pool>> {
    let mut pools = places::named(path.file_name().unwrap_or_default());
    if !pools.is_empty() {
        let look = Look::at(path);
        pools.retain(|pool| look.as_ref().is_ok_and(|look| pool.is_of(look)));
    }
    pools
}

/// Bring what was committed to a file and is in its WAL only into it: somebody is about to read the file alone, or others
/// closed it whose close would have done that, had it not been open here. Waits for no lock of others.
pub fn file_now(path: &Path) {
    for pool in pools_at(path) {
        pool.file_now(Instant::now());
    }
}

/// The same for all files, because somebody may be about to read any. Waits for that as long as `patience` at most.
pub fn file_all_now(patience: Duration) {
    workers::run(
        || {
            for pool in all() {
                pool.file_now(Instant::now());
            }
        },
        patience,
    );
}

/// Close the connections to a file that nobody uses, of all its pools: a statement wants it alone, or somebody is about to
/// put another content there. Blocks.
pub fn step_aside(path: &Path) {
    let Ok(look) = Look::at(path) else {
        return;
    };
    for pool in all() {
        if pool.is_of(&look) {
            pool.step_aside();
        }
    }
}

/// `step_aside` for who is about to remove or overwrite what has this path.
pub fn make_way(path: &Path) {
    for pool in pools_at(path) {
        pool.file_now(Instant::now());
        pool.step_aside();
    }
}

fn start_sweeping() {
    workers::sweep_every(SWEEP_EVERY, || sweep(Instant::now()));
}

/// Look after all pools: what is idle for too long goes, and pools without connections are forgotten.
pub fn sweep(now: Instant) {
    static TURN: AtomicBool = AtomicBool::new(false);
    for pool in all() {
        pool.sweep(now);
    }
    vfs::close_parked();
    // Every other time, so that a pool that was just made is not forgotten before its first use.
    if TURN.fetch_xor(true, Ordering::Relaxed) {
        let forgotten: Vec<_> = {
            let mut pools = POOLS.lock();
            pools
                .extract_if(|_, pool| Arc::strong_count(pool) == 1 && pool.is_forgotten())
                .collect()
        };
        drop(forgotten);
        places::forget_gone();
        WRITERS
            .lock()
            .retain(|_, writers| writers.strong_count() > 0);
    }
}

/// A thread is about to fork: no connection that nobody uses may be open in the child, whose locks would not be held
/// while its SQLite thinks that they are (sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
/// Blocks.
pub fn before_fork() {
    process::set_forking(true);
    for pool in all() {
        pool.prepare_for_fork();
    }
    workers::stop();
    vfs::stop_lingering(Instant::now() + Duration::from_millis(100));
}

/// The fork is over, in the parent.
pub fn after_fork() {
    process::set_forking(false);
    if !POOLS.lock().is_empty() {
        start_sweeping();
    }
}

/// Close all idle connections of the process, at its end.
pub fn close_all() {
    for pool in all() {
        pool.drain();
    }
    vfs::close_parked();
}

/// What `connect()` got.
pub enum Opened {
    /// A connection that goes back to its pool.
    Pooled(Box<Lease>),
    /// One of its own.
    Private(Box<Connection>),
}

/// Open a database as `sqlite3.connect` does: from its pool if it is a file that can have one.
pub fn connect(path: &Path, uri: bool, shares_cache: bool, cached: usize) -> Result<Opened> {
    let private = || {
        with_room(|| Connection::open(path, uri, shares_cache, cached))
            .map(|connection| Opened::Private(Box::new(connection)))
    };
    let Some((file, access)) = file_of(path, uri, shares_cache) else {
        return private();
    };
    let file = file.as_deref().unwrap_or(path);
    match Look::at(file) {
        Ok(look) if look.is_file => {
            let pool = pool_of(file, &look, access)?;
            pool.follow(file);
            let mut lease = pool.lease_plain(file, &look)?;
            lease.connection_mut().cache().set_capacity(cached);
            Ok(Opened::Pooled(Box::new(lease)))
        }
        Ok(_) => private(),
        Err(_) => create(file, access, cached),
    }
}

/// Open a database that has an idle connection in its pool. Takes no time; None if it must be done by `connect`.
pub fn connect_at_once(path: &Path, uri: bool, shares_cache: bool, cached: usize) -> Option<Lease> {
    if uri || shares_cache {
        return None;
    }
    let look = Look::at(path).ok()?;
    if look.has_other_names {
        return None;
    }
    let identity = Identity::of(path, &look, Access::ReadWriteCreate).ok()?;
    let pool = Arc::clone(POOLS.lock().get(&identity)?);
    if !pool.is_at(path) {
        return None;
    }
    let mut lease = pool.lease_idle_plain(&look)?;
    lease.connection_mut().cache().set_capacity(cached);
    Some(lease)
}

/// Open a file that is not there (yet): with SQLite's own error if it can't be made.
fn create(path: &Path, access: Access, cached: usize) -> Result<Opened> {
    leave(path);
    let opener = Opener::new(access, Door::Plain, Arc::new(Counters::default()));
    let mut kept = with_room(|| opener.open(path))?;
    kept.connection.cache().set_capacity(cached);
    match Look::at(path) {
        Ok(look) if look.is_file => {
            let pool = pool_of(path, &look, access)?;
            Ok(Opened::Pooled(Box::new(pool.lease_fresh(kept, &look))))
        }
        _ => Ok(Opened::Private(Box::new(kept.connection))),
    }
}

/// The file that a name of `connect()` means and how it is opened, if it can be pooled; None for the path as it is.
fn file_of(path: &Path, is_uri: bool, shares_cache: bool) -> Option<(Option<PathBuf>, Access)> {
    use std::os::unix::ffi::OsStrExt as _;
    let name = path.as_os_str().as_bytes();
    if shares_cache || name.is_empty() || name == b":memory:" {
        return None;
    }
    match name.strip_prefix(b"file:").filter(|_| is_uri) {
        Some(rest) => uri::file(rest).map(|(file, access)| (Some(file), access)),
        None => Some((None, Access::ReadWriteCreate)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, uri: bool) -> Option<(Option<PathBuf>, Access)> {
        file_of(Path::new(name), uri, false)
    }

    #[test]
    fn only_files_are_pooled() {
        assert_eq!(file(":memory:", false), None);
        assert_eq!(file("", false), None);
        assert_eq!(file("a.db", false), Some((None, Access::ReadWriteCreate)));
        assert_eq!(
            file("file:a.db", false),
            Some((None, Access::ReadWriteCreate))
        );
        assert_eq!(
            file("file:a.db?mode=ro", true),
            Some((Some("a.db".into()), Access::ReadOnly))
        );
        assert_eq!(
            file("file:///srv/a.db", true),
            Some((Some("/srv/a.db".into()), Access::ReadWriteCreate))
        );
        for name in [
            "file::memory:",
            "file:a.db?mode=memory",
            "file:a.db?cache=shared",
            "file://host/a.db",
            "file:a.db?immutable=1",
            "file:a.db?mode=ro&nolock=1",
        ] {
            assert_eq!(file(name, true), None, "{name}");
        }
    }
}
