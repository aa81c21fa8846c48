//! Collations and the connection's single-slot hooks: authorizer, progress handler, trace.
//!
//! The closures are shared (`Arc`) and cloned before each call, so that a hook may replace itself.

use super::database::{Database, LockGuard};
use super::edge::contain;
use super::function::on_destroy;
use crate::core::text::Effect;
use rusqlite::ffi;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::slice;
use std::sync::{Arc, OnceLock};

/// Answers SQLITE_OK, SQLITE_DENY or SQLITE_IGNORE for an action and its four strings.
pub type Authorizer = dyn Fn(c_int, [Option<&CStr>; 4]) -> c_int + Send + Sync;
/// Answers whether the running statement shall be interrupted.
pub type Progress = dyn Fn() -> bool + Send + Sync;
/// Sees each statement that starts.
pub type Trace = dyn Fn(&TracedStatement<'_>) + Send + Sync;
/// Compares two texts.
pub type Collation = dyn Fn(&[u8], &[u8]) -> Ordering + Send + Sync;

/// Called every `YIELD_OPERATIONS` virtual machine operations of a statement.
pub type TickHandler = fn(&Database);

/// How many virtual machine operations (some 20 µs) go by between two ticks.
const YIELD_OPERATIONS: c_int = 2000;

static TICK: OnceLock<TickHandler> = OnceLock::new();

/// Let the bindings know when a statement runs long. The first call wins.
pub fn set_tick_handler(handler: TickHandler) {
    TICK.get_or_init(|| handler);
}

/// The closures that the hooks of one connection call.
#[derive(Default)]
pub(super) struct Hooks {
    // Boxes, so that SQLite's pointers to the (fat) Arcs stay valid.
    authorizer: RefCell<Option<Box<Arc<Authorizer>>>>,
    progress: RefCell<Option<Box<Arc<Progress>>>>,
    trace: RefCell<Option<Box<Arc<Trace>>>>,
}

/// A statement as the trace hook sees it.
pub struct TracedStatement<'a> {
    raw: *mut ffi::sqlite3_stmt,
    /// The text as prepared.
    pub sql: &'a CStr,
}

impl TracedStatement<'_> {
    /// The text with the bound values in it; None when it would be too long or memory ran out.
    pub fn expanded(&self) -> Option<Vec<u8>> {
        // SAFETY: the statement is valid during the callback; the text is copied and freed.
        unsafe {
            let text = ffi::sqlite3_expanded_sql(self.raw);
            if text.is_null() {
                return None;
            }
            let copy = CStr::from_ptr(text).to_bytes().to_vec();
            ffi::sqlite3_free(text.cast());
            Some(copy)
        }
    }
}

/// # Safety
/// `text` is NULL or a C string that outlives `'a`.
unsafe fn optional<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

unsafe extern "C" fn on_authorize(
    data: *mut c_void,
    action: c_int,
    a: *const c_char,
    b: *const c_char,
    c: *const c_char,
    d: *const c_char,
) -> c_int {
    // SAFETY: `data` is the boxed Arc that `set_authorizer` registered; cloned before Python may drop it.
    let authorizer = unsafe { Arc::clone(&*data.cast::<Arc<Authorizer>>()) };
    // SAFETY: SQLite gives NULL or C strings that live during the call.
    let strings = unsafe { [optional(a), optional(b), optional(c), optional(d)] };
    contain(|| authorizer(action, strings)).unwrap_or(ffi::SQLITE_DENY)
}

unsafe extern "C" fn on_progress(data: *mut c_void) -> c_int {
    // SAFETY: `data` is the boxed Arc that `set_progress` registered.
    let progress = unsafe { Arc::clone(&*data.cast::<Arc<Progress>>()) };
    let interrupt = contain(|| progress()).unwrap_or(true);
    c_int::from(interrupt)
}

unsafe extern "C" fn on_tick(data: *mut c_void) -> c_int {
    // SAFETY: `data` is the `Database` whose handle is running, alive as long as the handle.
    let database = unsafe { &*data.cast::<Database>() };
    database.ticks().set(database.ticks().get().wrapping_add(1));
    if let Some(handler) = TICK.get() {
        // A panic must not unwind into C; going on without a yield is always correct.
        contain(|| handler(database));
    }
    0
}

unsafe extern "C" fn on_trace(
    event: c_uint,
    data: *mut c_void,
    statement: *mut c_void,
    text: *mut c_void,
) -> c_int {
    if event == ffi::SQLITE_TRACE_STMT as c_uint {
        // SAFETY: `data` is the boxed Arc that `set_trace` registered.
        let trace = unsafe { Arc::clone(&*data.cast::<Arc<Trace>>()) };
        let traced = TracedStatement {
            raw: statement.cast(),
            // SAFETY: for this event SQLite gives the statement's text.
            sql: unsafe { CStr::from_ptr(text.cast()) },
        };
        // A trace has no way to fail; the bindings report exceptions themselves.
        contain(|| trace(&traced));
    }
    0
}

unsafe extern "C" fn on_collate(
    data: *mut c_void,
    left_length: c_int,
    left: *const c_void,
    right_length: c_int,
    right: *const c_void,
) -> c_int {
    // SAFETY: `data` is the boxed Arc that `create_collation` registered; lengths and pointers are SQLite's.
    let (collation, left, right) = unsafe {
        (
            Arc::clone(&*data.cast::<Arc<Collation>>()),
            bytes(left, left_length),
            bytes(right, right_length),
        )
    };
    contain(|| collation(left, right)).unwrap_or(Ordering::Equal) as c_int
}

