//! `Cursor`: getting rows.

use super::ahead;
use super::connection::{Connection, Locked, step_exception};
use super::cursor::Cursor;
use super::error::OrRaise;
use super::fetch::{self, Converters, TextFactory};
use super::interpreter::{self, Stretch};
use super::row::{self, Row};
use super::settings::{CInt, Optional};
use super::stdlib_row;
use crate::core::raw::{LockGuard, RowBatch, Statement, Step};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use std::ffi::c_int;
use std::ptr;

/// What becomes of a row's tuple.
enum RowFactory<'py> {
    /// Nothing.
    Tuple,
    /// Our own `Row`.
    Row,
    /// Our own `dict_row`.
    Dict,
    /// The stdlib's `Row` or a subclass of it, which wants a cursor of the stdlib's.
    StdlibRow(Bound<'py, PyAny>),
    /// Any callable.
    Call(Bound<'py, PyAny>),
}

impl<'py> RowFactory<'py> {
    #[inline]
    fn of(py: Python<'py>, cursor: &Cursor) -> Self {
        let Some(factory) = cursor.row_factory.clone_ref(py) else {
            return Self::Tuple;
        };
        let factory = factory.into_bound(py);
        if factory.is(py.get_type::<Row>()) {
            Self::Row
        } else if row::is_dict_row(&factory) {
            Self::Dict
        } else if stdlib_row::is_stdlib_row(&factory) {
            Self::StdlibRow(factory)
        } else {
            Self::Call(factory)
        }
    }

    /// Whether Python code runs for each row.
    fn runs_python(&self) -> bool {
        matches!(self, Self::StdlibRow(_) | Self::Call(_))
    }

    #[inline]
    fn make(
        &self,
        cursor: &Bound<'py, Cursor>,
        tuple: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = cursor.py();
        match self {
            Self::Tuple => Ok(tuple.into_any()),
            Self::Row => Ok(Row::of(py, cursor.get(), tuple)?.into_any()),
            Self::Dict => Ok(row::dict_of(py, cursor.get(), &tuple)?.into_any()),
            Self::StdlibRow(class) => stdlib_row::make(cursor, class, tuple),
            Self::Call(factory) => factory.call1((cursor, tuple)),
        }
    }
}

/// Reading from a cursor's current statement.
pub struct Reader<'a, 'py> {
    pub cursor: &'a Bound<'py, Cursor>,
    pub connection: &'a Connection,
    pub statement: &'a Statement,
    converters: Option<&'a Converters>,
    text_factory: TextFactory<'py>,
}

impl<'a, 'py> Reader<'a, 'py> {
    /// None when there is nothing (more) to read.
    #[inline]
    pub fn of(cursor: &'a Bound<'py, Cursor>, connection: &'a Connection) -> Option<Self> {
        let py = cursor.py();
        let this = cursor.get();
        // SAFETY: the statement and the converters are replaced or taken only by methods of this cursor
        // that refuse to run while it is marked as in use, and by `next` when it is done with them.
        let (statement, converters) = unsafe {
            let statement: *const Statement = &raw const **this.statement.peek(py).as_ref()?;
            let converters = this.converters.peek(py).as_deref();
            (
                &*statement,
                converters.map(|all| &*(all as *const Converters)),
            )
        };
        Some(Self {
            cursor,
            connection,
            statement,
            converters: converters.filter(|_| connection.detect_types(py) != 0),
            text_factory: TextFactory::of(py, connection.text_factory_ref(py)),
        })
    }

    /// Whether Python code runs for the values of a row.
    fn runs_python(&self) -> bool {
        self.converters.is_some() || matches!(self.text_factory, TextFactory::Call(_))
    }

    /// The current row, and a step to the next one. Tells whether there is a next one.
    #[inline]
    pub fn next(&self, guard: &LockGuard<'_>) -> PyResult<(Bound<'py, PyTuple>, bool)> {
        let py = self.cursor.py();
        let tuple = fetch::row(
            py,
            guard,
            self.statement,
            &self.text_factory,
            self.converters,
        )?;
        let step = self.connection.step(py, guard, self.statement);
        self.connection.pending.check(py)?;
        let cursor = self.cursor.get();
        let more = conclude(cursor, self.connection, self.statement, guard, py, step)?;
        Ok((tuple, more))
    }
}

/// What a step means for the cursor. Tells whether there is a further row.
#[inline]
fn conclude(
    cursor: &Cursor,
    connection: &Connection,
    statement: &Statement,
    guard: &LockGuard<'_>,
    py: Python<'_>,
    step: Step,
) -> PyResult<bool> {
    match step {
        Step::Row => Ok(true),
        Step::Done => {
            if statement.is_dml() {
                cursor.rowcount.set(py, guard.changes());
            }
            Ok(false)
        }
        Step::Failed(_) => {
            let error = step_exception(py, connection, guard);
            statement.reset(guard);
            Err(error)
        }
    }
}

/// The next row, or None. Also what `fetchone` and iteration do.
#[inline]
pub fn next_row<'py>(cursor: &Bound<'py, Cursor>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = cursor.py();
    let this = cursor.get();
    let connection = this.check(py)?;
    let connection = connection.get();
    let factory = RowFactory::of(py, this);
    if let Some(tuple) = ahead::next(cursor, connection)? {
        return factory.make(cursor, tuple).map(Some);
    }
    let fetched = this.exclusively(py, connection, || {
        let Some(reader) = Reader::of(cursor, connection) else {
            return Ok(None);
        };
        // The statement may belong to a database that the connection has left (`__init__` again).
        let owner = reader.statement.database();
        let guard = match connection.lock(py)? {
            guard if std::ptr::eq(guard.database(), &**owner) => guard,
            other => {
                drop(other);
                return next_of_former(&reader);
            }
        };
        if reader.statement.data_count(&guard) == 0 {
            return Ok(None);
        }
        let fetched = reader.next(&guard)?;
        if !fetched.1 {
            this.release_locked(py, connection, &guard);
        }
        Ok(Some(fetched))
    });
    let outcome = match fetched {
        Ok(Some((tuple, _))) => return factory.make(cursor, tuple).map(Some),
        other => other.map(|_| None),
    };
    // Nothing left, or an error: the statement is done with, unless a conversion failed on the way.
    if outcome.is_ok() || !has_row(py, this) {
        this.release(py, connection);
    }
    outcome
}

