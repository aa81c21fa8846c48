"""The stdlib's `sqlite3` and ours on one file in one process: no lock is lost, and no commit."""

import sqlite3 as stdlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

import dbmanager
from dbmanager import DatabaseManager, sqlite3
from tests.open_files import open_files

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has locks of open files"
)

BOTH_MODES = pytest.mark.parametrize("mode", ["wal", "delete"])
BOTH_DIRECTIONS = pytest.mark.parametrize(
    ("holder", "other"), [(stdlib, sqlite3), (sqlite3, stdlib)], ids=["theirs", "ours"]
)

# Tells whether it could write.
ASK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
else:
    print("free")
"""


def third_process_finds(path: Path) -> str:
    """Give what a process on the stdlib is told that wants to write."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return asked.stdout.strip()


def parked() -> int:
    manager = DatabaseManager("sqlite://")
    with closing(manager):
        return int(manager.get_stats()["descriptors_parked"])


@pytest.fixture(autouse=True)
def nothing_is_left_open(tmp_path: Path) -> Iterator[None]:
    yield
    DatabaseManager.reset()
    dbmanager.close_all_pools()
    assert open_files(tmp_path) == []


def database(path: Path, mode: str) -> Path:
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
        connection.execute("CREATE TABLE t (a)")
    return path


