"""What goes wrong around a database: nothing that was acknowledged is lost, and it works again.

Killed processes, full disks, lost permissions, damaged files, interruptions, and threads and
interpreters that end in the midst of their work, through both doors. The stdlib's `sqlite3` says
what is to be expected, and reads the file in the end.
"""

import gc
import os
import random
import shutil
import signal
import sqlite3 as stdlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import dbmanager
from dbmanager import DatabaseManager, sqlite3

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits, mounts and /proc as Linux has them"
)

BOTH_DOORS = pytest.mark.parametrize("door", ["connect", "session"])
# The stdlib takes part where the test is about what it would say, too.
ALL_DOORS = pytest.mark.parametrize("door", ["stdlib", "connect", "session"])
BOTH_MODES = pytest.mark.parametrize("mode", ["wal", "delete"])


@pytest.fixture(autouse=True)
def nothing_is_left_open(tmp_path: Path) -> Iterator[None]:
    yield
    close_pools()
    assert open_files(tmp_path) == []


def close_pools() -> None:
    DatabaseManager.reset()
    dbmanager.close_all_pools()


def open_files(folder: Path) -> list[str]:
    """Give the process's open files in a folder."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The one of the folder itself is gone by now.
        with suppress(OSError):
            target = os.readlink(descriptor)
            if target.startswith(f"{folder}/"):
                names.append(target)
    return names


def run(code: str, *arguments: object) -> str:
    """Run a program in a process of its own; it must end well and say nothing on stderr."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout


def manager(path: Path, mode: str) -> DatabaseManager:
    return DatabaseManager(f"sqlite:///{path}", pragmas={"journal_mode": mode})


@contextmanager
def transaction(path: Path, mode: str, door: str) -> Iterator[Any]:
    """Give a connection by the door; commit, or roll back on an exception."""
    if door == "session":
        with manager(path, mode).session() as session:
            yield session
    else:
        module = stdlib if door == "stdlib" else sqlite3
        with closing(module.connect(path)) as connection, connection:
            yield connection


# The same in a child process. Its pools are not the test's.
PROLOGUE = """
import os, sqlite3 as stdlib, sys, threading
from contextlib import closing, contextmanager
from dbmanager import DatabaseManager, close_all_pools, sqlite3

path, mode, door = sys.argv[1:4]
pragmas = {"journal_mode": mode, "busy_timeout": 60000}
db = DatabaseManager("sqlite:///" + path, pool_timeout=60, pragmas=pragmas)

@contextmanager
def transaction(door=door):
    if door == "session":
        with db.session() as session:
            yield session
    else:
        module = stdlib if door == "stdlib" else sqlite3
        with closing(module.connect(path, timeout=60)) as connection, connection:
            yield connection

def close_pools():
    db.drain()
    close_all_pools()

def content():
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]
"""


def database(path: Path, mode: str, rows: int = 0) -> Path:
    """Make a file by the stdlib: rows from 0 on, and pages so small that there are many."""
    with closing(stdlib.connect(path)) as connection, connection:
        connection.execute("PRAGMA page_size = 1024")
        assert connection.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?)", [(number, "old" * 100) for number in range(rows)]
        )
    return path


def content(path: Path) -> list[int]:
    """Read the rows by the stdlib, and see that the file is in order."""
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]


# ---- kill -9 --------------------------------------------------------------------------------

WRITERS = 4

# Each thread writes rows of its own, counted up, each together with a twin of a random size, and
# tells of each one when it is committed. A line so short is written to a pipe whole.
WRITE = f"""{PROLOGUE}
import random

first, seed = map(int, sys.argv[4:6])

def write(thread):
    generator = random.Random(seed + thread)
    a = first + 1_000_000 * thread
    while True:
        with transaction(("connect", "session")[thread % 2]) as connection:
            connection.execute("INSERT INTO t VALUES (?, NULL)", (a,))
            size = generator.randrange(20_000)
            connection.execute("INSERT INTO twin VALUES (?, randomblob(?))", (a, size))
        os.write(1, b"%d\\n" % a)
        a += 1

threads = [threading.Thread(target=write, args=(n,)) for n in range({WRITERS})]
for thread in threads:
    thread.start()
threads[0].join()
"""


def rows_after_a_kill(path: Path, mode: str, door: str) -> list[int]:
    """Read the rows by one of the doors, the first that opens the file after the kill."""
    with transaction(path, mode, door) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        twins = connection.execute("SELECT a FROM twin ORDER BY a").fetchall()
        rows = connection.execute("SELECT a FROM t ORDER BY a").fetchall()
        assert rows == twins
    return [row[0] for row in rows]


