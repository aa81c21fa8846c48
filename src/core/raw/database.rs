//! `Database`: one open SQLite handle, its lock, and what must be done when it goes.
//!
//! Owns the rusqlite connection that opened the handle. Handles are opened with `SQLITE_OPEN_NOMUTEX`
//! (SQLite's recursive mutex costs 1.7× on large results), so a lock of ours, re-entrant because
//! callbacks run SQL on their own connection, stands in for it. It knows nothing of Python: the slot
//! `suspended` is an opaque token of the bindings.

use super::fixed::Fixed;
use super::hooks::Hooks;
use super::inherited::{self, FileNumber};
use super::leftovers::Leftovers;
use super::lock::ReentrantLock;
use crate::core::error::Error;
use crate::core::sync::Mutex;
use crate::core::text::Effect;
use crate::core::vfs;
use rusqlite::ffi;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::HashSet;
use std::ffi::{CStr, OsStr, c_void};
use std::fs;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Instant;

/// What could not be closed when its owner was dropped, because another thread held the lock.
enum Orphan {
    Statement(*mut ffi::sqlite3_stmt),
    Blob(*mut ffi::sqlite3_blob),
}

// SAFETY: an orphan is only closed, by the thread that holds the lock of its database.
unsafe impl Send for Orphan {}

impl Orphan {
    fn close(self, guard: &LockGuard<'_>) {
        match self {
            Orphan::Statement(statement) => guard.finalize(statement),
            Orphan::Blob(blob) => guard.close_blob(blob),
        }
    }
}

/// An open SQLite handle shared by a connection object and everything that was made from it.
pub struct Database {
    handle: *mut ffi::sqlite3,
    owner: UnsafeCell<Option<rusqlite::Connection>>,
    /// All connections with a shared cache have one lock: SQLite's mutex of the cache would block with the
    /// interpreter held.
    lock: Arc<ReentrantLock>,
    shares_cache: bool,
    open: AtomicBool,
    /// Held while another thread interrupts the handle, and when `open` becomes false.
    interrupt_gate: Mutex<()>,
    orphans: Mutex<Vec<Orphan>>,
    has_orphans: AtomicBool,
    /// Token of the bindings while a statement runs with the interpreter given up; null otherwise.
    suspended: Cell<*mut c_void>,
    /// A tick may give the interpreter up: the bindings are there to take it back.
    yields: Cell<bool>,
    /// Calls of the progress handler since the current step began.
    ticks: Cell<u32>,
    /// Until when ticks leave the interpreter alone within the current step; None: as they like.
    hold_until: Cell<Option<Instant>>,
    /// Statements always give the interpreter up at once (shared cache: its mutexes can block).
    always_suspend: Cell<bool>,
    /// Some statement was compiled, so the schema has been read from the file.
    schema_read: Cell<bool>,
    /// The user's progress handler sits in SQLite's only slot, so nothing ticks.
    has_progress: Cell<bool>,
    hooks: Hooks,
    /// Every statement of ours that is not finalized yet. SQLite's own list (`sqlite3_next_stmt`) also
    /// holds statements that belong to virtual tables and must not be touched.
    statements: RefCell<HashSet<*mut ffi::sqlite3_stmt>>,
    blobs: RefCell<HashSet<*mut ffi::sqlite3_blob>>,
    fixed: Fixed,
    leftovers: Leftovers,
    /// Unfinished backups from or to this handle; it can't be closed before they end.
    backups: Cell<u32>,
    /// What was left behind on this connection since `forget_effects`.
    effects: Cell<Effect>,
    /// It has written to its file since `begin_to_lend`.
    has_written: Cell<bool>,
    /// `sqlite3_total_changes64` when the present user came.
    changes_before: Cell<i64>,
    /// SQLite may know the schema from the time of an earlier user.
    schema_is_of_before: Cell<bool>,
    /// What is attached is opened for reading only.
    attaches_for_reading: Cell<bool>,
    /// The process that opened it, when this one is its fork and must not use it; else 0.
    parent: AtomicI32,
}

// SAFETY: every call into the handle and every access to the `Cell`s happens under `mutex` (the public
// API hands the handle out only through `LockGuard` or documents the exception, `sqlite3_interrupt`).
unsafe impl Send for Database {}
// SAFETY: see above.
unsafe impl Sync for Database {}

