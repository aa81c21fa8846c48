//! `Connection`: its Python methods — transactions, cursors, attributes.

use super::connection::Connection;
use super::cursor::Cursor;
use super::error::{prepare_exception, programming_error};
use super::freelist;
use super::interpreter::Stretch;
use super::names;
use super::session::Session;
use super::settings::{Autocommit, CInt, IsolationLevel, Optional, Settings};
use super::slots;
use super::state::{Stdlib, state};
use super::statement::PyStatement;
use crate::core::raw::Statement;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};
use std::ffi::{CStr, c_int};

impl Connection {
    /// COMMIT or ROLLBACK as the transaction control asks for it.
    fn end_transaction(&self, py: Python<'_>, sql: &'static CStr) -> PyResult<()> {
        self.check(py)?;
        let guard = self.lock(py)?;
        let outcome = match self.autocommit.get(py) {
            Autocommit::Legacy if guard.is_autocommit() => Ok(()),
            Autocommit::Legacy => self.run(py, &guard, sql),
            Autocommit::Off => self
                .run(py, &guard, sql)
                .and_then(|()| self.run_begin(py, &guard, c"BEGIN")),
            Autocommit::On => Ok(()),
        };
        self.settle_turn(py, &guard);
        drop(guard);
        self.finish_retired(py);
        outcome
    }
}

/// What makes a cursor; None: a plain one. The stdlib's class means ours, but a class derived from it can't: its C code
/// reads from the stdlib's connections only.
fn cursor_class<'py>(factory: Optional<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(factory) = factory.0 else {
        return Ok(None);
    };
    let py = factory.py();
    match (&state(py).stdlib, factory.cast::<PyType>()) {
        (Some(stdlib), Ok(class)) if class.is(&stdlib.cursor) => Ok(None),
        (Some(stdlib), Ok(class)) if class.is_subclass(stdlib.cursor.bind(py))? => {
            Err(PyTypeError::new_err(format!(
                "{} is a class of the stdlib's sqlite3, whose cursors can't read from a connection of dbmanager; if \
                 this one was routed, leave the module that connects out: install(ignore=[...])",
                class.name()?
            )))
        }
        _ => Ok(Some(factory)),
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
        let Some(factory) = cursor_class(factory)? else {
            return Ok(freelist::cursor(slf)?.into_any());
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
        let cursor = freelist::cursor(slf)?;
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
        let cursor = freelist::cursor(slf)?;
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
        let cursor = freelist::cursor(slf)?;
        Cursor::execute_script(&cursor, slf, sql_script)?;
        Ok(cursor)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<PyStatement> {
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
        let text = names::terminated(sql)?;
        let stretch = Stretch::attached(py, &database);
        let prepared = Statement::prepare_locked(&database, &guard, text);
        drop(stretch);
        let statement = prepared.map_err(|error| prepare_exception(py, error))?;
        Ok(PyStatement::new(statement, sql))
    }

    /// See `Stdlib::class_of`.
    #[getter]
    fn __class__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyType> {
        let py = slf.py();
        let ours = [py.get_type::<Self>(), py.get_type::<Session>()];
        Stdlib::class_of(slf.as_any(), &ours, |stdlib| &stdlib.connection)
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
        self.end_transaction(py, c"COMMIT")
    }

    /// Roll back to the start of any pending transaction.
    ///
    /// If there is no open transaction, this method is a no-op.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        self.end_transaction(py, c"ROLLBACK")
    }

    /// Close the database connection.
    ///
    /// Any pending transaction is not committed implicitly.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_inherited(py) {
            return Ok(());
        }
        self.check_thread(py)?;
        self.check_initialized(py)?;
        if self.is_set_aside(py) {
            return Err(self.closed(py));
        }
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
    pub fn __exit__(
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
        if self.is_session(py) {
            return Err(programming_error(
                py,
                "a session controls its transaction itself; use isolation_level = None for autocommit",
            ));
        }
        let guard = self.lock(py)?;
        match mode {
            Autocommit::On => self.commit_open(py, &guard)?,
            Autocommit::Off if guard.is_autocommit() => self.run_begin(py, &guard, c"BEGIN")?,
            Autocommit::Off | Autocommit::Legacy => {}
        }
        self.autocommit.set(py, mode);
        Ok(())
    }

    #[getter]
    fn total_changes(&self, py: Python<'_>) -> PyResult<i64> {
        // Like the stdlib from any thread, without waiting for a statement that is running.
        self.check_open(py)?;
        // SAFETY: a look at a counter runs no Python code.
        unsafe { self.physical.peek(py) }
            .as_ref()
            .and_then(|physical| physical.database().total_changes())
            .ok_or_else(|| self.closed(py))
    }

    #[getter]
    fn in_transaction<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBool>> {
        self.check_open(py)?;
        // SAFETY: a look at a flag runs no Python code.
        let open = unsafe { self.physical.peek(py) }
            .as_ref()
            .and_then(|physical| physical.database().in_transaction());
        match open {
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
        /// Make the class what the stdlib's is to its users.
        pub fn seal(py: Python<'_>) -> PyResult<()> {
            slots::make_readonly::<Connection>(py, &[$(stringify!($name)),+])?;
            slots::make_immutable::<Connection>(py);
            Ok(())
        }

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
