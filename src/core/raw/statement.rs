//! `Statement`: a prepared statement that lives as long as a cursor needs it.
//!
//! A DB-API cursor outlives any borrow of its connection, so this handle shares ownership of the
//! `Database` instead of borrowing it as rusqlite's `Statement` does. `Database::close` finalizes all
//! statements of a connection; afterwards `is_live` is false and every call here is refused or a no-op.

use super::database::{Database, LockGuard};
use crate::core::error::{Error, SqliteFailure};
use crate::core::text::effect::{Alone, asks_journal_mode, can_be_undone, optimizes, wants_alone};
use crate::core::text::{self, Effect, Keyword, Terminated};
use crate::core::vfs;
use rusqlite::ffi;
use std::any::{Any, TypeId};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::slice;
use std::sync::Arc;

/// Why a text could not become exactly one statement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// Longer than the connection's SQLITE_LIMIT_SQL_LENGTH.
    #[error("query string is too large")]
    TooLarge,
    /// A NUL byte within the text.
    #[error("the query contains a null character")]
    ContainsNul,
    /// More than one statement.
    #[error("You can only execute one statement at a time.")]
    Multiple,
    /// The connection is closed.
    #[error("{0}")]
    Closed(Box<Error>),
    /// SQLite's parser or a callback of it said no.
    #[error(transparent)]
    Sqlite(#[from] SqliteFailure),
}

impl From<PrepareError> for Error {
    fn from(error: PrepareError) -> Self {
        match error {
            PrepareError::Sqlite(failure) => Error::Sqlite(failure),
            PrepareError::Closed(why) => *why,
            other => Error::Sqlite(SqliteFailure {
                extended_code: ffi::SQLITE_MISUSE,
                message: other.to_string(),
            }),
        }
    }
}

/// What one step gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A row is ready.
    Row,
    /// The statement has finished.
    Done,
    /// It failed with this (extended) code; `LockGuard::last_failure` has the words.
    Failed(c_int),
}

impl Step {
    #[inline]
    fn from_code(code: c_int) -> Self {
        match code {
            ffi::SQLITE_ROW => Step::Row,
            ffi::SQLITE_DONE => Step::Done,
            other => Step::Failed(other),
        }
    }
}

/// A value of the current row, borrowed until the statement moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColumnValue<'a> {
    /// NULL
    Null,
    /// INTEGER
    Integer(i64),
    /// REAL
    Real(f64),
    /// TEXT, in UTF-8 unless the database holds invalid text
    Text(&'a [u8]),
    /// BLOB
    Blob(&'a [u8]),
    /// SQLite could not allocate the value
    NoMemory,
}

impl ColumnValue<'_> {
    /// Read an SQLite value; the result borrows SQLite's memory.
    ///
    /// # Safety
    /// `value` is valid for `'a` and not changed or converted meanwhile.
    #[inline(always)]
    pub unsafe fn read<'a>(value: *mut ffi::sqlite3_value) -> ColumnValue<'a> {
        // SAFETY: the caller gives a valid value; text and blob are read before their length, as
        // https://sqlite.org/c3ref/value_blob.html asks for.
        unsafe {
            match ffi::sqlite3_value_type(value) {
                ffi::SQLITE_INTEGER => ColumnValue::Integer(ffi::sqlite3_value_int64(value)),
                ffi::SQLITE_FLOAT => ColumnValue::Real(ffi::sqlite3_value_double(value)),
                ffi::SQLITE_TEXT => {
                    let data = ffi::sqlite3_value_text(value);
                    if data.is_null() {
                        return ColumnValue::NoMemory;
                    }
                    let length = ffi::sqlite3_value_bytes(value) as usize;
                    ColumnValue::Text(slice::from_raw_parts(data, length))
                }
                ffi::SQLITE_BLOB => {
                    let data = ffi::sqlite3_value_blob(value);
                    let length = ffi::sqlite3_value_bytes(value) as usize;
                    if length == 0 {
                        return ColumnValue::Blob(&[]);
                    }
                    if data.is_null() {
                        return ColumnValue::NoMemory;
                    }
                    ColumnValue::Blob(slice::from_raw_parts(data.cast(), length))
                }
                _ => ColumnValue::Null,
            }
        }
    }
}

/// What someone else keeps with a statement. Its type is kept beside it, because to ask the value for it costs more.
struct Attachment {
    kind: TypeId,
    value: Box<dyn Any + Send>,
}

