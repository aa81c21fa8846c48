"""What a session does in each mode, and how sessions of one process take turns to write."""

import shutil
import sqlite3 as stdlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from dbmanager import (
    DatabaseManager,
    MultipleResultsFound,
    NoResultFound,
    PoolTimeout,
    Session,
    dict_row,
    sqlite3,
)

ROWS = 500


def other_process(tmp_path: Path, sql: str) -> None:
    """Run a statement in another process, by the stdlib."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "app.db"), sql], check=True)


def test_rows_are_changed_while_they_are_read(db: DatabaseManager) -> None:
    with db.session() as session:
        for number, x in session.execute("SELECT id, x FROM t ORDER BY id"):
            session.execute("UPDATE t SET x = ? WHERE id = ?", (x * 2, number))
    with db.session() as session:
        assert session.scalar("SELECT sum(x) FROM t") == ROWS * (ROWS - 1)


def test_rows_are_changed_while_they_are_read_and_another_process_writes(
    db: DatabaseManager, tmp_path: Path
) -> None:
    with db.session() as session:
        rows = session.execute("SELECT id FROM t ORDER BY id")
        first = rows.fetchone()
        other_process(tmp_path, "DELETE FROM t WHERE id > 250")
        # The read cursor's old snapshot would make this fail at once.
        session.execute("UPDATE t SET x = -1 WHERE id = ?", first)
        assert len(rows.fetchall()) == ROWS - 1
        assert session.scalar("SELECT count(*) FROM t") == 250


@pytest.mark.parametrize("read", ["fetchone", "fetchmany", "fetchall", "iterate", "next"])
def test_rows_that_were_read_ahead_come_in_order_and_in_every_way(
    db: DatabaseManager, read: str
) -> None:
    with db.session() as session:
        session.row_factory = dict_row
        cursor = session.execute("SELECT id FROM t ORDER BY id")
        cursor.fetchone()
        session.execute("UPDATE t SET x = 0")
        ways: dict[str, Callable[[], list[Any]]] = {
            "fetchone": lambda: list(iter(cursor.fetchone, None)),
            "fetchmany": lambda: [
                row for part in iter(lambda: cursor.fetchmany(7), []) for row in part
            ],
            "fetchall": cursor.fetchall,
            "iterate": lambda: list(cursor),
            "next": lambda: [next(cursor) for _ in range(ROWS - 1)],
        }
        assert ways[read]() == [{"id": number} for number in range(2, ROWS + 1)]
        assert cursor.fetchone() is None


def test_several_open_cursors_are_read_ahead(db: DatabaseManager) -> None:
    with db.session() as session:
        cursors = [session.execute("SELECT id FROM t WHERE id >= ?", (n,)) for n in (1, 2, 3)]
        for cursor in cursors:
            cursor.fetchone()
        session.execute("DELETE FROM t")
        assert [len(cursor.fetchall()) for cursor in cursors] == [ROWS - 1, ROWS - 2, ROWS - 3]


# More rows than are kept in memory when they are read ahead.
MANY = 25_000


def numbers(count: int = MANY) -> str:
    """A query of many rows with values of every kind."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) "
        "SELECT i, 'text ' || i AS text, i / 2.0 AS real, NULL AS none, "
        "CAST(i AS BLOB) AS blob FROM n, (SELECT count(*) FROM t)"
    )


def test_many_rows_are_changed_while_they_are_read(db: DatabaseManager, tmp_path: Path) -> None:
    with db.session() as session:
        session.execute("CREATE TABLE many (id INTEGER PRIMARY KEY, x)")
        session.execute(f"INSERT INTO many (x) SELECT i FROM ({numbers()})")
    with db.session() as session:
        rows = session.execute("SELECT id, x FROM many ORDER BY id")
        first = rows.fetchone()
        other_process(tmp_path, "INSERT INTO many (x) VALUES ('later')")
        for number, x in [first, *rows]:
            session.execute("UPDATE many SET x = ? WHERE id = ?", (x + 1, number))
    with db.session("read") as session:
        assert session.scalar("SELECT count(*) FROM many WHERE x = id + 1") == MANY
        assert session.scalar("SELECT x FROM many WHERE id = ?", (MANY + 1,)) == "later"


