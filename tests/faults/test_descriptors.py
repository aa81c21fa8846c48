"""No descriptors left: told, nothing leaks, and what is open goes on."""

from pathlib import Path

from tests.faults.programs import (
    ALL_DOORS,
    BOTH_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    content,
    database,
    run,
)

pytestmark = LINUX_ONLY


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


CLOSED_BY_OTHERS = f"""{PROLOGUE}
with transaction() as connection:
    connection.execute("INSERT INTO t VALUES (1, NULL)")
with transaction() as connection:
    connection.execute("SELECT * FROM t").fetchall()
os.closerange(3, 256)
logs = [os.open(f"{{path}}.log{{n}}", os.O_RDWR | os.O_CREAT) for n in range(8)]
for log in logs:
    os.write(log, b"a line of a log" * 5000)
for _ in range(2):
    try:
        with transaction() as connection:
            connection.execute("INSERT INTO t VALUES (2, NULL)")
    except stdlib.OperationalError as error:
        print("were closed by other code" in str(error))
close_pools()
print(all(os.pread(log, 100_000, 0) == b"a line of a log" * 5000 for log in logs))
"""


@BOTH_MODES
@BOTH_DOORS
def test_files_that_other_code_closed_are_not_taken_for_the_database(
    tmp_path: Path, mode: str, door: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    assert run(CLOSED_BY_OTHERS, path, mode, door).split() == ["True"] * 3
    assert content(path) == [1]