impl Database {
    /// Take over a connection that rusqlite opened with `SQLITE_OPEN_NO_MUTEX`, possibly on a shared cache.
    pub fn adopt(connection: rusqlite::Connection, shares_cache: bool) -> Arc<Self> {
        // SAFETY: the handle stays valid as long as `connection`, which this struct owns from here on.
        let handle = unsafe { connection.handle() };
        let this = Arc::new(Self {
            handle,
            owner: UnsafeCell::new(Some(connection)),
            lock: if shares_cache {
                ReentrantLock::of_shared_caches()
            } else {
                Arc::new(ReentrantLock::new())
            },
            shares_cache,
            open: AtomicBool::new(true),
            interrupt_gate: Mutex::new(()),
            orphans: Mutex::new(Vec::new()),
            has_orphans: AtomicBool::new(false),
            suspended: Cell::new(ptr::null_mut()),
            yields: Cell::new(false),
            ticks: Cell::new(0),
            hold_until: Cell::new(None),
            always_suspend: Cell::new(shares_cache),
            schema_read: Cell::new(false),
            has_progress: Cell::new(false),
            hooks: Hooks::default(),
            statements: RefCell::default(),
            blobs: RefCell::default(),
            fixed: Fixed::default(),
            leftovers: Leftovers::default(),
            backups: Cell::new(0),
            effects: Cell::new(Effect::NONE),
            has_written: Cell::new(false),
            changes_before: Cell::new(0),
            schema_is_of_before: Cell::new(false),
            attaches_for_reading: Cell::new(false),
            parent: AtomicI32::new(0),
        });
        inherited::enlist(Arc::as_ptr(&this), this.file_number());
        this
    }

    /// Make what the child of a fork got from its parent usable, or unusable for ever.
    ///
    /// # Safety
    /// The database is alive, and the process has no other thread.
    pub(super) unsafe fn inherit(this: *const Self) {
        // SAFETY: it is alive; what other threads may have been changing is not looked at before it is known that there
        // were none, or is written anew without a look.
        unsafe {
            let database = &*this;
            // Held by a thread that is gone, maybe.
            (&raw const database.interrupt_gate)
                .cast_mut()
                .write(Mutex::new(()));
            if database.orphans.try_lock().is_none() {
                (&raw const database.orphans)
                    .cast_mut()
                    .write(Mutex::default());
            }
            let is_used = database.lock.is_used_by_another();
            if !database.is_open() || (!is_used && !has_files(database.handle)) {
                return;
            }
            database.parent.store(libc::getppid(), Ordering::Relaxed);
            database.open.store(false, Ordering::Release);
            database.has_orphans.store(false, Ordering::Release);
            // What they held is the parent's, and stays as it is.
            let (statements, blobs) = (&raw const database.statements, &raw const database.blobs);
            statements.cast_mut().write(RefCell::default());
            blobs.cast_mut().write(RefCell::default());
            database.owner.get().write(None);
            if is_used {
                ReentrantLock::make_anew(Arc::as_ptr(&database.lock));
            }
        }
    }

    /// Device and inode of its main file.
    fn file_number(&self) -> Option<FileNumber> {
        // SAFETY: the handle is open, and nobody else has it yet; the name is the handle's.
        let path = unsafe {
            let name = ffi::sqlite3_db_filename(self.handle, c"main".as_ptr());
            (!name.is_null()).then(|| CStr::from_ptr(name))?
        };
        let metadata = fs::metadata(OsStr::from_bytes(path.to_bytes())).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// Whether it is a parent's, which this process must not use.
    #[cold]
    pub fn is_inherited(&self) -> bool {
        self.parent.load(Ordering::Relaxed) != 0
    }

    /// Why it is closed.
    #[cold]
    pub fn why_closed(&self) -> Error {
        match self.parent.load(Ordering::Relaxed) {
            0 => Error::Closed,
            parent => Error::Inherited {
                parent,
                child: std::process::id(),
            },
        }
    }

    /// Whether the handle may still be used.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Lock the connection if no other thread holds it. Re-entrant; never blocks.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_>> {
        self.lock.try_enter().then(|| LockGuard::new(self))
    }

