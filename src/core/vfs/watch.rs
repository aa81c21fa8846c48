//! Database files that know what happens to them: whether this connection wrote into them, and, as long as nobody can
//! change it, their size.
//!
//! A read transaction that finds the WAL empty asks the system for the file's size: a fifth of a look-up by key. But
//! as long as the WAL index says that nothing was written since it was made, and this connection holds the read lock
//! that keeps checkpoints away (WAL_READ_LOCK(0), sqlite.org/walformat.html), the size is what it was the last time.
//! A main database's file gets a table of methods of ours: its own, but for the few that must be watched.

use super::linger::Locks;
use super::{descriptors, room};
use crate::core::process::PerProcess;
use crate::core::sync::Mutex;
use rusqlite::ffi;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

/// Bytes of the WAL index's header: format, counters, the WAL's last frame, the database's pages, checksums.
const HEADER: usize = 48;
/// Where the header tells the WAL's last frame and then the pages: both 0 when nothing was written.
const NOTHING_WRITTEN: std::ops::Range<usize> = 16..24;
/// The lock of a reader that needs nothing from the WAL.
const READ_LOCK_0: c_int = 3;

/// What is kept for a file, behind the structure of its VFS.
struct Watched {
    /// The file's own methods.
    own: &'static ffi::sqlite3_io_methods,
    /// The first region of the WAL index; null if it is not mapped.
    index: *const [u8; HEADER],
    /// Its locks, as long as it is mapped.
    locks: Option<Arc<Locks>>,
    holds_read_lock_0: bool,
    /// The size, and the header that it goes with.
    known: Option<(i64, [u8; HEADER])>,
    /// The file itself was written or cut since it was last asked.
    was_written: bool,
    /// Its descriptor, and the file that this was opened on.
    main: (c_int, Option<(u64, u64)>),
    /// The descriptor of the `-wal` file beside it. It is open as long as the WAL index is mapped.
    wal: c_int,
    /// The WAL index's header when the connection became idle.
    left: Option<[u8; HEADER]>,
}

/// A table of methods of ours for each that there is in the VFS.
static TABLES: PerProcess<Mutex<Vec<Tables>>> = PerProcess::new(Mutex::default);

/// Where methods of a file are, and ours for it.
type Tables = (usize, &'static ffi::sqlite3_io_methods);

/// Watch a file that was just opened as a main database.
///
/// # Safety
/// `file` is open on `descriptor`, and has the memory that `room::memory_of_file` asked for.
pub unsafe fn watch(file: *mut ffi::sqlite3_file, descriptor: c_int) {
    // SAFETY: an open file's methods live for ever; its memory has room for ours, as the caller promises.
    unsafe {
        // Version 2 brought the WAL index.
        let Some(own) = (*file).pMethods.as_ref().filter(|own| own.iVersion >= 2) else {
            return;
        };
        let Some(place) = room::place(file) else {
            return;
        };
        ptr::write(
            place,
            Watched {
                own,
                index: ptr::null(),
                locks: None,
                holds_read_lock_0: false,
                known: None,
                was_written: false,
                main: (descriptor, descriptors::file_of(descriptor)),
                wal: descriptors::NONE,
                left: None,
            },
        );
        (*file).pMethods = table(own);
    }
}

/// What a connection did with its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    /// It wrote into the file itself, not only into the journals beside it, since it was last asked.
    pub wrote: bool,
    /// It has the WAL open.
    pub uses_wal: bool,
}

/// What happened to a file, once. None if it is not watched.
///
/// # Safety
/// `file` is null or an open file of SQLite's, which nobody uses meanwhile.
pub unsafe fn take_traces(file: *mut ffi::sqlite3_file) -> Option<Traces> {
    // SAFETY: as the caller promises.
    let this = unsafe { watched(file)? };
    Some(Traces {
        wrote: std::mem::take(&mut this.was_written),
        uses_wal: !this.index.is_null(),
    })
}

/// Note the descriptor of a database's `-wal` file, which was just opened.
///
/// # Safety
/// As for `take_traces`.
pub unsafe fn note_wal(database: *mut ffi::sqlite3_file, wal: c_int) {
    // SAFETY: as the caller promises.
    if let Some(this) = unsafe { watched(database) } {
        this.wal = wal;
    }
}

