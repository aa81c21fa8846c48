"""Which rows of a baseline are not needed any more, and what an update makes of it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from dbmanager.cli.ratchet.baseline import COUNTED, Baseline, Row
from dbmanager.cli.ratchet.places import Place
from dbmanager.cli.ratchet.project import Project, is_below


def counted(places: Iterable[Place]) -> Counter[Row]:
    """Count the calls by the rows that would allow them; what run time shows counts once."""
    counts: Counter[Row] = Counter()
    for place in places:
        counts[place.row] += place.count
    return counts


def stale(
    baseline: Baseline, places: list[Place], project: Project, paths: list[str]
) -> dict[Row, int]:
    """Find the rows below some paths that allow more than there is, and by how much."""
    there = counted(places)
    gone = {}
    for row, allowed in baseline.rows.items():
        missing = allowed - there[row]
        if row.section not in COUNTED:
            missing = int(not there[row] and not _may_come(row, places, project))
        if missing > 0 and is_below(row.file, paths):
            gone[row] = missing
    return gone


def _may_come(row: Row, places: list[Place], project: Project) -> bool:
    """Tell whether a call may still be seen at run time; an inventory need not show all of them."""
    if row.text not in (line.strip() for line in project.lines_of(row.file)):
        return False
    return not any(
        place.row.file == row.file and place.row.section == "calls" and row.text in place.lines
        for place in places
    )


def updated(
    baseline: Baseline, places: list[Place], stale: dict[Row, int], *, allow_new: bool
) -> Baseline:
    """Take out what is stale. With `allow_new` take in what is new, except in services done."""
    rows = {row: count - stale.get(row, 0) for row, count in baseline.rows.items()}
    rows = {row: count for row, count in rows.items() if count}
    if allow_new:
        allowed = (place for place in places if place.service not in baseline.services_done)
        for row, count in counted(allowed).items():
            rows[row] = max(count, rows.get(row, 0))
    return replace(baseline, rows=rows)
