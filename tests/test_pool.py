"""``connect()`` leases from a pool and must not show it, whatever happens to the file."""

import gc
import os
import shutil
import sqlite3 as stdlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dbmanager import DatabaseManager, set_max_idle_connections, sqlite3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database file with one row, made by the stdlib."""
    path = tmp_path / "a.db"
    fill(path, "old")
    return path


def fill(path: Path, text: str) -> None:
    """Make a database with one row, by the stdlib."""
    with closing(stdlib.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE t (x); INSERT INTO t VALUES ('{text}')")


def rows(path: Path | str) -> list[tuple[Any, ...]]:
    """Read all rows through a connection of ours."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT x FROM t").fetchall()


def change(path: Path | str, text: str) -> None:
    """Write through a connection of ours."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE t SET x = ?", (text,))


def figures(path: Path) -> dict[str, int]:
    """Give the figures of the file's pool, which a manager shares."""
    manager = DatabaseManager(f"sqlite:///{path}", pool_pre_ping=True)
    with manager.session():
        pass
    return manager.get_stats()


@pytest.fixture(autouse=True)
def no_manager_left() -> Iterator[None]:
    """Managers are for the figures only."""
    yield
    DatabaseManager.reset()


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def test_closing_and_connecting_again_opens_no_file(path: Path) -> None:
    rows(path)
    before = descriptors()
    for _ in range(100):
        rows(path)
    assert descriptors() == before
    assert figures(path)["opened_total"] == 2  # one for connect(), one for the session


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Python 3.13, rightly
def test_connection_that_is_garbage_collected_goes_back(path: Path) -> None:
    for _ in range(20):
        connection = sqlite3.connect(path)
        connection.execute("SELECT x FROM t").fetchone()
        del connection
    gc.collect()
    assert figures(path)["opened_total"] == 2


