"""W10: a scalar function in Python, called once a row inside one statement."""

import functools
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
from benches.dataset import build_numbers

SELECT = "SELECT sum(successor(value)) FROM number"


def variants(scale: Scale) -> list[Variant]:
    """Give W10."""
    return [
        Variant(
            "W10",
            "user function",
            f"sum of a one-argument Python function over {scale.calls} rows. SQLAlchemy: "
            "create_function of its driver connection; peewee: register_function.",
            1.8,
            functools.partial(build_numbers, count=scale.calls),
            {
                Contestant.STDLIB: lambda path: _dbapi(open_stdlib(path)),
                Contestant.DBMANAGER: lambda path: _dbapi(open_dbmanager(path)),
                Contestant.APSW: _apsw,
                Contestant.SQLALCHEMY: _sqlalchemy,
                Contestant.PEEWEE: _peewee,
            },
        )
    ]


def successor(value: int) -> int:
    """Give the next integer: as little Python as a function can have."""
    return value + 1


def _dbapi(connection: Any) -> Task:
    connection.create_function("successor", 1, successor)
    return Task(lambda: connection.execute(SELECT).fetchone(), close=connection.close)


def _apsw(path: Path) -> Task:
    connection = open_apsw(path)
    connection.create_scalar_function("successor", successor, 1)
    return Task(lambda: connection.execute(SELECT).fetchone(), close=connection.close)


def _sqlalchemy(path: Path) -> Task:
    engine = open_engine(path)
    connection = engine.raw_connection()
    connection.driver_connection.create_function("successor", 1, successor)

    def run() -> object:
        cursor = connection.cursor()
        cursor.execute(SELECT)
        return cursor.fetchone()

    return Task(run, close=engine.dispose)


def _peewee(path: Path) -> Task:
    database = open_peewee_pool(path)
    database.register_function(successor, "successor", 1)
    return Task(lambda: database.execute_sql(SELECT).fetchone(), close=database.close_all)
