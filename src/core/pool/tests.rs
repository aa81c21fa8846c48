//! The pool without Python.

use super::*;
use crate::core::error::Error;
use crate::core::raw::statement::Step;
use crate::core::raw::{ColumnValue, Statement};
use crate::core::sqlite::Connection;
use crate::core::sqlite::open::Access;
use std::fs;

struct Place {
    folder: tempfile::TempDir,
    settings: Arc<Settings>,
}

impl Place {
    fn new(pool_size: u32, max_overflow: u32) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            settings: Arc::new(Settings {
                pool_size,
                max_overflow: Some(max_overflow),
                pool_timeout: Duration::from_millis(50),
                ..Settings::default()
            }),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    /// The pool of the file, which is made if it is not there.
    fn pool(&self) -> Arc<Pool> {
        if !self.path().exists() {
            fs::write(self.path(), b"").unwrap();
        }
        let look = Look::at(&self.path()).unwrap();
        let identity = Identity::of(&self.path(), &look, Access::ReadWriteCreate).unwrap();
        let pool = Pool::new(identity, self.path(), Writers::new());
        pool.manage(&self.settings);
        pool
    }

    fn session(&self, pool: &Arc<Pool>) -> Result<Lease> {
        let look = Look::at(&self.path()).unwrap();
        let (place, _) = pool.enter()?;
        pool.lease(place, &self.path(), Some(&look), None)
    }

    fn connect(&self, pool: &Arc<Pool>) -> Lease {
        pool.lease_plain(&self.path(), &Look::at(&self.path()).unwrap())
            .unwrap()
    }
}

fn run(connection: &Connection, sql: &str) -> ColumnValue<'static> {
    let database = connection.database();
    let statement = Statement::prepare(database, sql).unwrap();
    let guard = database.lock();
    match statement.step(&guard) {
        Step::Row => match statement.column(&guard, 0) {
            ColumnValue::Integer(value) => ColumnValue::Integer(value),
            _ => ColumnValue::Null,
        },
        Step::Done => ColumnValue::Null,
        Step::Failed(_) => panic!("{sql}: {}", guard.last_failure().message),
    }
}

fn number(connection: &Connection, sql: &str) -> i64 {
    match run(connection, sql) {
        ColumnValue::Integer(value) => value,
        other => panic!("{sql} gave {other:?}"),
    }
}

fn figure(pool: &Pool, name: &str) -> u64 {
    let figures = pool.statistics();
    figures.iter().find(|(known, _)| known == name).unwrap().1
}

#[test]
fn a_connection_is_used_again() {
    let place = Place::new(2, 0);
    let pool = place.pool();
    drop(place.session(&pool).unwrap());
    drop(place.session(&pool).unwrap());
    assert_eq!(figure(&pool, "opened_total"), 1);
    assert_eq!(figure(&pool, "acquired_total"), 2);
}

#[test]
fn an_open_transaction_is_rolled_back_on_return() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let lease = place.session(&pool).unwrap();
    run(lease.connection(), "create table t(x)");
    run(lease.connection(), "begin immediate");
    run(lease.connection(), "insert into t values(1)");
    drop(lease);
    let lease = place.session(&pool).unwrap();
    assert!(lease.connection().database().lock().is_autocommit());
    assert_eq!(number(lease.connection(), "select count(*) from t"), 0);
    assert_eq!(figure(&pool, "reset_total"), 1);
    assert_eq!(figure(&pool, "opened_total"), 1);
}

#[test]
fn a_connection_whose_settings_were_changed_for_good_is_not_lent_again() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let lease = place.session(&pool).unwrap();
    run(lease.connection(), "pragma query_only=1");
    drop(lease);
    drop(place.session(&pool).unwrap());
    assert_eq!(figure(&pool, "opened_total"), 2);
    assert_eq!(figure(&pool, "discarded_altered_total"), 1);
}

#[test]
fn common_pragmas_are_set_back_to_what_the_door_wants() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let changes = "pragma foreign_keys=%; pragma synchronous=0; pragma cache_size=-7;
        pragma recursive_triggers=1; pragma wal_autocheckpoint=7; pragma busy_timeout=7";
    let values = |lease: &Lease| {
        [
            "foreign_keys",
            "synchronous",
            "cache_size",
            "recursive_triggers",
            "wal_autocheckpoint",
        ]
        .map(|name| number(lease.connection(), &format!("pragma {name}")))
    };
    for (lend, opposite, expected) in [
        (true, "0", [1, 1, -2000, 0, 1000]),
        (false, "1", [0, 2, -2000, 0, 1000]),
    ] {
        // Twice: the second time from the cache of statements.
        for _ in 0..2 {
            let lease = match lend {
                true => place.session(&pool).unwrap(),
                false => place.connect(&pool),
            };
            assert_eq!(values(&lease), expected);
            for sql in changes.replace('%', opposite).split(';') {
                run(lease.connection(), sql);
            }
            assert_ne!(values(&lease), expected);
        }
    }
    // One for each door.
    assert_eq!(figure(&pool, "opened_total"), 2);
}