@pytest.mark.parametrize("factory", [None, sqlite3.Row, dict_row, lambda cursor, row: [*row]])
def test_rows_that_were_set_aside_are_as_they_were(db: DatabaseManager, factory: Any) -> None:
    with db.session() as session:
        session.row_factory = factory
        expected = session.execute(numbers()).fetchall()
        cursor = session.execute(numbers())
        description = cursor.description
        got = cursor.fetchmany(3)
        session.execute("UPDATE t SET x = 0 WHERE id = 1")
        got += [cursor.fetchone(), next(cursor), *cursor.fetchmany(12_000)]
        session.commit()
        session.execute("UPDATE t SET x = 1 WHERE id = 1")
        got += cursor.fetchall()
        assert cursor.fetchone() is None
        assert got == expected
        assert [type(row) for row in got] == [type(row) for row in expected]
        assert cursor.description == description


def test_large_rows_are_set_aside_and_end_with_their_cursor(db: DatabaseManager) -> None:
    with db.session() as session:
        cursor = session.execute(
            "SELECT id, zeroblob(1000000) AS large FROM t WHERE id <= 30 ORDER BY id"
        )
        assert cursor.fetchone()[0] == 1
        session.execute("DELETE FROM t")
        assert [(number, len(large)) for number, large in cursor.fetchmany(19)] == [
            (number, 1_000_000) for number in range(2, 21)
        ]
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]


def test_text_that_can_not_be_read_stays_for_another_try_also_when_set_aside(
    db: DatabaseManager,
) -> None:
    with db.session() as session:
        cursor = session.execute(
            f"SELECT i, CASE i WHEN 20000 THEN CAST(x'ff' AS TEXT) END AS bad FROM ({numbers()})"
        )
        cursor.fetchone()
        session.execute("UPDATE t SET x = 0 WHERE id = 1")
        assert len(cursor.fetchmany(19_998)) == 19_998
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="UTF-8 column 'bad'"):
                cursor.fetchone()
        session.text_factory = bytes
        assert cursor.fetchone() == (20_000, b"\xff")
        assert len(cursor.fetchall()) == MANY - 20_000


@pytest.mark.parametrize("at", [5_000, 20_000])
def test_error_behind_the_next_rows_is_raised_by_the_write_and_where_it_belongs(
    db: DatabaseManager, at: int
) -> None:
    def fail(number: int) -> int:
        if number == at:
            raise RuntimeError
        return number

    with db.session() as session:
        session.create_function("fail", 1, fail)
        cursor = session.execute(f"SELECT fail(i) FROM ({numbers()})")
        for _ in range(3):
            cursor.fetchone()
        with pytest.raises(sqlite3.OperationalError, match="user-defined function raised"):
            session.execute("UPDATE t SET x = 'kept' WHERE id = 1")
        assert [row[0] for row in cursor.fetchmany(at - 5)] == list(range(4, at - 1))
        with pytest.raises(sqlite3.OperationalError, match="user-defined function raised"):
            # Without the write, the row before the one that fails would be lost with it.
            assert cursor.fetchone() == (at - 1,)
            cursor.fetchone()
        assert cursor.fetchone() is None
        session.execute("UPDATE t SET x = 'kept' WHERE id = 1")
    with db.session() as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == "kept"


