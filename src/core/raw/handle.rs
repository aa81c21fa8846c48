//! What a locked connection is asked and told: errors, transactions, limits, options, its files, statements without rows.

use super::database::LockGuard;
use crate::core::error::{Error, Result, SqliteFailure};
use crate::core::text::effect::Alone;
use crate::core::text::{self, Effect, Terminated};
use crate::core::vfs::{self, Traces};
use rusqlite::ffi;
use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::ptr;
use std::time::Duration;

impl LockGuard<'_> {
    /// The error that the last failed call left on the connection.
    pub fn last_failure(&self) -> SqliteFailure {
        // SAFETY: the handle is open; errmsg is copied before anything else is called on it.
        unsafe {
            SqliteFailure {
                extended_code: ffi::sqlite3_extended_errcode(self.handle()),
                message: CStr::from_ptr(ffi::sqlite3_errmsg(self.handle()))
                    .to_string_lossy()
                    .into_owned(),
            }
        }
    }

    /// The last failure, which compiling or running `sql` caused, with an explanation if we have one.
    pub(super) fn failure_of(&self, sql: &str) -> SqliteFailure {
        // SAFETY: the handle is open; -1 when the error has no place in a text.
        let offset = unsafe { ffi::sqlite3_error_offset(self.handle()) };
        let mut failure = self.last_failure();
        if let Ok(offset) = usize::try_from(offset)
            && text::limits_a_change(sql, offset)
        {
            failure.message.push_str(text::LIMITED_CHANGE);
        }
        failure
    }

    /// `Ok` for SQLITE_OK, else the connection's last failure.
    pub fn check(&self, code: c_int) -> Result<()> {
        if code == ffi::SQLITE_OK {
            Ok(())
        } else {
            let failure = self.last_failure();
            if failure.extended_code == ffi::SQLITE_OK {
                // Some calls give a code and leave the connection without an error.
                return Err(Error::Sqlite(SqliteFailure::from_code(code)));
            }
            Err(Error::Sqlite(failure))
        }
    }

    /// Whether no transaction is open.
    #[inline]
    pub fn is_autocommit(&self) -> bool {
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_get_autocommit(self.handle()) != 0 }
    }

    /// Rows changed by the last INSERT, UPDATE or DELETE.
    #[inline]
    pub fn changes(&self) -> i64 {
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_changes64(self.handle()) }
    }

    /// Rowid of the last successful INSERT on this connection.
    #[inline]
    pub fn last_insert_rowid(&self) -> i64 {
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_last_insert_rowid(self.handle()) }
    }

    /// Set SQLite's own busy handler: wait up to `patience` for locks of other connections.
    pub fn set_busy_timeout(&self, patience: Duration) {
        let milliseconds = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the handle is open; the call cannot fail on a valid handle.
        unsafe { ffi::sqlite3_busy_timeout(self.handle(), milliseconds) };
    }

    /// Forget the pages that are in memory, so that they are read anew.
    pub fn forget_pages(&self) {
        // SQLite frees what no statement uses: all of them between two transactions.
        // SAFETY: the handle is open.
        unsafe { ffi::sqlite3_db_release_memory(self.handle()) };
    }

    /// Read (`value < 0`) or set a run-time limit; returns the previous value, or -1 for an unknown one.
    pub fn limit(&self, category: c_int, value: c_int) -> c_int {
        if value >= 0 {
            self.note_limit(category);
        }
        // SAFETY: the handle is open; unknown categories give -1.
        unsafe { ffi::sqlite3_limit(self.handle(), category, value) }
    }

    /// Read (`value` -1) or set (0, 1) a boolean `SQLITE_DBCONFIG_*` option; returns its state after.
    pub fn config(&self, option: c_int, value: c_int) -> Result<bool> {
        if value >= 0 {
            self.database().taint();
        }
        let mut state: c_int = 0;
        // SAFETY: every option that the bindings let through takes an int and an int pointer.
        let code = unsafe {
            ffi::sqlite3_db_config(self.handle(), option, value, ptr::from_mut(&mut state))
        };
        if code == ffi::SQLITE_OK {
            Ok(state != 0)
        } else {
            Err(Error::Sqlite(SqliteFailure::from_code(code)))
        }
    }

    /// Allow or forbid `load_extension`, in C and in SQL.
    pub fn enable_load_extension(&self, enable: bool) -> Result<()> {
        self.database().taint();
        // SAFETY: the handle is open.
        let code =
            unsafe { ffi::sqlite3_enable_load_extension(self.handle(), c_int::from(enable)) };
        self.check(code)
    }

    /// Load a shared library as an extension. The error is the loader's message.
    pub fn load_extension(&self, path: &CStr, entry: Option<&CStr>) -> Result<(), String> {
        let mut message: *mut c_char = ptr::null_mut();
        let entry = entry.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the strings live across the call; the message, if any, is freed below.
        let code = unsafe {
            ffi::sqlite3_load_extension(self.handle(), path.as_ptr(), entry, &mut message)
        };
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        if message.is_null() {
            return Err(self.last_failure().message);
        }
        // SAFETY: SQLite gave a NUL-terminated string that is ours to free.
        let text = unsafe { CStr::from_ptr(message) }
            .to_string_lossy()
            .into_owned();
        // SAFETY: see above.
        unsafe { ffi::sqlite3_free(message.cast()) };
        Err(text)
    }

    /// Run statements without parameters or results. The text may hold several.
    pub fn execute_batch(&self, sql: &CStr) -> Result<()> {
        // SAFETY: the handle is open, the text NUL-terminated, no callback and no message wanted.
        let code = unsafe {
            ffi::sqlite3_exec(
                self.handle(),
                sql.as_ptr(),
                None,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.check(code)
    }

    /// Run the first statement of a text to its end and give the rest of the text.
    pub fn run_first<'t>(&self, sql: Terminated<'t>) -> Result<Terminated<'t>> {
        let mut raw = ptr::null_mut();
        let mut tail: *const c_char = ptr::null();
        // SAFETY: the text is valid for its length and the NUL behind it; the statement, if any, is finalized below.
        let mut code = unsafe {
            ffi::sqlite3_prepare_v2(
                self.handle(),
                sql.as_c_char(),
                sql.length_with_nul(),
                &mut raw,
                &mut tail,
            )
        };
        let consumed = (tail as usize).saturating_sub(sql.as_c_char() as usize);
        let rest = sql.rest(consumed);
        let first = match code {
            ffi::SQLITE_OK => sql.before(rest),
            _ => sql.as_str(),
        };
        let effect = Effect::of(first, text::leading_keyword(first));
        self.database().note(effect.and(Effect::WROTE));
        if code == ffi::SQLITE_OK {
            // SAFETY: a statement of this open handle, or null; it is used by nobody else.
            code = unsafe {
                while ffi::sqlite3_step(raw) == ffi::SQLITE_ROW {}
                ffi::sqlite3_finalize(raw)
            };
        }
        match code {
            ffi::SQLITE_OK => Ok(rest),
            _ => Err(Error::Sqlite(self.failure_of(&sql))),
        }
    }

    /// Bring all that was committed from the WAL into the file and empty the WAL, if there is one.
    pub fn checkpoint(&self) -> Result<()> {
        // SAFETY: the handle is open; the counts of frames are not asked for.
        let code = unsafe {
            ffi::sqlite3_wal_checkpoint_v2(
                self.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_CHECKPOINT_TRUNCATE,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        self.check(code)
    }

    /// Whether the path by which the file was opened names another file now, or none.
    pub fn has_moved(&self) -> bool {
        self.file_control(ffi::SQLITE_FCNTL_HAS_MOVED, 0) == Some(1)
    }

    /// The patience of SQLite's own busy handler; None if it can't be asked.
    pub fn busy_timeout(&self) -> Option<Duration> {
        let sql = c"PRAGMA busy_timeout";
        let mut raw = ptr::null_mut();
        // SAFETY: the handle is open, the text NUL-terminated, its rest not asked for.
        unsafe {
            ffi::sqlite3_prepare_v2(self.handle(), sql.as_ptr(), -1, &mut raw, ptr::null_mut())
        };
        // SAFETY: null or the statement of just now, of this open handle; null is allowed in all of these.
        let milliseconds = unsafe {
            let row = ffi::sqlite3_step(raw) == ffi::SQLITE_ROW;
            let value = row.then(|| ffi::sqlite3_column_int64(raw, 0));
            ffi::sqlite3_finalize(raw);
            value
        };
        milliseconds.map(|value| Duration::from_millis(value.max(0) as u64))
    }

    /// Note that SQLite may know the schema from the time of an earlier user.
    pub fn doubt_schema(&self) {
        self.database().schema_is_of_before().set(true);
    }

    /// Have SQLite see that others changed the schema, once for each user; tell whether it looked.
    pub fn read_schema_anew(&self) -> bool {
        if !self.database().schema_is_of_before().replace(false) {
            return false;
        }
        let sql = c"SELECT 1 FROM main.sqlite_schema LIMIT 0";
        let mut raw = ptr::null_mut();
        // SAFETY: the handle is open, the text NUL-terminated, its rest not asked for; null is allowed in the others.
        unsafe {
            ffi::sqlite3_prepare_v2(self.handle(), sql.as_ptr(), -1, &mut raw, ptr::null_mut());
            let code = ffi::sqlite3_step(raw);
            ffi::sqlite3_finalize(raw);
            code == ffi::SQLITE_DONE
        }
    }

    /// Whether a transaction that reads or writes is open in any of the databases.
    pub fn has_transaction(&self) -> bool {
        // SAFETY: the handle is open; null stands for all databases.
        unsafe { ffi::sqlite3_txn_state(self.handle(), ptr::null()) > ffi::SQLITE_TXN_NONE }
    }

    /// Whether a transaction writes to the main database.
    pub fn is_writing(&self) -> bool {
        // SAFETY: the handle is open, the name NUL-terminated.
        unsafe { ffi::sqlite3_txn_state(self.handle(), c"main".as_ptr()) == ffi::SQLITE_TXN_WRITE }
    }

    /// Roll back instead of committing, however that is asked for, when the file is not at its path any more: nobody
    /// would find there what is committed, and the journal beside the path is another file's.
    pub fn refuse_commits_when_moved(&self) {
        // SAFETY: the handle is open, and the hook ends with it.
        unsafe {
            let handle = self.handle();
            ffi::sqlite3_commit_hook(handle, Some(has_moved_at_commit), handle.cast());
        }
    }

    /// Leave the database and its `-wal` file as they are when the handle is closed.
    pub fn close_without_checkpoint(&self) {
        // SAFETY: the handle is open; this option takes an int and a pointer that may be null.
        unsafe {
            let nowhere = ptr::null_mut::<c_int>();
            let option = ffi::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
            ffi::sqlite3_db_config(self.handle(), option, 1, nowhere);
        }
        self.close();
    }

    /// What this connection did with the file of its main database since it was last asked; None if it has none.
    pub fn take_traces(&self) -> Option<Traces> {
        // SAFETY: null or an open file; the handle is locked.
        unsafe { vfs::take_traces(self.file()) }
    }

    /// Whether the `-wal` file that this connection has open is still there; None if it has none open.
    #[inline]
    pub fn wal_is_there(&self) -> Option<bool> {
        // SAFETY: as for `take_traces`.
        unsafe { vfs::wal_has_name(self.file()) }
    }

    /// Whether somebody else closed the descriptor of the main database's file.
    #[inline]
    pub fn is_lost(&self) -> bool {
        // SAFETY: as for `take_traces`.
        unsafe { vfs::is_lost(self.file()) }
    }

    /// Remember how the WAL is, for `wal_is_as_left`.
    pub fn remember_wal(&self) {
        // SAFETY: as for `take_traces`.
        unsafe { vfs::remember_wal(self.file()) };
    }

    /// Whether there is something in the WAL, and nobody has written to it since `remember_wal`.
    pub fn wal_is_as_left(&self) -> bool {
        // SAFETY: as for `take_traces`.
        unsafe { vfs::wal_is_as_left(self.file()) }
    }

    /// Say that the next transaction of the main database will write.
    #[inline]
    pub fn expect_write(&self) {
        // SAFETY: as for `take_traces`.
        unsafe { vfs::expect_write(self.file()) };
    }

    /// The file of the main database; null if it has none.
    fn file(&self) -> *mut ffi::sqlite3_file {
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: the handle is open and locked; the operation takes a pointer to a pointer.
        let code = unsafe {
            ffi::sqlite3_file_control(
                self.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                ptr::from_mut(&mut file).cast(),
            )
        };
        match code {
            ffi::SQLITE_OK => file,
            _ => ptr::null_mut(),
        }
    }

    /// A file control of the main database that takes and gives an int; None if the file knows no such control.
    fn file_control(&self, operation: c_int, value: c_int) -> Option<c_int> {
        let mut value = value;
        // SAFETY: the handle is open; the operations above take a pointer to an int.
        let code = unsafe {
            ffi::sqlite3_file_control(
                self.handle(),
                c"main".as_ptr(),
                operation,
                ptr::from_mut(&mut value).cast(),
            )
        };
        (code == ffi::SQLITE_OK).then_some(value)
    }

    /// The name of the file behind a schema (`main`, `temp` or an attached name); empty for memory.
    pub fn file_name(&self, schema: &CStr) -> Option<CString> {
        // SAFETY: the handle is open; the name is copied at once.
        unsafe {
            let name = ffi::sqlite3_db_filename(self.handle(), schema.as_ptr());
            (!name.is_null()).then(|| CStr::from_ptr(name).to_owned())
        }
    }

    /// The paths of its files: of one schema, or of all.
    pub fn files(&self, wanted: &Alone) -> Vec<PathBuf> {
        let names = match wanted {
            Alone::Schema(name) => CString::new(&**name).into_iter().collect(),
            Alone::All => self.schemas(),
        };
        let files = names.iter().filter_map(|name| self.file_name(name));
        files
            .filter(|file| !file.is_empty())
            .map(|file| PathBuf::from(OsString::from_vec(file.into_bytes())))
            .collect()
    }

    /// The names of its schemas, attached ones too.
    fn schemas(&self) -> Vec<CString> {
        let name = |index| {
            // SAFETY: the handle is open; the name is copied at once, and null behind the last one.
            unsafe {
                let name = ffi::sqlite3_db_name(self.handle(), index);
                (!name.is_null()).then(|| CStr::from_ptr(name).to_owned())
            }
        };
        (0..).map_while(name).collect()
    }
}

/// The hook of a commit: anything but 0 turns it into a rollback.
unsafe extern "C" fn has_moved_at_commit(handle: *mut c_void) -> c_int {
    let mut moved: c_int = 0;
    // SAFETY: the handle that the hook was installed on, which is committing; asking changes nothing on it.
    unsafe {
        ffi::sqlite3_file_control(
            handle.cast(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_HAS_MOVED,
            (&raw mut moved).cast(),
        );
    }
    moved
}
