//! The block of a session of a bypassed module (`dbmanager._plain`), which runs on a connection of the stdlib's.
//!
//! A signal's exception is raised between two operations of Python code. So what must not be left half done is native, and
//! calls only methods of the stdlib that are native too: the end of a session, whatever its parts in Python do, and the
//! turn to write. A session also ends with its thread and with its last reference.

use super::begin::{PAUSES, SNAPSHOT_IS_OLD};
use super::connection::wrong_thread;
use super::error::{core_exception, programming_error};
use super::guarded::Guarded;
use super::listener;
use super::open_sessions;
use super::state::{Stdlib, state};
use crate::core::error::Error;
use crate::core::pool::Turn;
use crate::core::session::Manager;
use crate::core::thread;
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rusqlite::ffi::{SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT};
use std::ffi::c_ulong;
use std::sync::Arc;
use std::time::{Duration, Instant};

unsafe extern "C" {
    // Not among pyo3-ffi's.
    fn PyInstanceMethod_New(function: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

const NOT_OPEN: &str = "this session is not open; use it within its `with` block";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Open,
    Ended,
}

/// See the head of this file. It lies in the session's attribute `_block`.
#[pyclass(frozen, name = "_Block", module = "dbmanager")]
pub struct Block {
    manager: Arc<Manager>,
    phase: Guarded<Phase>,
    /// How many further `with` blocks the session is in.
    inner: Guarded<usize>,
    /// Its number among the open sessions.
    number: Guarded<u64>,
    /// The thread that entered it, as the stdlib names it.
    thread: Guarded<c_ulong>,
    /// The process that entered it.
    process: Guarded<u32>,
    turn: Guarded<Option<Turn>>,
}

fn stdlib(py: Python<'_>) -> PyResult<&'static Stdlib> {
    let known = state(py).stdlib.as_ref();
    known.ok_or_else(|| PyImportError::new_err("this Python has no sqlite3 of its own"))
}

/// Run a statement on a session's connection, past the session.
fn run<'py>(session: &Bound<'py, PyAny>, sql: &str) -> PyResult<Bound<'py, PyAny>> {
    let cursor = stdlib(session.py())?.cursor.bind(session.py());
    cursor.call1((session,))?.call_method1("execute", (sql,))
}

fn busy_timeout(session: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let row = run(session, "PRAGMA busy_timeout")?.call_method0("fetchone")?;
    Ok(Duration::from_millis(row.get_item(0)?.extract()?))
}

/// One attempt without patience, which comes back afterwards.
fn begin_at_once(session: &Bound<'_, PyAny>, patience: Duration) -> PyResult<()> {
    run(session, "PRAGMA busy_timeout = 0")?;
    let outcome = run(session, "BEGIN IMMEDIATE");
    run(
        session,
        &format!("PRAGMA busy_timeout = {}", patience.as_millis()),
    )?;
    outcome.map(drop)
}

/// The extended code of an error that SQLite gave, 0 if it is none.
fn code_of(py: Python<'_>, error: &PyErr) -> i32 {
    let code = error.value(py).getattr("sqlite_errorcode");
    code.and_then(|code| code.extract()).unwrap_or(0)
}

/// A snapshot that is too old to write keeps one that nobody can read ahead, in more than SQLite's words.
fn explained(py: Python<'_>, error: PyErr) -> PyErr {
    if code_of(py, &error) == SQLITE_BUSY_SNAPSHOT {
        let value = error.value(py);
        let message = format!("{value}{SNAPSHOT_IS_OLD}");
        if let Err(other) = value.setattr("args", (message,)) {
            return other;
        }
    }
    error
}

fn is_in_transaction(session: &Bound<'_, PyAny>) -> PyResult<bool> {
    let connection = stdlib(session.py())?.connection.bind(session.py());
    // The stdlib's own descriptor: the session's is Python code.
    let attribute = connection.getattr("in_transaction")?;
    attribute.call_method1("__get__", (session,))?.is_truthy()
}

#[pymethods]
impl Block {
    /// Open the connection of the stdlib's that the session is.
    #[pyo3(signature = (session, /, *args, **kwargs))]
    fn open(
        &self,
        session: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = session.py();
        let initialise = stdlib(py)?.connection.bind(py).getattr("__init__")?;
        let mut all = vec![session.clone()];
        all.extend(args.iter());
        // It is what the module is set to, and no direct call.
        listener::as_ours(|| initialise.call(PyTuple::new(py, all)?, kwargs)).map(drop)
    }

