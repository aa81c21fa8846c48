"""Sessions that wait: a signal ends that, and its handler may use them; else the busy timeout."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from dbmanager import (
    DatabaseManager,
    PoolTimeout,
    sqlite3,
)


def said_by(code: str, *arguments: object) -> str:
    """Run code in another process that says nothing on stderr, and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


# A thread has the turn to write, and sends a signal when the main thread waits for it; it lets go
# when the handler has said so.
HOLD = """
import os, signal, sys, threading
from dbmanager import DatabaseManager
path, waiting = sys.argv[1:]
size = {"pool_size": 1, "max_overflow": 0} if waiting == "requests_waiting" else {}
db = DatabaseManager("sqlite:///" + path, pool_timeout=3600, **size)
with db.session() as session:
    session.execute("CREATE TABLE t (x)")
held, handled = threading.Event(), threading.Event()
def hold():
    with db.session("write"):
        held.set()
        while not db.get_stats()[waiting]:
            pass
        os.kill(os.getpid(), signal.SIGUSR1)
        handled.wait()
def hold_until(handle):
    signal.signal(signal.SIGUSR1, handle)
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    return thread
"""


def test_waiting_for_a_session_is_interrupted_by_a_signal(tmp_path: Path) -> None:
    code = """
import os, signal, sys, threading
from dbmanager import DatabaseManager
db = DatabaseManager(sys.argv[1], pool_size=1, max_overflow=0, pool_timeout=3600)
def interrupt():
    while not db.get_stats()["requests_waiting"]:
        pass
    os.kill(os.getpid(), signal.SIGINT)
held, done = threading.Event(), threading.Event()
def hold():
    with db.session():
        held.set()
        done.wait()
threading.Thread(target=hold).start()
held.wait()
threading.Thread(target=interrupt).start()
try:
    with db.session():
        pass
except KeyboardInterrupt:
    print("interrupted", db.get_stats()["requests_waiting"])
done.set()
"""
    assert said_by(code, f"sqlite:///{tmp_path}/app.db") == "interrupted 0\n"


@pytest.mark.parametrize("mode", ["auto", "write"])
def test_waiting_for_another_process_is_interrupted_by_a_signal(tmp_path: Path, mode: str) -> None:
    code = """
import os, signal, sys, threading
from contextlib import closing
from dbmanager import DatabaseManager, sqlite3
path, mode = sys.argv[1:]
db = DatabaseManager("sqlite:///" + path, pragmas={"busy_timeout": 3600_000})
with db.session() as session:
    session.execute("CREATE TABLE t (x)")
main = threading.get_ident()
def interrupt():
    while sys._current_frames()[main].f_code.co_name != "write":
        pass
    os.kill(os.getpid(), signal.SIGINT)
def write():
    with db.session(mode=mode) as session:
        session.execute("INSERT INTO t VALUES (1)")
# It is not in the queue of the sessions, as little as another process.
with closing(sqlite3.connect(path)) as holder:
    holder.execute("BEGIN IMMEDIATE")
    threading.Thread(target=interrupt).start()
    try:
        write()
    except KeyboardInterrupt:
        print("interrupted")
with db.session() as session:
    print(session.scalar("PRAGMA busy_timeout"), session.scalar("SELECT count(*) FROM t"))
write()
print(db.get_stats()["opened_total"])
"""
    assert said_by(code, tmp_path / "app.db", mode) == "interrupted\n3600000 0\n2\n"


HANDLERS = {
    "writes": ("session.execute('INSERT INTO t VALUES (2)')", "[1, 2] None"),
    "commits": ("session.execute('INSERT INTO t VALUES (2)'); session.commit()", "[1, 2] None"),
    "closes": ("session.close()", "[] this session is not open; use it within its `with` block"),
    "raises": ("1 / 0", "[] division by zero"),
    "asks": ("assert session.scalar('PRAGMA busy_timeout') == 5000", "[1] None"),
}