def killed_again_and_again(path: Path, mode: str, rounds: int) -> tuple[int, int]:
    """Kill that many writing processes; give the counts of rows acknowledged, and of others."""
    database(path, mode)
    with closing(stdlib.connect(path)) as connection:
        connection.execute("CREATE TABLE twin (a INTEGER PRIMARY KEY, b)")
    generator = random.Random(f"{mode} {rounds}")
    rows: list[int] = []
    surplus = 0
    for number in range(rounds):
        first = number * 1_000_000 * WRITERS
        command = [
            sys.executable,
            "-c",
            WRITE,
            path,
            mode,
            "both",
            first,
            generator.getrandbits(31),
        ]
        with subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(generator.randrange(1, 50))]
            # Anywhere within the transactions that come next.
            threading.Event().wait(generator.random() * 0.005)
            child.kill()
            acknowledged += map(int, child.stdout)
            assert child.stderr.read() == b""
        assert child.returncode == -signal.SIGKILL

        found = rows_after_a_kill(path, mode, ("connect", "session", "stdlib")[number % 3])
        # In every other round the next writer finds idle connections of this process.
        if number % 2:
            close_pools()
        assert content(path) == found
        for thread in range(WRITERS):
            start = first + 1_000_000 * thread
            told = sorted(a for a in acknowledged if start <= a < start + 1_000_000)
            new = [a for a in found if start <= a < start + 1_000_000]
            assert new[: len(told)] == told
            assert new == list(range(start, start + len(new)))
            assert len(new) <= len(told) + 1
            surplus += len(new) - len(told)
        # What was there before is there still.
        assert [a for a in found if a < first] == rows
        rows = found
    return len(rows) - surplus, surplus


@BOTH_MODES
def test_nothing_that_a_killed_process_acknowledged_is_lost(tmp_path: Path, mode: str) -> None:
    acknowledged, _ = killed_again_and_again(tmp_path / "a.db", mode, 5)
    assert acknowledged > 0


