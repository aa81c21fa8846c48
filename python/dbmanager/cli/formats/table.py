"""A report to read in a terminal."""

from collections import Counter
from typing import IO, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dbmanager.cli.formats.migration import counted

_WIDTH = 240
_COLOURS = {"safe": "green", "unsafe": "yellow", "by hand": "red"}
HELD = {
    "with": "with, not closed",
    "closing": "closing()",
    "finally": "closed in a finally",
    "closed": "closed, not in a finally",
    "unclosed": "never closed",
    "factory": "returned",
    "yielded": "yielded",
    "attribute": "in an attribute",
    "module": "in a global",
    "argument": "passed on",
    "chained": "used at once",
    "other": "in another way",
}
HAZARDS = {
    "write_not_committed": "a write is not committed",
    "open_after_return": "open after a return",
    "open_after_exception": "open after an exception",
    "never_closed": "never closed",
    "nested_open": "opened again within",
}


def write(report: dict[str, Any], to: IO[str]) -> None:
    """Write a report as tables."""
    console = console_for(to)
    if report["calls"]:
        console.print(_calls(report["calls"]))
        console.print(_services(report["services"]))
        console.print(_databases(report["calls"]))
    for line in _notes(report):
        console.print(Text(line))


def console_for(to: IO[str]) -> Console:
    """Give a console that writes to a file. What is not read in a terminal has no edge."""
    return Console(file=to, width=None if to.isatty() else _WIDTH, highlight=False)


def _calls(calls: list[dict[str, Any]]) -> Table:
    table = Table(title="Direct calls")
    for name in ("call", "in", "held", "database", "may go wrong", "rule", "verdict"):
        table.add_column(name, overflow="fold")
    for call in calls:
        table.add_row(
            Text(f"{call['file']}:{call['line']}"),
            Text(call["scope"]),
            HELD[call["held"]],
            Text(_database(call)),
            ", ".join(HAZARDS[hazard] for hazard in call["hazards"]),
            call["rule"],
            Text(call["verdict"], style=_COLOURS[call["verdict"]]),
        )
    return table


def _database(call: dict[str, Any]) -> str:
    if call["database"] != "unknown" or not call["database_expression"]:
        return str(call["database"])
    return f"? {call['database_expression']}"


def _services(services: list[dict[str, Any]]) -> Table:
    table = Table("", "service", "calls", "files", "why here", title="Services, in order")
    for service in services:
        table.add_row(
            str(service["order"]),
            Text(service["name"]),
            str(service["calls"]),
            str(service["files"]),
            ", ".join(service["reasons"][1:]),
        )
    return table


def _databases(calls: list[dict[str, Any]]) -> Table:
    table = Table("database", "calls", "services", title="Databases")
    by_database: dict[str, list[str]] = {}
    for call in calls:
        by_database.setdefault(call["database"], []).append(call["service"])
    for database, services in sorted(by_database.items(), key=lambda item: (-len(item[1]), item)):
        table.add_row(Text(database), str(len(services)), Text(", ".join(sorted(set(services)))))
    return table


def _notes(report: dict[str, Any]) -> list[str]:
    summary = report["summary"]
    verdicts = Counter(summary["verdicts"])
    words = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in _COLOURS)
    calls = counted(summary["calls"], "direct call")
    notes = [f"{calls} in {counted(summary['files'], 'file')}: {words}"]
    hits = {name: count for name, count in report["hits"].items() if count}
    if hits:
        found = ", ".join(f"{count} {name}" for name, count in hits.items())
        notes.append(f"a search by text finds {sum(hits.values())}: {found}")
    for file in report["unparsable"]:
        where = f"{file['file']}:{file['line']}"
        notes.append(f"{where} is no Python: {file['reason']} ({file['hits']} found by text)")
    notes += [f"{one['file']} can't be read: {one['reason']}" for one in report["unreadable"]]
    return notes
