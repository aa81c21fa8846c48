//! The interpreter lock: when a statement gives it up, and how it comes back.
//!
//! Short statements run with the lock held (giving it up and taking it back costs more than they do).
//! A statement that turns out long gives it up at its first tick if there is another thread to run;
//! statements that are known to wait (COMMIT, autocommit writes, DDL) give it up at once; and SQLite's
//! sleeps in lock waits give it up through the VFS. The saved thread state lies in the `Database` that is
//! running, so that a callback can take the lock back.

use crate::core::pool;
use crate::core::raw::{Database, LockGuard, hooks};
use crate::core::vfs;
use pyo3::ffi;
use pyo3::prelude::*;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// A callback that had to take the lock back keeps it this long before the statement yields again:
/// taking it from a busy thread may cost a whole switch interval.
const HOLD: Duration = Duration::from_millis(5);

/// The same if it was given up in vain: longer than others wait until they demand it. Then giving it up waits for them.
const HOLD_LONGER: Duration = Duration::from_millis(10);

/// A statement that ends so soon after a tick gave the interpreter up did so in vain: whoever waited was woken and came
/// too late. As each wake-up begins the wait anew (it is after 5 ms of waiting that a thread *demands* the interpreter),
/// a thread that does this again and again starves the others.
const IN_VAIN: Duration = Duration::from_micros(100);

/// For so long after that, a tick gives it up only when the statement goes on for as long as `HOLD`.
const PAUSE: Duration = Duration::from_millis(50);

thread_local! {
    /// When a tick gave the interpreter up.
    static GIVEN_UP: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When that was last in vain.
    static WAS_IN_VAIN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Tell the core how to give the interpreter up. Called once, when the module is imported.
pub fn install() {
    hooks::set_tick_handler(on_tick);
    vfs::set_blocking_wrapper(blocking);
    pool::set_interrupt_check(interrupted);
}

/// Whether this thread holds the interpreter lock.
#[inline]
fn is_attached() -> bool {
    // SAFETY: always callable. When the interpreter is going down, the check says yes to every thread, but no thread
    // has a state any more.
    unsafe { !ffi::PyGILState_GetThisThreadState().is_null() && ffi::PyGILState_Check() != 0 }
}

/// Whether any other Python thread exists that might want to run.
#[inline]
pub fn has_other_threads(_py: Python<'_>) -> bool {
    // SAFETY: the interpreter lock is held: thread states are unlinked only under it, so the head is
    // valid for this look at its `next`.
    unsafe {
        let head = ffi::PyInterpreterState_ThreadHead(ffi::PyInterpreterState_Get());
        !ffi::PyThreadState_Next(head).is_null()
    }
}

/// SQLite is running on a database: as long as this lives, a tick may give the interpreter up; its end takes it back.
/// Ticks outside of such a stretch do nothing, because nobody would take it back.
pub struct Stretch<'a> {
    database: &'a Database,
    yields_before: bool,
}

impl<'a> Stretch<'a> {
    /// Begin with the interpreter held, by whoever holds the database's lock.
    #[inline]
    pub fn attached(_py: Python<'_>, database: &'a Database) -> Self {
        database.hold_until().set(None);
        Self {
            database,
            yields_before: database.yields().replace(true),
        }
    }

    /// Begin by giving the interpreter up.
    #[inline]
    pub fn detached(py: Python<'_>, database: &'a Database) -> Self {
        let stretch = Self::attached(py, database);
        suspend(database);
        stretch
    }

    /// `detached` if another thread could use the interpreter.
    pub fn detached_for_others(py: Python<'_>, database: &'a Database) -> Self {
        match has_other_threads(py) {
            true => Self::detached(py, database),
            false => Self::attached(py, database),
        }
    }
}

impl Drop for Stretch<'_> {
    #[inline]
    fn drop(&mut self) {
        resume(self.database);
        self.database.yields().set(self.yields_before);
    }
}

/// Give the interpreter up while `database` runs.
#[inline]
fn suspend(database: &Database) {
    // SAFETY: this thread holds the interpreter lock; `resume` takes it back.
    let state = unsafe { ffi::PyEval_SaveThread() };
    database.suspended().set(state.cast());
}

/// Take the interpreter back if it was given up. Gives whether it was.
#[inline]
fn resume(database: &Database) -> bool {
    let state = database.suspended().get();
    if state.is_null() {
        return false;
    }
    restore(database, state.cast());
    true
}

/// Take the interpreter back.
fn restore(database: &Database, state: *mut ffi::PyThreadState) {
    database.suspended().set(std::ptr::null_mut());
    if let Some(since) = GIVEN_UP.take()
        && since.elapsed() < IN_VAIN
    {
        WAS_IN_VAIN.set(Some(since));
    }
    // SAFETY: the state was saved by `suspend` on this thread.
    unsafe { ffi::PyEval_RestoreThread(state) };
}

