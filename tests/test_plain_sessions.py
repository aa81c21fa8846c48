"""Sessions of bypassed modules, on connections of the stdlib's: step by step as our own."""

import sqlite3 as stdlib
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dbmanager
from dbmanager import DatabaseManager, Session
from tests.test_session_waits import said_by

ROWS = 20

CODE = """
def session(db, mode="auto", **options):
    return db.session(mode, **options)
"""


def opener(name: str) -> Any:
    made = types.ModuleType(name)
    exec(compile(CODE, f"{name}.py", "exec"), vars(made))
    return made.session


PLAIN, NATIVE = opener("billing"), opener("shop")


@pytest.fixture(autouse=True)
def bypass() -> Iterator[None]:
    dbmanager.configure(bypass=["billing"])
    yield
    dbmanager.configure(bypass=[])


Open = Callable[..., Any]
Steps = Callable[[DatabaseManager, Open, list[Any]], None]


def rows_in_every_form(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    sql = "SELECT id, x FROM t ORDER BY id LIMIT ?"
    with session(db) as s:
        told.append(s.execute(sql, (3,)).fetchall())
        told.append(s.execute(sql, (3,)).all())
        told.append(list(s.execute(sql, (3,))))
        told.append(s.execute(sql, (3,)).fetchone())
        told.append(s.execute(sql, (5,)).fetchmany(2))
        told.append(s.execute(sql, (5,)).first())
        told.append(s.execute(sql, (1,)).one())
        told.append(s.execute(sql, (0,)).one_or_none())
        told.append(s.execute(sql, (2,)).scalar())
        told.append(s.execute(sql, (1,)).scalar_one())
        told.append(s.execute(sql, (0,)).scalar_one_or_none())
        told.append(s.execute(sql, (3,)).scalars().all())
        told.append(s.execute(sql, (2,)).mappings().all())
        told.append(s.execute(sql, (2,)).keys())
        told.append(s.scalar("SELECT count(*) FROM t"))
        s.row_factory = dbmanager.dict_row
        told.append(s.execute(sql, (1,)).one())
        for wrong in ("one", "one_or_none", "scalar_one"):
            for count in (0, 2):
                try:
                    told.append(getattr(s.execute(sql, (count,)), wrong)())
                except stdlib.Error as error:
                    told.append((type(error).__name__, str(error)))


def commits_and_undoes(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        told.append(s.in_transaction)
        s.execute("INSERT INTO t (x) VALUES (100)")
        told.append((s.in_transaction, s.total_changes))
    with pytest.raises(ZeroDivisionError):
        with session(db) as s:
            s.execute("INSERT INTO t (x) VALUES (101)")
            told.append(1 / 0)
    with session(db) as s:
        s.execute("INSERT INTO t (x) VALUES (102)")
        s.rollback()
        s.execute("INSERT INTO t (x) VALUES (103)")
        s.commit()
        told.append(s.in_transaction)
        s.execute("DELETE FROM t WHERE x = 103")
        s.rollback()
        told.append(s.execute("SELECT x FROM t WHERE x >= 100").all())


def enters_its_session_again(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        s.execute("INSERT INTO t (x) VALUES (100)")
        with s as same:
            told.append((same is s, s.in_transaction))
            s.execute("INSERT INTO t (x) VALUES (101)")
        told.append(s.in_transaction)
        with pytest.raises(ZeroDivisionError):
            with s, s:
                s.execute("INSERT INTO t (x) VALUES (102)")
                told.append(1 / 0)
        told.append(s.in_transaction)
        s.execute("INSERT INTO t (x) VALUES (103)")
    try:
        with s:
            told.append("entered")
    except stdlib.Error as error:
        told.append((type(error).__name__, str(error)))
    with session(db) as s:
        told.append(s.execute("SELECT x FROM t WHERE x >= 100").all())


def reads_and_writes_while_rows_are_read(
    db: DatabaseManager, session: Open, told: list[Any]
) -> None:
    with session(db) as s:
        seen = []
        for row in s.execute("SELECT id FROM t ORDER BY id"):
            seen.append(row[0])
            s.execute("UPDATE t SET x = x + 1000 WHERE id = ?", row)
        told.append(seen)
        reading = s.execute("SELECT x FROM t ORDER BY id")
        told.append(reading.fetchone())
        s.commit()
        told.append(reading.fetchall())


def modes(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    for mode in ("auto", "read", "write"):
        with session(db, mode) as s:
            told.append((s.mode, s.in_transaction))
            for sql in (
                "INSERT INTO t (x) VALUES (7)",
                "WITH a AS (SELECT 7) INSERT INTO t (x) SELECT * FROM a",
                "WITH a AS (SELECT 7) SELECT * FROM a",
                "-- x\n /* y */ UPDATE t SET x = 0 WHERE id = 1",
                "PRAGMA user_version = 5",
                "PRAGMA user_version",
                "CREATE TABLE IF NOT EXISTS u (x)",
                "SELECT count(*) FROM t",
            ):
                try:
                    told.append((s.execute(sql).fetchall(), s.in_transaction))
                except stdlib.Error as error:
                    told.append((type(error), str(error)))


def savepoints(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        with s.begin_nested():
            s.execute("INSERT INTO t (x) VALUES (200)")
        with pytest.raises(ZeroDivisionError):
            with s.begin_nested():
                s.execute("INSERT INTO t (x) VALUES (201)")
                told.append(1 / 0)
        with s.begin_nested() as savepoint:
            s.execute("INSERT INTO t (x) VALUES (202)")
            savepoint.rollback()
            s.execute("INSERT INTO t (x) VALUES (203)")
        told.append(s.execute("SELECT x FROM t WHERE x >= 200").all())
    with session(db) as s:
        told.append(s.execute("SELECT x FROM t WHERE x >= 200").all())


def scripts_and_many(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        s.executemany("INSERT INTO t (x) VALUES (?)", [(300,), (301,)])
        told.append(s.in_transaction)
        s.executescript(
            "INSERT INTO t (x) VALUES (302); -- a ; b\n"
            "CREATE TABLE v (x); CREATE TRIGGER g AFTER INSERT ON v BEGIN"
            " INSERT INTO t (x) VALUES (new.x); DELETE FROM v; END;"
            "INSERT INTO v VALUES ('a;b')"
        )
        told.append(s.in_transaction)
        s.rollback()
        told.append(s.execute("SELECT count(*) FROM t WHERE x >= 300").one())
        told.append(s.execute("SELECT name FROM sqlite_schema ORDER BY name").all())


def use_before_and_after(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    s = session(db)

    def tries() -> None:
        for use in (
            lambda: s.execute("SELECT 1"),
            lambda: s.cursor(),
            lambda: s.commit(),
            lambda: s.scalar("SELECT 1"),
            lambda: s.begin(),
            lambda: s.begin_nested(),
        ):
            try:
                told.append(use())
            except stdlib.Error as error:
                told.append((type(error), str(error)))

    tries()
    with s:
        result = s.execute("SELECT 1 UNION SELECT 2")
        told.append(isinstance(s, Session))
    tries()
    for use in (result.fetchone, lambda: s.__enter__()):
        try:
            told.append(use())
        except stdlib.Error as error:
            told.append(type(error))


def constraints(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        s.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        s.execute("CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
        told.append(s.scalar("PRAGMA foreign_keys"))
        told.append(s.scalar("PRAGMA journal_mode"))
        told.append(s.scalar("PRAGMA synchronous"))
    with pytest.raises(stdlib.IntegrityError, match="FOREIGN KEY constraint failed"):
        with session(db) as s:
            s.execute("INSERT INTO c VALUES (1)")
    with session(db) as s:
        told.append(s.scalar("SELECT count(*) FROM c"))


def results_that_are_not_read_to_their_end(
    db: DatabaseManager, session: Open, told: list[Any]
) -> None:
    sql = "INSERT INTO t (x) VALUES (400), (401), (402) RETURNING x"
    for use in ("fetchone", "first", "__iter__"):
        with session(db) as s:
            result = s.execute(sql)
            getattr(result, use)()
    with session(db) as s:
        result = s.execute(sql)
        told.append(result.first())
        s.commit()
        told.append(s.execute("SELECT count(*) FROM t WHERE x >= 400").one())
        result = s.execute(sql)
        told.append(result.fetchone())
        s.rollback()
    with session(db) as s:
        told.append(s.execute("SELECT count(*) FROM t WHERE x >= 400").one())


def writes_in_all_their_forms(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        s.execute("CREATE TABLE b (a)")
        s.execute("INSERT INTO b VALUES (zeroblob(4))")
    forms: list[Callable[[Any], object]] = [
        lambda s: s.execute("WITH a AS (SELECT ? v) INSERT INTO t (x) SELECT v FROM a", (5,)),
        lambda s: s.execute(
            "WITH a AS (SELECT :v v) DELETE FROM t WHERE x = (SELECT v FROM a)", {"v": 1}
        ),
        lambda s: s.executemany("WITH a AS (SELECT ? v) INSERT INTO t (x) SELECT v FROM a", [(6,)]),
        lambda s: s.execute("PRAGMA user_version(5)"),
        lambda s: s.execute("PRAGMA main.user_version = 5"),
        lambda s: s.execute('PRAGMA "main"."user_version" = 5'),
        lambda s: s.blobopen("b", "a", 1).write(b"ab"),
    ]
    for form in forms:
        with pytest.raises(ZeroDivisionError):
            with session(db) as s:
                form(s)
                told.append(s.in_transaction)
                told.append(1 / 0)
        with session(db, "read") as s:
            with pytest.raises(stdlib.Error):
                s.execute("PRAGMA query_only = OFF")
                form(s)
        with session(db) as s:
            told.append(s.scalar("SELECT count(*) FROM t"))
            told.append(s.scalar("PRAGMA user_version"))
            told.append(s.scalar("SELECT a FROM b"))


def told_by(act: Callable[..., Any], *arguments: Any) -> Any:
    """Give what an act gives, or its exception, in a form that can be compared."""
    try:
        given = act(*arguments)
    except (stdlib.Error, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return type(error), str(error), getattr(error, "sqlite_errorname", None)
    return given if isinstance(given, int | str | tuple | list | None) else type(given).__name__


def rows_of(s: Any, sql: Any, parameters: Any = ()) -> Any:
    return s.execute(sql, parameters).fetchall()


class UndoneError(Exception):
    """What ends a block that is to be undone."""


def writes_whatever_factories_are_set(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    sql = "WITH a AS (SELECT 5 v) INSERT INTO t (x) SELECT v FROM a"
    factories: list[tuple[str, Any]] = [
        ("row_factory", dbmanager.dict_row),
        ("row_factory", stdlib.Row),
        ("row_factory", lambda _cursor, _row: object()),
        ("row_factory", lambda _cursor, _row: None),
        ("text_factory", bytes),
        ("text_factory", lambda _text: None),
    ]
    for name, factory in factories:
        with pytest.raises(UndoneError):
            with session(db) as s:
                setattr(s, name, factory)
                s.execute(sql)
                told.append(s.in_transaction)
                raise UndoneError
        with NATIVE(db) as s:
            told.append(s.scalar("SELECT count(*) FROM t"))


STATEMENTS = [
    " \x0bINSERT INTO t (x) VALUES (1)",
    "\x0bINSERT INTO t (x) VALUES (1)",
    ";INSERT INTO t (x) VALUES (1)",
    "\ufeffINSERT INTO t (x) VALUES (1)",
    "PRAGMA/**/user_version=1",
    "PRAGMA/**/main/**/./**/user_version(1)",
    "PRAGMA optimize",
    "PRAGMA journal_mode",
    "PRAGMA locking_mode",
    "PRAGMA query_only",
    "PRAGMA incremental_vacuum",
    "PRAGMA secure_delete = 1",
    "PRAGMA busy_timeout = 5",
    "EXPLAIN INSERT INTO nowhere VALUES (1)",
    "SELECT * FROM pragma_user_version",
    "VALUES (1)",
    "(SELECT 1)",
    "BEGIN",
    "BEGIN IMMEDIATE",
    "SAVEPOINT a",
    "COMMIT",
    "END",
    "ROLLBACK",
    "RELEASE a",
    "VACUUM",
    "ANALYZE",
    "REINDEX",
    "DETACH a",
    "ALTER TABLE t ADD COLUMN y",
    "CREATE TEMP TABLE a (b)",
    "INSERT INTO t (x) VALUES (1) RETURNING x",
    "INSERT INTO t (id) VALUES (1)",
    "INSERT OR ROLLBACK INTO t (id) VALUES (1)",
    "INSERT INTO nowhere VALUES (1)",
    "INSERT INTO t (x) VALUES (?)",
    "nonsense",
    "WITH",
    "SELECT 1; SELECT 2",
    "SELECT '\ud800'",
    "",
    ";;",
    "-- nothing",
    "/* not closed",
    None,
    5,
    b"SELECT 1",
]


def statements_of_all_kinds(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    for sql in STATEMENTS:
        for mode in ("auto", "read", "write"):
            with pytest.raises(UndoneError):
                with session(db, mode) as s:
                    given = told_by(rows_of, s, sql)
                    told.append((sql, mode, given, s.in_transaction))
                    raise UndoneError


def arguments_of_all_kinds(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    given: list[Any] = [(), (1,), (1, 2), [1], {1}, "a", 5, iter([1]), (object(),), {"a": 1}, {}]
    for parameters in given:
        for sql in ("SELECT ?", "SELECT :a", "INSERT INTO t (x) VALUES (?)"):
            with pytest.raises(UndoneError):
                with session(db) as s:
                    # Python 3.12 warns of names that are given a sequence.
                    if ("?" in sql) is not isinstance(parameters, dict):
                        told.append(told_by(rows_of, s, sql, parameters))
                    raise UndoneError
    with session(db) as s:
        sql = "INSERT INTO t (x) VALUES (?)"
        told.append(told_by(lambda: s.executemany("SELECT 1", [()])))
        told.append(told_by(lambda: s.executemany(sql, 5)))
        told.append(told_by(lambda: s.executemany(sql, [(1,), (2, 3)])))
        told.append(told_by(lambda: s.executemany(sql, iter([(1,), (2,)])).rowcount))
        told.append(told_by(lambda: s.executemany(sql, []).rowcount))
        told.append(told_by(lambda: s.executescript(5)))
        told.append(told_by(lambda: s.executescript("a\0b")))
        told.append(told_by(lambda: s.scalar(5)))


def without_transaction_control(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with pytest.raises(UndoneError):
        with session(db) as s:
            s.execute("INSERT INTO t (x) VALUES (76)")
            told.append(s.isolation_level)
            s.isolation_level = None
            told.append((s.isolation_level, s.in_transaction))
            s.execute("INSERT INTO t (x) VALUES (77)")
            told.append(s.in_transaction)
            with s.begin_nested():
                s.execute("INSERT INTO t (x) VALUES (78)")
            told.append(s.in_transaction)
            raise UndoneError
    with pytest.raises(UndoneError):
        with session(db) as s:
            for level in ("deferred", "EXCLUSIVE", "x", 5):
                told.append(told_by(lambda: setattr(s, "isolation_level", level)))  # noqa: B023
                told.append(s.isolation_level)
            s.execute("INSERT INTO t (x) VALUES (79)")
            raise UndoneError


def scripts_of_all_kinds(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        called: list[int] = []
        s.create_function("called", 1, called.append)
        s.row_factory = lambda _cursor, _row: 1 / 0
        s.text_factory = lambda _text: 1 / 0
        result = s.executescript("SELECT 'a'; SELECT called(id) FROM t")
        told.append((len(called), result.fetchall(), result.description, result.rowcount))
        told.append(result.lastrowid)
        s.row_factory, s.text_factory = None, str
        for script in (
            "INSERT INTO t (x) VALUES (';');--;\n;;/* ; */SELECT ';'",
            "INSERT INTO t (x) VALUES (1); INSERT INTO nowhere VALUES (1); DELETE FROM t",
            "COMMIT; BEGIN; INSERT INTO t (x) VALUES (9); COMMIT",
            "CREATE VIEW [a;b] AS SELECT 1; SELECT * FROM [a;b]",
            "SELECT 'not closed",
            f"INSERT INTO t (x) VALUES ('{';' * 100_000}')",
            " ; -- nothing",
        ):
            told.append((told_by(s.executescript, script), s.in_transaction))
            told.append(s.scalar("SELECT count(*) FROM t"))


def rows_in_odd_ways(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    sql = "SELECT id FROM t ORDER BY id LIMIT ?"
    for writes in (False, True):
        with session(db) as s:
            results = [s.execute(sql, (9,)) for _ in range(4)]
            if writes:
                s.execute("UPDATE t SET x = 1")
            told.append((results[0].fetchmany(), results[0].fetchmany(size=2)))
            told.append(results[0].fetchmany(-1))
            told.append(told_by(results[1].fetchmany, "x"))
            told.append(told_by(results[1].fetchmany, None))
            told.append((results[1].first(), results[1].description, results[1].fetchall()))
            results[2].close()
            reads = ("fetchone", "fetchall", "first", "one", "scalars")
            told.extend(told_by(getattr(results[2], read)) for read in reads)
            told.append(told_by(results[2].execute, "SELECT 1"))
            told.append((results[3].connection is s, results[3].execute(sql, (1,)).all()))
    with session(db) as s:
        s.row_factory = lambda _cursor, _row: None
        for count in (0, 1, 2):
            reads = ("one", "one_or_none", "first", "fetchall")
            told.extend(told_by(getattr(s.execute(sql, (count,)), read)) for read in reads)
    with session(db) as s:
        reading = s.execute(sql, (3,))
        s.row_factory = dbmanager.dict_row
        s.begin()
        told.append((reading.fetchone(), s.execute(sql, (3,)).fetchone()))


def a_row_that_fails_behind_others(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        s.create_function("fail", 1, lambda number: 1 / 0 if number == 9 else number)
        reading = s.execute("SELECT fail(id) FROM t ORDER BY id")
        told.append(told_by(reading.fetchone))
        told.append(told_by(lambda: s.execute("UPDATE t SET x = 8")))
        told.append([reading.fetchone() for _ in range(6)])
        told.append(told_by(lambda: s.execute("UPDATE t SET x = 9").rowcount))


def ends_of_transactions_while_others_are_open(
    db: DatabaseManager, session: Open, told: list[Any]
) -> None:
    sql = "INSERT INTO t (x) VALUES (500), (501) RETURNING x"
    with session(db) as s:
        s.execute("CREATE TABLE b (a)")
        s.execute("INSERT INTO b VALUES (zeroblob(4))")
        reading = s.execute("SELECT id FROM t ORDER BY id")
        told.append(reading.fetchone())
        s.rollback()
        told.append(told_by(reading.fetchall))
    with session(db) as s:
        s.execute("CREATE TABLE b (a)")
        s.execute("INSERT INTO b VALUES (zeroblob(4))")
        returning = s.execute(sql)
        told.append(returning.fetchone())
        told.append(told_by(s.commit))
        with s.begin_nested():
            told.append(returning.fetchall())
        s.commit()
        s.blobopen("b", "a", 1).write(b"ab")
    with session(db) as s:
        told.append(s.scalar("SELECT a FROM b"))
        reading = s.blobopen("b", "a", 1, readonly=True)
        told.append(s.in_transaction)
        told.append(reading.read())
        reading.close()
        writing = s.blobopen("b", "a", 1)
        told.append((s.in_transaction, told_by(s.begin_nested)))
        writing.close()
        returning = s.execute(sql)
        told.append(returning.fetchone())
    with session(db) as s:
        told.append(s.scalar("SELECT count(*) FROM t"))


def what_is_refused(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        told.append(told_by(lambda: s.deserialize(b"")))
        told.append(told_by(lambda: s.nothing))
        told.append(told_by(lambda: s.cursor(lambda _session: 5)))
        with session(db) as other:
            told.append(told_by(lambda: s.backup(other)))
        told.append((s.close(), s.close()))
        names = ("in_transaction", "total_changes", "isolation_level", "row_factory", "mode")
        told.extend(told_by(getattr, s, name) for name in names)
        names = ("commit", "rollback", "interrupt", "serialize", "begin")
        told.extend(told_by(getattr(s, name)) for name in names)
        told.append(told_by(lambda: list(s.iterdump())))
        told.append(told_by(setattr, s, "row_factory", None))
        told.append(told_by(s.__enter__))
    with session(db, "read") as s:
        told.append(told_by(s.begin))
        told.append(told_by(lambda: s.blobopen("t", "x", 1)))
    s = session(db)
    told.append((s.__exit__(None, None, None), s.close()))
    told.append(told_by(setattr, s, "row_factory", dbmanager.dict_row))
    told.append(told_by(setattr, s, "text_factory", bytes))
    told.append(told_by(lambda: s.__enter__().execute("SELECT 'a'").fetchall()))
    told.append((s.__exit__(None, None, None), s.__exit__(None, None, None)))


def what_it_passes_for(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    with session(db) as s:
        result = s.execute("SELECT 1")
        told.append([isinstance(s, kind) for kind in (stdlib.Connection, Session)])
        told.append(isinstance(s, dbmanager.sqlite3.Connection))
        told.append([isinstance(result, kind) for kind in (stdlib.Cursor, dbmanager.Result)])
        told.append(isinstance(result, dbmanager.sqlite3.Cursor))
        told.append((repr(s)[:21], repr(result)[:20]))


def sessions_within_sessions(db: DatabaseManager, session: Open, told: list[Any]) -> None:
    def count(**options: Any) -> Any:
        with session(db, **options) as inner:
            return inner.scalar("SELECT count(*) FROM t")

    def write(mode: str = "auto") -> None:
        with session(db, mode) as inner:
            inner.execute("INSERT INTO t (x) VALUES (2)")

    told.append(db.current_session())
    with session(db) as s:
        s.execute("INSERT INTO t (x) VALUES (1)")
        told.append((count(), count(mode="read"), told_by(write)[0], told_by(write, "write")[0]))
        told.append(db.current_session() is s)
        with session(db) as inner:
            told.append(db.current_session() is inner)
        with NATIVE(db) as inner:
            told.append(db.current_session() is inner)
            with db.session("read", join=True) as joined:
                told.append(joined is inner)
        with session(db, join=True) as joined:
            told.append((joined is s, joined.execute("DELETE FROM t").rowcount))
    told.append((db.current_session(), count()))


def a_write_behind_an_open_blob_with_an_old_snapshot(
    db: DatabaseManager, session: Open, told: list[Any]
) -> None:
    with session(db) as s:
        s.execute("UPDATE t SET x = 'text' WHERE id = 1")
        s.commit()
        blob = s.blobopen("t", "x", 1, readonly=True)
        with NATIVE(db) as other:
            other.execute("UPDATE t SET x = 'a' WHERE id = 2")
        told.append(told_by(lambda: s.execute("UPDATE t SET x = 1")))
        blob.close()
        told.append(s.execute("UPDATE t SET x = 1").rowcount)


ALL: list[Steps] = [
    enters_its_session_again,
    rows_in_every_form,
    commits_and_undoes,
    reads_and_writes_while_rows_are_read,
    modes,
    savepoints,
    scripts_and_many,
    use_before_and_after,
    constraints,
    results_that_are_not_read_to_their_end,
    writes_in_all_their_forms,
    writes_whatever_factories_are_set,
    statements_of_all_kinds,
    arguments_of_all_kinds,
    without_transaction_control,
    scripts_of_all_kinds,
    rows_in_odd_ways,
    a_row_that_fails_behind_others,
    ends_of_transactions_while_others_are_open,
    what_is_refused,
    what_it_passes_for,
    sessions_within_sessions,
    a_write_behind_an_open_blob_with_an_old_snapshot,
]


@pytest.mark.parametrize("steps", ALL, ids=[steps.__name__ for steps in ALL])
def test_a_session_of_a_bypassed_module_does_what_ours_does(tmp_path: Path, steps: Steps) -> None:
    told: dict[str, list[Any]] = {}
    content = {}
    for name, session in (("native", NATIVE), ("plain", PLAIN)):
        path = tmp_path / f"{name}.db"
        db = DatabaseManager(f"sqlite:///{path}")
        with db.session() as s:
            s.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
            s.executemany("INSERT INTO t (x) VALUES (?)", [(x,) for x in range(ROWS)])
        steps(db, session, told.setdefault(name, []))
        db.close()
        with closing(stdlib.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            content[name] = list(connection.iterdump())
    assert told["plain"] == told["native"]
    assert content["plain"] == content["native"]


def test_it_is_on_a_connection_of_the_stdlibs(db: DatabaseManager) -> None:
    opened = db.get_stats()["opened_total"]
    with PLAIN(db) as s:
        assert isinstance(s.cursor(), stdlib.Cursor)
        (version,) = s.execute("SELECT sqlite_version()").one()
        assert version == stdlib.sqlite_version
    assert db.get_stats()["opened_total"] == opened
    with NATIVE(db) as s:
        assert type(s) is Session


def test_bypassed_sessions_queue_with_ours_and_none_finds_the_database_locked(
    db: DatabaseManager,
) -> None:
    def work(session: Open) -> None:
        for number in range(50):
            with session(db) as s:
                (count,) = s.execute("SELECT count(*) FROM t").one()
                s.execute("INSERT INTO t (x) VALUES (?)", (count + number,))

    threads = [threading.Thread(target=work, args=(session,)) for session in 3 * [PLAIN, NATIVE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.session() as s:
        assert s.scalar("SELECT count(*) FROM t") == ROWS + 300


def test_helpers_of_other_modules_join_a_session_of_a_bypassed_one(db: DatabaseManager) -> None:
    def helper() -> None:
        with db.session(join=True) as s:
            s.execute("INSERT INTO t (x) VALUES (1)")

    with PLAIN(db) as s:
        s.execute("INSERT INTO t (x) VALUES (2)")
        helper()
        assert s.scalar("SELECT count(*) FROM t") == ROWS + 2
    with pytest.raises(ZeroDivisionError):
        with PLAIN(db) as s:
            helper()
            raise ZeroDivisionError
    with db.session() as own:
        assert own.scalar("SELECT count(*) FROM t") == ROWS + 2


def test_run_and_a_database_in_memory_work_in_a_bypassed_module(db: DatabaseManager) -> None:
    made = types.ModuleType("billing")
    code = """
import sqlite3 as stdlib
def work(db, memory):
    with memory.session() as s:
        s.execute("CREATE TABLE m (a)")
    with memory.session() as s:
        s.execute("SELECT * FROM m")
    for join in (False, True):
        sql = "SELECT sqlite_version()"
        assert db.run(lambda s: s.scalar(sql), join=join) == stdlib.sqlite_version
    with db.session(join=True) as s:
        assert s.scalar(sql) == stdlib.sqlite_version
    return db.run(lambda s: s.execute("INSERT INTO t (x) VALUES (1) RETURNING id").scalar())
"""
    exec(compile(code, "billing.py", "exec"), vars(made))
    assert made.work(db, DatabaseManager("sqlite://")) == ROWS + 1


def test_it_is_so_whatever_is_in_the_place_of_the_stdlibs_module(db: DatabaseManager) -> None:
    code = """
import sys, types
import dbmanager
sys.modules["sqlite3"] = dbmanager.sqlite3
dbmanager.configure(bypass=["billing"])
billing = types.ModuleType("billing")
exec("def session(db): return db.session()", vars(billing))
with billing.session(dbmanager.DatabaseManager(sys.argv[1])) as session:
    session.execute("INSERT INTO t (x) VALUES (1)")
    import _sqlite3
    print(_sqlite3.Connection in type(session).__mro__)
"""
    assert said_by(code, db.url) == "True\n"


@pytest.mark.parametrize("session", [PLAIN, NATIVE], ids=["bypassed", "own"])
def test_that_a_file_is_no_database_is_told_by_the_statement(tmp_path: Path, session: Open) -> None:
    path = tmp_path / "text.db"
    path.write_text("no database, " * 100)
    with session(DatabaseManager.at(path)) as s:
        with pytest.raises(stdlib.DatabaseError, match="file is not a database"):
            s.execute("SELECT * FROM sqlite_schema")
    DatabaseManager.reset()
