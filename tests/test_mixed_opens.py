"""Where the locks of two copies of SQLite can't be kept apart: said, or refused.

The system calls for locks of open files are refused by a library that is loaded before the C
library.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbmanager import set_mixed_opens

COMPILER = shutil.which("cc") or shutil.which("gcc")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is so without a trick"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C compiler, which builds the trick"),
]

# EINVAL is what a kernel or file system says that has no such locks.
REFUSING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>

static int call(const char *name, int fd, int cmd, void *arg) {
  if (cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW || cmd == F_OFD_GETLK) {
    errno = EINVAL;
    return -1;
  }
  return ((int (*)(int, int, void *))dlsym(RTLD_NEXT, name))(fd, cmd, arg);
}

int fcntl(int fd, int cmd, ...) {
  va_list ap; va_start(ap, cmd); void *arg = va_arg(ap, void *); va_end(ap);
  return call("fcntl", fd, cmd, arg);
}

int fcntl64(int fd, int cmd, ...) {
  va_list ap; va_start(ap, cmd); void *arg = va_arg(ap, void *); va_end(ap);
  return call("fcntl64", fd, cmd, arg);
}
"""

PROLOGUE = """
import logging, sqlite3 as stdlib, sys, warnings
from contextlib import closing
import dbmanager
from dbmanager import sqlite3

logging.basicConfig(stream=sys.stdout, format="%(name)s: %(message)s")
path = sys.argv[1]
with closing(sqlite3.connect(path)) as connection, connection:
    connection.execute("CREATE TABLE t (a)")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refusing")
    source, library = folder / "refusing.c", folder / "refusing.so"
    source.write_text(REFUSING)
    command = [str(COMPILER), "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    return library


def run(library: Path, path: Path, code: str) -> list[str]:
    """Run a program that used the file already, as `run_alone` does."""
    return run_alone(library, path, PROLOGUE + code)


def run_alone(library: Path, path: Path, code: str) -> list[str]:
    """Run a program where such locks are refused; give the lines that it printed."""
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, path],
        capture_output=True,
        text=True,
        timeout=60,
        # Behind what is loaded so already, such as a sanitizer.
        env={**os.environ, "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}".strip()},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout.splitlines()


SAID = "dbmanager.locks: the stdlib's sqlite3 must not open a file in the same process as dbmanager"


def test_a_file_system_without_such_locks_is_said_once_and_works(
    library: Path, tmp_path: Path
) -> None:
    lines = run(
        library,
        tmp_path / "a.db",
        """
with dbmanager.DatabaseManager("sqlite:///" + path).session() as session:
    session.execute("INSERT INTO t VALUES (1)")
with closing(sqlite3.connect(path)) as connection:
    print(connection.execute("SELECT * FROM t").fetchall())
print(dbmanager.DatabaseManager("sqlite:///" + path).get_stats()["descriptors_parked"])
""",
    )
    assert lines[0].startswith(SAID)
    assert lines[1:] == ["[(1,)]", "0"]


@pytest.mark.parametrize(
    "name",
    [
        "path",
        "'file:' + path + '?mode=rw'",
        "'file://localhost' + path.replace('.', '%2E') + '?immutable=0'",
    ],
)
def test_the_stdlibs_open_of_a_file_of_ours_is_warned_of_at_its_line(
    library: Path, tmp_path: Path, name: str
) -> None:
    lines = run(
        library,
        tmp_path / "a.db",
        f"""
with warnings.catch_warnings(record=True) as caught:
    ours = sqlite3.connect(path)
    stdlib.connect(":memory:").close()
    stdlib.connect({name}, uri=True).close()  # here
    ours.close()
(warning,) = caught
print(warning.category is dbmanager.MixedOpenWarning, warning.lineno, warning.filename)
print(warning.message)
""",
    )
    line = PROLOGUE.count("\n") + 5
    assert lines[1] == f"True {line} <string>"
    assert "is opened with another SQLite while dbmanager has it open, in one process" in lines[2]
    assert "docs/safety.md" in lines[2]


def test_our_open_of_a_file_of_the_stdlibs_is_warned_of(library: Path, tmp_path: Path) -> None:
    lines = run(
        library,
        tmp_path / "a.db",
        """
dbmanager.close_all_pools()
theirs = stdlib.connect(path)
with warnings.catch_warnings(record=True) as caught:
    sqlite3.connect(path).close()
print([str(warning.message).count("while another SQLite has it open") for warning in caught])
theirs.close()
dbmanager.close_all_pools()
with warnings.catch_warnings(record=True) as caught:
    sqlite3.connect(path).close()
