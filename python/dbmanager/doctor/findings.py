"""What is found, how grave it is, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """Data is damaged or can't be read, or will be damaged by what is set up."""
    WARNING = "warning"
    """Something is to be done, though nothing is lost yet."""
    NOTE = "note"
    """Good to know."""


ORDER = list(Severity)

# All that there are: docs/doctor.md says what each means.
# fmt: off
CODES = frozenset({
    "analyzed_long_ago", "changing", "constraint_violated", "corrupt", "empty",
    "environment_incomplete", "extension_missing", "folder_read_only", "foreign_key_mismatch",
    "foreign_key_violation", "free_pages", "fuse_file_system", "hard_links", "holders_unknown",
    "holders_unseen", "hot_journal", "index_damaged", "locked", "mounted_file",
    "network_file_system", "never_analyzed", "no_file", "not_a_database", "not_a_file",
    "not_checked", "not_readable", "other_owner", "read_only", "removed_while_open",
    "schema_malformed", "several_copies", "sqlite_bug", "symlink", "truncated", "wal_kept",
    "wal_large", "wal_left", "world_writable",
})
# fmt: on


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found."""

    code: str
    """A short word that stays the same from release to release."""
    severity: Severity
    found: str
    advice: str
    """What to do: a command, a setting."""
    details: tuple[str, ...] = ()
    """Lines that SQLite gave, rows, processes."""
    database: str = ""
    """Its path; empty for what is true of the environment."""


def error(code: str, found: str, advice: str, details: Iterable[str] = ()) -> Finding:
    """Make a finding of something that is broken."""
    return Finding(
        code=code, severity=Severity.ERROR, found=found, advice=advice, details=tuple(details)
    )


def warning(code: str, found: str, advice: str, details: Iterable[str] = ()) -> Finding:
    """Make a finding of something to be done."""
    return Finding(
        code=code, severity=Severity.WARNING, found=found, advice=advice, details=tuple(details)
    )


def note(code: str, found: str, advice: str, details: Iterable[str] = ()) -> Finding:
    """Make a finding that is good to know."""
    return Finding(
        code=code, severity=Severity.NOTE, found=found, advice=advice, details=tuple(details)
    )