    /// Lock the connection, waiting for other threads. Callers give up every lock that the holder may
    /// need (the interpreter's) first.
    pub fn lock(&self) -> LockGuard<'_> {
        self.lock.enter();
        LockGuard::new(self)
    }

    /// Let this thread keep the lock, so that locking costs no atomic operation, until someone unreserves
    /// it. Other threads' destructors leave their statements to the owner meanwhile, and whoever wants the
    /// lock asks for `unreserve_if_idle` first.
    ///
    /// # Safety
    /// As long as the lock is reserved, it is taken, let go and unreserved only under one and the same outer
    /// lock (the interpreter's).
    pub unsafe fn reserve(&self) {
        if self.shares_cache {
            return;
        }
        if let Some(guard) = self.try_lock()
            && !self.lock.is_reserved()
            && !guard.is_nested()
        {
            self.lock.reserve();
        }
    }

    /// Whether a thread has the lock reserved.
    #[inline]
    pub fn is_reserved(&self) -> bool {
        self.lock.is_reserved()
    }

    /// End a reservation, of any thread, unless the lock is in use. Tells whether the lock is not reserved
    /// afterwards.
    ///
    /// # Safety
    /// As for `reserve`.
    pub unsafe fn unreserve_if_idle(&self) -> bool {
        // SAFETY: as the caller promises.
        unsafe { self.lock.unreserve_if_idle() }
    }

    /// Abort what runs on this connection, from any thread: it needs not the lock but a gate of its own,
    /// so that the handle is not closed meanwhile.
    pub fn interrupt(&self) {
        let _gate = self.interrupt_gate.lock();
        if self.is_open() {
            // SAFETY: the handle is open, and documented as safe to interrupt from another thread.
            unsafe { ffi::sqlite3_interrupt(self.handle) }
        }
    }

    /// Whether a transaction is open, at this moment and without waiting; None when the handle is closed.
    #[inline]
    pub fn in_transaction(&self) -> Option<bool> {
        // SAFETY: the handle is open; a flag is read.
        self.while_open(|| unsafe { ffi::sqlite3_get_autocommit(self.handle) == 0 })
    }

    /// Rows changed since the handle was opened or lent, without waiting; None when the handle is closed.
    #[inline]
    pub fn total_changes(&self) -> Option<i64> {
        // SAFETY: the handle is open; a counter is read.
        self.while_open(|| unsafe { ffi::sqlite3_total_changes64(self.handle) })
            .map(|count| count - self.changes_before.get())
    }

    /// Look at something with the handle kept open: by the lock if that is free, else by the gate.
    #[inline]
    fn while_open<R>(&self, look: impl Fn() -> R) -> Option<R> {
        if let Some(_guard) = self.try_lock() {
            return self.is_open().then(look);
        }
        let _gate = self.interrupt_gate.lock();
        self.is_open().then(look)
    }

    pub(super) fn schema_is_of_before(&self) -> &Cell<bool> {
        &self.schema_is_of_before
    }

    pub(super) fn changes_before(&self) -> &Cell<i64> {
        &self.changes_before
    }

    /// The interpreter token of the bindings; only the lock's holder may touch it.
    #[inline]
    pub fn suspended(&self) -> &Cell<*mut c_void> {
        &self.suspended
    }

    /// Whether a tick may give the interpreter up; only the lock's holder may touch it.
    #[inline]
    pub fn yields(&self) -> &Cell<bool> {
        &self.yields
    }

    /// Ticks of the progress handler since the current step began.
    #[inline]
    pub fn ticks(&self) -> &Cell<u32> {
        &self.ticks
    }

    /// Whether some statement was compiled, so that the schema has been read from the file.
    #[inline]
    pub fn schema_read(&self) -> &Cell<bool> {
        &self.schema_read
    }

    /// Until when ticks leave the interpreter alone within the current step; None: as they like.
    #[inline]
    pub fn hold_until(&self) -> &Cell<Option<Instant>> {
        &self.hold_until
    }

    /// Note what something left behind on this connection.
    #[inline]
    pub fn note(&self, effect: Effect) {
        self.effects.set(self.effects.get().and(effect));
        if effect.has(Effect::WROTE) {
            self.has_written.set(true);
        }
    }

    /// Note that this connection was changed in a way that no pool undoes.
    #[inline]
    pub fn taint(&self) {
        self.note(Effect::LASTING);
    }

    /// What was left behind on this connection.
    pub fn effects(&self) -> Effect {
        self.effects.get()
    }

    /// Whether what is attached is opened for reading only, and must be there; only the lock's holder may touch it.
    #[inline]
    pub fn attaches_for_reading(&self) -> &Cell<bool> {
        &self.attaches_for_reading
    }

    /// It is ready for its first user: what was done to it until now is its owner's.
    pub fn begin_to_lend(&self) {
        self.forget_effects();
        self.has_written.set(false);
    }

    /// Whether any of its users wrote something.
    pub fn has_written(&self) -> bool {
        self.has_written.get()
    }

    /// What was left behind until now is how its owner wants it.
    pub fn forget_effects(&self) {
        self.effects.set(Effect::NONE);
    }

    /// Whether every statement must give the interpreter up at once.
    #[inline]
    pub fn must_suspend(&self) -> bool {
        self.always_suspend.get() || self.has_progress.get()
    }

    /// From now on every statement gives the interpreter up at once.
    pub fn suspend_always(&self) {
        self.always_suspend.set(true);
    }

    pub(super) fn set_has_progress(&self, present: bool) {
        self.has_progress.set(present);
    }

    pub(super) fn fixed(&self) -> &Fixed {
        &self.fixed
    }

    pub(super) fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Finalize a statement now if the lock is free, else leave it to the lock's holder.
    pub(super) fn release_statement(&self, statement: *mut ffi::sqlite3_stmt) {
        self.release(Orphan::Statement(statement));
    }

    /// Close a BLOB now if the lock is free, else leave it to the lock's holder.
    pub(super) fn release_blob(&self, blob: *mut ffi::sqlite3_blob) {
        self.release(Orphan::Blob(blob));
    }

    /// Destructors must not wait for the lock: they run with the interpreter held.
    fn release(&self, orphan: Orphan) {
        match self.try_lock() {
            Some(guard) => orphan.close(&guard),
            None => {
                self.orphans.lock().push(orphan);
                self.has_orphans.store(true, Ordering::Release);
            }
        }
    }
}

