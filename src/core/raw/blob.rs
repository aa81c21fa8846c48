//! Incremental BLOB I/O: a handle on one value of one row.

use super::database::{Database, LockGuard};
use crate::core::error::{Error, Result, SqliteFailure};
use crate::core::text::Effect;
use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

/// An open BLOB. Closed by `close`, by `Drop`, or through its connection's bindings before it closes.
pub struct Blob {
    database: Arc<Database>,
    raw: Cell<*mut ffi::sqlite3_blob>,
}

// SAFETY: all use of `raw` happens under the database's lock.
unsafe impl Send for Blob {}

impl Blob {
    /// Open the value of a row for reading, or for reading and writing.
    pub fn open(
        database: &Arc<Database>,
        guard: &LockGuard<'_>,
        schema: &CStr,
        table: &CStr,
        column: &CStr,
        row: i64,
        writable: bool,
    ) -> Result<Self> {
        let mut raw = ptr::null_mut();
        let mut open = || {
            // SAFETY: the handle is open and the names NUL-terminated.
            unsafe {
                ffi::sqlite3_blob_open(
                    guard.handle(),
                    schema.as_ptr(),
                    table.as_ptr(),
                    column.as_ptr(),
                    row,
                    c_int::from(writable),
                    &mut raw,
                )
            }
        };
        let mut code = open();
        if code & 0xff == ffi::SQLITE_ERROR && guard.read_schema_anew() {
            // Opening a BLOB does not see that others changed the schema, and a new connection would have read it.
            code = open();
        }
        if code == ffi::SQLITE_MISUSE {
            return Err(Error::Sqlite(SqliteFailure::from_code(code)));
        }
        guard.check(code)?;
        guard.adopt_blob(raw);
        Ok(Self {
            database: Arc::clone(database),
            raw: Cell::new(raw),
        })
    }

    /// Size in bytes; 0 once its row was changed behind it.
    pub fn length(&self, _guard: &LockGuard<'_>) -> c_int {
        // SAFETY: the blob is open under its lock; NULL gives 0.
        unsafe { ffi::sqlite3_blob_bytes(self.raw.get()) }
    }

    /// Whether it may still be used.
    pub fn is_open(&self) -> bool {
        !self.raw.get().is_null() && self.database.is_open()
    }

    /// Whether a parent of this process opened it, so that there is nothing to close here.
    pub fn is_inherited(&self) -> bool {
        self.database.is_inherited()
    }

    /// Fill `buffer` from `offset`; all of it if that succeeds.
    pub fn read(
        &self,
        guard: &LockGuard<'_>,
        buffer: &mut [MaybeUninit<u8>],
        offset: c_int,
    ) -> Result<()> {
        // SAFETY: the blob is open (null gives SQLITE_MISUSE), the buffer has the length we say.
        let code = unsafe {
            ffi::sqlite3_blob_read(
                self.raw.get(),
                buffer.as_mut_ptr().cast(),
                buffer.len() as c_int,
                offset,
            )
        };
        guard.check(code)
    }

    /// Write `data` at `offset`.
    pub fn write(&self, guard: &LockGuard<'_>, data: &[u8], offset: c_int) -> Result<()> {
        guard.database().note(Effect::WROTE);
        // SAFETY: as for `read`.
        let code = unsafe {
            ffi::sqlite3_blob_write(
                self.raw.get(),
                data.as_ptr().cast(),
                data.len() as c_int,
                offset,
            )
        };
        guard.check(code)
    }

    /// Close it; an error of a write that was put off is lost, as in the stdlib.
    pub fn close(&self, guard: &LockGuard<'_>) {
        guard.close_blob(self.raw.replace(ptr::null_mut()));
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if self.is_open() {
            self.database
                .release_blob(self.raw.replace(ptr::null_mut()));
        }
    }
}
