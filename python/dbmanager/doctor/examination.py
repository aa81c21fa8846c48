"""Everything that is to be said of one database."""

import dataclasses
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbmanager import sqlite3
from dbmanager.doctor import (
    connection,
    contents,
    failures,
    files,
    header,
    holders,
    integrity,
    mounts,
    statistics,
    wal,
)
from dbmanager.doctor.connection import Way
from dbmanager.doctor.findings import Finding, error, warning
from dbmanager.doctor.integrity import Check
from dbmanager.doctor.locks import EXCLUDES_READERS, WRITES

_TRIES = 3
_WITHOUT_LOCK = frozenset({Way.IMMUTABLE, Way.COPY})
# What is found of a sound database that somebody writes or removes at that moment.
_MAY_PASS = frozenset({"corrupt", "not_readable", "schema_malformed", "truncated"})


@dataclass(slots=True)
class Examination:
    """The facts and the findings of one database."""

    path: str
    facts: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def traits(self) -> Iterator[str]:
        """Give what some of SQLite's bugs need."""
        if self.facts.get("journal_mode") == "wal":
            yield "wal"
        if self.facts.get("auto_vacuum") not in {None, "none"}:
            yield "auto_vacuum"


def examine(path: Path, check: Check) -> Examination:
    """Look at one database, without changing it."""
    examination = Examination(str(path))
    try:
        found = _settled(path, check, examination.facts)
    except OSError as failure:
        found = [_not_readable(failure)]
    examination.findings = [
        dataclasses.replace(finding, database=examination.path) for finding in found
    ]
    return examination


def _settled(path: Path, check: Check, facts: dict[str, Any]) -> list[Finding]:
    """Look until nobody came in between.

    What is read without a lock, or was not there any more when it was opened, may be a mixture.

    Raises:
        OSError: The database can't be looked at.
    """
    for _ in range(_TRIES):
        facts.clear()
        there = files.look(path)
        found = list(_examine(there, check, facts))
        is_locked = facts.get("read") not in _WITHOUT_LOCK
        is_well = _MAY_PASS.isdisjoint(finding.code for finding in found)
        if (is_locked and is_well) or files.look(path).stamp() == there.stamp():
            return found
    changing = "others changed it while it was looked at; what is said of its content may be wrong"
    return [*found, warning("changing", changing, "run it again when less is written")]


def _not_readable(failure: OSError) -> Finding:
    if isinstance(failure, FileNotFoundError):
        return error(
            "no_file",
            f"there is no file: {failure}",
            "check the path, and whether the disk is mounted that it is on",
        )
    return error(
        "not_readable",
        f"it can't be looked at: {failure}",
        "run it as the user of the application, or as root",
    )


def _examine(there: files.Files, check: Check, facts: dict[str, Any]) -> Iterator[Finding]:
    if not stat.S_ISREG(there.stat.st_mode):
        yield error("not_a_file", "it is a folder or a device, not a file", "name the database")
        return
    facts |= {"size_bytes": there.stat.st_size} | files.facts(there)
    head = header.read(there.path)
    parsed = header.parse(head)
    # Those who hold it before we open it: this process is not of interest.
    who = holders.look(there)
    facts["holders"] = who.facts()
    is_wal = parsed is not None and parsed.is_wal
    yield from files.findings(there, is_wal=is_wal)
    yield from holders.findings(who)
    facts["file_system"] = mounts.file_system(there.path)
    yield from mounts.findings(facts["file_system"], is_wal=is_wal)
    if parsed is None:
        yield header.not_a_database(head)
        return
    facts |= contents.of_header(parsed)
    log = wal.look(there, parsed.page_size)
    facts["wal"] = log.facts() if log else None
    yield from wal.findings(log, who)
    yield from _inside(there, parsed, who, check, facts)


def _inside(
    there: files.Files,
    parsed: header.Header,
    who: holders.Holders,
    check: Check,
    facts: dict[str, Any],
) -> Iterator[Finding]:
    is_hot = _is_hot(there, who)
    how = connection.way(there, is_wal=parsed.is_wal, is_hot=is_hot)
    facts |= {"read": str(how), "check": str(check)}
    if how in _WITHOUT_LOCK and who.with_lock(EXCLUDES_READERS):
        yield failures.locked(who, "it can't be read")
        return
    if is_hot:
        yield failures.hot_journal("what follows is true of a copy that was rolled back")
    if not there.size_bytes("-wal") and not there.size_bytes("-journal"):
        yield from header.size_findings(parsed, there.stat.st_size)
    try:
        with connection.opened(there, how) as opened:
            facts |= contents.facts(opened)
            yield from contents.free_pages(facts, str(there.path))
            yield from _checked(opened, who, check, facts)
    except sqlite3.Error as failure:
        yield failures.finding(failure, who, "it can't be read")
    except connection.NoRoomError as failure:
        yield error(
            "not_checked",
            f"its content was not looked at, for that needs a copy: {failure}",
            "set TMPDIR to a folder with more room",
        )


def _is_hot(there: files.Files, who: holders.Holders) -> bool:
    """Whether a transaction was interrupted, and is to be rolled back by whoever opens it next.

    The journal of one that runs is protected by a lock; one that is kept for later begins with
    zeros (https://sqlite.org/lockingv3.html, section 4.3).
    """
    if not there.size_bytes("-journal") or who.with_lock(WRITES):
        return False
    with there.side("-journal").open("rb") as file:
        return file.read(1) != b"\0"


def _checked(
    opened: sqlite3.Connection, who: holders.Holders, check: Check, facts: dict[str, Any]
) -> Iterator[Finding]:
    yield from contents.virtual_tables(opened)
    facts["tables_with_foreign_keys"] = integrity.declaring(opened)
    if check is Check.NONE:
        return
    try:
        yield from integrity.findings(opened, check)
    except sqlite3.Error as failure:
        yield failures.finding(failure, who, f"the {check} check did not come to its end")
    yield from integrity.foreign_keys(opened, who)
    yield from statistics.findings(opened)
