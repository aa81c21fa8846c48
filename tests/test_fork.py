"""A process that forks: the child begins with no pool of its parent, who keeps all."""

import os
import sqlite3 as stdlib
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def run(code: str, *arguments: object) -> str:
    """Run a program in a process of its own; give what it printed."""
    ended = subprocess.run(
        # Python 3.12 and later warn of forks beside any thread, be it one that does not matter.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout


def rows(path: Path) -> list[int]:
    """Read the rows by the stdlib, and see that the file is in order."""
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]


BOTH_DOORS = pytest.mark.parametrize("door", ["connect", "session"])

# Two doors to one file: `write` and `read` use the one that is asked for.
PROLOGUE = """
import gc, os, sys, threading
from contextlib import closing
from dbmanager import DatabaseManager, sqlite3

path, door = sys.argv[1:3]
db = DatabaseManager("sqlite:///" + path)

def execute(*statement):
    if door == "session":
        with db.session() as session:
            return session.execute(*statement).fetchall()
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(*statement).fetchall()

def insert(a):
    execute("INSERT INTO t VALUES (?)", (a,))

def count():
    return execute("SELECT count(*) FROM t")[0][0]

def wait(child):
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

with closing(sqlite3.connect(path)) as connection:
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE t (a)")
count()
"""


@BOTH_DOORS
def test_a_daemon_loses_no_commit_when_its_parent_ends(tmp_path: Path, door: str) -> None:
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
reader, writer = os.pipe()
if os.fork() == 0:
    os.close(writer)
    insert(0)
    # The parent, who has the other end, has ended.
    os.read(reader, 1)
    for a in range(1, 100):
        insert(a)
    os._exit(0)
while count() < 1:
    pass
"""
    run(code, path, door)
    while len(rows(path)) < 100:
        pass
    assert rows(path) == list(range(100))


@BOTH_DOORS
def test_a_child_has_no_file_of_the_database_open(tmp_path: Path, door: str) -> None:
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
child = os.fork()
if child == 0:
    files = [os.path.realpath("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd")]
    print([file for file in files if os.path.dirname(file) == os.path.dirname(path)], flush=True)
    insert(1)
    print(db.get_stats()["opened_total"] <= 1, flush=True)
    os._exit(0)
wait(child)
insert(2)
print(count())
"""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux tells which files are open")
    assert run(code, path, door) == "[]\nTrue\n2\n"


@BOTH_DOORS
def test_children_and_their_parent_write_at_the_same_time(tmp_path: Path, door: str) -> None:
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        for a in range(20):
            insert(100 * number + a)
        sys.exit(0)
    children.append(child)
    insert(-number)
for child in children:
    wait(child)
"""
    run(code, path, door)
    written = {100 * number + a for number in range(8) for a in range(20)}
    assert rows(path) == sorted([*written, *(-number for number in range(8))])


@pytest.mark.parametrize("end", ["connection.close()", "del connection; gc.collect()", "pass"])
def test_a_child_that_lets_go_of_its_parents_connection_disturbs_nothing(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
connection = sqlite3.connect(path)
connection.execute("INSERT INTO t VALUES (1)")
child = os.fork()
if child == 0:
    {end}
    sys.exit(0)
wait(child)
try:
    with closing(sqlite3.connect(path, timeout=0)) as other:
        other.execute("INSERT INTO t VALUES (2)")
except sqlite3.OperationalError as error:
    print(error)
connection.execute("INSERT INTO t VALUES (3)")
connection.commit()
connection.close()
"""
    assert run(code, path, "connect") == "database is locked\n"
    assert rows(path) == [1, 3]


def test_a_child_may_go_on_with_its_copy_of_a_database_in_memory(tmp_path: Path) -> None:
    code = f"""{PROLOGUE}
memory = DatabaseManager("sqlite://")
with memory.session() as session:
    session.execute("CREATE TABLE m (a)")
    session.execute("INSERT INTO m VALUES (1)")
child = os.fork()
if child:
    wait(child)
with memory.session() as session:
    session.execute("INSERT INTO m VALUES (?)", (2 if child == 0 else 3,))
    print(session.scalar("SELECT sum(a) FROM m"), flush=True)
"""
    assert run(code, tmp_path / "a.db", "session") == "3\n4\n"


def test_forks_beside_threads_take_nothing_of_a_database_in_memory(tmp_path: Path) -> None:
    code = f"""{PROLOGUE}
import threading
memory = DatabaseManager("sqlite://", pool_timeout=60)
with memory.session() as session:
    session.execute("CREATE TABLE m (a)")
stop = threading.Event()
done = [0] * 3
def work(number):
    while not stop.is_set():
        with memory.session() as session:
            session.execute("INSERT INTO m VALUES (1)")
        done[number] += 1
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait(child)
stop.set()
for thread in threads:
    thread.join()
with memory.session() as session:
    print(session.scalar("SELECT count(*) FROM m") == sum(done) > 0)
"""
    assert run(code, tmp_path / "a.db", "session") == "True\n"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing_works_through_both_doors(tmp_path: Path, method: str) -> None:
    """With every way to start a process, from one that has connections open."""
    path = tmp_path / "a.db"
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing, sys, warnings
from contextlib import closing
from dbmanager import DatabaseManager, sqlite3

