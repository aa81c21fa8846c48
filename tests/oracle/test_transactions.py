"""Transactions: when one begins and ends by itself, and what the settings change."""

import sys
from typing import Any

import pytest

from tests.oracle.steps import Run, same_on_both

HAS_AUTOCOMMIT = sys.version_info >= (3, 12)

# Statements that may or may not begin a transaction in the legacy mode.
FIRST_WORDS = [
    "INSERT INTO t VALUES (1)",
    "insert into t values (1)",
    "REPLACE INTO t VALUES (1)",
    "UPDATE t SET a = 2",
    "DELETE FROM t",
    "  \n\t INSERT INTO t VALUES (1)",
    "-- a comment\nINSERT INTO t VALUES (1)",
    "/* a comment */ INSERT INTO t VALUES (1)",
    "/* one */ -- two\n /* three */INSERT INTO t VALUES (1)",
    "/**/INSERT INTO t VALUES (1)",
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    "EXPLAIN INSERT INTO t VALUES (1)",
    "EXPLAIN QUERY PLAN UPDATE t SET a = 2",
    "SELECT * FROM t",
    "SELECT 1",
    "CREATE TABLE u (a)",
    "DROP TABLE t",
    "ALTER TABLE t RENAME TO u",
    "PRAGMA user_version = 3",
    "SAVEPOINT s",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "BEGIN EXCLUSIVE",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "ATTACH ':memory:' AS other",
    "VALUES (1)",
    "INSERT OR IGNORE INTO t VALUES (1)",
    "INSERT INTO t VALUES (1) RETURNING a",
    "\ufeffINSERT INTO t VALUES (1)",
    "; INSERT INTO t VALUES (1)",
    "--",
    "-- only a comment",
    "/* open comment",
    "/* open comment * / INSERT INTO t VALUES (1)",
    "-- a \x0b comment\r\nINSERT INTO t VALUES (1)",
    "\x0bINSERT INTO t VALUES (1)",
    "\x0cINSERT INTO t VALUES (1)",
]


def table(run: Run, **settings: Any) -> Any:
    """Open a connection on a table t(a), with nothing open."""
    connection = run.connect(**settings)
    connection.execute("CREATE TABLE t (a)")
    if connection.in_transaction:
        connection.commit()
    return connection


def see(run: Run, connection: Any) -> None:
    """Note the state of the connection."""
    run.see(in_transaction=connection.in_transaction, total_changes=connection.total_changes)


@pytest.mark.parametrize("isolation_level", ["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE", None])
@pytest.mark.parametrize("sql", FIRST_WORDS)
@same_on_both
def test_implicit_begin_depends_on_first_word_after_comments(
    run: Run, sql: str, isolation_level: str | None
) -> None:
    connection = table(run, isolation_level=isolation_level)
    run(connection.execute, sql)
    see(run, connection)
    run(connection.executemany, sql, [()])
    see(run, connection)
    run(connection.commit)
    see(run, connection)


@same_on_both
def test_select_and_ddl_begin_no_transaction(run: Run) -> None:
    connection = table(run)
    for sql in ("SELECT * FROM t", "CREATE TABLE u (a)", "DROP TABLE u", "PRAGMA user_version"):
        run(connection.execute, sql)
        assert not connection.in_transaction
    run(connection.execute, "INSERT INTO t VALUES (1)")
    assert connection.in_transaction


@same_on_both
def test_failed_insert_leaves_its_implicit_transaction_open(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a PRIMARY KEY)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    run(connection.execute, "INSERT INTO t VALUES (1)")
    see(run, connection)
    run(connection.execute, "INSERT INTO nowhere VALUES (1)")
    see(run, connection)
    run(connection.rollback)
    run(connection.execute, "INSERT INTO nowhere VALUES (1)")
    see(run, connection)


@same_on_both
def test_executescript_commits_an_open_transaction_first(run: Run) -> None:
    connection = table(run)
    connection.execute("INSERT INTO t VALUES (1)")
    run(connection.executescript, "SELECT 1; INSERT INTO t VALUES (2);")
    assert not connection.in_transaction
    run(connection.rollback)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())


@same_on_both
def test_executescript_begins_nothing_and_keeps_what_precedes_an_error(run: Run) -> None:
    connection = table(run)
    run(connection.executescript, "INSERT INTO t VALUES (1); INSERT INTO nowhere VALUES (2);")
    see(run, connection)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.executescript, "BEGIN; INSERT INTO t VALUES (3); SELECT oops;")
    see(run, connection)
    run(connection.rollback)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())


