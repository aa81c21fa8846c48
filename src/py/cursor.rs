//! `Cursor`: its state, and executing one statement. Many are in `cursor_many`, scripts in `cursor_script`, getting rows in
//! `cursor_fetch`.

use super::ahead::Ahead;
use super::bind;
use super::connection::{Connection, Locked, step_exception};
use super::error::{OrRaise, programming_error};
use super::fetch::{self, Converters};
use super::freelist;
use super::guarded::Guarded;
use super::memo::{Columns, Memo};
use super::names::{string, wrong_argument};
use super::settings::{CInt, Optional};
use super::slots;
use super::state::Stdlib;
use crate::core::raw::{LockGuard, Statement, Step};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use std::ffi::c_int;

/// SQLite database cursor class.
#[pyclass(frozen, subclass, weakref, name = "Cursor", module = "sqlite3")]
pub struct Cursor {
    pub(super) connection: Guarded<Option<Py<Connection>>>,
    /// The statement whose rows are being read.
    pub(super) statement: Guarded<Option<Box<Statement>>>,
    /// Keeps alive what `statement` was bound to without a copy.
    pub(super) bound: Guarded<Option<Py<PyTuple>>>,
    /// Rows that were read before a session's transaction began, served before the statement's.
    pub(super) ahead: Guarded<Option<Ahead>>,
    pub(super) description: Guarded<Option<Py<PyTuple>>>,
    pub(super) row_factory: Guarded<Option<Py<PyAny>>>,
    pub(super) converters: Guarded<Option<Box<Converters>>>,
    /// A cursor of the stdlib's with the same description, for `sqlite3.Row`.
    pub(super) stand_in: Guarded<Option<(Py<PyTuple>, Py<PyAny>)>>,
    pub(super) lastrowid: Guarded<Option<i64>>,
    pub(super) rowcount: Guarded<i64>,
    pub(super) arraysize: Guarded<c_int>,
    initialized: Guarded<bool>,
    closed: Guarded<bool>,
    /// A method of this cursor is running Python code.
    locked: Guarded<bool>,
}

#[cold]
fn not_initialized(py: Python<'_>) -> PyErr {
    programming_error(py, "Base Cursor.__init__ not called.")
}

#[cold]
fn recursive_use(py: Python<'_>) -> PyErr {
    programming_error(py, "Recursive use of cursors not allowed.")
}

impl Cursor {
    pub(super) fn empty() -> Self {
        Self {
            connection: Guarded::new(None),
            statement: Guarded::new(None),
            bound: Guarded::new(None),
            ahead: Guarded::new(None),
            description: Guarded::new(None),
            row_factory: Guarded::new(None),
            converters: Guarded::new(None),
            stand_in: Guarded::new(None),
            lastrowid: Guarded::new(None),
            rowcount: Guarded::new(-1),
            arraysize: Guarded::new(1),
            initialized: Guarded::new(false),
            closed: Guarded::new(false),
            locked: Guarded::new(false),
        }
    }

    /// Make an empty cursor one of a connection, as `Connection.cursor()` does.
    #[inline]
    pub(super) fn start(&self, connection: &Bound<'_, Connection>) {
        let py = connection.py();
        self.row_factory
            .renew(py, connection.get().row_factory_ref(py));
        self.connection.renew(py, Some(connection.clone().unbind()));
        self.initialized.set(py, true);
    }

    /// Whether it holds no more than what `forget` drops.
    #[inline]
    pub(super) fn holds_little(&self, py: Python<'_>) -> bool {
        // SAFETY: looks at discriminants run no Python code.
        unsafe {
            self.statement.peek(py).is_none()
                && self.bound.peek(py).is_none()
                && self.ahead.peek(py).is_none()
                && self.converters.peek(py).is_none()
                && self.stand_in.peek(py).is_none()
        }
    }

    /// Whether it is as `forget` leaves it.
    #[inline]
    pub(super) fn is_empty(&self, py: Python<'_>) -> bool {
        // SAFETY: a look at the discriminant runs no Python code.
        !self.initialized.get(py) && unsafe { self.connection.peek(py) }.is_none()
    }

