"""What SQLite sets aside beyond its cache: in memory at first, in temporary files if it is much."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dbmanager import sqlite3 as ours
from tests.oracle.steps import Run, same_on_both

# Text of 100 characters that sorts otherwise than the rows were made.
ROWS = """
    WITH RECURSIVE row(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM row WHERE n < {count})
    SELECT n, printf('%0100d', (n * 7919) % 1000003) AS text FROM row
"""
# The cache has 2 MB, and all temporary files of the process together 32 MB of memory.
LITTLE = ROWS.format(count=100_000)
MUCH = ROWS.format(count=450_000)


def summed(connection: Any, sql: str) -> tuple[int, int, int]:
    """Read rows of a number and a text; give their count, and sums that depend on their order."""
    count = numbers = texts = 0
    for number, text in connection.execute(sql):
        count += 1
        numbers = (numbers * 31 + number) % 1_000_000_007
        texts = (texts * 31 + int(text)) % 1_000_000_007
    return count, numbers, texts


@pytest.mark.parametrize("rows", [LITTLE, MUCH], ids=["little", "much"])
@same_on_both
def test_what_does_not_fit_into_the_cache_gives_the_same(run: Run, rows: str) -> None:
    connection = run.connect()
    run(summed, connection, f"SELECT * FROM ({rows}) ORDER BY text")
    run(connection.execute, f"CREATE TEMP TABLE aside AS {rows}")
    run(connection.execute, "CREATE INDEX temp.by_text ON aside (text)")
    run(connection.execute, "DELETE FROM aside WHERE n % 3 = 0")
    run(summed, connection, "SELECT n, text FROM aside ORDER BY text, n")
    run(summed, connection, "SELECT DISTINCT n, text FROM aside")
    run(lambda: connection.execute("PRAGMA temp.integrity_check").fetchall())


@same_on_both
def test_a_statement_that_fails_late_is_undone_as_a_whole(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (n INTEGER UNIQUE, text)")
    connection.execute(f"INSERT INTO t {LITTLE}")
    run(connection.execute, "UPDATE t SET n = CASE n WHEN 99999 THEN -1 ELSE -n END")
    run(summed, connection, "SELECT n, text FROM t ORDER BY n")
    run(lambda: connection.execute("PRAGMA integrity_check").fetchall())


def on_disk() -> int:
    """Count the temporary files that this process has open on the disk."""
    names = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except FileNotFoundError:
            continue
    return sum("/etilqs_" in name for name in names)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which files are open")
def test_only_what_is_much_takes_a_file_on_the_disk(tmp_path: Path) -> None:
    def files(rows: str) -> int:
        connection = ours.connect(tmp_path / "a.db")
        cursor = connection.execute(f"SELECT * FROM ({rows}) ORDER BY text")
        cursor.fetchone()
        count = on_disk()
        connection.close()
        return count

    before = on_disk()
    assert files(LITTLE) == before
    assert files(MUCH) > before
    # The memory was given back.
    assert files(LITTLE) == before
    assert on_disk() == before


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which files are open")
@pytest.mark.parametrize("leave", ["close the cursor", "interrupt", "drop it"])
def test_the_files_of_a_query_that_is_left_early_are_closed(leave: str) -> None:
    before = on_disk()
    connection = ours.connect(":memory:")
    cursor = connection.execute(f"SELECT * FROM ({MUCH}) ORDER BY text")
    cursor.fetchone()
    assert on_disk() > before
    match leave:
        case "close the cursor":
            cursor.close()
        case "interrupt":
            connection.interrupt()
            with pytest.raises(ours.OperationalError, match="interrupted"):
                cursor.fetchall()
        case _:
            del cursor
    assert on_disk() == before
    connection.close()
