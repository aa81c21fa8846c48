"""The findings of a check as SARIF 2.1.0."""

import json
from importlib.metadata import version
from typing import IO, Any

from dbmanager.cli.formats.sarif import SCHEMA, location
from dbmanager.cli.ratchet.findings import Finding, Kind
from dbmanager.cli.ratchet.outcome import Outcome

_RULES = {
    Kind.NEW: "direct call that the baseline does not allow",
    Kind.DONE: "direct call in a service that is marked done",
    Kind.STALE: "row of the baseline that is not needed any more",
    Kind.UNPARSABLE: "file that can't be checked, since it is no Python",
    Kind.RUN_TIME: "direct call that only run time has shown",
    Kind.UNREADABLE: "file that can't be read",
}


def write(outcome: Outcome, to: IO[str]) -> None:
    """Write a run with a result for each finding."""
    rules = [
        {"id": _rule(kind), "shortDescription": {"text": text}} for kind, text in _RULES.items()
    ]
    driver = {"name": "dbmanager", "version": version("dbmanager"), "rules": rules}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(outcome, finding) for finding in outcome.findings],
    }
    json.dump({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, to, indent=1)
    to.write("\n")


def _rule(kind: Kind) -> str:
    return "ratchet/" + kind.replace(" ", "-")


def _result(outcome: Outcome, finding: Finding) -> dict[str, Any]:
    row = finding.row
    # What tells a result from others must not change with lines above it.
    content = f"{finding.kind}:{row.section}:{row.file}:{row.scope}:{row.text}"
    return {
        "ruleId": _rule(finding.kind),
        "level": "error",
        "message": {"text": finding.message},
        "locations": [location(*outcome.where(finding))],
        "partialFingerprints": {"row/v1": content},
    }
