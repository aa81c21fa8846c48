"""What a migration did, to read in a terminal."""

from collections import defaultdict
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 240
_COLOURS = {"safe": "green", "unsafe": "yellow"}


def write(told: dict[str, Any], to: IO[str]) -> None:
    """Write what was rewritten, what is left, and why."""
    # What is not read in a terminal has no edge.
    console = Console(file=to, width=None if to.isatty() else _WIDTH, highlight=False)
    rewritten, left = told["rewritten"], told["left"]
    if rewritten:
        console.print(_rewritten(rewritten))
    for line in _left(told):
        console.print(Text(line))
    if rewritten and told["patches"]:
        places = ", ".join(f"{patch['file']}:{patch['line']}" for patch in told["patches"])
        told_of = (
            "these replace sqlite3.connect, which rewritten modules do not call any more; "
            f"replace dbmanager.connect:\n  {places}"
        )
        console.print(Text(told_of))
    for line in _not_looked_at(told):
        console.print(Text(line))
    calls = counted(len(rewritten), "call")
    files = counted(len({call["file"] for call in rewritten}), "file")
    console.print(f"{calls} rewritten in {files}, {len(left) + len(told['references'])} left")
    if rewritten:
        console.print("Run the tests, and commit. `dbmanager undo` takes it back.")


def counted(count: int, what: str) -> str:
    """Say how many there are."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _not_looked_at(told: dict[str, Any]) -> list[str]:
    lines = [
        f"{one['file']}:{one['line']} is no Python: {one['reason']}" for one in told["unparsable"]
    ]
    lines += [f"{one['file']} can't be read: {one['reason']}" for one in told["unreadable"]]
    return lines


def _rewritten(calls: list[dict[str, Any]]) -> Table:
    table = Table("call", "in", "rule", "", "why", title="Rewritten")
    for call in calls:
        verdict = Text(call["verdict"], style=_COLOURS[call["verdict"]])
        place = Text(f"{call['file']}:{call['line']}")
        table.add_row(place, Text(call["scope"]), call["rule"], verdict, Text(call["reason"]))
    return table


def _left(told: dict[str, Any]) -> list[str]:
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for call in told["left"]:
        place = f"{call['file']}:{call['line']}"
        by_reason[call["verdict"], call["reason"]].append(place)
    for reference in told["references"]:
        place = f"{reference['file']}:{reference['line']}"
        by_reason["by hand", "the function is named, and others may call it"].append(place)
    return [
        f"left, {verdict}: {reason}\n  {', '.join(places)}"
        for (verdict, reason), places in sorted(by_reason.items())
    ]
