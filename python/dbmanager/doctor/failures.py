"""What SQLite's errors mean for a database that could not be read."""

import re

from dbmanager import sqlite3
from dbmanager.doctor.findings import Finding, error, warning
from dbmanager.doctor.holders import Holders
from dbmanager.doctor.locks import EXCLUDES_READERS

SAVE = (
    "stop what uses it, copy it with its -wal and -journal, then restore a backup; what is left "
    "can be saved by `sqlite3 DAMAGED .recover | sqlite3 SAVED`"
)
_MISSING = re.compile(
    r"no such (module|function|collation sequence|vfs|tokenizer)|unknown function"
)


def finding(failure: sqlite3.Error, holders: Holders, doing: str) -> Finding:
    """Make a finding of an error of SQLite.

    Raises:
        KeyboardInterrupt: It is none: nothing else than Ctrl-C interrupts our statements.
    """
    name = getattr(failure, "sqlite_errorname", "") or ""
    if name == "SQLITE_INTERRUPT":
        raise KeyboardInterrupt from failure
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return locked(holders, doing)
    if "malformed database schema" in str(failure):
        return error(
            "schema_malformed", f"{doing}: {failure}", f"nothing in it can be used; {SAVE}"
        )
    if name == "SQLITE_NOTADB":
        return error(
            "not_a_database",
            f"{doing}: {failure}: its first bytes are SQLite's, what follows is encrypted or "
            "damaged",
            f"open it with the program that made it; if that should be SQLite: {SAVE}",
        )
    if name.startswith("SQLITE_CORRUPT"):
        return error("corrupt", f"{doing}: {failure}", SAVE)
    if _MISSING.search(str(failure)):
        return missing(f"{doing}: {failure}")
    return error(
        "not_readable",
        f"{doing}: {failure}" + (f" ({name})" if name else ""),
        "look for the reason with the system: permissions, `dmesg` for errors of the disk",
    )


def locked(holders: Holders, doing: str) -> Finding:
    """Make a finding of a lock that keeps us out."""
    locking = holders.with_lock(EXCLUDES_READERS) or holders.processes
    return warning(
        "locked",
        f"{doing}: another process has it locked" + ("" if locking else "; it can't be told which"),
        "wait for it to end its transaction, or end it; then run this again "
        "(`PRAGMA locking_mode=EXCLUSIVE` keeps all others out as long as it is open)",
        map(str, locking),
    )


def is_hot_journal(failure: sqlite3.Error) -> bool:
    """Whether SQLite refuses to read since it may not roll a transaction back first."""
    return getattr(failure, "sqlite_errorname", "") == "SQLITE_READONLY_ROLLBACK"


def is_stale_index(failure: sqlite3.Error) -> bool:
    """Whether a -shm is no use, so that SQLite would have to write it before it can read."""
    name = getattr(failure, "sqlite_errorname", "") or ""
    return name in {"SQLITE_PROTOCOL", "SQLITE_READONLY_RECOVERY", "SQLITE_READONLY_CANTINIT"}


def hot_journal() -> Finding:
    """Make a finding of a transaction that was interrupted."""
    return warning(
        "hot_journal",
        "a process was killed within a transaction, and nobody has opened the database since: "
        "its journal is to be rolled back first. What follows is true of a copy on which that was "
        "done",
        "don't delete the journal; open the database with the application, or by "
        "`sqlite3 DATABASE 'PRAGMA schema_version'` as a user who may write it",
    )


def missing(what: str) -> Finding:
    """Make a finding of something that the application would have brought along."""
    return warning(
        "extension_missing",
        f"{what}: the application registers it, or loads it as an extension; here it is missing",
        "check what depends on it from within the application: `PRAGMA integrity_check`",
    )
