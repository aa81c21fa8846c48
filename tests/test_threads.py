"""Threads on one shared connection: every result consistent, no crash, no hang.

A connection opened with ``check_same_thread=False`` is locked for each call, so threads
may interleave between calls and never inside one. A test ends its threads by what they
did, not by time; a hang is caught by the time limit of the tests.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dbmanager.sqlite3 as sqlite

THREADS = 8
ROUNDS = 150

ENDLESS = "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture(params=["memory", "file", "wal"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Open one connection for all threads."""
    name = ":memory:" if request.param == "memory" else tmp_path / "shared.db"
    with closing(sqlite.connect(name, check_same_thread=False)) as connection:
        if request.param == "wal":
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE t (worker INTEGER, number INTEGER, text TEXT)")
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
        connection.executemany("INSERT INTO account VALUES (?, 1000)", [(n,) for n in range(10)])
        connection.commit()
        yield connection


def together(work: Callable[[int], object], threads: int = THREADS) -> list[Any]:
    """Run the work in several threads that begin together; raise what one of them raised."""
    barrier = threading.Barrier(threads)

    def begin(worker: int) -> object:
        barrier.wait()
        return work(worker)

    with ThreadPoolExecutor(threads) as executor:
        parts = [executor.submit(begin, worker) for worker in range(threads)]
        return [part.result() for part in parts]


def test_writes_of_all_threads_arrive_and_each_reads_its_own(shared: Any) -> None:
    def work(worker: int) -> None:
        for number in range(ROUNDS):
            text = f"{worker}:{number}" * (number % 7)
            shared.execute("INSERT INTO t VALUES (?, ?, ?)", (worker, number, text))
            rows = shared.execute(
                "SELECT number, text FROM t WHERE worker = ? ORDER BY number DESC LIMIT 1",
                (worker,),
            ).fetchall()
            assert rows == [(number, text)]
            if number % 10 == 0:
                shared.commit()

    together(work)
    shared.commit()
    counts = shared.execute("SELECT worker, count(*) FROM t GROUP BY worker").fetchall()
    assert counts == [(worker, ROUNDS) for worker in range(THREADS)]


def test_one_statement_is_atomic_for_readers_of_the_same_connection(shared: Any) -> None:
    move = (
        "UPDATE account SET balance = balance + CASE id WHEN :a THEN -:n ELSE :n END "
        "WHERE id IN (:a, :b)"
    )

    def work(worker: int) -> None:
        for number in range(ROUNDS):
            if worker % 2:
                a, b = (worker + number) % 10, (worker + number + 3) % 10
                shared.execute(move, {"a": a, "b": b, "n": number})
            else:
                assert shared.execute("SELECT sum(balance) FROM account").fetchone() == (10_000,)

    together(work)
    shared.commit()


def test_cursors_of_threads_keep_their_own_rows(shared: Any) -> None:
    shared.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n % 8, n, "x") for n in range(2_000)])
    shared.commit()

    def work(worker: int) -> int:
        total = 0
        for _ in range(5):
            cursor = shared.execute(
                "SELECT worker, number FROM t WHERE worker = ? ORDER BY number", (worker,)
            )
            expected = worker
            for owner, number in cursor:
                assert (owner, number) == (worker, expected)
                expected += 8
                total += 1
        return total

    assert together(work) == [1_250] * THREADS


def test_same_sql_text_in_all_threads_gives_each_its_own_rows(shared: Any) -> None:
    sql = "SELECT ?, value FROM json_each('[1,2,3,4,5]')"

    def work(worker: int) -> None:
        for _ in range(ROUNDS):
            rows = shared.execute(sql, (worker,)).fetchall()
            assert rows == [(worker, value) for value in range(1, 6)]

    together(work)


def test_executemany_of_threads_is_not_mixed_up(shared: Any) -> None:
    def work(worker: int) -> None:
        for number in range(10):
            rows = ((worker, number, f"{worker}-{n}") for n in range(20))
            shared.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)

    together(work)
    shared.commit()
    grouped = shared.execute(
        "SELECT worker, number, count(*), count(DISTINCT text) FROM t GROUP BY 1, 2"
    ).fetchall()
    assert grouped == [(w, n, 20, 20) for w in range(THREADS) for n in range(10)]