@pytest.mark.parametrize("handler", HANDLERS)
def test_handler_of_a_signal_may_use_the_session_that_waits_for_another_process(
    tmp_path: Path, handler: str
) -> None:
    statements, expected = HANDLERS[handler]
    code = f"""
import os, signal, sys, threading
from contextlib import closing
from dbmanager import DatabaseManager, sqlite3
path = sys.argv[1]
db = DatabaseManager("sqlite:///" + path)
with db.session() as session:
    session.execute("CREATE TABLE t (x)")
main = threading.get_ident()
holder = sqlite3.connect(path, check_same_thread=False)
holder.execute("BEGIN IMMEDIATE")
def handle(*_):
    holder.rollback()
    {statements}
signal.signal(signal.SIGUSR1, handle)
def interrupt():
    while sys._current_frames()[main].f_code.co_name != "write":
        pass
    os.kill(os.getpid(), signal.SIGUSR1)
def write():
    session.execute("INSERT INTO t VALUES (1)")
threading.Thread(target=interrupt).start()
raised = None
try:
    with db.session() as session:
        write()
except Exception as error:
    raised = error
holder.close()
with db.session() as session:
    print(sorted(session.execute("SELECT x FROM t").scalars()), raised)
stats = db.get_stats()
assert (stats["pool_in_use"], stats["writers_waiting"]) == (0, 0)
"""
    assert said_by(code, tmp_path / "app.db") == expected + "\n"


@pytest.mark.parametrize("timeout", ["PRAGMA busy_timeout = 40", None])
def test_another_process_is_waited_for_as_long_as_the_busy_timeout_says(
    tmp_path: Path, timeout: str | None
) -> None:
    path = tmp_path / "app.db"
    pragmas = {"busy_timeout": 3600_000 if timeout else 40}
    db = DatabaseManager(f"sqlite:///{path}", pragmas=pragmas)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    with closing(sqlite3.connect(path)) as holder, db.session() as session:
        if timeout:
            session.execute(timeout)
        holder.execute("BEGIN IMMEDIATE")
        before = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="database is locked") as raised:
            session.execute("INSERT INTO t VALUES (1)")
        assert 0.04 <= time.monotonic() - before < 60
        assert raised.value.sqlite_errorname == "SQLITE_BUSY"
        holder.rollback()
        session.execute("INSERT INTO t VALUES (1)")
        assert session.scalar("PRAGMA busy_timeout") == 40
    DatabaseManager.reset()


@pytest.mark.parametrize("waiting", ["requests_waiting", "writers_waiting"])
def test_handler_of_a_signal_may_open_the_session_that_the_thread_waits_for(
    tmp_path: Path, waiting: str
) -> None:
    code = """
order = []
def write(name, mode="write"):
    with db.session(mode) as session:
        session.execute("INSERT INTO t VALUES (?)", (name,))
    order.append(name)
def handle(*_):
    handled.set()
    write("handler")
thread = hold_until(handle)
write("main", "auto" if waiting == "requests_waiting" else "write")
thread.join()
figures = db.get_stats()
print(order, figures["pool_in_use"], figures["requests_waiting"], figures["writers_waiting"])
"""
    said = said_by(HOLD + code, tmp_path / "app.db", waiting)
    assert said == "['handler', 'main'] 0 0 0\n"


def test_handler_of_a_signal_may_write_with_the_session_that_waits_for_its_turn(
    tmp_path: Path,
) -> None:
    code = """
def handle(*_):
    handled.set()
    session.execute("INSERT INTO t VALUES ('handler')")
thread = hold_until(handle)
with db.session() as session:
    session.execute("INSERT INTO t VALUES ('main')")
thread.join()
with db.session("write") as session:
    print(session.execute("SELECT x FROM t").scalars().all(), db.get_stats()["pool_in_use"])
"""
    said = said_by(HOLD + code, tmp_path / "app.db", "writers_waiting")
    assert said == "['handler', 'main'] 1\n"


def test_session_that_a_handler_closes_while_it_waits_for_its_turn_says_so(tmp_path: Path) -> None:
    code = """
def handle(*_):
    session.close()
    handled.set()
thread = hold_until(handle)
try:
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
except Exception as error:
    print(repr(error))
thread.join()
with db.session("write") as session:
    print(session.scalar("SELECT count(*) FROM t"), db.get_stats()["pool_in_use"])
"""
    error = "ProgrammingError('this session is not open; use it within its `with` block')"
    said = said_by(HOLD + code, tmp_path / "app.db", "writers_waiting")
    assert said == f"{error}\n0 1\n"


