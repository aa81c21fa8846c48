"""Permissions that are missing or lost: told as by the stdlib."""

from pathlib import Path

import pytest

from tests.faults.programs import (
    ALL_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    database,
    run,
)

pytestmark = LINUX_ONLY


ORDINARY = f"""{PROLOGUE}
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
"""

# What each door is told, in one line, about a file and a folder whose permissions change.
FORBID = f"""{ORDINARY}
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


# A session as it is by default, on a file that it can't switch to WAL.
READ_ONLY = f"""{ORDINARY}
os.chmod(path, 0o444)
db = DatabaseManager.at(path)
for mode in ("auto", "read"):
    with db.session(mode) as session:
        print(session.scalar("SELECT count(*) FROM t"), session.scalar("PRAGMA journal_mode"))
try:
    with db.session() as session:
        session.execute("DELETE FROM t")
except stdlib.OperationalError as error:
    print(error)
print(db.get_stats()["opened_total"])
"""


def test_session_reads_a_file_that_it_may_not_switch_to_wal(tmp_path: Path) -> None:
    path = database(tmp_path / "a.db", "delete", rows=3)
    assert run(READ_ONLY, path, "delete", "session").splitlines() == [
        "3 delete",
        "3 delete",
        "attempt to write a readonly database",
        "1",
    ]


# A file that may only be read at first, and a connection that goes on to read it meanwhile.
PERMIT = f"""{ORDINARY}
import subprocess

module = stdlib if door == "stdlib" else sqlite3

def tell(execute, statement):
    try:
        print(statement, execute(statement).fetchall())
    except module.OperationalError as error:
        print(statement, error)

def others(statement):
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute(sys.argv[2])"
    ended = subprocess.run([sys.executable, "-c", code, path, statement], capture_output=True)
    print("another process:", statement, b"database is locked" in ended.stderr)

def permit(mode):
    for name in os.listdir(os.path.dirname(path)):
        os.chmod(os.path.join(os.path.dirname(path), name), mode)

permit(0o444)
reading = module.connect(f"file:{{path}}?mode=ro", uri=True)
rows = reading.execute("SELECT a FROM t")
print(rows.fetchone())
permit(0o644)
writing = module.connect(path, timeout=0, isolation_level=None)
tell(writing.execute, "BEGIN IMMEDIATE")
others("BEGIN IMMEDIATE")
tell(writing.execute, "INSERT INTO t VALUES (10, NULL)")
# With a rollback journal the reader is in the way, whose lock is there still.
tell(writing.execute, "COMMIT")
others("BEGIN EXCLUSIVE")
print(rows.fetchall())
if writing.in_transaction:
    tell(writing.execute, "COMMIT")
others("BEGIN EXCLUSIVE")
tell(writing.execute, "DELETE FROM t WHERE a = 10")
rows = reading.execute("SELECT a FROM t")
rows.fetchone()
writing.close()
if mode == "delete":
    # The reader's lock outlives the connection through which it is held now.
    with closing(stdlib.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM t")
        tell(other.execute, "COMMIT")
print(rows.fetchall())
reading.close()
others("BEGIN EXCLUSIVE")
close_pools()
print(db.get_stats()["descriptors_parked"])
"""


@BOTH_MODES
def test_a_file_that_becomes_writable_beside_a_reader_is_written(tmp_path: Path, mode: str) -> None:
    told = {}
    for door in ("stdlib", "connect"):
        (tmp_path / door).mkdir()
        path = database(tmp_path / door / "a.db", mode, rows=3)
        told[door] = run(PERMIT, path, mode, door).splitlines()
    assert told["stdlib"][0] == "(0,)"
    assert told["connect"] == told["stdlib"]


def test_descriptors_that_wait_make_room_for_that_of_locks(tmp_path: Path) -> None:
    """One of a file for locks, where SQLite's own open took the last one that was left."""
    code = f"""{PROLOGUE}
import resource
parked = sys.argv[4]
theirs = stdlib.connect(parked, isolation_level=None)
theirs.execute("BEGIN IMMEDIATE")
sqlite3.connect("file:" + parked + "?mode=ro&psow=1", uri=True).execute("SELECT 1 FROM t").close()
close_pools()
print(db.get_stats()["descriptors_parked"] > 0)
theirs.execute("COMMIT")
used = len(os.listdir("/proc/self/fd")) - 1
highest = max(map(int, os.listdir("/proc/self/fd")))
holes = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest + 1 - used)]
resource.setrlimit(resource.RLIMIT_NOFILE, (max(holes) + 1, max(holes) + 1))
os.close(holes.pop())
with closing(sqlite3.connect(path)) as connection:
    print("opened")
"""
    path, other = database(tmp_path / "a.db", "delete"), database(tmp_path / "b.db", "delete")
    assert run(code, path, "delete", "connect", other).splitlines() == ["True", "opened"]
