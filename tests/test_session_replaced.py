"""Sessions of a file that is moved, removed or replaced while they are open."""

import shutil
import sqlite3 as stdlib
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from dbmanager import (
    DatabaseManager,
    Session,
    sqlite3,
)

ROWS = 500


def test_file_replaced_right_after_a_session_is_read_without_the_old_wal(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    db = DatabaseManager(f"sqlite:///{path}")
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        session.execute("INSERT INTO t VALUES ('old')")
    with closing(sqlite3.connect(tmp_path / "new.db")) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES ('new')")
    (tmp_path / "new.db").replace(path)
    with db.session() as session:
        assert session.execute("SELECT x FROM t").scalars().all() == ["new"]
    DatabaseManager.reset()


@pytest.mark.parametrize("mode", ["auto", "write"])
@pytest.mark.parametrize("end", ["leave", "commit", "write"])
def test_nothing_is_written_to_a_file_that_is_not_at_its_path_any_more(
    db: DatabaseManager, tmp_path: Path, mode: Literal["auto", "write"], end: str
) -> None:
    db.drain()
    shutil.copy(tmp_path / "app.db", tmp_path / "copy.db")
    session = db.session(mode).__enter__()
    message = "the database file was replaced, moved or removed"
    if end != "write" or mode == "write":
        session.execute("UPDATE t SET x = 'lost' WHERE id = 1")
    else:
        session.scalar("SELECT count(*) FROM t")
    (tmp_path / "copy.db").replace(tmp_path / "app.db")
    with pytest.raises(sqlite3.OperationalError, match=message):
        if end == "write" and mode == "auto":
            session.execute("UPDATE t SET x = 'lost' WHERE id = 1")
        elif end == "commit":
            session.commit()
        else:
            session.__exit__(None, None, None)
    error = sqlite3.OperationalError()
    session.__exit__(type(error), error, None)
    with db.session("write") as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == 0


def begin_and(*statements: str) -> Callable[[Session], object]:
    """Run statements without the session's own transaction."""

    def run(session: Session) -> None:
        session.isolation_level = None
        for sql in statements:
            session.execute(sql)

    return run


UPDATE = "UPDATE t SET x = 'lost' WHERE id = 1"
WAYS_TO_COMMIT: dict[str, tuple[Callable[[Session], object], Callable[[Session], object]]] = {
    "COMMIT": (lambda s: s.execute(UPDATE), lambda s: s.execute("COMMIT")),
    "end": (lambda s: s.execute(UPDATE), lambda s: s.execute("/* x */ end transaction")),
    "script": (lambda s: s.execute(UPDATE), lambda s: s.executescript(f"{UPDATE}; commit;")),
    "savepoint": (begin_and("SAVEPOINT a", UPDATE), lambda s: s.execute("RELEASE a")),
    "deferred": (begin_and("BEGIN", UPDATE), lambda s: s.execute("COMMIT")),
    "written later": (begin_and("BEGIN"), lambda s: s.execute(UPDATE)),
    "by itself": (begin_and("SELECT 1"), lambda s: s.execute(UPDATE)),
    "many by themselves": (begin_and(), lambda s: s.executemany(f"{UPDATE} OR ?", [(0,)])),
    "vacuum": (begin_and(), lambda s: s.execute("VACUUM")),
}


@pytest.mark.parametrize("way", WAYS_TO_COMMIT)
def test_no_way_to_commit_leads_into_the_file_of_others(
    db: DatabaseManager, tmp_path: Path, way: str
) -> None:
    first, then = WAYS_TO_COMMIT[way]
    db.drain()
    shutil.copy(tmp_path / "app.db", tmp_path / "copy.db")
    with db.session() as session:
        first(session)
        (tmp_path / "copy.db").replace(tmp_path / "app.db")
        with pytest.raises(
            sqlite3.OperationalError, match="was replaced, moved or removed"
        ) as caught:
            then(session)
        assert not hasattr(caught.value, "sqlite_errorcode")
        session.rollback()
    with closing(stdlib.connect(tmp_path / "app.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT x FROM t WHERE id = 1").fetchall() == [(0,)]


@pytest.mark.parametrize("uses", ["nothing", "SELECT count(*) FROM t"])
def test_session_that_is_open_when_the_file_is_replaced_takes_nothing_from_the_new_one(
    tmp_path: Path, uses: str
) -> None:
    path = tmp_path / "app.db"
    db = DatabaseManager(f"sqlite:///{path}")
    for place in (path, tmp_path / "new.db"):
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("CREATE TABLE t (x)")
    with db.session():
        pass
    db.drain()
    opened, over = threading.Event(), threading.Event()

    def hold() -> None:
        with db.session() as session:
            if uses != "nothing":
                session.execute(uses).fetchall()
            opened.set()
            over.wait()
            with pytest.raises(
                sqlite3.OperationalError, match="was replaced, moved or removed while"
            ):
                session.execute("INSERT INTO t VALUES ('old')")

    with ThreadPoolExecutor(1) as executor:
        holder = executor.submit(hold)
        opened.wait()
        (tmp_path / "new.db").replace(path)
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        code += "c.execute('INSERT INTO t VALUES (2)'); c.commit()"
        subprocess.run([sys.executable, "-c", code, path], check=True)
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (3)")
        over.set()
        holder.result()
    with db.session() as session:
        assert session.execute("SELECT x FROM t ORDER BY x").scalars().all() == [1, 2, 3]
        assert session.scalar("PRAGMA integrity_check") == "ok"
    DatabaseManager.reset()