/// Whether a tick gave it up in vain lately.
fn was_in_vain() -> bool {
    WAS_IN_VAIN.get().is_some_and(|last| last.elapsed() < PAUSE)
}

fn on_tick(database: &Database) {
    // Within a stretch, this thread has the interpreter unless it is noted as given up.
    if !database.yields().get() || !database.suspended().get().is_null() {
        return;
    }
    // SQLite counts operations on from one step to the next: the first tick of a step may come at its beginning.
    if database.ticks().get() < 2 {
        return;
    }
    match database.hold_until().get() {
        Some(end) if Instant::now() < end => return,
        None if was_in_vain() => {
            database.hold_until().set(Some(Instant::now() + HOLD));
            return;
        }
        _ => {}
    }
    // SAFETY: just found that this thread is attached.
    let py = unsafe { Python::assume_attached() };
    if has_other_threads(py) {
        GIVEN_UP.set(Some(Instant::now()));
        suspend(database);
    }
}

/// Run Python code from a callback of SQLite on `database`. The interpreter stays taken afterwards: the
/// next tick gives it up again if the statement goes on for long.
#[inline]
pub fn callback<R>(database: &Database, body: impl FnOnce(Python<'_>) -> R) -> R {
    // What the callback does with the database is no part of the stretch.
    let yields = database.yields().replace(false);
    if resume(database) {
        hold(database);
    }
    let result = if yields || is_attached() {
        // SAFETY: just found, as in `on_tick`.
        body(unsafe { Python::assume_attached() })
    } else {
        attach(body)
    };
    database.yields().set(yields);
    result
}

/// A callback had to take the lock back: keep it for a while.
fn hold(database: &Database) {
    let hold = match was_in_vain() {
        true => HOLD_LONGER,
        false => HOLD,
    };
    database.hold_until().set(Some(Instant::now() + hold));
}

/// A database is used by the core alone, without the interpreter (a pool's reset).
#[cold]
fn attach<R>(body: impl FnOnce(Python<'_>) -> R) -> R {
    Python::attach(body)
}

/// Whether Python's signal handlers raise an exception; it stays set for whoever attaches on this thread next. `away` runs
/// the part in which they run.
fn interrupted(away: &mut dyn FnMut(&mut dyn FnMut())) -> bool {
    Python::attach(|_| {
        let mut raised = false;
        // SAFETY: the thread is attached.
        away(&mut || raised = unsafe { ffi::PyErr_CheckSignals() != 0 });
        raised
    })
}

/// Run a function that blocks without the interpreter, if this thread has it.
fn blocking(wait: &mut dyn FnMut()) {
    if !is_attached() {
        return wait();
    }
    // SAFETY: just checked that this thread is attached; the state goes back on the same thread.
    unsafe {
        let state = ffi::PyEval_SaveThread();
        wait();
        ffi::PyEval_RestoreThread(state);
    }
}

/// Lock a database, waiting without the interpreter when another thread has it. The caller keeps the
/// database alive (owns a reference to it) as long as the guard lives.
#[inline]
pub fn lock<'a>(_py: Python<'_>, database: &'a Database) -> LockGuard<'a> {
    match database.try_lock() {
        Some(guard) => guard,
        None => lock_contended(database),
    }
}

/// How often a thread looks whether a connection that another thread has reserved is idle.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Let a connection keep its lock for this thread, which alone may use it.
pub fn reserve(_py: Python<'_>, database: &Database) {
    // SAFETY: everything in the bindings that locks a reserved database holds the interpreter, which is
    // the outer lock; what locks without it (backups, pools) calls `unreserve` first.
    unsafe { database.reserve() }
}

/// End a reservation unless the connection is running something on this thread's stack.
pub fn unreserve(_py: Python<'_>, database: &Database) -> bool {
    // SAFETY: as for `reserve`.
    unsafe { database.unreserve_if_idle() }
}

#[cold]
fn lock_contended(database: &Database) -> LockGuard<'_> {
    // The thread that reserved it is in the middle of a statement, without the interpreter.
    // SAFETY: the caller shows a token, so this thread is attached.
    while !unsafe { database.unreserve_if_idle() } {
        blocking(&mut || std::thread::sleep(LOOK_AGAIN));
    }
    // SAFETY: the caller shows a token, so this thread is attached; the state goes back right here.
    unsafe {
        let state = ffi::PyEval_SaveThread();
        let guard = database.lock();
        ffi::PyEval_RestoreThread(state);
        guard
    }
}
