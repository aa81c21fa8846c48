"""W7: 1, 2, 4 and 8 threads that read the same database at the same time.

The work of a round is fixed and divided among the threads, so what a row shows is the
price of reading at the same time. The threads live as long as the task: connections
belong to the thread that opened them, and starting a thread is nobody's merit.
"""

import functools
import importlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benches.arena import Scale, Task, Variant
from benches.contestants import (
    Contestant,
    open_apsw,
    open_dbmanager,
    open_engine,
    open_peewee_pool,
    open_stdlib,
)
from benches.dataset import build_lookup, build_wide
from benches.lookup import ROWS, SELECT

THREADS = (1, 2, 4, 8)
# On open connections, as the stdlib's are; in between, nothing is promised.
TARGETS = {1: 1.6, 8: 2.0}
FETCHED_ROWS = 1_000
FETCH = "SELECT id, amount, reference, place, remark, token FROM wide"


@dataclass(frozen=True)
class Worker:
    """What one thread does with one key, and how it lets go of what it has opened."""

    work: Callable[[int], object]
    close: Callable[[], object] = lambda: None


# Called in the thread that does the work.
Hire = Callable[[], Worker]
# Opens a database for all threads: how to hire one, and how to close what they share.
Opener = Callable[[Path], tuple[Hire, Callable[[], object]]]


class Crew:
    """Threads that wait for work, do their share of the keys, and wait again."""

    def __init__(self, count: int, hire: Hire) -> None:
        self._hire = hire
        self._shares: list[Sequence[int]] = [()] * count
        self._last: list[object] = [None] * count
        self._errors: list[Exception] = []
        self._over = False
        self._starting = threading.Barrier(count + 1)
        self._ending = threading.Barrier(count + 1)
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()
        self._ending.wait()
        self._raise()

    def run(self, keys: Sequence[int]) -> object:
        """Have all keys worked on. Gives what came of the last one of each thread."""
        count = len(self._threads)
        self._shares = [keys[number::count] for number in range(count)]
        self._starting.wait()
        self._ending.wait()
        self._raise()
        return list(self._last)

    def close(self) -> None:
        """End the threads, each of which closes what it has opened."""
        self._over = True
        self._starting.wait()
        for thread in self._threads:
            thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._errors:
            raise self._errors[0]

    def _serve(self, number: int) -> None:
        worker = Worker(lambda _key: None)
        try:
            worker = self._hire()
        except Exception as error:  # noqa: BLE001 - raised again by `run`
            self._errors.append(error)
        while True:
            self._ending.wait()
            self._starting.wait()
            if self._over:
                worker.close()
                return
            try:
                self._last[number] = _work(worker.work, self._shares[number])
            except Exception as error:  # noqa: BLE001 - raised again by `run`
                self._errors.append(error)


def _work(work: Callable[[int], object], keys: Sequence[int]) -> object:
    last = None
    for key in keys:
        last = work(key)
    return last


@dataclass(frozen=True)
class Kind:
    """The same work for each number of threads."""

    name: str
    note: str
    targets: Mapping[int, float]
    build: Callable[[Path], None]
    openers: Mapping[Contestant, Opener]
    keys: Sequence[int]

    def variant(self, count: int) -> Variant:
        """Give the variant for a number of threads."""
        first = count == THREADS[0]
        return Variant(
            "W7",
            f"{self.name}, {count} thread{'' if count == 1 else 's'}",
            self.note if first else "the same work divided among more threads.",
            self.targets.get(count),
            self.build,
            {
                contestant: functools.partial(self._task, count, opener)
                for contestant, opener in self.openers.items()
            },
        )

    def _task(self, count: int, opener: Opener, path: Path) -> Task:
        hire, close_shared = opener(path)
        crew = Crew(count, hire)

        def close() -> None:
            crew.close()
            close_shared()

        return Task(lambda: crew.run(self.keys), check=_plain, close=close)


def _plain(result: Any) -> object:
    return [repr(last) for last in result]


