//! `Result`: the cursor of a session, with SQLAlchemy's ways to read it.

use super::connection::Connection;
use super::cursor::Cursor;
use super::cursor_fetch::{fetch_all, next_row};
use super::error::exception;
use super::state::state;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

/// The rows of a statement that a session executed.
#[pyclass(frozen, extends = Cursor, name = "Result", module = "dbmanager")]
pub struct Result;

/// A new, empty one.
pub fn new<'py>(connection: &Bound<'py, Connection>) -> PyResult<Bound<'py, Cursor>> {
    let empty = PyClassInitializer::from(Cursor::empty()).add_subclass(Result);
    let result = Bound::new(connection.py(), empty)?.into_super();
    result.get().start(connection);
    Ok(result)
}

#[cold]
fn none_found(py: Python<'_>) -> PyErr {
    let message = "no row was found when one was required";
    exception(py, &state(py).no_result_found, message)
}

impl Result {
    /// The only row, None if there is none.
    fn only<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let cursor = slf.as_super();
        let row = next_row(cursor)?;
        if row.is_some() && next_row(cursor)?.is_some() {
            cursor.get().finish(py);
            let message = "more than one row was found when exactly one was required";
            return Err(exception(py, &state(py).multiple_results_found, message));
        }
        Ok(row)
    }

    fn view<'py>(slf: &Bound<'py, Self>, class: &str) -> PyResult<Bound<'py, PyAny>> {
        slf.py()
            .import("dbmanager._session")?
            .call_method1(class, (slf,))
    }
}

fn first_column<'py>(row: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match row.cast::<PyTuple>() {
        Ok(row) => row.get_item(0),
        Err(_) => match row.cast::<pyo3::types::PyDict>() {
            // A dict made by `dict_row` has its columns in order.
            Ok(row) => row.values().get_item(0),
            Err(_) => row.get_item(0),
        },
    }
}

#[pymethods]
impl Result {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, pyo3::types::PyDict>>,
    ) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Cursor::empty()).add_subclass(Self)
    }

    /// All rows that are left.
    fn all<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        fetch_all(slf.as_super())
    }

    /// The first row, None if there is none. What is left is let go.
    fn first<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let row = next_row(slf.as_super())?;
        slf.as_super().get().finish(slf.py());
        Ok(row)
    }

    /// The only row. Raises NoResultFound or MultipleResultsFound.
    fn one<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::only(slf)?.ok_or_else(|| none_found(slf.py()))
    }

    /// The only row, None if there is none. Raises MultipleResultsFound.
    fn one_or_none<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::only(slf)
    }

    /// The first column of the first row, None without a row. What is left is let go.
    fn scalar<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::first(slf)?.as_ref().map(first_column).transpose()
    }

    /// The first column of the only row. Raises NoResultFound or MultipleResultsFound.
    fn scalar_one<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        first_column(&Self::one(slf)?)
    }

    /// The first column of the only row, None without a row. Raises MultipleResultsFound.
    fn scalar_one_or_none<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Self::only(slf)?.as_ref().map(first_column).transpose()
    }

    /// The first column of each row.
    fn scalars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::view(slf, "Scalars")
    }

    /// Each row as a dict of its columns.
    fn mappings<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::view(slf, "Mappings")
    }

    /// The names of the columns.
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let names = PyList::empty(py);
        if let Some(description) = slf.as_super().get().description_ref(py) {
            for column in description.bind(py) {
                names.append(column.get_item(0)?)?;
            }
        }
        Ok(names)
    }
}