/// Whether the `-wal` file that a database has open was not removed. None if it has none open, or if it can't be told.
///
/// # Safety
/// As for `take_traces`.
#[inline]
pub unsafe fn wal_has_name(database: *mut ffi::sqlite3_file) -> Option<bool> {
    // SAFETY: as the caller promises.
    let this = unsafe { watched(database)? };
    match this.index.is_null() || this.wal == descriptors::NONE {
        true => None,
        false => descriptors::has_name(this.wal),
    }
}

/// Whether somebody else closed the file's descriptor, so that it is another file's by now, or none's.
///
/// # Safety
/// As for `take_traces`.
#[inline]
pub unsafe fn is_lost(file: *mut ffi::sqlite3_file) -> bool {
    // SAFETY: as the caller promises.
    match unsafe { watched(file) } {
        Some(this) => descriptors::file_of(this.main.0) != this.main.1,
        None => false,
    }
}

/// Remember how the WAL is, for `wal_is_as_left`.
///
/// # Safety
/// As for `take_traces`.
pub unsafe fn remember_wal(database: *mut ffi::sqlite3_file) {
    // SAFETY: as the caller promises.
    if let Some(this) = unsafe { watched(database) } {
        this.left = this.index();
    }
}

/// Whether there is something in the WAL, and nobody has written to it since `remember_wal`: neither this process nor
/// whoever has another file at the path by now, and calls its WAL by the same name.
///
/// # Safety
/// As for `take_traces`.
pub unsafe fn wal_is_as_left(database: *mut ffi::sqlite3_file) -> bool {
    // SAFETY: as the caller promises.
    let Some(this) = (unsafe { watched(database) }) else {
        return false;
    };
    let now = this.index();
    now.is_some_and(|header| !is_empty(&header)) && now == this.left
}

/// Tell the locks of a database that its next transaction will write: see `Locks::expect_write`.
///
/// # Safety
/// As for `take_traces`.
#[inline]
pub unsafe fn expect_write(database: *mut ffi::sqlite3_file) {
    // SAFETY: as the caller promises.
    if let Some(locks) = unsafe { watched(database) }.and_then(|this| this.locks.as_ref()) {
        locks.expect_write();
    }
}

/// What is kept for a file, if it is watched.
///
/// # Safety
/// As for `take_traces`.
#[inline]
unsafe fn watched<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a mut Watched> {
    // SAFETY: as the caller promises; a file with a table of ours has a `Watched`.
    unsafe {
        let methods = file.as_ref()?.pMethods;
        let is_ours = |table: &Tables| ptr::eq(table.1, methods);
        TABLES.lock().iter().any(is_ours).then(|| room::kept(file))
    }
}

