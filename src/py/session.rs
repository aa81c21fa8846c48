//! `Session`: a connection for the time of a `with` block.

use super::ahead;
use super::connection::Connection;
use super::error::{core_exception, operational_error, programming_error};
use super::guarded::Guarded;
use super::in_session::{Mode, State};
use super::interpreter::Stretch;
use super::mixed;
use super::open_sessions;
use super::physical::Physical;
use super::settings::Optional;
use crate::core::error::Error;
use crate::core::pool::{Lease, Turn};
use crate::core::session::Manager;
use crate::core::session::url::Target;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyString, PyTuple};
use std::ffi::CString;
use std::sync::Arc;

/// Whether a COMMIT failed because of a statement that is in the midst of its rows.
fn has_statements_in_progress(py: Python<'_>, error: &PyErr) -> bool {
    error
        .value(py)
        .to_string()
        .ends_with("SQL statements in progress")
}

/// A connection for the time of a `with` block.
#[pyclass(frozen, extends = Connection, name = "Session", module = "dbmanager")]
pub struct Session {
    manager: Arc<Manager>,
    mode: Mode,
    used: Guarded<bool>,
    /// How many further `with` blocks it is in.
    inner: Guarded<usize>,
    /// Its number among the open sessions; 0 before it was opened.
    number: Guarded<u64>,
    /// Another thread ended it, and what was not committed was rolled back.
    was_ended: Guarded<bool>,
}

/// Where the caller of `session()` stands, a line each, for the leak report. None if it is not wanted.
fn caller(py: Python<'_>, manager: &Manager) -> Option<String> {
    manager.settings().leak_detection_threshold?;
    let describe = || -> PyResult<String> {
        let traceback = py.import("traceback")?;
        let frame = py.import("sys")?.call_method0("_getframe")?;
        let frames = traceback.call_method1("walk_stack", (frame,))?;
        let without_source = [("lookup_lines", false)].into_py_dict(py)?;
        let stack = traceback.getattr("StackSummary")?.call_method(
            "extract",
            (frames,),
            Some(&without_source),
        )?;
        // Without the lines of the source: a literal in them may be a path or a parameter.
        let frame = |frame: Bound<'_, PyAny>| -> PyResult<String> {
            let part = |name| frame.getattr(name);
            let (file, line, function) = (part("filename")?, part("lineno")?, part("name")?);
            Ok(format!("  File \"{file}\", line {line}, in {function}\n"))
        };
        let mut lines: Vec<String> = stack
            .try_iter()?
            .map(|line| frame(line?))
            .collect::<PyResult<_>>()?;
        lines.reverse();
        let thread = py
            .import("threading")?
            .call_method0("current_thread")?
            .getattr("name")?;
        Ok(format!("thread '{thread}' at\n{}", lines.concat()))
    };
    describe().ok()
}

/// Lease a connection that may have to be opened.
fn connecting<T>(
    py: Python<'_>,
    manager: &Manager,
    lease: impl FnOnce() -> PyResult<T>,
    keep_no_longer: impl FnOnce(&mut T),
) -> PyResult<T> {
    match manager.target() {
        Target::File(path) => mixed::connecting(py, path, lease, keep_no_longer),
        Target::Memory => lease(),
    }
}