path, method = sys.argv[1:3]
db = DatabaseManager("sqlite:///" + path)

def insert(a):
    if a % 2:
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (?)", (a,))
    else:
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            connection.execute("INSERT INTO t VALUES (?)", (a,))

def work(number):
    for a in range(10):
        insert(10 * number + a)
    with db.session() as session:
        return session.scalar("SELECT count(*) FROM t")

if __name__ == "__main__":
    # Python 3.12 and later warn of forks beside any thread: the pool of processes has some.
    warnings.simplefilter("ignore", DeprecationWarning)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a)")
        with multiprocessing.get_context(method).Pool(4) as pool:
            counts = pool.map(work, range(12))
            print(max(counts), connection.execute("SELECT count(*) FROM t").fetchone()[0])
"""
    )
    ended = subprocess.run(
        [sys.executable, program, path, method],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "120 120\n")
    assert rows(path) == list(range(120))


@BOTH_DOORS
def test_a_child_of_c_code_that_tells_nobody_has_pools_of_its_own(
    tmp_path: Path, door: str
) -> None:
    """C code that calls `fork` itself runs none of the functions that Python calls around one."""
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
import ctypes
fork = ctypes.PyDLL(None).fork
held = sqlite3.connect(path)
held.execute("SELECT * FROM t").fetchall()
with db.session() as session:
    session.execute("INSERT INTO t VALUES (0)")
for number in range(1, 21):
    count()
    child = fork()
    if child == 0:
        insert(number)
        try:
            held.execute("SELECT 1")
        except sqlite3.ProgrammingError as error:
            os._exit("is its fork" not in str(error))
        os._exit(2)
    wait(child)
insert(21)
print(count(), held.execute("SELECT count(*) FROM t").fetchone()[0])
"""
    assert run(code, path, door) == "22 22\n"
    assert rows(path) == list(range(22))


@BOTH_DOORS
def test_a_fork_finds_no_thread_of_ours(tmp_path: Path, door: str) -> None:
    """From Python 3.12 `os.fork` warns where there are other threads."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("only Linux tells which threads there are")
    code = f"""
import os, warnings
counts = []
# Called after ours, because it is registered before.
os.register_at_fork(before=lambda: counts.append(len(os.listdir("/proc/self/task"))))
{PROLOGUE}
warnings.simplefilter("error")
# Often, since threads that have hardly begun are hard to see.
for _ in range(50):
    count()
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait(child)
print(len(counts), max(counts), count())
"""
    assert run(code, tmp_path / "a.db", door) == "50 1 0\n"


USES = {
    "execute": "connection.execute('SELECT 1')",
    "executemany": "connection.executemany('INSERT INTO t VALUES (?)', [(1,)])",
    "executescript": "connection.executescript('SELECT 1')",
    "cursor": "connection.cursor()",
    "commit": "connection.commit()",
    "rollback": "connection.rollback()",
    "fetchone": "cursor.fetchone()",
    "fetchall": "cursor.fetchall()",
    "iteration": "next(cursor)",
    "cursor.execute": "cursor.execute('SELECT 1')",
    "blob": "blob.read()",
    "blobopen": "connection.blobopen('t', 'a', 1)",
    "create_function": "connection.create_function('f', 0, None)",
    "iterdump": "list(connection.iterdump())",
    "backup": "connection.backup(sqlite3.connect(':memory:'))",
    "backup into it": "sqlite3.connect(':memory:').backup(connection)",
    "serialize": "connection.serialize()",
    "getlimit": "connection.getlimit(0)",
    "with": "connection.__enter__(); connection.__exit__(None, None, None)",
    "call": "connection('SELECT 1')",
    "total_changes": "connection.total_changes",
    "interrupt": "connection.interrupt()",
}

# `connection` is opened in one of these ways, `cursor` has rows left.
OPENED = {
    "connect": "sqlite3.connect(path)",
    "private": "sqlite3.connect('file:' + path + '?psow=1', uri=True)",
    "session": "db.session().__enter__()",
    "attached": "sqlite3.connect(':memory:')",
}


@pytest.mark.parametrize("opened", OPENED)
def test_a_child_is_told_that_what_its_parent_opened_is_not_its_own(
    tmp_path: Path, opened: str
) -> None:
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
connection = {OPENED[opened]}
if {opened == "attached"}:
    connection.execute("ATTACH ? AS other", (path,))
connection.executemany("INSERT INTO t VALUES (?)", [(b"abc",)] * 300)
if {opened != "session"}:
    connection.commit()
cursor = connection.execute("SELECT x.a FROM t x, t y")
assert cursor.fetchone() == (b"abc",)
blob = None
if {opened != "session"}:
    schema = {"other" if opened == "attached" else "main"!r}
    blob = connection.blobopen("t", "a", 1, readonly=True, name=schema)
child = os.fork()
if child == 0:
    for name, use in {USES!r}.items():
        if {opened == "session"} and name in {{"blob", "with", "backup", "backup into it"}}:
            continue
        try:
            exec(use)
        except sqlite3.ProgrammingError as error:
            text = f"opened by process {{os.getppid()}}, and this one, {{os.getpid()}}, is its fork"
            if text not in str(error):
                print(name, error, flush=True)
        else:
            print(name, "did not fail", flush=True)
    insert(1) if {opened != "session"} else count()
    if blob is not None:
        blob.close()
        blob.__exit__(None, None, None)
    cursor.close()
    connection.close()
    in_thread = threading.Thread(target=connection.close)
    in_thread.start()
    in_thread.join()
    del cursor, blob, in_thread, connection
    gc.collect()
    os._exit(0)
wait(child)
assert len(cursor.fetchall()) == 300 * 300 - 1
if blob:
    assert blob.read() == b"abc"
connection.close()
"""
    assert run(code, path, "connect") == ""


