"""A state machine that takes, uses, spoils, returns and leaks leases, with a model beside it.

The model knows what was committed and how many connections may be open; the pool's figures
and what each fresh lease sees must agree with it after every step.
"""

import gc
import shutil
import sqlite3 as stdlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dbmanager import DatabaseManager, PoolTimeout, sqlite3

MOST = 4

# How long a session's connection lives, in seconds: longer than most steps take.
LIFE = 0.01

SPOIL = {
    "function": lambda c: c.create_function("total", 1, lambda x: -1),
    "temporary table": lambda c: c.execute("CREATE TEMP TABLE other AS SELECT -1 AS x"),
    "attached": lambda c: c.execute("ATTACH ':memory:' AS other"),
    "query only": lambda c: c.execute("PRAGMA query_only = 1"),
    "foreign keys": lambda c: c.execute("PRAGMA foreign_keys = 0"),
    "cache size": lambda c: c.execute("PRAGMA cache_size = 3"),
    "limit": lambda c: c.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 1),
    "open cursor": lambda c: c.execute("SELECT 1 UNION SELECT 2"),
    "authorizer": lambda c: c.set_authorizer(lambda *_: sqlite3.SQLITE_OK),
}


class Leases(RuleBasedStateMachine):
    """Sessions and connections of one pool."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="leases-"))
        self.path = self.folder / "a.db"
        self.sessions: list[Any] = []
        self.connections: list[Any] = []
        self.kept: list[Any] = []
        self.committed = 0
        self.size = MOST
        self.writer: Any = None
        self.written = 0

    @initialize()
    def open_manager(self) -> None:
        # What Hypothesis remembers of a thousand examples need not be looked through at each leak.
        gc.freeze()
        with closing(stdlib.connect(self.path)) as connection:
            connection.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (x)")
        self.manager = self.new_manager()

    def new_manager(self) -> DatabaseManager:
        self.size = MOST
        return DatabaseManager(
            f"sqlite:///{self.path}",
            pool_size=MOST,
            max_overflow=0,
            pool_timeout=0,
            pool_recycle=LIFE,
            pool_recycle_jitter=0,
            pragmas={"busy_timeout": 0},
        )

    # ---- taking and giving back

    @rule()
    def enter_a_session(self) -> None:
        session = self.manager.session()
        if len(self.sessions) >= self.size:
            try:
                session.__enter__()
            except PoolTimeout:
                return
            raise AssertionError("there was no place for another session")
        self.sessions.append(session.__enter__())
        self.look(session, 1)

    @rule()
    def connect(self) -> None:
        connection = sqlite3.connect(self.path, timeout=0)
        self.connections.append(connection)
        self.look(connection, 0)

    def look(self, fresh: Any, foreign_keys: int) -> None:
        """Nothing of an earlier user is there, and all that was committed is."""
        assert fresh.execute("SELECT count(*), total(1) FROM t").fetchone() == (
            self.committed,
            float(self.committed),
        )
        assert fresh.execute("SELECT count(*) FROM sqlite_temp_schema").fetchone() == (0,)
        assert fresh.execute("PRAGMA foreign_keys").fetchone() == (foreign_keys,)
        assert fresh.execute("PRAGMA cache_size").fetchone() == (-2000,)
        names = {name for _, name, _ in fresh.execute("PRAGMA database_list")}
        assert names <= {"main", "temp"}
        assert fresh.execute("SELECT changes(), last_insert_rowid()").fetchone() == (0, 0)
        assert fresh.total_changes == 0
        assert not fresh.in_transaction

    def pick(self, number: int) -> Any:
        users = self.sessions + self.connections
        return users[number % len(users)]

    @precondition(lambda self: self.sessions)
    @rule(number=st.integers(0, 99), fails=st.booleans())
    def leave_a_session(self, number: int, fails: bool) -> None:
        session = self.sessions.pop(number % len(self.sessions))
        error = RuntimeError() if fails else None
        session.__exit__(type(error) if error else None, error, None)
        self.end_writing(session, committed=not fails)

    @precondition(lambda self: self.connections)
    @rule(number=st.integers(0, 99))
    def close_a_connection(self, number: int) -> None:
        connection = self.connections.pop(number % len(self.connections))
        connection.close()
        self.end_writing(connection, committed=False)

    @precondition(lambda self: self.sessions or self.connections)
    @rule(number=st.integers(0, 99))
    def leak(self, number: int) -> None:
        user = self.pick(number)
        (self.sessions if user in self.sessions else self.connections).remove(user)
        self.end_writing(user, committed=False)
        self.kept.clear()
        del user
        gc.collect()

    # ---- using

    @precondition(lambda self: self.sessions or self.connections)
    @rule(number=st.integers(0, 99), rows=st.integers(1, 3))
    def write(self, number: int, rows: int) -> None:
        user = self.pick(number)
        if self.writer not in (None, user):
            return  # would wait, or be refused
        with suppress(sqlite3.OperationalError):  # spoiled: query_only
            user.executemany("INSERT INTO t VALUES (?)", [(1,)] * rows)
            if user.in_transaction:
                self.writer = user
                self.written += rows

    @precondition(lambda self: self.writer is not None)
    @rule(commits=st.booleans())
    def end_the_transaction(self, commits: bool) -> None:
        writer = self.writer
        writer.commit() if commits else writer.rollback()
        self.end_writing(writer, committed=commits)

    def end_writing(self, user: Any, *, committed: bool) -> None:
        if user is self.writer:
            self.committed += self.written if committed else 0
            self.writer, self.written = None, 0

    @precondition(lambda self: self.sessions or self.connections)
    @rule(number=st.integers(0, 99), how=st.sampled_from(sorted(SPOIL)))
    def spoil(self, number: int, how: str) -> None:
        user = self.pick(number)
        if user is not self.writer:
            with suppress(sqlite3.Error):
                self.kept.append(SPOIL[how](user))

    # ---- the pool itself

    @rule(size=st.integers(1, MOST))
    def resize(self, size: int) -> None:
        self.manager.resize(pool_size=size)
        self.size = size

    @rule()
    def close_idle(self) -> None:
        self.manager.close_idle()
        assert self.manager.get_stats()["pool_idle"] == 0

    @rule()
    def drain(self) -> None:
        self.manager.drain()

    @precondition(lambda self: len(self.sessions) < self.size)
    @rule()
    def expire(self) -> None:
        opened = self.manager.get_stats()["opened_total"]
        time.sleep(LIFE)
        self.enter_a_session()
        assert self.manager.get_stats()["opened_total"] == opened + 1

    @precondition(lambda self: not self.sessions and not self.connections)
    @rule()
    def close_the_manager(self) -> None:
        self.manager.close()
        with pytest.raises(sqlite3.ProgrammingError, match="is closed"):
            self.manager.session().__enter__()
        self.manager = self.new_manager()

    @precondition(lambda self: not self.sessions and not self.connections)
    @rule()
    def replace_the_file(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy = self.folder / "copy.db"
        shutil.copy(self.path, copy)
        copy.replace(self.path)
        # The figures are those of the new file from its first use on.
        with self.manager.session():
            pass

    @invariant()
    def figures_agree(self) -> None:
        if not hasattr(self, "manager"):
            return
        figures = self.manager.get_stats()
        # Spoiled and leaked ones are closed; of each door at most `size` are kept.
        assert figures["pool_idle"] <= 2 * MOST
        assert figures["pool_in_use"] == len(self.sessions) + len(self.connections)
        assert figures["requests_waiting"] == figures["writers_waiting"] == 0

    def teardown(self) -> None:
        for session in self.sessions:
            session.__exit__(None, None, None)
        for connection in self.connections:
            connection.close()
        self.writer = None
        self.kept.clear()
        DatabaseManager.reset()
        shutil.rmtree(self.folder)


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    """Collect what the machine leaks, not all that other tests have left, again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# Python 3.13 warns of the connections that are leaked on purpose.
TestLeases = pytest.mark.machine(
    pytest.mark.filterwarnings("ignore::ResourceWarning")(Leases.TestCase)
)
