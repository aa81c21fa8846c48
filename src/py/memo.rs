//! What the bindings remember with a prepared statement.

use crate::core::raw::{LockGuard, Statement};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use std::ffi::c_int;

/// See the head of this file.
#[derive(Default)]
pub struct Memo {
    pub columns: Option<Columns>,
    keys: Option<Py<PyTuple>>,
}

/// The columns of a statement, as long as it is not compiled anew.
pub struct Columns {
    pub reprepare_count: c_int,
    pub parse_colnames: bool,
    /// The cursor's `description`.
    pub description: Py<PyTuple>,
}

impl Memo {
    /// The memo of a statement, to be filled.
    pub fn of(statement: &mut Statement) -> &mut Self {
        statement.attachment_or_default()
    }
}

/// The keys of a statement's parameters in a dict, in order: their names without the prefix. None if one has no name.
pub fn keys<'py>(
    py: Python<'py>,
    statement: &mut Statement,
    guard: &LockGuard<'_>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    if let Some(memo) = statement.attachment::<Memo>()
        && let Some(keys) = &memo.keys
    {
        return Ok(Some(keys.bind(py).clone()));
    }
    let mut names = Vec::new();
    for position in 1..=statement.parameter_count() {
        let Some(name) = statement.parameter_name(guard, position) else {
            return Ok(None);
        };
        let name = name.to_string_lossy();
        names.push(match cfg!(all(Py_3_12, not(Py_3_13))) {
            // Interned it would live for ever.
            true => PyString::new(py, &name[1..]),
            // Interned, because the keys that a caller writes are.
            false => PyString::intern(py, &name[1..]),
        });
    }
    let keys = PyTuple::new(py, names)?;
    Memo::of(statement).keys = Some(keys.clone().unbind());
    Ok(Some(keys))
}
