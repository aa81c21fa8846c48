//! Rows of a session's cursor that are read ahead: its statement's snapshot would make BEGIN IMMEDIATE fail, so before a
//! transaction begins it is read to its end.
//!
//! The first rows become tuples at once. What is more than a bound goes into a temporary database and becomes tuples
//! when it is asked for.

use super::connection::{Connection, step_exception};
use super::cursor::Cursor;
use super::cursor_fetch::Reader;
use super::error::{core_exception, operational_error};
use super::fetch;
use super::interpreter::Stretch;
use crate::core::error::Error;
use crate::core::raw::{LockGuard, Statement, Step};
use crate::core::sqlite::spill::Spill;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

/// Rows in memory, at most,
const ROWS: usize = 10_000;
/// and bytes of their texts and BLOBs.
const BYTES: usize = 8 << 20;

/// See the head of this file.
pub struct Ahead {
    rows: Py<PyList>,
    served: usize,
    /// What did not fit into memory, on the next row to be served.
    spilled: Option<Statement>,
    /// Why there are no more rows, if there should be.
    failure: Option<PyErr>,
}

impl Ahead {
    fn new(py: Python<'_>) -> Self {
        Self {
            rows: PyList::empty(py).unbind(),
            served: 0,
            spilled: None,
            failure: None,
        }
    }

    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.rows)
    }

    fn next_in_memory<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        let row = self.rows.bind(py).get_item(self.served).ok()?;
        self.served += 1;
        Some(row)
    }
}

/// The next of the rows that were read ahead.
pub fn next<'py>(
    cursor: &Bound<'py, Cursor>,
    connection: &Connection,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = cursor.py();
    let this = cursor.get();
    // SAFETY: getting an item of a list runs no Python code.
    let row = match unsafe { this.ahead.peek_mut(py) } {
        None => return Ok(None),
        Some(ahead) => ahead.next_in_memory(py),
    };
    if let Some(row) = row {
        return Ok(Some(row.cast_into::<PyTuple>()?));
    }
    // Out of its cell, because Python code may run for a value.
    let Some(mut ahead) = this.ahead.take(py) else {
        return Ok(None);
    };
    let served = match &ahead.spilled {
        Some(rows) => this.exclusively(py, connection, || next_spilled(cursor, connection, rows)),
        None => Ok(None),
    };
    match (&served, ahead.failure.take()) {
        (Ok(None), Some(failure)) => Err(failure),
        (Ok(None), None) => Ok(None),
        (_, failure) => {
            ahead.failure = failure;
            drop(this.ahead.replace(py, Some(ahead)));
            served
        }
    }
}

fn next_spilled<'py>(
    cursor: &Bound<'py, Cursor>,
    connection: &Connection,
    rows: &Statement,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = cursor.py();
    let guard = rows.database().lock();
    if rows.data_count(&guard) == 0 {
        return Ok(None);
    }
    let text_factory = fetch::TextFactory::of(py, connection.text_factory_ref(py));
    // SAFETY: the converters are replaced only by methods of this cursor, which is marked as in use.
    let converters = unsafe { cursor.get().converters.peek(py).as_deref() };
    let converters = converters.filter(|_| connection.detect_types(py) != 0);
    let tuple = fetch::row(py, &guard, rows, &text_factory, converters)?;
    match rows.step(&guard) {
        Step::Row | Step::Done => Ok(Some(tuple)),
        Step::Failed(_) => Err(core_exception(py, Error::Sqlite(guard.last_failure()))),
    }
}

/// Whether the rows that a cursor has left are those of a statement that writes (RETURNING).
pub fn is_writing(cursor: &Bound<'_, Cursor>, connection: &Connection) -> bool {
    Reader::of(cursor, connection).is_some_and(|reader| !reader.statement.is_readonly())
}

/// Read a cursor's rows to their end and keep them for it, so that its statement holds no snapshot any more.
pub fn read_ahead(
    cursor: &Bound<'_, Cursor>,
    connection: &Connection,
    guard: &LockGuard<'_>,
) -> PyResult<()> {
    let py = cursor.py();
    let this = cursor.get();
    let Some(reader) = Reader::of(cursor, connection) else {
        return Ok(());
    };
    // There are rows already if an earlier try ended at one that could not be converted.
    let mut ahead = this.ahead.take(py).unwrap_or_else(|| Ahead::new(py));
    let outcome = this.exclusively(py, connection, || fill(&mut ahead, &reader, guard));
    let is_over = reader.statement.data_count(guard) == 0;
    if is_over {
        ahead.failure = outcome.as_ref().err().map(|error| error.clone_ref(py));
        this.release_locked(py, connection, guard);
    }
    drop(this.ahead.replace(py, Some(ahead)));
    outcome
}

fn fill(ahead: &mut Ahead, reader: &Reader<'_, '_>, guard: &LockGuard<'_>) -> PyResult<()> {
    let py = reader.cursor.py();
    let rows = ahead.rows.bind(py).clone();
    let mut bytes = 0;
    while reader.statement.data_count(guard) != 0 {
        if rows.len() >= ROWS || bytes >= BYTES {
            return spill(ahead, reader, guard);
        }
        bytes += reader.statement.row_bytes(guard);
        rows.append(reader.next(guard)?.0)?;
    }
    Ok(())
}

/// Set the rest aside in a temporary database.
fn spill(ahead: &mut Ahead, reader: &Reader<'_, '_>, guard: &LockGuard<'_>) -> PyResult<()> {
    let py = reader.cursor.py();
    let stretch = Stretch::detached(py, guard.database());
    let (spilled, step) = spill_rows(reader.statement, guard);
    drop(stretch);
    reader.connection.pending.check(py)?;
    match (spilled, step) {
        (spilled, Step::Failed(_)) => {
            ahead.spilled = spilled.ok();
            let error = step_exception(py, reader.connection, guard);
            reader.statement.reset(guard);
            Err(error)
        }
        (Ok(spilled), _) => {
            ahead.spilled = Some(spilled);
            Ok(())
        }
        (Err(error), _) => {
            // What was set aside is gone, so the rest has no place.
            reader.statement.reset(guard);
            Err(operational_error(
                py,
                format!(
                    "the rows that a cursor of this session has left could not be set aside before the first write \
                     ({error}); fetch them first, or open the session with mode='write'"
                ),
            ))
        }
    }
}

/// Without the interpreter: copy the current row and those behind it. Gives the last step's outcome, too: `Row` if
/// there are more.
fn spill_rows(
    source: &Statement,
    guard: &LockGuard<'_>,
) -> (crate::core::error::Result<Statement>, Step) {
    let names: Vec<String> = (0..source.column_count(guard))
        .map(|index| source.column_name(guard, index).unwrap_or_default())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let mut step = Step::Row;
    let spilled = Spill::new(&names).and_then(|spill| {
        while step == Step::Row {
            spill.push(guard, source)?;
            step = source.step(guard);
        }
        spill.into_rows()
    });
    (spilled, step)
}
