"""The result of a check to read in a terminal."""

from collections import Counter
from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbmanager.cli.formats.table import console_for
from dbmanager.cli.ratchet.findings import Kind
from dbmanager.cli.ratchet.outcome import Outcome

_COLOURS = {Kind.STALE: "yellow"}


def write(outcome: Outcome, to: IO[str]) -> None:
    """Write the findings, what was seen at run time, and the numbers."""
    console = console_for(to)
    if outcome.findings:
        console.print(_findings(outcome))
    if seen := _seen(outcome):
        console.print(seen)
    _write_notes(outcome, console)


def _findings(outcome: Outcome) -> Table:
    table = Table(title="Findings")
    for name in ("finding", "where", "in", "what"):
        table.add_column(name, overflow="fold")
    for finding in outcome.findings:
        file, line, _ = outcome.where(finding)
        table.add_row(
            Text(finding.kind, style=_COLOURS.get(finding.kind, "red")),
            Text(f"{file}:{line}"),
            Text(finding.row.scope),
            Text(finding.message),
        )
    return table


def _seen(outcome: Outcome) -> Table | None:
    places = outcome.seen()
    if not places:
        return None
    table = Table(title="Seen at run time")
    for name in ("call", "in", "opens", "times", "outcome"):
        table.add_column(name, overflow="fold")
    for place in places:
        for seen in place.seen:
            table.add_row(
                Text(f"{outcome.project.shown(place.row.file)}:{place.line}"),
                Text(place.row.scope),
                Text(f"{seen.database} (seen at run time)"),
                str(seen.count),
                ", ".join(seen.outcomes),
            )
    return table


def _write_notes(outcome: Outcome, console: Console) -> None:
    kinds = Counter(finding.kind for finding in outcome.findings)
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    numbers = f"{_many(len(outcome.findings), 'finding')}: {found}" if found else "no findings"
    console.print(Text(f"{_many(len(outcome.calls), 'direct call')}, {numbers}"))
    run_time = outcome.run_time
    if run_time.elsewhere:
        places = _many(len(run_time.elsewhere), "place")
        console.print(f"seen at run time in files of others: {places}, not checked")
    if run_time.outdated:
        places = _many(len(run_time.outdated), "place")
        console.print(f"seen at run time, and not in the code any more: {places}")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
