//! The few statements that begin and end transactions: compiled once a connection.

use super::database::LockGuard;
use crate::core::error::Result;
use rusqlite::ffi;
use std::cell::RefCell;
use std::ffi::CStr;
use std::ptr;

/// The statements that were compiled, each by the address of its text.
#[derive(Default)]
pub(super) struct Fixed(RefCell<Vec<(*const CStr, *mut ffi::sqlite3_stmt)>>);

impl LockGuard<'_> {
    /// Run a statement that gives no rows and is one of a few. Its text is known by its address.
    pub fn run_fixed(&self, sql: &'static CStr) -> Result<()> {
        if self.has_authorizer() {
            // It is asked each time that a statement is compiled.
            return self.execute_batch(sql);
        }
        let statement = match self.fixed_statement(sql) {
            Some(statement) => statement,
            None => self.compile_fixed(sql)?,
        };
        // SAFETY: a live statement of this open handle; the reset gives what the step gave, if that failed.
        let code = unsafe {
            ffi::sqlite3_step(statement);
            ffi::sqlite3_reset(statement)
        };
        self.check(code)
    }

    fn fixed_statement(&self, sql: &'static CStr) -> Option<*mut ffi::sqlite3_stmt> {
        let known = self.database().fixed().0.borrow();
        let found = known.iter().find(|(text, _)| ptr::eq(*text, sql));
        found.map(|(_, statement)| *statement)
    }

    fn compile_fixed(&self, sql: &'static CStr) -> Result<*mut ffi::sqlite3_stmt> {
        let mut statement = ptr::null_mut();
        // SAFETY: the handle is open, the text NUL-terminated, its rest not asked for.
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                self.handle(),
                sql.as_ptr(),
                -1,
                ffi::SQLITE_PREPARE_PERSISTENT as _,
                &mut statement,
                ptr::null_mut(),
            )
        };
        self.check(code)?;
        // `close` finalizes it with the others.
        self.adopt_statement(statement);
        self.database()
            .fixed()
            .0
            .borrow_mut()
            .push((sql, statement));
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use crate::core::sqlite::open;

    #[test]
    fn a_statement_runs_again_and_fails_with_sqlites_words() {
        let db = open::memory().unwrap();
        let guard = db.lock();
        const BEGIN: &std::ffi::CStr = c"BEGIN IMMEDIATE";
        const COMMIT: &std::ffi::CStr = c"COMMIT";
        for _ in 0..3 {
            guard.run_fixed(BEGIN).unwrap();
            assert!(!guard.is_autocommit());
            let again = guard.run_fixed(BEGIN).unwrap_err().to_string();
            assert_eq!(again, "cannot start a transaction within a transaction");
            guard.run_fixed(COMMIT).unwrap();
            assert!(guard.is_autocommit());
            let again = guard.run_fixed(COMMIT).unwrap_err().to_string();
            assert_eq!(again, "cannot commit - no transaction is active");
        }
        guard.close();
        assert!(!db.is_open());
    }
}