def variants(scale: Scale) -> list[Variant]:
    """Give W7: selects on an open connection, in a session each, and 1000-row fetches."""
    keys = [number % ROWS for number in range(scale.threaded_lookups)]
    fetches = range(scale.threaded_fetches)
    kinds = [
        Kind(
            "select",
            f"{len(keys)} primary-key selects in all, each thread on its own open connection.",
            TARGETS,
            build_lookup,
            _connections(SELECT, one=True),
            keys,
        ),
        Kind(
            "session",
            f"{len(keys)} primary-key selects in all, each in a session of its own (dbmanager: "
            "session(); SQLAlchemy: raw_connection(); peewee: connection_context()). stdlib and "
            "apsw as above, since they have no pool: an open connection a thread.",
            {},
            build_lookup,
            _sessions(SELECT, one=True),
            keys,
        ),
        Kind(
            "fetch",
            f"{len(fetches)} times {FETCHED_ROWS} rows of six columns, fetchall(), each in a "
            "session of its own, as above.",
            {},
            functools.partial(build_wide, count=FETCHED_ROWS),
            _sessions(FETCH, one=False),
            fetches,
        ),
    ]
    return [kind.variant(count) for kind in kinds for count in THREADS]


def _connections(sql: str, *, one: bool) -> dict[Contestant, Opener]:
    """A connection a thread, open all the time."""

    def direct(opener: Callable[[Path], Any]) -> Opener:
        def hire(path: Path) -> Worker:
            connection = opener(path)
            return Worker(_on_connection(connection, sql, one=one), connection.close)

        return lambda path: (functools.partial(hire, path), lambda: None)

    def sqlalchemy(path: Path) -> tuple[Hire, Callable[[], object]]:
        engine = open_engine(path)

        def hire() -> Worker:
            connection = engine.raw_connection()
            return Worker(_on_cursor(connection, sql, one=one), connection.close)

        return hire, engine.dispose

    def peewee(path: Path) -> tuple[Hire, Callable[[], object]]:
        database = open_peewee_pool(path)

        def hire() -> Worker:
            database.connect()
            return Worker(_on_peewee(database, sql, one=one), database.close)

        return hire, database.close_all

    return {
        Contestant.STDLIB: direct(open_stdlib),
        Contestant.DBMANAGER: direct(open_dbmanager),
        Contestant.APSW: direct(open_apsw),
        Contestant.SQLALCHEMY: sqlalchemy,
        Contestant.PEEWEE: peewee,
    }


def _sessions(sql: str, *, one: bool) -> dict[Contestant, Opener]:
    """A session for each statement, for those that have a pool."""

    def dbmanager(path: Path) -> tuple[Hire, Callable[[], object]]:
        manager = importlib.import_module("dbmanager").DatabaseManager(f"sqlite:///{path}")

        def work_one(key: int) -> object:
            with manager.session() as session:
                return session.execute(sql, (key,)).fetchone()

        def work_all(_key: int) -> object:
            with manager.session() as session:
                return session.execute(sql).fetchall()

        return lambda: Worker(work_one if one else work_all), manager.close

    def sqlalchemy(path: Path) -> tuple[Hire, Callable[[], object]]:
        engine = open_engine(path)

        def work(key: int) -> object:
            connection = engine.raw_connection()
            rows = _on_cursor(connection, sql, one=one)(key)
            connection.close()
            return rows

        return lambda: Worker(work), engine.dispose

    def peewee(path: Path) -> tuple[Hire, Callable[[], object]]:
        database = open_peewee_pool(path)
        look = _on_peewee(database, sql, one=one)

        def work(key: int) -> object:
            with database.connection_context():
                return look(key)

        return lambda: Worker(work), database.close_all

    connections = _connections(sql, one=one)
    return {
        Contestant.STDLIB: connections[Contestant.STDLIB],
        Contestant.DBMANAGER: dbmanager,
        Contestant.APSW: connections[Contestant.APSW],
        Contestant.SQLALCHEMY: sqlalchemy,
        Contestant.PEEWEE: peewee,
    }


def _on_connection(connection: Any, sql: str, *, one: bool) -> Callable[[int], object]:
    if one:
        return lambda key: connection.execute(sql, (key,)).fetchone()
    return lambda _key: connection.execute(sql).fetchall()


def _on_cursor(connection: Any, sql: str, *, one: bool) -> Callable[[int], object]:
    def work(key: int) -> object:
        cursor = connection.cursor()
        cursor.execute(sql, (key,) if one else ())
        return cursor.fetchone() if one else cursor.fetchall()

    return work


def _on_peewee(database: Any, sql: str, *, one: bool) -> Callable[[int], object]:
    if one:
        return lambda key: database.execute_sql(sql, (key,)).fetchone()
    return lambda _key: database.execute_sql(sql).fetchall()