#[test]
fn counters_start_at_nothing() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let lease = place.connect(&pool);
    run(lease.connection(), "create table t(x)");
    run(lease.connection(), "insert into t values(1), (2)");
    assert_eq!(number(lease.connection(), "select changes()"), 2);
    drop(lease);
    let lease = place.connect(&pool);
    for count in ["changes()", "total_changes()", "last_insert_rowid()"] {
        assert_eq!(
            number(lease.connection(), &format!("select {count}")),
            0,
            "{count}"
        );
    }
    assert_eq!(lease.connection().database().total_changes(), Some(0));
    run(lease.connection(), "insert into t values(3)");
    assert_eq!(number(lease.connection(), "select changes()"), 1);
    assert_eq!(number(lease.connection(), "select total_changes()"), 1);
    assert_eq!(figure(&pool, "opened_total"), 1);
}

#[test]
fn beyond_the_size_connections_of_connect_are_not_kept() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let all: Vec<_> = (0..3).map(|_| place.connect(&pool)).collect();
    drop(all);
    assert_eq!(figure(&pool, "overflow_total"), 2);
    assert_eq!(figure(&pool, "discarded_surplus_total"), 2);
    assert_eq!(figure(&pool, "pool_idle"), 1);
}

#[test]
fn waiting_too_long_says_how_many_are_in_use_and_who_has_them() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let look = Look::at(&place.path()).unwrap();
    let caller = Some("service.py, line 7".to_owned());
    let (admitted, _) = pool.enter().unwrap();
    let _held = pool
        .lease(admitted, &place.path(), Some(&look), caller)
        .unwrap();
    let refused = || {
        place
            .session(&pool)
            .map(drop)
            .expect_err("there is one connection, and it is lent")
            .to_string()
    };
    let text = std::thread::scope(|scope| scope.spawn(refused).join().unwrap());
    assert!(text.contains("(1 in use, 0 waiting)"), "{text}");
    assert!(text.contains("service.py, line 7"), "{text}");
    assert_eq!(figure(&pool, "timeouts_total"), 1);
    // The thread that has it is told at once.
    let text = refused();
    assert!(text.contains("would wait for itself"), "{text}");
    assert!(text.contains("service.py, line 7"), "{text}");
    assert_eq!(figure(&pool, "timeouts_total"), 1);
    assert_eq!(figure(&pool, "waited_total"), 1);
}

#[test]
fn a_file_that_was_overwritten_in_place_is_read_anew() {
    let place = Place::new(2, 0);
    let pool = place.pool();
    let lease = place.connect(&pool);
    run(lease.connection(), "create table t(x)");
    run(lease.connection(), "insert into t values(1)");
    drop(lease);
    let saved = fs::read(place.path()).unwrap();
    let lease = place.connect(&pool);
    run(lease.connection(), "update t set x = 2");
    drop(lease);
    fs::write(place.path(), saved).unwrap();
    let lease = place.connect(&pool);
    assert_eq!(number(lease.connection(), "select x from t"), 1);
    assert!(figure(&pool, "discarded_stale_total") >= 1);
}

#[test]
fn after_the_last_close_all_is_in_the_file_itself() {
    let place = Place::new(2, 0);
    let pool = place.pool();
    let lease = place.connect(&pool);
    run(lease.connection(), "pragma journal_mode=wal");
    run(lease.connection(), "create table t(x)");
    run(lease.connection(), "insert into t values(1)");
    drop(lease);
    let copy = place.folder.path().join("copy.db");
    fs::copy(place.path(), &copy).unwrap();
    let copy = Connection::open(&copy, false, false, 0).unwrap();
    assert_eq!(number(&copy, "select x from t"), 1);
    assert_eq!(figure(&pool, "pool_idle"), 1);
}

