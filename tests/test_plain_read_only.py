"""Read sessions of bypassed modules, on connections of the stdlib's: no route of theirs writes."""

import sqlite3 as stdlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dbmanager
from dbmanager import DatabaseManager
from tests.test_plain_sessions import PLAIN
from tests.test_session_modes import WRITES

ROWS = 20


@pytest.fixture(autouse=True)
def bypass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    dbmanager.configure(bypass=["billing"])
    yield
    dbmanager.configure(bypass=[])


@pytest.mark.parametrize("blanks", ["", ";", " \x0b", "/* x */ -- y\n"])
@pytest.mark.parametrize("sql", WRITES)
def test_read_session_of_a_bypassed_module_writes_by_no_route(
    db: DatabaseManager, tmp_path: Path, sql: str, blanks: str
) -> None:
    db.drain()
    before = (tmp_path / "app.db").read_bytes()
    with PLAIN(db, "read") as session:
        with pytest.raises(stdlib.Error):
            session.executescript(blanks + sql)
        # Nor afterwards, whatever the script has changed.
        for write in ("DELETE FROM t", "INSERT INTO t VALUES (99, 99)"):
            with pytest.raises(stdlib.OperationalError, match="mode='read'"):
                session.execute(write)
        with pytest.raises(stdlib.OperationalError, match="mode='read'"):
            session.blobopen("t", "x", 1)
    db.drain()
    assert (tmp_path / "app.db").read_bytes() == before
    assert not (tmp_path / "copy.db").exists()


ATTACHES: list[tuple[str, Any]] = [
    ("ATTACH 'other.db' AS o", ()),
    ("ATTACH DATABASE 'file:other.db?mode=rwc' AS o", ()),
    ("ATTACH 'file:other.db?mode=memory&mode=rwc' AS o", ()),
    ("ATTACH 'file:other.db#x' AS o", ()),
    ("ATTACH 'other' || '.db' AS \"o\"", ()),
    ("ATTACH ? AS o", ("other.db",)),
    ("attach database /* AS */ :file as :name", {"file": "file:other.db", "name": "o"}),
    ("; ATTACH(SELECT 'other.db' AS file)AS o;", ()),
]


@pytest.mark.parametrize(("sql", "parameters"), ATTACHES)
def test_read_session_of_a_bypassed_module_makes_no_file_and_writes_into_none(
    db: DatabaseManager, tmp_path: Path, sql: str, parameters: Any
) -> None:
    other = tmp_path / "other.db"
    with PLAIN(db, "read") as session:
        with pytest.raises(stdlib.OperationalError):
            session.execute(sql, parameters)
    assert not other.exists()
    with closing(stdlib.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE u (a)")
        connection.execute("INSERT INTO u VALUES (zeroblob(1))")
    before = other.read_bytes()
    writes: list[Callable[[Any], object]] = [
        lambda s: s.execute("INSERT INTO o.u VALUES (2)"),
        lambda s: s.execute("CREATE TABLE o.v (a)"),
        lambda s: s.execute("PRAGMA/**/o.user_version=77"),
        lambda s: s.execute("SELECT 1").connection.execute("INSERT INTO o.u VALUES (3)"),
        lambda s: s.blobopen("u", "a", 1, name="o"),
    ]
    with PLAIN(db, "read") as session:
        session.execute(sql, parameters)
        session.execute("PRAGMA query_only = OFF")
        assert session.scalar("SELECT a FROM o.u") == b"\0"
        for write in writes:
            with pytest.raises(stdlib.OperationalError, match="mode='read'"):
                write(session)
        # Not past the session either.
        with pytest.raises(stdlib.OperationalError, match="readonly"):
            stdlib.Cursor(session).execute("INSERT INTO o.u VALUES (4)")
    assert other.read_bytes() == before


def test_read_session_of_a_bypassed_module_attaches_databases_of_its_own(
    db: DatabaseManager,
) -> None:
    with PLAIN(db, "read") as session:
        for number, name in enumerate([":memory:", "", "file:x?mode=memory"]):
            session.execute(f"ATTACH '{name}' AS o{number}")
            with pytest.raises(stdlib.OperationalError, match="mode='read'"):
                session.execute(f"CREATE TABLE o{number}.u (a)")
        assert session.execute("SELECT * FROM o0.sqlite_schema").all() == []


def test_session_that_writes_attaches_a_file_that_is_not_there(
    db: DatabaseManager, tmp_path: Path
) -> None:
    with PLAIN(db) as session:
        session.execute("ATTACH 'other.db' AS o")
        session.execute("CREATE TABLE o.u (a)")
    assert (tmp_path / "other.db").exists()


def test_read_session_of_a_bypassed_module_makes_its_own_file(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/new.db")
    with PLAIN(db, "read") as session:
        assert session.scalar("SELECT count(*) FROM sqlite_schema") == 0
    db.close()
    db = DatabaseManager(f"sqlite:///{tmp_path}/missing/new.db")
    with pytest.raises(stdlib.OperationalError, match="unable to open"):
        PLAIN(db, "read").__enter__()
    db.close()