/// Whether a handle has any file open.
///
/// # Safety
/// The handle is open and nobody uses it.
unsafe fn has_files(handle: *mut ffi::sqlite3) -> bool {
    // SAFETY: as the caller promises; the names are the handle's own.
    unsafe {
        let mut names = (0..).map(|index| ffi::sqlite3_db_name(handle, index));
        let is_of_file = |name| {
            let file = ffi::sqlite3_db_filename(handle, name);
            !file.is_null() && *file != 0
        };
        let mut temporary: *mut ffi::sqlite3_file = ptr::null_mut();
        let place = (&raw mut temporary).cast();
        ffi::sqlite3_file_control(
            handle,
            c"temp".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            place,
        );
        vfs::is_on_disk(temporary)
            || std::iter::from_fn(|| names.next().filter(|name| !name.is_null())).any(is_of_file)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        inherited::delist(self);
        // Nobody else can have the lock any more, whatever thread had it reserved.
        let guard = ManuallyDrop::new(LockGuard::new(self));
        guard.close();
    }
}

/// Proof that this thread may call SQLite on the connection.
pub struct LockGuard<'a> {
    database: &'a Database,
    // The lock belongs to the thread that took it.
    _not_send: PhantomData<*const ()>,
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        let database = self.database;
        if database.has_orphans.load(Ordering::Acquire) && !self.is_nested() {
            self.finalize_orphans();
        }
        // SAFETY: this thread took the lock when it made the guard.
        unsafe { database.lock.leave() };
    }
}

impl<'a> LockGuard<'a> {
    #[inline]
    fn new(database: &'a Database) -> Self {
        Self {
            database,
            _not_send: PhantomData,
        }
    }

