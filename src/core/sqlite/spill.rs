//! Rows that are set aside in a temporary database: in memory as far as its page cache goes, then in a file that goes
//! with it (sqlite.org/inmemorydb.html, "Temporary databases").

use super::open;
use crate::core::error::{Error, Result};
use crate::core::raw::{ColumnValue, Database, LockGuard, Statement, Step};
use std::ffi::{CString, c_int};
use std::path::Path;
use std::sync::Arc;

/// See the head of this file.
pub struct Spill {
    database: Arc<Database>,
    insert: Statement,
    select: String,
}

impl Spill {
    /// Room for rows with columns of these names.
    pub fn new(names: &[String]) -> Result<Self> {
        let database = open::file(Path::new(""), false, false)?;
        let list = |form: &dyn Fn(usize, &String) -> String| {
            let all: Vec<String> = names.iter().enumerate().map(|(n, s)| form(n, s)).collect();
            all.join(", ")
        };
        let columns = list(&|number, _| format!("c{number}"));
        let marks = list(&|_, _| "?".to_owned());
        let named = list(&|n, name| format!("c{n} AS \"{}\"", name.replace('"', "\"\"")));
        let guard = database.lock();
        guard.execute_batch(c"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN")?;
        // No type, so that each value stays what it is.
        let create = CString::new(format!("CREATE TABLE spill ({columns})")).unwrap_or_default();
        guard.execute_batch(&create)?;
        drop(guard);
        let insert = Statement::prepare(&database, &format!("INSERT INTO spill VALUES ({marks})"))?;
        Ok(Self {
            database,
            insert,
            select: format!("SELECT {named} FROM spill ORDER BY rowid"),
        })
    }

    /// Copy the current row of a statement.
    pub fn push(&self, guard: &LockGuard<'_>, source: &Statement) -> Result<()> {
        let own = self.database.lock();
        for index in 0..source.data_count(guard) {
            let code = self.bind(&own, index + 1, source.column(guard, index))?;
            own.check(code)?;
        }
        let step = self.insert.step(&own);
        let outcome = match step {
            Step::Failed(_) => Err(Error::Sqlite(own.last_failure())),
            Step::Row | Step::Done => Ok(()),
        };
        self.insert.reset(&own);
        outcome
    }

    fn bind(&self, own: &LockGuard<'_>, position: c_int, value: ColumnValue<'_>) -> Result<c_int> {
        Ok(match value {
            ColumnValue::Null => self.insert.bind_null(own, position),
            ColumnValue::Integer(value) => self.insert.bind_integer(own, position, value),
            ColumnValue::Real(value) => self.insert.bind_real(own, position, value),
            ColumnValue::Text(text) => self.insert.bind_text(own, position, text),
            ColumnValue::Blob(blob) => self.insert.bind_blob(own, position, blob),
            ColumnValue::NoMemory => return Err(Error::NoMemory),
        })
    }

    /// The rows, as a statement that is on the first of them.
    pub fn into_rows(self) -> Result<Statement> {
        drop(self.insert);
        let guard = self.database.lock();
        let rows = Statement::prepare(&self.database, &self.select)?;
        match rows.step(&guard) {
            Step::Failed(_) => Err(Error::Sqlite(guard.last_failure())),
            Step::Row | Step::Done => Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_also_when_they_do_not_fit_into_memory() {
        let source = open::memory().unwrap();
        let guard = source.lock();
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500) \
                   SELECT i, -0.0, NULL, CAST(x'ff00fe' AS TEXT), zeroblob(20000 + i), 9e999 AS \"a \"\"b\" FROM n";
        let rows = Statement::prepare(&source, sql).unwrap();
        let names: Vec<String> = (0..6)
            .map(|index| {
                rows.column_name(&guard, index)
                    .unwrap()
                    .into_string()
                    .unwrap()
            })
            .collect();
        let spill = Spill::new(&names).unwrap();
        while rows.step(&guard) == Step::Row {
            spill.push(&guard, &rows).unwrap();
        }
        let spilled = spill.into_rows().unwrap();
        let own = spilled.database().lock();
        assert_eq!(
            spilled.column_name(&own, 5).unwrap().to_bytes(),
            names[5].as_bytes()
        );
        for number in 1..=500_i64 {
            assert_eq!(spilled.column(&own, 0), ColumnValue::Integer(number));
            let ColumnValue::Real(zero) = spilled.column(&own, 1) else {
                panic!("a REAL became something else");
            };
            assert_eq!(zero.to_bits(), (-0.0_f64).to_bits());
            assert_eq!(spilled.column(&own, 2), ColumnValue::Null);
            assert_eq!(spilled.column(&own, 3), ColumnValue::Text(b"\xff\0\xfe"));
            let length = 20_000 + number as usize;
            assert_eq!(spilled.column(&own, 4), ColumnValue::Blob(&vec![0; length]));
            assert_eq!(spilled.column(&own, 5), ColumnValue::Real(f64::INFINITY));
            let expected = if number < 500 { Step::Row } else { Step::Done };
            assert_eq!(spilled.step(&own), expected);
        }
    }
}
