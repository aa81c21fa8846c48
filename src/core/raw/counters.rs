//! What a connection counts, for a connection that has one user after the other: each starts at nothing.

use super::database::{Database, LockGuard};
use crate::core::error::Result;
use rusqlite::ffi;
use std::ffi::{CStr, c_int, c_void};

impl LockGuard<'_> {
    /// Begin to count anew: `total_changes`, `changes()` and `last_insert_rowid()` are 0 from here on.
    pub fn start_counting(&self) {
        // SAFETY: the handle is open.
        unsafe {
            let before = ffi::sqlite3_total_changes64(self.handle());
            self.database().changes_before().set(before);
            ffi::sqlite3_set_last_insert_rowid(self.handle(), 0);
        }
    }

    /// Let the SQL functions `changes()` and `total_changes()` count from `start_counting` on. SQLite's own
    /// count from the opening, and can't be set back.
    pub fn install_counters(&self) -> Result<()> {
        self.install_counter(c"changes", changes)?;
        self.install_counter(c"total_changes", total_changes)
    }

    fn install_counter(&self, name: &CStr, function: Function) -> Result<()> {
        let data = std::ptr::from_ref(self.database()).cast_mut().cast();
        // SAFETY: the functions match their types; the database outlives its handle.
        let code = unsafe {
            ffi::sqlite3_create_function_v2(
                self.handle(),
                name.as_ptr(),
                0,
                ffi::SQLITE_UTF8 | ffi::SQLITE_INNOCUOUS,
                data,
                Some(function),
                None,
                None,
                None,
            )
        };
        self.check(code)
    }
}

type Function =
    unsafe extern "C" fn(*mut ffi::sqlite3_context, c_int, *mut *mut ffi::sqlite3_value);

/// Rows changed since `start_counting`.
///
/// # Safety
/// Called by SQLite as one of the functions above.
unsafe fn counted(context: *mut ffi::sqlite3_context) -> i64 {
    // SAFETY: the function's data is the database, which runs it and is locked.
    unsafe {
        let data: *mut c_void = ffi::sqlite3_user_data(context);
        let handle = ffi::sqlite3_context_db_handle(context);
        ffi::sqlite3_total_changes64(handle) - (*data.cast::<Database>()).changes_before().get()
    }
}

unsafe extern "C" fn total_changes(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: called by SQLite with a valid context.
    unsafe { ffi::sqlite3_result_int64(context, counted(context)) }
}

unsafe extern "C" fn changes(
    context: *mut ffi::sqlite3_context,
    _: c_int,
    _: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: called by SQLite with a valid context. As long as nothing was changed, the last change was
    // another user's.
    unsafe {
        let last = match counted(context) {
            0 => 0,
            _ => ffi::sqlite3_changes64(ffi::sqlite3_context_db_handle(context)),
        };
        ffi::sqlite3_result_int64(context, last);
    }
}
