"""What was seen at run time, and which call of the scan each of it is.

The shim's inventory knows files, lines and, of newer ones, the line's text. That counts first: a
file may have changed since.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dbmanager._shim import report
from dbmanager._shim.calls import DirectConnect
from dbmanager.cli.ratchet.baseline import Row
from dbmanager.cli.ratchet.places import Place, Seen
from dbmanager.cli.ratchet.project import Project

FILE = "dbmanager-inventory.json"
"""The inventory that is read without being named, beside the baseline."""


@dataclass
class RunTime:
    """What inventories tell beyond the calls that the scan knows."""

    inventories: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    """Calls in the project's files that only run time has shown."""
    elsewhere: set[tuple[str, int]] = field(default_factory=set)
    """Places in files of others."""
    elsewhere_count: int = 0
    outdated: set[tuple[str, int]] = field(default_factory=set)
    """Places that the files do not have any more."""


def merged(files: Iterable[Path], calls: list[Place], project: Project) -> RunTime:
    """Tell the calls what was seen of them, and give the rest.

    Raises:
        ValueError: A file is no inventory.
        OSError: A file can't be read.
    """
    run_time = RunTime()
    for file in files:
        run_time.inventories.append(str(file))
        for call in report.read(file):
            _add(call, calls, project, run_time)
    run_time.places.sort(key=lambda place: (place.row, place.line))
    return run_time


def _add(call: DirectConnect, calls: list[Place], project: Project, run_time: RunTime) -> None:
    file = _file_of(call, project)
    if file is None:
        run_time.elsewhere.add((call.file, call.line))
        run_time.elsewhere_count += call.count
        return
    lines = [line.strip() for line in project.lines_of(file)]
    known = _known(call, [place for place in calls if place.row.file == file])
    if known is None and not _is_in(call, lines):
        run_time.outdated.add((file, call.line))
        return
    call.database = project.shown_database(call.database)
    _note(known or _only_seen(call, file, lines, project, run_time), call)


def _file_of(call: DirectConnect, project: Project) -> str | None:
    return project.real_files.get(str((project.folder / call.file).resolve()))


def _known(call: DirectConnect, calls: list[Place]) -> Place | None:
    """Find the scan's call: by the line's text, else by the line. The scope and the line decide."""
    same = [place for place in calls if _is_same(call, place)]
    scope = _scope(call.function)
    nearest = sorted(same, key=lambda at: (at.row.scope != scope, abs(at.line - call.line)))
    return nearest[0] if nearest else None


def _is_same(call: DirectConnect, place: Place) -> bool:
    if call.source:
        return call.source in place.lines
    return place.line <= call.line < place.line + len(place.lines)


def _is_in(call: DirectConnect, lines: list[str]) -> bool:
    return call.source in lines if call.source else 0 < call.line <= len(lines)


def _only_seen(
    call: DirectConnect, file: str, lines: list[str], project: Project, run_time: RunTime
) -> Place:
    source = call.source or lines[call.line - 1]
    row = Row("run_time", file, _scope(call.function), source)
    for place in run_time.places:
        if place.row == row:
            return place
    line = _line(source, call.line, lines)
    place = Place(row, line, column=1, service=project.services[file], kind="run time")
    run_time.places.append(place)
    return place


def _line(source: str, line: int, lines: list[str]) -> int:
    """Find where a text stands now: the line nearest to where it was."""
    found = (number for number, text in enumerate(lines, 1) if text == source)
    return min(found, key=lambda number: abs(number - line), default=line)


def _scope(function: str) -> str:
    """Name a function as the scan does, which knows neither `<locals>` nor comprehensions."""
    return re.sub(r"\.<\w+>", "", function) or "<module>"


def _note(place: Place, call: DirectConnect) -> None:
    for seen in place.seen:
        if seen.database == call.database:
            seen.count += call.count
            seen.threads = sorted({*seen.threads, call.thread})
            seen.outcomes = sorted({*seen.outcomes, call.outcome})
            return
    place.seen.append(Seen(call.database, call.count, [call.thread], [call.outcome]))
