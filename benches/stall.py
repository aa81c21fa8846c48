"""How long another Python thread stands still while a query runs.

A second thread does nothing but take the time, again and again, and keeps the gap
between two ticks; the main thread runs W5's fetchall or W6 meanwhile. A gap is long
when the query holds the interpreter lock, or takes it back too often.
"""

import functools
import gc
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from benches import aggregation, result_set
from benches.arena import Scale
from benches.contestants import Contestant, open_dbmanager, open_stdlib
from benches.dataset import build_groups, build_wide

# The stdlib hands the interpreter over at each row, and the ticker keeps it for its share of
# time: a W5 query of a quarter of a second takes from five seconds to most of a minute here.
MOST_ROUNDS = 5
# Two medians of a few rounds differ by this much on a shared machine without a cause.
NOISE = 1.1


@dataclass(frozen=True)
class Query:
    """What the main thread does, ``repeat`` times a round."""

    name: str
    sql: str
    build: Callable[[Path], None]
    repeat: int


@dataclass(frozen=True)
class Gaps:
    """The gaps of one round."""

    worst_ms: float
    p9999_ms: float


@dataclass(frozen=True)
class Stall:
    """The rounds of both contestants for one query."""

    query: str
    rounds: Mapping[Contestant, Sequence[Gaps]]

    def worst_ms(self, contestant: Contestant) -> float:
        """Give the median over the rounds of the longest gap."""
        return median(gaps.worst_ms for gaps in self.rounds[contestant])

    def p9999_ms(self, contestant: Contestant) -> float:
        """Give the median over the rounds of the 99.99th percentile."""
        return median(gaps.p9999_ms for gaps in self.rounds[contestant])

    @property
    def met(self) -> bool:
        """Tell whether our worst gap is no longer than the stdlib's, but for noise."""
        return self.worst_ms(Contestant.DBMANAGER) <= NOISE * self.worst_ms(Contestant.STDLIB)


class Ticker(threading.Thread):
    """A thread that measures its own gaps, in microseconds, until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stop_asked = False
        self._started_ticking = threading.Event()
        self._counts: dict[int, int] = {}

    def run(self) -> None:
        counts, clock = self._counts, time.perf_counter_ns
        self._started_ticking.set()
        last = clock()
        while not self._stop_asked:
            now = clock()
            gap_us = (now - last) // 1000
            counts[gap_us] = counts.get(gap_us, 0) + 1
            last = now

    def __enter__(self) -> Self:
        self.start()
        self._started_ticking.wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop_asked = True
        self.join()

    def gaps(self) -> Gaps:
        """Summarise what was seen; valid after the end of the thread."""
        beyond = max(1, sum(self._counts.values()) // 10_000)
        for gap_us in sorted(self._counts, reverse=True):
            beyond -= self._counts[gap_us]
            if beyond <= 0:
                return Gaps(max(self._counts) / 1000, gap_us / 1000)
        return Gaps(0.0, 0.0)


def measure(scale: Scale, folder: Path) -> list[Stall]:
    """Measure both queries for the stdlib and for us, in interleaved rounds."""
    wide = functools.partial(build_wide, count=scale.result_rows)
    groups = functools.partial(build_groups, count=scale.group_rows)
    queries = [
        Query("W5 fetchall", result_set.SELECT, wide, repeat=1),
        Query("W6 GROUP BY", aggregation.SELECT, groups, repeat=2),
    ]
    return [
        _stall(query, min(scale.rounds, MOST_ROUNDS), folder / f"stall_{number}.db")
        for number, query in enumerate(queries)
    ]


def _stall(query: Query, rounds: int, path: Path) -> Stall:
    openers: dict[Contestant, Callable[[Path], Any]] = {
        Contestant.STDLIB: open_stdlib,
        Contestant.DBMANAGER: open_dbmanager,
    }
    connections = {}
    for contestant, opener in openers.items():
        own = path.with_stem(f"{path.stem}_{contestant.name.lower()}")
        query.build(own)
        connections[contestant] = opener(own)
        connections[contestant].execute(query.sql).fetchall()
    seen: dict[Contestant, list[Gaps]] = {contestant: [] for contestant in openers}
    for _ in range(rounds):
        for contestant, connection in connections.items():
            seen[contestant].append(_round(connection, query))
    for connection in connections.values():
        connection.close()
    return Stall(query.name, seen)


def _round(connection: Any, query: Query) -> Gaps:
    # A collection over the result's rows holds the lock on anybody's account.
    gc.collect()
    with Ticker() as ticker:
        for _ in range(query.repeat):
            connection.execute(query.sql).fetchall()
    return ticker.gaps()
