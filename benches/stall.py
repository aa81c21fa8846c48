"""How long another Python thread stands still while a query runs.

A second thread does nothing but take the time, again and again, and keeps the gap
between two ticks; the main thread runs W5's fetchall, W6, or W2's look-ups meanwhile. A
gap is long when the query holds the interpreter lock, or takes it back too often.
"""

import functools
import gc
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

from benches import aggregation, lookup, result_set
from benches.arena import Scale
from benches.contestants import Contestant, open_dbmanager, open_stdlib
from benches.dataset import build_groups, build_lookup, build_wide

# The stdlib hands the interpreter over at each row, and the ticker keeps it for its share of
# time: a W5 query of a quarter of a second takes from five seconds to most of a minute here.
MOST_ROUNDS = 6
LOOK_UP_SECONDS = 2.0
# Two medians of a few rounds differ by this much on a shared machine without a cause.
NOISE = 1.1


@dataclass(frozen=True)
class Query:
    """What the main thread does in a round."""

    name: str
    run: Callable[[Any], None]
    build: Callable[[Path], None]
    # Gaps up to this are in order whatever the stdlib's are.
    bound_ms: float = 0.0


@dataclass(frozen=True)
class Gaps:
    """The gaps of one round."""

    worst_ms: float
    p9999_ms: float


@dataclass(frozen=True)
class Stall:
    """The rounds of both contestants for one query."""

    query: str
    bound_ms: float
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
        worst = max(NOISE * self.worst_ms(Contestant.STDLIB), self.bound_ms)
        return self.worst_ms(Contestant.DBMANAGER) <= worst


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
    """Measure the queries for the stdlib and for us, in interleaved rounds."""
    wide = functools.partial(build_wide, count=scale.result_rows)
    groups = functools.partial(build_groups, count=scale.group_rows)
    queries = [
        Query("W5 fetchall", functools.partial(_fetch, sql=result_set.SELECT), wide),
        Query("W6 GROUP BY", functools.partial(_fetch, sql=aggregation.SELECT), groups),
        # Short statements keep the interpreter as Python code does: until it is demanded.
        Query("W2 look-ups", _look_up, build_lookup, bound_ms=3_000 * sys.getswitchinterval()),
    ]
    return [
        _stall(query, min(scale.rounds, MOST_ROUNDS), folder / f"stall_{number}.db")
        for number, query in enumerate(queries)
    ]


def _fetch(connection: Any, sql: str) -> None:
    connection.execute(sql).fetchall()


def _look_up(connection: Any) -> None:
    """Look keys up for as long as another thread may be starved in."""
    until = time.monotonic() + LOOK_UP_SECONDS
    key = 0
    while time.monotonic() < until:
        key = (key + 1) % lookup.ROWS
        connection.execute(lookup.SELECT, (key,)).fetchone()


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
        query.run(connections[contestant])
    seen: dict[Contestant, list[Gaps]] = {contestant: [] for contestant in openers}
    # Where the system puts the threads depends on who ran before: each goes first as often.
    order = list(connections.items())
    for _ in range(rounds):
        for contestant, connection in order:
            seen[contestant].append(_round(connection, query))
        order.reverse()
    for connection in connections.values():
        connection.close()
    return Stall(query.name, query.bound_ms, seen)


def _round(connection: Any, query: Query) -> Gaps:
    # A collection over the result's rows holds the lock on anybody's account.
    gc.collect()
    with Ticker() as ticker:
        query.run(connection)
    return ticker.gaps()
