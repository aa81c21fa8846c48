//! Arguments that must be parsed by hand: CPython's messages, and the warnings of Python 3.13 for
//! parameters that it wants by position (or by keyword).

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Parameters that may be passed by keyword: the first `required` of them are mandatory, the first
/// `positional` may also be passed by position, and this Python knows the first `known` of them.
pub struct Parameters<const N: usize> {
    pub function: &'static str,
    pub names: [&'static str; N],
    pub required: usize,
    pub positional: usize,
    pub known: usize,
}

impl<const N: usize> Parameters<N> {
    /// Parameters that are all mandatory.
    #[cfg(Py_3_13)]
    pub fn all_required(function: &'static str, names: [&'static str; N]) -> Self {
        Self {
            function,
            names,
            required: N,
            positional: N,
            known: N,
        }
    }

    /// One object a parameter, in order; None for what was left out.
    pub fn parse<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
        let function = self.function;
        if args.len() > self.positional {
            return Err(self.too_many(args.len(), kwargs));
        }
        let mut found: [Option<Bound<'py, PyAny>>; N] = std::array::from_fn(|_| None);
        for (slot, object) in found.iter_mut().zip(args.iter()) {
            *slot = Some(object);
        }
        for (key, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
            let key: String = key.extract()?;
            let known = &self.names[..self.known];
            let Some(index) = known.iter().position(|name| *name == key) else {
                return Err(self.unknown(&key));
            };
            if found[index].replace(value).is_some() {
                return Err(PyTypeError::new_err(format!(
                    "argument for {function}() given by name ('{key}') and position ({})",
                    index + 1
                )));
            }
        }
        if let Some(missing) = found[..self.required].iter().position(Option::is_none) {
            return Err(PyTypeError::new_err(format!(
                "{function}() missing required argument '{}' (pos {})",
                self.names[missing],
                missing + 1
            )));
        }
        Ok(found)
    }

    #[cold]
    fn too_many(&self, given: usize, kwargs: Option<&Bound<'_, PyDict>>) -> PyErr {
        let most = self.positional;
        let given = given + kwargs.map_or(0, |kwargs| kwargs.len());
        let positional = if cfg!(Py_3_12) { "positional " } else { "" };
        PyTypeError::new_err(format!(
            "{}() takes at most {most} {positional}arguments ({given} given)",
            self.function
        ))
    }

    #[cold]
    fn unknown(&self, key: &str) -> PyErr {
        let function = self.function;
        PyTypeError::new_err(if cfg!(Py_3_13) {
            format!("{function}() got an unexpected keyword argument '{key}'")
        } else {
            format!("'{key}' is an invalid keyword argument for {function}()")
        })
    }
}

/// What Python 3.13 warns about.
#[cfg(Py_3_13)]
mod deprecations {
    use super::*;
    use pyo3::exceptions::PyDeprecationWarning;
    use std::ffi::CString;

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
                "Passing keyword {arguments} {list} to _sqlite3.Connection.{function}() is \
                 deprecated. {parameters} {list} will become positional-only in Python 3.15."
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
}

#[cfg(Py_3_13)]
pub use deprecations::{deprecated_keywords, deprecated_positions};
