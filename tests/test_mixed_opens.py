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
    """Run a program where such locks are refused; give the lines that it printed."""
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", PROLOGUE + code, path],
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
