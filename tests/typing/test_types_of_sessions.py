"""The types of `DatabaseManager` and `Session`; see `test_types_of_dropin`."""

from pathlib import Path
from typing import assert_type

import pytest

from dbmanager import DatabaseManager, Session, sqlite3


def test_types_of_manager(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    assert_type(db, DatabaseManager)
    assert_type(db.url, str)
    assert_type(db.get_stats(), dict[str, int | float])
    with pytest.raises(AttributeError):
        db.url = "sqlite:///b.db"  # type: ignore[misc]
    DatabaseManager.reset()


def test_session_is_a_connection(tmp_path: Path) -> None:
    def count(connection: sqlite3.Connection) -> int:
        row: tuple[int] = connection.execute("SELECT 1").fetchone()
        return row[0]

    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    with db.session() as session:
        assert_type(session, Session)
        assert count(session) == 1
    DatabaseManager.reset()