/// A prepared statement and what is known about it without asking SQLite again.
pub struct Statement {
    database: Arc<Database>,
    raw: *mut ffi::sqlite3_stmt,
    keyword: Keyword,
    readonly: bool,
    can_be_undone: bool,
    effect: Effect,
    /// The files to which idle connections of pools are in its way.
    wants_alone: Option<Alone>,
    parameter_count: c_int,
    has_names: bool,
    one_long_operation: bool,
    /// Where the statement cache keeps its place, see `core::sqlite::cache`.
    pub(in crate::core) home: Cell<u64>,
    /// What the bindings remember about this statement.
    attachment: Option<Attachment>,
}

// SAFETY: all use of `raw` happens under the database's lock; the rest is plain data.
unsafe impl Send for Statement {}

impl Statement {
    /// Compile one statement.
    pub fn prepare(database: &Arc<Database>, sql: &str) -> Result<Self, PrepareError> {
        let guard = database.lock();
        let sql = CString::new(sql).map_err(|_| PrepareError::ContainsNul)?;
        match Terminated::of(&sql) {
            Some(sql) => Self::prepare_locked(database, &guard, sql),
            None => unreachable!("the text was a str"),
        }
    }

    /// Compile one statement, the lock being held.
    pub fn prepare_locked(
        database: &Arc<Database>,
        guard: &LockGuard<'_>,
        sql: Terminated<'_>,
    ) -> Result<Self, PrepareError> {
        if sql.len() > guard.limit(ffi::SQLITE_LIMIT_SQL_LENGTH, -1) as usize {
            return Err(PrepareError::TooLarge);
        }
        if sql.as_bytes().contains(&0) {
            return Err(PrepareError::ContainsNul);
        }
        let (statement, rest) = Self::prepare_first(database, guard, sql)?;
        if !text::is_blank(&rest) {
            return Err(PrepareError::Multiple);
        }
        Ok(statement)
    }

