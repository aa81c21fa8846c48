"""When statements give the interpreter up, and what other threads may do meanwhile."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from dbmanager import DatabaseManager, sqlite3

# Runs for as long as the function `go_on` says, some rows at a time.
ENDLESS = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i % 100000 OR go_on())
    SELECT max(i) FROM n
"""


def test_long_query_lets_other_threads_run() -> None:
    ran = threading.Event()
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        # The query ends when the other thread has run, which needs the interpreter.
        connection.create_function("go_on", 0, lambda: not ran.is_set())
        other = threading.Thread(target=ran.set)
        other.start()
        connection.execute(ENDLESS).fetchall()
        other.join()


def test_query_without_callbacks_gives_the_interpreter_up_midway() -> None:
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as connection:
        ended = threading.Event()

        def interrupt() -> None:
            # Again and again: the first time may be before the query has begun.
            while not ended.wait(0.05):
                connection.interrupt()

        # Without the interpreter given up this thread could never run.
        other = threading.Thread(target=interrupt)
        other.start()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                "SELECT max(i) FROM n"
            ).fetchall()
        ended.set()
        other.join()


@pytest.fixture
def no_forced_switches() -> Iterator[None]:
    """Threads take turns only where one gives the interpreter up."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("no_forced_switches")
@pytest.mark.parametrize("statement", ["SELECT count(*) FROM t", "DELETE FROM t"])
def test_statement_of_one_long_operation_gives_the_interpreter_up(statement: str) -> None:
    ran = threading.Event()
    go = threading.Event()

    def run() -> None:
        go.wait()
        ran.set()

    other = threading.Thread(target=run)
    other.start()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("BEGIN")
        go.set()
        # The other thread may be too slow to wake up, so it gets many chances.
        for _ in range(100_000):
            connection.execute("INSERT INTO t VALUES (1)")
            connection.execute(statement).fetchall()
            if ran.is_set():
                break
        gave_way = ran.is_set()
    other.join()
    assert gave_way


LONG_SCHEMA = """
import sys, threading
from dbmanager import DatabaseManager, sqlite3
path = sys.argv[1]
connection = sqlite3.connect(path)
tables = "".join(f"CREATE TABLE t{n} (a);" for n in range(500))
connection.executescript(f"BEGIN; {tables} INSERT INTO t0 VALUES (x'01'); COMMIT")
connection.close()
ended = threading.Event()
other = threading.Thread(target=ended.wait)
other.start()
def fresh():
    # Not to be lent again, so that each reads the schema anew.
    connection = sqlite3.connect(path)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10**9)
    return connection
assert fresh().blobopen("t0", "a", 1).read() == b"\\x01"
fresh()("SELECT * FROM t0")
image = fresh().serialize()
copy = fresh()
copy.deserialize(image)
assert copy("SELECT 1") and copy.blobopen("t0", "a", 1).read() == b"\\x01"
assert fresh().execute("SELECT count(*) FROM t0").fetchone() == (1,)
fresh().executescript("SELECT * FROM t0; SELECT * FROM t1")
fresh().executemany("INSERT INTO t1 VALUES (?)", [(1,)])
fresh().create_function("f", 0, lambda: fresh().blobopen("t0", "a", 1).read())
nested = fresh()
nested.create_function("f", 0, lambda: nested.blobopen("t0", "a", 1).read())
sql = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999) SELECT count(f()) FROM n"
assert nested.execute(sql).fetchone() == (9999,)
db = DatabaseManager("sqlite:///" + path)
writer = fresh()
for number in range(5):
    writer.execute(f"CREATE TABLE n{number} (a)")
    writer.commit()
    with db.session() as session:
        session.executescript(f"INSERT INTO n{number} VALUES (1); SELECT 1;")
