//! SQL functions implemented by the bindings: scalar, aggregate and window ones.
//!
//! Every callback catches panics at the C edge and turns them into an SQL error.

use super::database::LockGuard;
use super::edge::contain;
use super::statement::ColumnValue;
use crate::core::error::SqliteFailure;
use rusqlite::ffi;
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::slice;

/// The call in progress: where a function puts its result.
pub struct Context {
    raw: *mut ffi::sqlite3_context,
}

/// The arguments of a call.
pub struct Arguments<'a> {
    values: &'a [*mut ffi::sqlite3_value],
}

impl<'a> Arguments<'a> {
    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// One of them if it is an INTEGER. Panics if there are fewer.
    #[inline(always)]
    pub fn integer(&self, index: usize) -> Option<i64> {
        // SAFETY: SQLite's values are valid for the duration of the call.
        unsafe {
            let value = self.values[index];
            (ffi::sqlite3_value_type(value) == ffi::SQLITE_INTEGER)
                .then(|| ffi::sqlite3_value_int64(value))
        }
    }

    /// One of them. Panics if there are fewer.
    #[inline]
    pub fn get(&self, index: usize) -> ColumnValue<'a> {
        // SAFETY: SQLite's values are valid for the duration of the call, which `'a` stands for.
        unsafe { ColumnValue::read(self.values[index]) }
    }
}

impl Context {
    /// Return NULL.
    #[inline]
    pub fn result_null(&self) {
        // SAFETY: the context is valid during the call.
        unsafe { ffi::sqlite3_result_null(self.raw) }
    }

    /// Return an INTEGER.
    #[inline]
    pub fn result_integer(&self, value: i64) {
        // SAFETY: the context is valid during the call.
        unsafe { ffi::sqlite3_result_int64(self.raw, value) }
    }

    /// Return a REAL.
    #[inline]
    pub fn result_real(&self, value: f64) {
        // SAFETY: the context is valid during the call.
        unsafe { ffi::sqlite3_result_double(self.raw, value) }
    }

    /// Return TEXT, copied.
    #[inline]
    pub fn result_text(&self, value: &[u8]) {
        // SAFETY: the context is valid during the call; SQLite copies the text.
        unsafe {
            ffi::sqlite3_result_text64(
                self.raw,
                value.as_ptr().cast(),
                value.len() as u64,
                ffi::SQLITE_TRANSIENT(),
                ffi::SQLITE_UTF8 as u8,
            );
        }
    }

    /// Return a BLOB, copied.
    #[inline]
    pub fn result_blob(&self, value: &[u8]) {
        // SAFETY: the context is valid during the call; SQLite copies the bytes.
        unsafe {
            ffi::sqlite3_result_blob64(
                self.raw,
                value.as_ptr().cast(),
                value.len() as u64,
                ffi::SQLITE_TRANSIENT(),
            );
        }
    }

    /// Fail with a message.
    pub fn error(&self, message: &str) {
        // SAFETY: the context is valid during the call; SQLite copies the message.
        unsafe {
            ffi::sqlite3_result_error(self.raw, message.as_ptr().cast(), message.len() as c_int);
        }
    }

    /// Fail for lack of memory.
    pub fn error_no_memory(&self) {
        // SAFETY: the context is valid during the call.
        unsafe { ffi::sqlite3_result_error_nomem(self.raw) }
    }

    /// Fail because a value is too big.
    pub fn error_too_big(&self) {
        // SAFETY: the context is valid during the call.
        unsafe { ffi::sqlite3_result_error_toobig(self.raw) }
    }

    /// The memory of one aggregate run: a pointer of the function's own, null at first.
    /// None when `create` is false and no step ran, or when memory ran out.
    pub fn aggregate_slot(&self, create: bool) -> Option<&Cell<*mut c_void>> {
        let size = if create { size_of::<*mut c_void>() } else { 0 };
        // SAFETY: SQLite gives zeroed memory of that size, aligned for a pointer, that lives until the
        // final callback has returned; a null pointer is a valid `Cell<*mut c_void>`.
        unsafe {
            ffi::sqlite3_aggregate_context(self.raw, size as c_int)
                .cast::<Cell<*mut c_void>>()
                .as_ref()
        }
    }
}