    /// Become empty, when nobody refers to the cursor any more.
    #[inline]
    pub(super) fn forget(&self, py: Python<'_>) {
        self.lastrowid.set(py, None);
        self.rowcount.set(py, -1);
        self.arraysize.set(py, 1);
        self.initialized.set(py, false);
        self.closed.set(py, false);
        self.description.renew(py, None);
        self.row_factory.renew(py, None);
        self.connection.renew(py, None);
    }

    pub fn set_row_factory_object(&self, py: Python<'_>, factory: Option<Py<PyAny>>) {
        self.row_factory.renew(py, factory);
    }

    pub fn description_ref(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.description.clone_ref(py)
    }

    /// Whether there are no more rows.
    pub(super) fn is_exhausted(&self, py: Python<'_>) -> bool {
        // SAFETY: looks at discriminants run no Python code.
        unsafe { self.statement.peek(py).is_none() && self.ahead.peek(py).is_none() }
    }

    /// Whether a method may run that has no special case to look after: no error to raise, no Python code to
    /// call for a value.
    #[inline]
    fn is_plain(&self, py: Python<'_>) -> bool {
        // SAFETY: looks at discriminants run no Python code.
        let plain = unsafe { self.converters.peek(py).is_none() && self.ahead.peek(py).is_none() };
        plain && self.initialized.get(py) && !self.closed.get(py) && !self.locked.get(py)
    }

    /// The cursor as an object, borrowed.
    #[inline]
    pub(super) fn as_object(&self) -> *mut ffi::PyObject {
        freelist::object_of(self)
    }

    /// Let the rest of the rows go.
    pub(super) fn finish(&self, py: Python<'_>) {
        if let Some(connection) = self.connection.clone_ref(py) {
            self.release(py, connection.bind(py).get());
        }
    }

    fn check_locked(&self, py: Python<'_>) -> PyResult<()> {
        if self.locked.get(py) {
            return Err(recursive_use(py));
        }
        Ok(())
    }

    /// Whether the cursor may be used; its connection if so.
    #[inline]
    pub(super) fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Connection>> {
        if !self.initialized.get(py) {
            return Err(not_initialized(py));
        }
        if self.closed.get(py) {
            return Err(programming_error(py, "Cannot operate on a closed cursor."));
        }
        self.check_locked(py)?;
        let connection = self
            .connection
            .clone_ref(py)
            .ok_or_else(|| not_initialized(py))?;
        let connection = connection.into_bound(py);
        connection.get().check(py)?;
        Ok(connection)
    }

    /// `check` of a method that sets `rowcount`, to -1 if it is refused.
    fn check_to_execute<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Connection>> {
        self.check(py).inspect_err(|_| self.rowcount.set(py, -1))
    }

    /// Run a method's body with the cursor marked as in use.
    #[inline]
    pub(super) fn exclusively<R>(
        &self,
        py: Python<'_>,
        connection: &Connection,
        body: impl FnOnce() -> R,
    ) -> R {
        self.locked.set(py, true);
        let result = body();
        self.locked.set(py, false);
        connection.finish_retired(py);
        result
    }

    /// Let the current statement go: reset, back into the cache, and with it what it was bound to.
    #[inline]
    pub(super) fn release(&self, py: Python<'_>, connection: &Connection) {
        if let Some(statement) = self.statement.take(py) {
            connection.note_reading(py, self, false);
            connection.give_back(py, statement);
        }
        drop(self.ahead.take(py));
        self.bound.renew(py, None);
    }

    /// `release` by who has the lock of the statement's database.
    #[inline]
    pub(super) fn release_locked(
        &self,
        py: Python<'_>,
        connection: &Connection,
        guard: &LockGuard<'_>,
    ) {
        if let Some(statement) = self.statement.take(py) {
            connection.note_reading(py, self, false);
            connection.give_back_locked(py, guard, statement);
        }
        self.bound.renew(py, None);
    }

    /// `execute` with a str and a connection that was checked.
    #[inline]
    pub fn execute_one(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        sql: &Bound<'_, PyString>,
        parameters: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = connection.get();
        let outcome = this.exclusively(py, connection, || {
            this.run_one(py, connection, sql, parameters)
        });
        if outcome.is_err() {
            this.rowcount.set(py, -1);
        }
        outcome
    }

