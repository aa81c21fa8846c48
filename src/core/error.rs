//! The one error type of the core. `py::error` maps it to the stdlib's exception classes, nowhere else does.

use rusqlite::ffi;
use std::borrow::Cow;
use std::ffi::{CStr, c_int};

/// What SQLite said: its extended result code and its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqliteFailure {
    /// Extended result code, see <https://sqlite.org/rescode.html>.
    pub extended_code: c_int,
    /// The message of `sqlite3_errmsg`, or of `sqlite3_errstr` where no handle exists.
    pub message: String,
}

impl SqliteFailure {
    /// The primary result code, the low byte of the extended one.
    pub fn primary_code(&self) -> c_int {
        self.extended_code & 0xff
    }

    /// A failure that no connection remembers, worded by `sqlite3_errstr`.
    pub fn from_code(code: c_int) -> Self {
        Self {
            extended_code: code,
            message: error_string(code).into_owned(),
        }
    }
}

/// SQLite's English text for a result code.
pub fn error_string(code: c_int) -> Cow<'static, str> {
    // SAFETY: sqlite3_errstr returns a static, NUL-terminated string for every code.
    let text = unsafe { CStr::from_ptr(ffi::sqlite3_errstr(code)) };
    text.to_string_lossy()
}

/// Everything that can go wrong below the bindings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite refused or failed.
    #[error(transparent)]
    Sqlite(#[from] SqliteFailure),
    /// The database handle is closed.
    #[error("Cannot operate on a closed database.")]
    Closed,
    /// The database handle was opened by a process of which this one is a fork.
    #[error(
        "this connection was opened by process {parent}, and this one, {child}, is its fork; open another one here: \
         connections, sessions and cursors do not survive a fork"
    )]
    Inherited { parent: i32, child: u32 },
    /// There is not enough memory.
    #[error("out of memory")]
    NoMemory,
    /// A database URL that this library does not speak.
    #[error("{0}")]
    Url(String),
    /// No connection came free in time, or none could ever have; or no turn to write came in time.
    #[error("{0}")]
    PoolTimeout(String),
    /// Waiting was interrupted; the bindings know by what.
    #[error("interrupted")]
    Interrupted,
    /// A file could not be looked at.
    #[error("{0}")]
    File(String),
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A turn to write that would never come.
    #[error("{0}")]
    Endless(String),
    /// The manager was closed.
    #[error("the DatabaseManager of '{0}' is closed; ask DatabaseManager for a new one")]
    ManagerClosed(String),
}

/// Results of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Error::File(error.to_string())
    }
}

impl Error {
    /// For what belongs to this process's parent.
    pub fn inherited() -> Self {
        Self::Inherited {
            // SAFETY: no arguments, no failures.
            parent: unsafe { libc::getppid() },
            child: std::process::id(),
        }
    }

    /// Turn rusqlite's error of an open or a pragma into ours, keeping SQLite's own code and words.
    pub(crate) fn from_rusqlite(error: rusqlite::Error, path: &str) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let message = match message {
                    // rusqlite appends the path to SQLite's message when a file can't be opened.
                    Some(text) => match text.strip_suffix(&format!(": {path}")) {
                        Some(bare) => bare.to_owned(),
                        None => text,
                    },
                    None => error_string(code.extended_code).into_owned(),
                };
                Error::Sqlite(SqliteFailure {
                    extended_code: code.extended_code,
                    message,
                })
            }
            other => Error::Sqlite(SqliteFailure {
                extended_code: ffi::SQLITE_CANTOPEN,
                message: other.to_string(),
            }),
        }
    }
}
