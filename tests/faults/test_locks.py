"""A lock of another process, beyond the time-out."""

import sqlite3 as stdlib
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from dbmanager import DatabaseManager, sqlite3
from tests.faults.programs import (
    ALL_DOORS,
    LINUX_ONLY,
    content,
    database,
    transaction,
)

pytestmark = LINUX_ONLY


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
