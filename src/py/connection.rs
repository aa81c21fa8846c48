//! `Connection`: the drop-in connection object — its life, its settings, its transactions.
//!
//! Its Python methods are in `connection_methods`, callbacks in `connection_hooks`, copying databases in
//! `connection_copy`; several `#[pymethods]` blocks make one class.

use super::audit;
use super::connection_statements::Caller;
use super::error::{core_exception, last_exception, programming_error};
use super::guarded::Guarded;
use super::hook::{Hook, PendingError};
use super::in_session::State as SessionState;
use super::interpreter::{self, Stretch};
use super::physical::Physical;
use super::recent::RecentTexts;
use super::settings::{Autocommit, IsolationLevel, Settings};
use super::{listener, mixed};
use crate::core::error::Error;
use crate::core::raw::{Database, LockGuard, Statement};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_ulong};
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// SQLite database connection object.
#[pyclass(frozen, subclass, name = "Connection", module = "sqlite3")]
pub struct Connection {
    /// None when closed or never opened.
    pub(super) physical: Guarded<Option<Physical>>,
    /// Connections that were closed or replaced from within one of their own callbacks: they can't be
    /// freed while SQLite is running on them.
    pub(super) retired: Guarded<Vec<Physical>>,
    /// What it knows as the connection of a session.
    pub(super) session: Guarded<Option<Box<SessionState>>>,
    pub(super) recent: Guarded<RecentTexts>,
    pub(super) initialized: Guarded<bool>,
    /// Itself, if it is of a subclass with a `__call__` of its own.
    pub(super) caller: Guarded<Option<Caller>>,
    /// Why there is no physical connection.
    pub(super) closed_message: Guarded<&'static str>,
    pub(super) thread_ident: Guarded<c_ulong>,
    pub(super) check_same_thread: Guarded<bool>,
    pub(super) detect_types: Guarded<c_int>,
    pub(super) isolation_level: Guarded<IsolationLevel>,
    pub(super) autocommit: Guarded<Autocommit>,
    pub(super) row_factory: Guarded<Option<Py<PyAny>>>,
    pub(super) text_factory: Guarded<Option<Py<PyAny>>>,
    pub(super) authorizer: Guarded<Option<Arc<Hook>>>,
    pub(super) progress: Guarded<Option<Arc<Hook>>>,
    pub(super) trace: Guarded<Option<Arc<Hook>>>,
    /// Functions and collations, owned by SQLite; here for the garbage collector.
    pub(super) functions: Guarded<Vec<Weak<Hook>>>,
    pub(super) pending: Arc<PendingError>,
}

pub(super) const IS_BACKUP_TARGET: &str =
    "Cannot operate on a connection while a backup into it is not finished.";

/// The connection's lock, held by this thread.
pub struct Locked<'c> {
    // Dropped in this order: the guard before what keeps its database alive.
    guard: LockGuard<'c>,
    _keep: Option<Arc<Database>>,
}

impl<'c> Locked<'c> {
    /// A lock on a database that the connection has left, whose statement keeps it alive.
    pub fn of_former(guard: LockGuard<'c>) -> Self {
        Self { guard, _keep: None }
    }
}

impl<'c> Deref for Locked<'c> {
    type Target = LockGuard<'c>;

    #[inline]
    fn deref(&self) -> &LockGuard<'c> {
        &self.guard
    }
}

#[cold]
fn not_initialized(py: Python<'_>) -> PyErr {
    programming_error(py, "Base Connection.__init__ not called.")
}

#[cold]
pub(super) fn wrong_thread(py: Python<'_>, owner: c_ulong, this: c_ulong) -> PyErr {
    programming_error(
        py,
        format!(
            "SQLite objects created in a thread can only be used in that same thread. The object was \
             created in thread id {owner} and this is thread id {this}."
        ),
    )
}

impl Connection {
    /// A connection that is initialised but not open, for a session.
    pub fn unopened(closed_message: &'static str) -> Self {
        let mut connection = Self::empty();
        connection.closed_message = Guarded::new(closed_message);
        connection.initialized = Guarded::new(true);
        connection.check_same_thread = Guarded::new(false);
        connection.isolation_level = Guarded::new(IsolationLevel::Immediate);
        connection
    }