@pytest.mark.parametrize(
    "script",
    [
        "",
        ";",
        "  ",
        "-- nothing",
        "SELECT 1",
        "SELECT 1;",
        "SELECT a FROM t; SELECT 2",
        "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
        "INSERT INTO t VALUES (?)",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END; INSERT INTO t VALUES (1);",
        "COMMIT",
        "BEGIN; COMMIT;",
        "BEGIN; BEGIN;",
        "SELECT 'unfinished",
        "INSERT INTO t VALUES (1); \x00 INSERT INTO t VALUES (2);",
        "INSERT INTO t VALUES ('\udc80')",
        "/* c */ INSERT INTO t VALUES (1) /* d */",
    ],
)
@same_on_both
def test_executescript_runs_all_statements_or_fails_alike(run: Run, script: str) -> None:
    connection = table(run)
    connection.execute("INSERT INTO t VALUES (0)")
    cursor = connection.cursor()
    run(cursor.executescript, script)
    see(run, connection)
    run.see(description=cursor.description, rowcount=cursor.rowcount)
    run(cursor.fetchall)
    run(connection.rollback)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())


@pytest.mark.parametrize("argument", [b"SELECT 1", None, 1, ["SELECT 1"]])
@same_on_both
def test_executescript_wants_text(run: Run, argument: object) -> None:
    connection = table(run)
    connection.execute("INSERT INTO t VALUES (0)")
    run(connection.executescript, argument)
    see(run, connection)
    run(connection.executescript)
    run(connection.executescript, "SELECT 1", "SELECT 2")


@same_on_both
def test_setting_isolation_level_to_none_commits(run: Run) -> None:
    connection = table(run)
    connection.execute("INSERT INTO t VALUES (1)")
    assert connection.in_transaction
    run(setattr, connection, "isolation_level", None)
    assert not connection.in_transaction
    run(connection.rollback)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.execute, "INSERT INTO t VALUES (2)")
    assert not connection.in_transaction


@pytest.mark.parametrize(
    "level",
    [
        "",
        "DEFERRED",
        "deferred",
        "Immediate",
        "EXCLUSIVE",
        "exclusive ",
        "BOGUS",
        "BEGIN",
        "IMMEDIATE\x00",
        "\udc80",
        0,
        1,
        b"DEFERRED",
        (),
        None,
    ],
)
@same_on_both
def test_isolation_level_accepts_and_shows_the_same(run: Run, level: object) -> None:
    connection = table(run)
    run(setattr, connection, "isolation_level", level)
    run.see(level=connection.isolation_level)
    run(connection.execute, "INSERT INTO t VALUES (1)")
    see(run, connection)
    run(run.connect, ":memory:", isolation_level=level)
    run(run.connect, ":memory:", 5.0, 0, level)


@same_on_both
def test_isolation_level_decides_how_an_implicit_transaction_locks(run: Run) -> None:
    path = run.path()
    for level in ("DEFERRED", "IMMEDIATE", "EXCLUSIVE"):
        first = run.connect(path, isolation_level=level, timeout=0)
        second = run.connect(path, isolation_level=level, timeout=0)
        first.execute("CREATE TABLE IF NOT EXISTS t (a)")
        run(first.execute, "DELETE FROM t WHERE 0")
        run(lambda second=second: second.execute("SELECT * FROM t").fetchall())
        run(second.execute, "INSERT INTO t VALUES (1)")
        see(run, second)
        run(first.rollback)
        run(second.rollback)
        first.close()
        second.close()


@same_on_both
def test_commit_and_rollback_outside_a_transaction_do_nothing(run: Run) -> None:
    connection = table(run)
    for _ in range(2):
        run(connection.commit)
        run(connection.rollback)
        see(run, connection)
    run(connection.execute, "COMMIT")
    run(connection.execute, "ROLLBACK")
    run(connection.execute, "RELEASE s")
    run(connection.execute, "ROLLBACK TO s")


@same_on_both
def test_explicit_begin_is_kept_and_not_doubled(run: Run) -> None:
    connection = table(run)
    run(connection.execute, "BEGIN")
    run(connection.execute, "BEGIN")
    run(connection.execute, "INSERT INTO t VALUES (1)")
    see(run, connection)
    run(connection.execute, "COMMIT")
    see(run, connection)
    run(connection.execute, "BEGIN EXCLUSIVE TRANSACTION")
    run(connection.execute, "END")
    see(run, connection)


