//! Which pools have their files at which paths, to find them by the name of a file.

use super::Pool;
use super::identity::Identity;
use crate::core::process::PerProcess;
use crate::core::sync::Mutex;
use foldhash::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// A pool whose file was the last to be at a path, or one of several that open it in different ways.
struct Place {
    path: PathBuf,
    pool: Weak<Pool>,
}

/// The places, by the name of the file without its folders.
static PLACES: PerProcess<Mutex<HashMap<OsString, Vec<Place>>>> = PerProcess::new(Mutex::default);

/// Whether there were pools ever.
static ARE_THERE: PerProcess<AtomicBool> = PerProcess::new(AtomicBool::default);

/// Whether any pool may have a file.
#[inline]
pub fn are_there() -> bool {
    ARE_THERE.load(Ordering::Relaxed)
}

/// Note that a pool's file is at a path. Gives the pools whose file was there before: they must let go of it, as they
/// would still use the journals beside it.
pub fn arrive(path: PathBuf, pool: &Arc<Pool>) -> Vec<Arc<Pool>> {
    ARE_THERE.store(true, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_owned();
    let mut places = PLACES.lock();
    let here = places.entry(name).or_default();
    here.retain(|place| place.pool.strong_count() > 0);
    let before = here.extract_if(.., |place| {
        let is_others = |other: &Pool| !is_same_file(other.identity(), pool.identity());
        place.path == path && place.pool.upgrade().is_none_or(|other| is_others(&other))
    });
    let before = before.filter_map(|place| place.pool.upgrade()).collect();
    let is_known = |place: &Place| place.path == path && is(&place.pool, pool);
    if !here.iter().any(is_known) {
        let pool = Arc::downgrade(pool);
        here.push(Place { path, pool });
    }
    before
}

/// Pools of one file differ in how they open it.
fn is_same_file(one: &Identity, other: &Identity) -> bool {
    one.file == other.file && one.name == other.name
}

fn is(weak: &Weak<Pool>, pool: &Arc<Pool>) -> bool {
    std::ptr::eq(weak.as_ptr(), Arc::as_ptr(pool))
}

/// Forget what is at a path. Gives the pools whose file was there.
pub fn leave(path: &Path) -> Vec<Arc<Pool>> {
    let mut places = PLACES.lock();
    let Some(here) = places.get_mut(path.file_name().unwrap_or_default()) else {
        return Vec::new();
    };
    let gone = here.extract_if(.., |place| place.path == path);
    gone.filter_map(|place| place.pool.upgrade()).collect()
}

/// The pools of files with a name, in whatever folder.
pub fn named(name: &OsStr) -> Vec<Arc<Pool>> {
    let places = PLACES.lock();
    let here = places.get(name).into_iter().flatten();
    let mut pools: Vec<_> = here.filter_map(|place| place.pool.upgrade()).collect();
    pools.dedup_by(|one, other| Arc::ptr_eq(one, other));
    pools
}

/// The other pools of a pool's file.
pub fn others(pool: &Pool) -> Vec<Arc<Pool>> {
    let name = pool
        .file
        .lock()
        .path
        .file_name()
        .unwrap_or_default()
        .to_owned();
    let is_other = |other: &Arc<Pool>| {
        !std::ptr::eq(Arc::as_ptr(other), pool) && is_same_file(other.identity(), pool.identity())
    };
    let mut others = named(&name);
    others.retain(is_other);
    others
}

/// Forget the places of pools that are gone.
pub fn forget_gone() {
    PLACES.lock().retain(|_, here| {
        here.retain(|place| place.pool.strong_count() > 0);
        !here.is_empty()
    });
}
