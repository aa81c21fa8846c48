"""W1: get a connection, one primary-key select, give it back.

The schema has 40 tables and 30 indexes, as a grown application has, since parsing it
is most of the price of a real open. The stdlib and apsw open and close each time,
which is what the code that we migrate does; the pools lend an open connection.
"""

import importlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benches.arena import Scale, Task, Variant
from benches.contestants import Contestant, open_engine, open_peewee_pool
from benches.dataset import build_application

SELECT = "SELECT owner, balance FROM account WHERE id = ?"
ROWS = 1_000

Lookup = Callable[[int], Any]


def variants(scale: Scale) -> list[Variant]:
    """Give W1 with the drop-in connect and with a pooled session."""
    count = scale.leases
    stdlib = {Contestant.STDLIB: lambda path: _repeated(count, _stdlib(path))}
    return [
        Variant(
            "W1",
            "connect() ... close()",
            f"{count} times open, one primary-key select, close; 40 tables, 30 indexes. "
            "stdlib, dbmanager, apsw: connect and close; SQLAlchemy: raw_connection() of its "
            "pool; peewee: connect() and close() of its pool. Nobody else has the file open, "
            "so the stdlib and apsw also create and remove the WAL each time.",
            75,
            build_application,
            {
                **stdlib,
                Contestant.DBMANAGER: lambda path: _repeated(count, _dbmanager(path)),
                Contestant.APSW: lambda path: _repeated(count, _apsw(path)),
                Contestant.SQLALCHEMY: lambda path: _sqlalchemy(count, path),
                Contestant.PEEWEE: lambda path: _peewee(count, path, context=False),
            },
        ),
        Variant(
            "W1",
            "with session()",
            f"{count} times a pooled session around one primary-key select. dbmanager: "
            "DatabaseManager.session(); SA Core: engine.connect(); peewee: "
            "connection_context(); stdlib as above, since it has no pool.",
            60,
            build_application,
            {
                **stdlib,
                Contestant.DBMANAGER: lambda path: _session(count, path),
                Contestant.SQLALCHEMY_CORE: lambda path: _core(count, path),
                Contestant.PEEWEE: lambda path: _peewee(count, path, context=True),
            },
        ),
    ]


def _repeated(count: int, lookup: Lookup, close: Callable[[], object] = lambda: None) -> Task:
    def run() -> object:
        row = None
        for number in range(count):
            row = lookup(number % ROWS)
        return tuple(row or ())

    return Task(run, close=close)


def _stdlib(path: Path) -> Lookup:
    def lookup(key: int) -> Any:
        connection = sqlite3.connect(path)
        row = connection.execute(SELECT, (key,)).fetchone()
        connection.close()
        return row

    return lookup


def _dbmanager(path: Path) -> Lookup:
    connect = importlib.import_module("dbmanager").connect

    def lookup(key: int) -> Any:
        connection = connect(path)
        row = connection.execute(SELECT, (key,)).fetchone()
        connection.close()
        return row

    return lookup


def _apsw(path: Path) -> Lookup:
    open_connection, name = importlib.import_module("apsw").Connection, str(path)

    def lookup(key: int) -> Any:
        connection = open_connection(name)
        row = connection.execute(SELECT, (key,)).fetchone()
        connection.close()
        return row

    return lookup


def _session(count: int, path: Path) -> Task:
    manager = importlib.import_module("dbmanager").DatabaseManager(f"sqlite:///{path}")

    def lookup(key: int) -> Any:
        with manager.session() as session:
            return session.execute(SELECT, (key,)).fetchone()

    return _repeated(count, lookup, manager.close)


def _sqlalchemy(count: int, path: Path) -> Task:
    engine = open_engine(path)

    def lookup(key: int) -> Any:
        connection = engine.raw_connection()
        cursor = connection.cursor()
        cursor.execute(SELECT, (key,))
        row = cursor.fetchone()
        connection.close()
        return row

    return _repeated(count, lookup, engine.dispose)


def _core(count: int, path: Path) -> Task:
    engine = open_engine(path)
    text = importlib.import_module("sqlalchemy").text
    statement = text("SELECT owner, balance FROM account WHERE id = :key")

    def lookup(key: int) -> Any:
        with engine.connect() as connection:
            return connection.execute(statement, {"key": key}).fetchone()

    return _repeated(count, lookup, engine.dispose)


def _peewee(count: int, path: Path, *, context: bool) -> Task:
    database = open_peewee_pool(path)

    def by_context(key: int) -> Any:
        with database.connection_context():
            return database.execute_sql(SELECT, (key,)).fetchone()

    def by_connect(key: int) -> Any:
        database.connect()
        row = database.execute_sql(SELECT, (key,)).fetchone()
        database.close()
        return row

    return _repeated(count, by_context if context else by_connect, database.close_all)
