"""What these tests share: they begin and end without a shim."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import dbmanager
from dbmanager._shim import switch

# Not as a global, which would be rebound.
ORIGINALS = [sqlite3.connect]


@pytest.fixture(autouse=True)
def no_shim() -> Iterator[None]:
    """Begin and end without one."""
    switch._inventory.forget()
    yield
    dbmanager.uninstall()
    switch._inventory.forget()
    assert sqlite3.connect is ORIGINALS[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"
