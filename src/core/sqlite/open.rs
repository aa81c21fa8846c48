//! Opening a database file, always through r2d2_sqlite's manager, so that pooled and private connections
//! are opened alike. The bundled library's VFS hooks are installed before the first open.

use crate::core::error::{Error, Result};
use crate::core::raw::Database;
use crate::core::vfs;
use r2d2::ManageConnection as _;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::OpenFlags;
use rusqlite::ffi;
use std::ffi::c_int;
use std::path::Path;
use std::sync::{Arc, Once};

/// The stdlib's flags: read, write, create; `file:` URIs on request. No SQLite mutex: we lock ourselves.
pub fn flags(uri: bool) -> OpenFlags {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_URI, uri);
    flags
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read and write, create: what `sqlite3.connect` asks for.
    ReadWriteCreate,
    /// Read and write what exists: `mode=rw` in a URI.
    ReadWrite,
    /// `mode=ro` in a URI.
    ReadOnly,
    /// A database in memory.
    Memory,
}

/// The flags for a file of a pool.
pub fn flags_for(access: Access) -> OpenFlags {
    let mode = match access {
        Access::ReadWriteCreate | Access::Memory => {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        }
        Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// The r2d2 manager that opens connections of one file.
pub fn manager(path: &Path, flags: OpenFlags) -> SqliteConnectionManager {
    vfs::install();
    SqliteConnectionManager::file(path).with_flags(flags)
}

/// Open a file in the caller's thread, with SQLite's own error when it can't be.
pub fn file(path: &Path, uri: bool, shares_cache: bool) -> Result<Arc<Database>> {
    let manager = manager(path, flags(uri));
    let connection = manager
        .connect()
        .map_err(|error| Error::from_rusqlite(error, &path.to_string_lossy()))?;
    prepare(Database::adopt(connection, shares_cache))
}

/// A private database in memory.
pub fn memory() -> Result<Arc<Database>> {
    file(Path::new(":memory:"), false, false)
}

/// What every connection gets, whoever opened it: foreign keys off as in the stdlib (the compile option
/// says the same, but holds only where `.cargo/config.toml` was read), and the yielding progress handler.
pub fn prepare(database: Arc<Database>) -> Result<Arc<Database>> {
    let guard = database.lock();
    guard.config(ffi::SQLITE_DBCONFIG_ENABLE_FKEY, 0)?;
    guard.config(ffi::SQLITE_DBCONFIG_ENABLE_TRIGGER as c_int, 1)?;
    guard.install_yield();
    drop(guard);
    warn_if_unisolated();
    Ok(database)
}

/// Say once that another copy of SQLite in this process endangers a file.
fn warn_if_unisolated() {
    static SAID: Once = Once::new();
    if SAID.is_completed() {
        return;
    }
    if let Some(why) = vfs::unisolated() {
        SAID.call_once(|| {
            log::warn!(
                target: "dbmanager::locks",
                "the stdlib's sqlite3 must not open a file in the same process as dbmanager: {why}, so each can \
                 drop and overlook the other's locks"
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_fails_at_once_with_sqlites_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let Err(Error::Sqlite(failure)) = file(folder.path(), false, false) else {
            panic!("a directory can't be opened");
        };
        assert_eq!(failure.message, "unable to open database file");
        assert_eq!(failure.primary_code(), ffi::SQLITE_CANTOPEN);
    }
}
