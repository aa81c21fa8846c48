"""`DatabaseManager.run`: when it repeats a function, and what it takes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from dbmanager import DatabaseManager, Session, sqlite3

ROWS = 9


def test_run_repeats_a_function_while_the_database_is_busy(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db", pragmas={"busy_timeout": 0})
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    other = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tries = []

    def work(session: Any) -> int:
        tries.append(1)
        if len(tries) == 2:
            other.execute("COMMIT")
        session.execute("INSERT INTO t VALUES (1)")
        return int(session.scalar("SELECT count(*) FROM t"))

    assert db.run(work, mode="auto") == 1
    assert len(tries) in (2, 3)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        db.run(work, retries=1)
    other.close()
    DatabaseManager.reset()


@pytest.mark.parametrize("retries", [-1, 10**30])
def test_run_says_which_retries_there_are(db: DatabaseManager, retries: int) -> None:
    with pytest.raises(ValueError, match=f"retries must be a number from 0 to .*, not {retries}"):
        db.run(lambda session: None, retries=retries)


def test_run_does_not_repeat_other_errors(db: DatabaseManager) -> None:
    tries = []

    def work(session: Any) -> None:
        tries.append(1)
        session.execute("nonsense")

    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        db.run(work)
    assert len(tries) == 1


def test_run_pauses_a_second_at_most(db: DatabaseManager, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)

    def busy(_: Session) -> None:
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        db.run(busy, retries=2000, mode="read")
    assert len(pauses) == 2000
    assert pauses[0] <= 0.005
    assert 0.5 <= max(pauses) <= 1


def test_run_joins_the_session_of_its_caller(db: DatabaseManager) -> None:
    def change(session: Session) -> Session:
        session.execute("UPDATE t SET x = x + 1 WHERE id = 1")
        return session

    with db.session("write") as outer:
        with pytest.raises(sqlite3.OperationalError, match=r"run\(…, join=True\)"):
            db.run(change)
        assert db.run(change, join=True) is outer
        outer.rollback()
    assert db.run(change, join=True) is not outer
    with db.session("read") as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == 1


def test_run_that_joins_is_not_repeated(db: DatabaseManager) -> None:
    calls = []

    def busy(session: Session) -> None:
        calls.append(session)
        path = session.scalar("SELECT file FROM pragma_database_list")
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.execute("BEGIN IMMEDIATE")

    with db.session("write"), pytest.raises(sqlite3.OperationalError, match="locked"):
        db.run(busy, join=True)
    assert len(calls) == 1


def test_run_refuses_what_is_no_plain_function(db: DatabaseManager) -> None:
    async def change(session: Session) -> None:
        session.execute("UPDATE t SET x = 1")

    def yields(session: Session) -> Iterator[None]:
        yield session.execute("UPDATE t SET x = 1")

    with pytest.raises(TypeError, match=r"<function .*change.*> gave a coroutine"):
        db.run(change)

    async def streams(session: Session) -> AsyncIterator[object]:
        yield session.execute("UPDATE t SET x = 1")

    with pytest.raises(TypeError, match=r"<function .*yields.*> gave a generator"):
        db.run(yields)
    with pytest.raises(TypeError, match=r"<function .*streams.*> gave a async_generator"):
        db.run(streams)
    wrong: Any = 5
    with pytest.raises(TypeError, match="function must be callable, not int"):
        db.run(wrong)
    with pytest.raises(TypeError, match="retries must be int, not str"):
        db.run(lambda _: None, retries=cast("Any", "3"))
    with pytest.raises(TypeError, match="mode must be str, not None"):
        db.run(lambda _: None, mode=cast("Any", None))
    assert db.get_stats()["pool_in_use"] == 0
