"""A report as SARIF 2.1.0, which code scanning services and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

import json
from importlib.metadata import version
from pathlib import PurePath
from typing import IO, Any
from urllib.parse import quote

from dbmanager.cli.formats.github import message

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_BY_HAND = "DBM000"


def write(report: dict[str, Any], to: IO[str]) -> None:
    """Write a run with a result for each call."""
    rules = sorted({call["rule"] or _BY_HAND for call in report["calls"]})
    driver = {
        "name": "dbmanager",
        "version": version("dbmanager"),
        "rules": [
            {"id": rule, "shortDescription": {"text": "direct call that opens an SQLite database"}}
            for rule in rules
        ],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(call) for call in report["calls"]],
        "invocations": [
            {
                "executionSuccessful": not report["unreadable"],
                "toolExecutionNotifications": [
                    *(_notification(one, "no Python") for one in report["unparsable"]),
                    *(_notification(one, "can't be read") for one in report["unreadable"]),
                ],
            }
        ],
    }
    json.dump({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, to, indent=1)
    to.write("\n")


def _result(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "ruleId": call["rule"] or _BY_HAND,
        "level": "warning",
        "message": {"text": message(call)},
        "locations": [location(call["file"], call["line"], call["column"])],
        "properties": {"service": call["service"], "database": call["database"]},
    }


def _notification(file: dict[str, Any], what: str) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": f"{what}: {file['reason']}"},
        "locations": [location(file["file"], max(file.get("line", 1), 1), 1)],
    }


def location(file: str, line: int, column: int) -> dict[str, Any]:
    """Say where something is."""
    path = PurePath(file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": uri},
            "region": {"startLine": line, "startColumn": column},
        }
    }