    /// The database that is locked.
    #[inline]
    pub fn database(&self) -> &'a Database {
        self.database
    }

    /// The raw handle, valid while the guard lives and the database is open.
    #[inline]
    pub fn handle(&self) -> *mut ffi::sqlite3 {
        self.database.handle
    }

    /// Whether this thread holds the lock further out, that is, whether we are inside a callback.
    pub fn is_nested(&self) -> bool {
        self.database.lock.times_entered() > 1
    }

    #[cold]
    fn finalize_orphans(&self) {
        let orphans = std::mem::take(&mut *self.database.orphans.lock());
        self.database.has_orphans.store(false, Ordering::Release);
        for orphan in orphans {
            orphan.close(self);
        }
    }

    fn finalize(&self, statement: *mut ffi::sqlite3_stmt) {
        let known = self.database.statements.borrow_mut().remove(&statement);
        if known {
            // SAFETY: the statement was alive, belongs to this open handle and its owner gave it up.
            unsafe { ffi::sqlite3_finalize(statement) };
        }
    }

    /// Note a new statement, so that `close` can finalize it.
    pub(super) fn adopt_statement(&self, statement: *mut ffi::sqlite3_stmt) {
        if !statement.is_null() {
            self.database.statements.borrow_mut().insert(statement);
        }
    }

    /// Note an open BLOB, so that `close` can close it.
    pub(super) fn adopt_blob(&self, blob: *mut ffi::sqlite3_blob) {
        self.database.blobs.borrow_mut().insert(blob);
    }

    /// Close a BLOB unless that was done already.
    pub(super) fn close_blob(&self, blob: *mut ffi::sqlite3_blob) {
        let known = self.database.blobs.borrow_mut().remove(&blob);
        if known {
            // SAFETY: the blob was open and belongs to this open handle.
            unsafe { ffi::sqlite3_blob_close(blob) };
        }
    }

    pub(super) fn backups(&self) -> &'a Cell<u32> {
        &self.database.backups
    }

    /// Close every BLOB. Their owners only learn of it when the connection is closed, so it must not be lent
    /// again.
    pub fn close_blobs(&self) {
        let blobs = self.database.blobs.take();
        if !blobs.is_empty() {
            self.database.taint();
        }
        for blob in blobs {
            // SAFETY: the set holds open BLOBs of this open handle, and after `take` nobody else closes them.
            unsafe { ffi::sqlite3_blob_close(blob) };
        }
    }

    /// Whether any BLOB is open.
    pub fn has_blobs(&self) -> bool {
        !self.database.blobs.borrow().is_empty()
    }

    /// Whether `close` may be called: nothing of this connection is running further out on the stack.
    pub fn can_close(&self) -> bool {
        !self.is_nested() && self.database.backups.get() == 0
    }

    /// Close the handle: its statements are finalized, its BLOBs closed, and an open transaction is rolled
    /// back by SQLite. Idempotent. Only when `can_close` says so.
    pub fn close(&self) {
        if !self.database.is_open() {
            return;
        }
        self.database.orphans.lock().clear();
        let blobs = self.database.blobs.take();
        let statements = self.database.statements.take();
        let gate = self.database.interrupt_gate.lock();
        self.database.open.store(false, Ordering::Release);
        drop(gate);
        // SAFETY: both sets hold what is alive on this handle, and after `take` nobody else frees it.
        unsafe {
            for blob in blobs {
                ffi::sqlite3_blob_close(blob);
            }
            for statement in statements {
                ffi::sqlite3_finalize(statement);
            }
        }
        // SAFETY: we hold the lock, nobody else touches `owner`.
        let owner = unsafe { (*self.database.owner.get()).take() };
        if let Some(connection) = owner
            && let Err((connection, error)) = connection.close()
        {
            log::error!("closing a database failed, its handle is kept: {error}");
            std::mem::forget(connection);
        }
    }

    /// Reset every statement of ours that is in the middle of its rows.
    pub fn reset_busy_statements(&self) {
        for &statement in self.database.statements.borrow().iter() {
            // SAFETY: the set holds live statements of this open handle.
            unsafe {
                if ffi::sqlite3_stmt_busy(statement) != 0 {
                    ffi::sqlite3_reset(statement);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::core::sqlite::open;

    #[test]
    fn the_lock_is_reentrant_and_excludes_other_threads() {
        let db = open::memory().unwrap();
        let outer = db.lock();
        let inner = db.try_lock().expect("the holder may lock again");
        assert!(inner.is_nested());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| db.try_lock().is_none());
            assert!(other.join().unwrap(), "another thread must not get in");
        });
        drop(inner);
        drop(outer);
        assert!(db.try_lock().is_some());
    }

    #[test]
    fn a_reserved_lock_is_refused_to_others_until_it_is_unreserved() {
        let db = open::memory().unwrap();
        let refused =
            || std::thread::scope(|scope| scope.spawn(|| db.try_lock().is_none()).join().unwrap());
        // SAFETY: this test's threads take turns.
        unsafe {
            db.reserve();
            assert!(refused());
            let guard = db.try_lock().expect("the thread that reserved it");
            assert!(!guard.is_nested() && !db.unreserve_if_idle());
            drop(guard);
            assert!(refused());
            assert!(db.unreserve_if_idle());
        }
        assert!(!refused());
    }

    #[test]
    fn close_finalizes_statements_and_is_idempotent() {
        let db = open::memory().unwrap();
        let statement = super::super::Statement::prepare(&db, "select 1").unwrap();
        let guard = db.lock();
        guard.close();
        guard.close();
        assert!(!db.is_open());
        drop(guard);
        drop(statement);
    }
}
