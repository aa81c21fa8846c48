"""What a set of databases holds, to compare two of them.

Read by the stdlib after every door is closed: the judge is none of the parties.
"""

import hashlib
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from service_app.doors import Database


@dataclass(frozen=True)
class TableContent:
    """The number of rows of a table, and a hash over all of them in order."""

    rows: int
    sha256: str


Content = Mapping[str, TableContent]


class DamagedDatabaseError(Exception):
    """SQLite's own integrity check found something."""


def read(folder: Path) -> dict[str, TableContent]:
    """Read all tables of the three databases, as ``file:table``."""
    content: dict[str, TableContent] = {}
    for database in Database:
        with closing(sqlite3.connect(folder / database)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise DamagedDatabaseError(f"{folder / database}: {verdict}")
            tables = connection.execute(
                # The planner's statistics, which managed databases keep, are nobody's data.
                "SELECT name FROM sqlite_schema "
                "WHERE type = 'table' AND name NOT LIKE 'sqlite_stat%' ORDER BY name"
            ).fetchall()
            for (table,) in tables:
                content[f"{database}:{table}"] = _table(connection, table)
    return content


def _table(connection: sqlite3.Connection, table: str) -> TableContent:
    columns = len(connection.execute(f"SELECT * FROM {table} LIMIT 0").description)
    order = ", ".join(str(number) for number in range(1, columns + 1))
    digest, count = hashlib.sha256(), 0
    for row in connection.execute(f"SELECT * FROM {table} ORDER BY {order}"):
        digest.update(repr(row).encode())
        count += 1
    return TableContent(count, digest.hexdigest())


def differences(expected: Content, actual: Content) -> list[str]:
    """Name the tables in which two contents differ, and how."""
    found = []
    for name in sorted(expected.keys() | actual.keys()):
        left, right = expected.get(name), actual.get(name)
        if left is None or right is None:
            found.append(f"{name}: only in one of them")
        elif left.rows != right.rows:
            found.append(f"{name}: {left.rows} rows here, {right.rows} there")
        elif left != right:
            found.append(f"{name}: {left.rows} rows in both, but not the same ones")
    return found
