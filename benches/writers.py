"""W8: eight threads that write to one database, a small transaction each time.

What counts beside the throughput is how evenly it is shared: SQLite's busy handler
sleeps and tries again, so whoever just wrote writes again, and somebody waits for
seconds. The longest single transaction and the most and the least served thread show
it, and so does every error that an application would have seen.
"""

import gc
import importlib
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benches.arena import Scale, UnequalWorkError
from benches.contestants import Contestant
from benches.dataset import write

THREADS = 8
INSERT = "INSERT INTO entry (thread, amount, note) VALUES (?, ?, 'a note of some length')"
# Beyond what anybody waits here: an error is then not for a lack of patience.
PATIENCE_S = 120
WORST_LIMIT_MS = 50.0


@dataclass(frozen=True)
class Discipline:
    """How a commit is brought to the disk, and what is asked of us then."""

    workload: str
    synchronous: str
    commits: int
    ratio_target: float | None
    spread_target: float | None


# One transaction of the thread of that number; and how the thread lets go.
Commit = Callable[[int], object]
Close = Callable[[], object]


@dataclass(frozen=True)
class Stretch:
    """What the threads did in one go: seconds in all, commits of each, and the longest of them."""

    elapsed_s: float
    commits: Sequence[int]
    worst_ms: float
    locked: int

    @property
    def commits_per_s(self) -> float:
        """Give the throughput."""
        return sum(self.commits) / self.elapsed_s

    @property
    def spread(self) -> float:
        """Give how many times as often the most served thread committed as the least served."""
        return max(self.commits) / max(1, min(self.commits))


@dataclass(frozen=True)
class Contention:
    """The rounds of both contestants: a fixed number of commits, then a fixed time."""

    discipline: Discipline
    counted: Mapping[Contestant, Sequence[Stretch]]
    timed: Mapping[Contestant, Sequence[Stretch]]

    def commits_per_s(self, contestant: Contestant) -> float:
        """Give the median throughput of the fixed numbers."""
        return median(stretch.commits_per_s for stretch in self.counted[contestant])

    def ratio(self) -> float:
        """Give our throughput by the stdlib's."""
        return self.commits_per_s(Contestant.DBMANAGER) / self.commits_per_s(Contestant.STDLIB)

    def worst_ms(self, contestant: Contestant) -> float:
        """Give the median over all rounds of the longest transaction."""
        return median(stretch.worst_ms for stretch in self._all(contestant))

    def worst_ever_ms(self, contestant: Contestant) -> float:
        """Give the longest transaction of all rounds."""
        return max(stretch.worst_ms for stretch in self._all(contestant))

    def locked(self, contestant: Contestant) -> int:
        """Give how many transactions failed for a lock, in all rounds."""
        return sum(stretch.locked for stretch in self._all(contestant))

    def spread(self, contestant: Contestant) -> float:
        """Give the median of most to least served thread, of the fixed times."""
        return median(stretch.spread for stretch in self.timed[contestant])

    @property
    def met(self) -> bool:
        """Tell whether ours meets all that is asked."""
        ours, asked = Contestant.DBMANAGER, self.discipline
        return (
            self.worst_ms(ours) < WORST_LIMIT_MS
            and self.locked(ours) == 0
            and (asked.ratio_target is None or self.ratio() >= asked.ratio_target)
            and (asked.spread_target is None or self.spread(ours) < asked.spread_target)
        )

    def _all(self, contestant: Contestant) -> list[Stretch]:
        return [*self.counted[contestant], *self.timed[contestant]]


def measure(scale: Scale, folder: Path) -> list[Contention]:
    """Measure both disciplines for the stdlib and for us, in interleaved rounds."""
    disciplines = (
        Discipline("W8n", "NORMAL", scale.commits, ratio_target=0.95, spread_target=None),
        Discipline("W8f", "FULL", scale.synced_commits, ratio_target=None, spread_target=1.5),
    )
    return [
        _contention(discipline, scale, folder / discipline.workload) for discipline in disciplines
    ]