    /// Work on a physical connection from now on, in this thread only.
    pub fn lend(&self, py: Python<'_>, physical: Physical) {
        // SAFETY: callable from any thread.
        self.thread_ident
            .set(py, unsafe { ffi::PyThread_get_thread_ident() });
        self.check_same_thread.set(py, true);
        interpreter::reserve(py, physical.database());
        drop(self.physical.replace(py, Some(physical)));
    }

    /// Whether there is a physical connection, and it is this process's.
    #[inline]
    pub fn is_open(&self, py: Python<'_>) -> bool {
        // SAFETY: a look at it runs no Python code.
        unsafe { self.physical.peek(py) }
            .as_ref()
            .is_some_and(|physical| physical.database().is_open())
    }

    /// Whether its physical connection is that of a parent of this process, so that there is nothing to close here.
    pub(super) fn is_inherited(&self, py: Python<'_>) -> bool {
        // SAFETY: a look at it runs no Python code.
        unsafe { self.physical.peek(py) }
            .as_ref()
            .is_some_and(|physical| physical.database().is_inherited())
    }

    /// Close the physical connection, or give it back to its pool.
    pub fn give_up(&self, py: Python<'_>) {
        if let Some(physical) = self.physical.take(py)
            && self.dispose(py, physical)
        {
            self.forget_hooks(py);
        }
        // After the connection was rolled back: now the next one may write.
        drop(self.session.take(py));
    }

    /// Run a backup into this connection, which looks closed meanwhile: SQLite may crash when the target of an
    /// unfinished backup is used.
    pub(super) fn set_aside<R>(&self, py: Python<'_>, body: impl FnOnce() -> R) -> R {
        let message = self.closed_message.replace(py, IS_BACKUP_TARGET);
        let physical = self.physical.take(py);
        let result = body();
        self.closed_message.set(py, message);
        let other = self.physical.replace(py, physical);
        if let Some(other) = other {
            // It was initialised anew meanwhile, which counts.
            if let Some(old) = self.physical.replace(py, Some(other)) {
                self.dispose(py, old);
            }
        }
        result
    }

    /// Whether it looks closed because of `set_aside`.
    pub(super) fn is_set_aside(&self, py: Python<'_>) -> bool {
        self.closed_message.get(py) == IS_BACKUP_TARGET
    }

    #[cold]
    pub(super) fn closed(&self, py: Python<'_>) -> PyErr {
        // SAFETY: a look at it runs no Python code.
        match unsafe { self.physical.peek(py) } {
            Some(physical) => core_exception(py, physical.database().why_closed()),
            None => programming_error(py, self.closed_message.get(py)),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            physical: Guarded::new(None),
            retired: Guarded::new(Vec::new()),
            session: Guarded::new(None),
            recent: Guarded::new(RecentTexts::new()),
            initialized: Guarded::new(false),
            caller: Guarded::new(None),
            closed_message: Guarded::new("Cannot operate on a closed database."),
            thread_ident: Guarded::new(0),
            check_same_thread: Guarded::new(true),
            detect_types: Guarded::new(0),
            isolation_level: Guarded::new(IsolationLevel::Deferred),
            autocommit: Guarded::new(Autocommit::Legacy),
            row_factory: Guarded::new(None),
            text_factory: Guarded::new(None),
            authorizer: Guarded::new(None),
            progress: Guarded::new(None),
            trace: Guarded::new(None),
            functions: Guarded::new(Vec::new()),
            pending: Arc::default(),
        }
    }

    /// Refuse use from a thread that did not make the connection, unless that was allowed.
    #[inline]
    pub fn check_thread(&self, py: Python<'_>) -> PyResult<()> {
        if self.check_same_thread.get(py) && !self.is_in_its_thread(py) && self.initialized.get(py)
        {
            // SAFETY: callable from any thread.
            let this = unsafe { ffi::PyThread_get_thread_ident() };
            return Err(wrong_thread(py, self.thread_ident.get(py), this));
        }
        Ok(())
    }

