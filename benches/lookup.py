"""W2: a primary-key select on an open connection, alone and inside a read transaction.

Alone, each select takes and drops SQLite's read lock; inside a transaction it is held,
and what remains is the price of the interface.
"""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benches.arena import Scale, Task, Variant
from benches.contestants import (
    Contestant,
    open_apsw,
    open_dbmanager,
    open_engine,
    open_peewee_pool,
    open_stdlib,
)
from benches.dataset import build_lookup

SELECT = "SELECT owner, balance FROM account WHERE id = ?"
ROWS = 10_000

# Looks all keys up, one after the other, and gives the last row. The loop is within, so that a
# call of a Python function is not part of what is measured.
_Lookup = Callable[[Sequence[int]], Any]
_Run = Callable[..., object]


def variants(scale: Scale) -> list[Variant]:
    """Give W2 in autocommit and inside one transaction a round."""
    count = scale.lookups
    return [
        Variant(
            "W2",
            "select by key",
            f"{count} times execute(select, (key,)).fetchone() on an open connection. "
            "SQLAlchemy: a cursor each on its raw connection; SA Core: "
            "Connection.execute(text); peewee: execute_sql().",
            1.6,
            build_lookup,
            _tasks(count, transaction=False),
        ),
        Variant(
            "W2",
            "in a transaction",
            "The same after BEGIN, which keeps the read lock between the selects.",
            3.5,
            build_lookup,
            _tasks(count, transaction=True),
        ),
    ]


def _tasks(count: int, *, transaction: bool) -> dict[Contestant, Callable[[Path], Task]]:
    def task(opener: Callable[[Path], tuple[_Lookup, _Run, _Run]]) -> Callable[[Path], Task]:
        return lambda path: _repeated(count, transaction, *opener(path))

    return {
        Contestant.STDLIB: task(lambda path: _direct(open_stdlib(path))),
        Contestant.DBMANAGER: task(lambda path: _direct(open_dbmanager(path))),
        Contestant.APSW: task(lambda path: _direct(open_apsw(path))),
        Contestant.SQLALCHEMY: task(_sqlalchemy),
        Contestant.SQLALCHEMY_CORE: task(_core),
        Contestant.PEEWEE: task(_peewee),
    }


def _repeated(count: int, transaction: bool, lookup: _Lookup, sql: _Run, close: _Run) -> Task:
    def prepare() -> None:
        if transaction:
            sql("BEGIN")

    keys = [number % ROWS for number in range(count)]

    def run() -> object:
        return lookup(keys)

    def check(row: object) -> object:
        if transaction:
            sql("ROLLBACK")
        assert row is not None
        return tuple(row)  # type: ignore[arg-type]

    return Task(run, prepare, check, close)


def _direct(connection: Any) -> tuple[_Lookup, _Run, _Run]:
    def lookup(keys: Sequence[int]) -> Any:
        row = None
        for key in keys:
            row = connection.execute(SELECT, (key,)).fetchone()
        return row

    return lookup, connection.execute, connection.close


def _sqlalchemy(path: Path) -> tuple[_Lookup, _Run, _Run]:
    engine = open_engine(path)
    connection = engine.raw_connection()

    def lookup(keys: Sequence[int]) -> Any:
        row = None
        for key in keys:
            cursor = connection.cursor()
            cursor.execute(SELECT, (key,))
            row = cursor.fetchone()
        return row

    def close() -> None:
        connection.close()
        engine.dispose()

    return lookup, connection.driver_connection.execute, close


def _core(path: Path) -> tuple[_Lookup, _Run, _Run]:
    engine = open_engine(path)
    connection = engine.connect()
    text = importlib.import_module("sqlalchemy").text
    statement = text("SELECT owner, balance FROM account WHERE id = :key")

    def lookup(keys: Sequence[int]) -> Any:
        row = None
        for key in keys:
            row = connection.execute(statement, {"key": key}).fetchone()
        return row

    def close() -> None:
        connection.close()
        engine.dispose()

    return lookup, connection.exec_driver_sql, close


def _peewee(path: Path) -> tuple[_Lookup, _Run, _Run]:
    database = open_peewee_pool(path)
    database.connect()

    def lookup(keys: Sequence[int]) -> Any:
        row = None
        for key in keys:
            row = database.execute_sql(SELECT, (key,)).fetchone()
        return row

    return lookup, database.execute_sql, database.close_all
