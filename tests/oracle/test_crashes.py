"""Where the stdlib's module of some Python version crashes or corrupts, ours raises.

There is nothing to compare with: each test says what should have happened.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

import dbmanager.sqlite3


def test_cursor_of_a_connection_without_base_init_is_refused() -> None:
    class Forgetful(dbmanager.sqlite3.Connection):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            pass

    connection = dbmanager.sqlite3.connect(":memory:", factory=Forgetful)
    with pytest.raises(dbmanager.sqlite3.ProgrammingError, match="__init__ not called"):
        dbmanager.sqlite3.Cursor(connection)


def test_autocommit_cannot_be_deleted() -> None:
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        if not hasattr(connection, "autocommit"):
            return
        before = connection.autocommit
        with pytest.raises(AttributeError):
            del connection.autocommit
        assert connection.autocommit == before


def test_autocommit_beyond_a_c_int_is_refused() -> None:
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        if not hasattr(connection, "autocommit"):
            return
        with pytest.raises((ValueError, OverflowError)):
            connection.autocommit = 2**70
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_deserialize_under_a_transaction_or_an_open_cursor_is_refused() -> None:
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        image = connection.serialize()
        connection.execute("INSERT INTO t VALUES (1), (2)")
        with pytest.raises(dbmanager.sqlite3.OperationalError, match="locked"):
            connection.deserialize(image)
        connection.commit()
        cursor = connection.execute("SELECT a FROM t")
        with pytest.raises(dbmanager.sqlite3.OperationalError, match="locked"):
            connection.deserialize(image)
        assert cursor.fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("method", ["execute", "executemany", "executescript", "fetchone", "close"])
def test_cursor_used_from_the_rows_of_its_own_executemany_is_refused(method: str) -> None:
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        cursor = connection.cursor()
        arguments: dict[str, tuple[Any, ...]] = {
            "execute": ("SELECT 1",),
            "executemany": ("INSERT INTO t VALUES (?)", [(5,)]),
            "executescript": ("SELECT 1",),
        }

        def rows() -> Iterator[tuple[int]]:
            yield (1,)
            with pytest.raises(dbmanager.sqlite3.ProgrammingError, match="Recursive use"):
                getattr(cursor, method)(*arguments.get(method, ()))
            yield (2,)

        cursor.executemany("INSERT INTO t VALUES (?)", rows())
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,), (2,)]


def test_connection_closed_from_the_rows_of_executemany_ends_it_with_an_error() -> None:
    connection = dbmanager.sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a)")

    def rows() -> Iterator[tuple[int]]:
        yield (1,)
        connection.close()
        yield (2,)

    with pytest.raises(dbmanager.sqlite3.ProgrammingError):
        connection.executemany("INSERT INTO t VALUES (?)", rows())
    connection.close()


def test_deserialize_into_a_database_that_is_not_there_is_an_error() -> None:
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        image = connection.serialize()
        with pytest.raises(dbmanager.sqlite3.OperationalError):
            connection.deserialize(image, name="nothing")
        assert connection.execute("SELECT * FROM t").fetchall() == []
