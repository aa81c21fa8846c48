"""SQLite's own checks: ``quick_check``, ``integrity_check``, ``foreign_key_check``."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from dbmanager import sqlite3
from dbmanager.doctor import contents, failures
from dbmanager.doctor.findings import Finding, error, warning
from dbmanager.doctor.holders import Holders

_MOST = 100
_SHOWN = 5
_OF_INDEX = re.compile(
    r"row \d+ (missing from|values differ from) index|wrong # of entries in index|"
    r"non-unique entry in index|rowid not at end-of-record|extra row in index",
    re.IGNORECASE,
)
_OF_CONSTRAINT = re.compile(
    r"(NULL|NUMERIC|TEXT|non-\w+) value in |CHECK constraint failed in |"
    r"value of .* out of range"
)


class Check(StrEnum):
    """How thoroughly to check."""

    NONE = "none"
    QUICK = "quick"
    FULL = "full"


@dataclass(slots=True)
class _Found:
    pages: list[str] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)


def findings(connection: sqlite3.Connection, check: Check) -> Iterator[Finding]:
    """Have SQLite check a database.

    Raises:
        sqlite3.Error: The check did not come to its end.
    """
    pragma = "integrity_check" if check is Check.FULL else "quick_check"
    found = _Found()
    for (text,) in connection.execute(f"PRAGMA {pragma}({_MOST})"):
        # What is found in the pages of a tree may come as one text.
        for line in text.splitlines():
            if line != "ok" and not line.startswith("***"):
                _kind(found, line).append(line)
    yield from _findings(found, pragma)


def _kind(found: _Found, line: str) -> list[str]:
    if _OF_INDEX.search(line):
        return found.indexes
    return found.rows if _OF_CONSTRAINT.match(line) else found.pages


def _findings(found: _Found, pragma: str) -> Iterator[Finding]:
    if found.pages:
        yield error(
            "corrupt",
            f"{pragma} finds {_number(found.pages)} damages",
            failures.SAVE,
            _shown(found.pages),
        )
    if found.indexes:
        yield error(
            "index_damaged",
            f"{pragma} finds {_number(found.indexes)} entries of indexes that do not fit their "
            "tables: queries give wrong answers",
            "`REINDEX`, if nothing else is damaged; then look for the reason: an old SQLite, "
            "a function or collation of the application's that changed",
            _shown(found.indexes),
        )
    if found.rows:
        yield warning(
            "constraint_violated",
            f"{pragma} finds {_number(found.rows)} values that the schema forbids",
            "correct these rows; the schema was changed under them, or checks were off "
            "(`PRAGMA ignore_check_constraints`)",
            _shown(found.rows),
        )


def _number(lines: list[str]) -> str:
    return f"at least {_MOST}" if len(lines) >= _MOST else str(len(lines))


def _shown(lines: list[str]) -> list[str]:
    more = len(lines) - 2 * _SHOWN
    return lines[: 2 * _SHOWN] + ([f"… and {more} more"] if more > 0 else [])


def foreign_keys(connection: sqlite3.Connection, holders: Holders) -> Iterator[Finding]:
    """Tell of rows that refer to none, by table; and of keys that can't be checked."""
    for table in declaring(connection):
        try:
            violations = connection.execute(f"PRAGMA foreign_key_check({contents.quoted(table)})")
            yield from _violations(table, violations)
        except sqlite3.Error as failure:
            if "foreign key mismatch" not in str(failure):
                yield failures.finding(failure, holders, f"foreign keys of {table}")
                continue
            yield warning(
                "foreign_key_mismatch",
                f"{failure}: the columns that it refers to are not a primary key and not unique",
                f"make a unique index on them: writes to {table} fail where foreign keys are "
                "enforced",
            )


def declaring(connection: sqlite3.Connection) -> list[str]:
    """Name the tables that declare foreign keys."""
    return [
        table
        for table in contents.tables(connection)
        if connection.execute(f"PRAGMA foreign_key_list({contents.quoted(table)})").fetchone()
    ]


def _violations(table: str, rows: sqlite3.Cursor) -> Iterator[Finding]:
    counted: Counter[str] = Counter()
    first: list[str] = []
    for _, rowid, parent, _ in rows:
        counted[parent] += 1
        if len(first) < _SHOWN:
            first.append(f"{table} rowid {rowid if rowid is not None else '?'} → {parent}")
    if counted:
        parents = ", ".join(f"{count} to {parent}" for parent, count in counted.items())
        yield warning(
            "foreign_key_violation",
            f"{counted.total()} references of {table} go to no row: {parents}",
            f"`PRAGMA foreign_key_check({contents.quoted(table)})` lists them; delete or correct "
            "them, and set `PRAGMA foreign_keys=ON` on every connection, for it is off at first",
            first,
        )
