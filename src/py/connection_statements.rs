//! A connection's statements: from texts, out of the cache and back, and their steps.

use super::connection::Connection;
use super::error::prepare_exception;
use super::interpreter::{self, Stretch};
use super::names;
use super::statement::PyStatement;
use crate::core::raw::{LockGuard, Statement, Step};
use crate::core::sqlite::cache::Place;
use crate::core::text::Keyword;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeInfo;
use pyo3::types::PyString;
use std::ptr;
use std::sync::Arc;

/// A connection as an object, borrowed.
#[derive(Clone, Copy)]
pub(super) struct Caller(*mut ffi::PyObject);

// SAFETY: the pointer is used under the interpreter lock only.
unsafe impl Send for Caller {}

impl Caller {
    /// The connection, if calling it is not what it is for `Connection`.
    pub(super) fn of(connection: &Bound<'_, Connection>) -> Option<Self> {
        let own = |class: *mut ffi::PyTypeObject| {
            // SAFETY: a look at a slot of a live type.
            unsafe { (*class).tp_call.map(|slot| slot as usize) }
        };
        let proper = Connection::type_object_raw(connection.py());
        (own(connection.get_type_ptr()) != own(proper)).then_some(Self(connection.as_ptr()))
    }

    /// Call the connection, as the stdlib does for a text that it has no statement for: a subclass may refuse the
    /// text, or write another one. Gives the text of the statement that comes back.
    #[cold]
    fn call<'py>(
        self,
        py: Python<'py>,
        sql: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyString>> {
        // SAFETY: the pointer is kept in the object itself.
        let this = unsafe { Bound::from_borrowed_ptr(py, self.0) };
        let statement = this.call1((sql,))?;
        let Ok(statement) = statement.cast::<PyStatement>() else {
            return Err(PyTypeError::new_err(format!(
                "{}.__call__ must give what sqlite3.Connection.__call__ gives, not {:.100}",
                names::type_name(&this),
                names::type_name(&statement)
            )));
        };
        Ok(statement.get().sql(py).clone())
    }
}

impl Connection {
    /// The statement for a text: from the cache if it is not in use, else compiled.
    #[inline]
    pub fn take_statement(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        sql: &Bound<'_, PyString>,
    ) -> PyResult<Box<Statement>> {
        match self.take_recent(py, sql) {
            Some(statement) => Ok(statement),
            None => self.find_statement(py, guard, sql),
        }
    }

    /// The statement for a text object that was executed lately and is not in use.
    #[inline]
    pub fn take_recent(&self, py: Python<'_>, sql: &Bound<'_, PyString>) -> Option<Box<Statement>> {
        // SAFETY: comparing addresses and taking from the cache run no Python code.
        unsafe {
            let place = self.recent.peek(py).find(sql)?;
            self.physical.peek_mut(py).as_mut()?.cache().take(place)
        }
    }

    fn find_statement(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        sql: &Bound<'_, PyString>,
    ) -> PyResult<Box<Statement>> {
        let text = match self.caller.get(py) {
            Some(caller) => &caller.call(py, sql)?,
            None => sql,
        };
        let database = self.database(py)?;
        if !ptr::eq(guard.database(), &*database) {
            // What was called has opened the connection anew: the lock is that of the old one.
            return Err(self.closed(py));
        }
        let text = names::terminated(text)?;
        // SAFETY: the cache runs no Python code; evicted statements hold only names.
        let cached = unsafe { self.physical.peek_mut(py) }
            .as_mut()
            .and_then(|physical| {
                let place = physical.cache().find(&text)?;
                let statement = physical.cache().take(place);
                Some((place, statement))
            });
        if let Some((place, Some(statement))) = cached {
            self.remember(py, sql, place);
            return Ok(statement);
        }
        // The first statement reads the whole schema from the file, which takes its time.
        let stretch = match database.schema_read().replace(true) {
            false => Stretch::detached_for_others(py, &database),
            true => Stretch::attached(py, &database),
        };
        // An authorizer may run here, and close the connection.
        let prepared = Statement::prepare_locked(&database, guard, text);
        drop(stretch);
        let statement = prepared.map_err(|error| prepare_exception(py, error))?;
        let statement = Box::new(statement);
        // SAFETY: as above.
        let place = unsafe { self.physical.peek_mut(py) }
            .as_mut()
            .filter(|physical| Arc::ptr_eq(physical.database(), &database))
            .and_then(|physical| physical.cache().assign(&text, &statement));
        if let Some(place) = place {
            self.remember(py, sql, place);
        }
        Ok(statement)
    }

    fn remember(&self, py: Python<'_>, sql: &Bound<'_, PyString>, place: Place) {
        // A str subclass may be changed by its user in ways that its address does not show.
        if sql.is_exact_instance_of::<PyString>() {
            // SAFETY: replacing runs no Python code: the old text is dropped after the borrow.
            let old = unsafe { self.recent.peek_mut(py).note(sql, place) };
            drop(old.map(|old| old.into_bound(py)));
        }
    }

    /// Reset a statement and put it back into the cache it came from.
    #[inline]
    pub fn give_back(&self, py: Python<'_>, statement: Box<Statement>) {
        let database = Arc::clone(statement.database());
        if let Some(guard) = database.try_lock() {
            self.give_back_locked(py, &guard, statement);
        }
        // Else it is finalized by the lock's holder, another thread that is using the connection.
    }

    /// `give_back` by who has the lock of the statement's database.
    #[inline]
    pub fn give_back_locked(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        statement: Box<Statement>,
    ) {
        if !statement.is_live() {
            return;
        }
        // The finalizer of an aggregate that is in its midst may run Python code here, and close the connection.
        statement.reset(guard);
        // SAFETY: no Python code runs while the cache is borrowed.
        let rejected = match unsafe { self.physical.peek_mut(py) } {
            Some(physical) if ptr::eq(&**physical.database(), guard.database()) => {
                physical.cache().put(statement)
            }
            // The connection was closed or opened anew since.
            _ => Some(statement),
        };
        drop(rejected);
    }

    /// Whether a statement is run with the interpreter held, at least at first.
    #[inline]
    pub fn keeps_interpreter(py: Python<'_>, guard: &LockGuard<'_>, statement: &Statement) -> bool {
        if guard.database().must_suspend()
            || statement.may_be_one_long_operation() && interpreter::has_other_threads(py)
        {
            return false;
        }
        match statement.keyword() {
            Keyword::Query | Keyword::Explain if statement.is_readonly() => true,
            Keyword::Query | Keyword::Explain | Keyword::Dml => !guard.is_autocommit(),
            Keyword::Begin => true,
            Keyword::End | Keyword::Attach | Keyword::Schema | Keyword::Other => false,
        }
    }

    /// Run a statement that `keeps_interpreter` to its next row. A tick may give the interpreter up on the way.
    #[inline]
    pub fn step_attached(py: Python<'_>, guard: &LockGuard<'_>, statement: &Statement) -> Step {
        let _stretch = Stretch::attached(py, guard.database());
        statement.step(guard)
    }

    /// Run a statement to its next row, giving the interpreter up as its kind asks for.
    #[inline]
    pub fn step(&self, py: Python<'_>, guard: &LockGuard<'_>, statement: &Statement) -> Step {
        let database = guard.database();
        if Self::keeps_interpreter(py, guard, statement) {
            return Self::step_attached(py, guard, statement);
        }
        let stretch = Stretch::detached(py, database);
        let step = statement.step(guard);
        drop(stretch);
        if statement.keyword() == Keyword::Attach {
            // The attached database may share its cache, whose mutexes can block for long.
            database.suspend_always();
        }
        step
    }
}