def test_callbacks_run_while_other_threads_use_the_connection(shared: Any) -> None:
    shared.create_function("plus", 2, lambda a, b: a + b)

    class Total:
        def __init__(self) -> None:
            self.total = 0

        def step(self, value: int) -> None:
            self.total += value

        def finalize(self) -> int:
            return self.total

    shared.create_aggregate("total_of", 1, Total)
    shared.create_collation("backwards", lambda a, b: (a < b) - (a > b))

    def work(worker: int) -> None:
        for number in range(ROUNDS):
            if worker % 3 == 0:
                row = shared.execute("SELECT plus(?, ?)", (worker, number)).fetchone()
                assert row == (worker + number,)
            elif worker % 3 == 1:
                sql = "SELECT total_of(value) FROM json_each('[1,2,3]')"
                assert shared.execute(sql).fetchone() == (6,)
            else:
                sql = 'SELECT value FROM json_each(\'["a","b"]\') ORDER BY value COLLATE backwards'
                assert shared.execute(sql).fetchall() == [("b",), ("a",)]

    together(work)


def test_callback_that_uses_the_connection_does_not_lock_itself_out(shared: Any) -> None:
    shared.create_function(
        "inner_count", 0, lambda: shared.execute("SELECT count(*) FROM account").fetchone()[0]
    )

    def work(worker: int) -> None:
        for _ in range(ROUNDS // 3):
            assert shared.execute("SELECT inner_count() + ?", (worker,)).fetchone() == (
                10 + worker,
            )

    together(work)


def test_settings_changed_by_threads_never_break_a_row(shared: Any) -> None:
    factories = [None, sqlite.Row, lambda cursor, row: list(row)]

    def work(worker: int) -> None:
        for number in range(ROUNDS):
            if worker == 0:
                shared.row_factory = factories[number % 3]
            elif worker == 1:
                shared.text_factory = (str, bytes)[number % 2]
            else:
                row = shared.execute("SELECT ?, 'text'", (number,)).fetchone()
                first, second = row
                assert first == number
                assert second in {"text", b"text"}

    together(work)


def test_one_cursor_in_all_threads_gives_whole_rows_or_refuses(shared: Any) -> None:
    shared.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n, str(n)) for n in range(200)])
    cursor = shared.cursor()

    def work(worker: int) -> None:
        for _ in range(ROUNDS):
            try:
                if worker % 4 == 0:
                    cursor.execute("SELECT worker, number, text FROM t")
                row = cursor.fetchone()
            except sqlite.Error:
                continue
            if row is not None:
                worker_of_row, number, text = row
                assert worker_of_row == number == int(text)

    together(work)


def test_connection_closed_under_working_threads_refuses_them(shared: Any) -> None:
    closed = threading.Event()
    working = threading.Barrier(THREADS)

    def work(worker: int) -> str:
        if worker == 0:
            working.wait()
            shared.close()
            closed.set()
            return "closed it"
        working.wait()
        try:
            while True:
                shared.execute("SELECT sum(balance) FROM account").fetchone()
                cursor = shared.execute("SELECT value FROM json_each('[1,2,3]')")
                # Closing between two fetches may end the rows or be an error.
                assert len(cursor.fetchall()) == 3
        except sqlite.ProgrammingError as error:
            return str(error)

    answers = together(work)
    assert closed.is_set()
    assert set(answers) <= {"closed it", "Cannot operate on a closed database."}


def test_interrupt_from_another_thread_ends_an_endless_query(shared: Any) -> None:
    running = threading.Event()
    shared.create_function("running", 0, lambda: running.set() or 1)

    def interrupt() -> None:
        assert running.wait(60)
        # The statement may not have come far enough to see the first one.
        while not ended.wait(0.001):
            shared.interrupt()

    ended = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(sqlite.OperationalError, match="interrupted"):
            shared.execute(f"SELECT running(), ({ENDLESS})").fetchall()
    finally:
        ended.set()
        thread.join()
    assert shared.execute("SELECT count(*) FROM account").fetchone() == (10,)


def test_long_query_lets_other_threads_run_python(shared: Any) -> None:
    progress: list[int] = []
    enough = threading.Event()

    def count() -> None:
        # Needs the interpreter lock again and again.
        for number in range(100_000):
            progress.append(number)
        enough.set()

    thread = threading.Thread(target=count)
    shared.set_progress_handler(lambda: enough.is_set(), 10_000)
    thread.start()
    with pytest.raises(sqlite.OperationalError, match="interrupted"):
        shared.execute(ENDLESS).fetchall()
    thread.join()
    assert len(progress) == 100_000


