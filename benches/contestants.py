"""The contestants: who is measured, in which version, and how each opens a database.

Peers are imported only when they take part, since none of them is a dependency. All
of them work on a file database in WAL mode with ``synchronous=NORMAL``, set once at
open, so that no contestant pays or saves a flush that another does not.
"""

import enum
import importlib
import importlib.metadata
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

SETTINGS = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL")


class Contestant(enum.Enum):
    """A column of the table; the value is its heading."""

    STDLIB = "stdlib"
    DBMANAGER = "dbmanager"
    APSW = "apsw"
    SQLALCHEMY = "SQLAlchemy"
    SQLALCHEMY_CORE = "SA Core"
    PEEWEE = "peewee"

    @property
    def package(self) -> str:
        """The name to import, which is also the name to install."""
        if self is Contestant.STDLIB:
            return "sqlite3"
        if self is Contestant.SQLALCHEMY_CORE:
            return "sqlalchemy"
        return str(self.value).lower()

    def load(self) -> ModuleType | None:
        """Import the contestant's package; None when it is not installed."""
        try:
            return importlib.import_module(self.package)
        except ModuleNotFoundError as error:
            if error.name != self.package:
                raise
            return None


@dataclass(frozen=True)
class Presence:
    """What a contestant runs: its own version and that of its SQLite."""

    version: str
    sqlite_version: str


def present(contestant: Contestant) -> Presence | None:
    """Describe an installed contestant; None for one that is missing."""
    package = contestant.load()
    if package is None:
        return None
    if contestant is Contestant.STDLIB:
        return Presence("of this Python", sqlite3.sqlite_version)
    return Presence(_version(package), _sqlite_version(contestant, package))


def _version(package: ModuleType) -> str:
    try:
        return importlib.metadata.version(package.__name__)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(package, "__version__", "unknown"))


def _sqlite_version(contestant: Contestant, package: ModuleType) -> str:
    if contestant is Contestant.DBMANAGER:
        return str(importlib.import_module("dbmanager.sqlite3").sqlite_version)
    if contestant is Contestant.APSW:
        return str(package.sqlite_lib_version())
    return sqlite3.sqlite_version


def open_stdlib(path: Path) -> Any:
    """Open with the stdlib."""
    return _set(sqlite3.connect(path))


def open_dbmanager(path: Path) -> Any:
    """Open with the drop-in connect of ``dbmanager``."""
    return _set(importlib.import_module("dbmanager").connect(path))


def open_apsw(path: Path) -> Any:
    """Open with apsw, which starts no transaction by itself, with the stdlib's patience."""
    connection = importlib.import_module("apsw").Connection(str(path))
    connection.set_busy_timeout(5000)
    return _set(connection)


def _set(connection: Any) -> Any:
    for statement in SETTINGS:
        connection.execute(statement).fetchall()
    return connection


def open_engine(path: Path) -> Any:
    """Create a SQLAlchemy engine with its default pool (QueuePool for files)."""
    sqlalchemy = importlib.import_module("sqlalchemy")
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")

    @sqlalchemy.event.listens_for(engine, "connect")  # type: ignore[untyped-decorator]
    def configure(connection: Any, _record: object) -> None:
        _set(connection)

    return engine


def open_peewee_pool(path: Path) -> Any:
    """Create a PooledSqliteDatabase; peewee runs the pragmas at each real open.

    A pooled connection goes from thread to thread, which SQLAlchemy allows by itself.
    """
    pool = importlib.import_module("playhouse.pool")
    return pool.PooledSqliteDatabase(
        str(path),
        pragmas={"journal_mode": "wal", "synchronous": "normal"},
        max_connections=10,
        check_same_thread=False,
    )
