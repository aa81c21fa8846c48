"""What these tests share: both doors here and in programs of their own, and the file as it is."""

import sqlite3 as stdlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import dbmanager
from dbmanager import DatabaseManager, sqlite3

LINUX_ONLY = pytest.mark.skipif(
    sys.platform != "linux", reason="limits, mounts and /proc as Linux has them"
)
BOTH_DOORS = pytest.mark.parametrize("door", ["connect", "session"])
# The stdlib takes part where the test is about what it would say, too.
ALL_DOORS = pytest.mark.parametrize("door", ["stdlib", "connect", "session"])
BOTH_MODES = pytest.mark.parametrize("mode", ["wal", "delete"])


def close_pools() -> None:
    DatabaseManager.reset()
    dbmanager.close_all_pools()


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
