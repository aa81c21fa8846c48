"""The types of `dbmanager.sqlite3`, for mypy (`make check-types`) and at run time (pytest).

A `type: ignore` marks what the type checker must refuse: mypy reports one that is not needed.
"""

import sqlite3 as stdlib
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, Literal, assert_type

import pytest

import dbmanager
from dbmanager import sqlite3


class MyConnection(sqlite3.Connection):
    """A subclass of an application."""


class MyCursor(sqlite3.Cursor):
    """A subclass of an application."""


class Longest:
    """An aggregate."""

    def __init__(self) -> None:
        self.text = ""

    def step(self, text: str) -> None:
        self.text = max(self.text, text, key=len)

    def inverse(self, text: str) -> None:
        # The window of this file only grows, so SQLite never takes a row out of it.
        raise AssertionError(f"asked to take {text!r} out")

    def value(self) -> str:
        return self.text

    finalize = value


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (x)")
        yield connection


def test_types_of_connect(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for connection in (
        assert_type(sqlite3.connect(path), sqlite3.Connection),
        assert_type(sqlite3.connect(str(path), timeout=1), sqlite3.Connection),
        assert_type(sqlite3.connect(b":memory:", isolation_level=None), sqlite3.Connection),
        assert_type(sqlite3.connect(":memory:", isolation_level="immediate"), sqlite3.Connection),
        assert_type(dbmanager.connect("file::memory:", uri=True), sqlite3.Connection),
        assert_type(sqlite3.connect(":memory:", factory=MyConnection), MyConnection),
        assert_type(MyConnection(":memory:"), MyConnection),
    ):
        connection.close()
    if sys.version_info >= (3, 12):
        sqlite3.connect(":memory:", autocommit=False).close()
        sqlite3.connect(":memory:", autocommit=sqlite3.LEGACY_TRANSACTION_CONTROL).close()


def test_connect_refuses() -> None:
    with pytest.raises(TypeError):
        sqlite3.connect(1.5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="isolation_level"):
        sqlite3.connect(":memory:", isolation_level="SERIAL")  # type: ignore[call-overload]
    if sys.version_info >= (3, 12):
        with pytest.raises(ValueError, match="autocommit"):
            sqlite3.connect(":memory:", autocommit=2)  # type: ignore[call-overload]


def test_types_of_connection(connection: sqlite3.Connection) -> None:
    assert_type(connection.in_transaction, bool)
    assert_type(connection.total_changes, int)
    assert_type(
        connection.isolation_level, Literal["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"] | None
    )
    assert_type(connection.getlimit(sqlite3.SQLITE_LIMIT_ATTACHED), int)
    assert_type(connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 3), int)
    assert_type(connection.serialize(), bytes)
    assert_type(connection.iterdump(), Generator[str])
    assert_type(connection.IntegrityError, type[stdlib.IntegrityError])
    with connection as entered:
        assert_type(entered, sqlite3.Connection)
    if sys.version_info >= (3, 12):
        assert_type(connection.autocommit, bool | Literal[-1])
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY, True)
        assert_type(connection.getconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY), bool)
    if sys.version_info >= (3, 13):
        connection.iterdump(filter="t%")


def test_isolation_level_can_be_set(connection: sqlite3.Connection) -> None:
    connection.isolation_level = None
    connection.isolation_level = "EXCLUSIVE"
    connection.isolation_level = "deferred"
    assert connection.isolation_level == "DEFERRED"
    with pytest.raises(TypeError):
        connection.isolation_level = 1  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        connection.total_changes = 1  # type: ignore[misc]


