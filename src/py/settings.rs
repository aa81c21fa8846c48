//! The arguments of `connect`, checked once, in the stdlib's words.

use super::signature::Parameters;
use crate::core::pool::uri;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use std::ffi::{CStr, OsStr, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// An argument that was given or not; unlike `Option`, a given `None` counts as given.
pub struct Optional<'py>(pub Option<Bound<'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Optional<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Optional(Some(object.to_owned())))
    }
}

/// An int argument that C takes as an `int`, with CPython's error when it is too large.
#[derive(Clone, Copy)]
pub struct CInt(pub c_int);

impl CInt {
    pub fn of(object: &Bound<'_, PyAny>) -> PyResult<c_int> {
        let mut overflow: c_int = 0;
        // SAFETY: any object may be asked; errors are looked at below.
        let value = unsafe { ffi::PyLong_AsLongAndOverflow(object.as_ptr(), &mut overflow) };
        if value == -1 && overflow == 0 && PyErr::occurred(object.py()) {
            return Err(PyErr::fetch(object.py()));
        }
        match c_int::try_from(value) {
            Ok(value) if overflow == 0 => Ok(value),
            _ => Err(PyOverflowError::new_err(
                "Python int too large to convert to C int",
            )),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for CInt {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Self::of(&object).map(Self)
    }
}

/// An argument that C uses as a truth value.
pub fn switch(value: Option<&Bound<'_, PyAny>>, default: bool) -> PyResult<bool> {
    match value {
        None => Ok(default),
        // Until Python 3.11 these were ints.
        #[cfg(not(Py_3_12))]
        Some(value) => Ok(CInt::of(value)? != 0),
        #[cfg(Py_3_12)]
        Some(value) => value.is_truthy(),
    }
}

/// When a transaction is begun implicitly, and how (legacy transaction control).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Never.
    None,
    /// `""`: a plain BEGIN.
    Default,
    Deferred,
    Immediate,
    Exclusive,
}

impl IsolationLevel {
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if value.is_none() {
            return Ok(Self::None);
        }
        let Ok(text) = value.cast::<PyString>() else {
            return Err(PyTypeError::new_err("isolation_level must be str or None"));
        };
        let text = text.to_str()?;
        if text.contains('\0') {
            return Err(PyValueError::new_err("embedded null character"));
        }
        let levels = [
            Self::Default,
            Self::Deferred,
            Self::Immediate,
            Self::Exclusive,
        ];
        levels
            .into_iter()
            .find(|level| {
                level
                    .name()
                    .is_some_and(|name| name.eq_ignore_ascii_case(text))
            })
            .ok_or_else(|| {
                PyValueError::new_err(
                    "isolation_level string must be '', 'DEFERRED', 'IMMEDIATE', or 'EXCLUSIVE'",
                )
            })
    }

    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Default => Some(""),
            Self::Deferred => Some("DEFERRED"),
            Self::Immediate => Some("IMMEDIATE"),
            Self::Exclusive => Some("EXCLUSIVE"),
        }
    }

    pub fn begin_statement(self) -> &'static CStr {
        match self {
            Self::None | Self::Default => c"BEGIN ",
            Self::Deferred => c"BEGIN DEFERRED",
            Self::Immediate => c"BEGIN IMMEDIATE",
            Self::Exclusive => c"BEGIN EXCLUSIVE",
        }
    }
}

/// Transaction control, `Connection.autocommit` since Python 3.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Autocommit {
    /// By `isolation_level`.
    Legacy,
    /// PEP 249: always in a transaction.
    Off,
    /// SQLite's own autocommit.
    On,
}

/// `sqlite3.LEGACY_TRANSACTION_CONTROL`
#[cfg(Py_3_12)]
pub const LEGACY_TRANSACTION_CONTROL: c_int = -1;

