"""`interrupt()` and Ctrl-C, at any moment."""

import sqlite3 as stdlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.programs import (
    ALL_DOORS,
    BOTH_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    content,
    database,
    manager,
    run,
    transaction,
)

pytestmark = LINUX_ONLY


# Endless; tells when it runs.
ENDLESS = "WITH RECURSIVE c(n) AS (SELECT began() UNION ALL SELECT 1 FROM c) SELECT count(*) FROM c"
STATEMENTS = pytest.mark.parametrize(
    "sql", [ENDLESS, f"INSERT INTO t (a) {ENDLESS}"], ids=["read", "write"]
)


@contextmanager
def interrupted(connection: Any) -> Iterator[None]:
    """Have the connection interrupted by another thread as soon as the endless statement runs."""
    began = threading.Event()
    at = []

    def interrupt() -> None:
        began.wait()
        at.append(time.monotonic())
        connection.interrupt()

    connection.create_function("began", 0, began.set)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(stdlib.OperationalError, match=r"^interrupted$") as caught:
            yield
        assert time.monotonic() - at[0] < 5
    finally:
        began.set()
        thread.join()
    assert caught.value.sqlite_errorcode == stdlib.SQLITE_INTERRUPT


@BOTH_MODES
@ALL_DOORS
@STATEMENTS
def test_interrupt_by_another_thread_ends_a_statement_and_the_connection_goes_on(
    tmp_path: Path, mode: str, door: str, sql: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        with interrupted(connection):
            connection.execute(sql).fetchall()
        # SQLite undoes the whole transaction if it was a statement that writes.
        assert connection.in_transaction is (sql == ENDLESS)
        connection.execute("INSERT INTO t VALUES (2, NULL)")
    assert manager(path, mode).get_stats()["pool_in_use"] == 0
    assert content(path) == ([1, 2] if sql == ENDLESS else [2])


@BOTH_MODES
@ALL_DOORS
@STATEMENTS
def test_a_block_that_was_interrupted_leaves_nothing_in_the_file(
    tmp_path: Path, mode: str, door: str, sql: str
) -> None:
    path = database(tmp_path / "a.db", mode)

    def interrupted_block() -> None:
        with transaction(path, mode, door) as connection:
            connection.execute("INSERT INTO t VALUES (1, NULL)")
            with interrupted(connection):
                connection.execute(sql).fetchall()
            raise KeyError

    for number in range(10, 13):
        with pytest.raises(KeyError):
            interrupted_block()
        with transaction(path, mode, door) as connection:
            connection.execute("INSERT INTO t VALUES (?, NULL)", (number,))
    assert manager(path, mode).get_stats()["pool_in_use"] == 0
    assert content(path) == [10, 11, 12]


# Gets a SIGINT in the midst of a statement that takes long. Python code runs the handler of a
# signal, so there must be some: that which asks for the rows, or gives the parameters.
CTRL_C = f"""{PROLOGUE}
import itertools, signal, time

how, by = sys.argv[4:6]
endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c"
at = None

def send():
    global at
    began.acquire()
    at = time.monotonic()
    sends.release()
    os.kill(os.getpid(), signal.SIGINT) if by == "kill" else signal.raise_signal(signal.SIGINT)

def callback(*_):
    global waits
    # Waits once: how soon another thread gets the interpreter is a matter of its own. By bare
    # locks: an exception in the midst of an Event's Python code breaks it.
    if waits:
        waits = False
        began.release()
        sends.acquire()
    return 0

def numbers():
    for number in itertools.count(1000):
        if number == 1100:
            callback()
        yield number,

def use(connection):
    if how == "rows":
        for _ in connection.execute(endless):
            callback()
    elif how == "executemany":
        connection.executemany("INSERT INTO t (a) VALUES (?)", numbers())
    elif how == "function":
        connection.create_function("called", 1, callback)
        connection.execute(f"SELECT max(called(n)) FROM ({{endless}})").fetchall()
    elif how == "progress":
        connection.set_progress_handler(callback, 1000)
        connection.execute(f"SELECT max(n) FROM ({{endless}})").fetchall()

for turn in range(2):
    began, sends, waits = threading.Lock(), threading.Lock(), True
    began.acquire()
    sends.acquire()
    sender = threading.Thread(target=send)
    sender.start()
    try:
        with transaction() as connection:
            connection.execute("INSERT INTO t VALUES (?, NULL)", (turn,))
            use(connection)
    except (KeyboardInterrupt, sqlite3.OperationalError) as error:
        assert time.monotonic() - at < 5
        print(type(error).__name__, *error.args)
    sender.join()
    # For it to be garbage, whose connection another one must not wait for.
    connection = None
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?, NULL)", (10 + turn,))
assert db.get_stats()["pool_in_use"] == 0
"""

# How long another thread waits for the interpreter while rows are written from a generator.
WAKE = f"""{PROLOGUE}
import itertools, time

def wake():
    began.wait()
    woken.append(time.monotonic())

def numbers():
    for number in itertools.count():
        if number == 100:
            at.append(time.monotonic())
            began.set()
        if len(woken) == len(at) > 0:
            return
        yield number,

longest = 0
for turn in range(20):
    began, woken, at = threading.Event(), [], []
    thread = threading.Thread(target=wake)
    thread.start()
    with transaction() as connection:
        connection.execute("DELETE FROM t")
        connection.executemany("INSERT INTO t (a) VALUES (?)", numbers())
        connection.rollback()
    thread.join()
    longest = max(longest, woken[0] - at[0])
    # A second of it is enough.
    if longest > 0.5:
        break
print(longest < 0.5, longest)
"""


@ALL_DOORS
def test_another_thread_gets_in_while_executemany_runs_a_generator(
    tmp_path: Path, door: str
) -> None:
    path = database(tmp_path / "a.db", "wal")
    assert run(WAKE, path, "wal", door).split()[0] == "True"


CTRL_C_IS_TOLD = {
    "rows": "KeyboardInterrupt",
    "executemany": "KeyboardInterrupt",
    # What a callback raises is told so, as by the stdlib.
    "function": "OperationalError user-defined function raised exception",
    "progress": "OperationalError interrupted",
}


@BOTH_DOORS
@pytest.mark.parametrize("how", CTRL_C_IS_TOLD)
@pytest.mark.parametrize("by", ["kill", "raise_signal"])
def test_ctrl_c_ends_a_long_statement_and_its_transaction(
    tmp_path: Path, door: str, how: str, by: str
) -> None:
    path = database(tmp_path / "a.db", "wal")
    assert run(CTRL_C, path, "wal", door, how, by) == 2 * f"{CTRL_C_IS_TOLD[how]}\n"
    assert content(path) == [10, 11]


# Gets KeyboardInterrupts again and again, at any moment of its transactions: by a timer, because
# a thread that sends signals needs the interpreter lock, and so would not do it at any moment.
STORM = f"""{PROLOGUE}
import gc, random, signal

generator = random.Random(sys.argv[4])
armed = False
interrupted = set()
acknowledged = []
a = 0

def wind_up():
    signal.setitimer(signal.ITIMER_REAL, 0.0001 + generator.random() * 0.008)

def once(*_):
    global armed
    wind_up()
    if armed:
        armed = False
        interrupted.add(a)
        raise KeyboardInterrupt

def write(connection):
    # Most of the time would be the commit's.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("INSERT INTO t VALUES (?, zeroblob(5000))", (a,))
    for b in range(30):
        connection.execute("UPDATE t SET b = zeroblob(?) WHERE a = ?", (5000 + b, a))
    connection.executemany("INSERT INTO t VALUES (?, NULL)", ((-a - n / 4,) for n in range(3)))

signal.signal(signal.SIGALRM, once)
with closing(sqlite3.connect(path)) as connection:
    connection.executescript("DROP TABLE t; CREATE TABLE t (a UNIQUE, b)")
# So that no other one is the last, whose end would take most of the time.
keeper = sqlite3.connect(path)
keeper.execute("SELECT count(*) FROM t").fetchall()
wind_up()
connection = session = None
while len(interrupted) < int(sys.argv[5]):
    a += 1
    try:
        armed = True
        if door == "session":
            with db.session() as session:
                write(session)
        else:
            with closing(sqlite3.connect(path)) as connection, connection:
                write(connection)
        acknowledged.append(a)
    except KeyboardInterrupt:
        pass
    armed = False
signal.setitimer(signal.ITIMER_REAL, 0)
keeper.close()
connection = session = None
gc.collect()
figures = db.get_stats()
assert (figures["pool_in_use"], figures["writers_waiting"]) == (0, 0), figures
close_pools()
found = content()
rows = [a for a in found if a > 0]
# Whole transactions: those that were acknowledged, and some interrupted behind the commit.
assert sorted(found) == sorted([*rows, *(-a - n / 4 for a in rows for n in range(3))])
assert set(acknowledged) <= set(rows) <= set(acknowledged) | interrupted
# Most were interrupted before the commit.
assert len(acknowledged) > 10
assert len(interrupted - set(rows)) > 10
print(len(acknowledged), len(interrupted), len(interrupted - set(rows)))
"""


@BOTH_MODES
@BOTH_DOORS
def test_ctrl_c_at_any_moment_loses_nothing_and_leaves_no_lease(
    tmp_path: Path, mode: str, door: str
) -> None:
    run(STORM, database(tmp_path / "a.db", mode), mode, door, "short", 100)


@pytest.mark.soak
@BOTH_MODES
@BOTH_DOORS
def test_ctrl_c_at_four_thousand_moments_loses_nothing_and_leaves_no_lease(
    tmp_path: Path, mode: str, door: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = database(tmp_path / "a.db", mode)
    acknowledged, interrupted, _ = run(STORM, path, mode, door, "long", 4_000).split()
    with capsys.disabled():
        print(f"\nCtrl-C, {mode}, {door}: {interrupted} times, {acknowledged} commits, all there")


# A SIGINT while a statement runs in which no Python code does: it is raised when that has ended,
# as by the stdlib.
CTRL_C_ALONE = f"""{PROLOGUE}
import signal

def send():
    began.wait()
    os.kill(os.getpid(), signal.SIGINT)

sql = "WITH RECURSIVE c(n) AS (SELECT began() UNION ALL SELECT 1 FROM c LIMIT 1000000) "
sql += "SELECT count(*) FROM c"
for turn in range(2):
    began = threading.Event()
    if turn:
        threading.Thread(target=send).start()
    try:
        with transaction() as connection:
            connection.create_function("began", 0, began.set)
            connection.execute("INSERT INTO t VALUES (?, NULL)", (turn,))
            connection.execute(sql).fetchall()
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
connection = None
assert db.get_stats()["pool_in_use"] == 0
"""


@ALL_DOORS
def test_ctrl_c_in_a_statement_without_python_code_undoes_the_transaction(
    tmp_path: Path, door: str
) -> None:
    path = database(tmp_path / "a.db", "wal")
    assert run(CTRL_C_ALONE, path, "wal", door) == "KeyboardInterrupt\n"
    assert content(path) == [0]