@same_on_both
def test_savepoints_nest_and_count_as_a_transaction(run: Run) -> None:
    connection = table(run)
    run(connection.execute, "SAVEPOINT a")
    see(run, connection)
    run(connection.execute, "INSERT INTO t VALUES (1)")
    run(connection.execute, "SAVEPOINT b")
    run(connection.execute, "INSERT INTO t VALUES (2)")
    run(connection.execute, "ROLLBACK TO b")
    run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.execute, "RELEASE a")
    see(run, connection)
    run(connection.execute, "RELEASE b")
    run(lambda: connection.execute("SELECT a FROM t").fetchall())


@same_on_both
def test_context_manager_commits_or_rolls_back_and_stays_open(run: Run) -> None:
    connection = table(run)
    with connection as entered:
        assert entered is connection
        connection.execute("INSERT INTO t VALUES (1)")
    assert not connection.in_transaction
    try:
        with connection:
            connection.execute("INSERT INTO t VALUES (2)")
            raise KeyError("from the block")
    except KeyError as error:
        run.error(error)
    assert not connection.in_transaction
    run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.__exit__, None, None, None)
    run(connection.__exit__)
    run(connection.__exit__, KeyError, KeyError("x"), None)


@same_on_both
def test_context_manager_whose_commit_fails_rolls_back(run: Run) -> None:
    connection = run.connect()
    connection.executescript(
        "PRAGMA foreign_keys = ON; CREATE TABLE p (id INTEGER PRIMARY KEY);"
        "CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)"
    )
    try:
        with connection:
            connection.execute("INSERT INTO c VALUES (1)")
    except run.sqlite.IntegrityError as error:
        run.error(error)
    see(run, connection)
    run(lambda: connection.execute("SELECT * FROM c").fetchall())


@same_on_both
def test_commit_that_is_busy_leaves_the_transaction_open(run: Run) -> None:
    path = run.path()
    reader, writer = run.connect(path, timeout=0), run.connect(path, timeout=0)
    writer.execute("CREATE TABLE t (a)")
    writer.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    writer.commit()
    open_cursor = reader.execute("SELECT a FROM t")
    run(open_cursor.fetchone)
    run(writer.execute, "INSERT INTO t VALUES (3)")
    run(writer.commit)
    see(run, writer)
    run(writer.__exit__, None, None, None)
    see(run, writer)
    run(open_cursor.fetchall)
    run(writer.commit)
    see(run, writer)
    run(lambda: reader.execute("SELECT a FROM t").fetchall())


@same_on_both
def test_close_discards_uncommitted_changes(run: Run) -> None:
    path = run.path()
    connection = table_in(run, path)
    connection.execute("INSERT INTO t VALUES (1)")
    run(connection.close)
    run(lambda: run.connect(path).execute("SELECT a FROM t").fetchall())


def table_in(run: Run, path: str) -> Any:
    """Open a file with a table t(a)."""
    connection = run.connect(path)
    connection.execute("CREATE TABLE t (a)")
    return connection


@same_on_both
def test_rollback_ends_or_keeps_open_cursors_alike(run: Run) -> None:
    connection = table(run)
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(5)])
    connection.commit()
    connection.execute("INSERT INTO t VALUES (9)")
    cursor = connection.execute("SELECT a FROM t")
    run(cursor.fetchone)
    run(connection.rollback)
    for _ in range(3):
        run(cursor.fetchone)
    connection.execute("INSERT INTO t VALUES (9)")
    cursor = connection.execute("SELECT a FROM t")
    run(cursor.fetchone)
    run(connection.commit)
    run(cursor.fetchall)


@same_on_both
def test_drop_table_under_an_open_cursor_is_locked(run: Run) -> None:
    connection = table(run)
    connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
    connection.commit()
    cursor = connection.execute("SELECT a FROM t")
    run(cursor.fetchone)
    run(connection.execute, "DROP TABLE t")
    run(cursor.fetchone)
    run(cursor.fetchone)
    run(connection.execute, "DROP TABLE t")
    run(cursor.fetchone)


@same_on_both
def test_conflict_clauses_keep_fail_or_roll_back(run: Run) -> None:
    for action in ("ROLLBACK", "ABORT", "FAIL", "IGNORE", "REPLACE"):
        connection = run.connect()
        connection.execute("CREATE TABLE t (a UNIQUE)")
        connection.execute("INSERT INTO t VALUES (1)")
        run(connection.execute, f"INSERT OR {action} INTO t VALUES (2), (1), (3)")
        see(run, connection)
        run(lambda connection=connection: connection.execute("SELECT a FROM t").fetchall())
        run(connection.commit)