    /// Refuse use before `__init__` and after `close`.
    #[inline]
    pub fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_open(py) {
            return Ok(());
        }
        self.check_initialized(py)?;
        Err(self.closed(py))
    }

    pub fn check_initialized(&self, py: Python<'_>) -> PyResult<()> {
        if !self.initialized.get(py) {
            return Err(not_initialized(py));
        }
        Ok(())
    }

    #[inline]
    pub fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.check_thread(py)?;
        self.check_open(py)
    }

    /// Lock the open connection, waiting without the interpreter if another thread uses it.
    #[inline]
    pub fn lock<'c>(&'c self, py: Python<'c>) -> PyResult<Locked<'c>> {
        self.check_open(py)?;
        // SAFETY: no Python code runs while the reference lives; see below for the guard.
        if let Some(physical) = unsafe { self.physical.peek(py) }
            && let Some(guard) = physical.database().try_lock()
        {
            // The guard borrows the database through `self`: whoever closes or replaces the physical
            // connection takes the lock first (`dispose`), or retires it when this thread has it.
            return Ok(Locked { guard, _keep: None });
        }
        self.lock_contended(py)
    }

    /// Do something with the connection locked if everything about it is plain: open, of this thread, no callbacks,
    /// no converters, no text factory, and nobody is using it. Then no statement on it runs Python code (but
    /// the garbage collector may, whenever an object is made).
    #[inline]
    pub fn locked_plain<'c, R>(
        &'c self,
        py: Python<'c>,
        body: impl FnOnce(&LockGuard<'c>) -> Option<R>,
    ) -> Option<R> {
        let guard = self.lock_plain(py)?;
        let result = body(&guard);
        drop(guard);
        self.finish_retired(py);
        result
    }

    /// Whether there is no transaction that COMMIT or ROLLBACK could end, and nothing to complain about.
    #[inline]
    pub fn has_nothing_to_end(&self, py: Python<'_>) -> bool {
        self.autocommit.get(py) == Autocommit::Legacy
            && !self.is_session(py)
            && self
                .locked_plain(py, |guard| Some(guard.is_autocommit()))
                .unwrap_or(false)
    }

    #[inline]
    fn lock_plain<'c>(&'c self, py: Python<'c>) -> Option<LockGuard<'c>> {
        // SAFETY: looks at discriminants and lengths run no Python code; for the guard see `lock`.
        unsafe {
            let physical = self.physical.peek(py).as_ref()?;
            let plain = physical.database().is_open()
                && self.functions.peek(py).is_empty()
                && self.authorizer.peek(py).is_none()
                && self.progress.peek(py).is_none()
                && self.trace.peek(py).is_none()
                && self.text_factory.peek(py).is_none()
                && self.detect_types.get(py) == 0;
            if !plain {
                return None;
            }
            let guard = physical.database().try_lock()?;
            // A reservation is its thread's, which has just been found to be this one.
            let allowed = guard.database().is_reserved()
                || !self.check_same_thread.get(py)
                || self.is_in_its_thread(py);
            allowed.then_some(guard)
        }
    }

    /// Whether `check` has nothing to complain about.
    #[inline]
    pub fn is_usable(&self, py: Python<'_>) -> bool {
        self.is_open(py) && (!self.check_same_thread.get(py) || self.is_in_its_thread(py))
    }

    #[inline]
    fn is_in_its_thread(&self, py: Python<'_>) -> bool {
        // SAFETY: callable from any thread.
        self.thread_ident.get(py) == unsafe { ffi::PyThread_get_thread_ident() }
    }

    #[cold]
    fn lock_contended<'c>(&'c self, py: Python<'c>) -> PyResult<Locked<'c>> {
        loop {
            let keep = self.database(py)?;
            // SAFETY: the database lives as long as `keep`, which `Locked` drops after the guard.
            let database: &'c Database = unsafe { &*Arc::as_ptr(&keep) };
            let guard = interpreter::lock(py, database);
            // While this thread waited, another one may have closed the connection or opened it anew.
            let current = self.database(py)?;
            if Arc::ptr_eq(&current, &keep) && database.is_open() {
                return Ok(Locked {
                    guard,
                    _keep: Some(keep),
                });
            }
            drop(guard);
        }
    }

    /// A new reference to the database.
    pub fn database(&self, py: Python<'_>) -> PyResult<Arc<Database>> {
        self.check_open(py)?;
        // SAFETY: cloning an Arc runs no Python code.
        match unsafe { self.physical.peek(py) } {
            Some(physical) => Ok(Arc::clone(physical.database())),
            None => Err(self.closed(py)),
        }
    }

    /// Close a physical connection that this object does not refer to any more. False if it must live on
    /// for a while, because something of it is running further out on this thread's stack.
    fn dispose(&self, py: Python<'_>, physical: Physical) -> bool {
        let unfinished = if interpreter::unreserve(py, physical.database()) {
            match physical.finishes_at_once() {
                true => physical.finish(),
                false => py.detach(|| physical.finish()),
            }
        } else {
            Some(physical)
        };
        let finished = unfinished.is_none();
        if let Some(physical) = unfinished {
            self.retire(py, physical);
        }
        finished
    }

    /// Whether a transaction must be begun before a statement (legacy transaction control).
    #[inline]
    pub fn begins_implicitly(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        statement: &Statement,
    ) -> bool {
        statement.is_dml()
            && self.autocommit.get(py) == Autocommit::Legacy
            && self.isolation_level.get(py) != IsolationLevel::None
            && guard.is_autocommit()
    }

    /// Begin the transaction that the isolation level asks for.
    pub fn begin(&self, py: Python<'_>, guard: &LockGuard<'_>) -> PyResult<()> {
        self.run_begin(py, guard, self.isolation_level.get(py).begin_statement())
    }

    /// Run BEGIN of some kind. It takes no time but where it waits for a lock, and then SQLite's sleeps give the
    /// interpreter up.
    pub(super) fn run_begin(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        sql: &'static CStr,
    ) -> PyResult<()> {
        self.try_begin(py, guard, sql)
            .map_err(|error| core_exception(py, error))
    }

    /// `run_begin` with the core's error.
    pub(super) fn try_begin(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        sql: &'static CStr,
    ) -> Result<(), Error> {
        let database = guard.database();
        let _stretch = match database.must_suspend() {
            true => Stretch::detached(py, database),
            false => Stretch::attached(py, database),
        };
        guard.run_fixed(sql)
    }

    /// Run a statement that ends a transaction, without the interpreter.
    pub fn run(&self, py: Python<'_>, guard: &LockGuard<'_>, sql: &'static CStr) -> PyResult<()> {
        let stretch = Stretch::detached(py, guard.database());
        let outcome = guard.run_fixed(sql);
        drop(stretch);
        outcome.map_err(|error| core_exception(py, error))
    }

    /// COMMIT if a transaction is open, whatever the transaction control.
    pub fn commit_open(&self, py: Python<'_>, guard: &LockGuard<'_>) -> PyResult<()> {
        if guard.is_autocommit() {
            return Ok(());
        }
        self.run(py, guard, c"COMMIT")
    }

    /// ROLLBACK if a transaction is open.
    pub(super) fn rollback_open(&self, py: Python<'_>, guard: &LockGuard<'_>) -> PyResult<()> {
        if guard.is_autocommit() {
            return Ok(());
        }
        self.run(py, guard, c"ROLLBACK")
    }

    #[inline]
    pub fn detect_types(&self, py: Python<'_>) -> c_int {
        self.detect_types.get(py)
    }

    pub fn autocommit_mode(&self, py: Python<'_>) -> Autocommit {
        self.autocommit.get(py)
    }

    #[inline]
    pub fn row_factory_ref(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.row_factory.clone_ref(py)
    }

    /// The text factory; None if it was never set, which means `str`.
    #[inline]
    pub fn text_factory_ref(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.text_factory.clone_ref(py)
    }

    pub(super) fn open(slf: &Bound<'_, Self>, settings: &Settings<'_>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let path = settings.path()?;
        this.caller.set(py, Caller::of(slf));
        listener::as_ours(|| audit::object(c"sqlite3.connect", &settings.object))?;
        // A second __init__ starts anew, and leaves nothing behind if it fails.
        this.initialized.set(py, false);
        let old = this.physical.take(py);
        this.text_factory.replace(py, None);
        this.row_factory.replace(py, None);
        this.forget_hooks(py);
        if let Some(old) = old {
            this.replaced(py, old);
        }
        let (uri, cached) = (settings.uri, settings.cached_statements());
        let shares_cache = settings.may_share_cache();
        let physical = match Physical::open_at_once(&path, uri, shares_cache, cached) {
            Some(physical) => physical,
            None => {
                let open = || {
                    py.detach(|| Physical::open(&path, uri, shares_cache, cached))
                        .map_err(|error| core_exception(py, error))
                };
                mixed::connecting(py, &path, open, Physical::keep_no_longer)?
            }
        };
        listener::listen_if_possible(py);
        // Connections that share a cache have one lock, which others hold while they wait for the interpreter.
        let guard = interpreter::lock(py, physical.database());
        guard.set_busy_timeout(settings.timeout());
        drop(guard);
        this.isolation_level.set(py, settings.isolation_level);
        this.autocommit.set(py, settings.autocommit);
        this.detect_types.set(py, settings.detect_types);
        this.check_same_thread.set(py, settings.check_same_thread);
        // SAFETY: callable from any thread.
        this.thread_ident
            .set(py, unsafe { ffi::PyThread_get_thread_ident() });
        if settings.check_same_thread {
            interpreter::reserve(py, physical.database());
        }
        if let Some(other) = this.physical.replace(py, Some(physical)) {
            // Another thread initialised the connection meanwhile.
            this.replaced(py, other);
        }
        if let Err(error) = audit::object(c"sqlite3.connect/handle", slf.as_any()) {
            if let Some(physical) = this.physical.take(py) {
                this.dispose(py, physical);
            }
            return Err(error);
        }
        this.initialized.set(py, true);
        if settings.autocommit == Autocommit::Off {
            let guard = this.lock(py)?;
            this.run_begin(py, &guard, c"BEGIN")?;
        }
        Ok(())
    }

    /// `__init__` was called again: cursors that still read from the old database keep it alive.
    fn replaced(&self, py: Python<'_>, old: Physical) {
        let database = Arc::clone(old.database());
        let guard = interpreter::lock(py, &database);
        // One reference is `database`, one is in `old`, and each statement in the cache has one.
        let shared = Arc::strong_count(&database) > 2 + old.statements_kept();
        if !guard.can_close() {
            // From within a callback of the old database: guards further out still refer to it.
            drop(guard);
            self.retire(py, old);
        } else if shared {
            drop(guard);
            old.leave_open();
        } else {
            drop(guard);
            self.dispose(py, old);
        }
    }

    fn retire(&self, py: Python<'_>, physical: Physical) {
        // SAFETY: pushing runs no Python code.
        unsafe { self.retired.peek_mut(py) }.push(physical);
    }

    /// Close what was retired within a callback, now that nothing runs on it any more.
    #[inline]
    pub fn finish_retired(&self, py: Python<'_>) {
        // SAFETY: looking at the length runs no Python code.
        if !unsafe { self.retired.peek(py) }.is_empty() {
            self.finish_retired_now(py);
        }
    }

    #[cold]
    fn finish_retired_now(&self, py: Python<'_>) {
        for physical in self.retired.take(py) {
            self.dispose(py, physical);
        }
    }

    pub(super) fn forget_hooks(&self, py: Python<'_>) {
        for slot in [&self.authorizer, &self.progress, &self.trace] {
            drop(slot.take(py));
        }
        drop(self.functions.take(py));
        drop(self.recent.replace(py, RecentTexts::new()));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        Python::attach(|py| {
            if let Some(physical) = self.physical.take(py) {
                // Cursors hold a reference to their connection, so none of this database is left but
                // those of an earlier `__init__`.
                self.dispose(py, physical);
            }
        });
    }
}

/// The exception for a failed step, unless a callback left one that says more.
#[cold]
pub fn step_exception(py: Python<'_>, connection: &Connection, guard: &LockGuard<'_>) -> PyErr {
    connection.pending.discard(py);
    last_exception(py, guard)
}
