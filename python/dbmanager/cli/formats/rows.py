"""A report as CSV, a row for each call.

Files that can't be read, or are no Python, are rows without a call.
"""

import csv
from typing import IO, Any

_COLUMNS = [
    *("file", "line", "column", "kind", "service", "scope", "held", "keywords", "database"),
    *("database_from", "hazards", "rule", "verdict", "reason"),
]


def write(report: dict[str, Any], to: IO[str]) -> None:
    """Write the calls."""
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for call in report["calls"]:
        keywords = " ".join(f"{name}={value}" for name, value in call["keywords"].items())
        words = {"keywords": keywords, "hazards": " ".join(call["hazards"])}
        writer.writerow([{**call, **words}[column] for column in _COLUMNS])
    for file in [*report["unparsable"], *report["unreadable"]]:
        row = {"file": file["file"], "line": file.get("line", ""), "reason": file["reason"]}
        writer.writerow([row.get(column, "") for column in _COLUMNS])
