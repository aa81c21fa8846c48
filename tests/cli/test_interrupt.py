"""Ctrl-C: the command ends soon, says so in one line, and has written nothing."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

# Whoever runs the tests in the background may have the signal ignored.
COMMAND = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("dbmanager", run_name="__main__", alter_sys=True)
"""
TEXT = "import sqlite3\nsqlite3.connect('a.db')\n"
ENDS_WITHIN_SECONDS = 30
"""Far less than what is interrupted here would take, and enough for a slow machine."""


@contextmanager
def started(folder: Path, *arguments: str, before: str = "") -> Iterator["subprocess.Popen[str]"]:
    """Run a command; it is killed if the block ends before it."""
    with subprocess.Popen(
        [sys.executable, "-c", before + COMMAND, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: "subprocess.Popen[str]") -> None:
    """Interrupt it, and have it end as it should."""
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    assert (process.returncode, told) == (130, ("", "dbmanager: interrupted\n"))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A folder that nobody comes through before the pipe in it is written to."""
    (tmp_path / "a.py").write_text(TEXT)
    os.mkfifo(tmp_path / ".gitignore")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("scan", "."),
        ("scan", ".", "-o", "calls.json", "--json"),
        ("migrate", ".", "--allow-dirty"),
        ("check", "--update", "."),
    ],
)
def test_what_goes_through_files_ends_and_writes_nothing(
    endless: Path, arguments: tuple[str, ...]
) -> None:
    with started(endless, *arguments) as process:
        # It is opened when the command has begun to read it, and closed when that has ended.
        with (endless / ".gitignore").open("w"):
            interrupted(process)
    assert (endless / "a.py").read_text() == TEXT
    assert sorted(path.name for path in endless.iterdir()) == [".gitignore", "a.py"]


# The value of `length(name)`, and work to find it.
SLOW = "length(replace(hex(zeroblob(100000 + length(name))), '0', 'ab')) * 0 + length(name)"


@pytest.fixture
def slow_database(tmp_path: Path) -> Path:
    """A database with an index that takes a minute or two to check, and no time to make."""
    path = tmp_path / "slow.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name)")
        connection.execute("CREATE INDEX item_name ON item (length(name))")
        rows = "WITH RECURSIVE row (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row LIMIT 100000)"
        connection.execute(f"{rows} INSERT INTO item SELECT n, 'x' FROM row")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'length(name)', ?)", [SLOW])
        connection.commit()
    return path


# Tells each statement when it begins. There is no code of Python in that which a signal may end.
TRACED = """
import sys
from dbmanager.doctor import connection
sys.stderr.reconfigure(write_through=True)
original = connection._connect
def traced(path, how):
    opened = original(path, how)
    opened.set_trace_callback(sys.stderr.write)
    return opened
connection._connect = traced
"""


def test_a_check_of_a_large_database_ends(slow_database: Path) -> None:
    folder, arguments = slow_database.parent, ("doctor", "--full", "--no-environment", "slow.db")
    with started(folder, *arguments, before=TRACED) as process:
        assert process.stderr is not None
        begun = ""
        while not begun.endswith("PRAGMA integrity_check(100)"):
            read = process.stderr.read(1)
            assert read, begun
            begun += read
        interrupted(process)
    assert [path.name for path in folder.iterdir()] == ["slow.db"]