ended.set()
other.join()
print("done")
"""


def test_long_schema_is_read_by_everything_while_there_are_other_threads(tmp_path: Path) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-X",
            "faulthandler",
            "-c",
            LONG_SCHEMA,
            tmp_path / "a.db",
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (ended.stdout, ended.stderr) == ("done\n", "")


@pytest.mark.usefixtures("no_forced_switches")
@pytest.mark.parametrize("what", ["read", "write", "serialize", "deserialize"])
def test_copying_many_bytes_gives_the_interpreter_up(tmp_path: Path, what: str) -> None:
    ran, go = threading.Event(), threading.Event()

    def run() -> None:
        go.wait()
        ran.set()

    other = threading.Thread(target=run)
    other.start()
    with (
        closing(sqlite3.connect(tmp_path / "a.db")) as connection,
        closing(sqlite3.connect(":memory:")) as copy,
    ):
        connection.execute("CREATE TABLE t AS SELECT zeroblob(10000000) AS a")
        connection.commit()
        image, data = connection.serialize(), bytes(10_000_000)
        with connection.blobopen("t", "a", 1) as blob:
            uses = {
                "read": lambda: (blob.seek(0), blob.read()),
                "write": lambda: (blob.seek(0), blob.write(data)),
                "serialize": connection.serialize,
                "deserialize": lambda: copy.deserialize(image),
            }
            go.set()
            # The other thread may be too slow to wake up, so it gets many chances.
            for _ in range(1000):
                uses[what]()
                if ran.is_set():
                    break
        gave_way = ran.is_set()
    other.join()
    assert gave_way


@pytest.mark.parametrize("how", ["argument", "pragma"])
def test_waiting_for_a_lock_gives_the_interpreter_up(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.db"
    released = threading.Event()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as holder:
        holder.execute("CREATE TABLE t (a)")
        holder.execute("BEGIN IMMEDIATE")

        def release() -> None:
            holder.execute("COMMIT")
            released.set()

        timeout = 60.0 if how == "argument" else 0.0
        with closing(sqlite3.connect(path, timeout=timeout)) as waiter:
            if how == "pragma":
                waiter.execute("PRAGMA busy_timeout = 60000")
            timer = threading.Timer(0.05, release)
            timer.start()
            waiter.execute("INSERT INTO t VALUES (1)")
            assert released.is_set()
            waiter.commit()
            timer.join()


def test_another_thread_may_read_the_state_of_a_thread_bound_connection() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        seen: list[object] = []

        def look() -> None:
            seen.append((connection.in_transaction, connection.total_changes))

        for _ in range(3):
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            # The owner goes on as before.
            connection.execute("INSERT INTO t VALUES (1)")
        assert seen == [(True, 1), (True, 2), (True, 3)]


def test_another_thread_waits_for_a_running_statement_before_it_reads_the_state() -> None:
    inside, seen = threading.Event(), []
    with closing(sqlite3.connect(":memory:")) as connection:

        def look() -> None:
            inside.wait()
            seen.append(connection.total_changes)

        other = threading.Thread(target=look)
        other.start()
        rounds = iter(range(20))

        def go_on() -> bool:
            inside.set()
            return next(rounds, None) is not None

        connection.create_function("go_on", 0, go_on)
        connection.execute(ENDLESS).fetchall()
        other.join()
    assert seen == [0]


def test_cursor_dropped_by_another_thread_is_finished_by_the_owner() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
        connection.commit()
        box = [connection.execute("SELECT a FROM t")]
        thread = threading.Thread(target=box.clear)
        thread.start()
        thread.join()
        # An unfinished SELECT would keep the table from being dropped.
        connection.execute("SELECT 1").fetchall()
        connection.execute("DROP TABLE t")


def test_short_statements_do_not_starve_another_thread() -> None:
    """A tick in the middle of a look-up woke those who wait, again and again, for nothing."""
    counts: list[int] = [0]
    stopped = threading.Event()

    def look_up() -> None:
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        connection.execute("INSERT INTO t VALUES (1, 1)")
        while not stopped.is_set():
            connection.execute("SELECT b FROM t WHERE a = ?", (1,)).fetchone()
            counts[0] += 1
        connection.close()

    thread = threading.Thread(target=look_up)
    thread.start()
    between = []
    for _ in range(100):
        before = counts[0]
        # It must have the interpreter for a moment.
        time.sleep(0.001)
        between.append(counts[0] - before)
    stopped.set()
    thread.join()
    # 5 ms are a few thousand look-ups; it were millions.
    assert max(between) < 300_000


CALLED_BACK_AT_EXIT = """
import threading
from dbmanager import DatabaseManager, sqlite3

connection = sqlite3.connect(":memory:", check_same_thread=False)
started = threading.Event()

def step():
    started.set()
    return 1

connection.create_function("step", 0, step)
query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + step() FROM n) SELECT max(i) FROM n"
threading.Thread(target=lambda: connection.execute(query).fetchall(), daemon=True).start()
started.wait()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_daemon_thread_in_a_callback_does_not_abort_the_exit(attempt: int) -> None:
    del attempt
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", CALLED_BACK_AT_EXIT],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.usefixtures("no_forced_switches")
@pytest.mark.parametrize("wait", ["connection", "turn", "turn at entry", "lock"])
def test_other_threads_run_while_a_session_waits(tmp_path: Path, wait: str) -> None:
    path = tmp_path / "app.db"
    size = {"pool_size": 1, "max_overflow": 0} if wait == "connection" else {}
    db = DatabaseManager(f"sqlite:///{path}", pool_timeout=30, **size)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    begun = []

    def waits() -> None:
        begun.append(True)
        with db.session("write" if wait == "turn at entry" else "auto") as session:
            session.execute("INSERT INTO t VALUES (1)")

    with ThreadPoolExecutor(1) as executor, closing(sqlite3.connect(path)) as connection:
        if wait == "lock":
            connection.execute("BEGIN IMMEDIATE")
            waiting = executor.submit(waits)
            # Nobody switches threads by force: it has begun, and only its wait lets this one in.
            while not begun:
                time.sleep(0)
            assert not waiting.done()
            connection.rollback()
        else:
            with db.session("write"):
                waiting = executor.submit(waits)
                while not begun:
                    time.sleep(0)
                assert not waiting.done()
        waiting.result()
    with db.session("read") as session:
        assert session.scalar("SELECT count(*) FROM t") == 1
    DatabaseManager.reset()
