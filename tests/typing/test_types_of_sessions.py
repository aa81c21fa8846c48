"""The types of `DatabaseManager`, `Session` and `Result`; see `test_types_of_dropin`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, assert_type

import pytest

import dbmanager
from dbmanager import (
    DatabaseManager,
    MultipleResultsFound,
    NoResultFound,
    PoolTimeout,
    Result,
    Session,
    dict_row,
    sqlite3,
)


class MyCursor(sqlite3.Cursor):
    """A subclass of an application."""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[DatabaseManager]:
    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    with db.session() as session:
        session.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
    yield db
    DatabaseManager.reset()


def test_types_of_manager(db: DatabaseManager) -> None:
    assert_type(db, DatabaseManager)
    assert_type(db.url, str)
    assert_type(db.settings, dict[str, Any])
    assert_type(db.get_stats(), dict[str, int])
    assert_type(db.close_idle(), int)
    assert_type(db.current_session(), Session | None)
    db.resize(pool_size=3, max_overflow=-1)
    db.drain()
    with pytest.raises(AttributeError):
        db.url = "sqlite:///b.db"  # type: ignore[misc]
    with pytest.raises(TypeError):
        db.resize(3)  # type: ignore[call-arg]


def test_every_setting_has_a_type(tmp_path: Path) -> None:
    db = DatabaseManager(
        f"sqlite:///{tmp_path}/settings.db",
        pool_size=3,
        max_overflow=None,
        pool_timeout=1,
        pool_recycle=3600,
        pool_recycle_jitter=0.2,
        pool_pre_ping=False,
        pool_pre_ping_after_ms=50,
        pool_idle_timeout=None,
        cached_statements=64,
        leak_detection_threshold=2.5,
        optimize_on_close=False,
        checkpoint_after=None,
        defensive=True,
        pragmas={"synchronous": "FULL", "cache_size": -64000, "foreign_keys": False},
    )
    assert_type(db, DatabaseManager)
    DatabaseManager.reset()


def test_settings_are_checked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wrong.db"
    with pytest.raises(TypeError, match="pool_sise"):
        DatabaseManager(url, pool_sise=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        DatabaseManager(url, 3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="pool_timeout"):
        DatabaseManager(url, pool_timeout=None)  # type: ignore[arg-type]


def test_databases_can_be_named(tmp_path: Path) -> None:
    plain: dict[str, str] = {"app": f"sqlite:///{tmp_path}/app.db"}
    DatabaseManager.configure(plain)
    DatabaseManager.configure({"jobs": {"url": f"sqlite:///{tmp_path}/jobs.db", "pool_size": 2}})
    assert_type(DatabaseManager.named("jobs"), DatabaseManager)
    with pytest.raises(TypeError):
        DatabaseManager.configure({"app": 3})  # type: ignore[dict-item]
    DatabaseManager.reset()


def test_session_is_a_connection(db: DatabaseManager) -> None:
    def count(connection: sqlite3.Connection) -> int:
        row: tuple[int] = connection.execute("SELECT 1").fetchone()
        return row[0]

    with db.session() as session:
        assert_type(session, Session)
        assert count(session) == 1


def test_types_of_session(db: DatabaseManager) -> None:
    with db.session("write") as session:
        assert_type(session.mode, Literal["auto", "read", "write"])
        assert_type(session.execute("SELECT ?", (1,)), Result)
        assert_type(session.executemany("INSERT INTO t VALUES (?)", [(2,)]), Result)
        assert_type(session.executescript("SELECT 1"), Result)
        assert_type(session.cursor(), Result)
        assert_type(session.cursor(MyCursor), MyCursor)
        assert_type(session.scalar("SELECT :x", {"x": 1}), Any)
        session.begin()
        with session.begin_nested() as savepoint:
            savepoint.rollback()
    with pytest.raises(ValueError, match="mode"):
        db.session("serial")  # type: ignore[call-overload]


def test_types_of_joined_sessions(db: DatabaseManager) -> None:
    def either(join: bool) -> None:
        assert_type(db.session(join=join), Session | AbstractContextManager[Session, None])

    assert_type(db.session("read", join=False), Session)
    joined = assert_type(db.session("read", join=True), AbstractContextManager[Session, None])
    with joined as session:
        assert_type(session, Session)
    either(join=True)


def test_session_can_be_handed_over_as_a_factory(db: DatabaseManager) -> None:
    factory: Callable[[], Session] = db.Session
    with factory() as session:
        assert_type(session, Session)
    with db.Session("read") as session:
        assert_type(session, Session)


def test_types_of_run(db: DatabaseManager) -> None:
    def add(session: Session) -> int:
        return session.execute("INSERT INTO t VALUES (3)").rowcount

    assert_type(db.run(add), int)
    assert_type(db.run(add, retries=5, mode="auto"), int)
    with pytest.raises(TypeError):
        db.run(add, 5)  # type: ignore[call-arg]


def test_types_of_result(db: DatabaseManager) -> None:
    with db.session() as session:
        result = session.execute("SELECT x FROM t")
        assert_type(result.keys(), list[str])
        assert_type(result.all(), list[Any])
        assert_type(session.execute("SELECT x FROM t").first(), Any)
        assert_type(session.execute("SELECT x FROM t").one(), Any)
        assert_type(session.execute("SELECT x FROM t").one_or_none(), Any)
        assert_type(session.execute("SELECT x FROM t").scalar(), Any)
        assert_type(session.execute("SELECT x FROM t").scalar_one(), Any)
        assert_type(session.execute("SELECT x FROM t").scalar_one_or_none(), Any)
        assert_type(session.execute("SELECT x FROM t").scalars().all(), list[Any])
        mappings = session.execute("SELECT x FROM t").mappings()
        assert_type(mappings.first(), dict[str, Any] | None)
        session.row_factory = dict_row
        assert session.execute("SELECT x FROM t").one() == {"x": 1}


def test_exceptions_belong_to_the_stdlibs_classes() -> None:
    timeout: type[sqlite3.OperationalError] = PoolTimeout
    none: type[sqlite3.ProgrammingError] = NoResultFound
    several: type[sqlite3.ProgrammingError] = MultipleResultsFound
    assert [timeout, none, several] == [PoolTimeout, NoResultFound, MultipleResultsFound]


def test_bound_of_the_process_is_a_number() -> None:
    dbmanager.set_max_idle_connections(256)
    with pytest.raises(TypeError):
        dbmanager.set_max_idle_connections("many")  # type: ignore[arg-type]
