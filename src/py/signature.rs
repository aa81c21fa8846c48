//! Parameters that Python 3.13 wants by position: CPython's warnings and its errors.
#![cfg(Py_3_13)]

use pyo3::exceptions::{PyDeprecationWarning, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::CString;

/// Required parameters that may be passed by position or by keyword.
pub struct Parameters<const N: usize> {
    function: &'static str,
    names: [&'static str; N],
}

impl<const N: usize> Parameters<N> {
    pub fn new(function: &'static str, names: [&'static str; N]) -> Self {
        Self { function, names }
    }

    /// One object a parameter, in order.
    pub fn parse<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<[Bound<'py, PyAny>; N]> {
        let function = self.function;
        if args.len() > N {
            let given = args.len();
            return Err(PyTypeError::new_err(format!(
                "{function}() takes at most {N} positional arguments ({given} given)"
            )));
        }
        let mut found: [Option<Bound<'py, PyAny>>; N] = std::array::from_fn(|_| None);
        for (slot, object) in found.iter_mut().zip(args.iter()) {
            *slot = Some(object);
        }
        for (key, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
            let key: String = key.extract()?;
            let Some(index) = self.names.iter().position(|name| *name == key) else {
                return Err(PyTypeError::new_err(format!(
                    "{function}() got an unexpected keyword argument '{key}'"
                )));
            };
            if found[index].replace(value).is_some() {
                return Err(PyTypeError::new_err(format!(
                    "argument for {function}() given by name ('{key}') and position ({})",
                    index + 1
                )));
            }
        }
        let mut all = Vec::with_capacity(N);
        for (index, slot) in found.into_iter().enumerate() {
            all.push(slot.ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "{function}() missing required argument '{}' (pos {})",
                    self.names[index],
                    index + 1
                ))
            })?);
        }
        match all.try_into() {
            Ok(array) => Ok(array),
            Err(_) => unreachable!("one object was pushed for each of the N parameters"),
        }
    }
}

/// Warn if any of `names` was passed by keyword.
pub fn deprecated_keywords(
    py: Python<'_>,
    function: &str,
    names: &[&str],
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let Some(kwargs) = kwargs else {
        return Ok(());
    };
    let mut used = false;
    for name in names {
        used |= kwargs.contains(name)?;
    }
    if !used {
        return Ok(());
    }
    let list = enumerate(names);
    let (arguments, parameters) = match names.len() {
        1 => ("argument", "Parameter"),
        _ => ("arguments", "Parameters"),
    };
    warn(
        py,
        format!(
            "Passing keyword {arguments} {list} to _sqlite3.Connection.{function}() is deprecated. \
             {parameters} {list} will become positional-only in Python 3.15."
        ),
    )
}

/// `'a', 'b' and 'c'`
fn enumerate(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Warn when `connect` or the class gets more than the database by position.
pub fn deprecated_positions(py: Python<'_>, function: &str, given: usize) -> PyResult<()> {
    if !(2..=8).contains(&given) {
        return Ok(());
    }
    warn(
        py,
        format!(
            "Passing more than 1 positional argument to {function}() is deprecated. Parameters \
             'timeout', 'detect_types', 'isolation_level', 'check_same_thread', 'factory', \
             'cached_statements' and 'uri' will become keyword-only parameters in Python 3.15."
        ),
    )
}

fn warn(py: Python<'_>, message: String) -> PyResult<()> {
    let message = CString::new(message)?;
    PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), &message, 1)
}