impl Session {
    pub fn of<'py>(
        py: Python<'py>,
        manager: &Arc<Manager>,
        mode: Mode,
    ) -> PyResult<Bound<'py, Self>> {
        let session = Session {
            manager: Arc::clone(manager),
            mode,
            used: Guarded::new(false),
            inner: Guarded::new(0),
            number: Guarded::new(0),
            was_ended: Guarded::new(false),
        };
        let base = Connection::unopened("this session is not open; use it within its `with` block");
        Bound::new(py, PyClassInitializer::from(base).add_subclass(session))
    }

    fn start(slf: &Bound<'_, Self>, lease: Lease, turn: Option<Turn>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let mode = slf.get().mode;
        let looks = slf.get().manager.settings().pool_pre_ping;
        let state = State::new(mode, Arc::clone(lease.pool()), looks, turn);
        drop(connection.session.replace(py, Some(Box::new(state))));
        // Nobody else has it yet.
        let database = lease.connection().database();
        database.attaches_for_reading().set(mode == Mode::Read);
        connection.lend(py, Physical::Leased(Box::new(lease)));
        let number = open_sessions::note(py, &slf.get().manager, slf.as_any(), false);
        slf.get().number.set(py, number);
        let begun = match mode {
            Mode::Auto => Ok(()),
            Mode::Read => connection
                .lock(py)
                .and_then(|guard| connection.run_begin(py, &guard, c"BEGIN")),
            Mode::Write => connection
                .lock(py)
                .and_then(|guard| connection.begin_writing(py, &guard)),
        };
        begun.inspect_err(|_| {
            open_sessions::forget(py, number);
            connection.give_up(py);
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let number = *self.number.get_mut();
        if number != 0 {
            Python::attach(|py| open_sessions::forget(py, number));
        }
    }
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Err(PyTypeError::new_err(
            "a Session is made by DatabaseManager().session()",
        ))
    }

    /// A session is opened by its `with` block only.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Err(programming_error(
            slf.py(),
            "a Session can't be opened anew; ask the DatabaseManager for another one",
        ))
    }

    /// What the session is for: 'auto', 'read' or 'write'.
    #[getter]
    fn mode(&self) -> &'static str {
        self.mode.name()
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let this = slf.get();
        if this.used.get(py) {
            let connection = slf.as_super().get();
            if !connection.is_open(py) {
                let message =
                    "this session was used already; ask the DatabaseManager for another one";
                return Err(programming_error(py, message));
            }
            connection.check_thread(py)?;
            this.inner.set(py, this.inner.get(py) + 1);
            return Ok(slf.clone());
        }
        this.used.set(py, true);
        let manager = Arc::clone(&this.manager);
        if this.mode == Mode::Write {
            if let Some((turn, lease)) = manager.lease_for_writing_at_once() {
                Self::start(slf, lease, Some(turn))?;
                return Ok(slf.clone());
            }
            let place = caller(py, &manager);
            let lease_in_turn = || {
                py.detach(|| manager.lease_for_writing(place))
                    .map_err(|error| core_exception(py, error))
            };
            let (turn, lease) = connecting(py, &manager, lease_in_turn, |(_, lease)| {
                lease.keep_no_longer();
            })?;
            Self::start(slf, lease, Some(turn))?;
            return Ok(slf.clone());
        }
        let lease = match manager.lease_at_once() {
            Some(lease) => lease,
            None => {
                let place = caller(py, &manager);
                let lease = || {
                    py.detach(|| manager.lease(place))
                        .map_err(|error| core_exception(py, error))
                };
                connecting(py, &manager, lease, Lease::keep_no_longer)?
            }
        };
        Self::start(slf, lease, None)?;
        Ok(slf.clone())
    }

    #[pyo3(signature = (r#type, value, traceback, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        r#type: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let connection = slf.as_super().get();
        let inner = slf.get().inner.get(py);
        if inner > 0 {
            slf.get().inner.set(py, inner - 1);
            return connection.__exit__(py, r#type, value, traceback);
        }
        open_sessions::forget(py, slf.get().number.get(py));
        if let Err(error) = connection.check_thread(py) {
            // As a rule nobody else will come to give it back; what was not committed is rolled back.
            if connection.is_open(py) {
                slf.get().was_ended.set(py, true);
            }
            connection.give_up(py);
            return Err(error);
        }
        connection.finish_retired(py);
        let failed = !(r#type.is_none() && value.is_none() && traceback.is_none());
        if slf.get().was_ended.get(py) && !failed {
            return Err(programming_error(
                py,
                "another thread has ended this session; what was not committed by then was rolled back",
            ));
        }
        if !connection.is_open(py) {
            // Closed within the block: what was not committed by then is gone, as with any connection.
            return Ok(false);
        }
        let outcome = match failed {
            true => Ok(()),
            false => connection.lock(py).and_then(|guard| {
                // An open BLOB would keep the COMMIT from going through.
                guard.close_blobs();
                match connection.commit_open(py, &guard) {
                    // So would rows that a statement still has to give, and has written already.
                    Err(error) if has_statements_in_progress(py, &error) => {
                        guard.reset_busy_statements();
                        connection.commit_open(py, &guard)
                    }
                    outcome => outcome,
                }
            }),
        };
        // The pool rolls back what is open, after an exception as after a failed commit.
        connection.give_up(py);
        outcome.map(|()| false)
    }

    /// Begin the write transaction now, if none is open.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        connection.check(py)?;
        if slf.get().mode == Mode::Read {
            let message = "this session was opened with mode='read' and can't write";
            return Err(operational_error(py, message));
        }
        let guard = connection.lock(py)?;
        match guard.is_autocommit() {
            true => connection.begin_writing(py, &guard),
            false => Ok(()),
        }
    }

    /// Run a statement that makes, releases or rolls back to a savepoint: each has a name of its own, so their texts are
    /// not worth a place in the statement cache. Rows that RETURNING still has to give are read ahead: SQLite neither
    /// makes nor releases a savepoint in their midst.
    #[pyo3(signature = (sql, /))]
    fn _control(slf: &Bound<'_, Self>, sql: &str) -> PyResult<()> {
        let py = slf.py();
        let connection = slf.as_super().get();
        connection.check(py)?;
        let sql = CString::new(sql)?;
        let guard = connection.lock(py)?;
        connection.read_ahead(py, &guard, |cursor| ahead::is_writing(cursor, connection))?;
        let stretch = Stretch::detached_for_others(py, guard.database());
        let outcome = guard.execute_batch(&sql);
        drop(stretch);
        connection.settle_turn(py, &guard);
        outcome.map_err(|error| match error {
            Error::Sqlite(mut failure) if failure.message.starts_with("cannot open savepoint") => {
                failure
                    .message
                    .push_str("; close the BLOB that is open to write");
                core_exception(py, Error::Sqlite(failure))
            }
            error => core_exception(py, error),
        })
    }

    /// A savepoint for a `with` block: released at its end, rolled back on an exception.
    fn begin_nested<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("dbmanager._session")?
            .call_method1("Savepoint", (slf,))
    }

    /// The first column of the first row, None without a row.
    #[pyo3(signature = (sql, parameters=Optional(None), /), text_signature = "($self, sql, parameters=(), /)")]
    fn scalar<'py>(
        slf: &Bound<'py, Self>,
        sql: &Bound<'py, PyAny>,
        parameters: Optional<'py>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let result = match parameters.0 {
            Some(parameters) => slf.call_method1("execute", (sql, parameters))?,
            None => slf.call_method1("execute", (sql,))?,
        };
        result.call_method0("scalar")
    }

    /// Names of an SQLAlchemy session say where to find it.
    fn __getattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyString>) -> PyResult<()> {
        const ORM: [&str; 14] = [
            "add",
            "add_all",
            "delete",
            "merge",
            "query",
            "flush",
            "refresh",
            "get",
            "get_one",
            "expunge",
            "expire",
            "scalars",
            "connection",
            "bind",
        ];
        let name = name.to_str()?;
        let _ = slf;
        Err(PyAttributeError::new_err(match ORM.contains(&name) {
            true => format!(
                "'{name}' is a method of SQLAlchemy's sessions; this is a session of plain SQL. For ORM use \
                 orm_session()"
            ),
            false => format!("'Session' object has no attribute '{name}'"),
        }))
    }
}
