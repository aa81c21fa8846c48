"""The doors: three ways for a service to get a connection, under one interface.

A door gives a connection for a ``with`` block: committed when the block ends well,
rolled back when it raises, given back in both cases. The services know only this.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import dbmanager

# A writer waits for the others' transactions; none of them is long.
BUSY_TIMEOUT_S = 60.0


class Database(StrEnum):
    """The databases of the application; the value is the file's name."""

    APP = "app.db"
    PORTFOLIO = "portfolio.db"
    AI_MEMORY = "ai_memory.db"


Value: TypeAlias = int | float | str | bytes | None
Parameters: TypeAlias = Sequence[Value] | Mapping[str, Value]


class Cursor(Protocol):
    """What a service uses of a cursor."""

    @property
    def rowcount(self) -> int:
        """The number of rows that the statement changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - a row is as wide as its statement says
        """Give the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Give the rows that are left."""
        ...


class Connection(Protocol):
    """What a service uses of a connection; all three doors' connections have it."""

    def execute(self, sql: str, parameters: Parameters = ..., /) -> Cursor:
        """Run one statement and give its cursor."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Run one statement for each row of parameters."""
        ...


class Door(Protocol):
    """A way to a connection of one of the application's databases."""

    @property
    def name(self) -> str:
        """How the door is called in a report."""
        ...

    def open(self, database: Database) -> AbstractContextManager[Connection]:
        """Give a connection for a block: commit, or roll back, and give back."""
        ...


class StdlibDoor:
    """``sqlite3.connect()`` and ``close()`` in each call, as the application was written."""

    name = "sqlite3.connect()"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, database: Database) -> Iterator[Connection]:
        """Open the file anew."""
        path = self._folder / database
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                yield connection


class DropInDoor:
    """The same code with one import changed."""

    name = "dbmanager.connect()"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def open(self, database: Database) -> Iterator[Connection]:
        """Open the file through the drop-in."""
        path = self._folder / database
        with closing(dbmanager.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA synchronous = NORMAL")
            with connection:
                yield connection


class SessionDoor:
    """A pooled session of the one ``DatabaseManager`` of each database."""

    name = "DatabaseManager.session()"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def manager(self, database: Database) -> dbmanager.DatabaseManager:
        """Give the manager of a database: the same object on each call."""
        return dbmanager.DatabaseManager(f"sqlite:///{self._folder / database}")

    @contextmanager
    def open(self, database: Database) -> Iterator[Connection]:
        """Lend a connection of the pool."""
        with self.manager(database).session() as session:
            yield session
