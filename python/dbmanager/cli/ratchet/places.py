"""What there is: every place that the ratchet counts, with the row that would allow it."""

from dataclasses import dataclass, field
from typing import Any

from dbmanager.cli.ratchet.baseline import Row
from dbmanager.cli.ratchet.call_text import normalised
from dbmanager.cli.ratchet.project import Project

_DIRECT = {"sqlite3", "pysqlite3"}


@dataclass
class Seen:
    """A database that a call opened at run time."""

    database: str
    count: int
    threads: list[str]
    outcomes: list[str]


@dataclass
class Place:
    """A direct call, or a file whose calls can't be told."""

    row: Row
    line: int
    column: int
    service: str
    kind: str
    database: str = "unknown"
    """As the scan knows it."""
    lines: list[str] = field(default_factory=list)
    """The lines of the call, without blanks around them."""
    count: int = 1
    """How many calls it stands for."""
    reason: str = ""
    seen: list[Seen] = field(default_factory=list)


def calls(report: dict[str, Any]) -> list[Place]:
    """Give every call of a scan, of whatever library, and the functions that are given to calls."""
    given = [reference for reference in report["references"] if reference["is_given"]]
    return [_call(call) for call in [*report["calls"], *given]]


def is_direct(place: Place, *, all_kinds: bool) -> bool:
    """Tell whether the ratchet counts a call."""
    return all_kinds or place.kind in _DIRECT


def unparsable(report: dict[str, Any], project: Project) -> list[Place]:
    """Give the files that are no Python and name such a function all the same."""
    return [
        Place(
            Row("unparsable", file["file"]),
            line=max(file["line"], 1),
            column=1,
            service=project.services.get(file["file"], ""),
            kind="unparsable",
            count=file["hits"],
            reason=file["reason"],
        )
        for file in report["unparsable"]
        if file["hits"]
    ]


def _call(call: dict[str, Any]) -> Place:
    return Place(
        Row("calls", call["file"], call["scope"], normalised(call["call"])),
        line=call["line"],
        column=call["column"],
        service=call["service"],
        kind=call["kind"],
        database=call.get("database", "unknown"),
        lines=[line.strip() for line in call["code"].split("\n")],
    )
