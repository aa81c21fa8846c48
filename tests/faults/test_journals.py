"""Journals and WALs of processes that were killed: undone or read by whoever opens next."""

import shutil
import sqlite3 as stdlib
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.programs import (
    BOTH_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    content,
    database,
    transaction,
)

pytestmark = LINUX_ONLY


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
    if before == "nothing" or mode == "delete":
        # Else the open here has what is in the WAL brought into the file.
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
