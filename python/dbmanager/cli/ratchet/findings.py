"""How what there is differs from what is allowed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dbmanager.cli.ratchet.baseline import Baseline, Row
from dbmanager.cli.ratchet.places import Place


class Kind(StrEnum):
    """What a finding is."""

    NEW = "new"
    DONE = "done"
    STALE = "stale"
    UNPARSABLE = "unparsable"
    RUN_TIME = "run time"
    UNREADABLE = "unreadable"


_KIND_OF = {"calls": Kind.NEW, "unparsable": Kind.UNPARSABLE, "run_time": Kind.RUN_TIME}
ALLOWABLE = frozenset(_KIND_OF.values())
"""What a row of the baseline would allow."""


@dataclass
class Finding:
    """Something that makes the check fail."""

    kind: Kind
    row: Row
    message: str
    place: Place | None = None
    """Where it is in the code; None for a row that is stale, and a file that can't be read."""


def compare(
    baseline: Baseline, places: Iterable[Place], stale: dict[Row, int], *, tell_stale: bool
) -> list[Finding]:
    """Find the calls that are not allowed, and the rows that are not needed.

    `stale` says of rows how many calls less there are than they allow. An update has taken these
    out; then they only tell where a call was before.
    """
    by_row = defaultdict(list)
    for place in places:
        by_row[place.row].append(place)
    moves = _Moves(by_row.keys() - baseline.rows.keys(), stale)
    findings = [finding for row in by_row for finding in _of_row(baseline, row, by_row[row], moves)]
    findings.sort(key=_by_place)
    if tell_stale:
        findings += [_stale(baseline, row, stale[row], moves) for row in sorted(stale)]
    return findings


def _by_place(finding: Finding) -> tuple[str, int, int]:
    place = finding.place
    return finding.row.file, place.line if place else 0, place.column if place else 0


class _Moves:
    """Rows of equal content in two files, one of which is new and one gone."""

    def __init__(self, new: Iterable[Row], stale: Iterable[Row]) -> None:
        self._new = {_content(row): row.file for row in new if row.text}
        self._stale = {_content(row): row.file for row in stale if row.text}

    def from_(self, row: Row) -> str:
        return self._told(self._stale.get(_content(row)), "from")

    def to(self, row: Row) -> str:
        return self._told(self._new.get(_content(row)), "to")

    def _told(self, file: str | None, way: str) -> str:
        return f"; moved {way} {file}?" if file else ""


def _content(row: Row) -> tuple[str, str, str]:
    return row.section, row.scope, row.text


def _of_row(baseline: Baseline, row: Row, places: list[Place], moves: _Moves) -> Iterator[Finding]:
    allowed = baseline.rows.get(row, 0)
    count = sum(place.count for place in places)
    done = [place for place in places if place.service in baseline.services_done]
    for place in done:
        yield Finding(Kind.DONE, row, _of_done(place), place)
    if done or count <= allowed:
        return
    why = f" ({count} here, the baseline allows {allowed})" if allowed else moves.from_(row)
    # Which of several equal calls is the new one can't be told; the last stand for it.
    for place in places[-(count - allowed) :] if len(places) > 1 else places:
        yield Finding(_KIND_OF[row.section], row, message(place) + why, place)


def _of_done(place: Place) -> str:
    return f"{message(place)}, and the service {place.service} is to have none"


def message(place: Place) -> str:
    """Say in words what a place is."""
    if place.row.section == "unparsable":
        times = "once" if place.count == 1 else f"{place.count} times"
        return f"can't be checked, it is no Python ({place.reason}), and names connect() {times}"
    if place.row.section == "run_time":
        return f"direct call only seen at run time: {place.row.text}; {opens(place)}"
    told = f"direct call: {place.row.text}"
    opened = opens(place)
    return f"{told}; {opened}" if opened else told


def opens(place: Place) -> str:
    """Say which databases it opens, empty if nothing is known."""
    if place.seen:
        databases = ", ".join(sorted(seen.database for seen in place.seen))
        return f"opens {databases} (seen at run time)"
    return f"opens {place.database}" if place.database != "unknown" else ""


def _stale(baseline: Baseline, row: Row, missing: int, moves: _Moves) -> Finding:
    allowed = baseline.rows[row]
    what = row.text or "a file that is no Python"
    told = (
        f"stale row: {what} is gone"
        if missing == allowed
        else (f"stale row: allows {allowed} of {what}, and there are {allowed - missing}")
    )
    where = f" from {row.file}" + (f" ({row.scope})" if row.scope else "")
    return Finding(Kind.STALE, row, f"{told}{where}{moves.to(row)}; run with --update")
