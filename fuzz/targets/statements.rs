//! Any SQL with any parameters, on a pooled connection, and then its next user: nothing crashes, and the next one finds the
//! connection as good as new.
//!
//! An input is cut into steps at 0xFF. A step's first byte says what is done with the SQL behind it, its second how many
//! values are bound, and from which of them.

#![no_main]

use dbmanager::core::pool::Lease;
use dbmanager::core::raw::{ColumnValue, LockGuard, Statement, Step};
use dbmanager::core::session::Manager;
use dbmanager::core::session::asked::Asked;
use dbmanager::core::session::url::DatabaseUrl;
use dbmanager::core::text::Terminated;
use libfuzzer_sys::fuzz_target;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Rows that are read of a statement.
const MOST_ROWS: usize = 50;
/// Calls of the progress handler after which a statement is ended: some 2 million operations.
const MOST_TICKS: u32 = 2_000;

/// One manager for all inputs, in a folder of its own: SQL may make files.
fn manager() -> &'static Manager {
    static MANAGER: OnceLock<Manager> = OnceLock::new();
    MANAGER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        std::env::set_current_dir(&folder).unwrap();
        let url = "sqlite:///fuzz.db";
        let target = DatabaseUrl::parse(url, || Ok(folder)).unwrap().target;
        Manager::new(url, target, &Asked::default()).unwrap()
    })
}

fuzz_target!(|data: &[u8]| {
    let lease = manager().lease(None).unwrap();
    for step in data.split(|byte| *byte == 0xFF).take(20) {
        let [how, values, sql @ ..] = step else {
            continue;
        };
        let sql = String::from_utf8_lossy(sql);
        bound(&lease);
        match how % 3 {
            0 | 1 => run(&lease, &sql, *values),
            _ => script(&lease, &sql),
        }
    }
    drop(lease);
    as_good_as_new(&manager().lease(None).unwrap());
});

/// Let no statement take too long or grow too large.
fn bound(lease: &Lease) {
    let guard = lease.connection().database().lock();
    let ticks = AtomicU32::new(0);
    let progress = move || ticks.fetch_add(1, Ordering::Relaxed) > MOST_TICKS;
    guard.set_progress(1_000, Some(Arc::new(progress)));
    // SQLITE_LIMIT_LENGTH
    guard.limit(0, 1_000_000);
}

fn run(lease: &Lease, sql: &str, values: u8) {
    let database = lease.connection().database();
    let Ok(statement) = Statement::prepare(database, sql) else {
        return;
    };
    let guard = database.lock();
    for index in 1..=statement.parameter_count().min(20) {
        bind(&statement, &guard, index, values.wrapping_add(index as u8));
    }
    for _ in 0..MOST_ROWS {
        if statement.step(&guard) != Step::Row {
            break;
        }
        for column in 0..statement.column_count(&guard) {
            read(statement.column(&guard, column));
        }
    }
}

fn bind(statement: &Statement, guard: &LockGuard<'_>, index: i32, which: u8) {
    let _ = match which % 8 {
        0 => statement.bind_null(guard, index),
        1 => statement.bind_integer(guard, index, i64::MIN),
        2 => statement.bind_integer(guard, index, i64::from(which)),
        3 => statement.bind_real(guard, index, f64::NAN),
        4 => statement.bind_real(guard, index, -0.0),
        5 => statement.bind_text(guard, index, "a\0\u{10FFFF}".as_bytes()),
        6 => statement.bind_text(guard, index, &[0xC3]),
        _ => statement.bind_blob(guard, index, &[0; 100]),
    };
}

fn read(value: ColumnValue<'_>) {
    if let ColumnValue::Text(bytes) | ColumnValue::Blob(bytes) = value {
        // Every byte must be there.
        std::hint::black_box(bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    }
}

fn script(lease: &Lease, sql: &str) {
    let Ok(text) = CString::new(sql) else {
        return;
    };
    let Some(mut rest) = Terminated::of(&text) else {
        return;
    };
    let guard = lease.connection().database().lock();
    for _ in 0..20 {
        match guard.run_first(rest) {
            Ok(next) if next.as_str().len() < rest.as_str().len() => rest = next,
            _ => break,
        }
    }
}

/// What an earlier user did on the connection is not to be seen.
fn as_good_as_new(lease: &Lease) {
    let database = lease.connection().database();
    let guard = database.lock();
    assert!(guard.is_autocommit());
    assert_eq!(database.total_changes(), Some(0));
    drop(guard);
    assert_eq!(number(lease, "SELECT count(*) FROM sqlite_temp_master"), Some(0));
    assert_eq!(number(lease, "SELECT count(*) FROM pragma_database_list WHERE seq > 1"), Some(0));
    assert_eq!(number(lease, "PRAGMA foreign_keys"), Some(1));
    assert_eq!(number(lease, "PRAGMA query_only"), Some(0));
    assert_eq!(number(lease, "PRAGMA writable_schema"), Some(0));
}

/// The number that a query gives; None if the file was made unreadable.
fn number(lease: &Lease, sql: &str) -> Option<i64> {
    let database = lease.connection().database();
    let statement = Statement::prepare(database, sql).ok()?;
    let guard = database.lock();
    match statement.step(&guard) {
        Step::Row => match statement.column(&guard, 0) {
            ColumnValue::Integer(number) => Some(number),
            other => panic!("{sql}: {other:?}"),
        },
        _ => None,
    }
}