def test_types_of_cursor(connection: sqlite3.Connection) -> None:
    cursor = assert_type(connection.cursor(), sqlite3.Cursor)
    assert_type(connection.cursor(MyCursor), MyCursor)
    assert_type(connection.cursor(factory=MyCursor).execute("SELECT 1"), MyCursor)
    assert_type(cursor.execute("SELECT ?", (1,)), sqlite3.Cursor)
    assert_type(cursor.execute("SELECT :a", {"a": date(2024, 1, 2).isoformat()}), sqlite3.Cursor)
    assert_type(connection.executescript("SELECT 1"), sqlite3.Cursor)
    assert_type(cursor.connection, sqlite3.Connection)
    assert_type(cursor.lastrowid, int | None)
    assert_type(cursor.rowcount, int)
    assert_type(cursor.arraysize, int)
    assert_type(cursor.fetchall(), list[Any])
    assert [column[0] for column in cursor.execute("SELECT 1 AS a").description] == ["a"]
    cursor.executemany("INSERT INTO t VALUES (?)", ((n,) for n in range(3)))
    assert next(cursor.execute("SELECT count(*) FROM t")) == (3,)
    with pytest.raises(TypeError):
        cursor.execute(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        connection.cursor(str)  # type: ignore[type-var]


def test_row_factories(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.row_factory = stdlib.Row
    connection.row_factory = dbmanager.dict_row
    connection.row_factory = None
    connection.row_factory = lambda cursor, row: (cursor.description, row)
    connection.row_factory = lambda row: row  # type: ignore[assignment]
    with pytest.raises(TypeError):
        connection.execute("SELECT 1").fetchone()


def test_types_of_row(connection: sqlite3.Connection) -> None:
    cursor = connection.execute("SELECT 1 AS a, 2 AS b")
    row = sqlite3.Row(cursor, (1, 2))
    assert_type(row.keys(), list[str])
    assert_type(row[0:1], tuple[Any, ...])
    assert_type(row["a"], Any)
    first, second = row
    assert [first, second] == [1, 2]


def test_types_of_blob(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (zeroblob(4))")
    with connection.blobopen("t", "x", 1) as blob:
        assert_type(blob, sqlite3.Blob)
        assert_type(blob[0], int)
        assert_type(blob[0:2], bytes)
        assert_type(blob.read(), bytes)
        blob[0] = 1
        blob[1:3] = b"ab"
        with pytest.raises(TypeError):
            blob[0] = b"a"  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            del blob[0]  # type: ignore[attr-defined]


def test_types_of_callbacks(connection: sqlite3.Connection) -> None:
    connection.create_function("f", 1, abs, deterministic=True)
    connection.create_aggregate("longest", 1, Longest)
    connection.create_window_function("longest", 1, Longest)
    connection.create_collation("c", lambda a, b: len(a) - len(b))
    connection.set_trace_callback(None)
    connection.set_progress_handler(lambda: None, 1000)
    connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)
    connection.create_window_function("f", 1, Incomplete)  # type: ignore[arg-type]


class Incomplete:
    """An aggregate that can't be used as a window function."""

    def step(self, value: int) -> None:
        """Take a value."""

    def finalize(self) -> int:
        """Give the result."""
        return 0


def test_backup_goes_to_both_kinds_of_connection(connection: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(":memory:")) as ours, closing(stdlib.connect(":memory:")) as other:
        connection.backup(ours, progress=lambda *_: None)
        connection.backup(other, pages=10)


def test_exceptions_are_the_classes_of_the_stdlib() -> None:
    caught: type[stdlib.OperationalError] = sqlite3.OperationalError
    assert caught is stdlib.OperationalError


def test_types_of_module_functions() -> None:
    assert_type(sqlite3.complete_statement("SELECT 1;"), bool)
    assert_type(sqlite3.sqlite_version, str)
    assert_type(sqlite3.threadsafety, Literal[0, 1, 3])
    adapter: Callable[[complex], str] = str
    sqlite3.register_adapter(complex, adapter)
    sqlite3.register_converter("complex", lambda data: complex(data.decode()))
    assert_type(sqlite3.adapt(1j, sqlite3.PrepareProtocol, None), Any | None)
