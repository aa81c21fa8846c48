//! The one place where the core's errors become Python exceptions.

use super::constants;
use super::state::state;
use crate::core::error::{Error, SqliteFailure};
use crate::core::raw::LockGuard;
use crate::core::raw::statement::PrepareError;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use rusqlite::ffi;

/// Turns a result into what C wants.
pub trait OrRaise<T> {
    /// The value, or None with the exception set.
    fn or_raise(self, py: Python<'_>) -> Option<T>;
}

impl<T> OrRaise<T> for PyResult<T> {
    #[inline]
    fn or_raise(self, py: Python<'_>) -> Option<T> {
        match self {
            Ok(value) => Some(value),
            Err(error) => {
                error.restore(py);
                None
            }
        }
    }
}

/// A session writes or commits to a file that is not at its path any more.
pub const FILE_IS_GONE: &str = "the database file was replaced, moved or removed while this session was open, which has \
                                the old one; end the session and open another";

/// An exception of one of the stdlib's classes.
#[cold]
pub fn exception(py: Python<'_>, class: &Py<PyType>, message: impl Into<String>) -> PyErr {
    PyErr::from_type(class.bind(py).clone(), message.into())
}

#[cold]
pub fn programming_error(py: Python<'_>, message: impl Into<String>) -> PyErr {
    exception(py, &state(py).exceptions.programming_error, message)
}

#[cold]
pub fn operational_error(py: Python<'_>, message: impl Into<String>) -> PyErr {
    exception(py, &state(py).exceptions.operational_error, message)
}

/// The stdlib's class for a primary result code.
fn class_for(py: Python<'_>, primary: i32) -> &'static Py<PyType> {
    let classes = &state(py).exceptions;
    match primary {
        ffi::SQLITE_INTERNAL | ffi::SQLITE_NOTFOUND => &classes.internal_error,
        ffi::SQLITE_ERROR
        | ffi::SQLITE_PERM
        | ffi::SQLITE_ABORT
        | ffi::SQLITE_BUSY
        | ffi::SQLITE_LOCKED
        | ffi::SQLITE_READONLY
        | ffi::SQLITE_INTERRUPT
        | ffi::SQLITE_IOERR
        | ffi::SQLITE_FULL
        | ffi::SQLITE_CANTOPEN
        | ffi::SQLITE_PROTOCOL
        | ffi::SQLITE_EMPTY
        | ffi::SQLITE_SCHEMA => &classes.operational_error,
        ffi::SQLITE_TOOBIG => &classes.data_error,
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH => &classes.integrity_error,
        ffi::SQLITE_MISUSE | ffi::SQLITE_RANGE => &classes.interface_error,
        _ => &classes.database_error,
    }
}

/// The exception for what SQLite said, with `sqlite_errorcode` and `sqlite_errorname`.
#[cold]
pub fn sqlite_exception(py: Python<'_>, failure: &SqliteFailure) -> PyErr {
    if failure.primary_code() == ffi::SQLITE_NOMEM {
        return PyMemoryError::new_err(());
    }
    if failure.extended_code == ffi::SQLITE_CONSTRAINT_COMMITHOOK {
        // The only hook there is.
        return operational_error(
            py,
            format!("{FILE_IS_GONE}; what was not committed is rolled back"),
        );
    }
    let class = class_for(py, failure.primary_code());
    let error = exception(py, class, failure.message.clone());
    let value = error.value(py);
    let code = failure.extended_code;
    let name = constants::error_name(code).unwrap_or("unknown");
    let outcome = value
        .setattr("sqlite_errorcode", code)
        .and_then(|()| value.setattr("sqlite_errorname", name));
    match outcome {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// The exception for the connection's last failure.
#[cold]
pub fn last_exception(py: Python<'_>, guard: &LockGuard<'_>) -> PyErr {
    sqlite_exception(py, &guard.last_failure())
}

/// The exception for any error of the core.
#[cold]
pub fn core_exception(py: Python<'_>, error: Error) -> PyErr {
    match error {
        Error::Sqlite(failure) => sqlite_exception(py, &failure),
        Error::NoMemory => PyMemoryError::new_err(()),
        Error::Url(message) | Error::Setting(message) => PyValueError::new_err(message),
        Error::PoolTimeout(message) => exception(py, &state(py).pool_timeout, message),
        Error::File(_) | Error::Endless(_) => operational_error(py, error.to_string()),
        // The check that interrupted it left the exception.
        Error::Interrupted => PyErr::fetch(py),
        Error::Closed | Error::Inherited { .. } | Error::ManagerClosed(_) => {
            programming_error(py, error.to_string())
        }
    }
}

/// The exception for a text that is not one statement.
#[cold]
pub fn prepare_exception(py: Python<'_>, error: PrepareError) -> PyErr {
    match error {
        PrepareError::TooLarge => {
            exception(py, &state(py).exceptions.data_error, error.to_string())
        }
        PrepareError::Sqlite(failure) => sqlite_exception(py, &failure),
        PrepareError::ContainsNul | PrepareError::Multiple | PrepareError::Closed(_) => {
            programming_error(py, error.to_string())
        }
    }
}