def test_rows_that_can_not_be_set_aside_are_not_lost_in_silence(tmp_path: Path) -> None:
    code = """
import resource, sys
from dbmanager import DatabaseManager, sqlite3
db = DatabaseManager(sys.argv[1])
with db.session() as session:
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    session.executemany("INSERT INTO t (x) VALUES (?)", [(n,) for n in range(100)])
db.drain()
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
with db.session() as session:
    rows = session.execute("SELECT id, zeroblob(1000000) FROM t")
    rows.fetchone()
    for use in (lambda: session.execute("UPDATE t SET x = -1"), rows.fetchall):
        try:
            use()
        except sqlite3.OperationalError as error:
            print("could not be set aside" in str(error))
    session.execute("UPDATE t SET x = -1")
with db.session() as session:
    print(session.scalar("SELECT sum(x) FROM t"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/app.db"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n-100\n", "")


def test_read_session_sees_one_snapshot_whoever_commits(
    db: DatabaseManager, tmp_path: Path
) -> None:
    with db.session("read") as session:
        before = session.scalar("SELECT count(*) FROM t")
        other_process(tmp_path, "DELETE FROM t WHERE id = 1")
        with db.session() as writer:
            writer.execute("DELETE FROM t WHERE id = 2")
        assert session.scalar("SELECT count(*) FROM t") == before == ROWS
    with db.session("read") as session:
        assert session.scalar("SELECT count(*) FROM t") == ROWS - 2


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t",
        "CREATE TABLE u (x)",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "VACUUM",
        "PRAGMA journal_mode = DELETE",
    ],
)
def test_read_session_refuses_to_write(db: DatabaseManager, sql: str) -> None:
    with db.session("read") as session:
        for run in (session.execute, session.executescript, session.cursor().execute):
            with pytest.raises(sqlite3.OperationalError, match="mode='read'"):
                run(sql)
        assert session.scalar("SELECT count(*) FROM t") == ROWS


@pytest.mark.parametrize("blanks", ["", ";", " /* x */ ;; -- y\n"])
@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'other.db' AS o",
        "ATTACH 'file:other.db?mode=rwc' AS o",
        "ATTACH 'file:other.db?mode=rwc&vfs=unix' AS o",
        "ATTACH 'file:other.db?vfs=unix-dotfile' AS o",
    ],
)
def test_read_session_attaches_what_there_is_and_makes_no_file(
    db: DatabaseManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sql: str,
    blanks: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.db"
    for run in ("execute", "executescript"):
        with db.session("read") as session:
            with pytest.raises(sqlite3.OperationalError, match="unable to open database"):
                getattr(session, run)(blanks + sql)
        assert not other.exists()
    with closing(stdlib.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE u (a)")
        connection.execute("INSERT INTO u VALUES (1)")
    before = other.read_bytes()
    for run in ("execute", "executescript"):
        with db.session("read") as session:
            getattr(session, run)(blanks + sql)
            assert session.execute("SELECT a FROM o.u").fetchall() == [(1,)]
            for write in ("INSERT INTO o.u VALUES (2)", "CREATE TABLE o.v (a)"):
                with pytest.raises(sqlite3.OperationalError, match="mode='read'"):
                    session.execute(write)
    assert other.read_bytes() == before
    # The next one, which writes, may make one.
    other.unlink()
    with db.session() as session:
        session.execute(sql)
    assert other.exists()


WRITES = [
    "REPLACE INTO t VALUES (1, 2)",
    "WITH x AS (SELECT 1) UPDATE t SET x = 1 RETURNING *",
    "CREATE TEMP TABLE u (x)",
    "ALTER TABLE t ADD COLUMN y",
    "ANALYZE",
    "PRAGMA user_version = 5",
    "PRAGMA application_id = 5",
    "PRAGMA schema_version = 99",
    "PRAGMA optimize",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum",
    "VACUUM INTO 'copy.db'",
    "PRAGMA query_only = 0; DELETE FROM t",
    "PRAGMA writable_schema = 1; DELETE FROM sqlite_schema",
    "COMMIT; DELETE FROM t",
    "ROLLBACK; DELETE FROM t",
    "SAVEPOINT s; DELETE FROM t",
    "PRAGMA page_size = 8192; VACUUM",
]


@pytest.mark.parametrize("sql", WRITES)
def test_read_session_writes_by_no_route(
    db: DatabaseManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    monkeypatch.chdir(tmp_path)
    db.drain()
    before = (tmp_path / "app.db").read_bytes()
    with db.session("read") as session:
        with pytest.raises(sqlite3.Error):
            session.executescript(sql)
        # Nor afterwards, whatever the script has changed.
        for write in ("DELETE FROM t", "INSERT INTO t VALUES (99, 99)"):
            with pytest.raises(sqlite3.OperationalError, match="mode='read'"):
                session.execute(write)
        with pytest.raises(sqlite3.OperationalError, match="mode='read'"):
            session.blobopen("t", "x", 1)
    db.drain()
    assert (tmp_path / "app.db").read_bytes() == before
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("sql", ["PRAGMA journal_mode", "pragma main.journal_mode;"])
def test_read_session_may_ask_for_the_journal_mode(db: DatabaseManager, sql: str) -> None:
    with db.session("read") as session:
        assert session.execute(sql).fetchall() == [("wal",)]


def test_write_session_holds_the_lock_from_its_start(db: DatabaseManager, tmp_path: Path) -> None:
    with db.session("write") as session:
        assert session.in_transaction
        with (
            closing(sqlite3.connect(tmp_path / "app.db", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("BEGIN IMMEDIATE")


def test_read_modify_write_in_write_sessions_loses_nothing(db: DatabaseManager) -> None:
    def work(_: int) -> None:
        for _ in range(25):
            with db.session("write") as session:
                value = session.scalar("SELECT x FROM t WHERE id = 1")
                session.execute("UPDATE t SET x = ? WHERE id = 1", (value + 1,))

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(work, range(8)))
    with db.session() as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == 200


def test_writers_are_served_in_the_order_in_which_they_came(db: DatabaseManager) -> None:
    served: list[int] = []

    def work(number: int) -> None:
        with db.session("write"):
            served.append(number)

    threads = []
    with db.session("write"):
        for number in range(6):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            threads.append(thread)
            while db.get_stats()["writers_waiting"] <= number:
                pass
    for thread in threads:
        thread.join()
    assert served == list(range(6))


def test_first_write_begins_a_transaction_that_others_wait_for(db: DatabaseManager) -> None:
    began, ended = threading.Event(), threading.Event()

    def work() -> None:
        with db.session() as session:
            began.set()
            session.execute("UPDATE t SET x = 'second' WHERE id = 1")
            assert ended.is_set()

    with ThreadPoolExecutor(1) as executor:
        with db.session() as session:
            assert not session.in_transaction
            session.execute("UPDATE t SET x = 'first' WHERE id = 1")
            assert session.in_transaction
            second = executor.submit(work)
            began.wait()
            while db.get_stats()["writers_waiting"] == 0:
                pass
            ended.set()
        second.result()


@pytest.mark.parametrize("blanks", [" \x0b", "\n\x0b\t", ";\x0c\x0b", "/**/ \x0b"])
def test_write_behind_any_blank_begins_a_transaction(db: DatabaseManager, blanks: str) -> None:
    with db.session() as session:
        session.execute(f"{blanks}DELETE FROM t")
        assert session.in_transaction
        session.rollback()
        assert session.scalar("SELECT count(*) FROM t") == ROWS


@pytest.mark.parametrize("end", ["commit", "rollback", "COMMIT", "ROLLBACK", "error", "close"])
def test_turn_to_write_ends_with_the_transaction(db: DatabaseManager, end: str) -> None:
    with db.session() as session:
        session.execute("UPDATE t SET x = 1 WHERE id = 1")
        if end == "error":
            with pytest.raises(sqlite3.IntegrityError):
                session.execute("INSERT OR ROLLBACK INTO t (id) VALUES (1)")
        elif end.isupper():
            session.execute(end)
        else:
            getattr(session, end)()
        # In the same thread: with the turn still taken this would be refused.
        with db.session("write") as other:
            other.execute("UPDATE t SET x = 2 WHERE id = 2")


def test_write_within_a_write_of_the_same_thread_is_refused_at_once(db: DatabaseManager) -> None:
    with db.session("write") as outer:
        outer.execute("UPDATE t SET x = 1 WHERE id = 1")
        with (
            db.session() as inner,
            pytest.raises(sqlite3.OperationalError, match="would wait for itself"),
        ):
            inner.execute("UPDATE t SET x = 2 WHERE id = 1")
        with pytest.raises(sqlite3.OperationalError, match="would wait for itself"):
            db.session("write").__enter__()


def test_waiting_in_opposite_order_for_two_databases_is_reported(tmp_path: Path) -> None:
    one, two = (
        DatabaseManager(f"sqlite:///{tmp_path}/{name}.db", pool_timeout=60) for name in "ab"
    )
    has_two, refused = threading.Event(), threading.Event()

    def work() -> None:
        with two.session("write"):
            has_two.set()
            with one.session("write"):
                assert refused.is_set()

    with ThreadPoolExecutor(1) as executor:
        with one.session("write"):
            other = executor.submit(work)
            has_two.wait()
            while one.get_stats()["writers_waiting"] == 0:
                pass
            with pytest.raises(sqlite3.OperationalError, match="would never end"):
                two.session("write").__enter__()
            refused.set()
        other.result()
    DatabaseManager.reset()


def test_waiting_in_vain_for_the_turn_to_write_is_a_time_out_and_counted(tmp_path: Path) -> None:
    db = DatabaseManager(
        f"sqlite:///{tmp_path}/app.db", pool_timeout=0.05, leak_detection_threshold=3600
    )

    def write() -> None:
        with db.session("write"):
            pass

    def only_reads() -> None:
        with db.session("read"):
            reading.set()
            done.wait()

    reading, done = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as executor, db.session("write"):
        reader = executor.submit(only_reads)
        reading.wait()
        with pytest.raises(PoolTimeout) as caught:
            executor.submit(write).result()
        figures = db.get_stats()
        done.set()
        reader.result()
    text = str(caught.value)
    assert f"no turn to write to '{tmp_path}/app.db' in 0.0" in text
    assert "(1 in use, 0 waiting); held\n  for " in text
    # Of those who have sessions, the one whose turn it is.
    assert "test_waiting_in_vain_for_the_turn_to_write" in text
    assert "only_reads" not in text
    assert (figures["writers_timeouts_total"], figures["writers_waited_total"]) == (1, 1)
    assert figures["writers_wait_ms"] >= 50
    assert figures["timeouts_total"] == 0
    DatabaseManager.reset()


def test_writers_of_a_closed_manager_and_of_the_next_one_queue_together(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    first = DatabaseManager(url, pool_timeout=60)
    with first.session() as session:
        session.execute("CREATE TABLE t (x)")
    ended = threading.Event()

    def write(db: DatabaseManager) -> None:
        with db.session("write") as session:
            assert ended.is_set()
            session.execute("INSERT INTO t VALUES (2)")

    with ThreadPoolExecutor(1) as executor:
        with first.session("write") as session:
            session.execute("INSERT INTO t VALUES (1)")
            first.close()
            # Without patience for SQLite's lock: only the queue makes it wait.
            second = DatabaseManager(url, pool_timeout=60, pragmas={"busy_timeout": 0})
            other = executor.submit(write, second)
            while not second.get_stats()["writers_waiting"]:
                assert not other.done()
            ended.set()
        other.result()
    with second.session() as session:
        assert session.execute("SELECT x FROM t").scalars().all() == [1, 2]
    DatabaseManager.reset()


def test_script_runs_within_the_session(db: DatabaseManager) -> None:
    with pytest.raises(RuntimeError), db.session() as session:
        session.execute("UPDATE t SET x = 'before' WHERE id = 1")
        session.executescript("CREATE TABLE u (x); INSERT INTO u VALUES (1); -- the end")
        assert session.in_transaction
        raise RuntimeError
    with db.session() as session:
        assert session.scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'u'") == 0
        assert session.scalar("SELECT x FROM t WHERE id = 1") == 0


def test_session_without_transaction_control_writes_in_autocommit(db: DatabaseManager) -> None:
    with pytest.raises(RuntimeError), db.session() as session:
        session.isolation_level = None
        session.execute("UPDATE t SET x = 'at once' WHERE id = 1")
        assert not session.in_transaction
        with db.session("write"):
            pass
        raise RuntimeError
    with db.session() as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == "at once"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 brought the attribute")
@pytest.mark.parametrize("value", [True, False])
def test_autocommit_of_a_session_can_not_be_changed(db: DatabaseManager, value: bool) -> None:
    with db.session() as session:
        with pytest.raises(sqlite3.ProgrammingError, match="isolation_level = None"):
            setattr(session, "autocommit", value)  # noqa: B010 - older Pythons have no such name
        session.execute("DELETE FROM t")
        session.rollback()
        assert session.scalar("SELECT count(*) FROM t") == ROWS


@pytest.mark.parametrize(
    ("count", "one", "one_or_none", "first"),
    [
        (0, NoResultFound, None, None),
        (1, (1,), (1,), (1,)),
        (2, MultipleResultsFound, "many", (1,)),
    ],
)
def test_results_are_read_in_sqlalchemys_words(
    db: DatabaseManager, count: int, one: Any, one_or_none: Any, first: Any
) -> None:
    with db.session() as session:

        def result() -> Any:
            return session.execute("SELECT id FROM t ORDER BY id LIMIT ?", (count,))

        expected = [(1,), (2,)][:count]
        assert result().all() == result().fetchall() == expected
        assert result().first() == first
        assert result().scalar() == (first and first[0])
        assert result().scalars().all() == list(result().scalars()) == [n for (n,) in expected]
        assert result().mappings().all() == [{"id": n} for (n,) in expected]
        if isinstance(one, type):
            for way in (result().one, result().scalar_one, result().scalars().one):
                with pytest.raises(one):
                    way()
        else:
            assert result().one() == one
            assert result().scalar_one() == one[0]
            assert result().mappings().one() == {"id": one[0]}
        if one_or_none == "many":
            for way in (result().one_or_none, result().scalar_one_or_none):
                with pytest.raises(MultipleResultsFound):
                    way()
        else:
            assert result().one_or_none() == one_or_none


def test_time_out_names_those_who_hold_sessions(tmp_path: Path) -> None:
    db = DatabaseManager(
        f"sqlite:///{tmp_path}/app.db",
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
        leak_detection_threshold=3600,
    )

    held, done = threading.Event(), threading.Event()

    def the_function_that_holds_it() -> None:
        with db.session():
            held.set()
            done.wait()

    with ThreadPoolExecutor(1) as executor:
        holder = executor.submit(the_function_that_holds_it)
        held.wait()
        with pytest.raises(PoolTimeout) as caught:
            db.session().__enter__()
        done.set()
        holder.result()
    text = str(caught.value)
    assert "1 in use, 0 waiting" in text
    assert "the_function_that_holds_it" in text
    assert isinstance(caught.value, sqlite3.OperationalError)
    assert db.get_stats()["timeouts_total"] == 1
    DatabaseManager.reset()


def test_thread_that_has_all_sessions_is_not_made_to_wait_for_itself(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db", pool_size=1, max_overflow=0)
    with db.session(), pytest.raises(PoolTimeout, match="would wait for itself"):
        db.session().__enter__()
    DatabaseManager.reset()


def test_writers_that_wait_keep_no_connection_from_readers(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db", pool_size=2, max_overflow=0)

    def write() -> None:
        with db.session("write"):
            pass

    with ThreadPoolExecutor(10) as executor:
        with db.session("write"):
            writers = [executor.submit(write) for _ in range(10)]
            while db.get_stats()["writers_waiting"] < 10:
                pass
            assert read_in_another_thread(db) == 1
        for writer in writers:
            writer.result()
    DatabaseManager.reset()


def read_in_another_thread(db: DatabaseManager) -> int:
    """Read in a thread of its own."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(
            lambda: db.run(lambda s: int(s.scalar("SELECT 1")), mode="read")
        ).result()