/// `next_row` when nothing is special about the cursor and its connection, so that no Python code runs for the row. As C
/// wants it, because a `PyErr` is long and would be copied at each return: a new reference, or null, with an exception
/// set or at the end without one. None, with nothing done, if it takes `next_row`, be it to raise an error.
#[inline]
pub fn next_plain_row(cursor: &Bound<'_, Cursor>) -> Option<*mut ffi::PyObject> {
    let py = cursor.py();
    let this = cursor.get();
    let connection = this.plain_connection(py)?;
    let factory = RowFactory::of(py, this);
    if factory.runs_python() {
        return None;
    }
    let connection = connection.get();
    if this.is_exhausted(py) {
        return connection.is_usable(py).then_some(ptr::null_mut());
    }
    connection.locked_plain(py, |guard| {
        // SAFETY: the statement is replaced or taken only by methods of this cursor that refuse to run while it
        // is marked as in use.
        let statement: &Statement = unsafe { this.statement.peek(py).as_deref()? };
        if !ptr::eq(guard.database(), &**statement.database())
            || !Connection::keeps_interpreter(py, guard, statement)
        {
            return None;
        }
        let columns = statement.data_count(guard);
        if columns == 0 {
            return None;
        }
        let mut more = false;
        let tuple = this.exclusively(py, connection, || {
            let value = |index| statement.column(guard, index);
            let row = fetch::plain_row(py, guard, statement, &TextFactory::Str, columns, value);
            let row = row.and_then(|tuple| {
                let step = Connection::step_attached(py, guard, statement);
                more = conclude(this, connection, statement, guard, py, step)?;
                Ok(tuple)
            });
            row.or_raise(py)
        });
        // A row that could not be converted is still there, for another try.
        let over = match &tuple {
            Some(_) => !more,
            None => statement.is_live() && statement.data_count(guard) == 0,
        };
        if over {
            this.release_locked(py, connection, guard);
        }
        let row = match (tuple, &factory) {
            (Some(tuple), RowFactory::Tuple) => tuple.into_ptr(),
            (Some(tuple), factory) => match factory.make(cursor, tuple).or_raise(py) {
                Some(row) => row.into_ptr(),
                None => ptr::null_mut(),
            },
            (None, _) => ptr::null_mut(),
        };
        Some(row)
    })
}

fn has_row(py: Python<'_>, cursor: &Cursor) -> bool {
    // SAFETY: looking at the statement runs no Python code.
    match unsafe { cursor.statement.peek(py) } {
        Some(statement) if statement.is_live() => match statement.database().try_lock() {
            Some(guard) => statement.data_count(&guard) != 0,
            None => true,
        },
        _ => false,
    }
}

type Fetched<'py> = Option<(Bound<'py, PyTuple>, bool)>;

/// Read from the database that the connection had before it was initialised anew.
#[cold]
fn next_of_former<'py>(reader: &Reader<'_, 'py>) -> PyResult<Fetched<'py>> {
    let py = reader.cursor.py();
    let guard = super::interpreter::lock(py, reader.statement.database());
    if !reader.statement.is_live() || reader.statement.data_count(&guard) == 0 {
        return Ok(None);
    }
    let guard = Locked::of_former(guard);
    reader.next(&guard).map(Some)
}

/// All rows that are left.
pub fn fetch_all<'py>(cursor: &Bound<'py, Cursor>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(cursor.py());
    fetch_into(cursor, &list, usize::MAX)?;
    Ok(list)
}