@BOTH_MODES
@BOTH_DIRECTIONS
@pytest.mark.parametrize("use", ["open", "read", "try to write"])
def test_opening_and_closing_one_copy_drops_no_lock_of_the_other(
    tmp_path: Path, mode: str, holder: ModuleType, other: ModuleType, use: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    with closing(holder.connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t VALUES (1)")
        assert third_process_finds(path) == "database is locked"
        for _ in range(3):
            with closing(other.connect(path, timeout=0)) as second:
                if use == "read":
                    assert second.execute("SELECT count(*) FROM t").fetchone() == (0,)
                elif use == "try to write":
                    with pytest.raises(stdlib.OperationalError, match="database is locked"):
                        second.execute("BEGIN IMMEDIATE")
            dbmanager.close_all_pools()
        assert third_process_finds(path) == "database is locked"
        connection.commit()
    assert third_process_finds(path) == "free"


@BOTH_MODES
@BOTH_DIRECTIONS
def test_a_reader_of_one_copy_is_not_overlooked_by_a_writer_of_the_other(
    tmp_path: Path, mode: str, holder: ModuleType, other: ModuleType
) -> None:
    path = database(tmp_path / "a.db", mode)
    with (
        closing(holder.connect(path)) as reader,
        closing(other.connect(path, timeout=0)) as writer,
    ):
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        writer.execute("INSERT INTO t VALUES (1)")
        if mode == "delete":
            with pytest.raises(stdlib.OperationalError, match="database is locked"):
                writer.commit()
            reader.rollback()
        writer.commit()
        if mode == "wal":
            # The snapshot stays, and keeps the WAL from beginning anew.
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
            reset = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert reset is not None
            assert reset[0] == 1
            reader.rollback()
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)


@BOTH_MODES
def test_inserts_between_connections_of_the_stdlib_are_all_there(tmp_path: Path, mode: str) -> None:
    path = database(tmp_path / "a.db", mode)
    for number in range(300):
        # Ours stays open, idle in the pool.
        with closing(sqlite3.connect(path)) as ours, ours:
            ours.execute("INSERT INTO t VALUES (?)", (2 * number,))
        with closing(stdlib.connect(path)) as theirs, theirs:
            theirs.execute("INSERT INTO t VALUES (?)", (2 * number + 1,))
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = connection.execute("SELECT a FROM t ORDER BY a").fetchall()
    assert rows == [(number,) for number in range(600)]


@BOTH_MODES
def test_descriptors_that_must_wait_are_counted_used_again_and_closed(
    tmp_path: Path, mode: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    with closing(stdlib.connect(path)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        before = len(open_files(tmp_path))
        counts = set()
        for _ in range(5):
            with closing(sqlite3.connect(path)) as connection:
                assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
            dbmanager.close_all_pools()
            counts.add(parked())
            assert len(open_files(tmp_path)) - before == parked()
        assert len(counts) == 1
        assert counts.pop() > 0
        holder.rollback()
    dbmanager.close_all_pools()
    assert parked() == 0
    assert open_files(tmp_path) == []


def test_a_file_that_can_only_be_read_is_locked_for_reading_and_let_go(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "delete")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        with closing(stdlib.connect(path, timeout=0)) as writer:
            writer.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(stdlib.OperationalError, match="database is locked"):
                writer.commit()
            # The first connection of ours was for reading only; this one is not.
            with closing(sqlite3.connect(path, timeout=0)) as ours:
                with pytest.raises(stdlib.OperationalError, match="database is locked"):
                    ours.execute("INSERT INTO t VALUES (2)")
                reader.rollback()
                writer.commit()
                ours.execute("INSERT INTO t VALUES (2)")
                ours.commit()
        assert reader.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]


# Counts up in a file by the stdlib until its standard input ends; prints how often.
COUNT_UP = """
import sqlite3, sys, threading
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
count = 0
while not stop.is_set():
    connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
    for _ in range(10):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE t SET a = a + 1")
        connection.execute("COMMIT")
        count += 1
    connection.close()
print(count)
"""


class Counting:
    """Threads and processes that count up in one row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counted: list[int] = []
        self.stop = threading.Event()
        self.errors: list[BaseException] = []

    def by_connections(self, module: ModuleType) -> None:
        count = 0
        while not self.stop.is_set():
            with closing(module.connect(self.path, timeout=60, isolation_level=None)) as connection:
                for _ in range(5):
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("UPDATE t SET a = a + 1")
                    connection.execute("COMMIT")
                    count += 1
        self.counted.append(count)

    def by_sessions(self, manager: DatabaseManager) -> None:
        count = 0
        while not self.stop.is_set():
            with manager.session() as session:
                session.execute("UPDATE t SET a = a + 1")
            count += 1
        self.counted.append(count)

    def by_closing_pools(self) -> None:
        """Have connections of ours really closed, again and again."""
        while not self.stop.wait(0.001):
            dbmanager.close_all_pools()

    def thread(self, work, *arguments) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 (reported by the test's own thread)
                self.errors.append(error)
                self.stop.set()

        return threading.Thread(target=run)


def count_up(path: Path, mode: str, seconds: float) -> tuple[int, int]:
    """Count up by all together; give how often, and what the row says."""
    database(path, mode)
    with closing(stdlib.connect(path)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (0)")
    counting = Counting(path)
    # A long patience: the stdlib's waiters have no queue.
    pragmas = {"journal_mode": mode, "busy_timeout": 60_000}
    manager = DatabaseManager(f"sqlite:///{path}", pool_timeout=60, pragmas=pragmas)
    threads = [
        counting.thread(counting.by_connections, stdlib),
        counting.thread(counting.by_connections, stdlib),
        counting.thread(counting.by_connections, sqlite3),
        counting.thread(counting.by_connections, sqlite3),
        counting.thread(counting.by_sessions, manager),
        counting.thread(counting.by_closing_pools),
    ]
    command = [sys.executable, "-c", COUNT_UP, str(path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    counting.stop.wait(seconds)
    counting.stop.set()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    for thread in threads:
        thread.join()
    counted = []
    for process in processes:
        assert process.wait(timeout=120) == 0
        assert process.stdout is not None
        with process.stdout:
            counted.append(int(process.stdout.read()))
    manager.close()
    assert counting.errors == []
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (seen,) = connection.execute("SELECT a FROM t").fetchone()
    return sum(counting.counted) + sum(counted), seen


@BOTH_MODES
def test_threads_on_both_copies_and_processes_lose_no_commit(tmp_path: Path, mode: str) -> None:
    counted, seen = count_up(tmp_path / "a.db", mode, 2)
    assert counted == seen
    assert counted > 0


def test_closing_all_pools_leaves_the_log_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = database(tmp_path / "a.db", "wal")
    dbmanager.close_all_pools()
    with caplog.at_level("INFO", logger="dbmanager.pool"):
        sqlite3.connect(path).close()
        dbmanager.close_all_pools()
    assert "closed 1 idle connection(s) (closed)" in caplog.text


@pytest.mark.soak
@BOTH_MODES
def test_threads_on_both_copies_and_processes_lose_no_commit_in_a_minute(
    tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counted, seen = count_up(tmp_path / "a.db", mode, 60)
    with capsys.disabled():
        print(f"\ncoexistence, {mode}: {counted:,} commits, {counted - seen} lost")
    assert counted == seen