def test_blobs_of_threads_keep_their_content(shared: Any) -> None:
    shared.execute("CREATE TABLE b (content BLOB)")
    shared.executemany("INSERT INTO b VALUES (?)", [(bytes(64),)] * THREADS)
    shared.commit()

    def work(worker: int) -> None:
        with shared.blobopen("b", "content", worker + 1) as blob:
            for number in range(ROUNDS):
                blob.seek(0)
                blob.write(bytes([worker, number]) * 32)
                blob.seek(0)
                assert blob.read() == bytes([worker, number]) * 32

    together(work)
    shared.commit()


def test_backup_while_threads_write_is_a_consistent_copy(shared: Any) -> None:
    def work(worker: int) -> None:
        for number in range(20):
            if worker == 0:
                with closing(sqlite.connect(":memory:")) as target:
                    shared.backup(target, pages=5, sleep=0)
                    assert target.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            else:
                # Both rows in one statement: a copy has both or none.
                shared.execute(
                    "INSERT INTO t VALUES (?, ?, 'a'), (?, ?, 'b')", (worker, number) * 2
                )
                shared.commit()

    together(work)


def test_connections_of_threads_to_one_file_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    with closing(sqlite.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("CREATE TABLE t (worker INTEGER, number INTEGER)")

    def work(worker: int) -> None:
        for number in range(20):
            with closing(sqlite.connect(path, timeout=60)) as connection, connection:
                connection.execute("PRAGMA synchronous = OFF")
                connection.execute("INSERT INTO t VALUES (?, ?)", (worker, number))

    together(work)
    with closing(sqlite.connect(path)) as connection:
        rows = connection.execute("SELECT worker, number FROM t ORDER BY 1, 2").fetchall()
    assert rows == [(w, n) for w in range(THREADS) for n in range(20)]


def test_connections_opened_and_dropped_by_threads(tmp_path: Path) -> None:
    path = tmp_path / "dropped.db"
    with closing(sqlite.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")

    def work(worker: int) -> None:
        for _ in range(30):
            connection = sqlite.connect(path, check_same_thread=False)
            cursor = connection.execute("SELECT count(*) FROM t")
            assert cursor.fetchone() == (0,)
            connection.close()

    together(work)


def test_threads_that_share_one_cursor_are_refused_or_served() -> None:
    connection = sqlite.connect(":memory:", check_same_thread=False)
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(3000)])
    connection.commit()
    cursor = connection.cursor()

    def work(_: int) -> int:
        refused = 0
        for turn in range(300):
            try:
                cursor.execute("SELECT a FROM t WHERE a < 50")
                assert all(
                    0 <= a < 50 for (a,) in (cursor.fetchmany(7), cursor.fetchall())[turn % 2]
                )
                cursor.fetchone()
            except sqlite.ProgrammingError as error:
                assert "Recursive use of cursors" in str(error)  # noqa: PT017 - not each time
                refused += 1
            connection.execute("SELECT count(*) FROM t WHERE a > 3").fetchone()
        return refused

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(work, range(4)))
    assert cursor.execute("SELECT 1").fetchall() == [(1,)]
    connection.close()


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.soak, id="soak")])
def test_scripts_run_while_the_connection_is_opened_anew(seconds: int) -> None:
    """In a process of its own: what is looked for is a crash."""
    code = """
import sys, threading, time
from dbmanager import sqlite3
connection = sqlite3.connect(":memory:", check_same_thread=False)
end = time.monotonic() + float(sys.argv[1])
def script():
    while time.monotonic() < end:
        try:
            connection.executescript("CREATE TABLE IF NOT EXISTS t (a); INSERT INTO t VALUES (1)")
        except sqlite3.Error:
            pass
def anew():
    while time.monotonic() < end:
        try:
            connection.__init__(":memory:", check_same_thread=False)
        except sqlite3.Error:
            pass
threads = [threading.Thread(target=script) for _ in range(3)] + [threading.Thread(target=anew)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(seconds)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_connections_that_share_caches_open_and_close_in_many_threads_without_a_hang() -> None:
    def work(worker: int) -> None:
        for _ in range(ROUNDS):
            name = f"file:threads{worker}?mode=memory&cache=shared"
            with closing(sqlite.connect(name, uri=True)) as connection:
                connection.execute("CREATE TABLE t (a)")

    together(work)
