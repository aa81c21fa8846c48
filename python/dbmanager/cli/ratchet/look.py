"""A look at the project: the calls in its code, and what was seen at run time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dbmanager.cli.ratchet import inventory, places
from dbmanager.cli.ratchet.baseline import Baseline, Row
from dbmanager.cli.ratchet.findings import Finding, Kind
from dbmanager.cli.ratchet.inventory import RunTime
from dbmanager.cli.ratchet.places import Place
from dbmanager.cli.ratchet.project import Project


@dataclass
class Found:
    """What there is."""

    calls: list[Place]
    unparsable: list[Place]
    run_time: RunTime
    unreadable: list[Finding]

    @property
    def places(self) -> list[Place]:
        """All that rows may allow."""
        return [*self.calls, *self.unparsable, *self.run_time.places]


def look(project: Project, baseline: Baseline, inventories: Sequence[Path]) -> Found:
    """Scan the project, and read the inventories.

    Raises:
        click.UsageError: There is no Python file, or an inventory can't be read.
    """
    project.check_paths()
    report = project.scan()
    calls = places.calls(report)
    run_time = _run_time(project, calls, inventories or _beside(baseline))
    counted = [place for place in calls if places.is_direct(place, all_kinds=baseline.all_kinds)]
    return Found(counted, places.unparsable(report, project), run_time, _unreadable(report))


def _beside(baseline: Baseline) -> list[Path]:
    path = baseline.path.with_name(inventory.FILE)
    return [path] if path.exists() else []


def _run_time(project: Project, calls: list[Place], inventories: Sequence[Path]) -> RunTime:
    try:
        return inventory.merged(inventories, calls, project)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error


def _unreadable(report: dict[str, Any]) -> list[Finding]:
    return [
        Finding(
            Kind.UNREADABLE,
            Row("unreadable", file["file"]),
            f"can't be checked, since it can't be read: {file['reason']}",
        )
        for file in report["unreadable"]
    ]