/// A scalar function.
pub trait ScalarFunction: Send {
    /// Compute the result of one call and put it into the context.
    fn call(&self, context: &Context, arguments: &Arguments<'_>);
}

/// An aggregate, and if `value` and `inverse` are used, a window function.
pub trait AggregateFunction: Send {
    /// Add a row.
    fn step(&self, context: &Context, arguments: &Arguments<'_>);
    /// Give the result and let the run's memory go. Called even when a step failed or none ran.
    fn finalize(&self, context: &Context);
    /// Give the current result of a window.
    fn value(&self, context: &Context);
    /// Take the oldest row out of a window.
    fn inverse(&self, context: &Context, arguments: &Arguments<'_>);
}

const PANICKED: &str = "a function of dbmanager panicked; please report it";

/// Run a callback for SQLite: find the function, catch panics.
///
/// # Safety
/// Called by SQLite with the user data of a function registered here with type `F`.
unsafe fn guarded<F>(raw: *mut ffi::sqlite3_context, body: impl FnOnce(&F, &Context)) {
    let context = Context { raw };
    // SAFETY: the user data is the `Box<F>` given at registration, alive until xDestroy.
    let function = unsafe { &*ffi::sqlite3_user_data(raw).cast::<F>() };
    if contain(|| body(function, &context)).is_none() {
        context.error(PANICKED);
    }
}

/// # Safety
/// `argv` holds `argc` values, as SQLite promises.
unsafe fn arguments<'a>(argc: c_int, argv: *mut *mut ffi::sqlite3_value) -> Arguments<'a> {
    let values = if argc == 0 {
        &[]
    } else {
        // SAFETY: as the caller promises.
        unsafe { slice::from_raw_parts(argv, argc as usize) }
    };
    Arguments { values }
}

unsafe extern "C" fn on_scalar<F: ScalarFunction>(
    context: *mut ffi::sqlite3_context,
    argc: c_int,
    argv: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: called by SQLite for a function of type `F`.
    unsafe { guarded::<F>(context, |f, c| f.call(c, &arguments(argc, argv))) }
}

unsafe extern "C" fn on_step<F: AggregateFunction>(
    context: *mut ffi::sqlite3_context,
    argc: c_int,
    argv: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: called by SQLite for a function of type `F`.
    unsafe { guarded::<F>(context, |f, c| f.step(c, &arguments(argc, argv))) }
}

unsafe extern "C" fn on_final<F: AggregateFunction>(context: *mut ffi::sqlite3_context) {
    // SAFETY: called by SQLite for a function of type `F`.
    unsafe { guarded::<F>(context, |f, c| f.finalize(c)) }
}

unsafe extern "C" fn on_value<F: AggregateFunction>(context: *mut ffi::sqlite3_context) {
    // SAFETY: called by SQLite for a function of type `F`.
    unsafe { guarded::<F>(context, |f, c| f.value(c)) }
}

unsafe extern "C" fn on_inverse<F: AggregateFunction>(
    context: *mut ffi::sqlite3_context,
    argc: c_int,
    argv: *mut *mut ffi::sqlite3_value,
) {
    // SAFETY: called by SQLite for a function of type `F`.
    unsafe { guarded::<F>(context, |f, c| f.inverse(c, &arguments(argc, argv))) }
}

/// Drop the `Box<F>` of a function or collation that SQLite forgets.
pub(super) unsafe extern "C" fn on_destroy<F>(data: *mut c_void) {
    // SAFETY: SQLite calls this once, with the pointer that `Box::into_raw` gave at registration.
    let function = unsafe { Box::from_raw(data.cast::<F>()) };
    // A panic in a destructor must not unwind into C; what it leaves behind is leaked.
    contain(|| drop(function));
}

fn outcome(code: c_int) -> Result<(), SqliteFailure> {
    if code == ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(SqliteFailure::from_code(code))
    }
}

impl LockGuard<'_> {
    /// Register (or replace) a scalar function.
    pub fn create_scalar<F: ScalarFunction>(
        &self,
        name: &CStr,
        argument_count: c_int,
        deterministic: bool,
        function: F,
    ) -> Result<(), SqliteFailure> {
        let mut flags = ffi::SQLITE_UTF8;
        if deterministic {
            flags |= ffi::SQLITE_DETERMINISTIC;
        }
        self.note_function(name, argument_count);
        let data = Box::into_raw(Box::new(function));
        // SAFETY: the handle is open; SQLite takes over `data` and destroys it, on failure too.
        outcome(unsafe {
            ffi::sqlite3_create_function_v2(
                self.handle(),
                name.as_ptr(),
                argument_count,
                flags,
                data.cast(),
                Some(on_scalar::<F>),
                None,
                None,
                Some(on_destroy::<F>),
            )
        })
    }

    /// Register (or replace) an aggregate.
    pub fn create_aggregate<F: AggregateFunction>(
        &self,
        name: &CStr,
        argument_count: c_int,
        function: F,
    ) -> Result<(), SqliteFailure> {
        self.note_function(name, argument_count);
        let data = Box::into_raw(Box::new(function));
        // SAFETY: the handle is open; SQLite takes over `data` and destroys it, on failure too.
        outcome(unsafe {
            ffi::sqlite3_create_function_v2(
                self.handle(),
                name.as_ptr(),
                argument_count,
                ffi::SQLITE_UTF8,
                data.cast(),
                None,
                Some(on_step::<F>),
                Some(on_final::<F>),
                Some(on_destroy::<F>),
            )
        })
    }

    /// Register (or replace) an aggregate that may also be used as a window function.
    pub fn create_window<F: AggregateFunction>(
        &self,
        name: &CStr,
        argument_count: c_int,
        function: F,
    ) -> Result<(), SqliteFailure> {
        self.note_function(name, argument_count);
        let data = Box::into_raw(Box::new(function));
        // SAFETY: the handle is open; SQLite takes over `data` and destroys it, on failure too.
        outcome(unsafe {
            ffi::sqlite3_create_window_function(
                self.handle(),
                name.as_ptr(),
                argument_count,
                ffi::SQLITE_UTF8,
                data.cast(),
                Some(on_step::<F>),
                Some(on_final::<F>),
                Some(on_value::<F>),
                Some(on_inverse::<F>),
                Some(on_destroy::<F>),
            )
        })
    }

    /// Remove a window function.
    pub fn remove_window(&self, name: &CStr, argument_count: c_int) -> Result<(), SqliteFailure> {
        self.note_function(name, argument_count);
        outcome(self.remove_function(name, argument_count))
    }
}