#[test]
fn draining_and_resizing_close_what_is_too_much() {
    let place = Place::new(3, 0);
    let pool = place.pool();
    let lent = place.connect(&pool);
    drop([place.connect(&pool), place.connect(&pool)]);
    assert_eq!(figure(&pool, "pool_idle"), 2);
    let smaller = Settings {
        pool_size: 1,
        ..(*place.settings).clone()
    };
    pool.resize(&Arc::new(smaller));
    assert_eq!(
        (figure(&pool, "pool_idle"), figure(&pool, "pool_size")),
        (0, 1)
    );
    pool.drain();
    drop(lent);
    assert_eq!(figure(&pool, "pool_size"), 0);
    assert_eq!(figure(&pool, "discarded_closed_total"), 1);
}

#[test]
fn connections_are_closed_when_they_are_idle_for_too_long() {
    let place = Place::new(3, 0);
    let pool = place.pool();
    drop([place.connect(&pool), place.session(&pool).unwrap()]);
    pool.sweep(Instant::now());
    assert_eq!(figure(&pool, "pool_idle"), 2);
    pool.sweep(Instant::now() + Duration::from_secs(601));
    assert_eq!(figure(&pool, "pool_idle"), 0);
    assert_eq!(figure(&pool, "discarded_idle_total"), 2);
}

#[test]
fn how_long_connections_may_be_idle_is_a_setting() {
    let mut place = Place::new(3, 0);
    let with = |place: &Place, limit| {
        Arc::new(Settings {
            pool_idle_timeout: limit,
            ..(*place.settings).clone()
        })
    };
    place.settings = with(&place, Some(Duration::from_secs(5)));
    let pool = place.pool();
    drop(place.session(&pool).unwrap());
    pool.sweep(Instant::now() + Duration::from_secs(4));
    assert_eq!(figure(&pool, "pool_idle"), 1);
    pool.sweep(Instant::now() + Duration::from_secs(6));
    assert_eq!(figure(&pool, "pool_idle"), 0);
    place.settings = with(&place, None);
    let pool = place.pool();
    drop(place.session(&pool).unwrap());
    pool.sweep(Instant::now() + Duration::from_secs(1_000_000));
    assert_eq!(figure(&pool, "pool_idle"), 1);
}

#[test]
fn a_connection_that_is_too_old_is_replaced() {
    let mut place = Place::new(1, 0);
    place.settings = Arc::new(Settings {
        pool_recycle: Some(Duration::ZERO),
        ..(*place.settings).clone()
    });
    let pool = place.pool();
    drop(place.session(&pool).unwrap());
    drop(place.session(&pool).unwrap());
    assert_eq!(figure(&pool, "opened_total"), 2);
    assert_eq!(figure(&pool, "discarded_recycled_total"), 2);
}

#[test]
fn a_folder_and_a_missing_folder_fail_at_once_with_sqlites_words() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("no/such.db")] {
        let Err(Error::Sqlite(failure)) = registry::connect(&path, false, false, 128) else {
            panic!("there is nothing to open")
        };
        assert_eq!(failure.message, "unable to open database file");
    }
}

#[test]
fn one_file_has_one_pool_whatever_its_path() {
    let place = Place::new(1, 0);
    let link = place.folder.path().join("link.db");
    drop(registry::connect(&place.path(), false, false, 128).unwrap());
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    let pool = |path: &Path| match registry::connect(path, false, false, 128).unwrap() {
        registry::Opened::Pooled(lease) => Arc::clone(lease.pool()),
        registry::Opened::Private(_) => panic!("a file is pooled"),
    };
    assert!(Arc::ptr_eq(&pool(&place.path()), &pool(&link)));
    assert_eq!(figure(&pool(&link), "pool_idle"), 1);
}

#[test]
fn a_file_that_was_replaced_has_another_pool() {
    let place = Place::new(1, 0);
    let open = || match registry::connect(&place.path(), false, false, 128).unwrap() {
        registry::Opened::Pooled(lease) => lease,
        registry::Opened::Private(_) => panic!("a file is pooled"),
    };
    run(open().connection(), "create table t(x)");
    drop(open());
    fs::rename(place.path(), place.folder.path().join("old.db")).unwrap();
    let lease = open();
    assert_eq!(
        number(lease.connection(), "select count(*) from sqlite_schema"),
        0
    );
}

#[test]
fn a_connection_to_a_file_that_came_to_the_path_meanwhile_is_not_kept() {
    let place = Place::new(1, 0);
    let pool = place.pool();
    let look = Look::at(&place.path()).unwrap();
    fs::rename(place.path(), place.folder.path().join("old.db")).unwrap();
    fs::write(place.path(), b"").unwrap();
    drop(pool.lease_plain(&place.path(), &look).unwrap());
    assert_eq!(pool.load().idle, 0);
    fs::rename(place.folder.path().join("old.db"), place.path()).unwrap();
    drop(pool.lease_plain(&place.path(), &look).unwrap());
    assert_eq!(pool.load().idle, 1);
}

