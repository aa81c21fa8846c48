//! `Connection`: the drop-in connection object — its life, its settings, its transactions.
//!
//! Callbacks are in `connection_hooks`, copying databases in `connection_copy`; several `#[pymethods]`
//! blocks make one class.

use super::audit;
use super::cursor::Cursor;
use super::error::{core_exception, last_exception, prepare_exception, programming_error};
use super::guarded::Guarded;
use super::hook::{Hook, PendingError};
use super::interpreter;
use super::manager::Session;
use super::names;
use super::physical::Physical;
use super::settings::{Autocommit, CInt, IsolationLevel, Optional, Settings};
use super::state::state;
use crate::core::raw::{Database, LockGuard, Statement, Step};
use crate::core::sqlite::cache::Place;
use crate::core::sqlite::text::Keyword;
use crate::core::sqlite::{self};
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use std::ffi::{CStr, c_int, c_ulong};
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// How many str objects a connection remembers the statement's place of.
const RECENT: usize = 16;

/// The text object that was executed, kept alive so that its address stays its own, and its place.
type Recent = Option<(Py<PyString>, Place)>;

/// SQLite database connection object.
#[pyclass(frozen, subclass, name = "Connection", module = "sqlite3")]
pub struct Connection {
    /// None when closed or never opened.
    physical: Guarded<Option<Physical>>,
    /// Connections that were closed or replaced from within one of their own callbacks: they can't be
    /// freed while SQLite is running on them.
    retired: Guarded<Vec<Physical>>,
    recent: Guarded<[Recent; RECENT]>,
    initialized: Guarded<bool>,
    closed_message: &'static str,
    thread_ident: Guarded<c_ulong>,
    check_same_thread: Guarded<bool>,
    detect_types: Guarded<c_int>,
    isolation_level: Guarded<IsolationLevel>,
    autocommit: Guarded<Autocommit>,
    row_factory: Guarded<Option<Py<PyAny>>>,
    text_factory: Guarded<Option<Py<PyAny>>>,
    pub(super) authorizer: Guarded<Option<Arc<Hook>>>,
    pub(super) progress: Guarded<Option<Arc<Hook>>>,
    pub(super) trace: Guarded<Option<Arc<Hook>>>,
    /// Functions and collations, owned by SQLite; here for the garbage collector.
    pub(super) functions: Guarded<Vec<Weak<Hook>>>,
    pub(super) pending: Arc<PendingError>,
}

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
fn wrong_thread(py: Python<'_>, owner: c_ulong, this: c_ulong) -> PyErr {
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
        connection.closed_message = closed_message;
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

    /// Whether there is a physical connection.
    pub fn is_open(&self, py: Python<'_>) -> bool {
        // SAFETY: a look at the discriminant runs no Python code.
        unsafe { self.physical.peek(py) }.is_some()
    }

    /// Close the physical connection, or give it back to its pool.
    pub fn give_up(&self, py: Python<'_>) {
        if let Some(physical) = self.physical.take(py)
            && self.dispose(py, physical)
        {
            self.forget_hooks(py);
        }
    }

    #[cold]
    fn closed(&self, py: Python<'_>) -> PyErr {
        programming_error(py, self.closed_message)
    }

    fn empty() -> Self {
        Self {
            physical: Guarded::new(None),
            retired: Guarded::new(Vec::new()),
            recent: Guarded::new(Default::default()),
            initialized: Guarded::new(false),
            closed_message: "Cannot operate on a closed database.",
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
        if self.check_same_thread.get(py) {
            // SAFETY: callable from any thread.
            let this = unsafe { ffi::PyThread_get_thread_ident() };
            let owner = self.thread_ident.get(py);
            if this != owner && self.initialized.get(py) {
                return Err(wrong_thread(py, owner, this));
            }
        }
        Ok(())
    }

    /// Refuse use before `__init__` and after `close`.
    #[inline]
    pub fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a look at the discriminant runs no Python code.
        if unsafe { self.physical.peek(py) }.is_some() {
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
            py.detach(|| physical.finish())
        } else {
            Some(physical)
        };
        let finished = unfinished.is_none();
        if let Some(physical) = unfinished {
            self.retire(py, physical);
        }
        finished
    }

    /// The statement for a text: from the cache if it is not in use, else compiled.
    #[inline]
    pub fn take_statement(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        sql: &Bound<'_, PyString>,
    ) -> PyResult<Box<Statement>> {
        let address = sql.as_ptr() as usize;
        let index = ((address >> 4) ^ (address >> 9)) % RECENT;
        // SAFETY: comparing addresses and taking from the cache run no Python code.
        unsafe {
            if let Some((text, place)) = &self.recent.peek(py)[index]
                && text.as_ptr() == sql.as_ptr()
                && let Some(physical) = self.physical.peek_mut(py)
                && let Some(statement) = physical.cache().take(*place)
            {
                return Ok(statement);
            }
        }
        self.find_statement(py, guard, sql, index)
    }

    fn find_statement(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        sql: &Bound<'_, PyString>,
        index: usize,
    ) -> PyResult<Box<Statement>> {
        let text = sql.to_str()?;
        // SAFETY: the cache runs no Python code; evicted statements hold only names.
        let cached = unsafe { self.physical.peek_mut(py) }
            .as_mut()
            .and_then(|physical| {
                let place = physical.cache().find(text)?;
                let statement = physical.cache().take(place);
                Some((place, statement))
            });
        if let Some((place, Some(statement))) = cached {
            self.remember(py, sql, place, index);
            return Ok(statement);
        }
        let database = self.database(py)?;
        // An authorizer may run here, and close the connection.
        let prepared = Statement::prepare_locked(&database, guard, text);
        let statement = prepared.map_err(|error| prepare_exception(py, error))?;
        let statement = Box::new(statement);
        // SAFETY: as above.
        let place = unsafe { self.physical.peek_mut(py) }
            .as_mut()
            .filter(|physical| Arc::ptr_eq(physical.database(), &database))
            .and_then(|physical| physical.cache().assign(text, &statement));
        if let Some(place) = place {
            self.remember(py, sql, place, index);
        }
        Ok(statement)
    }

    fn remember(&self, py: Python<'_>, sql: &Bound<'_, PyString>, place: Place, index: usize) {
        // A str subclass may be changed by its user in ways that its address does not show.
        if sql.is_exact_instance_of::<PyString>() {
            let entry = Some((sql.clone().unbind(), place));
            // SAFETY: replacing runs no Python code: the old text is dropped after the borrow.
            let old = unsafe { std::mem::replace(&mut self.recent.peek_mut(py)[index], entry) };
            drop(old);
        }
    }

    /// Reset a statement and put it back into the cache it came from.
    #[inline]
    pub fn give_back(&self, py: Python<'_>, statement: Box<Statement>) {
        // The connection may have been opened anew since.
        // SAFETY: no Python code runs while the cache is borrowed.
        if let Some(physical) = unsafe { self.physical.peek_mut(py) }
            && Arc::ptr_eq(physical.database(), statement.database())
            && statement.try_reset()
        {
            let rejected = physical.cache().put(statement);
            drop(rejected);
        }
        // Else it is finalized, now or (another thread is using the connection) by the lock's holder.
    }

    /// Run a statement to its next row, giving the interpreter up as its kind asks for.
    #[inline]
    pub fn step(&self, py: Python<'_>, guard: &LockGuard<'_>, statement: &Statement) -> Step {
        let database = guard.database();
        let hold = !database.must_suspend()
            && match statement.keyword() {
                Keyword::Query | Keyword::Explain if statement.is_readonly() => true,
                Keyword::Query | Keyword::Explain | Keyword::Dml => !guard.is_autocommit(),
                Keyword::Begin => true,
                Keyword::End | Keyword::Attach | Keyword::Other => false,
            };
        database.resumed_at().set(None);
        if !hold {
            interpreter::suspend(database);
        }
        let step = statement.step(guard);
        interpreter::resume(database);
        if statement.keyword() == Keyword::Attach {
            // The attached database may share its cache, whose mutexes can block for long.
            database.suspend_always();
        }
        let _ = py;
        step
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
        self.run(py, guard, self.isolation_level.get(py).begin_statement())
    }

    /// Run one of the fixed statements, without the interpreter.
    pub fn run(&self, py: Python<'_>, guard: &LockGuard<'_>, sql: &CStr) -> PyResult<()> {
        let database = guard.database();
        interpreter::suspend(database);
        let outcome = guard.execute_batch(sql);
        interpreter::resume(database);
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
    fn rollback_open(&self, py: Python<'_>, guard: &LockGuard<'_>) -> PyResult<()> {
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

    /// Make a cursor, quickly if nothing was overridden.
    #[inline]
    fn new_cursor<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Cursor>> {
        let py = slf.py();
        let cursor = Bound::new(py, Cursor::of(slf, slf.get().row_factory_ref(py)))?;
        super::cursor::track(&cursor);
        Ok(cursor)
    }

    fn open(slf: &Bound<'_, Self>, settings: &Settings<'_>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let path = settings.path()?;
        audit::object(c"sqlite3.connect", &settings.object)?;
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
        let physical = py
            .detach(|| sqlite::Connection::open(&path, uri, shares_cache, cached))
            .map_err(|error| core_exception(py, error))?;
        let guard = physical.database().lock();
        guard.set_busy_timeout(settings.timeout_ms());
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
        let physical = Physical::Private(Box::new(physical));
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
            this.run(py, &guard, c"BEGIN")?;
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

    fn forget_hooks(&self, py: Python<'_>) {
        for slot in [&self.authorizer, &self.progress, &self.trace] {
            drop(slot.take(py));
        }
        drop(self.functions.take(py));
        let recent = self.recent.replace(py, Default::default());
        drop(recent);
    }
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        #[cfg(Py_3_13)]
        super::signature::deprecated_positions(slf.py(), "_sqlite3.Connection", args.len())?;
        let settings = Settings::parse(args, kwargs)?;
        Self::open(slf, &settings)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.row_factory.traverse(&visit)?;
        self.text_factory.traverse(&visit)?;
        // SAFETY: the collector holds the interpreter lock and runs no Python code while it visits.
        let (py, hooks) = unsafe {
            (
                Python::assume_attached(),
                [&self.authorizer, &self.progress, &self.trace],
            )
        };
        for hook in hooks {
            // SAFETY: as above.
            if let Some(hook) = unsafe { hook.peek(py) } {
                hook.traverse(&visit)?;
            }
        }
        // SAFETY: as above.
        for function in unsafe { self.functions.peek(py) } {
            if let Some(hook) = function.upgrade() {
                hook.traverse(&visit)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self, py: Python<'_>) {
        drop(self.row_factory.take(py));
        drop(self.text_factory.take(py));
        for slot in [&self.authorizer, &self.progress, &self.trace] {
            if let Some(hook) = slot.take(py) {
                hook.clear(py);
            }
        }
        for function in self.functions.take(py) {
            if let Some(hook) = function.upgrade() {
                hook.clear(py);
            }
        }
    }

    /// Return a cursor for the connection.
    #[pyo3(signature = (factory=Optional(None)), text_signature = "($self, /, factory=<unrepresentable>)")]
    fn cursor<'py>(slf: &Bound<'py, Self>, factory: Optional<'py>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        this.check(py)?;
        let Some(factory) = factory.0 else {
            return Ok(Self::new_cursor(slf)?.into_any());
        };
        let cursor = factory.call1((slf,))?;
        let Ok(typed) = cursor.cast::<Cursor>() else {
            return Err(PyTypeError::new_err(format!(
                "factory must return a cursor, not {:.100}",
                names::type_name(&cursor)
            )));
        };
        if let Some(row_factory) = this.row_factory.clone_ref(py) {
            typed.get().set_row_factory_object(py, Some(row_factory));
        }
        Ok(cursor)
    }

    /// Executes an SQL statement.
    #[pyo3(signature = (sql, parameters=Optional(None), /), text_signature = "($self, sql, parameters=<unrepresentable>, /)")]
    fn execute<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        parameters: Optional<'py>,
    ) -> PyResult<Bound<'py, Cursor>> {
        let py = slf.py();
        let sql = names::string(sql, "execute() argument 1")?;
        slf.get().check(py)?;
        // Like the stdlib, without a look at what a subclass made of `cursor`.
        let cursor = Self::new_cursor(slf)?;
        Cursor::execute_one(&cursor, slf, sql, parameters.0.as_ref())?;
        Ok(cursor)
    }

    /// Repeatedly executes an SQL statement.
    #[pyo3(signature = (sql, parameters, /))]
    fn executemany<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        parameters: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Cursor>> {
        let sql = names::string(sql, "executemany() argument 1")?;
        slf.get().check(slf.py())?;
        let cursor = Self::new_cursor(slf)?;
        Cursor::execute_many(&cursor, slf, sql, parameters)?;
        Ok(cursor)
    }

    /// Executes multiple SQL statements at once.
    #[pyo3(signature = (sql_script, /))]
    fn executescript<'py>(
        slf: &Bound<'py, Self>,
        sql_script: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Cursor>> {
        slf.get().check(slf.py())?;
        let cursor = Self::new_cursor(slf)?;
        Cursor::execute_script(&cursor, slf, sql_script)?;
        Ok(cursor)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<super::statement::PyStatement> {
        let py = slf.py();
        let this = slf.get();
        this.check(py)?;
        if kwargs.is_some_and(|kwargs| !kwargs.is_empty()) {
            return Err(PyTypeError::new_err(
                "sqlite3.Connection() takes no keyword arguments",
            ));
        }
        if args.len() != 1 {
            return Err(PyTypeError::new_err(format!(
                "function takes exactly 1 argument ({} given)",
                args.len()
            )));
        }
        let argument = args.get_item(0)?;
        let sql = names::string(&argument, "argument 1")?;
        let guard = this.lock(py)?;
        let database = this.database(py)?;
        let statement = Statement::prepare_locked(&database, &guard, sql.to_str()?)
            .map_err(|error| prepare_exception(py, error))?;
        Ok(super::statement::PyStatement::new(statement))
    }

    /// The stdlib's class, so that `isinstance(connection, sqlite3.Connection)` holds in code that knows
    /// only the stdlib's (pandas). An instance of a Python subclass tells its own class.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyType> {
        let py = slf.py();
        let class = slf.get_type();
        let ours = class.is(py.get_type::<Self>()) || class.is(py.get_type::<Session>());
        match &state(py).stdlib {
            Some(stdlib) if ours => stdlib.connection.bind(py).clone(),
            _ => class,
        }
    }

    /// The signature of calling a connection, for `inspect.signature`.
    #[cfg(Py_3_13)]
    #[getter]
    fn __text_signature__(&self) -> &'static str {
        "(sql, /)"
    }

    /// Commit any pending transaction to the database.
    ///
    /// If there is no open transaction, this method is a no-op.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        let guard = self.lock(py)?;
        let outcome = match self.autocommit.get(py) {
            Autocommit::Legacy => self.commit_open(py, &guard),
            Autocommit::Off => self
                .run(py, &guard, c"COMMIT")
                .and_then(|()| self.run(py, &guard, c"BEGIN")),
            Autocommit::On => Ok(()),
        };
        drop(guard);
        self.finish_retired(py);
        outcome
    }

    /// Roll back to the start of any pending transaction.
    ///
    /// If there is no open transaction, this method is a no-op.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.check(py)?;
        let guard = self.lock(py)?;
        let outcome = match self.autocommit.get(py) {
            Autocommit::Legacy => self.rollback_open(py, &guard),
            Autocommit::Off => self
                .run(py, &guard, c"ROLLBACK")
                .and_then(|()| self.run(py, &guard, c"BEGIN")),
            Autocommit::On => Ok(()),
        };
        drop(guard);
        self.finish_retired(py);
        outcome
    }

    /// Close the database connection.
    ///
    /// Any pending transaction is not committed implicitly.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.check_thread(py)?;
        self.check_initialized(py)?;
        if !self.is_open(py) {
            return Ok(());
        }
        let mut outcome = Ok(());
        if self.autocommit.get(py) == Autocommit::Off {
            let guard = self.lock(py)?;
            outcome = self.rollback_open(py, &guard);
        }
        self.give_up(py);
        outcome
    }

    /// Called when the connection is used as a context manager.
    ///
    /// Returns itself as a convenience to the caller.
    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        slf.get().check_open(slf.py())?;
        Ok(slf.clone())
    }

    /// Called when the connection is used as a context manager.
    ///
    /// If there was any exception, a rollback takes place; otherwise we commit.
    #[pyo3(signature = (r#type, value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        r#type: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if !(r#type.is_none() && value.is_none() && traceback.is_none()) {
            self.rollback(py)?;
            return Ok(false);
        }
        if let Err(error) = self.commit(py) {
            // Roll back in order to unlock the database; a second failure is chained to the first.
            if let Err(second) = self.rollback(py) {
                second.set_context(py, Some(error));
                return Err(second);
            }
            return Err(error);
        }
        Ok(false)
    }

    /// Abort any pending database operation.
    fn interrupt(&self, py: Python<'_>) -> PyResult<()> {
        self.check_open(py)?;
        // SAFETY: `interrupt` runs no Python code.
        if let Some(physical) = unsafe { self.physical.peek(py) } {
            physical.database().interrupt();
        }
        Ok(())
    }

    /// Get connection run-time limits.
    #[pyo3(signature = (category, /))]
    fn getlimit(&self, py: Python<'_>, category: CInt) -> PyResult<c_int> {
        self.setlimit(py, category, CInt(-1))
    }

    /// Set connection run-time limits.
    #[pyo3(signature = (category, limit, /))]
    fn setlimit(&self, py: Python<'_>, category: CInt, limit: CInt) -> PyResult<c_int> {
        self.check(py)?;
        match self.lock(py)?.limit(category.0, limit.0) {
            old if old < 0 => Err(programming_error(py, "'category' is out of bounds")),
            old => Ok(old),
        }
    }

    #[getter]
    fn isolation_level<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        self.check_open(py)?;
        Ok(self
            .isolation_level
            .get(py)
            .name()
            .map(|name| PyString::intern(py, name)))
    }

    #[setter]
    fn set_isolation_level(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let level = IsolationLevel::of(value)?;
        if level == IsolationLevel::None {
            // Leaving transaction control commits what is open.
            self.isolation_level.set(py, level);
            return self.commit(py);
        }
        self.isolation_level.set(py, level);
        Ok(())
    }

    #[cfg(Py_3_12)]
    #[getter]
    fn autocommit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check(py)?;
        self.autocommit.get(py).to_object(py)
    }

    #[cfg(Py_3_12)]
    #[setter]
    fn set_autocommit(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check(py)?;
        let mode = Autocommit::of(value)?;
        let guard = self.lock(py)?;
        match mode {
            Autocommit::On => self.commit_open(py, &guard)?,
            Autocommit::Off if guard.is_autocommit() => self.run(py, &guard, c"BEGIN")?,
            Autocommit::Off | Autocommit::Legacy => {}
        }
        self.autocommit.set(py, mode);
        Ok(())
    }

    #[getter]
    fn total_changes(&self, py: Python<'_>) -> PyResult<i64> {
        // Like the stdlib from any thread, without waiting for a statement that is running.
        self.database(py)?
            .total_changes()
            .ok_or_else(|| self.closed(py))
    }

    #[getter]
    fn in_transaction<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBool>> {
        match self.database(py)?.in_transaction() {
            Some(open) => Ok(PyBool::new(py, open).to_owned()),
            None => Err(self.closed(py)),
        }
    }

    #[getter]
    fn row_factory(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.row_factory.clone_ref(py)
    }

    #[setter]
    fn set_row_factory(&self, py: Python<'_>, value: Option<Bound<'_, PyAny>>) {
        drop(self.row_factory.replace(py, value.map(Bound::unbind)));
    }

    #[deleter]
    fn delete_row_factory(&self, py: Python<'_>) {
        drop(self.row_factory.take(py));
    }

    #[getter]
    fn text_factory<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self.text_factory.clone_ref(py) {
            Some(factory) => factory.into_bound(py),
            None => py.get_type::<PyString>().into_any(),
        }
    }

    #[deleter]
    fn delete_text_factory(&self, py: Python<'_>) {
        drop(self.text_factory.take(py));
    }

    #[deleter]
    fn delete_isolation_level(&self) -> PyResult<()> {
        Err(PyAttributeError::new_err("cannot delete attribute"))
    }

    #[setter]
    fn set_text_factory(&self, py: Python<'_>, value: Bound<'_, PyAny>) {
        drop(self.text_factory.replace(py, Some(value.unbind())));
    }
}

/// The exception classes, as attributes of every connection (an optional extension of PEP 249).
macro_rules! exception_attributes {
    ($($name:ident => $field:ident),+ $(,)?) => {
        #[pymethods]
        impl Connection {
            $(
                #[getter]
                #[allow(non_snake_case)]
                fn $name(&self, py: Python<'_>) -> Py<PyAny> {
                    state(py).exceptions.$field.clone_ref(py).into_any()
                }
            )+
        }
    };
}

exception_attributes! {
    Warning => warning,
    Error => error,
    InterfaceError => interface_error,
    DatabaseError => database_error,
    DataError => data_error,
    OperationalError => operational_error,
    IntegrityError => integrity_error,
    InternalError => internal_error,
    ProgrammingError => programming_error,
    NotSupportedError => not_supported_error,
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
