"""W5: read a large result: all at once, row by row, as Row objects, as dicts.

Most of the time goes into making Python objects, so the rows have what applications
have: integers, floats, short and long ASCII text, non-ASCII text, blobs and NULLs.
"""

import functools
import importlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benches.arena import Scale, Task, TaskFactory, Variant
from benches.contestants import (
    Contestant,
    open_apsw,
    open_dbmanager,
    open_engine,
    open_peewee_pool,
    open_stdlib,
)
from benches.dataset import build_wide

SELECT = "SELECT id, amount, reference, place, remark, token FROM wide"


def variants(scale: Scale) -> list[Variant]:
    """Give W5 in its four forms."""
    build = functools.partial(build_wide, count=scale.result_rows)
    rows = f"{scale.result_rows} rows of 6 columns"
    return [
        Variant(
            "W5",
            "fetchall",
            f"fetchall() of {rows}. SQLAlchemy: a cursor of its raw connection; SA Core: "
            "Result.fetchall(); peewee: execute_sql().fetchall().",
            2.2,
            build,
            _fetchall_tasks(),
        ),
        Variant(
            "W5",
            "iterate",
            f"for row in cursor, over {rows}; contestants as above.",
            2.5,
            build,
            _iterate_tasks(),
        ),
        Variant(
            "W5",
            "Row",
            f"{rows} as row objects, one column read by name in each. stdlib and "
            "SQLAlchemy raw: fetchall() with row_factory = sqlite3.Row; dbmanager: the same with "
            "dbmanager.sqlite3.Row; SA Core: its Row; "
            "peewee: namedtuples().",
            2.0,
            build,
            _row_tasks(),
        ),
        Variant(
            "W5",
            "dict",
            f"{rows} as dicts, fetchall(). stdlib and SQLAlchemy raw: dict_factory, the recipe "
            "of the sqlite3 documentation, a Python function; dbmanager: its native dict_row; "
            "SA Core: mappings(), which are no dicts but read like them; peewee: dicts().",
            2.5,
            build,
            _dict_tasks(),
        ),
    ]


def dict_factory(cursor: Any, row: tuple[Any, ...]) -> dict[str, Any]:
    """Make a dict of a row, as the stdlib's documentation shows."""
    fields = [column[0] for column in cursor.description]
    return dict(zip(fields, row))  # noqa: B905 - the recipe as it stands there


def _summary(rows: Any) -> object:
    return len(rows), tuple(rows[0]), tuple(rows[-1])


def _summary_of_dicts(rows: Any) -> object:
    return len(rows), dict(rows[0]), dict(rows[-1])


def _fetchall_tasks() -> dict[Contestant, TaskFactory]:
    def direct(connection: Any) -> Task:
        return Task(
            lambda: connection.execute(SELECT).fetchall(), check=_summary, close=connection.close
        )

    def sqlalchemy(path: Path) -> Task:
        engine, connection = _raw(path)

        def run() -> object:
            cursor = connection.cursor()
            cursor.execute(SELECT)
            return cursor.fetchall()

        return Task(run, check=_summary, close=engine.dispose)

    def core(path: Path) -> Task:
        engine, connection, statement = _core(path)
        return Task(
            lambda: connection.execute(statement).fetchall(),
            check=_summary,
            close=engine.dispose,
        )

    def peewee(path: Path) -> Task:
        database = open_peewee_pool(path)
        return Task(
            lambda: database.execute_sql(SELECT).fetchall(),
            check=_summary,
            close=database.close_all,
        )

    return {
        Contestant.STDLIB: lambda path: direct(open_stdlib(path)),
        Contestant.DBMANAGER: lambda path: direct(open_dbmanager(path)),
        Contestant.APSW: lambda path: direct(open_apsw(path)),
        Contestant.SQLALCHEMY: sqlalchemy,
        Contestant.SQLALCHEMY_CORE: core,
        Contestant.PEEWEE: peewee,
    }