@same_on_both
def test_transaction_ended_by_sqlite_itself_is_seen(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK)")
    connection.execute("INSERT INTO t VALUES (1)")
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    run(cursor.fetchone)
    run(connection.executemany, "INSERT INTO t VALUES (?)", [(2,), (1,), (3,)])
    see(run, connection)
    run(cursor.fetchone)
    run(connection.commit)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())


if HAS_AUTOCOMMIT:
    LEGACY = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL

    @pytest.mark.parametrize("autocommit", [True, False, LEGACY])
    @pytest.mark.parametrize("sql", FIRST_WORDS)
    @same_on_both
    def test_autocommit_decides_whether_a_transaction_is_open(
        run: Run, sql: str, autocommit: bool | int
    ) -> None:
        connection = table(run, autocommit=autocommit)
        see(run, connection)
        run(connection.execute, sql)
        see(run, connection)
        run(connection.commit)
        see(run, connection)
        run(connection.rollback)
        see(run, connection)

    @same_on_both
    def test_setting_autocommit_commits_begins_or_leaves(run: Run) -> None:
        connection = table(run)
        for value in (True, False, LEGACY, False, True, LEGACY, True, True, False, False):
            run(connection.execute, "INSERT INTO t VALUES (1)")
            run(setattr, connection, "autocommit", value)
            run.see(autocommit=connection.autocommit)
            see(run, connection)
        run(connection.rollback)
        run(lambda: connection.execute("SELECT count(*) FROM t").fetchone())

    @pytest.mark.parametrize("value", [-2, 2, None, "yes", 1, 0, 1.0])
    @same_on_both
    def test_other_values_of_autocommit_are_refused(run: Run, value: object) -> None:
        connection = table(run)
        run(setattr, connection, "autocommit", value)
        run.see(autocommit=connection.autocommit)
        run(run.connect, ":memory:", autocommit=value)

    @pytest.mark.parametrize("autocommit", [True, False])
    @same_on_both
    def test_executescript_does_not_commit_first_outside_legacy_mode(
        run: Run, autocommit: bool
    ) -> None:
        connection = table(run, autocommit=autocommit)
        run(connection.execute, "INSERT INTO t VALUES (1)")
        run(connection.executescript, "INSERT INTO t VALUES (2);")
        see(run, connection)
        run(connection.rollback)
        run(lambda: connection.execute("SELECT a FROM t").fetchall())

    @pytest.mark.parametrize("autocommit", [True, False])
    @same_on_both
    def test_context_manager_outside_legacy_mode(run: Run, autocommit: bool) -> None:
        connection = table(run, autocommit=autocommit)
        with connection:
            run(connection.execute, "INSERT INTO t VALUES (1)")
            see(run, connection)
        see(run, connection)
        try:
            with connection:
                connection.execute("INSERT INTO t VALUES (2)")
                raise KeyError("from the block")
        except KeyError as error:
            run.error(error)
        see(run, connection)
        run(lambda: connection.execute("SELECT a FROM t").fetchall())

    @pytest.mark.parametrize("autocommit", [True, False])
    @same_on_both
    def test_close_outside_legacy_mode_discards_what_is_uncommitted(
        run: Run, autocommit: bool
    ) -> None:
        path = run.path()
        connection = run.connect(path, autocommit=autocommit)
        run(connection.execute, "CREATE TABLE t (a)")
        run(connection.commit)
        run(connection.execute, "INSERT INTO t VALUES (1)")
        run(connection.close)
        run(lambda: run.connect(path).execute("SELECT a FROM t").fetchall())

    @same_on_both
    def test_isolation_level_has_no_effect_outside_legacy_mode(run: Run) -> None:
        connection = table(run, autocommit=True, isolation_level="EXCLUSIVE")
        run(connection.execute, "INSERT INTO t VALUES (1)")
        see(run, connection)
        run(setattr, connection, "isolation_level", None)
        run.see(isolation_level=connection.isolation_level, autocommit=connection.autocommit)
        connection.autocommit = False
        run(setattr, connection, "isolation_level", None)
        see(run, connection)
        run(connection.execute, "COMMIT")
        see(run, connection)
        run(connection.execute, "INSERT INTO t VALUES (1)")
        see(run, connection)
        run(connection.commit)
        run(connection.rollback)
        run(connection.close)

    @same_on_both
    def test_explicit_end_of_transaction_with_autocommit_off_is_survived(run: Run) -> None:
        connection = table(run, autocommit=False)
        run(connection.execute, "ROLLBACK")
        see(run, connection)
        run(connection.commit)
        run(connection.rollback)
        see(run, connection)
        run(connection.executescript, "BEGIN")
        see(run, connection)
        run(connection.close)
