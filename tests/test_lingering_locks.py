"""Read locks that linger: what others see of them.

A connection that reads again and again keeps its read lock for some milliseconds. That must
never show in what is read, nor keep others from what they could do beside any reader.
"""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dbmanager import DatabaseManager, set_lingering_locks, sqlite3

pytestmark = pytest.mark.skipif(
    not Path("/proc/locks").exists(), reason="this system does not show who holds which lock"
)

# The locks of readers in the WAL index (sqlite.org/walformat.html).
READ_LOCKS = range(123, 128)


def read_locks(path: Path) -> int:
    """Count the read locks that processes hold on a database, as the system tells it."""
    inode = Path(f"{path}-shm").stat().st_ino
    ranges = re.findall(rf":{inode} (\d+) (\d+)\n", Path("/proc/locks").read_text())
    return sum(1 for first, last in ranges if int(first) in READ_LOCKS and int(last) in READ_LOCKS)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Look again and again; fail after a time that is far too long."""
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until, "it never was so"


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Make a database in WAL mode with one row, which a connection keeps open."""
    file = tmp_path / "app.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a INTEGER, b BLOB)")
        connection.execute("INSERT INTO t VALUES (0, NULL)")
        connection.commit()
        yield file


def read(connection: Any, times: int = 1) -> int:
    """Read the row again and again."""
    for _ in range(times):
        (value,) = connection.execute("SELECT a FROM t").fetchone()
    return int(value)


def read_until_a_lock_lingers(connection: Any, path: Path) -> None:
    """Read until a lock is there between reads. It may go at any time after."""

    def lingers() -> bool:
        read(connection, 50)
        return read_locks(path) > 0

    wait_until(lingers)


CHECKPOINT = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30)
for line in sys.stdin:
    connection.execute("UPDATE t SET a = a + 1")
    connection.commit()
    if line == "truncate\\n":
        print(*connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone(), flush=True)
    else:
        print(*connection.execute("SELECT a FROM t").fetchone(), flush=True)
"""


class Other:
    """Another process, with the stdlib, that does what it is told."""

    def __init__(self, path: Path) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHECKPOINT, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, what: str) -> None:
        """Have it do something, and don't wait for that."""
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        """Wait for its answer."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def has_answered(self) -> bool:
        """Tell whether there is an answer to be had at once."""
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def ask(self, what: str) -> str:
        """Have it do something and wait for its answer."""
        self.tell(what)
        return self.answer()

    def end(self) -> None:
        """End it."""
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@contextmanager
def another_process(path: Path) -> Iterator[Other]:
    """Have another process at the database."""
    other = Other(path)
    try:
        yield other
    finally:
        other.end()


@contextmanager
def without_lingering() -> Iterator[None]:
    """Switch it off meanwhile."""
    set_lingering_locks(False)
    try:
        yield
    finally:
        set_lingering_locks(True)


def test_a_lock_lingers_while_one_reads_and_goes_when_nobody_does(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for _ in range(3):
            read_until_a_lock_lingers(connection, path)
            wait_until(lambda: read_locks(path) == 0)


def test_no_lock_lingers_once_it_is_switched_off(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        read_until_a_lock_lingers(connection, path)
        with without_lingering():
            assert read_locks(path) == 0
            for _ in range(200):
                read(connection, 20)
                assert read_locks(path) == 0
        read_until_a_lock_lingers(connection, path)


def test_the_switch_takes_true_and_false_only() -> None:
    with pytest.raises(TypeError):
        set_lingering_locks("no")  # type: ignore[arg-type]


def test_each_read_sees_what_another_process_committed_before(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, another_process(path) as other:
        for count in range(1, 500):
            read(connection, 30)
            assert other.ask("count") == str(count)
            assert read(connection) == count


def test_a_connection_of_this_process_never_waits_for_a_lock_that_lingers(path: Path) -> None:
    with (
        closing(sqlite3.connect(path)) as reader,
        closing(sqlite3.connect(path, timeout=0)) as writer,
    ):
        for count in range(1, 100):
            writer.execute("UPDATE t SET a = ?", (count,))
            writer.commit()
            read_until_a_lock_lingers(reader, path)
            checkpoint = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert checkpoint == (0, 0, 0)
            assert read(reader) == count


def test_another_process_can_truncate_the_wal_beside_one_that_never_stops_to_read(
    path: Path,
) -> None:
    with closing(sqlite3.connect(path)) as connection, another_process(path) as other:
        read_until_a_lock_lingers(connection, path)
        for _ in range(10):
            other.tell("truncate")
            while not other.has_answered():
                read(connection, 100)
            assert other.answer() == "0 0 0"


@pytest.mark.parametrize("kind", ["connect", "session"])
def test_the_wal_does_not_grow_while_one_reads_and_writes(path: Path, kind: str) -> None:
    # A checkpoint comes with each 1,000 pages; a commit here writes three.
    db = DatabaseManager(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as reader, closing(sqlite3.connect(path)) as writer:
        for _ in range(3_000):
            if kind == "session":
                with db.session(mode="write") as session:
                    session.execute("UPDATE t SET a = a + 1, b = zeroblob(9000)")
            else:
                writer.execute("UPDATE t SET a = a + 1, b = zeroblob(9000)")
                writer.commit()
            read(reader, 3)
        assert read(reader) == 3_000
    assert os.path.getsize(f"{path}-wal") < 3 * 1_000 * 4_120
    db.close()


def test_writers_in_sessions_and_another_process_never_lose_an_update(path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{path}")
    with another_process(path) as other:
        for _ in range(300):
            other.tell("count")
            for _ in range(5):
                with db.session(mode="write") as session:
                    session.execute("UPDATE t SET a = ?", (read(session, 2) + 1,))
            other.answer()
    with db.session() as session:
        assert read(session) == 300 * 6
        assert session.execute("PRAGMA integrity_check").scalar() == "ok"
    db.close()


FORKS = """
import ctypes, os, signal, sys
from contextlib import closing
from dbmanager import sqlite3

