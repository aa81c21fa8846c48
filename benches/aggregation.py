"""W6: one statement that works long inside SQLite and returns little.

Only the build of SQLite and its settings can make a difference here.
"""

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
from benches.dataset import build_groups

SELECT = "SELECT book, count(*), sum(quantity), max(price) FROM trade GROUP BY book ORDER BY book"


def variants(scale: Scale) -> list[Variant]:
    """Give W6."""
    return [
        Variant(
            "W6",
            "GROUP BY",
            f"count, sum and max of {scale.group_rows} rows in 100 groups, without an index; "
            "one statement a round.",
            1.15,
            functools.partial(build_groups, count=scale.group_rows),
            {
                Contestant.STDLIB: lambda path: _direct(open_stdlib(path)),
                Contestant.DBMANAGER: lambda path: _direct(open_dbmanager(path)),
                Contestant.APSW: lambda path: _direct(open_apsw(path)),
                Contestant.SQLALCHEMY: _sqlalchemy,
                Contestant.PEEWEE: _peewee,
            },
        )
    ]


def _direct(connection: Any) -> Task:
    return Task(lambda: connection.execute(SELECT).fetchall(), close=connection.close)


def _sqlalchemy(path: Path) -> Task:
    engine = open_engine(path)
    connection = engine.raw_connection()

    def run() -> object:
        cursor = connection.cursor()
        cursor.execute(SELECT)
        return cursor.fetchall()

    return Task(run, close=engine.dispose)


def _peewee(path: Path) -> Task:
    database = open_peewee_pool(path)
    return Task(lambda: database.execute_sql(SELECT).fetchall(), close=database.close_all)