/// Append up to `limit` rows to a list.
fn fetch_into<'py>(
    cursor: &Bound<'py, Cursor>,
    list: &Bound<'py, PyList>,
    limit: usize,
) -> PyResult<()> {
    let py = cursor.py();
    let mut left = limit;
    while left > 0 {
        // The first row settles everything that may be wrong.
        let row = match next_plain_row(cursor) {
            // SAFETY: a new reference or null.
            Some(row) => match unsafe { Bound::from_owned_ptr_or_opt(py, row) } {
                None if PyErr::occurred(py) => return Err(PyErr::fetch(py)),
                row => row,
            },
            None => next_row(cursor)?,
        };
        match row {
            Some(row) => list.append(row)?,
            None => break,
        }
        left -= 1;
        let taken = fetch_run(cursor, list, left)?;
        if taken == 0 {
            continue;
        }
        left -= taken;
    }
    Ok(())
}

/// Append rows in one go as long as no Python code runs for them. Gives how many; 0 if that can't be done.
fn fetch_run<'py>(
    cursor: &Bound<'py, Cursor>,
    list: &Bound<'py, PyList>,
    limit: usize,
) -> PyResult<usize> {
    let py = cursor.py();
    let this = cursor.get();
    let connection = this.check(py)?;
    let connection = connection.get();
    let factory = RowFactory::of(py, this);
    // SAFETY: a look at the discriminant runs no Python code.
    let reads_ahead = unsafe { this.ahead.peek(py) }.is_some();
    if factory.runs_python() || limit == 0 || reads_ahead {
        return Ok(0);
    }
    let outcome = this.exclusively(py, connection, || {
        // Marked as in use before the lock is waited for: another thread may have the cursor, too.
        let guard = connection.lock(py)?;
        let Some(reader) = Reader::of(cursor, connection) else {
            return Ok(0);
        };
        if reader.runs_python() || !std::ptr::eq(guard.database(), &**reader.statement.database()) {
            return Ok(0);
        }
        let outcome = match limit == usize::MAX - 1 && interpreter::has_other_threads(py) {
            // Alone, the interpreter is nobody else's loss; and a part of a batch can't be put back.
            true => fetch_batches(&reader, &factory, &guard, list),
            false => fetch_rows(&reader, &factory, &guard, list, limit),
        };
        // A row that could not be converted is still there, for another try.
        if reader.statement.is_live() && reader.statement.data_count(&guard) == 0 {
            this.release_locked(py, connection, &guard);
        }
        outcome
    });
    connection.finish_retired(py);
    outcome
}

/// Read rows one by one.
fn fetch_rows<'py>(
    reader: &Reader<'_, 'py>,
    factory: &RowFactory<'py>,
    guard: &Locked<'_>,
    list: &Bound<'py, PyList>,
    limit: usize,
) -> PyResult<usize> {
    let mut taken = 0;
    while taken < limit {
        let (tuple, more) = reader.next(guard)?;
        taken += 1;
        list.append(factory.make(reader.cursor, tuple)?)?;
        if !more {
            break;
        }
    }
    Ok(taken)
}

/// Read all rows in turns: a batch is stepped without the interpreter, then its objects are made.
fn fetch_batches<'py>(
    reader: &Reader<'_, 'py>,
    factory: &RowFactory<'py>,
    guard: &Locked<'_>,
    list: &Bound<'py, PyList>,
) -> PyResult<usize> {
    let py = list.py();
    let mut batch = RowBatch::default();
    let mut taken = 0;
    loop {
        let stretch = Stretch::detached(py, guard.database());
        let step = batch.fill(guard, reader.statement);
        drop(stretch);
        reader.connection.pending.check(py)?;
        if batch.is_empty() {
            // The current row can't be read ahead: directly, which raises what there is to raise.
            let (tuple, more) = reader.next(guard)?;
            list.append(factory.make(reader.cursor, tuple)?)?;
            taken += 1;
            if more {
                continue;
            }
            return Ok(taken);
        }
        for row in 0..batch.len() {
            let value = |column: c_int| batch.value(row, column as usize);
            let tuple = fetch::plain_row(
                py,
                guard,
                reader.statement,
                &reader.text_factory,
                batch.columns() as c_int,
                value,
            )?;
            list.append(factory.make(reader.cursor, tuple)?)?;
        }
        taken += batch.len();
        let cursor = reader.cursor.get();
        if !conclude(cursor, reader.connection, reader.statement, guard, py, step)? {
            return Ok(taken);
        }
    }
}

#[pymethods]
impl Cursor {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        next_row(slf)
    }

    /// Fetches one row from the resultset.
    fn fetchone<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        next_row(slf)
    }

    /// Fetches several rows from the resultset.
    #[pyo3(signature = (size=Optional(None)), text_signature = "($self, /, size=1)")]
    fn fetchmany<'py>(slf: &Bound<'py, Self>, size: Optional<'py>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let size: c_int = match size.0 {
            Some(size) => CInt::of(&size)?,
            None => slf.get().arraysize.get(py),
        };
        let list = PyList::empty(py);
        // Like the stdlib, zero and negative numbers mean all rows.
        let limit = if size > 0 { size as usize } else { usize::MAX };
        fetch_into(slf, &list, limit)?;
        Ok(list)
    }

    /// Fetches all rows from the resultset.
    fn fetchall<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        fetch_all(slf)
    }
}