    /// Compile the first statement of a text, which holds no NUL and is not too long. Gives the rest, too.
    pub fn prepare_first<'t>(
        database: &Arc<Database>,
        guard: &LockGuard<'_>,
        sql: Terminated<'t>,
    ) -> Result<(Self, Terminated<'t>), PrepareError> {
        if !database.is_open() {
            return Err(PrepareError::Closed(Box::new(database.why_closed())));
        }
        let mut raw = ptr::null_mut();
        let mut tail: *const c_char = ptr::null();
        // SAFETY: the text is valid for its length and the NUL behind it; SQLite copies what it needs.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(
                guard.handle(),
                sql.as_c_char(),
                sql.length_with_nul(),
                &mut raw,
                &mut tail,
            )
        };
        if code != ffi::SQLITE_OK {
            // It may have taken effect all the same.
            database.note(Effect::of(&sql, text::leading_keyword(&sql)));
            return Err(PrepareError::Sqlite(guard.failure_of(&sql)));
        }
        // From here on `Drop` finalizes the statement.
        guard.adopt_statement(raw);
        let rest = sql.rest((tail as usize).saturating_sub(sql.as_c_char() as usize));
        Ok((Self::adopt(database, guard, raw, sql.before(rest)), rest))
    }

    /// A statement that was just compiled of a text.
    fn adopt(
        database: &Arc<Database>,
        guard: &LockGuard<'_>,
        raw: *mut ffi::sqlite3_stmt,
        sql: &str,
    ) -> Self {
        let keyword = text::leading_keyword(sql);
        let mut effect = Effect::of(sql, keyword);
        // Now, and again when it runs: many pragmas take effect while they are compiled.
        database.note(effect);
        // SAFETY: NULL is allowed and counts as read-only.
        let readonly = match unsafe { ffi::sqlite3_stmt_readonly(raw) != 0 } {
            true => keyword != Keyword::Other || !optimizes(sql),
            false => keyword == Keyword::Other && asks_journal_mode(sql),
        };
        if !readonly {
            effect = effect.and(Effect::WROTE);
        }
        let mut statement = Self {
            database: Arc::clone(database),
            raw,
            keyword,
            readonly,
            can_be_undone: !readonly && can_be_undone(sql),
            effect,
            // SAFETY: NULL is allowed and has no parameters.
            parameter_count: unsafe { ffi::sqlite3_bind_parameter_count(raw) },
            has_names: false,
            one_long_operation: text::may_be_one_long_operation(sql),
            wants_alone: match keyword {
                Keyword::Other => wants_alone(sql),
                _ => None,
            },
            home: Cell::new(0),
            attachment: None,
        };
        statement.has_names = (1..=statement.parameter_count).any(|index| {
            let name = statement.parameter_name(guard, index);
            name.is_some_and(|name| name.to_bytes().first() != Some(&b'?'))
        });
        statement
    }

    /// The database it was prepared on.
    #[inline]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Whether the connection is still open, so that the statement may be used.
    #[inline]
    pub fn is_live(&self) -> bool {
        self.database.is_open()
    }

    /// The files to which connections that nobody uses are in its way.
    #[inline]
    pub fn wants_alone(&self) -> Option<&Alone> {
        self.wants_alone.as_ref()
    }

    /// Whether the text held no statement (blank or only comments).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.raw.is_null()
    }

    /// Its text with the values that are bound; None if there is none, or no memory for it.
    pub fn expanded(&self, _guard: &LockGuard<'_>) -> Option<String> {
        if !self.is_live() {
            return None;
        }
        // SAFETY: the statement is alive, under its lock, or null, which gives null; the text is ours to free.
        unsafe {
            let text = ffi::sqlite3_expanded_sql(self.raw);
            (!text.is_null()).then(|| {
                let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
                ffi::sqlite3_free(text.cast());
                owned
            })
        }
    }

    /// The statement's first word.
    #[inline]
    pub fn keyword(&self) -> Keyword {
        self.keyword
    }

    /// Whether it starts with INSERT, UPDATE, DELETE or REPLACE.
    #[inline]
    pub fn is_dml(&self) -> bool {
        self.keyword == Keyword::Dml
    }

    /// `sqlite3_stmt_readonly`, but for the question for the journal mode and `PRAGMA optimize`; note that it is true for COMMIT.
    #[inline]
    pub fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// Whether it writes what a transaction can undo.
    #[inline]
    pub fn can_be_undone(&self) -> bool {
        self.can_be_undone
    }

    /// Whether it is an EXPLAIN: it tells what another statement would do.
    pub fn is_explained(&self) -> bool {
        // SAFETY: the statement is alive unless its database was closed, and null is allowed.
        self.is_live() && unsafe { ffi::sqlite3_stmt_isexplain(self.raw) > 0 }
    }

    /// Whether it may be one long operation, in the midst of which nothing ticks.
    #[inline]
    pub fn may_be_one_long_operation(&self) -> bool {
        self.one_long_operation
    }

    /// Number of parameters to bind.
    #[inline]
    pub fn parameter_count(&self) -> c_int {
        self.parameter_count
    }

    /// Whether any parameter has a name (`:a`, `@a`, `$a`), not only a number.
    #[inline]
    pub fn has_names(&self) -> bool {
        self.has_names
    }

    /// What the bindings stored with the statement.
    #[inline]
    pub fn attachment<T: Any>(&self) -> Option<&T> {
        let attachment = self.attachment.as_ref()?;
        // SAFETY: it is of the type that was asked for.
        (attachment.kind == TypeId::of::<T>())
            .then(|| unsafe { &*ptr::from_ref(&*attachment.value).cast() })
    }

    /// What the bindings remember about this statement, made anew if it is not of this type.
    pub fn attachment_or_default<T: Any + Send + Default>(&mut self) -> &mut T {
        let attachment = self.attachment.take();
        let attachment = attachment.filter(|attachment| attachment.kind == TypeId::of::<T>());
        let attachment = self
            .attachment
            .insert(attachment.unwrap_or_else(|| Attachment {
                kind: TypeId::of::<T>(),
                value: Box::<T>::default(),
            }));
        match attachment.value.downcast_mut() {
            Some(value) => value,
            None => unreachable!("the attachment was found to be of this type"),
        }
    }

    /// Name of a parameter with its prefix (`:a`, `@a`, `$a`, `?1`); None for a plain `?`.
    pub fn parameter_name(&self, _guard: &LockGuard<'_>, index: c_int) -> Option<&CStr> {
        // SAFETY: live statement under its lock; the name lives as long as the statement.
        unsafe {
            let name = ffi::sqlite3_bind_parameter_name(self.raw, index);
            (!name.is_null()).then(|| CStr::from_ptr(name))
        }
    }

    /// Bind NULL to a parameter (1-based).
    #[inline]
    pub fn bind_null(&self, _guard: &LockGuard<'_>, index: c_int) -> c_int {
        // SAFETY: live statement under its lock.
        unsafe { ffi::sqlite3_bind_null(self.raw, index) }
    }

    /// Bind an INTEGER.
    #[inline]
    pub fn bind_integer(&self, _guard: &LockGuard<'_>, index: c_int, value: i64) -> c_int {
        // SAFETY: live statement under its lock.
        unsafe { ffi::sqlite3_bind_int64(self.raw, index, value) }
    }

    /// Bind a REAL.
    #[inline]
    pub fn bind_real(&self, _guard: &LockGuard<'_>, index: c_int, value: f64) -> c_int {
        // SAFETY: live statement under its lock.
        unsafe { ffi::sqlite3_bind_double(self.raw, index, value) }
    }

    /// Bind TEXT without a copy.
    ///
    /// # Safety
    /// `value` stays unchanged and alive until the parameter is bound anew or the statement was reset
    /// and is stepped no more.
    #[inline]
    pub unsafe fn bind_text_borrowed(
        &self,
        _guard: &LockGuard<'_>,
        index: c_int,
        value: &[u8],
    ) -> c_int {
        // SAFETY: live statement under its lock; the caller keeps the text alive.
        unsafe {
            ffi::sqlite3_bind_text64(
                self.raw,
                index,
                value.as_ptr().cast(),
                value.len() as u64,
                ffi::SQLITE_STATIC(),
                ffi::SQLITE_UTF8 as u8,
            )
        }
    }

    /// Bind a BLOB without a copy.
    ///
    /// # Safety
    /// As for `bind_text_borrowed`.
    #[inline]
    pub unsafe fn bind_blob_borrowed(
        &self,
        _guard: &LockGuard<'_>,
        index: c_int,
        value: &[u8],
    ) -> c_int {
        // SAFETY: live statement under its lock; the caller keeps the bytes alive. An empty slice has a
        // dangling but non-null pointer, which SQLite takes for an empty blob and not for NULL.
        unsafe {
            ffi::sqlite3_bind_blob64(
                self.raw,
                index,
                value.as_ptr().cast(),
                value.len() as u64,
                ffi::SQLITE_STATIC(),
            )
        }
    }

    /// Bind TEXT, copied by SQLite.
    pub fn bind_text(&self, _guard: &LockGuard<'_>, index: c_int, value: &[u8]) -> c_int {
        // SAFETY: live statement under its lock; SQLite copies before it returns.
        unsafe {
            ffi::sqlite3_bind_text64(
                self.raw,
                index,
                value.as_ptr().cast(),
                value.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                ffi::SQLITE_UTF8 as u8,
            )
        }
    }

    /// Bind a BLOB, copied by SQLite.
    pub fn bind_blob(&self, _guard: &LockGuard<'_>, index: c_int, value: &[u8]) -> c_int {
        // SAFETY: live statement under its lock; SQLite copies before it returns.
        unsafe {
            ffi::sqlite3_bind_blob64(
                self.raw,
                index,
                value.as_ptr().cast(),
                value.len() as u64,
                ffi::SQLITE_TRANSIENT(),
            )
        }
    }

    /// Bind NULL everywhere, letting go of borrowed values.
    pub fn clear_bindings(&self, _guard: &LockGuard<'_>) {
        // SAFETY: live statement under its lock.
        unsafe { ffi::sqlite3_clear_bindings(self.raw) };
    }

    /// Run to the next row. May call back into the bindings.
    #[inline]
    pub fn step(&self, guard: &LockGuard<'_>) -> Step {
        if self.raw.is_null() {
            return Step::Done;
        }
        guard.database().ticks().set(0);
        if !self.effect.is_none() {
            guard.database().note(self.effect);
            if guard.database().attaches_for_reading().get() {
                // SAFETY: as below.
                let step = || unsafe { ffi::sqlite3_step(self.raw) };
                return Step::from_code(vfs::opening_for_reading(step));
            }
        }
        // SAFETY: live statement under its lock.
        Step::from_code(unsafe { ffi::sqlite3_step(self.raw) })
    }

    /// Back to the start; values of the current row become invalid.
    #[inline]
    pub fn reset(&self, _guard: &LockGuard<'_>) -> c_int {
        // SAFETY: live statement under its lock; NULL is a no-op.
        unsafe { ffi::sqlite3_reset(self.raw) }
    }

    /// Whether it is in the middle of its rows.
    #[inline]
    pub fn is_busy(&self, _guard: &LockGuard<'_>) -> bool {
        // SAFETY: live statement under its lock.
        unsafe { ffi::sqlite3_stmt_busy(self.raw) != 0 }
    }

    /// Columns of the result, 0 for statements that return none.
    #[inline]
    pub fn column_count(&self, _guard: &LockGuard<'_>) -> c_int {
        // SAFETY: live statement under its lock; NULL gives 0.
        unsafe { ffi::sqlite3_column_count(self.raw) }
    }

    /// Columns of the current row, 0 if there is none.
    #[inline]
    pub fn data_count(&self, _guard: &LockGuard<'_>) -> c_int {
        // SAFETY: live statement under its lock; NULL gives 0.
        unsafe { ffi::sqlite3_data_count(self.raw) }
    }

    /// How often a schema change made SQLite compile the text anew.
    #[inline]
    pub fn reprepare_count(&self, _guard: &LockGuard<'_>) -> c_int {
        if self.raw.is_null() {
            return 0;
        }
        // SAFETY: live statement under its lock; the counter is only read.
        unsafe { ffi::sqlite3_stmt_status(self.raw, ffi::SQLITE_STMTSTATUS_REPREPARE, 0) }
    }

    /// Name of a result column (0-based), copied; None when memory ran out.
    pub fn column_name(&self, _guard: &LockGuard<'_>, index: c_int) -> Option<CString> {
        // SAFETY: live statement under its lock; the name is copied before any other call.
        unsafe { copied(ffi::sqlite3_column_name(self.raw, index)) }
    }

    /// Whether a result column is a table's column of this very name.
    pub fn column_is_named(&self, _guard: &LockGuard<'_>, index: c_int, name: &CStr) -> bool {
        // SAFETY: live statement under its lock; the name is compared before any other call.
        unsafe {
            let origin = ffi::sqlite3_column_origin_name(self.raw, index);
            !origin.is_null() && CStr::from_ptr(origin) == name
        }
    }

    /// Declared type of a result column; None for an expression.
    pub fn column_decltype(&self, _guard: &LockGuard<'_>, index: c_int) -> Option<CString> {
        // SAFETY: live statement under its lock; the name is copied before any other call.
        unsafe { copied(ffi::sqlite3_column_decltype(self.raw, index)) }
    }

    /// A value of the current row (0-based).
    #[inline]
    pub fn column<'s>(&'s self, _guard: &'s LockGuard<'_>, index: c_int) -> ColumnValue<'s> {
        // SAFETY: live statement under its lock with a current row; the value lives until the next
        // step or reset, which need the guard that the result borrows.
        unsafe { ColumnValue::read(ffi::sqlite3_column_value(self.raw, index)) }
    }

    /// Bytes of the texts and BLOBs in the current row.
    pub fn row_bytes(&self, guard: &LockGuard<'_>) -> usize {
        let length = |index| match self.column(guard, index) {
            ColumnValue::Text(bytes) | ColumnValue::Blob(bytes) => bytes.len(),
            _ => 0,
        };
        (0..self.data_count(guard)).map(length).sum()
    }

    /// A value of the current row as bytes, whatever its type; None for NULL.
    pub fn column_as_blob<'s>(
        &'s self,
        _guard: &'s LockGuard<'_>,
        index: c_int,
    ) -> Option<&'s [u8]> {
        // SAFETY: as for `column`; the blob is asked for before its length.
        unsafe {
            let data = ffi::sqlite3_column_blob(self.raw, index);
            if data.is_null() {
                return None;
            }
            let length = ffi::sqlite3_column_bytes(self.raw, index) as usize;
            Some(slice::from_raw_parts(data.cast(), length))
        }
    }
}

/// Copy a C string of SQLite's.
///
/// # Safety
/// `text` is NULL or a valid C string.
unsafe fn copied(text: *const c_char) -> Option<CString> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_owned())
}

impl Drop for Statement {
    fn drop(&mut self) {
        if !self.raw.is_null() && self.database.is_open() {
            self.database.release_statement(self.raw);
        }
    }
}
