"""What a session does in each mode, and how sessions of one process take turns to write."""

import sqlite3 as stdlib
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dbmanager import (
    DatabaseManager,
    MultipleResultsFound,
    NoResultFound,
    PoolTimeout,
    Session,
    sqlite3,
)
from tests.other_process import other_process

ROWS = 500


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