def _iterate_tasks() -> dict[Contestant, TaskFactory]:
    def iterating(source: Callable[[], Iterable[Any]], close: Callable[[], object]) -> Task:
        def run() -> object:
            count = 0
            for _row in source():
                count += 1
            return count

        return Task(run, close=close)

    def direct(connection: Any) -> Task:
        return iterating(lambda: connection.execute(SELECT), connection.close)

    def sqlalchemy(path: Path) -> Task:
        engine, connection = _raw(path)

        def source() -> Iterable[Any]:
            cursor: Iterable[Any] = connection.cursor()
            cursor.execute(SELECT)  # type: ignore[attr-defined]
            return cursor

        return iterating(source, engine.dispose)

    def core(path: Path) -> Task:
        engine, connection, statement = _core(path)
        return iterating(lambda: connection.execute(statement), engine.dispose)

    def peewee(path: Path) -> Task:
        database = open_peewee_pool(path)
        return iterating(lambda: database.execute_sql(SELECT), database.close_all)

    return {
        Contestant.STDLIB: lambda path: direct(open_stdlib(path)),
        Contestant.DBMANAGER: lambda path: direct(open_dbmanager(path)),
        Contestant.APSW: lambda path: direct(open_apsw(path)),
        Contestant.SQLALCHEMY: sqlalchemy,
        Contestant.SQLALCHEMY_CORE: core,
        Contestant.PEEWEE: peewee,
    }


def _row_tasks() -> dict[Contestant, TaskFactory]:
    def by_name(rows: Iterable[Any]) -> object:
        return sum(row["amount"] for row in rows)

    def by_attribute(rows: Iterable[Any]) -> object:
        return sum(row.amount for row in rows)

    def direct(connection: Any, row: type) -> Task:
        connection.row_factory = row
        return Task(lambda: by_name(connection.execute(SELECT).fetchall()), close=connection.close)

    def sqlalchemy(path: Path) -> Task:
        engine, connection = _raw(path)

        def run() -> object:
            cursor = connection.cursor()
            cursor.row_factory = sqlite3.Row
            cursor.execute(SELECT)
            return by_name(cursor.fetchall())

        return Task(run, close=engine.dispose)

    def core(path: Path) -> Task:
        engine, connection, statement = _core(path)
        return Task(
            lambda: by_attribute(connection.execute(statement).fetchall()),
            close=engine.dispose,
        )

    def peewee(path: Path) -> Task:
        database, wide = _model(path)
        return Task(
            lambda: by_attribute(list(wide.select().namedtuples())), close=database.close_all
        )

    return {
        Contestant.STDLIB: lambda path: direct(open_stdlib(path), sqlite3.Row),
        Contestant.DBMANAGER: lambda path: direct(
            open_dbmanager(path), importlib.import_module("dbmanager.sqlite3").Row
        ),
        Contestant.SQLALCHEMY: sqlalchemy,
        Contestant.SQLALCHEMY_CORE: core,
        Contestant.PEEWEE: peewee,
    }


def _dict_tasks() -> dict[Contestant, TaskFactory]:
    def direct(connection: Any, factory: Any) -> Task:
        connection.row_factory = factory
        return Task(
            lambda: connection.execute(SELECT).fetchall(),
            check=_summary_of_dicts,
            close=connection.close,
        )

    def sqlalchemy(path: Path) -> Task:
        engine, connection = _raw(path)

        def run() -> object:
            cursor = connection.cursor()
            cursor.row_factory = dict_factory
            cursor.execute(SELECT)
            return cursor.fetchall()

        return Task(run, check=_summary_of_dicts, close=engine.dispose)

    def core(path: Path) -> Task:
        engine, connection, statement = _core(path)
        return Task(
            lambda: connection.execute(statement).mappings().fetchall(),
            check=_summary_of_dicts,
            close=engine.dispose,
        )

    def peewee(path: Path) -> Task:
        database, wide = _model(path)
        return Task(
            lambda: list(wide.select().dicts()),
            check=_summary_of_dicts,
            close=database.close_all,
        )

    def dbmanager(path: Path) -> Task:
        return direct(open_dbmanager(path), importlib.import_module("dbmanager").dict_row)

    return {
        Contestant.STDLIB: lambda path: direct(open_stdlib(path), dict_factory),
        Contestant.DBMANAGER: dbmanager,
        Contestant.SQLALCHEMY: sqlalchemy,
        Contestant.SQLALCHEMY_CORE: core,
        Contestant.PEEWEE: peewee,
    }


def _raw(path: Path) -> tuple[Any, Any]:
    engine = open_engine(path)
    return engine, engine.raw_connection()


def _core(path: Path) -> tuple[Any, Any, Any]:
    engine = open_engine(path)
    return engine, engine.connect(), importlib.import_module("sqlalchemy").text(SELECT)


def _model(path: Path) -> tuple[Any, Any]:
    peewee = importlib.import_module("peewee")
    bound_database = open_peewee_pool(path)

    class Wide(peewee.Model):  # type: ignore[misc, name-defined]
        amount = peewee.FloatField()
        reference = peewee.TextField()
        place = peewee.TextField()
        remark = peewee.TextField()
        token = peewee.BlobField(null=True)

        class Meta:
            database = bound_database
            table_name = "wide"

    return bound_database, Wide
