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

ROWS = 20

CODE = """
def session(db, mode="auto"):
    return db.session(mode)
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


ALL: list[Steps] = [
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
    assert db.run(lambda s: s.scalar("SELECT sqlite_version()")) == stdlib.sqlite_version
    return db.run(lambda s: s.execute("INSERT INTO t (x) VALUES (1) RETURNING id").scalar())
"""
    exec(compile(code, "billing.py", "exec"), vars(made))
    assert made.work(db, DatabaseManager("sqlite://")) == ROWS + 1
