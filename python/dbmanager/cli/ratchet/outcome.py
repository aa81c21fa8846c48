"""What a check came to, and how it is told to programs."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import IO, Any

from dbmanager.cli.ratchet.baseline import Baseline
from dbmanager.cli.ratchet.findings import Finding
from dbmanager.cli.ratchet.inventory import RunTime
from dbmanager.cli.ratchet.places import Place
from dbmanager.cli.ratchet.project import Project

_VERSION = 1


@dataclass
class Outcome:
    """The result of a check."""

    project: Project
    baseline: Baseline
    calls: list[Place]
    """The calls that are counted."""
    run_time: RunTime
    findings: list[Finding]

    def where(self, finding: Finding) -> tuple[str, int, int]:
        """Tell a finding's file, line and column; of a stale row those in the baseline."""
        if finding.place is not None:
            place = finding.place
            return self.project.shown(place.row.file), place.line, place.column
        line = self.baseline.lines.get(finding.row)
        if line is None:
            return self.project.shown(finding.row.file), 1, 1
        return self.project.shown(self.baseline.path.name), line, 1

    def seen(self) -> list[Place]:
        """Give the calls that were seen at run time."""
        return [place for place in [*self.calls, *self.run_time.places] if place.seen]


def write_json(outcome: Outcome, to: IO[str]) -> None:
    """Write all of it as JSON."""
    json.dump(_content(outcome), to, indent=1)
    to.write("\n")


def _content(outcome: Outcome) -> dict[str, Any]:
    run_time = outcome.run_time
    return {
        "version": _VERSION,
        "baseline": outcome.project.shown(outcome.baseline.path.name),
        "findings": [_finding(outcome, finding) for finding in outcome.findings],
        "calls": [_place(outcome, place) for place in outcome.calls],
        "run_time": {
            "inventories": run_time.inventories,
            "calls": [_place(outcome, place) for place in run_time.places],
            "elsewhere": {"places": len(run_time.elsewhere), "calls": run_time.elsewhere_count},
            "outdated": len(run_time.outdated),
        },
        "summary": {
            "calls": len(outcome.calls),
            "findings": len(outcome.findings),
            "kinds": dict(sorted(Counter(finding.kind for finding in outcome.findings).items())),
            "services_done": outcome.baseline.services_done,
        },
    }


def _finding(outcome: Outcome, finding: Finding) -> dict[str, Any]:
    file, line, column = outcome.where(finding)
    return {
        "kind": finding.kind,
        "file": file,
        "line": line,
        "column": column,
        "message": finding.message,
        "service": finding.place.service if finding.place else "",
        "row": {"file": finding.row.file, "scope": finding.row.scope, "text": finding.row.text},
    }


def _place(outcome: Outcome, place: Place) -> dict[str, Any]:
    return {
        "file": outcome.project.shown(place.row.file),
        "line": place.line,
        "column": place.column,
        "scope": place.row.scope,
        "call": place.row.text,
        "kind": place.kind,
        "service": place.service,
        "database": place.database,
        "seen": [asdict(seen) for seen in place.seen],
    }
