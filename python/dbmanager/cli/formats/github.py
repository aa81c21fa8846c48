"""A report as annotations of GitHub Actions.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from typing import IO, Any


def write(report: dict[str, Any], to: IO[str]) -> None:
    """Write a line for each call."""
    for call in report["calls"]:
        place = f"file={_property(call['file'])},line={call['line']},col={call['column']}"
        title = _property(f"direct {call['kind']} call")
        to.write(f"::warning {place},title={title}::{_data(message(call))}\n")
    for file in report["unparsable"]:
        place = f"file={_property(file['file'])},line={max(file['line'], 1)}"
        to.write(f"::warning {place},title=no Python::{_data(file['reason'])}\n")


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