#[cfg(Py_3_12)]
impl Autocommit {
    pub fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        use pyo3::types::{PyBool, PyInt};
        if value.is_exact_instance_of::<PyBool>() {
            return Ok(if value.is_truthy()? {
                Self::On
            } else {
                Self::Off
            });
        }
        if value.is_instance_of::<PyInt>()
            && value.extract::<c_int>().ok() == Some(LEGACY_TRANSACTION_CONTROL)
        {
            return Ok(Self::Legacy);
        }
        Err(PyValueError::new_err(
            "autocommit must be True, False, or sqlite3.LEGACY_TRANSACTION_CONTROL",
        ))
    }

    pub fn to_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        use pyo3::types::PyBool;
        Ok(match self {
            Self::Legacy => LEGACY_TRANSACTION_CONTROL.into_pyobject(py)?.into_any(),
            Self::Off => PyBool::new(py, false).to_owned().into_any(),
            Self::On => PyBool::new(py, true).to_owned().into_any(),
        })
    }
}

/// What a connection is opened with.
pub struct Settings<'py> {
    /// As given, for the audit event.
    pub object: Bound<'py, PyAny>,
    pub database: Bound<'py, PyBytes>,
    pub timeout: f64,
    pub detect_types: c_int,
    pub isolation_level: IsolationLevel,
    pub check_same_thread: bool,
    pub cached_statements: c_int,
    pub uri: bool,
    pub autocommit: Autocommit,
}

impl<'py> Settings<'py> {
    /// The arguments of `Connection(...)`.
    pub fn parse(
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Self> {
        const NAMES: [&str; 9] = [
            "database",
            "timeout",
            "detect_types",
            "isolation_level",
            "check_same_thread",
            "factory",
            "cached_statements",
            "uri",
            // By keyword only, since Python 3.12.
            "autocommit",
        ];
        let parameters = Parameters {
            function: "Connection",
            names: NAMES,
            required: 1,
            positional: NAMES.len() - 1,
            known: if cfg!(Py_3_12) {
                NAMES.len()
            } else {
                NAMES.len() - 1
            },
        };
        let found = parameters.parse(args, kwargs)?;
        let given = |index: usize| found[index].as_ref();
        // In the order of the parameters, so that of several wrong ones the first is reported.
        let Some(database) = given(0) else {
            unreachable!("the first parameter is required")
        };
        Ok(Self {
            object: database.clone(),
            database: file_system_path(database)?,
            timeout: given(1).map_or(Ok(5.0), |value| value.extract())?,
            detect_types: given(2).map_or(Ok(0), CInt::of)?,
            isolation_level: given(3).map_or(Ok(IsolationLevel::Default), IsolationLevel::of)?,
            check_same_thread: switch(given(4), true)?,
            cached_statements: given(6).map_or(Ok(128), CInt::of)?,
            uri: given(7).map_or(Ok(false), |value| value.is_truthy())?,
            #[cfg(Py_3_12)]
            autocommit: given(8).map_or(Ok(Autocommit::Legacy), Autocommit::of)?,
            #[cfg(not(Py_3_12))]
            autocommit: Autocommit::Legacy,
        })
    }

    pub fn path(&self) -> PyResult<PathBuf> {
        Ok(PathBuf::from(OsStr::from_bytes(self.database.as_bytes())))
    }

    pub fn cached_statements(&self) -> usize {
        usize::try_from(self.cached_statements).unwrap_or(0)
    }

    /// How long to wait for locks of others. What the stdlib leaves undefined waits as long as possible here.
    pub fn timeout(&self) -> Duration {
        let milliseconds = (self.timeout * 1000.0) as c_int;
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
    }

    /// Whether the URI asks for a shared cache.
    pub fn may_share_cache(&self) -> bool {
        super::shared_cache_enabled()
            || (self.uri && uri::may_share_cache(self.database.as_bytes()))
    }
}

/// A path as the bytes that the file system takes (`os.fsencode`, without NUL).
pub fn file_system_path<'py>(database: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut bytes: *mut ffi::PyObject = std::ptr::null_mut();
    // SAFETY: the converter stores a new reference to a bytes object when it gives a true value.
    let code = unsafe {
        ffi::PyUnicode_FSConverter(database.as_ptr(), std::ptr::from_mut(&mut bytes).cast())
    };
    let py = database.py();
    if code == 0 {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: see above.
    unsafe { Ok(Bound::from_owned_ptr(py, bytes).cast_into_unchecked()) }
}