def test_more_connections_than_the_pool_has_places_are_opened_at_once(path: Path) -> None:
    with_all = [sqlite3.connect(path) for _ in range(40)]
    assert all(c.execute("SELECT x FROM t").fetchone() == ("old",) for c in with_all)
    for connection in with_all:
        connection.close()
    after = figures(path)
    assert after["overflow_total"] == after["discarded_surplus_total"] == 30
    assert after["pool_idle"] == 11


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_file_that_was_replaced_is_read_anew(path: Path, tmp_path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
    change(path, "ours")
    fill(tmp_path / "other.db", "other")
    os.replace(tmp_path / "other.db", path)
    assert rows(path) == [("other",)]
    change(path, "again")
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [("again",)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_file_that_was_overwritten_in_place_is_read_anew(
    path: Path, tmp_path: Path, journal: str
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
    rows(path)
    backup = tmp_path / "backup.db"
    shutil.copy(path, backup)
    change(path, "ours")
    assert rows(path) == [("ours",)]
    shutil.copyfile(backup, path)
    assert rows(path) == [("old",)]


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_file_that_was_removed_is_made_anew_and_empty(path: Path, journal: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
    change(path, "ours")
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == []
        connection.execute("CREATE TABLE fresh (x)")
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("fresh",)]


def read_all(path: Path, door: str) -> list[tuple[object]]:
    """Read the table by ``connect()`` or in a session."""
    if door == "connect":
        return rows(path)
    with DatabaseManager(f"sqlite:///{path}").session(mode="read") as session:
        return session.execute("SELECT x FROM t").fetchall()


@pytest.mark.parametrize("door", ["connect", "session"])
@pytest.mark.parametrize("next_step", ["read", "close"])
def test_journals_that_were_removed_and_begun_anew_by_others_are_theirs(
    path: Path, door: str, next_step: str
) -> None:
    with closing(stdlib.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
    assert read_all(path, door) == [("old",)]
    for journal in ("-wal", "-shm"):
        path.with_name(path.name + journal).unlink()
    with closing(stdlib.connect(path)) as theirs:
        theirs.execute("INSERT INTO t VALUES ('theirs')")
        theirs.commit()
        if next_step == "close":
            set_max_idle_connections(0)
            set_max_idle_connections(256)
        assert read_all(path, door) == [("old",), ("theirs",)]
        change(path, "ours")
        assert theirs.execute("SELECT x FROM t").fetchall() == [("ours",)] * 2
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [("ours",)] * 2
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    DatabaseManager.reset()


OF_ANOTHER_PROCESS = {
    "grows": "INSERT INTO t SELECT randomblob(900) FROM t; PRAGMA wal_checkpoint",
    "is restarted": "INSERT INTO t VALUES (1); PRAGMA wal_checkpoint(RESTART)",
    "is truncated": "INSERT INTO t SELECT randomblob(900) FROM t; PRAGMA wal_checkpoint(TRUNCATE)",
    "shrinks": "DELETE FROM t WHERE rowid > 3; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
    "changes": "UPDATE t SET a = 'changed'",
}


def test_reader_sees_what_another_process_does_to_a_file_whose_size_it_knows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "size.db"
    with closing(stdlib.connect(path)) as theirs:
        theirs.execute("PRAGMA journal_mode=WAL")
        theirs.execute("CREATE TABLE t (a)")
        theirs.executemany("INSERT INTO t VALUES (?)", [("first",)] * 50)
        theirs.commit()
    look = "SELECT count(*), min(a), (SELECT * FROM pragma_page_count) FROM t"
    opened = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    expected = f"{opened}print(c.execute({look!r}).fetchone())"
    with closing(sqlite3.connect(path)) as reader:
        for script in [*OF_ANOTHER_PROCESS.values(), *reversed(OF_ANOTHER_PROCESS.values())]:
            for _ in range(3):
                reader.execute(look).fetchone()
            for code in (f"{opened}c.executescript({script!r})", expected):
                answer = subprocess.run(
                    [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
                )
            assert str(reader.execute(look).fetchone()) == answer.stdout.strip()
            assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("mode", ["another reader", "exclusive", "rollback journal"])
def test_file_whose_size_is_known_grows_in_every_mode(path: Path, mode: str) -> None:
    if mode != "rollback journal":
        with closing(stdlib.connect(path)) as theirs:
            theirs.execute("PRAGMA journal_mode=WAL")
    with closing(sqlite3.connect(path)) as writer, closing(sqlite3.connect(path)) as other:
        if mode == "exclusive":
            other.close()
            writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        reader = writer if mode == "exclusive" else other
        count = "SELECT count(*) FROM sqlite_schema"
        for number in range(1, 30):
            assert reader.execute(count).fetchone() == (number,)
            assert reader.execute(count).fetchone() == (number,)
            writer.execute(f"CREATE TABLE more_{number} (a)")
            writer.execute(f"INSERT INTO more_{number} VALUES (zeroblob(9000))")
            writer.commit()
            if number % 3 == 0:
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def test_copy_after_the_last_close_is_complete(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    for number in range(3):
        change(path, f"change {number}")
        copy = shutil.copy(path, tmp_path / f"copy{number}.db")
        with closing(stdlib.connect(copy)) as connection:
            assert connection.execute("SELECT x FROM t").fetchone() == (f"change {number}",)


def test_links_and_relative_paths_lead_to_one_pool(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link.db").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for name in ("a.db", "./a.db", "link.db", str(path), f"file:{path}?mode=rwc"):
        with closing(sqlite3.connect(name, uri=True)) as connection:
            assert connection.execute("SELECT x FROM t").fetchone() == ("old",)
    assert figures(path)["opened_total"] == 2


def test_relative_path_means_the_file_of_the_present_folder(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    fill(other / "a.db", "other")
    for folder, expected in ((tmp_path, "old"), (other, "other"), (tmp_path, "old")):
        monkeypatch.chdir(folder)
        assert rows("a.db") == [(expected,)]


def test_second_name_of_a_file_is_a_database_of_its_own(path: Path, tmp_path: Path) -> None:
    os.link(path, tmp_path / "name.db")
    for name in ("a.db", "name.db", "a.db"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            shown = connection.execute("PRAGMA database_list").fetchone()[2]
        assert shown == str(tmp_path / name)


def test_folder_that_was_renamed_is_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    fill(tmp_path / "one" / "b.db", "moved")
    with closing(sqlite3.connect(tmp_path / "one" / "b.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    (tmp_path / "one").rename(tmp_path / "two")
    change(tmp_path / "two" / "b.db", "after")
    assert not (tmp_path / "one").exists()
    with closing(stdlib.connect(tmp_path / "two" / "b.db")) as connection:
        assert connection.execute("SELECT x FROM t").fetchone() == ("after",)


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_mode_of_a_uri_is_kept_apart(path: Path, mode: str) -> None:
    change(path, "ours")
    for _ in range(2):
        with closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True)) as connection:
            if mode == "ro":
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    connection.execute("UPDATE t SET x = 1")
            else:
                connection.execute("UPDATE t SET x = 'ours'")
    assert rows(path) == [("ours",)]


LEFT_BEHIND: dict[str, Callable[[Any], object]] = {
    "transaction": lambda c: c.execute("UPDATE t SET x = 'uncommitted'"),
    "temporary table": lambda c: c.execute("CREATE TEMP TABLE t AS SELECT 'temporary' AS x"),
    "attached": lambda c: c.execute("ATTACH ':memory:' AS other"),
    "function": lambda c: c.create_function("lower", 1, lambda x: "ours"),
    "collation": lambda c: c.create_collation("NOCASE", lambda a, b: 0),
    "authorizer": lambda c: c.set_authorizer(lambda *_: sqlite3.SQLITE_DENY),
    "progress handler": lambda c: c.set_progress_handler(lambda: 1, 1),
    "trace": lambda c: c.set_trace_callback(print),
    "limit": lambda c: c.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 5),
    "open cursor": lambda c: c.execute("SELECT x FROM t UNION SELECT 2"),
    "open blob": lambda c: c.blobopen("b", "x", 1),
    "foreign keys": lambda c: c.execute("PRAGMA foreign_keys = ON"),
    "query only": lambda c: c.execute("PRAGMA query_only = ON"),
    "case-sensitive LIKE": lambda c: c.execute("PRAGMA case_sensitive_like = ON"),
    "recursive triggers": lambda c: c.execute("PRAGMA recursive_triggers = ON"),
    "synchronous": lambda c: c.execute("PRAGMA synchronous = OFF"),
    "cache size": lambda c: c.execute("PRAGMA cache_size = 17"),
    "locking mode": lambda c: c.execute("PRAGMA locking_mode = EXCLUSIVE"),
    "temporary store": lambda c: c.execute("PRAGMA temp_store = MEMORY"),
    "row factory": lambda c: setattr(c, "row_factory", sqlite3.Row),
    "isolation level": lambda c: setattr(c, "isolation_level", None),
    "deserialized": lambda c: c.deserialize(c.serialize()),
    "busy timeout": lambda c: c.execute("PRAGMA busy_timeout = 12345"),
    "rows inserted": lambda c: (c.execute("INSERT INTO log VALUES (1), (2)"), c.rollback()),
}

LOOKS = (
    "SELECT x FROM t",
    "SELECT name FROM sqlite_temp_schema",
    "PRAGMA database_list",
    "SELECT lower('ABC'), 'a' = 'A' COLLATE NOCASE, 'a' LIKE 'A'",
    "SELECT changes(), total_changes(), last_insert_rowid()",
    *(
        f"PRAGMA {name}"
        for name in (
            "foreign_keys",
            "query_only",
            "recursive_triggers",
            "synchronous",
            "cache_size",
            "locking_mode",
            "temp_store",
            "busy_timeout",
            "journal_mode",
        )
    ),
)


def seen(connection: Any) -> list[object]:
    """Give all that a user can see of a fresh connection."""
    seen: list[object] = [
        connection.in_transaction,
        connection.total_changes,
        connection.row_factory,
        connection.isolation_level,
        connection.getlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH),
    ]
    for sql in LOOKS:
        try:
            seen.append(connection.execute(sql).fetchall())
        except sqlite3.Error as error:
            seen.append(repr(error))
    return seen


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_nothing_that_one_user_did_is_seen_by_the_next(path: Path, what: str) -> None:
    with closing(stdlib.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE b (x); INSERT INTO b VALUES (zeroblob(9)); CREATE TABLE log (x)"
        )
    with closing(sqlite3.connect(path)) as connection:
        fresh = seen(connection)
    for _ in range(2):  # the second time with statements that are in the cache
        connection = sqlite3.connect(path)
        kept = LEFT_BEHIND[what](connection)
        connection.close()
        with closing(sqlite3.connect(path)) as connection:
            assert seen(connection) == fresh
        del kept


def test_cursor_of_a_closed_connection_can_not_touch_the_next_users(path: Path) -> None:
    first = sqlite3.connect(path)
    cursor = first.execute("SELECT x FROM t UNION SELECT 'more'")
    first.close()
    with closing(sqlite3.connect(path)) as second:
        second.execute("BEGIN")
        second.execute("UPDATE t SET x = 'second'")
        for use, arguments in (
            (cursor.fetchone, ()),
            (cursor.close, ()),
            (cursor.execute, ("ROLLBACK",)),
        ):
            with pytest.raises(sqlite3.ProgrammingError):
                use(*arguments)
        del cursor, use
        second.execute("COMMIT")
    assert rows(path) == [("second",)]


def test_two_connections_without_patience_collide_as_with_the_stdlib(path: Path) -> None:
    with (
        closing(sqlite3.connect(path, timeout=0)) as one,
        closing(sqlite3.connect(path, timeout=0)) as two,
    ):
        one.execute("UPDATE t SET x = 1")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            two.execute("UPDATE t SET x = 2")


def test_private_databases_are_not_pooled() -> None:
    for name in (":memory:", "", "file::memory:", "file:x?mode=memory"):
        for _ in range(2):
            with closing(sqlite3.connect(name, uri=True)) as connection:
                connection.execute("CREATE TABLE t (x)")


def test_idle_connections_of_the_process_are_bounded(tmp_path: Path) -> None:
    before = descriptors()
    try:
        set_max_idle_connections(5)
        for number in range(50):
            fill(tmp_path / f"{number}.db", "x")
            assert rows(tmp_path / f"{number}.db") == [("x",)]
        assert descriptors() <= before + 5
    finally:
        set_max_idle_connections(256)


@pytest.mark.parametrize("count", [-1, 2**40, -(2**80)])
def test_number_of_idle_connections_that_makes_no_sense_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 4294967295, not {count}"):
        set_max_idle_connections(count)
    with pytest.raises(TypeError):
        set_max_idle_connections("5")  # type: ignore[arg-type]


def test_end_of_the_process_leaves_all_in_the_file(path: Path) -> None:
    code = """
import sys
from dbmanager import DatabaseManager, sqlite3
db = DatabaseManager("sqlite:///" + sys.argv[1])
with db.session() as session:
    session.execute("UPDATE t SET x = 'session'")
connection = sqlite3.connect(sys.argv[1])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", code, str(path)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(path.parent.glob("a.db-*"))
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("SELECT x FROM t").fetchone() == ("session",)


def test_threads_that_connect_and_close_all_the_time(path: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(100):
                with closing(sqlite3.connect(path, timeout=60)) as connection:
                    if turn % 10 == 0:
                        with connection:
                            connection.execute("INSERT INTO t VALUES (?)", (number * 1000 + turn,))
                    assert connection.execute("SELECT count(*) FROM t").fetchone()[0] > 0
        except BaseException as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(rows(path)) == 81
