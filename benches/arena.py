"""The arena: interleaved rounds, so that a slow moment of the machine hits everybody.

Round-robin over the contestants, a different one first in each round; the garbage
collector runs before each measurement and stays enabled during it. Only ``run`` of a
task is timed. What each task returns is compared between the contestants: a
contestant that does other work is an error, not a fast contestant.
"""

import gc
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benches.contestants import Contestant


def _nothing() -> None:
    return None


def _itself(result: object) -> object:
    return result


@dataclass(frozen=True)
class Task:
    """One contestant's work on its own database.

    ``prepare`` and ``check`` are not timed; ``check`` turns the result of ``run``
    into something that must be equal for all contestants.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] = _nothing
    check: Callable[[object], object] = _itself
    close: Callable[[], object] = _nothing


TaskFactory = Callable[[Path], Task]


@dataclass(frozen=True)
class Scale:
    """How much work: rows of each workload, operations of a round, rounds."""

    rounds: int = 7
    leases: int = 1_000
    lookups: int = 20_000
    bulk_rows: int = 100_000
    loop_rows: int = 20_000
    result_rows: int = 200_000
    group_rows: int = 1_000_000
    calls: int = 200_000
    memory_rows: int = 1_000_000
    threaded_lookups: int = 40_000
    threaded_fetches: int = 400
    commits: int = 20_000
    synced_commits: int = 2_000
    writing_s: float = 1.0
    databases: int = 10_000


QUICK = Scale(
    rounds=3,
    leases=40,
    lookups=4_000,
    bulk_rows=10_000,
    loop_rows=4_000,
    result_rows=20_000,
    group_rows=100_000,
    calls=20_000,
    memory_rows=200_000,
    threaded_lookups=8_000,
    threaded_fetches=40,
    commits=4_000,
    synced_commits=400,
    writing_s=0.3,
    databases=500,
)


@dataclass(frozen=True)
class Variant:
    """One row of the table: the same work for each contestant."""

    workload: str
    name: str
    note: str
    target: float | None
    build: Callable[[Path], None]
    tasks: Mapping[Contestant, TaskFactory]


@dataclass(frozen=True)
class Measurement:
    """Seconds of each round, by contestant."""

    variant: Variant
    rounds_s: Mapping[Contestant, Sequence[float]] = field(default_factory=dict)

    def median_s(self, contestant: Contestant) -> float | None:
        """Give the median round of a contestant, None if it did not take part."""
        seconds = self.rounds_s.get(contestant)
        return median(seconds) if seconds else None

    def ratio(self, contestant: Contestant) -> float | None:
        """Give how many times as fast as the stdlib a contestant was."""
        own, stdlib = self.median_s(contestant), self.median_s(Contestant.STDLIB)
        return stdlib / own if own and stdlib else None


class UnequalWorkError(Exception):
    """A contestant did not do the same work as another one, or not what it claims."""


def measure(
    variant: Variant, present: Sequence[Contestant], rounds: int, folder: Path
) -> Measurement:
    """Time a variant for all contestants that are present and take part in it."""
    template = folder / "template.db"
    variant.build(template)
    with ExitStack() as stack:
        tasks: dict[Contestant, Task] = {}
        for contestant in present:
            factory = variant.tasks.get(contestant)
            if factory is None:
                continue
            copy = folder / f"{contestant.name.lower()}.db"
            shutil.copy(template, copy)
            tasks[contestant] = factory(copy)
            stack.callback(tasks[contestant].close)
        return Measurement(variant, _rounds(variant, tasks, rounds))


def _rounds(
    variant: Variant, tasks: Mapping[Contestant, Task], rounds: int
) -> dict[Contestant, list[float]]:
    order = list(tasks)
    seconds: dict[Contestant, list[float]] = {contestant: [] for contestant in order}
    for number in range(rounds + 1):
        results = {}
        for contestant in order:
            elapsed_s, results[contestant] = _time(tasks[contestant])
            # The first round warms caches and is not counted.
            if number:
                seconds[contestant].append(elapsed_s)
        _require_equal(variant, results)
        order = order[1:] + order[:1]
    return seconds


def _time(task: Task) -> tuple[float, object]:
    task.prepare()
    gc.collect()
    start = time.perf_counter()
    result = task.run()
    elapsed_s = time.perf_counter() - start
    return elapsed_s, task.check(result)


def _require_equal(variant: Variant, results: Mapping[Contestant, object]) -> None:
    expected = results[Contestant.STDLIB]
    for contestant, result in results.items():
        if result != expected:
            raise UnequalWorkError(
                f"{variant.workload} {variant.name}: {contestant.value} gave "
                f"{result!r:.200} where the stdlib gave {expected!r:.200}"
            )