#[test]
fn a_new_file_in_place_of_a_removed_one_gets_none_of_the_old_content() {
    let place = Place::new(2, 0);
    let open = || registry::connect(&place.path(), false, false, 128).unwrap();
    let connection = |opened: &registry::Opened| match opened {
        registry::Opened::Pooled(lease) => Arc::clone(lease.connection().database()),
        registry::Opened::Private(_) => panic!("a file is pooled"),
    };
    let execute = |opened: &registry::Opened, sql| {
        connection(opened).lock().execute_batch(sql).unwrap();
    };
    let first = open();
    execute(&first, c"pragma journal_mode=wal");
    execute(&first, c"create table old(x)");
    drop(first);
    drop(open());
    fs::remove_file(place.path()).unwrap();
    let second = open();
    execute(&second, c"create table new(x)");
    drop(second);
    let third = open();
    execute(&third, c"insert into new values(1)");
    assert!(
        connection(&third)
            .lock()
            .execute_batch(c"select * from old")
            .is_err()
    );
}

#[test]
fn closing_the_connections_of_a_replaced_file_leaves_the_new_ones_wal() {
    let place = Place::new(2, 0);
    let wal = place.folder.path().join("a.db-wal");
    let pool = place.pool();
    let lease = place.session(&pool).unwrap();
    run(lease.connection(), "create table old(x)");
    drop(lease);
    pool.sweep(Instant::now() + Duration::from_secs(2));
    let old = place.folder.path().join("old.db");
    fs::rename(place.path(), old).unwrap();
    fs::remove_file(&wal).unwrap();
    let new = Connection::open(&place.path(), false, false, 0).unwrap();
    run(&new, "pragma journal_mode=wal");
    run(&new, "create table new(x)");
    assert!(fs::metadata(&wal).unwrap().len() > 0);
    pool.close_idle();
    assert!(fs::metadata(&wal).unwrap().len() > 0);
    assert_eq!(number(&new, "select count(*) from new"), 0);
}

#[test]
fn a_file_that_comes_back_to_its_path_makes_the_one_in_between_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let [path, first, second] =
        ["a.db", "first.db", "second.db"].map(|name| folder.path().join(name));
    for file in [&first, &second] {
        let connection = Connection::open(file, false, false, 0).unwrap();
        run(&connection, "pragma journal_mode=wal");
        run(&connection, "create table t(x)");
    }
    let pool_at_path = || match registry::connect(&path, false, false, 128).unwrap() {
        registry::Opened::Pooled(lease) => {
            run(lease.connection(), "insert into t values(1)");
            Arc::clone(lease.pool())
        }
        registry::Opened::Private(_) => panic!("a file is pooled"),
    };
    let mut pools: Vec<Arc<Pool>> = Vec::new();
    for (comes, goes) in [
        (&first, &second),
        (&second, &first),
        (&first, &second),
        (&second, &first),
    ] {
        if path.exists() {
            fs::rename(&path, goes).unwrap();
        }
        fs::rename(comes, &path).unwrap();
        let pool = pool_at_path();
        assert_eq!(figure(&pool, "pool_idle"), 1);
        if let Some(other) = pools.last() {
            assert_eq!(figure(other, "pool_idle"), 0);
        }
        pools.push(pool);
    }
    assert!(Arc::ptr_eq(&pools[0], &pools[2]) && Arc::ptr_eq(&pools[1], &pools[3]));
    let connection = Connection::open(&path, false, false, 0).unwrap();
    assert_eq!(number(&connection, "select count(*) from t"), 2);
}

#[test]
fn a_connection_that_comes_back_after_another_file_came_to_the_path_is_closed() {
    let place = Place::new(2, 0);
    let pool = place.pool();
    // As the housekeeper has one for a moment.
    let lent = [place.connect(&pool), place.session(&pool).unwrap()];
    pool.leave();
    drop(lent);
    assert_eq!(figure(&pool, "pool_size"), 0);
    assert_eq!(figure(&pool, "discarded_closed_total"), 2);
}