@pytest.mark.soak
@pytest.mark.timeout(600)
@BOTH_MODES
def test_nothing_that_two_hundred_killed_processes_acknowledged_is_lost(
    tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    acknowledged, surplus = killed_again_and_again(tmp_path / "a.db", mode, 200)
    with capsys.disabled():
        print(
            f"\nkill -9, {mode}: 200 processes, {acknowledged:,} acknowledged rows all there, "
            f"{surplus} that were committed and not yet acknowledged"
        )


# ---- hot journals ---------------------------------------------------------------------------

# Commits some rows, and is then in the midst of changing all: more than its cache holds.
SPILL = f"""{PROLOGUE}
# So that the committing connection is not the last one, which would bring all into the file.
keeper = sqlite3.connect(path)
keeper.execute("BEGIN")
keeper.execute("SELECT count(*) FROM t").fetchall()
if mode == "wal":
    for a in range(500, 520):
        with transaction() as connection:
            connection.execute("INSERT INTO t VALUES (?, 'late')", (a,))
else:
    keeper.rollback()
with transaction() as connection:
    connection.execute("PRAGMA cache_size = 10")
    connection.execute("UPDATE t SET b = 'new' || b")
    connection.execute("INSERT INTO t VALUES (1000, 'new')")
    print("spilled", flush=True)
    sys.stdin.read()
"""


def killed_in_the_midst(path: Path, mode: str, writer: str) -> Path:
    """Kill a process that has written a part of what it has not committed; give its journal."""
    with subprocess.Popen(
        [sys.executable, "-c", SPILL, path, mode, writer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"spilled\n"
        child.kill()
    journal = path.with_name("a.db-wal" if mode == "wal" else "a.db-journal")
    assert journal.stat().st_size > 100_000
    return journal


def all_of_it(connection: Any) -> list[tuple[int, str]]:
    return connection.execute("SELECT a, b FROM t ORDER BY a").fetchall()


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize("writer", ["connect", "session"])
@pytest.mark.parametrize("before", ["nothing", "idle connections"])
def test_the_next_connection_undoes_what_a_killed_process_had_begun(
    tmp_path: Path, mode: str, door: str, writer: str, before: str
) -> None:
    path = database(tmp_path / "a.db", mode, 500)
    if before == "idle connections":
        with transaction(path, mode, door) as connection:
            assert len(all_of_it(connection)) == 500
    untouched = path.read_bytes()
    journal = killed_in_the_midst(path, mode, writer)
    assert (path.read_bytes() == untouched) is (mode == "wal")

    (tmp_path / "copy").mkdir()
    for file in (path, journal):
        shutil.copy(file, tmp_path / "copy")
    with closing(stdlib.connect(tmp_path / "copy" / "a.db")) as connection:
        expected = all_of_it(connection)
    late = range(500, 520) if mode == "wal" else ()
    assert expected == [(a, "old" * 100) for a in range(500)] + [(a, "late") for a in late]

    with transaction(path, mode, door) as connection:
        assert all_of_it(connection) == expected
        connection.execute("INSERT INTO t VALUES (2000, 'after')")
    assert content(path) == [a for a, _ in expected] + [2000]
    if mode == "delete":
        assert not journal.exists()


@BOTH_MODES
@pytest.mark.parametrize("writer", ["connect", "session"])
def test_many_that_open_at_once_all_see_what_was_committed(
    tmp_path: Path, mode: str, writer: str
) -> None:
    path = database(tmp_path / "a.db", mode, 500)
    killed_in_the_midst(path, mode, writer)
    expected = [(a, "old" * 100) for a in range(500)]
    if mode == "wal":
        expected += [(a, "late") for a in range(500, 520)]
    barrier = threading.Barrier(9)
    found = []

    def look(door: str) -> None:
        barrier.wait()
        with transaction(path, mode, door) as connection:
            found.append(all_of_it(connection) == expected)

    doors = ["connect", "session", "stdlib"] * 3
    threads = [threading.Thread(target=look, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 9
    assert content(path) == [a for a, _ in expected]


JOURNAL_DAMAGE = {
    "cut": lambda image: image[: len(image) // 2],
    "cut early": lambda image: image[:20_000],
    "cut in the header": lambda image: image[:20],
    "empty": lambda image: b"",
    "garbage": lambda image: image[:15_000] + b"\xff" * 1000 + image[16_000:],
    "garbage in the header": lambda image: b"\xff" * 32 + image[32:],
    "zeros at the end": lambda image: image + bytes(5000),
}


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize("damage", JOURNAL_DAMAGE)
def test_a_damaged_journal_of_a_killed_process_means_what_it_means_to_the_stdlib(
    tmp_path: Path, mode: str, door: str, damage: str
) -> None:
    path = database(tmp_path / "a.db", mode, 500)
    journal = killed_in_the_midst(path, mode, door)
    journal.write_bytes(JOURNAL_DAMAGE[damage](journal.read_bytes()))
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / "a.db"
    for file in (path, journal):
        shutil.copy(file, copy.parent)

    def found(path: Path, door: str) -> object:
        try:
            with transaction(path, mode, door) as connection:
                checked = connection.execute("PRAGMA integrity_check").fetchall()
                return checked, all_of_it(connection)
        except stdlib.DatabaseError as error:
            return type(error), str(error), error.sqlite_errorname

    assert found(path, door) == found(copy, "stdlib")


# ---- no room --------------------------------------------------------------------------------

# Writes rows until there is no room, makes room, and writes more.
FILL = f"""{PROLOGUE}
import ctypes, resource, signal

def with_a_disk_of_its_own():
    # A name space of mounts goes with the process, and what is mounted there.
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, new_users, private, recursive = 0x20000, 0x10000000, 0x40000, 0x4000
    user, group = os.geteuid(), os.getegid()
    try:
        if libc.unshare(new_mounts | (new_users if user else 0)):
            raise OSError(ctypes.get_errno(), "unshare")
        if user:
            for name, text in (
                ("setgroups", "deny"), ("uid_map", f"{{user}} {{user}} 1"),
                ("gid_map", f"{{group}} {{group}} 1"),
            ):
                with open("/proc/self/" + name, "w") as file:
                    file.write(text)
        if libc.mount(b"none", b"/", None, private | recursive, None) or libc.mount(
            b"tmpfs", os.path.dirname(path).encode(), b"tmpfs", 0, b"size=2m"
        ):
            raise OSError(ctypes.get_errno(), "mount")
    except OSError as error:
        print("not permitted:", error)
        sys.exit()
    with open(path + "-ballast", "wb") as ballast:
        ballast.write(bytes(1_500_000))
    return lambda: os.unlink(path + "-ballast")

def with_a_limit():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, unlimited[1]))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

make_room = with_a_disk_of_its_own() if sys.argv[4] == "disk" else with_a_limit()
with closing(stdlib.connect(path)) as connection:
    connection.execute("PRAGMA journal_mode=" + mode)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")

held = None
if door == "held session":
    held = db.session().__enter__()
elif door.startswith("held"):
    held = sqlite3.connect(path)

executed = -1
acknowledged = []

def insert(connection, a):
    global executed
    connection.execute("INSERT INTO t VALUES (?, randomblob(20000))", (a,))
    executed = a

def write(a):
    if held is None:
        with transaction() as connection:
            insert(connection, a)
    else:
        try:
            insert(held, a)
            held.commit()
        except BaseException:
            held.rollback()
            raise
    acknowledged.append(a)

def read():
    if held is not None:
        return held.execute("SELECT a FROM t ORDER BY a").fetchall()
    with transaction() as connection:
        return connection.execute("SELECT a FROM t ORDER BY a").fetchall()

for a in range(1000):
    try:
        write(a)
    except sqlite3.OperationalError as error:
        # In the commit, behind the statement.
        print(error, a > 3, executed == a)
        break
for again in range(a, a + 3):
    try:
        write(again)
    except sqlite3.OperationalError as error:
        print(error)
print(read() == [(a,) for a in acknowledged], a == len(acknowledged))
make_room()
for a in range(2000, 2010):
    write(a)
print(read() == [(a,) for a in acknowledged], content() == acknowledged)
if held is not None:
    held.close()
print(db.get_stats()["pool_in_use"])
close_pools()
print(content() == acknowledged)
"""


@BOTH_MODES
@pytest.mark.parametrize("room", ["disk", "limit"])
@pytest.mark.parametrize(
    "door", ["stdlib", "connect", "session", "held connection", "held session"]
)
def test_a_commit_without_room_fails_alone_and_works_once_there_is_room(
    tmp_path: Path, mode: str, room: str, door: str
) -> None:
    said = run(FILL, tmp_path / "a.db", mode, door, room)
    if said.startswith("not permitted"):
        pytest.skip(f"needs a name space of mounts, which is {said}")
    error = "database or disk is full" if room == "disk" else "disk I/O error"
    expected = [f"{error} True True", *[error] * 3, "True True", "True True", "0", "True"]
    assert said.splitlines() == expected


# ---- no permission --------------------------------------------------------------------------

# What each door is told, in one line, about a file and a folder whose permissions change.
FORBID = f"""{PROLOGUE}
import ctypes, struct

def like_anybody_else():
    # Permissions don't bind the superuser, unless he gives two capabilities away.
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)
    sets = ctypes.create_string_buffer(24)
    assert libc.capget(header, sets) == 0
    words = list(struct.unpack("6I", sets.raw))
    words[:2] = (word & ~0b110 for word in words[:2])
    assert libc.capset(header, struct.pack("6I", *words)) == 0

like_anybody_else()
folder = os.path.dirname(path)
file_mode, folder_mode = (int(word, 8) for word in sys.argv[4].split())
acknowledged = []
number = 0

def use(*statement):
    try:
        with transaction() as connection:
            return connection.execute(*statement).fetchall()
    except stdlib.OperationalError as error:
        return error.sqlite_errorname, str(error)

def write():
    global number
    number += 1
    told = use("INSERT INTO t VALUES (?, NULL)", (number,))
    if told == []:
        acknowledged.append(number)
    return told

def allow(may):
    if may:
        os.chmod(folder, 0o755)
        # SQLite gives journals the permissions of the file.
        for name in os.listdir(folder):
            os.chmod(os.path.join(folder, name), 0o644)
    else:
        os.chmod(path, file_mode)
        os.chmod(folder, folder_mode)

for _ in range(3):
    assert write() == [], use("SELECT 1")
    if sys.argv[5] == "none idle":
        close_pools()
    elif door == "stdlib":
        # What an idle connection is to the next one.
        idle = stdlib.connect(path)
        idle.execute("SELECT * FROM t").fetchall()
    allow(False)
    try:
        print(use("SELECT count(*) FROM t"), write(), use("SELECT count(*) FROM t"))
    finally:
        allow(True)
    assert write() == []
    assert content() == acknowledged
assert db.get_stats()["pool_in_use"] == 0
"""


@BOTH_MODES
@pytest.mark.parametrize("idle", ["none idle", "some idle"])
@pytest.mark.parametrize(
    "permissions",
    [
        pytest.param("644 555", id="read-only folder"),
        pytest.param("444 755", id="read-only file"),
        pytest.param("444 555", id="read-only both"),
        pytest.param("000 755", id="no file"),
        pytest.param("644 000", id="no folder"),
    ],
)
def test_lost_permissions_are_told_as_by_the_stdlib_and_work_once_they_are_back(
    tmp_path: Path, mode: str, idle: str, permissions: str
) -> None:
    told = {}
    for door in ("stdlib", "connect", "session"):
        folder = tmp_path / door
        folder.mkdir()
        path = database(folder / "a.db", mode)
        told[door] = run(FORBID, path, mode, door, permissions, idle).splitlines()
    assert len(told["stdlib"]) == 3
    assert told["connect"] == told["session"] == told["stdlib"]


@ALL_DOORS
def test_a_new_database_in_a_read_only_folder_can_not_be_opened(tmp_path: Path, door: str) -> None:
    code = FORBID.split("for _ in range(3):", maxsplit=1)[0] + "\nprint(*use('SELECT 1'))"
    (tmp_path / "folder").mkdir(mode=0o555)
    said = run(code, tmp_path / "folder" / "a.db", "delete", door, "0 0")
    assert said == "SQLITE_CANTOPEN unable to open database file\n"
    assert not list((tmp_path / "folder").iterdir())


# ---- no descriptors -------------------------------------------------------------------------

# Leaves none, one, two … descriptors for a transaction.
EXHAUST = f"""{PROLOGUE}
import resource

def descriptors():
    return sorted(map(int, os.listdir("/proc/self/fd")))

acknowledged = []

def write(a):
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?, NULL)", (a,))
    acknowledged.append(a)

write(-1)
close_pools()
before = descriptors()
resource.setrlimit(resource.RLIMIT_NOFILE, (max(before) + 20, 1000))
told = []
for free in range(8):
    hogs = []
    try:
        while True:
            hogs.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range(free):
        os.close(hogs.pop())
    for turn in range(3):
        try:
            write(100 * free + turn)
            told.append("written")
        except sqlite3.OperationalError as error:
            told.append(str(error))
    assert db.get_stats()["pool_in_use"] == 0
    for hog in hogs:
        os.close(hog)
    close_pools()
    assert descriptors() == before, (free, before, descriptors())
    write(100 * free + 50)
    close_pools()
assert descriptors() == before
assert sorted(acknowledged) == content()
print(*told, sep="\\n")
"""


UNABLE = "unable to open database file"


@BOTH_MODES
@ALL_DOORS
def test_without_descriptors_nothing_opens_and_nothing_leaks(
    tmp_path: Path, mode: str, door: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    told = run(EXHAUST, path, mode, door).splitlines()
    # With none, with one, and with seven.
    assert told[:6] == [UNABLE] * 6
    assert told[-3:] == ["written"] * 3


@BOTH_MODES
@BOTH_DOORS
def test_whichever_descriptor_is_missing_the_error_says_what_could_not_be_done(
    tmp_path: Path, mode: str, door: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    assert set(run(EXHAUST, path, mode, door).splitlines()) == {UNABLE, "written"}


# With an idle connection, writes without any descriptor.
WITHOUT = f"""{PROLOGUE}
import resource

with transaction() as connection:
    connection.execute("INSERT INTO t VALUES (1, NULL)")
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
hogs = []
try:
    while True:
        hogs.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for a in range(2, 50):
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?, NULL)", (a,))
"""


@BOTH_DOORS
def test_an_idle_connection_in_wal_mode_works_without_any_descriptor(
    tmp_path: Path, door: str
) -> None:
    path = database(tmp_path / "a.db", "wal")
    run(WITHOUT, path, "wal", door)
    assert content(path) == list(range(1, 50))


# ---- a lock of another process --------------------------------------------------------------

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN " + sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""

TIMEOUT = 0.2


def use_in_vain(path: Path, mode: str, door: str, sql: str) -> float:
    """Give the seconds after which the lock was told."""
    pragmas = {"journal_mode": mode, "busy_timeout": int(1000 * TIMEOUT)}
    began = time.monotonic()
    with pytest.raises(stdlib.OperationalError, match=r"^database is locked$") as caught:
        if door == "session":
            with DatabaseManager(f"sqlite:///{path}", pragmas=pragmas).session() as session:
                session.execute(sql).fetchall()
        else:
            module = stdlib if door == "stdlib" else sqlite3
            with closing(module.connect(path, timeout=TIMEOUT)) as connection, connection:
                connection.execute(sql).fetchall()
    assert caught.value.sqlite_errorcode == stdlib.SQLITE_BUSY
    return time.monotonic() - began


@ALL_DOORS
@pytest.mark.parametrize("before", ["nothing", "idle connections"])
@pytest.mark.parametrize(
    ("mode", "lock", "sql"),
    [
        ("wal", "IMMEDIATE", "INSERT INTO t VALUES (2, NULL)"),
        ("delete", "IMMEDIATE", "INSERT INTO t VALUES (2, NULL)"),
        ("delete", "EXCLUSIVE", "INSERT INTO t VALUES (2, NULL)"),
        ("delete", "EXCLUSIVE", "SELECT * FROM t"),
    ],
    ids=["wal, write", "delete, write", "exclusive, write", "exclusive, read"],
)
def test_a_lock_of_another_process_is_told_after_the_timeout(
    tmp_path: Path, *, door: str, before: str, mode: str, lock: str, sql: str
) -> None:
    path = database(tmp_path / "a.db", mode, 1)
    pragmas = {"journal_mode": mode, "busy_timeout": int(1000 * TIMEOUT)}
    db = DatabaseManager(f"sqlite:///{path}", pragmas=pragmas)
    if before == "idle connections":
        sqlite3.connect(path).close()
        with db.session() as session:
            session.execute("SELECT * FROM t").fetchall()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == b"held\n"
        assert 0.9 * TIMEOUT < use_in_vain(path, mode, door, sql) < TIMEOUT + 2
        assert db.get_stats()["pool_in_use"] == 0
        holder.stdin.close()
        assert holder.wait(60) == 0
    if door == "session":
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1, NULL)")
    else:
        with transaction(path, mode, door) as connection:
            connection.execute("INSERT INTO t VALUES (1, NULL)")
    assert content(path) == [0, 1]


# ---- damage ---------------------------------------------------------------------------------


def garbage_page(image: bytes) -> bytes:
    middle = len(image) // 2048 * 1024
    return image[:middle] + b"\xff" * 1024 + image[middle + 1024 :]


def garbage_header(image: bytes) -> bytes:
    return b"\xff" * 100 + image[100:]


DAMAGE = {
    "garbage in a page": (garbage_page, "database disk image is malformed"),
    "half of it": (lambda image: image[: len(image) // 2048 * 1024], "image is malformed"),
    "not at a page's end": (lambda image: image[: len(image) // 2 + 7], "image is malformed"),
    "garbage in the header": (garbage_header, "file is not a database"),
    "half of the header": (lambda image: image[:50], "image is malformed"),
}

READ = "SELECT sum(a), sum(length(b)) FROM t"
WRITE_ALL = "UPDATE t SET b = b || 'new'"


def failure(path: Path, mode: str, door: str, sql: str) -> tuple[type, str, str]:
    with pytest.raises(stdlib.DatabaseError) as caught:
        with transaction(path, mode, door) as connection:
            connection.execute(sql).fetchall()
    return type(caught.value), str(caught.value), caught.value.sqlite_errorname


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("before", ["nothing", "idle connections"])
@pytest.mark.parametrize("restored", ["in place", "by a move"])
def test_damage_is_told_as_by_the_stdlib_until_a_backup_is_back(
    tmp_path: Path, *, mode: str, door: str, damage: str, before: str, restored: str
) -> None:
    path = database(tmp_path / "a.db", mode, 300)
    backup = Path(shutil.copy(path, tmp_path / "backup.db"))
    other = database(tmp_path / "other.db", mode)
    if before == "idle connections":
        with transaction(path, mode, door) as connection:
            connection.execute(READ).fetchall()
    change, text = DAMAGE[damage]
    path.write_bytes(change(path.read_bytes()))
    (tmp_path / "copy").mkdir()
    copy = Path(shutil.copy(path, tmp_path / "copy"))

    for number, sql in enumerate([READ, WRITE_ALL, READ]):
        told = failure(path, mode, door, sql)
        assert text in told[1]
        assert told == failure(copy, mode, "stdlib", sql)
        for also in ("connect", "session"):
            with transaction(other, mode, also) as connection:
                connection.execute("INSERT INTO t (b) VALUES (?)", (number,))
    assert manager(path, mode).get_stats()["pool_in_use"] == 0
    assert content(other) == [1, 2, 3, 4, 5, 6]

    manager(path, mode).drain()
    if restored == "in place":
        shutil.copyfile(backup, path)
    else:
        backup.replace(path)
    with transaction(path, mode, door) as connection:
        assert tuple(connection.execute(READ).fetchone()) == (sum(range(300)), 300 * 300)
        connection.execute("INSERT INTO t VALUES (300, NULL)")
    assert content(path) == list(range(301))


@BOTH_MODES
@BOTH_DOORS
def test_damage_met_in_the_midst_of_a_transaction_undoes_what_it_had_done(
    tmp_path: Path, mode: str, door: str
) -> None:
    path = database(tmp_path / "a.db", mode, 300)
    sound = path.read_bytes()
    path.write_bytes(garbage_page(sound))
    with pytest.raises(stdlib.DatabaseError, match="malformed"):
        with transaction(path, mode, door) as connection:
            connection.execute("INSERT INTO t VALUES (1000, NULL)")
            connection.execute(READ).fetchall()
    manager(path, mode).drain()
    assert path.read_bytes() == garbage_page(sound)


# ---- interruptions --------------------------------------------------------------------------

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
    began.wait()
    at = time.monotonic()
    sends.set()
    os.kill(os.getpid(), signal.SIGINT) if by == "kill" else signal.raise_signal(signal.SIGINT)

def callback(*_):
    # Waits once: how soon another thread gets the interpreter is a matter of its own.
    if not began.is_set():
        began.set()
        sends.wait()
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
    began, sends = threading.Event(), threading.Event()
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


@ALL_DOORS
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


# ---- exceptions and threads -----------------------------------------------------------------


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize(
    "error", [ValueError, sqlite3.IntegrityError, KeyboardInterrupt, SystemExit, GeneratorExit]
)
def test_an_exception_undoes_the_block_and_gives_the_connection_back(
    tmp_path: Path, mode: str, door: str, error: type[BaseException]
) -> None:
    path = database(tmp_path / "a.db", mode)
    for _ in range(30):
        with pytest.raises(error):
            with transaction(path, mode, door) as connection:
                connection.execute("INSERT INTO t VALUES (1, NULL)")
                raise error
        figures = manager(path, mode).get_stats()
        assert figures["pool_in_use"] == figures["writers_waiting"] == 0
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (2, NULL)")
    assert content(path) == [2]


def half_done(path: Path, mode: str, door: str) -> Any:
    """Give a connection, or a session that was entered, that has written and not committed."""
    if door == "session":
        connection: Any = manager(path, mode).session().__enter__()
    else:
        connection = sqlite3.connect(path)
    connection.execute("INSERT INTO t VALUES (1, NULL)")
    return connection


def generator_of(path: Path, mode: str, door: str) -> Iterator[None]:
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        yield
        connection.execute("INSERT INTO t VALUES (2, NULL)")


def end(path: Path, mode: str, door: str) -> None:
    half_done(path, mode, door)


def end_with_a_local(path: Path, mode: str, door: str) -> None:
    connection = half_done(path, mode, door)
    assert connection.in_transaction


def end_with_an_open_cursor(path: Path, mode: str, door: str) -> None:
    cursor = half_done(path, mode, door).execute("SELECT 1 UNION SELECT 2")
    assert cursor.fetchone() == (1,)


def end_with_a_cycle(path: Path, mode: str, door: str) -> None:
    cycle: list[Any] = [half_done(path, mode, door)]
    cycle.append(cycle)


def end_in_a_thread_local(path: Path, mode: str, door: str) -> None:
    local = threading.local()
    local.connection = half_done(path, mode, door)
    local.itself = local


def exit_outright(path: Path, mode: str, door: str) -> None:
    connection = half_done(path, mode, door)
    assert connection.in_transaction
    raise SystemExit


def exit_in_the_block(path: Path, mode: str, door: str) -> None:
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        raise SystemExit


def end_with_a_generator(path: Path, mode: str, door: str) -> None:
    next(generator_of(path, mode, door))


def exit_with_a_generator(path: Path, mode: str, door: str) -> None:
    for _ in generator_of(path, mode, door):
        raise SystemExit


ENDS = [
    end,
    end_with_a_local,
    end_with_an_open_cursor,
    end_with_a_cycle,
    end_in_a_thread_local,
    exit_outright,
    exit_in_the_block,
    end_with_a_generator,
    exit_with_a_generator,
]


@pytest.fixture
def little_to_collect() -> Iterator[None]:
    """Collect what the test leaves, not all that other tests have left, again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# Python 3.13 warns of connections that were never closed, rightly.
@pytest.mark.usefixtures("little_to_collect")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize("how", ENDS)
def test_a_thread_that_ends_leaves_no_lease_no_lock_and_no_row(
    tmp_path: Path, mode: str, door: str, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pytest's own one keeps the exception, and with it the frames and what they hold.
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    path = database(tmp_path / "a.db", mode)
    # More often than there are places.
    for number in range(10, 34):
        thread = threading.Thread(target=how, args=(path, mode, door))
        thread.start()
        thread.join()
        # As in any thread that still has something to do.
        gc.collect()
        figures = manager(path, mode).get_stats()
        assert (figures["pool_in_use"], figures["writers_waiting"]) == (0, 0)
        if number % 10 == 0:
            for other in ("connect", "session"):
                with transaction(path, mode, other) as connection:
                    row = (number + (other == "session"),)
                    connection.execute("INSERT INTO t VALUES (?, NULL)", row)
    assert content(path) == [10, 11, 20, 21, 30, 31]


@BOTH_MODES
def test_a_thread_that_waits_to_write_gets_in_when_the_writing_one_has_ended(
    tmp_path: Path, mode: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    db = manager(path, mode)
    waits = threading.Event()

    def end_when_another_waits() -> None:
        session = half_done(path, mode, "session")
        waits.set()
        while db.get_stats()["writers_waiting"] == 0:
            pass
        assert session.in_transaction

    thread = threading.Thread(target=end_when_another_waits)
    thread.start()
    waits.wait()
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (2, NULL)")
    thread.join()
    assert db.get_stats()["pool_in_use"] == 0
    assert content(path) == [2]


# ---- the end of the interpreter -------------------------------------------------------------

EXIT = f"""{PROLOGUE}
where, end = sys.argv[4:6]
ready = threading.Event()
kept = []

def write(a):
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?, NULL)", (a,))
    os.write(1, b"%d\\n" % a)

def leave_open():
    write(1)
    if door == "session":
        connection = db.session().__enter__()
    else:
        connection = sqlite3.connect(path)
    connection.create_function("began", 0, lambda: ready.set() or 1)
    connection.execute("INSERT INTO t VALUES (2, NULL)")
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    cursor.fetchone()
    kept.append((connection, cursor))
    return connection

def wait_in_a_daemon():
    leave_open()
    ready.set()
    threading.Event().wait()

def query_in_a_daemon():
    leave_open().execute(
        "WITH RECURSIVE c(n) AS (SELECT began() UNION ALL SELECT 1 FROM c) SELECT count(*) FROM c"
    ).fetchall()

def wait_for_the_lock_in_a_daemon():
    with transaction() as connection:
        connection.execute("SELECT 1").fetchall()
        ready.set()
        connection.execute("INSERT INTO t VALUES (3, NULL)")

def write_in_a_daemon():
    a = 1
    while True:
        write(a)
        a += 1
        if a == 20:
            ready.set()

def wait_for_a_place_in_a_daemon():
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (4, NULL)")

def raise_system_exit_in_a_block():
    write(1)
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (2, NULL)")
        sys.exit(0)

def start(work):
    threading.Thread(target=work, daemon=True).start()

if where == "main":
    leave_open()
elif where == "block":
    raise_system_exit_in_a_block()
elif where == "daemon":
    start(wait_in_a_daemon)
    ready.wait()
elif where == "query":
    start(query_in_a_daemon)
    ready.wait()
elif where == "lock":
    leave_open()
    start(wait_for_the_lock_in_a_daemon)
    ready.wait()
elif where == "place":
    leave_open()
    # As many as there can be, the one that is open already included.
    kept += [db.session().__enter__() for _ in range(19 if door == "session" else 20)]
    start(wait_for_a_place_in_a_daemon)
    while db.get_stats()["requests_waiting"] == 0:
        pass
elif where == "writing":
    start(write_in_a_daemon)
    ready.wait()
if end == "exit":
    sys.exit(0)
"""


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize(
    ("where", "end"),
    [
        ("main", "end"),
        ("main", "exit"),
        ("block", "exit"),
        ("daemon", "end"),
        ("daemon", "exit"),
        ("query", "end"),
        ("lock", "end"),
        ("place", "end"),
        ("writing", "end"),
    ],
)
def test_the_interpreter_ends_in_peace_and_only_committed_work_stays(
    tmp_path: Path, mode: str, door: str, where: str, end: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    acknowledged = [int(line) for line in run(EXIT, path, mode, door, where, end).split()]
    found = content(path)
    if where == "writing":
        # And at most the one of which there was no time to tell.
        assert len(acknowledged) >= 19
        assert found in (acknowledged, [*acknowledged, len(acknowledged) + 1])
    else:
        assert found == acknowledged == [1]
