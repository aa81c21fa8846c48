"""What is inside of a database: facts, checks, and what kept us from looking."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dbmanager import sqlite3
from dbmanager.doctor import connection, contents, failures, header, integrity, statistics
from dbmanager.doctor.connection import Way
from dbmanager.doctor.files import Files
from dbmanager.doctor.findings import Finding, error
from dbmanager.doctor.header import Header
from dbmanager.doctor.holders import Holders
from dbmanager.doctor.integrity import Check
from dbmanager.doctor.locks import EXCLUDES_READERS, WRITES

WITHOUT_LOCK = frozenset({Way.IMMUTABLE, Way.COPY})


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a database."""

    files: Files
    header: Header
    holders: Holders
    check: Check
    facts: dict[str, Any]
    """What is found out is added to it."""

    def findings(self) -> Iterator[Finding]:
        """Read a database, in the way that changes nothing."""
        is_hot = self.header.is_wal and self._has_hot_journal()
        way = connection.way(self.files, is_wal=self.header.is_wal, is_hot=is_hot)
        self.facts.update(read=str(way), check=str(self.check))
        if way in WITHOUT_LOCK and self.holders.with_lock(EXCLUDES_READERS):
            yield failures.locked(self.holders, "it can't be read")
            return
        if not self.files.size_bytes("-wal") and not self.files.size_bytes("-journal"):
            yield from header.size_findings(self.header, self.files.stat.st_size)
        if is_hot:
            yield failures.hot_journal()
        try:
            yield from self._inside(way)
        except sqlite3.Error as failure:
            yield from self._refused(failure)

    def _refused(self, failure: sqlite3.Error) -> Iterator[Finding]:
        if failures.is_hot_journal(failure):
            # Only SQLite can tell, by its locks, an interrupted transaction from one that runs.
            yield failures.hot_journal()
            yield from self._copy()
        elif failures.is_stale_index(failure) and not self.holders.processes:
            # The next one to open it makes the index anew from the WAL, and so does a copy.
            yield from self._copy()
        else:
            yield failures.finding(failure, self.holders, "it can't be read")

    def _copy(self) -> Iterator[Finding]:
        self.facts["read"] = str(Way.COPY)
        try:
            yield from self._inside(Way.COPY)
        except sqlite3.Error as failure:
            yield failures.finding(failure, self.holders, "a copy can't be read")

    def _inside(self, way: Way) -> Iterator[Finding]:
        """Open a database and look.

        Raises:
            sqlite3.Error: SQLite refuses.
        """
        try:
            with connection.opened(self.files, way) as opened:
                self.facts.update(contents.facts(opened))
                yield from contents.free_pages(self.facts, str(self.files.path))
                yield from self._checked(opened)
        except (connection.NoRoomError, OSError) as failure:
            yield error(
                "not_checked",
                f"its content was not looked at, for that needs a copy: {failure}",
                "set TMPDIR to a folder with more room, and run it as a user who may read all of "
                "the database's files",
            )

    def _checked(self, opened: sqlite3.Connection) -> Iterator[Finding]:
        yield from contents.virtual_tables(opened)
        self.facts["tables_with_foreign_keys"] = integrity.declaring(opened)
        if self.check is Check.NONE:
            return
        try:
            yield from integrity.findings(opened, self.check)
        except sqlite3.Error as failure:
            doing = f"the {self.check} check did not come to its end"
            yield failures.finding(failure, self.holders, doing)
        yield from integrity.foreign_keys(opened, self.holders)
        yield from statistics.findings(opened)

    def _has_hot_journal(self) -> bool:
        """Whether an interrupted transaction is to be rolled back before a WAL database is read.

        The journal of one that runs is protected by a lock; one that is kept for later begins with
        zeros (https://sqlite.org/lockingv3.html, section 4.3).
        """
        if not self.files.size_bytes("-journal") or self.holders.with_lock(WRITES):
            return False
        try:
            with self.files.side("-journal").open("rb") as file:
                return file.read(1) != b"\0"
        except FileNotFoundError:
            return False
