"""W3 and W4: rows into a table in one transaction, by executemany and one by one.

The table is emptied and the WAL truncated before each round, outside the clock; the
COMMIT, with the checkpoint that SQLite makes of its own accord, is inside.
"""

import importlib
from collections.abc import Callable
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
from benches.dataset import MixedRow, build_mixed, mixed_rows

INSERT = "INSERT INTO mixed (number, ratio, name, token, city) VALUES (?, ?, ?, ?, ?)"
COLUMNS = ("number", "ratio", "name", "token", "city")

Rows = list[MixedRow]
Insertion = Callable[[Path, Rows], Task]


def bulk_variants(scale: Scale) -> list[Variant]:
    """Give W3."""
    rows = mixed_rows(scale.bulk_rows)
    return [
        Variant(
            "W3",
            "executemany",
            f"executemany of {len(rows)} rows, 5 columns (integer, float, text, blob, text or "
            "NULL), and commit. SQLAlchemy: on its raw connection; SA Core: execute(insert, "
            "list of dicts), the dicts made beforehand; peewee: its cursor's executemany.",
            3.0,
            build_mixed,
            _bound(
                rows,
                {
                    Contestant.STDLIB: lambda p, r: _dbapi_bulk(open_stdlib(p), r),
                    Contestant.DBMANAGER: lambda p, r: _dbapi_bulk(open_dbmanager(p), r),
                    Contestant.APSW: lambda p, r: _apsw_bulk(open_apsw(p), r),
                    Contestant.SQLALCHEMY: _sqlalchemy_bulk,
                    Contestant.SQLALCHEMY_CORE: _core_bulk,
                    Contestant.PEEWEE: _peewee_bulk,
                },
            ),
        )
    ]


def loop_variants(scale: Scale) -> list[Variant]:
    """Give W4."""
    rows = mixed_rows(scale.loop_rows)
    return [
        Variant(
            "W4",
            "execute loop",
            f"{len(rows)} times execute(insert, row), then commit. SA Core: one execute(insert, "
            "dict) a row; peewee: execute_sql() inside atomic().",
            3.5,
            build_mixed,
            _bound(
                rows,
                {
                    Contestant.STDLIB: lambda p, r: _dbapi_loop(open_stdlib(p), r),
                    Contestant.DBMANAGER: lambda p, r: _dbapi_loop(open_dbmanager(p), r),
                    Contestant.APSW: lambda p, r: _apsw_loop(open_apsw(p), r),
                    Contestant.SQLALCHEMY: _sqlalchemy_loop,
                    Contestant.SQLALCHEMY_CORE: _core_loop,
                    Contestant.PEEWEE: _peewee_loop,
                },
            ),
        )
    ]


def _bound(
    rows: Rows, insertions: dict[Contestant, Insertion]
) -> dict[Contestant, Callable[[Path], Task]]:
    def bind(insertion: Insertion) -> Callable[[Path], Task]:
        return lambda path: insertion(path, rows)

    return {contestant: bind(insertion) for contestant, insertion in insertions.items()}


def _task(connection: Any, run: Callable[[], object], close: Callable[[], object]) -> Task:
    """Wrap a run; ``connection`` is a plain one, to empty and to count with."""

    def prepare() -> None:
        connection.execute("DELETE FROM mixed")
        if getattr(connection, "in_transaction", False):
            if hasattr(connection, "commit"):
                connection.commit()
            else:
                connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(_: object) -> object:
        return connection.execute("SELECT count(*), sum(number) FROM mixed").fetchone()

    return Task(run, prepare, check, close)


def _dbapi_bulk(connection: Any, rows: Rows) -> Task:
    def run() -> None:
        connection.executemany(INSERT, rows)
        connection.commit()

    return _task(connection, run, connection.close)


def _dbapi_loop(connection: Any, rows: Rows) -> Task:
    def run() -> None:
        for row in rows:
            connection.execute(INSERT, row)
        connection.commit()

    return _task(connection, run, connection.close)


def _apsw_bulk(connection: Any, rows: Rows) -> Task:
    def run() -> None:
        connection.execute("BEGIN")
        connection.executemany(INSERT, rows)
        connection.execute("COMMIT")

    return _task(connection, run, connection.close)


def _apsw_loop(connection: Any, rows: Rows) -> Task:
    def run() -> None:
        connection.execute("BEGIN")
        for row in rows:
            connection.execute(INSERT, row)
        connection.execute("COMMIT")

    return _task(connection, run, connection.close)


def _sqlalchemy_bulk(path: Path, rows: Rows) -> Task:
    engine = open_engine(path)
    connection = engine.raw_connection()

    def run() -> None:
        connection.cursor().executemany(INSERT, rows)
        connection.commit()

    return _task(connection.driver_connection, run, engine.dispose)


def _sqlalchemy_loop(path: Path, rows: Rows) -> Task:
    engine = open_engine(path)
    connection = engine.raw_connection()

    def run() -> None:
        cursor = connection.cursor()
        for row in rows:
            cursor.execute(INSERT, row)
        connection.commit()

    return _task(connection.driver_connection, run, engine.dispose)


def _core_insert() -> Any:
    sqlalchemy = importlib.import_module("sqlalchemy")
    columns = [sqlalchemy.column(name) for name in COLUMNS]
    return sqlalchemy.insert(sqlalchemy.table("mixed", *columns))


def _core_bulk(path: Path, rows: Rows) -> Task:
    engine, insert = open_engine(path), _core_insert()
    connection = engine.connect()
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def run() -> None:
        with connection.begin():
            connection.execute(insert, records)

    return _task(connection.connection.driver_connection, run, engine.dispose)


def _core_loop(path: Path, rows: Rows) -> Task:
    engine, insert = open_engine(path), _core_insert()
    connection = engine.connect()
    records = [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    def run() -> None:
        with connection.begin():
            for record in records:
                connection.execute(insert, record)

    return _task(connection.connection.driver_connection, run, engine.dispose)


def _peewee_bulk(path: Path, rows: Rows) -> Task:
    database = open_peewee_pool(path)
    database.connect()

    def run() -> None:
        with database.atomic():
            database.cursor().executemany(INSERT, rows)

    return _task(database.connection(), run, database.close_all)


def _peewee_loop(path: Path, rows: Rows) -> Task:
    database = open_peewee_pool(path)
    database.connect()

    def run() -> None:
        with database.atomic():
            for row in rows:
                database.execute_sql(INSERT, row)

    return _task(database.connection(), run, database.close_all)
