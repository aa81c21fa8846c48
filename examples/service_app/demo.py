"""Run one application through three doors, compare what they leave behind, and time them.

``python examples/service_app/demo.py [--threads N]``. The databases are generated
once, copied for each door, and served with the same requests from several threads;
the doors take turns phase by phase. Exit status 1 when anything differs or fails.
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from service_app.doors import Database, Door, DropInDoor, SessionDoor, StdlibDoor
from service_app.traffic import PHASES, Phase, serve

import dbmanager
from service_app import content, seed


@dataclass
class Run:
    """What one door did: seconds and checksum of each phase."""

    door: Door
    folder: Path
    synchronous: str
    seconds: dict[str, float] = field(default_factory=dict)
    checksums: dict[str, int] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """Seconds of all phases."""
        return sum(self.seconds.values())


class DemoError(Exception):
    """The doors disagree."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 when the doors agree."""
    parser = argparse.ArgumentParser(description="One application through three doors.")
    parser.add_argument("--threads", type=int, default=4, help="threads that serve users")
    threads = parser.parse_args(arguments).threads
    with tempfile.TemporaryDirectory(prefix="service_app-") as scratch:
        try:
            _demonstrate(Path(scratch), threads)
        except DemoError as error:
            print(f"\nFAILED: {error}", file=sys.stderr)
            return 1
        finally:
            dbmanager.DatabaseManager.reset()
    return 0


def _demonstrate(scratch: Path, threads: int) -> None:
    template = scratch / "template"
    template.mkdir()
    rows = seed.generate(template)
    requests = sum(phase.repeat * phase.visitors for phase in PHASES)
    print(f"{rows:,} rows in {', '.join(Database)}; {requests:,} requests, {threads} threads\n")

    runs = [_run(template, scratch, name) for name in ("stdlib", "drop_in", "session")]
    for phase in PHASES:
        for run in runs:
            _serve(run, phase, threads)
    statistics = _statistics(runs)
    dbmanager.DatabaseManager.reset()

    _require_equal_answers(runs)
    contents = [content.read(run.folder) for run in runs]
    _require_equal_contents(runs, contents)
    print(_times(runs))
    print(_pools(statistics))
    kept = sum(table.rows for table in contents[0].values())
    print(f"The three left the same {kept:,} rows in {len(contents[0])} tables behind.")


def _run(template: Path, scratch: Path, name: str) -> Run:
    folder = scratch / name
    shutil.copytree(template, folder)
    doors: dict[str, Callable[[Path], Door]] = {
        "stdlib": StdlibDoor,
        "drop_in": DropInDoor,
        "session": SessionDoor,
    }
    door = doors[name](folder)
    return Run(door, folder, _synchronous(door))


def _synchronous(door: Door) -> str:
    """Tell what a commit through a door waits for, since it decides what one costs."""
    with door.open(Database.APP) as connection:
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
    return ("OFF", "NORMAL", "FULL", "EXTRA")[level]


def _serve(run: Run, phase: Phase, threads: int) -> None:
    """Serve a phase from several threads that begin together."""
    # A stride, so that each thread has users from all over the tables.
    visitors = range(0, seed.USERS, seed.USERS // phase.visitors)
    barrier = threading.Barrier(threads + 1)

    def work(number: int) -> int:
        barrier.wait()
        return serve(run.door, phase, visitors[number::threads])

    with ThreadPoolExecutor(threads) as executor:
        parts = [executor.submit(work, number) for number in range(threads)]
        barrier.wait()
        start = time.perf_counter()
        errors = [error for part in parts if (error := part.exception())]
        run.seconds[phase.name] = time.perf_counter() - start
    if errors:
        raise DemoError(f"{run.door.name}, phase {phase.name}: {errors[0]!r}") from errors[0]
    run.checksums[phase.name] = sum(part.result() for part in parts)


def _statistics(runs: Sequence[Run]) -> dict[str, Mapping[str, object]]:
    return {
        str(database): run.door.manager(database).get_stats()
        for run in runs
        if isinstance(run.door, SessionDoor)
        for database in Database
    }


def _require_equal_answers(runs: Sequence[Run]) -> None:
    first, *others = runs
    for other in others:
        for phase, checksum in first.checksums.items():
            if other.checksums[phase] != checksum:
                raise DemoError(
                    f"{other.door.name} gave other answers than {first.door.name} in {phase}"
                )


def _require_equal_contents(runs: Sequence[Run], contents: Sequence[content.Content]) -> None:
    for run, found in zip(runs[1:], contents[1:], strict=True):
        differences = content.differences(contents[0], found)
        if differences:
            raise DemoError(
                f"{run.door.name} left other data than {runs[0].door.name}:\n  "
                + "\n  ".join(differences)
            )


def _times(runs: Sequence[Run]) -> str:
    header = ["", "synchronous", *(phase.name for phase in PHASES), "total", "requests/s"]
    requests = sum(phase.repeat * phase.visitors for phase in PHASES)
    lines = [header]
    for run in runs:
        cells = [f"{run.seconds[phase.name]:.2f} s" for phase in PHASES]
        rate = f"{requests / run.total_s:,.0f}"
        lines.append([run.door.name, run.synchronous, *cells, f"{run.total_s:.2f} s", rate])
    for run in runs[1:]:
        ratios = [runs[0].seconds[phase.name] / run.seconds[phase.name] for phase in PHASES]
        total = runs[0].total_s / run.total_s
        lines.append([f"  times as fast: {run.door.name}", "", *map(_ratio, [*ratios, total]), ""])
    return _table(lines)


def _ratio(value: float) -> str:
    return f"{value:.1f}x"


def _pools(statistics: Mapping[str, Mapping[str, object]]) -> str:
    names = list(dict.fromkeys(key for values in statistics.values() for key in values))
    lines = [["pool statistics", *statistics]]
    lines += [[name, *(_plain(s.get(name, "-")) for s in statistics.values())] for name in names]
    return _table(lines)


def _plain(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for first, *others in lines:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        text.append("  ".join([first.ljust(widths[0]), *right]).rstrip())
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], ""])


if __name__ == "__main__":
    sys.exit(main())