#[test]
fn the_idle_connections_of_a_removed_file_are_closed_soon() {
    let place = Place::new(2, 0);
    let pool = place.pool();
    drop([place.connect(&pool), place.session(&pool).unwrap()]);
    pool.sweep(Instant::now());
    assert_eq!(figure(&pool, "pool_idle"), 2);
    fs::remove_file(place.path()).unwrap();
    pool.sweep(Instant::now());
    assert_eq!(figure(&pool, "pool_idle"), 0);
    assert_eq!(figure(&pool, "discarded_stale_total"), 2);
}

#[test]
fn threads_that_keep_and_discard_connections_wait_for_nobody() {
    let place = Place::new(2, 0);
    let pool = place.pool();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (place, pool) = (&place, &pool);
            scope.spawn(move || {
                // With a wait for r2d2's worker in it, a lost wake-up would make this take minutes.
                for number in 0..2_000 {
                    let lease = place.connect(pool);
                    if number % 5 == thread {
                        run(lease.connection(), "pragma query_only=1");
                    }
                    drop(lease);
                    if number % 500 == 0 {
                        pool.drain();
                    }
                }
            });
        }
    });
    pool.drain();
    assert_eq!(figure(&pool, "pool_size"), 0);
    assert_eq!(
        figure(&pool, "opened_total"),
        figure(&pool, "discarded_total")
    );
}

#[test]
fn a_wal_that_was_removed_is_noticed() {
    let place = Place::new(2, 0);
    let wal = place.folder.path().join("a.db-wal");
    let pool = place.pool();
    let lease = place.connect(&pool);
    run(lease.connection(), "pragma journal_mode=wal");
    run(lease.connection(), "create table t(x)");
    drop(lease);
    fs::remove_file(&wal).unwrap();
    fs::remove_file(place.folder.path().join("a.db-shm")).unwrap();
    let lease = place.connect(&pool);
    run(lease.connection(), "insert into t values(1)");
    assert!(wal.exists());
    assert_eq!(figure(&pool, "discarded_stale_total"), 1);
}

#[test]
fn idle_connections_whose_wal_or_its_index_was_removed_are_closed_soon() {
    for journal in ["a.db-wal", "a.db-shm"] {
        let place = Place::new(2, 0);
        let pool = place.pool();
        let lease = place.session(&pool).unwrap();
        run(lease.connection(), "create table t(x)");
        drop(lease);
        pool.sweep(Instant::now());
        assert_eq!(figure(&pool, "pool_idle"), 1);
        fs::remove_file(place.folder.path().join(journal)).unwrap();
        pool.sweep(Instant::now());
        assert_eq!(figure(&pool, "discarded_stale_total"), 1, "{journal}");
        // As nobody has begun another WAL, what was in this one is in the file.
        assert!(!place.folder.path().join("a.db-wal").exists());
        let lease = place.session(&pool).unwrap();
        assert_eq!(number(lease.connection(), "select count(*) from t"), 0);
    }
}

#[test]
fn a_connection_knows_whether_its_wal_is_there() {
    let place = Place::new(2, 0);
    let wal = place.folder.path().join("a.db-wal");
    let pool = place.pool();
    let lease = place.connect(&pool);
    let is_there = || lease.connection().database().lock().wal_is_there();
    assert_eq!(is_there(), None);
    run(lease.connection(), "pragma journal_mode=wal");
    run(lease.connection(), "create table t(x)");
    assert_eq!(is_there(), Some(true));
    // Another file opened by the same thread is not taken for it.
    let other = Connection::open(&place.folder.path().join("b.db"), false, false, 1).unwrap();
    run(&other, "pragma journal_mode=wal");
    run(&other, "create table t(x)");
    fs::remove_file(&wal).unwrap();
    fs::write(&wal, b"").unwrap();
    assert_eq!(is_there(), Some(false));
    assert_eq!(other.database().lock().wal_is_there(), Some(true));
    fs::remove_file(&wal).unwrap();
    run(lease.connection(), "pragma journal_mode=delete");
    assert_eq!(is_there(), None);
}

#[test]
fn an_idle_database_has_an_empty_wal() {
    let place = Place::new(2, 0);
    let wal = place.folder.path().join("a.db-wal");
    let pool = place.pool();
    let lease = place.session(&pool).unwrap();
    run(lease.connection(), "create table t(x)");
    drop(lease);
    assert!(fs::metadata(&wal).unwrap().len() > 0);
    pool.sweep(Instant::now() + Duration::from_secs(2));
    assert_eq!(fs::metadata(&wal).unwrap().len(), 0);
    drop(place.session(&pool).unwrap());
    assert_eq!(figure(&pool, "opened_total"), 1);
}