    /// Get the statement and begin a transaction if it needs one.
    #[inline]
    pub(super) fn prepare<'c>(
        &self,
        py: Python<'c>,
        connection: &'c Connection,
        sql: &Bound<'_, PyString>,
        many: bool,
    ) -> PyResult<(Box<Statement>, Locked<'c>)> {
        self.release(py, connection);
        self.description.renew(py, None);
        let guard = connection.lock(py)?;
        let statement = connection.take_statement(py, &guard, sql)?;
        if many && statement.is_readonly() {
            connection.give_back(py, statement);
            let message = "executemany() can only execute DML statements.";
            return Err(programming_error(py, message));
        }
        self.rowcount
            .set(py, if statement.is_dml() { 0 } else { -1 });
        if let Err(error) = connection.before_statement(py, &guard, &statement) {
            connection.give_back(py, statement);
            return Err(error);
        }
        Ok((statement, guard))
    }

    fn run_one(
        &self,
        py: Python<'_>,
        connection: &Connection,
        sql: &Bound<'_, PyString>,
        parameters: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (mut statement, guard) = self.prepare(py, connection, sql, false)?;
        let (bound, guard) =
            match bind::parameters(py, connection, &mut statement, guard, parameters) {
                Ok(bound) => bound,
                Err(error) => {
                    connection.give_back(py, statement);
                    return Err(error);
                }
            };
        if let Err(error) = connection.before_statement_again(py, &guard, &statement) {
            drop(bound);
            connection.give_back(py, statement);
            return Err(error);
        }
        self.start_rows(py, connection, &guard, statement, bound)
    }

    /// Run a statement that is bound to its first row.
    #[inline]
    pub(super) fn start_rows(
        &self,
        py: Python<'_>,
        connection: &Connection,
        guard: &LockGuard<'_>,
        mut statement: Box<Statement>,
        bound: Option<Bound<'_, PyTuple>>,
    ) -> PyResult<()> {
        let step = connection.step(py, guard, &statement);
        let outcome = match step {
            Step::Failed(_) => Err(self.step_failed(py, connection, guard, &statement)),
            _ => self
                .describe(py, connection, guard, &mut statement)
                .and(connection.pending.check(py)),
        };
        if let Err(error) = outcome {
            connection.give_back_locked(py, guard, statement);
            connection.settle_turn(py, guard);
            return Err(error);
        }
        if !statement.is_empty() {
            self.lastrowid.set(py, Some(guard.last_insert_rowid()));
        }
        if step == Step::Row {
            drop(self.statement.replace(py, Some(statement)));
            self.bound.renew(py, bound.map(Bound::unbind));
            connection.note_reading(py, self, true);
        } else {
            if statement.is_dml() {
                self.rowcount.set(py, guard.changes());
            }
            connection.give_back_locked(py, guard, statement);
            connection.settle_turn(py, guard);
        }
        Ok(())
    }

    /// The connection of a cursor that is in no special state.
    #[inline]
    pub(super) fn plain_connection<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Connection>> {
        if !self.is_plain(py) {
            return None;
        }
        Some(self.connection.clone_ref(py)?.into_bound(py))
    }

    /// `release_locked` if the statement is on the database that is locked. Tells whether it was.
    #[inline]
    pub(super) fn release_plain(
        &self,
        py: Python<'_>,
        connection: &Connection,
        guard: &LockGuard<'_>,
    ) -> bool {
        // SAFETY: looking at the statement runs no Python code.
        let other = unsafe { self.statement.peek(py) }
            .as_ref()
            .is_some_and(|statement| !std::ptr::eq(&**statement.database(), guard.database()));
        if !other {
            self.release_locked(py, connection, guard);
        }
        !other
    }

    /// Execute a statement that is bound, on a cursor without one, in no special state. None with an exception set.
    #[inline]
    pub(super) fn execute_plain(
        &self,
        py: Python<'_>,
        connection: &Connection,
        guard: &LockGuard<'_>,
        statement: Box<Statement>,
        bound: Option<Bound<'_, PyTuple>>,
    ) -> Option<()> {
        self.description.renew(py, None);
        self.rowcount
            .set(py, if statement.is_dml() { 0 } else { -1 });
        let outcome = self.exclusively(py, connection, || {
            let outcome = self.start_rows(py, connection, guard, statement, bound);
            outcome.or_raise(py)
        });
        if outcome.is_none() {
            self.rowcount.set(py, -1);
        }
        outcome
    }

    /// The exception for a failed step; resetting does not change the connection's error.
    #[cold]
    pub(super) fn step_failed(
        &self,
        py: Python<'_>,
        connection: &Connection,
        guard: &LockGuard<'_>,
        statement: &Statement,
    ) -> PyErr {
        // A callback may have closed the connection, which then lives on until the step is over.
        statement.reset(guard);
        step_exception(py, connection, guard)
    }

    /// Set `description` and the converters for the statement that has just been started.
    #[inline]
    pub(super) fn describe(
        &self,
        py: Python<'_>,
        connection: &Connection,
        guard: &LockGuard<'_>,
        statement: &mut Statement,
    ) -> PyResult<()> {
        let detect_types = connection.detect_types(py);
        let parse_colnames = detect_types & super::constants::PARSE_COLNAMES != 0;
        let reprepare_count = statement.reprepare_count(guard);
        if detect_types != 0 && statement.column_count(guard) != 0 {
            let converters = fetch::find_converters(py, guard, statement, detect_types)?;
            drop(self.converters.replace(py, Some(Box::new(converters))));
        }
        if let Some(memo) = statement.attachment::<Memo>()
            && let Some(columns) = &memo.columns
            && columns.reprepare_count == reprepare_count
            && columns.parse_colnames == parse_colnames
        {
            let description = columns.description.clone_ref(py);
            self.description.renew(py, Some(description));
            return Ok(());
        }
        let count = statement.column_count(guard);
        if count == 0 {
            return Ok(());
        }
        let description = description(py, guard, statement, count, parse_colnames)?;
        Memo::of(statement).columns = Some(Columns {
            reprepare_count,
            parse_colnames,
            description: description.clone_ref(py),
        });
        self.description.renew(py, Some(description));
        Ok(())
    }
}