    /// Refuse what comes from another thread than the one that entered the session, or outside of its block.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.check_open(py)?;
        // SAFETY: callable from any thread.
        let this = unsafe { ffi::PyThread_get_thread_ident() };
        match this == self.thread.get(py) {
            true => Ok(()),
            false => Err(wrong_thread(py, self.thread.get(py), this)),
        }
    }

    /// Refuse what comes outside of the session's block.
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        match self.phase.get(py) {
            Phase::Open if self.is_of_this_process(py) => Ok(()),
            Phase::Open => {
                let inherited = Error::Inherited {
                    parent: self.process.get(py).cast_signed(),
                    child: std::process::id(),
                };
                Err(core_exception(py, inherited))
            }
            _ => Err(programming_error(py, NOT_OPEN)),
        }
    }

    /// Whether the session is within its block.
    #[getter]
    fn is_open(&self, py: Python<'_>) -> bool {
        self.phase.get(py) == Phase::Open && self.is_of_this_process(py)
    }

    /// Whether the session has its turn to write.
    #[getter]
    fn has_turn(&self, py: Python<'_>) -> bool {
        // SAFETY: a look at it runs no Python code.
        unsafe { self.turn.peek(py) }.is_some()
    }

    /// Wait for the turn to write, unless the session has it.
    fn take_turn(&self, py: Python<'_>) -> PyResult<()> {
        if self.has_turn(py) {
            return Ok(());
        }
        let turn = py.detach(|| self.manager.turn());
        // Meanwhile a signal's handler may have closed the session, or written through it.
        self.check_open(py)?;
        if !self.has_turn(py) {
            let turn = turn.map_err(|error| core_exception(py, error))?;
            drop(self.turn.replace(py, Some(turn)));
        }
        Ok(())
    }

    /// Let the next one write, if the transaction has ended.
    fn settle_turn(&self, session: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = session.py();
        if self.has_turn(py) && !is_in_transaction(session)? {
            self.give_turn_back(py);
        }
        Ok(())
    }

    /// BEGIN IMMEDIATE, in turn. Others' locks are waited for between attempts and not within SQLite, so that a signal
    /// (Ctrl-C) can end the wait.
    fn begin_immediate(&self, session: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = session.py();
        self.take_turn(py)?;
        let outcome = match is_in_transaction(session)? {
            // A signal's handler began a transaction, while the turn was waited for.
            true => Ok(()),
            false => self.begin_patiently(session),
        };
        self.settle_turn(session)?;
        outcome
    }

    /// Roll back what is open, and close the connection.
    fn end(&self, session: &Bound<'_, PyAny>) {
        let py = session.py();
        if self.phase.get(py) != Phase::Open {
            return;
        }
        self.phase.set(py, Phase::Ended);
        open_sessions::forget(py, self.number.get(py));
        if !self.is_of_this_process(py) {
            // Its parent's: never to be closed here, not by the stdlib either.
            std::mem::forget(session.clone());
            return;
        }
        if let Ok(stdlib) = stdlib(py) {
            // If the garbage collector runs in another thread, the stdlib refuses: see `delete`.
            for method in ["rollback", "close"] {
                let _ = stdlib.connection.bind(py).call_method1(method, (session,));
            }
        }
        self.give_turn_back(py);
    }
}

impl Block {
    /// That of a new session.
    pub fn new(manager: &Arc<Manager>) -> Self {
        Self {
            manager: Arc::clone(manager),
            phase: Guarded::new(Phase::New),
            inner: Guarded::new(0),
            number: Guarded::new(0),
            thread: Guarded::new(0),
            process: Guarded::new(0),
            turn: Guarded::new(None),
        }
    }

    fn is_of_this_process(&self, py: Python<'_>) -> bool {
        self.process.get(py) == std::process::id()
    }

    fn give_turn_back(&self, py: Python<'_>) {
        match self.turn.take(py) {
            Some(turn) if turn.hands_over() => py.detach(|| drop(turn)),
            turn => drop(turn),
        }
    }

    fn begin_patiently(&self, session: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = session.py();
        let since = Instant::now();
        let mut pauses = PAUSES.iter().copied();
        let mut pause = Duration::ZERO;
        loop {
            // A signal's handler may set another one. An authorizer may refuse to tell it.
            let Ok(patience) = busy_timeout(session) else {
                return run(session, "BEGIN IMMEDIATE").map(drop);
            };
            let Err(error) = begin_at_once(session, patience) else {
                return Ok(());
            };
            let left = patience.saturating_sub(since.elapsed());
            let code = code_of(py, &error);
            // Who reads an old snapshot would wait in vain.
            if code & 0xff != SQLITE_BUSY || code == SQLITE_BUSY_SNAPSHOT || left.is_zero() {
                return Err(explained(py, error));
            }
            pause = pauses.next().map_or(pause, Duration::from_millis);
            py.detach(|| std::thread::sleep(pause.min(left)));
            py.check_signals()?;
            self.check(py)?;
            if is_in_transaction(session)? {
                // The handler began a transaction.
                return Ok(());
            }
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let number = *self.number.get_mut();
        if number != 0 {
            Python::attach(|py| open_sessions::forget(py, number));
        }
    }
}

fn block_of<'py>(session: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Block>> {
    Ok(session.getattr("_block")?.cast_into::<Block>()?)
}

