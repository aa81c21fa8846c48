"""Sessions of bypassed modules end whatever happens: signals, other threads, their thread's end."""

import gc
import sqlite3 as stdlib
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import dbmanager
from dbmanager import DatabaseManager
from dbmanager._plain.session import Session as PlainSession
from tests.test_plain_sessions import PLAIN
from tests.test_session_waits import said_by

PACKAGE = str(Path(dbmanager.__file__).parent / "_plain")
WRONG_THREAD = "can only be used in that same thread"


@pytest.fixture(autouse=True)
def bypass() -> Iterator[None]:
    dbmanager.configure(bypass=["billing"])
    yield
    dbmanager.configure(bypass=[])


@pytest.fixture
def nothing_is_collected() -> Iterator[None]:
    """Cycles stay."""
    gc.disable()
    yield
    gc.enable()


def in_a_thread(act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def rows(path: Path) -> Any:
    """Give the number of rows, if nobody is writing."""
    with closing(stdlib.connect(path, timeout=0, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_other_thread_neither_ends_nor_changes_a_session(
    db: DatabaseManager, tmp_path: Path
) -> None:
    refused: list[str] = []

    def act() -> None:
        tries = [
            session.close,
            session.commit,
            session.rollback,
            session.begin,
            session.begin_nested,
            session.cursor,
            lambda: setattr(session, "isolation_level", None),
            lambda: session.__exit__(None, None, None),
            lambda: session._control("SAVEPOINT a"),
            lambda: result.execute("INSERT INTO t (x) VALUES (3)"),
            result.close,
            result.fetchone,
        ]
        for one in tries:
            with pytest.raises(stdlib.ProgrammingError, match=WRONG_THREAD):
                one()
            refused.append(str(one))

    with PLAIN(db) as session:
        session.execute("INSERT INTO t (x) VALUES (1)")
        result = session.execute("SELECT 1 UNION SELECT 2")
        in_a_thread(act)
        assert len(refused) == 12
        assert result.fetchall() == [(1,), (2,)]
        session.execute("INSERT INTO t (x) VALUES (2)")
    assert rows(tmp_path / "app.db") == 2


def test_exception_at_any_operation_ends_the_session(db: DatabaseManager, tmp_path: Path) -> None:
    """One is raised at each operation of the package's Python code, where a signal's may be."""
    left = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return trace

    def write(mode: str) -> None:
        with PLAIN(db, mode) as session:
            session.execute("INSERT INTO t (x) VALUES (1)")
            session.execute("WITH a AS (SELECT 1) INSERT INTO t (x) SELECT * FROM a")

    for mode in ("auto", "write"):
        before = rows(tmp_path / "app.db")
        at, left = 0, 0
        while left <= 0:
            at += 1
            left = at
            tracing = sys.gettrace()
            sys.settrace(trace)
            try:
                write(mode)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(tracing)
            assert db.current_session() is None
            # Nobody has the lock, or a half of it is there; and nobody the turn to write.
            assert (rows(tmp_path / "app.db") - before) % 2 == 0
            with db.session("write"):
                pass
        assert at > 100


def test_exception_in_the_parts_of_a_block_ends_the_session(
    db: DatabaseManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_session: object) -> None:
        raise KeyboardInterrupt

    for part in ("_start", "_keep"):
        with monkeypatch.context() as patch:
            patch.setattr(PlainSession, part, interrupt)
            with pytest.raises(KeyboardInterrupt):
                with PLAIN(db) as session:
                    session.execute("INSERT INTO t (x) VALUES (1)")
        assert (rows(tmp_path / "app.db"), db.current_session()) == (0, None)
        with db.session("write"):
            pass


def test_no_reference_callback_takes_a_signals_exception(db: DatabaseManager) -> None:
    with PLAIN(db) as session:
        results = [session.execute("SELECT 1") for _ in range(100)]
        known = [weakref.getweakrefs(result) for result in results]
        # A callback in Python is where such an exception would be lost.
        assert all(one.__callback__ is None for refs in known for one in refs)


@pytest.mark.parametrize("mode", ["auto", "write"])
def test_waiting_for_another_process_is_interrupted_by_a_signal(tmp_path: Path, mode: str) -> None:
    code = """
import dbmanager, os, signal, sqlite3, sys, threading, types
from contextlib import closing
from dbmanager import DatabaseManager
path, mode = sys.argv[1:]
db = DatabaseManager("sqlite:///" + path, pragmas={"busy_timeout": 3600_000})
with db.session() as session:
    session.execute("CREATE TABLE t (x)")
db.drain()
dbmanager.configure(bypass=["billing"])
billing = types.ModuleType("billing")
exec("def session(db, mode): return db.session(mode)", vars(billing))
main = threading.get_ident()
def interrupt():
    while sys._current_frames()[main].f_code.co_name not in ("_start", "_begin"):
        pass
    os.kill(os.getpid(), signal.SIGINT)
def write():
    with billing.session(db, mode) as session:
        session.execute("INSERT INTO t VALUES (1)")
with closing(sqlite3.connect(path)) as holder:
    holder.execute("BEGIN IMMEDIATE")
    threading.Thread(target=interrupt).start()
    try:
        write()
    except KeyboardInterrupt:
        print("interrupted")
write()
with billing.session(db, mode) as session:
    print(session.scalar("PRAGMA busy_timeout"), session.scalar("SELECT count(*) FROM t"))
"""
    assert said_by(code, tmp_path / "app.db", mode) == "interrupted\n3600000 1\n"


def test_waiting_in_vain_for_another_process_is_told_by_the_stdlib(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    db = DatabaseManager(f"sqlite:///{path}", pragmas={"busy_timeout": 20})
    with db.session() as own:
        own.execute("CREATE TABLE t (x)")
    with closing(stdlib.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with PLAIN(db) as session:
            with pytest.raises(stdlib.OperationalError, match=r"^database is locked$") as told:
                session.execute("INSERT INTO t VALUES (1)")
            assert told.value.sqlite_errorname == "SQLITE_BUSY"
            holder.execute("ROLLBACK")
            session.execute("INSERT INTO t VALUES (1)")
    assert rows(path) == 1
    db.close()


def half_done(db: DatabaseManager) -> Any:
    session = PLAIN(db).__enter__()
    session.execute("INSERT INTO t (x) VALUES (1)")
    return session


@pytest.mark.usefixtures("nothing_is_collected")
def test_session_ends_with_the_generator_that_has_it(db: DatabaseManager, tmp_path: Path) -> None:
    def generate() -> Iterator[None]:
        with PLAIN(db) as session:
            session.execute("INSERT INTO t (x) VALUES (1)")
            yield

    next(generate())
    assert (rows(tmp_path / "app.db"), db.current_session()) == (0, None)
    with db.session("write"):
        pass


@pytest.mark.usefixtures("nothing_is_collected")
@pytest.mark.parametrize("keep", [True, False], ids=["referenced", "in a cycle"])
def test_session_ends_with_its_thread(db: DatabaseManager, tmp_path: Path, keep: bool) -> None:
    kept: list[Any] = []

    def leave() -> None:
        cycle = kept if keep else []
        cycle += [half_done(db), cycle]

    in_a_thread(leave)
    assert rows(tmp_path / "app.db") == 0
    with db.session("write"):
        pass
    if keep:
        with pytest.raises(stdlib.ProgrammingError, match="this session is not open"):
            kept[0].execute("SELECT 1")


# Python 3.13 warns of connections that were never closed, rightly.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_session_that_nobody_has_ends_when_it_is_collected(
    db: DatabaseManager, tmp_path: Path, elsewhere: bool
) -> None:
    # The stdlib's connections are in a cycle with their statement cache, each of them.
    session = half_done(db)
    result = session.execute("SELECT 1 UNION SELECT 2")
    assert result.fetchone() == (1,)
    del session, result
    if elsewhere:
        in_a_thread(gc.collect)
    gc.collect()
    assert (rows(tmp_path / "app.db"), db.current_session()) == (0, None)
    with db.session("write"):
        pass


def test_child_of_a_fork_neither_uses_nor_ends_its_parents_session(tmp_path: Path) -> None:
    code = """
import dbmanager, os, sys, types, warnings
from dbmanager import DatabaseManager
# Of a fork beside threads: those of ours are known to it.
warnings.simplefilter("ignore", DeprecationWarning)
db = DatabaseManager("sqlite:///" + sys.argv[1])
dbmanager.configure(bypass=["billing"])
billing = types.ModuleType("billing")
exec("def session(db): return db.session()", vars(billing))
with billing.session(db) as session:
    session.execute("CREATE TABLE t (x)")
    child = os.fork()
    if not child:
        try:
            session.execute("INSERT INTO t VALUES (2)")
        except dbmanager.sqlite3.ProgrammingError as error:
            print(error, db.current_session(), session.close(), flush=True)
    else:
        os.waitpid(child, 0)
        session.execute("INSERT INTO t VALUES (1)")
if child:
    with billing.session(db) as session:
        print(session.execute("SELECT x FROM t").all())
"""
    said = said_by(code, tmp_path / "app.db")
    assert said.startswith("this connection was opened by process ")
    assert said.endswith("sessions and cursors do not survive a fork None None\n[(1,)]\n")


def test_sessions_of_a_closed_manager_are_refused(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db")
    db.close()
    for session in (PLAIN(db, "read"), PLAIN(db)):
        with pytest.raises(stdlib.ProgrammingError, match="is closed; ask DatabaseManager for"):
            session.__enter__()
