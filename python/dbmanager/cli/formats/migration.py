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
    for line in _left(left):
        console.print(Text(line))
    if rewritten and told["patches"]:
        places = ", ".join(f"{patch['file']}:{patch['line']}" for patch in told["patches"])
        console.print(
            "these replace sqlite3.connect, which rewritten modules do not call any more; "
            f"replace dbmanager.connect:\n  {places}"
        )
    files = len({call["file"] for call in rewritten})
    console.print(f"{len(rewritten)} calls rewritten in {files} files, {len(left)} left")
    if rewritten:
        console.print("Run the tests, and commit. `dbmanager undo` takes it back.")


def _rewritten(calls: list[dict[str, Any]]) -> Table:
    table = Table("call", "in", "rule", "", "why", title="Rewritten")
    for call in calls:
        verdict = Text(call["verdict"], style=_COLOURS[call["verdict"]])
        place = Text(f"{call['file']}:{call['line']}")
        table.add_row(place, Text(call["scope"]), call["rule"], verdict, Text(call["reason"]))
    return table


def _left(calls: list[dict[str, Any]]) -> list[str]:
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for call in calls:
        place = f"{call['file']}:{call['line']}"
        by_reason[call["verdict"], call["reason"]].append(place)
    return [
        f"left, {verdict}: {reason}\n  {', '.join(places)}"
        for (verdict, reason), places in sorted(by_reason.items())
    ]