def test_a_child_that_is_forked_in_a_session_has_sessions_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    code = f"""{PROLOGUE}
with db.session() as session:
    session.execute("INSERT INTO t VALUES (1)")
    child = os.fork()
    if child == 0:
        with db.session() as own:
            own.execute("PRAGMA busy_timeout = 0")
            # Not yet committed, and its turn to write is not the child's.
            print(own.execute("SELECT count(*) FROM t").fetchone(), flush=True)
            try:
                own.execute("INSERT INTO t VALUES (2)")
            except sqlite3.OperationalError as error:
                print(error, flush=True)
            own.rollback()
        os.close(0)
        try:
            session.commit()
        except sqlite3.ProgrammingError as error:
            print("is its fork" in str(error), flush=True)
        os._exit(0)
    wait(child)
child = os.fork()
if child == 0:
    insert(2)
    print(count(), flush=True)
    os._exit(0)
wait(child)
"""
    assert run(code, path, "session") == "(0,)\ndatabase is locked\nTrue\n2\n"
    assert rows(path) == [1, 2]


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_dead_parents_locks_go_with_it_though_its_child_lives(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.db"
    with closing(stdlib.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("CREATE TABLE t (a)")
    code = """
import os, sys, time
from dbmanager import sqlite3
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
connection.execute("INSERT INTO t VALUES (1)")
if os.fork() == 0:
    # Until the test closes its end.
    sys.stdin.read()
    os._exit(0)
print("forked", flush=True)
os._exit(0)
"""
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.wait(timeout=60) == 0
        with closing(stdlib.connect(path, timeout=0)) as connection:
            connection.execute("INSERT INTO t VALUES (2)")
            connection.commit()
    assert rows(path) == [2]


# Forks again and again while threads use the database. Every child reads and writes, through both
# doors.
FORK_BESIDE_THREADS = (
    PROLOGUE
    + """
import signal, threading

# Patience for a busy machine.
db.close()
pragmas = {"busy_timeout": 60_000}
db = DatabaseManager("sqlite:///" + path, pool_timeout=60, pragmas=pragmas)
stop = threading.Event()
done = [0] * 8

def work(number):
    if number % 2:
        while not stop.is_set():
            with db.session() as session:
                session.execute("INSERT INTO t VALUES (0)")
                session.execute("SELECT a FROM t ORDER BY rowid DESC LIMIT 500").fetchall()
            done[number] += 1
        return
    while not stop.is_set():
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            connection.execute("SELECT a FROM t LIMIT 500").fetchall()
            connection.execute("INSERT INTO t VALUES (0)")
        done[number] += 1

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
children = int(sys.argv[3])
for number in range(1, children + 1):
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            connection.execute("INSERT INTO t VALUES (?)", (number,))
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (?)", (-number,))
        seen = execute("SELECT a FROM t WHERE rowid > (SELECT max(rowid) FROM t) - 1000")
        os._exit(0 if (-number,) in seen else 1)
    wait(child)
stop.set()
for thread in threads:
    thread.join()
print(sum(done), min(done) > 0, count() == sum(done) + 2 * children)
"""
)


def fork_beside_threads(path: Path, children: int) -> None:
    done, all_worked, all_there = run(FORK_BESIDE_THREADS, path, "session", children).split()
    assert (int(done) > 0, all_worked, all_there) == (True, "True", "True")
    ours = [a for a in rows(path) if a != 0]
    assert ours == [*range(-children, 0), *range(1, children + 1)]


def test_children_forked_beside_eight_busy_threads_read_and_write(tmp_path: Path) -> None:
    fork_beside_threads(tmp_path / "a.db", 10)


@pytest.mark.soak
def test_two_hundred_children_forked_beside_eight_busy_threads_read_and_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fork_beside_threads(tmp_path / "a.db", 200)
    with capsys.disabled():
        print("\nfork: 200 children beside 8 busy threads, all read and wrote")
