//! What a connection does differently within a session: the transaction and the turn that a write needs, the rows that
//! must be read before it, the file that must still be there.

use super::ahead;
use super::connection::Connection;
use super::cursor::Cursor;
use super::error::{FILE_IS_GONE, core_exception, operational_error, programming_error};
use super::mixed;
use super::names::string;
use super::settings::{IsolationLevel, Optional};
use crate::core::pool::{Pool, Turn, registry};
use crate::core::raw::{LockGuard, Statement};
use crate::core::text::Keyword;
use crate::core::text::effect::Alone;
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reads in autocommit; begins a write transaction at its first write.
    Auto,
    /// One snapshot, no writes.
    Read,
    /// Begins a write transaction at once.
    Write,
}

impl Mode {
    /// An argument `mode`, "auto" if it was left out.
    pub fn of(given: &Optional<'_>) -> PyResult<Self> {
        let Some(given) = &given.0 else {
            return Ok(Self::Auto);
        };
        let text = string(given, "mode")?.to_str()?;
        match text {
            "auto" => Ok(Self::Auto),
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            _ => Err(PyValueError::new_err(format!(
                "mode must be 'auto', 'read' or 'write', not '{text}'"
            ))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What the connection of a session knows beyond others.
pub struct State {
    mode: Mode,
    pool: Arc<Pool>,
    /// Whether to see, before it writes and commits, if its file is still the one at the path.
    looks: bool,
    /// It was seen just now.
    was_seen: bool,
    /// This thread's turn to write, from BEGIN IMMEDIATE to the end of the transaction.
    turn: Option<Turn>,
    /// Cursors in the midst of their rows: borrowed, each takes itself out before it dies.
    reading: Vec<*mut ffi::PyObject>,
}

// SAFETY: the pointers are used under the interpreter lock only.
unsafe impl Send for State {}

impl State {
    /// That of a session that begins, with the turn to write if it has it already.
    pub fn new(mode: Mode, pool: Arc<Pool>, looks: bool, turn: Option<Turn>) -> Self {
        Self {
            mode,
            pool,
            looks,
            was_seen: mode == Mode::Write,
            turn,
            reading: Vec::new(),
        }
    }
}

impl Connection {
    /// What must happen before a statement runs: the transaction that it needs, the turn to write.
    #[inline]
    pub(super) fn before_statement(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        statement: &Statement,
    ) -> PyResult<()> {
        if let Some(wanted) = statement.wants_alone() {
            Self::have_alone(py, guard, wanted);
        }
        if self.is_session(py) {
            return self.before_session_statement(py, guard, statement);
        }
        match self.begins_implicitly(py, guard, statement) {
            true => self.begin(py, guard),
            false => Ok(()),
        }
    }

    /// Have the connections closed that pools keep to its files.
    #[cold]
    pub(super) fn have_alone(py: Python<'_>, guard: &LockGuard<'_>, wanted: &Alone) {
        for path in guard.files(wanted) {
            py.detach(|| registry::step_aside(&path));
        }
    }

    /// Whether it is a session's.
    #[inline]
    pub(super) fn is_session(&self, py: Python<'_>) -> bool {
        self.look(py, |_| ()).is_some()
    }

    /// Look at what a session's connection knows; None for other connections. The look must run no Python code.
    #[inline]
    fn look<R>(&self, py: Python<'_>, look: impl FnOnce(&State) -> R) -> Option<R> {
        // SAFETY: the looks in this file read fields, clone and take references.
        unsafe { self.session.peek(py) }.as_deref().map(look)
    }

    /// Refuse to write a backup over the file of a session, which no transaction can undo, or to put another database in
    /// its place (`what`). A database in memory may be filled so.
    pub(super) fn refuse_to_fill(&self, py: Python<'_>, what: &str) -> PyResult<()> {
        match self.look(py, |session| session.pool.is_in_memory()) {
            Some(false) => Err(programming_error(
                py,
                format!(
                    "a session can't be {what}, which no transaction could undo; use a connection of connect()"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Whether a statement may run as it is: on a plain connection, or reading, or with the turn to write.
    #[inline]
    pub(super) fn needs_no_turn(&self, py: Python<'_>, statement: &Statement) -> bool {
        if statement.is_readonly() {
            return true;
        }
        self.look(py, |session| session.turn.is_some())
            .unwrap_or(true)
    }

    /// What must happen before a statement runs whose values are bound: `before_statement` once more, if Python code
    /// that ran since may have ended the session's transaction.
    #[inline]
    pub(super) fn before_statement_again(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        statement: &Statement,
    ) -> PyResult<()> {
        if statement.keyword() == Keyword::Attach {
            mixed::attaching(py, || statement.expanded(guard))?;
        }
        match !statement.is_readonly() && self.is_session(py) && guard.is_autocommit() {
            true => self.before_session_statement(py, guard, statement),
            false => Ok(()),
        }
    }

    fn before_session_statement(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        statement: &Statement,
    ) -> PyResult<()> {
        if statement.is_readonly() || statement.is_explained() {
            return Ok(());
        }
        self.before_writing(py, guard, statement.can_be_undone())
    }

    /// Before a session writes: begin its transaction if there is none and it can undo that, else take the turn only.
    pub(super) fn before_writing(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        can_be_undone: bool,
    ) -> PyResult<()> {
        if self.look(py, |session| session.mode) == Some(Mode::Read) {
            return Err(operational_error(
                py,
                "this session was opened with mode='read', and the statement writes; use mode='auto' or 'write'",
            ));
        }
        let begins = can_be_undone
            && guard.is_autocommit()
            && self.isolation_level.get(py) != IsolationLevel::None;
        if begins {
            return self.begin_writing(py, guard);
        }
        if !guard.is_writing() {
            self.refuse_replaced(py, guard)?;
        }
        self.take_turn(py)
    }

    /// Refuse to write to a file that is not at its path any more. (It could not be committed.)
    pub(super) fn refuse_replaced(&self, py: Python<'_>, guard: &LockGuard<'_>) -> PyResult<()> {
        // SAFETY: looking at a field and setting it run no Python code.
        let looks = unsafe { self.session.peek_mut(py) }
            .as_mut()
            .is_some_and(|session| !std::mem::take(&mut session.was_seen) && session.looks);
        match looks && guard.has_moved() {
            true => Err(operational_error(py, FILE_IS_GONE)),
            false => Ok(()),
        }
    }

    /// BEGIN IMMEDIATE, in turn. Open cursors are read to their end first: their snapshot would make it fail.
    pub(super) fn begin_writing(&self, py: Python<'_>, guard: &LockGuard<'_>) -> PyResult<()> {
        self.read_ahead(py, guard, |_| true)?;
        self.take_turn(py)?;
        let outcome = match self.look(py, |session| Arc::clone(&session.pool)) {
            Some(pool) => self.begin_immediate(py, guard, &pool),
            None => self.run_begin(py, guard, c"BEGIN IMMEDIATE"),
        };
        self.settle_turn(py, guard);
        outcome
    }

    pub(super) fn read_ahead(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        wanted: impl Fn(&Bound<'_, Cursor>) -> bool,
    ) -> PyResult<()> {
        let cursors = self.look(py, |session| {
            let all = session.reading.iter();
            // SAFETY: each cursor in the list is alive.
            all.map(|cursor| unsafe {
                Bound::from_borrowed_ptr(py, *cursor).cast_into_unchecked::<Cursor>()
            })
            .collect::<Vec<_>>()
        });
        for cursor in cursors.into_iter().flatten().filter(wanted) {
            ahead::read_ahead(&cursor, self, guard)?;
        }
        Ok(())
    }

    fn take_turn(&self, py: Python<'_>) -> PyResult<()> {
        let needed = |session: &State| session.turn.is_none().then(|| Arc::clone(&session.pool));
        let Some(pool) = self.look(py, needed).flatten() else {
            return Ok(());
        };
        let turn = match pool.try_turn() {
            Some(turn) => Ok(turn),
            None => py.detach(|| pool.turn(Duration::ZERO)),
        };
        // Meanwhile a signal's handler may have closed it, or written through it.
        self.check_open(py)?;
        if self.look(py, |session| session.turn.is_none()) != Some(true) {
            return Ok(());
        }
        let turn = turn.map_err(|error| core_exception(py, error))?;
        // SAFETY: no Python code runs while the state is borrowed.
        if let Some(session) = unsafe { self.session.peek_mut(py) } {
            session.turn = Some(turn);
        }
        Ok(())
    }

    /// End the turn to write if the transaction has ended.
    #[inline]
    pub(super) fn settle_turn(&self, py: Python<'_>, guard: &LockGuard<'_>) {
        // SAFETY: no Python code runs while the state is borrowed.
        let turn = match unsafe { self.session.peek_mut(py) } {
            Some(session) if session.turn.is_some() && guard.is_autocommit() => session.turn.take(),
            _ => return,
        };
        // Whoever gets it wants the interpreter next: let go of first, it need not be waited for.
        match turn {
            Some(turn) if turn.hands_over() => py.detach(|| drop(turn)),
            turn => drop(turn),
        }
    }

    /// Note that a cursor of a session is in the midst of its rows, or not any more.
    #[inline]
    pub(super) fn note_reading(&self, py: Python<'_>, cursor: &Cursor, reads: bool) {
        // SAFETY: no Python code runs while the state is borrowed.
        if let Some(session) = unsafe { self.session.peek_mut(py) } {
            let object = cursor.as_object();
            session.reading.retain(|known| *known != object);
            if reads {
                session.reading.push(object);
            }
        }
    }
}
