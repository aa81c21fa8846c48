"""Databases to look at."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A sound database with 500 rows, an index, and statistics, in a folder of its own."""
    path = tmp_path / "data" / "shop.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        connection.execute("CREATE INDEX item_name ON item (name)")
        names = ((f"item {number} " + "x" * 50,) for number in range(500))
        connection.executemany("INSERT INTO item (name) VALUES (?)", names)
        connection.execute("ANALYZE")
        connection.commit()
    return path


@pytest.fixture
def wal_shop(shop: Path) -> Path:
    """The same in WAL mode."""
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    assert [path.name for path in shop.parent.iterdir()] == ["shop.db"]
    return shop
