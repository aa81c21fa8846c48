//! The stdlib's `sqlite3.Row` as a row factory of our cursors.
//!
//! Its constructor insists on a cursor of the stdlib's, of which it takes the description. So a stand-in
//! is made for each description: a cursor on an empty database in memory that selected columns of those
//! names. The rows are real `sqlite3.Row` objects.

use super::cursor::Cursor;
use super::listener;
use super::state::state;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

static STAND_INS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Whether a row factory is the stdlib's `Row` or a subclass.
#[inline]
pub fn is_stdlib_row(factory: &Bound<'_, PyAny>) -> bool {
    let py = factory.py();
    let Ok(class) = factory.cast::<PyType>() else {
        return false;
    };
    match &state(py).stdlib {
        Some(stdlib) => class.is_subclass(stdlib.row.bind(py)).unwrap_or(false),
        None => false,
    }
}

/// Make a row of a class that `is_stdlib_row` accepted.
pub fn make<'py>(
    cursor: &Bound<'py, Cursor>,
    class: &Bound<'py, PyAny>,
    tuple: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let stand_in = stand_in(cursor)?;
    class.call1((stand_in, tuple))
}

fn stand_in<'py>(cursor: &Bound<'py, Cursor>) -> PyResult<Bound<'py, PyAny>> {
    let py = cursor.py();
    let this = cursor.get();
    let description = match this.description_ref(py) {
        Some(description) => description.into_bound(py),
        None => PyTuple::empty(py),
    };
    // SAFETY: comparing addresses and taking references runs no Python code.
    if let Some((known, stand_in)) = unsafe { this.stand_in.peek(py) }
        && known.is(&description)
    {
        return Ok(stand_in.clone_ref(py).into_bound(py));
    }
    let names: Vec<String> = description
        .iter()
        .map(|column| {
            let name: String = column.get_item(0)?.extract()?;
            Ok(format!("NULL AS \"{}\"", name.replace('"', "\"\"")))
        })
        .collect::<PyResult<_>>()?;
    let sql = format!("SELECT {} LIMIT 0", names.join(", "));
    let stand_in = stand_in_database(py)?.call_method1("execute", (sql,))?;
    let entry = (description.unbind(), stand_in.clone().unbind());
    drop(this.stand_in.replace(py, Some(entry)));
    Ok(stand_in)
}

fn stand_in_database(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let database = STAND_INS.get_or_try_init(py, || {
        let Some(stdlib) = &state(py).stdlib else {
            unreachable!("a factory was a class of the stdlib's module, so there is one");
        };
        let options = PyDict::new(py);
        options.set_item("check_same_thread", false)?;
        listener::as_ours(|| stdlib.connect.call(py, (":memory:",), Some(&options)))
    })?;
    Ok(database.bind(py))
}