def test_file_replaced_right_after_a_session_is_read_without_the_old_wal(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    db = DatabaseManager(f"sqlite:///{path}")
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        session.execute("INSERT INTO t VALUES ('old')")
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES ('new')")
    (tmp_path / "new.db").replace(path)
    with db.session() as session:
        assert session.execute("SELECT x FROM t").scalars().all() == ["new"]
    DatabaseManager.reset()


@pytest.mark.parametrize("mode", ["auto", "write"])
@pytest.mark.parametrize("end", ["leave", "commit", "write"])
def test_nothing_is_written_to_a_file_that_is_not_at_its_path_any_more(
    db: DatabaseManager, tmp_path: Path, mode: Literal["auto", "write"], end: str
) -> None:
    db.drain()
    shutil.copy(tmp_path / "app.db", tmp_path / "copy.db")
    session = db.session(mode).__enter__()
    message = "the database file was replaced, moved or removed"
    if end != "write" or mode == "write":
        session.execute("UPDATE t SET x = 'lost' WHERE id = 1")
    else:
        session.scalar("SELECT count(*) FROM t")
    (tmp_path / "copy.db").replace(tmp_path / "app.db")
    with pytest.raises(sqlite3.OperationalError, match=message):
        if end == "write" and mode == "auto":
            session.execute("UPDATE t SET x = 'lost' WHERE id = 1")
        elif end == "commit":
            session.commit()
        else:
            session.__exit__(None, None, None)
    error = sqlite3.OperationalError()
    session.__exit__(type(error), error, None)
    with db.session("write") as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == 0


def begin_and(*statements: str) -> Callable[[Session], object]:
    """Run statements without the session's own transaction."""

    def run(session: Session) -> None:
        session.isolation_level = None
        for sql in statements:
            session.execute(sql)

    return run


UPDATE = "UPDATE t SET x = 'lost' WHERE id = 1"
WAYS_TO_COMMIT: dict[str, tuple[Callable[[Session], object], Callable[[Session], object]]] = {
    "COMMIT": (lambda s: s.execute(UPDATE), lambda s: s.execute("COMMIT")),
    "end": (lambda s: s.execute(UPDATE), lambda s: s.execute("/* x */ end transaction")),
    "script": (lambda s: s.execute(UPDATE), lambda s: s.executescript(f"{UPDATE}; commit;")),
    "savepoint": (begin_and("SAVEPOINT a", UPDATE), lambda s: s.execute("RELEASE a")),
    "deferred": (begin_and("BEGIN", UPDATE), lambda s: s.execute("COMMIT")),
    "written later": (begin_and("BEGIN"), lambda s: s.execute(UPDATE)),
    "by itself": (begin_and("SELECT 1"), lambda s: s.execute(UPDATE)),
    "many by themselves": (begin_and(), lambda s: s.executemany(f"{UPDATE} OR ?", [(0,)])),
    "vacuum": (begin_and(), lambda s: s.execute("VACUUM")),
}


@pytest.mark.parametrize("way", WAYS_TO_COMMIT)
def test_no_way_to_commit_leads_into_the_file_of_others(
    db: DatabaseManager, tmp_path: Path, way: str
) -> None:
    first, then = WAYS_TO_COMMIT[way]
    db.drain()
    shutil.copy(tmp_path / "app.db", tmp_path / "copy.db")
    with db.session() as session:
        first(session)
        (tmp_path / "copy.db").replace(tmp_path / "app.db")
        with pytest.raises(
            sqlite3.OperationalError, match="was replaced, moved or removed"
        ) as caught:
            then(session)
        assert not hasattr(caught.value, "sqlite_errorcode")
        session.rollback()
    with closing(stdlib.connect(tmp_path / "app.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT x FROM t WHERE id = 1").fetchall() == [(0,)]


class Ends:
    """A value whose adapter ends the transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def __conform__(self, _: object) -> int:
        self.session.commit()
        return 2


@pytest.mark.parametrize("end", ["commit", "rollback", "adapter"])
def test_rows_behind_the_end_of_a_transaction_begin_another_one(
    db: DatabaseManager, end: str
) -> None:
    def rows(session: Session) -> Iterator[tuple[object, int]]:
        yield 1, 1
        if end == "adapter":
            yield Ends(session), 2
        else:
            getattr(session, end)()
        assert end == "adapter" or not session.in_transaction
        yield 3, 3

    with pytest.raises(RuntimeError), db.session() as session:
        session.executemany("UPDATE t SET x = 'written' || ? WHERE id = ?", rows(session))
        assert session.in_transaction
        raise RuntimeError
    with db.session() as session:
        written = session.execute("SELECT id FROM t WHERE x GLOB 'written*'").scalars().all()
    assert written == ([] if end == "rollback" else [1])


def test_optimizing_is_writing(db: DatabaseManager) -> None:
    with db.session("read") as session:
        with pytest.raises(sqlite3.OperationalError, match="mode='read'"):
            session.execute("PRAGMA optimize")
        with db.session("write") as other:
            other.execute("UPDATE t SET x = 1 WHERE id = 1")
    with pytest.raises(RuntimeError), db.session() as session:
        session.execute("CREATE INDEX i ON t (x)")
        session.execute("PRAGMA optimize=0x10002")
        assert session.in_transaction
        raise RuntimeError
    with db.session() as session:
        assert session.execute("SELECT name FROM sqlite_schema").scalars().all() == ["t"]


def test_session_of_a_file_is_not_deserialized_into(db: DatabaseManager) -> None:
    with db.session() as session:
        with pytest.raises(sqlite3.ProgrammingError, match="can't be deserialized into"):
            session.deserialize(session.serialize())
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS x")
        image = connection.serialize()
    memory = DatabaseManager("sqlite://")
    with memory.session() as session:
        session.deserialize(image)
    with memory.session() as session:
        assert session.scalar("SELECT x FROM t") == 7


@pytest.mark.parametrize("mode", ["read", "auto"])
@pytest.mark.parametrize("explain", ["EXPLAIN", "EXPLAIN QUERY PLAN"])
def test_explaining_a_write_is_none(tmp_path: Path, mode: str, explain: str) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db")
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        session.execute("INSERT INTO t VALUES (1)")
    with db.session(mode=mode) as session:
        assert session.execute(f"{explain} DELETE FROM t WHERE x > 0").fetchall()
        if mode == "auto":
            assert not session.in_transaction
        assert session.scalar("SELECT count(*) FROM t") == 1
    DatabaseManager.reset()


@pytest.mark.parametrize("uses", ["nothing", "SELECT count(*) FROM t"])
def test_session_that_is_open_when_the_file_is_replaced_takes_nothing_from_the_new_one(
    tmp_path: Path, uses: str
) -> None:
    path = tmp_path / "app.db"
    db = DatabaseManager(f"sqlite:///{path}")
    for place in (path, tmp_path / "new.db"):
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("CREATE TABLE t (x)")
    with db.session():
        pass
    db.drain()
    opened, over = threading.Event(), threading.Event()

    def hold() -> None:
        with db.session() as session:
            if uses != "nothing":
                session.execute(uses).fetchall()
            opened.set()
            over.wait()
            with pytest.raises(
                sqlite3.OperationalError, match="was replaced, moved or removed while"
            ):
                session.execute("INSERT INTO t VALUES ('old')")

    with ThreadPoolExecutor(1) as executor:
        holder = executor.submit(hold)
        opened.wait()
        (tmp_path / "new.db").replace(path)
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        code += "c.execute('INSERT INTO t VALUES (2)'); c.commit()"
        subprocess.run([sys.executable, "-c", code, path], check=True)
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (3)")
        over.set()
        holder.result()
    with db.session() as session:
        assert session.execute("SELECT x FROM t ORDER BY x").scalars().all() == [1, 2, 3]
        assert session.scalar("PRAGMA integrity_check") == "ok"
    DatabaseManager.reset()


@pytest.mark.parametrize("wrong", [None, 5, b"read"])
def test_mode_must_be_text(db: DatabaseManager, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"mode must be str, not (None|int|bytes)"):
        db.session(wrong)


def test_write_behind_an_open_blob_with_an_old_snapshot_says_what_to_do(
    db: DatabaseManager,
) -> None:
    with db.session() as session:
        session.execute("UPDATE t SET x = zeroblob(3) WHERE id = 1")
    with db.session() as session:
        blob = session.blobopen("t", "x", 1, readonly=True)
        with db.session() as other:
            other.execute("UPDATE t SET x = 'changed' WHERE id = 2")
        with pytest.raises(sqlite3.OperationalError, match=r"locked: .*close it before") as caught:
            session.execute("UPDATE t SET x = 2 WHERE id = 2")
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT
        assert blob.read() == bytes(3)
        blob.close()
        session.execute("UPDATE t SET x = 3 WHERE id = 2")
    with db.session() as session:
        assert session.scalar("SELECT x FROM t WHERE id = 2") == 3
