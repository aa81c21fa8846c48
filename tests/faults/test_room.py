"""No room in the midst of a commit: it fails alone, and works once there is room."""

from pathlib import Path

import pytest

from tests.faults.programs import (
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    run,
)

pytestmark = LINUX_ONLY


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
