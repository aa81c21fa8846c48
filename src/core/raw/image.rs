//! Whole databases as bytes: `sqlite3_serialize` and `sqlite3_deserialize`.

use super::database::LockGuard;
use crate::core::error::{Error, Result, SqliteFailure};
use rusqlite::ffi;
use std::ffi::{CStr, c_uchar};
use std::ptr;
use std::slice;

/// A database image; freed by SQLite when dropped unless it is SQLite's own memory.
pub struct Image {
    data: *mut c_uchar,
    length: usize,
    owned: bool,
}

impl Image {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: SQLite gave `length` bytes that live until we free them, or (not owned) while the
        // caller holds the lock under which the image was made.
        unsafe { slice::from_raw_parts(self.data, self.length) }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: memory of sqlite3_malloc that is ours.
            unsafe { ffi::sqlite3_free(self.data.cast()) };
        }
    }
}

impl LockGuard<'_> {
    /// The bytes of a schema as they would be in its file. None: no such schema, or no memory.
    pub fn serialize(&self, schema: &CStr) -> Option<Image> {
        let mut length: ffi::sqlite3_int64 = 0;
        // SAFETY: the handle is open. An in-memory database gives its own memory without a copy.
        let (mut data, mut owned) = unsafe {
            let data = ffi::sqlite3_serialize(
                self.handle(),
                schema.as_ptr(),
                &mut length,
                ffi::SQLITE_SERIALIZE_NOCOPY,
            );
            (data, false)
        };
        if data.is_null() {
            // SAFETY: as above; this memory is ours to free.
            data =
                unsafe { ffi::sqlite3_serialize(self.handle(), schema.as_ptr(), &mut length, 0) };
            owned = true;
        }
        (!data.is_null()).then_some(Image {
            data,
            length: length as usize,
            owned,
        })
    }

    /// Replace a schema by an image, kept in memory and resizeable.
    pub fn deserialize(&self, schema: &CStr, image: &[u8]) -> Result<()> {
        self.database().taint();
        // SAFETY: plain allocation; NULL is handled.
        let copy = unsafe { ffi::sqlite3_malloc64(image.len() as u64) }.cast::<c_uchar>();
        if copy.is_null() {
            return Err(Error::Sqlite(SqliteFailure::from_code(ffi::SQLITE_NOMEM)));
        }
        // SAFETY: the copy has room for the image; SQLite frees it, on failure too.
        let code = unsafe {
            ptr::copy_nonoverlapping(image.as_ptr(), copy, image.len());
            ffi::sqlite3_deserialize(
                self.handle(),
                schema.as_ptr(),
                copy,
                image.len() as i64,
                image.len() as i64,
                ffi::SQLITE_DESERIALIZE_FREEONCLOSE | ffi::SQLITE_DESERIALIZE_RESIZEABLE,
            )
        };
        self.check(code)
    }
}