/// Build the tuple of 7-tuples that PEP 249 asks for; only the names are known.
fn description(
    py: Python<'_>,
    guard: &LockGuard<'_>,
    statement: &Statement,
    count: c_int,
    parse_colnames: bool,
) -> PyResult<Py<PyTuple>> {
    let none = py.None();
    let mut columns = Vec::with_capacity(count as usize);
    for index in 0..count {
        let name = fetch::column_name(py, guard, statement, index, parse_colnames)?;
        let none = none.bind(py);
        columns.push(PyTuple::new(
            py,
            [name.as_any(), none, none, none, none, none, none],
        )?);
    }
    Ok(PyTuple::new(py, columns)?.unbind())
}

/// Make the class what the stdlib's is to its users.
pub fn seal(py: Python<'_>) -> PyResult<()> {
    let members = ["connection", "description", "lastrowid", "rowcount"];
    slots::make_readonly::<Cursor>(py, &members)?;
    slots::make_immutable::<Cursor>(py);
    Ok(())
}

#[pymethods]
impl Cursor {
    /// See `Stdlib::class_of`.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyType> {
        let py = slf.py();
        let ours = [
            py.get_type::<Self>(),
            py.get_type::<super::result::Result>(),
        ];
        Stdlib::class_of(slf.as_any(), &ours, |stdlib| &stdlib.cursor)
    }

    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::empty()
    }

    #[pyo3(signature = (*args))]
    fn __init__(slf: &Bound<'_, Self>, args: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        if args.len() != 1 {
            return Err(PyTypeError::new_err(format!(
                "Cursor expected 1 argument, got {}",
                args.len()
            )));
        }
        let argument = args.get_item(0)?;
        let Ok(connection) = argument.cast::<Connection>() else {
            let what = "Cursor() argument 1";
            return Err(wrong_argument(&argument, what, "sqlite3.Connection"));
        };
        this.check_locked(py)?;
        if let Some(old) = this.connection.clone_ref(py) {
            this.release(py, old.bind(py).get());
        }
        drop(
            this.connection
                .replace(py, Some(connection.clone().unbind())),
        );
        drop(this.description.take(py));
        drop(this.row_factory.take(py));
        drop(this.converters.take(py));
        this.lastrowid.set(py, None);
        this.rowcount.set(py, -1);
        this.arraysize.set(py, 1);
        this.closed.set(py, false);
        connection.get().check_thread(py)?;
        connection.get().check_initialized(py)?;
        this.initialized.set(py, true);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.connection.traverse(&visit)?;
        self.description.traverse(&visit)?;
        self.row_factory.traverse(&visit)?;
        // SAFETY: the collector holds the interpreter lock and runs no Python code while it visits.
        let converters = unsafe { self.converters.peek(Python::assume_attached()) };
        for converter in converters.iter().flat_map(|all| all.iter()) {
            visit.call(converter)?;
        }
        // SAFETY: as above.
        if let Some(ahead) = unsafe { self.ahead.peek(Python::assume_attached()) } {
            ahead.traverse(&visit)?;
        }
        self.bound.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        if let Some(connection) = self.connection.clone_ref(py) {
            self.release(py, connection.bind(py).get());
        }
        drop(self.connection.take(py));
        drop(self.row_factory.take(py));
        drop(self.stand_in.take(py));
        drop(self.converters.take(py));
        self.initialized.set(py, false);
    }

    /// Executes an SQL statement.
    #[pyo3(signature = (sql, parameters=Optional(None), /), text_signature = "($self, sql, parameters=(), /)")]
    fn execute<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        parameters: Optional<'py>,
    ) -> PyResult<Bound<'py, Self>> {
        let sql = string(sql, "execute() argument 1")?;
        let connection = slf.get().check_to_execute(slf.py())?;
        Self::execute_one(slf, &connection, sql, parameters.0.as_ref())?;
        Ok(slf.clone())
    }

    /// Repeatedly executes an SQL statement.
    #[pyo3(signature = (sql, seq_of_parameters, /))]
    fn executemany<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        seq_of_parameters: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let sql = string(sql, "executemany() argument 1")?;
        let connection = slf.get().check_to_execute(slf.py())?;
        Self::execute_many(slf, &connection, sql, seq_of_parameters)?;
        Ok(slf.clone())
    }

    /// Executes multiple SQL statements at once.
    #[pyo3(signature = (sql_script, /))]
    fn executescript<'py>(
        slf: &Bound<'py, Self>,
        sql_script: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        string(sql_script, "executescript() argument")?;
        let connection = slf.get().check(slf.py())?;
        Self::execute_script(slf, &connection, sql_script)?;
        Ok(slf.clone())
    }

    /// Required by DB-API. Does nothing in sqlite3.
    #[pyo3(signature = (sizes, /))]
    fn setinputsizes(&self, sizes: &Bound<'_, PyAny>) {
        let _ = sizes;
    }

    /// Required by DB-API. Does nothing in sqlite3.
    #[pyo3(signature = (size, column=None, /))]
    fn setoutputsize(&self, size: &Bound<'_, PyAny>, column: Option<&Bound<'_, PyAny>>) {
        let _ = (size, column);
    }

    /// Closes the cursor.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.check_locked(py)?;
        let Some(connection) = self.connection.clone_ref(py) else {
            return Err(not_initialized(py));
        };
        let connection = connection.bind(py).get();
        if connection.is_inherited(py) {
            return Ok(());
        }
        connection.check(py)?;
        self.release(py, connection);
        self.closed.set(py, true);
        Ok(())
    }

    #[getter]
    fn connection(&self, py: Python<'_>) -> Option<Py<Connection>> {
        self.connection.clone_ref(py)
    }

    #[getter]
    fn description(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.description.clone_ref(py)
    }

    #[getter]
    fn lastrowid(&self, py: Python<'_>) -> Option<i64> {
        self.lastrowid.get(py)
    }

    #[getter]
    fn rowcount(&self, py: Python<'_>) -> i64 {
        self.rowcount.get(py)
    }

    #[getter]
    fn arraysize(&self, py: Python<'_>) -> c_int {
        self.arraysize.get(py)
    }

    #[setter]
    fn set_arraysize(&self, py: Python<'_>, value: CInt) {
        self.arraysize.set(py, value.0);
    }

    #[deleter]
    fn delete_arraysize(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("can't delete numeric/char attribute"))
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
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if self.statement.get_mut().is_none() {
            return;
        }
        Python::attach(|py| {
            if let Some(connection) = self.connection.clone_ref(py) {
                self.release(py, connection.bind(py).get());
            }
        });
    }
}
