//! `Cursor`: executing scripts.

use super::connection::Connection;
use super::cursor::Cursor;
use super::error::{core_exception, exception, prepare_exception};
use super::interpreter::Stretch;
use super::mixed;
use super::names::{string, terminated};
use super::settings::Autocommit;
use super::state::state;
use crate::core::error::Error;
use crate::core::raw::statement::PrepareError;
use crate::core::raw::{Database, LockGuard, Statement, Step};
use crate::core::text::{self, Terminated};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

impl Cursor {
    /// `executescript` with a connection that was checked.
    pub fn execute_script(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        script: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let script = terminated(string(script, "executescript() argument")?)?;
        if script.contains('\0') {
            return Err(PyValueError::new_err("embedded null character"));
        }
        let connection = connection.get();
        let outcome = slf.get().run_script(slf.py(), connection, script);
        connection.finish_retired(slf.py());
        outcome
    }

    fn run_script(
        &self,
        py: Python<'_>,
        connection: &Connection,
        script: Terminated<'_>,
    ) -> PyResult<()> {
        // In this order: while the lock is waited for, the connection may be opened anew.
        let guard = connection.lock(py)?;
        let database = connection.database(py)?;
        if script.len() > guard.limit(rusqlite::ffi::SQLITE_LIMIT_SQL_LENGTH, -1) as usize {
            let error = PrepareError::TooLarge.to_string();
            return Err(exception(py, &state(py).exceptions.data_error, error));
        }
        let in_session = connection.is_session(py);
        if connection.autocommit_mode(py) == Autocommit::Legacy && !in_session {
            connection.commit_open(py, &guard)?;
        }
        let mut rest = script;
        while !text::is_end_of_script(&rest) {
            if !database.is_open() {
                return Err(core_exception(py, Error::Closed));
            }
            if in_session {
                rest = self.run_in_session(py, connection, &database, &guard, rest)?;
                continue;
            }
            if let Some(wanted) = text::effect::wants_alone(&rest) {
                Connection::have_alone(py, &guard, &wanted);
            }
            mixed::attaching(py, || Some((*rest).to_owned()))?;
            let stretch = Stretch::detached(py, &database);
            let outcome = guard.run_first(rest);
            drop(stretch);
            rest = outcome.map_err(|error| {
                connection.pending.discard(py);
                core_exception(py, error)
            })?;
            connection.pending.check(py)?;
        }
        Ok(())
    }

    /// Run the first statement of a script within the session's transaction. Gives the rest.
    fn run_in_session<'t>(
        &self,
        py: Python<'_>,
        connection: &Connection,
        database: &Arc<Database>,
        guard: &LockGuard<'_>,
        script: Terminated<'t>,
    ) -> PyResult<Terminated<'t>> {
        let stretch = Stretch::attached(py, database);
        let prepared = Statement::prepare_first(database, guard, script);
        drop(stretch);
        let (statement, rest) = prepared.map_err(|error| prepare_exception(py, error))?;
        connection.before_statement(py, guard, &statement)?;
        connection.before_statement_again(py, guard, &statement)?;
        let outcome = loop {
            match connection.step(py, guard, &statement) {
                Step::Row => {}
                Step::Done => break connection.pending.check(py),
                Step::Failed(_) => break Err(self.step_failed(py, connection, guard, &statement)),
            }
        };
        drop(statement);
        connection.settle_turn(py, guard);
        outcome.map(|()| rest)
    }
}