/// A session's `__enter__`.
#[pyfunction]
#[pyo3(signature = (session, /))]
fn enter<'py>(session: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = session.py();
    let block = block_of(session)?;
    let this = block.get();
    match this.phase.get(py) {
        Phase::New => {}
        Phase::Open => {
            this.check(py)?;
            this.inner.set(py, this.inner.get(py) + 1);
            return Ok(session.clone());
        }
        Phase::Ended => {
            let message = "this session was used already; ask the DatabaseManager for another one";
            return Err(programming_error(py, message));
        }
    }
    let is_open = this.manager.check_open();
    is_open.map_err(|error| core_exception(py, error))?;
    end_with_this_thread(py)?;
    this.phase.set(py, Phase::Open);
    // SAFETY: callable from any thread.
    this.thread
        .set(py, unsafe { ffi::PyThread_get_thread_ident() });
    this.process.set(py, std::process::id());
    let number = open_sessions::note(py, &this.manager, session, true);
    this.number.set(py, number);
    if let Err(error) = session.call_method0("_start") {
        this.end(session);
        return Err(error);
    }
    Ok(session.clone())
}

/// A session's `__exit__`.
#[pyfunction]
#[pyo3(signature = (session, kind, error, traceback, /))]
fn exit(
    session: &Bound<'_, PyAny>,
    kind: &Bound<'_, PyAny>,
    error: &Bound<'_, PyAny>,
    traceback: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let py = session.py();
    let block = block_of(session)?;
    let this = block.get();
    let failed = !(kind.is_none() && error.is_none() && traceback.is_none());
    let inner = this.inner.get(py);
    if inner > 0 {
        this.inner.set(py, inner - 1);
        return end_inner(session, failed);
    }
    if this.phase.get(py) != Phase::Open {
        return Ok(false);
    }
    if this.is_of_this_process(py) {
        this.check(py)?;
    }
    let outcome = match failed || !this.is_of_this_process(py) {
        true => Ok(()),
        false => session.call_method0("_keep").map(drop),
    };
    this.end(session);
    outcome.map(|()| false)
}

/// The end of a `with` block within the session's own: as a connection's.
fn end_inner(session: &Bound<'_, PyAny>, failed: bool) -> PyResult<bool> {
    if failed {
        session.call_method0("rollback")?;
        return Ok(false);
    }
    if let Err(error) = session.call_method0("commit") {
        if let Err(second) = session.call_method0("rollback") {
            second.set_context(session.py(), Some(error));
            return Err(second);
        }
        return Err(error);
    }
    Ok(false)
}

/// A session's `__del__`.
#[pyfunction]
#[pyo3(signature = (session, /))]
fn delete(session: &Bound<'_, PyAny>) {
    let py = session.py();
    let Ok(block) = block_of(session) else {
        return;
    };
    let this = block.get();
    if let (true, Err(_), Ok(stdlib)) = (this.is_open(py), this.check(py), stdlib(py)) {
        // Collected in another thread, where the stdlib refuses to close it, but by its own `__del__`. Before Python 3.13
        // it has none: its memory's end closes it.
        let _ = stdlib
            .connection
            .bind(py)
            .call_method1("__del__", (session,));
    }
    this.end(session);
}

/// Ends what a thread has open when the thread ends, which its dictionary does not outlive.
#[pyclass(frozen, name = "_ThreadEnd", module = "dbmanager")]
struct ThreadEnd(usize);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        Python::attach(|py| {
            for session in open_sessions::plain_ones_of(py, self.0) {
                if let Ok(block) = block_of(&session) {
                    block.get().end(&session);
                }
            }
        });
    }
}

fn end_with_this_thread(py: Python<'_>) -> PyResult<()> {
    // SAFETY: the interpreter is held; the dictionary is borrowed from the thread, null if there is none.
    let dictionary = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyThreadState_GetDict()) };
    let Some(dictionary) = dictionary.and_then(|known| known.cast_into::<PyDict>().ok()) else {
        return Ok(());
    };
    let key = "dbmanager._ThreadEnd";
    match dictionary.contains(key)? {
        true => Ok(()),
        false => dictionary.set_item(key, Bound::new(py, ThreadEnd(thread::number()))?),
    }
}

/// Add what a class of sessions takes as its methods: functions that are native, and take the session as methods do.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Block>()?;
    for (name, function) in [
        ("_enter", wrap_pyfunction!(enter, module)?),
        ("_exit", wrap_pyfunction!(exit, module)?),
        ("_delete", wrap_pyfunction!(delete, module)?),
    ] {
        // SAFETY: a new reference, or null with an exception.
        let method = unsafe {
            Bound::from_owned_ptr_or_err(module.py(), PyInstanceMethod_New(function.as_ptr()))
        };
        module.add(name, method?)?;
    }
    Ok(())
}
