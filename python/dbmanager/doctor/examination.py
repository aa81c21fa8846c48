"""Everything that is to be said of one database."""

import dataclasses
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbmanager.doctor import contents, files, header, holders, mounts, wal
from dbmanager.doctor.findings import Finding, error, warning
from dbmanager.doctor.integrity import Check
from dbmanager.doctor.reading import WITHOUT_LOCK, Reading

_TRIES = 3
# What is found of a sound database that somebody writes or removes at that moment.
_MAY_PASS = frozenset(
    {"corrupt", "not_checked", "not_readable", "schema_malformed", "truncated", "wal_left"}
)


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
        is_locked = facts.get("read") not in WITHOUT_LOCK
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
    try:
        head = header.read(there.path)
    except PermissionError as failure:
        yield _not_readable(failure)
        yield from files.findings(there, is_wal=False)
        return
    parsed = header.parse(head)
    # Those who hold it before we open it: this process is not of interest.
    who = holders.look(there)
    facts["holders"] = who.facts()
    is_wal = parsed is not None and parsed.is_wal
    yield from files.findings(there, is_wal=is_wal)
    yield from holders.findings(who)
    mount = mounts.look(there.path)
    facts["file_system"] = mount.kind if mount else None
    yield from mounts.findings(mount, there.path, is_wal=is_wal)
    if parsed is None:
        yield header.not_a_database(head)
        return
    facts |= contents.of_header(parsed)
    log = wal.look(there, parsed.page_size)
    facts["wal"] = log.facts() if log else None
    yield from wal.findings(log, who)
    yield from Reading(there, parsed, who, check, facts).findings()
