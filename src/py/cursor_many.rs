//! `Cursor`: executing one statement with many sets of parameters.

use super::bind;
use super::connection::{Connection, Locked};
use super::cursor::Cursor;
use super::error::core_exception;
use super::interpreter::{self, Stretch};
use crate::core::error::Error;
use crate::core::raw::{LockGuard, Statement, Step};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyString, PyTuple};
use std::time::{Duration, Instant};

/// `executemany` lets other threads run after this time.
const YIELD_AFTER: Duration = Duration::from_millis(5);
/// The same while rows come from an iterator. Its Python code gives the interpreter to who has waited for 5 ms, and who is
/// woken earlier, in vain, waits anew.
const YIELD_AFTER_OF_ITERATOR: Duration = Duration::from_millis(10);
/// How many rows `executemany` binds between two looks at the clock.
const CLOCK_EVERY: u32 = 64;

impl Cursor {
    /// `executemany` with a str and a connection that was checked.
    pub fn execute_many(
        slf: &Bound<'_, Self>,
        connection: &Bound<'_, Connection>,
        sql: &Bound<'_, PyString>,
        parameters: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let connection = connection.get();
        let outcome = this.exclusively(py, connection, || {
            this.run_many(py, connection, sql, parameters)
        });
        if outcome.is_err() {
            this.rowcount.set(py, -1);
        }
        outcome
    }

    fn run_many(
        &self,
        py: Python<'_>,
        connection: &Connection,
        sql: &Bound<'_, PyString>,
        parameters: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let rows = Rows::of(parameters)?;
        let (mut statement, guard) = self.prepare(py, connection, sql, true)?;
        let outcome = self.run_rows(py, connection, &mut statement, guard, rows);
        connection.give_back(py, statement);
        if connection.is_session(py)
            && let Ok(guard) = connection.lock(py)
        {
            connection.settle_turn(py, &guard);
        }
        outcome
    }

    fn run_rows<'py>(
        &self,
        py: Python<'py>,
        connection: &Connection,
        statement: &mut Statement,
        guard: Locked<'_>,
        mut rows: Rows<'py>,
    ) -> PyResult<()> {
        let mut lease = Some(guard);
        let mut changed = 0;
        let mut described = false;
        let mut turn = Turn::begin(match rows.runs_python() {
            true => YIELD_AFTER_OF_ITERATOR,
            false => YIELD_AFTER,
        });
        loop {
            if rows.runs_python() {
                // Other threads may use the connection while an iterator computes its next row.
                lease = None;
            }
            let Some(row) = rows.next()? else {
                break;
            };
            let guard = match lease.take() {
                Some(guard) => guard,
                None => connection.lock(py)?,
            };
            if !statement.is_live() || !std::ptr::eq(guard.database(), &**statement.database()) {
                // The iterator closed the connection, or opened it anew.
                return Err(core_exception(py, Error::Closed));
            }
            let (_bound, guard) = bind::parameters(py, connection, statement, guard, Some(&row))?;
            connection.before_statement_again(py, &guard, statement)?;
            turn.offer(py, &guard);
            let step = connection.step(py, &guard, statement);
            if let Step::Failed(_) = step {
                return Err(self.step_failed(py, connection, &guard, statement));
            }
            if !described {
                described = true;
                self.describe(py, connection, &guard, statement)?;
            }
            connection.pending.check(py)?;
            if step == Step::Done && statement.is_dml() {
                changed += guard.changes();
                self.rowcount.set(py, changed);
            }
            statement.reset(&guard);
            lease = Some(guard);
        }
        Ok(())
    }
}

/// The parameter rows of `executemany`.
enum Rows<'py> {
    List(Bound<'py, PyList>, usize),
    Tuple(Bound<'py, PyTuple>, usize),
    Iterator(Bound<'py, PyIterator>),
}

impl<'py> Rows<'py> {
    fn of(parameters: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(list) = parameters.cast_exact::<PyList>() {
            return Ok(Rows::List(list.clone(), 0));
        }
        if let Ok(tuple) = parameters.cast_exact::<PyTuple>() {
            return Ok(Rows::Tuple(tuple.clone(), 0));
        }
        Ok(Rows::Iterator(parameters.try_iter()?))
    }

    /// Whether getting the next row may run Python code.
    fn runs_python(&self) -> bool {
        matches!(self, Rows::Iterator(_))
    }

    fn next(&mut self) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self {
            // The list may shrink while it is walked, so the length is asked for each time.
            Rows::List(list, index) => {
                if *index >= list.len() {
                    return Ok(None);
                }
                *index += 1;
                list.get_item(*index - 1).map(Some)
            }
            Rows::Tuple(tuple, index) => {
                if *index >= tuple.len() {
                    return Ok(None);
                }
                *index += 1;
                tuple.get_item(*index - 1).map(Some)
            }
            Rows::Iterator(iterator) => iterator.next().transpose(),
        }
    }
}

/// How long this thread has had the interpreter within one call.
struct Turn {
    since: Option<Instant>,
    rows: u32,
    after: Duration,
}

impl Turn {
    fn begin(after: Duration) -> Self {
        Self {
            since: None,
            rows: 0,
            after,
        }
    }

    /// Let other threads run if this one has had its turn. By now a waiting thread has asked for the
    /// interpreter, so giving it up hands it over.
    #[inline]
    fn offer(&mut self, py: Python<'_>, guard: &LockGuard<'_>) {
        self.rows += 1;
        if self.rows < CLOCK_EVERY {
            return;
        }
        self.rows = 0;
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if now - since > self.after {
            if interpreter::has_other_threads(py) {
                drop(Stretch::detached(py, guard.database()));
            }
            self.since = None;
        }
    }
}