def _contention(discipline: Discipline, scale: Scale, folder: Path) -> Contention:
    folder.mkdir()
    openers: dict[Contestant, Callable[[Path, Discipline], tuple[_Hire, Close]]] = {
        Contestant.STDLIB: _stdlib,
        Contestant.DBMANAGER: _dbmanager,
    }
    paths = {contestant: folder / f"{contestant.name.lower()}.db" for contestant in openers}
    hires, closes = {}, []
    for contestant, opener in openers.items():
        _build(paths[contestant])
        hires[contestant], close = opener(paths[contestant], discipline)
        closes.append(close)
    counted: dict[Contestant, list[Stretch]] = {contestant: [] for contestant in openers}
    timed: dict[Contestant, list[Stretch]] = {contestant: [] for contestant in openers}
    order = list(openers)
    for _ in range(scale.rounds):
        for contestant in order:
            counted[contestant].append(_stretch(hires[contestant], _so_many(discipline.commits)))
        for contestant in order:
            timed[contestant].append(_stretch(hires[contestant], _so_long(scale.writing_s)))
        order.reverse()
    for close in closes:
        close()
    for contestant, path in paths.items():
        _require_rows(path, [*counted[contestant], *timed[contestant]])
    return Contention(discipline, counted, timed)


def _require_rows(path: Path, stretches: Sequence[Stretch]) -> None:
    connection = sqlite3.connect(path)
    (rows,) = connection.execute("SELECT count(*) FROM entry").fetchone()
    connection.close()
    commits = sum(sum(stretch.commits) for stretch in stretches)
    if rows != commits:
        raise UnequalWorkError(f"{path.parent.name}: {rows} rows of {commits} commits in {path}")


def _build(path: Path) -> None:
    write(
        path,
        (
            "CREATE TABLE entry (id INTEGER PRIMARY KEY, thread INTEGER, amount REAL, note TEXT)",
            "INSERT INTO entry (thread, amount, note) VALUES (?, ?, '')",
        ),
    )


# Given to each thread when all start: it yields as long as there is something to do.
_Tickets = Callable[[], Iterator[object]]


def _so_many(count: int) -> _Tickets:
    # All threads draw from one pot; next() of a range's iterator is one step of the interpreter.
    pot = iter(range(count))
    return lambda: pot


def _so_long(seconds: float) -> _Tickets:
    def until() -> Iterator[object]:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            yield None

    return until


# Opens what a thread needs, in that thread.
_Hire = Callable[[], tuple[Commit, Close]]


def _stretch(hire: _Hire, tickets: _Tickets) -> Stretch:
    records = [_Record() for _ in range(THREADS)]
    barriers = starting, ending = threading.Barrier(THREADS + 1), threading.Barrier(THREADS + 1)
    threads = [
        threading.Thread(target=_write, args=(number, record, hire, tickets, barriers))
        for number, record in enumerate(records)
    ]
    gc.collect()
    for thread in threads:
        thread.start()
    starting.wait()
    start = time.perf_counter()
    ending.wait()
    elapsed_s = time.perf_counter() - start
    for thread in threads:
        thread.join()
    return Stretch(
        elapsed_s,
        [record.commits for record in records],
        max(record.worst_s for record in records) * 1000,
        sum(record.locked for record in records),
    )


@dataclass
class _Record:
    commits: int = 0
    worst_s: float = 0.0
    locked: int = 0


def _write(
    number: int,
    record: _Record,
    hire: _Hire,
    tickets: _Tickets,
    barriers: tuple[threading.Barrier, threading.Barrier],
) -> None:
    starting, ending = barriers
    try:
        commit, close = hire()
        clock = time.perf_counter
        starting.wait()
        for _ in tickets():
            before = clock()
            try:
                commit(number)
                record.commits += 1
            except sqlite3.OperationalError:
                record.locked += 1
            record.worst_s = max(record.worst_s, clock() - before)
        ending.wait()
        close()
    except BaseException:
        # Nobody waits for a thread that will not come.
        starting.abort()
        ending.abort()
        raise


def _stdlib(path: Path, discipline: Discipline) -> tuple[_Hire, Close]:
    def hire() -> tuple[Commit, Close]:
        connection = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
        connection.execute(f"PRAGMA synchronous={discipline.synchronous}")
        amounts = itertools.count()

        def commit(number: int) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(INSERT, (number, next(amounts) / 4))
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise

        return commit, connection.close

    return hire, lambda: None


def _dbmanager(path: Path, discipline: Discipline) -> tuple[_Hire, Close]:
    manager: Any = importlib.import_module("dbmanager").DatabaseManager(
        f"sqlite:///{path}",
        pool_timeout=PATIENCE_S,
        pragmas={"synchronous": discipline.synchronous},
    )

    def hire() -> tuple[Commit, Close]:
        amounts = itertools.count()

        def commit(number: int) -> None:
            with manager.session(mode="write") as session:
                session.execute(INSERT, (number, next(amounts) / 4))

        return commit, lambda: None

    return hire, manager.close
