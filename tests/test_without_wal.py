"""A session on a file that is not in WAL mode and can not be switched, as others have it in use."""

import logging
import sqlite3 as stdlib
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import dbmanager
from dbmanager import DatabaseManager

Connect = Callable[[Path], stdlib.Connection]

DOORS = pytest.mark.parametrize("connect", [stdlib.connect, dbmanager.connect])


@pytest.fixture(params=["own", "bypassed"], autouse=True)
def whose(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sessions of ours, and those that a bypassed module is given."""
    dbmanager.configure(bypass=[__name__] if request.param == "bypassed" else [])
    yield
    dbmanager.configure(bypass=[])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one row, in the mode that SQLite makes files in."""
    path = tmp_path / "app.db"
    with closing(stdlib.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    return path


@pytest.fixture
def db(path: Path) -> Iterator[DatabaseManager]:
    yield DatabaseManager.at(path)
    DatabaseManager.reset()


class Warnings(logging.Handler):
    """Keeps what the pool warns of, and can be waited for."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.came.set()


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    handler = Warnings()
    logger = logging.getLogger("dbmanager")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def mode(db: DatabaseManager) -> object:
    with db.session() as session:
        return session.scalar("PRAGMA journal_mode")


@DOORS
def test_session_reads_beside_an_open_write_of_its_own_thread(
    path: Path, db: DatabaseManager, connect: Connect
) -> None:
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        with db.session() as session:
            assert session.execute("SELECT x FROM t").fetchall() == [(1,)]
        connection.commit()
    assert mode(db) == "wal"
    with db.session() as session:
        assert session.execute("SELECT x FROM t").fetchall() == [(1,), (2,)]


@DOORS
def test_session_reads_beside_rows_that_are_still_read(
    path: Path, db: DatabaseManager, connect: Connect
) -> None:
    with closing(connect(path)) as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(2,), (3,)])
        connection.commit()
        rows = connection.execute("SELECT x FROM t")
        assert rows.fetchone() == (1,)
        with db.session(mode="read") as session:
            assert session.scalar("SELECT count(*) FROM t") == 3
        assert rows.fetchall() == [(2,), (3,)]
    assert mode(db) == "wal"


@DOORS
def test_session_that_must_wait_for_a_writer_has_the_error_of_the_stdlib(
    path: Path, connect: Connect
) -> None:
    impatient = DatabaseManager(f"sqlite:///{path}", pragmas={"busy_timeout": 0})
    with closing(connect(path)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        with closing(stdlib.connect(path, timeout=0)) as other:
            with pytest.raises(stdlib.OperationalError) as expected:
                other.execute("INSERT INTO t VALUES (3)")
        with pytest.raises(stdlib.OperationalError) as error, impatient.session() as session:
            session.execute("INSERT INTO t VALUES (3)")
        assert str(error.value) == str(expected.value) == "database is locked"
        connection.commit()
    with impatient.session() as session:
        session.execute("INSERT INTO t VALUES (4)")
        assert session.execute("SELECT x FROM t").fetchall() == [(1,), (2,), (4,)]
    DatabaseManager.reset()


def test_session_without_wal_commits_as_safely_as_that_mode_needs(
    path: Path, db: DatabaseManager
) -> None:
    with closing(stdlib.connect(path)) as reader:
        rows = reader.execute("SELECT x FROM t UNION ALL SELECT 2")
        assert rows.fetchone() == (1,)
        with db.session() as session:
            assert session.scalar("PRAGMA journal_mode") == "delete"
            assert session.scalar("PRAGMA synchronous") == 2
        rows.close()
    with db.session() as session:
        assert session.scalar("PRAGMA journal_mode") == "wal"
        assert session.scalar("PRAGMA synchronous") == 1


def test_pool_warns_once_of_a_file_that_can_not_be_switched_and_names_it(
    path: Path, db: DatabaseManager, warnings: Warnings
) -> None:
    with closing(stdlib.connect(path)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        for _ in range(3):
            assert mode(db) == "delete"
        assert warnings.came.wait(30)
        connection.rollback()
    assert mode(db) == "wal"
    db.drain()
    (text,) = warnings.texts
    assert f"others have {path} in use, so that it can't be switched to WAL now" in text


def test_no_commit_is_lost_while_a_program_keeps_the_file_from_being_switched(
    path: Path,
) -> None:
    # SQLite's locks are not fair: one who writes again and again may keep others out for long.
    db = DatabaseManager(f"sqlite:///{path}", pragmas={"busy_timeout": 60_000})
    enough = threading.Event()
    theirs = 0

    def write_on() -> None:
        nonlocal theirs
        with closing(stdlib.connect(path, timeout=60)) as connection:
            while not enough.wait(0.002):
                with connection:
                    connection.execute("INSERT INTO t VALUES ('theirs')")
                theirs += 1

    writer = threading.Thread(target=write_on)
    writer.start()
    for number in range(50):
        with db.session(mode="write") as session:
            session.execute("INSERT INTO t VALUES (?)", [number])
    enough.set()
    writer.join()
    with db.session() as session:
        assert session.scalar("SELECT count(*) FROM t WHERE x = 'theirs'") == theirs
        assert session.scalar("SELECT count(*) FROM t") == 1 + 50 + theirs
    DatabaseManager.reset()