/// # Safety
/// `data` holds `length` bytes that outlive `'a`, or `length` is 0.
unsafe fn bytes<'a>(data: *const c_void, length: c_int) -> &'a [u8] {
    if length == 0 || data.is_null() {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { slice::from_raw_parts(data.cast(), length as usize) }
}

/// Box a shared closure and give the address that SQLite shall pass back.
fn address<T: ?Sized>(slot: &RefCell<Option<Box<Arc<T>>>>, closure: Option<Arc<T>>) -> *mut c_void {
    let boxed = closure.map(Box::new);
    let address = boxed
        .as_deref()
        .map_or(ptr::null_mut(), |arc| ptr::from_ref(arc).cast_mut().cast());
    // The old closure is dropped after the borrow has ended: dropping it may run anything.
    let old = slot.replace(boxed);
    drop(old);
    address
}

impl LockGuard<'_> {
    /// Set or clear the authorizer. All prepared statements expire, as SQLite does it.
    pub fn set_authorizer(&self, authorizer: Option<Arc<Authorizer>>) -> c_int {
        self.database().note(Effect::HOOKS);
        let callback = authorizer.as_ref().map(|_| on_authorize as _);
        if callback.is_none() {
            // SAFETY: the handle is open; no callback refers to the old closure any more.
            unsafe { ffi::sqlite3_set_authorizer(self.handle(), None, ptr::null_mut()) };
        }
        let data = address(&self.database().hooks().authorizer, authorizer);
        if callback.is_none() {
            return ffi::SQLITE_OK;
        }
        // SAFETY: the handle is open and `data` lives in the database until it is replaced.
        unsafe { ffi::sqlite3_set_authorizer(self.handle(), callback, data) }
    }

    /// Whether an authorizer is set.
    pub fn has_authorizer(&self) -> bool {
        self.database().hooks().authorizer.borrow().is_some()
    }

    /// Set a progress handler that runs every `operations` operations, or go back to yielding.
    ///
    /// SQLite has one slot: with a handler of the user's in it the interpreter is given up at once.
    pub fn set_progress(&self, operations: c_int, progress: Option<Arc<Progress>>) {
        let database = self.database();
        database.note(Effect::HOOKS);
        database.set_has_progress(progress.is_some());
        match progress {
            Some(progress) => {
                let data = address(&database.hooks().progress, Some(progress));
                // SAFETY: the handle is open and `data` lives in the database until it is replaced.
                unsafe {
                    ffi::sqlite3_progress_handler(
                        self.handle(),
                        operations,
                        Some(on_progress),
                        data,
                    );
                }
            }
            None => {
                self.install_yield();
                address(&database.hooks().progress, None);
            }
        }
    }

    /// Let long statements tick, so that the bindings can give the interpreter up.
    pub fn install_yield(&self) {
        let data = ptr::from_ref(self.database()).cast_mut().cast();
        // SAFETY: the handle is open; the database outlives its handle.
        unsafe {
            ffi::sqlite3_progress_handler(self.handle(), YIELD_OPERATIONS, Some(on_tick), data);
        }
    }

    /// Set or clear the trace hook.
    pub fn set_trace(&self, trace: Option<Arc<Trace>>) {
        self.database().note(Effect::HOOKS);
        let mask = ffi::SQLITE_TRACE_STMT as c_uint;
        if trace.is_none() {
            // SAFETY: the handle is open.
            unsafe { ffi::sqlite3_trace_v2(self.handle(), mask, None, ptr::null_mut()) };
        }
        let set = trace.is_some();
        let data = address(&self.database().hooks().trace, trace);
        if set {
            // SAFETY: the handle is open and `data` lives in the database until it is replaced.
            unsafe { ffi::sqlite3_trace_v2(self.handle(), mask, Some(on_trace), data) };
        }
    }

    /// Take back those of the hooks that are set.
    pub fn take_hooks_back(&self) {
        let hooks = self.database().hooks();
        // Removing an authorizer expires all statements, so only if there is one.
        if self.has_authorizer() {
            self.set_authorizer(None);
        }
        let has_progress = hooks.progress.borrow().is_some();
        if has_progress {
            self.set_progress(0, None);
        }
        let has_trace = hooks.trace.borrow().is_some();
        if has_trace {
            self.set_trace(None);
        }
    }

    /// Register, replace or (None) remove a collation. Gives SQLite's result code.
    pub fn create_collation(&self, name: &CStr, collation: Option<Arc<Collation>>) -> c_int {
        type Shared = Arc<Collation>;
        self.note_collation(name);
        let Some(collation) = collation else {
            return self.remove_collation(name);
        };
        let data: *mut Shared = Box::into_raw(Box::new(collation));
        // SAFETY: the handle is open; SQLite takes over `data` if it succeeds.
        let code = unsafe {
            ffi::sqlite3_create_collation_v2(
                self.handle(),
                name.as_ptr(),
                ffi::SQLITE_UTF8,
                data.cast(),
                Some(on_collate),
                Some(on_destroy::<Shared>),
            )
        };
        if code != ffi::SQLITE_OK {
            // SAFETY: unlike functions, a collation that was refused is not destroyed by SQLite.
            drop(unsafe { Box::from_raw(data) });
        }
        code
    }
}