/// The table for files whose own one this is.
fn table(own: &'static ffi::sqlite3_io_methods) -> &'static ffi::sqlite3_io_methods {
    let key = ptr::from_ref(own) as usize;
    let mut tables = TABLES.lock();
    if let Some((_, table)) = tables.iter().find(|(known, _)| *known == key) {
        return table;
    }
    let mut copy = *own;
    copy.xFileSize = Some(file_size);
    copy.xWrite = Some(write);
    copy.xTruncate = Some(truncate);
    copy.xShmMap = Some(shm_map);
    copy.xShmLock = Some(shm_lock);
    copy.xShmUnmap = Some(shm_unmap);
    let table: &'static _ = Box::leak(Box::new(copy));
    tables.push((key, table));
    table
}

impl Watched {
    /// The WAL index's header if it vouches for the size of the file.
    #[inline]
    fn header(&self) -> Option<[u8; HEADER]> {
        if !self.holds_read_lock_0 {
            return None;
        }
        self.index().filter(is_empty)
    }

    /// The WAL index's header, if it is mapped.
    #[inline]
    fn index(&self) -> Option<[u8; HEADER]> {
        // SAFETY: the region is mapped. Others may write it meanwhile; then it differs from what was known, and
        // it is SQLite that compared it after it had got the lock.
        (!self.index.is_null()).then(|| unsafe { self.index.read_volatile() })
    }
}

/// Whether a header tells that nothing was written.
#[inline]
fn is_empty(header: &[u8; HEADER]) -> bool {
    header[NOTHING_WRITTEN].iter().all(|byte| *byte == 0)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: called by SQLite; `size` may be written to.
    unsafe {
        let this: &mut Watched = room::kept(file);
        let header = this.header();
        if let (Some(header), Some((known, its_header))) = (&header, &this.known)
            && header == its_header
        {
            *size = *known;
            return ffi::SQLITE_OK;
        }
        let Some(method) = this.own.xFileSize else {
            return ffi::SQLITE_IOERR_FSTAT;
        };
        let code = method(file, size);
        this.known = match (code, header) {
            (ffi::SQLITE_OK, Some(header)) => Some((*size, header)),
            _ => None,
        };
        code
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: called by SQLite, with arguments for the file's own method.
    unsafe {
        let this: &mut Watched = room::kept(file);
        this.known = None;
        this.was_written = true;
        match this.own.xWrite {
            Some(method) => method(file, data, length, offset),
            None => ffi::SQLITE_IOERR_WRITE,
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: as for `write`.
    unsafe {
        let this: &mut Watched = room::kept(file);
        this.known = None;
        this.was_written = true;
        match this.own.xTruncate {
            Some(method) => method(file, size),
            None => ffi::SQLITE_IOERR_TRUNCATE,
        }
    }
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    address: *mut *mut c_void,
) -> c_int {
    // SAFETY: as for `write`; `address` was written to by the own method.
    unsafe {
        let this: &mut Watched = room::kept(file);
        let Some(method) = this.own.xShmMap else {
            return ffi::SQLITE_IOERR_SHMMAP;
        };
        let code = method(file, region, size, extend, address);
        if region == 0 {
            this.known = None;
            this.index = match code {
                ffi::SQLITE_OK => (*address).cast_const().cast(),
                _ => ptr::null(),
            };
            if let (None, Some(own), false) = (&this.locks, this.own.xShmLock, this.index.is_null())
            {
                this.locks = Some(Locks::new(file, own, this.index as usize));
            }
        }
        code
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: as for `write`.
    unsafe {
        let this: &mut Watched = room::kept(file);
        let code = match (&this.locks, this.own.xShmLock) {
            (Some(locks), _) => locks.lock(offset, count, flags),
            (None, Some(own)) => own(file, offset, count, flags),
            (None, None) => ffi::SQLITE_IOERR_SHMLOCK,
        };
        if offset <= READ_LOCK_0 && READ_LOCK_0 < offset + count {
            let takes = flags & ffi::SQLITE_SHM_LOCK != 0;
            let shared = flags & ffi::SQLITE_SHM_SHARED != 0;
            if !takes || code == ffi::SQLITE_OK {
                this.holds_read_lock_0 = takes && shared;
            }
        }
        code
    }
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: as for `write`.
    unsafe {
        let this: &mut Watched = room::kept(file);
        this.index = ptr::null();
        if let Some(locks) = this.locks.take() {
            locks.settle();
        }
        this.wal = descriptors::NONE;
        this.holds_read_lock_0 = false;
        this.known = None;
        match this.own.xShmUnmap {
            Some(method) => method(file, delete),
            None => ffi::SQLITE_OK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// What the file's own method answers, and how often it was asked.
    static SIZE: AtomicI64 = AtomicI64::new(0);
    static ASKED: AtomicI64 = AtomicI64::new(0);

    unsafe extern "C" fn own_file_size(_: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
        ASKED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: called with a place to write to.
        unsafe { *size = SIZE.load(Ordering::Relaxed) };
        ffi::SQLITE_OK
    }

    unsafe extern "C" fn own_write(
        _: *mut ffi::sqlite3_file,
        _: *const c_void,
        _: c_int,
        _: i64,
    ) -> c_int {
        ffi::SQLITE_OK
    }

    unsafe extern "C" fn own_truncate(_: *mut ffi::sqlite3_file, _: i64) -> c_int {
        ffi::SQLITE_OK
    }

    unsafe extern "C" fn own_shm_map(
        _: *mut ffi::sqlite3_file,
        _: c_int,
        _: c_int,
        _: c_int,
        _: *mut *mut c_void,
    ) -> c_int {
        ffi::SQLITE_OK
    }

    unsafe extern "C" fn own_shm_lock(
        _: *mut ffi::sqlite3_file,
        _: c_int,
        _: c_int,
        flags: c_int,
    ) -> c_int {
        // Nobody gets the exclusive lock.
        match flags & ffi::SQLITE_SHM_EXCLUSIVE != 0 && flags & ffi::SQLITE_SHM_LOCK != 0 {
            true => ffi::SQLITE_BUSY,
            false => ffi::SQLITE_OK,
        }
    }

    unsafe extern "C" fn own_shm_unmap(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
        ffi::SQLITE_OK
    }

    /// Call a method of a watched file.
    macro_rules! call {
        ($file:expr, $method:ident $(, $argument:expr)*) => {
            // SAFETY: the file is watched and has the method; the arguments are what it wants.
            unsafe { ((*(*$file).pMethods).$method.unwrap())($file $(, $argument)*) }
        };
    }

    #[test]
    fn the_size_is_asked_for_again_whenever_it_could_have_changed() {
        crate::core::vfs::install();
        // SAFETY: a table of function pointers may be all null.
        let mut own: ffi::sqlite3_io_methods = unsafe { std::mem::zeroed() };
        own.iVersion = 3;
        own.xFileSize = Some(own_file_size);
        own.xWrite = Some(own_write);
        own.xTruncate = Some(own_truncate);
        own.xShmMap = Some(own_shm_map);
        own.xShmLock = Some(own_shm_lock);
        own.xShmUnmap = Some(own_shm_unmap);
        let own: &'static _ = Box::leak(Box::new(own));
        let mut memory = [0_u128; 64];
        let file = memory.as_mut_ptr().cast::<ffi::sqlite3_file>();
        // SAFETY: the memory is longer than that of a file of our VFS.
        unsafe {
            (*file).pMethods = own;
            watch(file, descriptors::NONE);
        }
        let mut index = [0_u8; HEADER];
        let size = || {
            let mut size = -1;
            assert_eq!(call!(file, xFileSize, &mut size), ffi::SQLITE_OK);
            size
        };
        // Another size each time: whoever asks must see it.
        let is_known = || {
            let asked = ASKED.load(Ordering::Relaxed);
            let now = SIZE.fetch_add(4096, Ordering::Relaxed) + 4096;
            let seen = size();
            let known = ASKED.load(Ordering::Relaxed) == asked;
            assert_eq!(seen == now, !known);
            known
        };
        let lock = |flags| call!(file, xShmLock, READ_LOCK_0, 1, flags);
        let (take, give) = (
            ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_SHARED,
            ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_SHARED,
        );
        size();
        assert!(!is_known(), "without an index");
        let mut address: *mut c_void = index.as_mut_ptr().cast();
        call!(file, xShmMap, 0, 32768, 0, &mut address);
        assert!(!is_known(), "without the lock");
        lock(take);
        size();
        assert!(is_known());
        lock(give);
        assert!(!is_known(), "after the lock");
        lock(take);
        size();
        lock(give);
        lock(take);
        assert!(is_known(), "with the lock again");
        lock(ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE);
        assert!(
            is_known(),
            "the lock was not lost to an exclusive one that was refused"
        );
        // SAFETY: the index is this test's own, as another process would write to it.
        let set = |at: usize, value: u8| unsafe {
            address.cast::<u8>().add(at).write_volatile(value);
        };
        set(8, 1);
        assert!(!is_known(), "another header");
        assert!(is_known());
        set(PAGES_AT, 1);
        assert!(!is_known(), "something was written");
        assert!(!is_known(), "something was written");
        set(PAGES_AT, 0);
        size();
        assert!(is_known());
        call!(file, xWrite, ptr::null(), 0, 0);
        assert!(!is_known(), "written by this connection");
        call!(file, xTruncate, 0);
        assert!(!is_known(), "cut by this connection");
        // SAFETY: the file is this test's.
        let traces = unsafe { [take_traces(file), take_traces(file)] };
        assert_eq!(
            traces.map(|traces| traces.map(|traces| (traces.wrote, traces.uses_wal))),
            [Some((true, true)), Some((false, true))]
        );
        call!(file, xShmUnmap, 0);
        assert!(!is_known(), "without an index again");
    }

    const PAGES_AT: usize = 20;
}
