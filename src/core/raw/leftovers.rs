//! What a user registered on a connection or set on it by calls, so that it can be taken back for the next one.

use super::database::LockGuard;
use crate::core::text::Effect;
use rusqlite::ffi;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::{CStr, CString, c_int};
use std::ptr;
use std::sync::OnceLock;

/// SQLite keeps an entry for each name for ever, so a connection with more of them is not used again.
const MOST_NAMES: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    /// A function and its number of arguments.
    Function(CString, c_int),
    Collation(CString),
}

/// See the head of this file.
#[derive(Default)]
pub(super) struct Leftovers(RefCell<State>);

#[derive(Default)]
struct State {
    registered: Vec<Name>,
    /// All names that the connection ever had.
    known: HashSet<Name>,
    /// Limits that were changed, and what they were.
    limits: Vec<(c_int, c_int)>,
}

/// The names of SQLite's own functions, in small letters. Taking back a function that replaced one of them would not
/// bring the original back.
fn own_functions() -> &'static HashSet<String> {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let list = || -> rusqlite::Result<HashSet<String>> {
            let connection = rusqlite::Connection::open_in_memory()?;
            let mut names = connection.prepare("SELECT lower(name) FROM pragma_function_list")?;
            names.query_map((), |row| row.get(0))?.collect()
        };
        list().unwrap_or_default()
    })
}

impl LockGuard<'_> {
    /// Note that a user registers a function, or takes one back.
    pub(super) fn note_function(&self, name: &CStr, arguments: c_int) {
        let folded = name.to_string_lossy().to_ascii_lowercase();
        let own = own_functions();
        if own.is_empty() || own.contains(&folded) {
            return self.database().taint();
        }
        self.note_name(Name::Function(name.to_owned(), arguments));
    }

    /// Note that a user registers a collation, or takes one back.
    pub(super) fn note_collation(&self, name: &CStr) {
        let own = [c"BINARY", c"NOCASE", c"RTRIM"];
        let is = |known: &CStr| known.to_bytes().eq_ignore_ascii_case(name.to_bytes());
        if own.into_iter().any(is) {
            return self.database().taint();
        }
        self.note_name(Name::Collation(name.to_owned()));
    }

    fn note_name(&self, name: Name) {
        let mut state = self.database().leftovers().0.borrow_mut();
        state.known.insert(name.clone());
        if state.known.len() > MOST_NAMES {
            return self.database().taint();
        }
        if !state.registered.contains(&name) {
            state.registered.push(name);
        }
        self.database().note(Effect::REGISTERED);
    }

    /// Note that a user changes a limit.
    pub(super) fn note_limit(&self, category: c_int) {
        // SAFETY: the handle is open; a limit is only read, and -1 for an unknown one.
        let before = unsafe { ffi::sqlite3_limit(self.handle(), category, -1) };
        let mut state = self.database().leftovers().0.borrow_mut();
        if !state.limits.iter().any(|(known, _)| *known == category) {
            state.limits.push((category, before));
        }
        self.database().note(Effect::LIMITS);
    }

    /// Take back what was noted here. False if SQLite refused.
    pub fn take_back(&self) -> bool {
        let (registered, limits) = {
            let mut state = self.database().leftovers().0.borrow_mut();
            let registered = std::mem::take(&mut state.registered);
            (registered, std::mem::take(&mut state.limits))
        };
        for (category, before) in limits {
            // SAFETY: the handle is open; the value is one that the limit had.
            unsafe { ffi::sqlite3_limit(self.handle(), category, before) };
        }
        // Not while the state is borrowed: what is destroyed may run anything.
        registered.iter().all(|name| self.unregister(name))
    }

    fn unregister(&self, name: &Name) -> bool {
        let code = match name {
            Name::Function(name, arguments) => self.remove_function(name, *arguments),
            Name::Collation(name) => self.remove_collation(name),
        };
        code == ffi::SQLITE_OK
    }

    /// Remove a function of any kind. Gives SQLite's result code.
    pub(super) fn remove_function(&self, name: &CStr, arguments: c_int) -> c_int {
        // SAFETY: the handle is open and the name NUL-terminated; without callbacks it is a removal.
        unsafe {
            ffi::sqlite3_create_function_v2(
                self.handle(),
                name.as_ptr(),
                arguments,
                ffi::SQLITE_UTF8,
                ptr::null_mut(),
                None,
                None,
                None,
                None,
            )
        }
    }

    /// Remove a collation. Gives SQLite's result code.
    pub(super) fn remove_collation(&self, name: &CStr) -> c_int {
        // SAFETY: as for `remove_function`.
        unsafe {
            ffi::sqlite3_create_collation_v2(
                self.handle(),
                name.as_ptr(),
                ffi::SQLITE_UTF8,
                ptr::null_mut(),
                None,
                None,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::raw::function::{Arguments, Context, ScalarFunction};
    use crate::core::sqlite::open;
    use std::cmp::Ordering;
    use std::sync::Arc;

    struct One;

    impl ScalarFunction for One {
        fn call(&self, context: &Context, _arguments: &Arguments<'_>) {
            context.result_integer(1);
        }
    }

    #[test]
    fn what_was_registered_is_gone_and_limits_are_as_before() {
        let db = open::memory().unwrap();
        let guard = db.lock();
        db.forget_effects();
        let attached = guard.limit(ffi::SQLITE_LIMIT_ATTACHED, -1);
        for _ in 0..3 {
            guard.create_scalar(c"one", 0, false, One).unwrap();
            guard.create_scalar(c"one", 1, true, One).unwrap();
            let code = guard.create_collation(c"backward", Some(Arc::new(|_, _| Ordering::Equal)));
            assert_eq!(code, ffi::SQLITE_OK);
            guard.limit(ffi::SQLITE_LIMIT_ATTACHED, 3);
            guard.limit(ffi::SQLITE_LIMIT_ATTACHED, 2);
            let sql = c"select one(), one(2), 'a' < 'b' collate backward";
            guard.execute_batch(sql).unwrap();
            assert!(!db.effects().has(Effect::LASTING));
            assert!(guard.take_back());
            for (sql, message) in [
                (c"select one()", "no such function: one"),
                (c"select one(2)", "no such function: one"),
                (
                    c"select 'a' < 'b' collate backward",
                    "no such collation sequence: backward",
                ),
            ] {
                let error = guard.execute_batch(sql).unwrap_err().to_string();
                assert_eq!(error, message);
            }
            assert_eq!(guard.limit(ffi::SQLITE_LIMIT_ATTACHED, -1), attached);
        }
    }

    #[test]
    fn what_replaces_sqlites_own_can_not_be_taken_back() {
        for (function, collation) in [(Some(c"ABS"), None), (None, Some(c"nocase"))] {
            let db = open::memory().unwrap();
            let guard = db.lock();
            db.forget_effects();
            if let Some(name) = function {
                guard.create_scalar(name, 1, false, One).unwrap();
            }
            if let Some(name) = collation {
                guard.create_collation(name, Some(Arc::new(|_, _| Ordering::Equal)));
            }
            assert!(db.effects().has(Effect::LASTING));
        }
    }
}
