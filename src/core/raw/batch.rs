//! Rows that are read ahead, so that stepping and making objects of the values can be done apart: the first
//! without the interpreter.

use super::database::LockGuard;
use super::statement::{ColumnValue, Statement, Step};

/// A batch ends after so many rows,
const ROWS: usize = 256;
/// or when its texts and BLOBs have so many bytes.
const BYTES: usize = 64 * 1024;

enum Stored {
    Null,
    Integer(i64),
    Real(f64),
    Text { start: usize, length: usize },
    Blob { start: usize, length: usize },
}

/// Copies of some rows' values.
#[derive(Default)]
pub struct RowBatch {
    columns: usize,
    values: Vec<Stored>,
    bytes: Vec<u8>,
}

impl RowBatch {
    /// Read the current row and those behind it, up to the limits, or up to a row with invalid UTF-8 or without
    /// enough memory. Gives the last step's outcome: `Row` if a further row is ready. Rows that were read before
    /// a failing step are in the batch.
    pub fn fill(&mut self, guard: &LockGuard<'_>, statement: &Statement) -> Step {
        self.values.clear();
        self.bytes.clear();
        self.columns = statement.data_count(guard) as usize;
        for _ in 0..ROWS {
            let complete = self.values.len();
            for index in 0..self.columns {
                let Some(stored) = self.store(statement.column(guard, index as i32)) else {
                    // Left to whoever reads the row directly; the statement stays on it.
                    self.values.truncate(complete);
                    return Step::Row;
                };
                self.values.push(stored);
            }
            let step = statement.step(guard);
            if step != Step::Row || self.bytes.len() >= BYTES {
                return step;
            }
        }
        Step::Row
    }

    fn store(&mut self, value: ColumnValue<'_>) -> Option<Stored> {
        let start = self.bytes.len();
        Some(match value {
            ColumnValue::Null => Stored::Null,
            ColumnValue::Integer(value) => Stored::Integer(value),
            ColumnValue::Real(value) => Stored::Real(value),
            ColumnValue::NoMemory => return None,
            ColumnValue::Text(text) => {
                std::str::from_utf8(text).ok()?;
                let length = self.copy(text)?;
                Stored::Text { start, length }
            }
            ColumnValue::Blob(blob) => {
                let length = self.copy(blob)?;
                Stored::Blob { start, length }
            }
        })
    }

    /// Copy bytes if there is memory for them. Gives their number.
    fn copy(&mut self, bytes: &[u8]) -> Option<usize> {
        self.bytes.try_reserve(bytes.len()).ok()?;
        self.bytes.extend_from_slice(bytes);
        Some(bytes.len())
    }

    /// Rows in the batch.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Columns of each row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// A value. Panics when out of range.
    pub fn value(&self, row: usize, column: usize) -> ColumnValue<'_> {
        match self.values[row * self.columns + column] {
            Stored::Null => ColumnValue::Null,
            Stored::Integer(value) => ColumnValue::Integer(value),
            Stored::Real(value) => ColumnValue::Real(value),
            Stored::Text { start, length } => ColumnValue::Text(&self.bytes[start..start + length]),
            Stored::Blob { start, length } => ColumnValue::Blob(&self.bytes[start..start + length]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sqlite::open;

    #[test]
    fn a_batch_ends_at_its_limit_and_the_next_goes_on() {
        let db = open::memory().unwrap();
        let sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300)
                   select i, 'text ' || i, null, 0.5, x'00ff' from n";
        let statement = Statement::prepare(&db, sql).unwrap();
        let guard = db.lock();
        assert_eq!(statement.step(&guard), Step::Row);
        let mut batch = RowBatch::default();
        assert_eq!(batch.fill(&guard, &statement), Step::Row);
        assert_eq!((batch.len(), batch.columns()), (ROWS, 5));
        assert_eq!(batch.value(255, 1), ColumnValue::Text(b"text 256"));
        assert_eq!(batch.fill(&guard, &statement), Step::Done);
        assert_eq!(batch.len(), 44);
        assert_eq!(batch.value(43, 0), ColumnValue::Integer(300));
        assert_eq!(batch.value(43, 4), ColumnValue::Blob(b"\x00\xff"));
    }

    #[test]
    fn a_batch_ends_before_a_row_with_invalid_text() {
        let db = open::memory().unwrap();
        let sql = "select 'a' union all select cast(x'ff' as text) union all select 'c'";
        let statement = Statement::prepare(&db, sql).unwrap();
        let guard = db.lock();
        assert_eq!(statement.step(&guard), Step::Row);
        let mut batch = RowBatch::default();
        assert_eq!(batch.fill(&guard, &statement), Step::Row);
        assert_eq!(batch.len(), 1);
        assert_eq!(statement.column(&guard, 0), ColumnValue::Text(b"\xff"));
        assert_eq!(batch.fill(&guard, &statement), Step::Row);
        assert!(batch.is_empty());
    }

    #[test]
    fn rows_before_a_failing_step_are_kept() {
        let db = open::memory().unwrap();
        let sql = "select abs(v) from (select 1 v union all select -9223372036854775808)";
        let statement = Statement::prepare(&db, sql).unwrap();
        let guard = db.lock();
        assert_eq!(statement.step(&guard), Step::Row);
        let mut batch = RowBatch::default();
        assert!(matches!(batch.fill(&guard, &statement), Step::Failed(_)));
        assert_eq!(batch.len(), 1);
    }
}
