"""A report as annotations of GitHub Actions.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from typing import IO, Any


def write(report: dict[str, Any], to: IO[str]) -> None:
    """Write a line for each call."""
    for call in report["calls"]:
        where = place(call["file"], call["line"], call["column"])
        to.write(annotation("warning", where, f"direct {call['kind']} call", message(call)))
    for file in report["unparsable"]:
        where = place(file["file"], file["line"], 1)
        to.write(annotation("warning", where, "no Python", file["reason"]))
    for file in report["unreadable"]:
        where = place(file["file"], 1, 1)
        to.write(annotation("warning", where, "can't be read", file["reason"]))


def annotation(level: str, place: str, title: str, text: str) -> str:
    """Write one, a line of its own, for a place as `place` gives it."""
    return f"::{level} {place},title={_property(title)}::{_data(text)}\n"


def place(file: str, line: int, column: int) -> str:
    """Write where an annotation is to stand."""
    return f"file={_property(file)},line={max(line, 1)},col={column}"


def message(call: dict[str, Any]) -> str:
    """Say in a sentence what a call is."""
    rule = f" ({call['rule']}, {call['verdict']})" if call["rule"] else f" ({call['verdict']})"
    return f"opens {_database(call)} directly: {call['reason']}{rule}"


def _database(call: dict[str, Any]) -> str:
    return call["database"] if call["database"] != "unknown" else call["database_expression"] or "?"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