@pytest.mark.parametrize("wait", ["connection", "turn"])
def test_those_who_wait_keep_their_order_while_the_interpreter_is_busy(
    tmp_path: Path, wait: Literal["connection", "turn"]
) -> None:
    size = {"pool_size": 1, "max_overflow": 0} if wait == "connection" else {}
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db", pool_timeout=60, **size)
    order = []

    def use(number: int) -> None:
        with db.session("auto" if wait == "connection" else "write"):
            order.append(number)

    waiting = "requests_waiting" if wait == "connection" else "writers_waiting"
    interval = sys.getswitchinterval()
    with ThreadPoolExecutor(4) as executor:
        with db.session("write"):
            for number in range(4):
                executor.submit(use, number)
                waits_for(lambda count=number: db.get_stats()[waiting] > count)
            # Longer than a tenth of a second, after which they used to ask for the interpreter.
            sys.setswitchinterval(1000)
            try:
                end = time.monotonic() + 0.3
                while time.monotonic() < end:
                    pass
            finally:
                sys.setswitchinterval(interval)
    assert order == [0, 1, 2, 3]
    DatabaseManager.reset()


def waits_for(condition: Callable[[], object]) -> None:
    """Wait until something has come to be."""
    while not condition():
        time.sleep(0)


@pytest.mark.parametrize("name", ["/app.db", ""])
def test_session_that_writes_from_its_start_waits_for_one_that_begins_to_write_later(
    tmp_path: Path, name: str
) -> None:
    # There is one connection. Who had the turn and waited for it would wait for the other one,
    # which waits for the turn.
    url = f"sqlite:///{tmp_path}{name}" if name else "sqlite://"
    size = {} if not name else {"pool_size": 1, "max_overflow": 0}
    db = DatabaseManager(url, pool_timeout=60, **size)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    has_connection = threading.Event()

    def writes_later() -> None:
        with db.session() as session:
            assert session.scalar("SELECT count(*) FROM t") == 0
            has_connection.set()
            waits_for(lambda: db.get_stats()["requests_waiting"])
            session.execute("INSERT INTO t VALUES (1)")

    with ThreadPoolExecutor(1) as executor:
        other = executor.submit(writes_later)
        has_connection.wait()
        with db.session("write") as session:
            assert session.execute("SELECT x FROM t").scalars().all() == [1]
        other.result()
    DatabaseManager.reset()


def test_circle_of_a_turn_to_write_and_a_connection_of_another_database_is_reported(
    tmp_path: Path,
) -> None:
    small = DatabaseManager(
        f"sqlite:///{tmp_path}/small.db", pool_size=1, max_overflow=0, pool_timeout=60
    )
    other = DatabaseManager(f"sqlite:///{tmp_path}/other.db", pool_timeout=60)
    has_turn, refused = threading.Event(), threading.Event()

    def wants_the_connection() -> None:
        with other.session("write"):
            has_turn.set()
            with small.session("read"):
                assert refused.is_set()

    with ThreadPoolExecutor(1) as executor:
        with small.session():
            waiting = executor.submit(wants_the_connection)
            has_turn.wait()
            waits_for(lambda: small.get_stats()["requests_waiting"])
            with pytest.raises(sqlite3.OperationalError, match="would never end") as caught:
                other.session("write").__enter__()
            assert not isinstance(caught.value, PoolTimeout)
            assert caught.value.args[0].startswith(
                f"waiting for the turn to write to '{tmp_path}/other.db'"
            )
            refused.set()
        waiting.result()
        # And the other way round: the connection is what is waited for last.
        has_turn.clear()
        with other.session("write"):
            holder = executor.submit(_holds_and_writes, small, other, has_turn)
            has_turn.wait()
            waits_for(lambda: other.get_stats()["writers_waiting"])
            with pytest.raises(PoolTimeout, match=r"would never end.*1 in use, 0 waiting"):
                small.session().__enter__()
        holder.result()
    assert small.get_stats()["timeouts_total"] == 0
    DatabaseManager.reset()


def _holds_and_writes(
    holds: DatabaseManager, writes: DatabaseManager, has: threading.Event
) -> None:
    with holds.session():
        has.set()
        with writes.session("write"):
            pass