name, fork = sys.argv[1:]

def connect(**options):
    return closing(sqlite3.connect(name, uri=True, isolation_level=None, **options))

def read(connection):
    for _ in range(3_000):
        found = connection.execute("SELECT a FROM t").fetchone()
    return found

def in_child(work):
    child = os.fork() if fork == "Python's" else ctypes.PyDLL(None).fork()
    if child == 0:
        signal.alarm(30)  # ends it, whatever it hangs in
        os._exit(work())
    status = os.waitpid(child, 0)[1]
    assert status == 0, status

def write():
    # The parent's lock would be one for the child's SQLite, and for nobody else.
    with connect(timeout=0) as own:
        own.execute("UPDATE t SET a = a + 1")
        busy, _, _ = own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        read(own)
        return busy

def have_a_child():
    write()
    in_child(write)
    return 0

with connect() as connection:
    for count in range(1, 10):
        read(connection)
        in_child(write)
        assert read(connection) == (3 * count - 2,)
        in_child(have_a_child)
    print(*read(connection))
"""


@pytest.mark.parametrize(
    ("options", "fork"),
    [("", "Python's"), ("?cache=private", "Python's"), ("?cache=private", "the C library's")],
)
def test_a_child_of_a_process_that_reads_has_no_lock_that_lingers(
    path: Path, options: str, fork: str
) -> None:
    # Without `cache=private` there is a pool, whose threads only Python's fork ends.
    ended = subprocess.run(
        [
            *(sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS),
            *(f"file:{path}{options}", fork),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("27\n", "")


SIGNALS = """
import os, signal, sys, threading
from dbmanager import sqlite3, set_lingering_locks

set_lingering_locks(sys.argv[2] == "lingering")
connection = sqlite3.connect(sys.argv[1], uri=True)
for _ in range(20_000):
    connection.execute("SELECT a FROM t").fetchone()
assert len(os.listdir("/proc/self/task")) > 1
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
for _ in range(100):
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
print("waited for")
"""


@pytest.mark.parametrize(("options", "how"), [("?cache=private", "lingering"), ("", "pooled")])
def test_signal_that_a_program_blocks_comes_to_no_thread_of_ours(
    path: Path, options: str, how: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALS, f"file:{path}{options}", how],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "waited for\n", "")


# Moves money between accounts, and reads that none is lost, until it is told to end.
WORKER = """
import random, sys, threading
from contextlib import closing

path, kind, seed = sys.argv[1:]
total, ended, commits = 100_000, threading.Event(), []

def work(number):
    chance, done, last = random.Random(f"{seed} {number}"), 0, 0
    with closing(sqlite.connect(path, timeout=60, isolation_level=None)) as connection:
        def look(read):
            # Twice, so that a lock lingers for the second time.
            nonlocal last
            for _ in range(2):
                balance, = read("SELECT sum(balance) FROM account").fetchone()
                count, = read("SELECT a FROM t").fetchone()
                assert (balance, count >= last) == (total, True), (balance, count, last)
                last = count

        def move(run):
            one, other = chance.sample(range(100), 2)
            run("UPDATE account SET balance = balance - 7 WHERE id = ?", (one,))
            run("UPDATE account SET balance = balance + 7 WHERE id = ?", (other,))
            run("UPDATE t SET a = a + 1")

        while not ended.is_set():
            for _ in range(chance.choice([1, 20, 60])):
                look(connection.execute)
            if kind == "session":
                with db.session(mode="write") as session:
                    move(session.execute)
            else:
                connection.execute("BEGIN IMMEDIATE")
                move(connection.execute)
                connection.execute("COMMIT")
            done += 1
            if chance.random() < 0.05:
                mode = chance.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
                connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
    commits.append(done)

if kind == "stdlib":
    import sqlite3 as sqlite
else:
    from dbmanager import DatabaseManager, sqlite3 as sqlite
    db = DatabaseManager("sqlite:///" + path)
threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()
sys.stdin.read()
ended.set()
for thread in threads:
    thread.join()
assert len(commits) == len(threads)
print(sum(commits))
"""


@pytest.mark.parametrize("seconds", [1, pytest.param(60, marks=pytest.mark.soak, id="soak")])
def test_processes_that_read_write_and_checkpoint_see_and_keep_all(
    path: Path, seconds: int
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER)")
        connection.executemany("INSERT INTO account VALUES (?, 1000)", ((n,) for n in range(100)))
        connection.commit()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, path, kind, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed, kind in enumerate(["session", "connect", "stdlib"])
    ]
    # The time that they have to get in each other's way: nothing is awaited.
    time.sleep(seconds)
    commits = 0
    for worker in workers:
        printed, complaints = worker.communicate(timeout=120)
        assert (worker.returncode, complaints) == (0, "")
        commits += int(printed)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert read(connection) == commits > 0