print(caught)
""",
    )
    assert lines[1:] == ["[1]", "[]"]


# What opens `path` by our copy, and closes it.
OURS = {
    "connect": "sqlite3.connect(path).close()",
    "session": "with db.session() as s: s.scalar('SELECT 1')",
    "writing session": "with db.session('write') as s: s.scalar('SELECT 1')",
    "attach": "memory.execute('ATTACH ? AS b', (path,)); memory.execute('DETACH b')",
    "literal": "memory.execute(f\"ATTACH DATABASE '{path}' AS b\"); memory.execute('DETACH b')",
    "script": "memory.executescript(f\"ATTACH '{path}' AS b; DETACH b\")",
    "script of a session": """
with other.session() as s: s.executescript(f"ATTACH '{path}' AS b; DETACH b")""",
}


@pytest.mark.parametrize("made_by", ["ours", "theirs"])
@pytest.mark.parametrize("how", OURS)
def test_every_way_to_open_a_file_of_the_stdlibs_is_warned_of(
    library: Path, tmp_path: Path, how: str, made_by: str
) -> None:
    lines = run(
        library,
        tmp_path / "a.db",
        f"""
import os
if {made_by == "theirs"}:
    # A name that leads elsewhere afterwards.
    os.chdir(os.path.dirname(path))
    path = os.path.abspath("new.db")
    theirs = stdlib.connect("new.db")
    os.chdir("/")
    theirs.execute("CREATE TABLE t (a)")
else:
    dbmanager.close_all_pools()
    theirs = stdlib.connect(path)
db = dbmanager.DatabaseManager("sqlite:///" + path)
other = dbmanager.DatabaseManager("sqlite:///" + path + ".other")
memory = sqlite3.connect(":memory:", isolation_level=None)
for policy in "warn", "refuse", "ignore":
    dbmanager.set_mixed_opens(policy)
    dbmanager.close_all_pools()
    with warnings.catch_warnings(record=True) as caught:
        try:
            exec({OURS[how]!r})
        except sqlite3.OperationalError as error:
            print("refused", str(error).count("while another SQLite has it open"))
    print(len(caught))
    if policy == "refuse":
        files = [os.path.realpath("/proc/self/fd/" + one) for one in os.listdir("/proc/self/fd")]
        print(files.count(path), db.get_stats()["pool_size"])
theirs.close()
dbmanager.set_mixed_opens("warn")
dbmanager.close_all_pools()
with warnings.catch_warnings(record=True) as caught:
    exec({OURS[how]!r})
print(len(caught))
memory.close()
""",
    )
    assert lines[1:] == ["1", "refused 1", "0", "1 0", "0", "0"]


def test_what_the_stdlib_opened_before_anything_of_ours_is_refused_again_and_again(
    library: Path, tmp_path: Path
) -> None:
    code = """
import logging, sqlite3 as stdlib, sys
import dbmanager
from dbmanager import sqlite3
logging.disable()
path = sys.argv[1]
theirs = stdlib.connect(path)
theirs.execute("CREATE TABLE t (a)")
dbmanager.set_mixed_opens("refuse")
db = dbmanager.DatabaseManager("sqlite:///" + path)
for use in (lambda: sqlite3.connect(path), lambda: db.session().__enter__()) * 2:
    try:
        use()
    except sqlite3.OperationalError as error:
        print("while another SQLite has it open" in str(error))
theirs.close()
"""
    ended = run_alone(library, tmp_path / "a.db", code)
    assert ended == ["True"] * 4


def test_the_stdlibs_open_of_a_file_that_we_attached_is_warned_of(
    library: Path, tmp_path: Path
) -> None:
    lines = run(
        library,
        tmp_path / "a.db",
        """
dbmanager.close_all_pools()
with closing(sqlite3.connect(":memory:")) as ours:
    ours.execute("ATTACH ? AS b", (path,))
    with warnings.catch_warnings(record=True) as caught:
        stdlib.connect(path).close()
    print(len(caught))
""",
    )
    assert lines[1:] == ["1"]


def test_mixed_opens_are_refused_if_that_is_set(library: Path, tmp_path: Path) -> None:
    lines = run(
        library,
        tmp_path / "a.db",
        """
print(dbmanager.set_mixed_opens("refuse"))
for first, second in ((sqlite3, stdlib), (stdlib, sqlite3)):
    dbmanager.close_all_pools()
    with closing(first.connect(path)):
        try:
            second.connect(path)
        except stdlib.OperationalError as error:
            print("in one process" in str(error))
dbmanager.close_all_pools()
dbmanager.set_mixed_opens("ignore")
with closing(sqlite3.connect(path)), closing(stdlib.connect(path)):
    print("ignored")
""",
    )
    assert lines[1:] == ["warn", "True", "True", "ignored"]


def test_a_policy_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="policy must be 'warn', 'refuse' or 'ignore', not 'no'"):
        set_mixed_opens("no")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="policy must be str, not int"):
        set_mixed_opens(1)  # type: ignore[arg-type]
