"""Rows that a session still has to give when it writes: they are read ahead, or set aside."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dbmanager import (
    DatabaseManager,
    dict_row,
    sqlite3,
)
from tests.other_process import other_process

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 500


def test_rows_are_changed_while_they_are_read(db: DatabaseManager) -> None:
    with db.session() as session:
        for number, x in session.execute("SELECT id, x FROM t ORDER BY id"):
            session.execute("UPDATE t SET x = ? WHERE id = ?", (x * 2, number))
    with db.session() as session:
        assert session.scalar("SELECT sum(x) FROM t") == ROWS * (ROWS - 1)


def test_rows_are_changed_while_they_are_read_and_another_process_writes(
    db: DatabaseManager, tmp_path: Path
) -> None:
    with db.session() as session:
        rows = session.execute("SELECT id FROM t ORDER BY id")
        first = rows.fetchone()
        other_process(tmp_path, "DELETE FROM t WHERE id > 250")
        # The read cursor's old snapshot would make this fail at once.
        session.execute("UPDATE t SET x = -1 WHERE id = ?", first)
        assert len(rows.fetchall()) == ROWS - 1
        assert session.scalar("SELECT count(*) FROM t") == 250


@pytest.mark.parametrize("read", ["fetchone", "fetchmany", "fetchall", "iterate", "next"])
def test_rows_that_were_read_ahead_come_in_order_and_in_every_way(
    db: DatabaseManager, read: str
) -> None:
    with db.session() as session:
        session.row_factory = dict_row
        cursor = session.execute("SELECT id FROM t ORDER BY id")
        cursor.fetchone()
        session.execute("UPDATE t SET x = 0")
        ways: dict[str, Callable[[], list[Any]]] = {
            "fetchone": lambda: list(iter(cursor.fetchone, None)),
            "fetchmany": lambda: [
                row for part in iter(lambda: cursor.fetchmany(7), []) for row in part
            ],
            "fetchall": cursor.fetchall,
            "iterate": lambda: list(cursor),
            "next": lambda: [next(cursor) for _ in range(ROWS - 1)],
        }
        assert ways[read]() == [{"id": number} for number in range(2, ROWS + 1)]
        assert cursor.fetchone() is None


def test_several_open_cursors_are_read_ahead(db: DatabaseManager) -> None:
    with db.session() as session:
        cursors = [session.execute("SELECT id FROM t WHERE id >= ?", (n,)) for n in (1, 2, 3)]
        for cursor in cursors:
            cursor.fetchone()
        session.execute("DELETE FROM t")
        assert [len(cursor.fetchall()) for cursor in cursors] == [ROWS - 1, ROWS - 2, ROWS - 3]


# More rows than are kept in memory when they are read ahead.
MANY = 25_000


def numbers(count: int = MANY) -> str:
    """A query of many rows with values of every kind."""
    return (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) "
        "SELECT i, 'text ' || i AS text, i / 2.0 AS real, NULL AS none, "
        "CAST(i AS BLOB) AS blob FROM n, (SELECT count(*) FROM t)"
    )


def test_many_rows_are_changed_while_they_are_read(db: DatabaseManager, tmp_path: Path) -> None:
    with db.session() as session:
        session.execute("CREATE TABLE many (id INTEGER PRIMARY KEY, x)")
        session.execute(f"INSERT INTO many (x) SELECT i FROM ({numbers()})")
    with db.session() as session:
        rows = session.execute("SELECT id, x FROM many ORDER BY id")
        first = rows.fetchone()
        other_process(tmp_path, "INSERT INTO many (x) VALUES ('later')")
        for number, x in [first, *rows]:
            session.execute("UPDATE many SET x = ? WHERE id = ?", (x + 1, number))
    with db.session("read") as session:
        assert session.scalar("SELECT count(*) FROM many WHERE x = id + 1") == MANY
        assert session.scalar("SELECT x FROM many WHERE id = ?", (MANY + 1,)) == "later"


@pytest.mark.parametrize("factory", [None, sqlite3.Row, dict_row, lambda cursor, row: [*row]])
def test_rows_that_were_set_aside_are_as_they_were(db: DatabaseManager, factory: Any) -> None:
    with db.session() as session:
        session.row_factory = factory
        expected = session.execute(numbers()).fetchall()
        cursor = session.execute(numbers())
        description = cursor.description
        got = cursor.fetchmany(3)
        session.execute("UPDATE t SET x = 0 WHERE id = 1")
        got += [cursor.fetchone(), next(cursor), *cursor.fetchmany(12_000)]
        session.commit()
        session.execute("UPDATE t SET x = 1 WHERE id = 1")
        got += cursor.fetchall()
        assert cursor.fetchone() is None
        assert got == expected
        assert [type(row) for row in got] == [type(row) for row in expected]
        assert cursor.description == description


def test_large_rows_are_set_aside_and_end_with_their_cursor(db: DatabaseManager) -> None:
    with db.session() as session:
        cursor = session.execute(
            "SELECT id, zeroblob(1000000) AS large FROM t WHERE id <= 30 ORDER BY id"
        )
        assert cursor.fetchone()[0] == 1
        session.execute("DELETE FROM t")
        assert [(number, len(large)) for number, large in cursor.fetchmany(19)] == [
            (number, 1_000_000) for number in range(2, 21)
        ]
        cursor.execute("SELECT 1")
        assert cursor.fetchall() == [(1,)]


def test_text_that_can_not_be_read_stays_for_another_try_also_when_set_aside(
    db: DatabaseManager,
) -> None:
    with db.session() as session:
        cursor = session.execute(
            f"SELECT i, CASE i WHEN 20000 THEN CAST(x'ff' AS TEXT) END AS bad FROM ({numbers()})"
        )
        cursor.fetchone()
        session.execute("UPDATE t SET x = 0 WHERE id = 1")
        assert len(cursor.fetchmany(19_998)) == 19_998
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError, match="UTF-8 column 'bad'"):
                cursor.fetchone()
        session.text_factory = bytes
        assert cursor.fetchone() == (20_000, b"\xff")
        assert len(cursor.fetchall()) == MANY - 20_000


@pytest.mark.parametrize("at", [5_000, 20_000])
def test_error_behind_the_next_rows_is_raised_by_the_write_and_where_it_belongs(
    db: DatabaseManager, at: int
) -> None:
    def fail(number: int) -> int:
        if number == at:
            raise RuntimeError
        return number

    with db.session() as session:
        session.create_function("fail", 1, fail)
        cursor = session.execute(f"SELECT fail(i) FROM ({numbers()})")
        for _ in range(3):
            cursor.fetchone()
        with pytest.raises(sqlite3.OperationalError, match="user-defined function raised"):
            session.execute("UPDATE t SET x = 'kept' WHERE id = 1")
        assert [row[0] for row in cursor.fetchmany(at - 5)] == list(range(4, at - 1))
        with pytest.raises(sqlite3.OperationalError, match="user-defined function raised"):
            # Without the write, the row before the one that fails would be lost with it.
            assert cursor.fetchone() == (at - 1,)
            cursor.fetchone()
        assert cursor.fetchone() is None
        session.execute("UPDATE t SET x = 'kept' WHERE id = 1")
    with db.session() as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == "kept"


def test_rows_that_can_not_be_set_aside_are_not_lost_in_silence(tmp_path: Path) -> None:
    code = """
import resource, sys
from dbmanager import DatabaseManager, sqlite3
db = DatabaseManager(sys.argv[1])
with db.session() as session:
    session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    session.executemany("INSERT INTO t (x) VALUES (?)", [(n,) for n in range(100)])
db.drain()
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
with db.session() as session:
    rows = session.execute("SELECT id, zeroblob(1000000) FROM t")
    rows.fetchone()
    for use in (lambda: session.execute("UPDATE t SET x = -1"), rows.fetchall):
        try:
            use()
        except sqlite3.OperationalError as error:
            print("could not be set aside" in str(error))
    session.execute("UPDATE t SET x = -1")
with db.session() as session:
    print(session.scalar("SELECT sum(x) FROM t"))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, f"sqlite:///{tmp_path}/app.db"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True\nTrue\n-100\n", "")
