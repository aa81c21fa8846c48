"""What is to be done about the copies of SQLite in an environment."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from dbmanager.doctor import bugs
from dbmanager.doctor.copies import Copies, Copy
from dbmanager.doctor.findings import Finding, note, warning

_EXPECTED = {"sqlite3 (Python)", "dbmanager"}


def findings(copies: Copies, *, traits: Collection[str]) -> Iterator[Finding]:
    """Tell of copies with known bugs, and of several copies.

    Args:
        copies: What was found.
        traits: What the databases have that are looked at: ``wal``, ``auto_vacuum``. A bug that
            needs one of them is a warning where it is there.
    """
    yield from _bugs(copies.copies, traits)
    others = [copy for copy in copies.copies if copy.owner not in _EXPECTED]
    if others:
        yield note(
            "several_copies",
            "other packages bring SQLite, too: two copies that open one file in one process undo "
            "each other's locks (https://sqlite.org/howtocorrupt.html, section 2.2.1)",
            "open each database with one of them only, or with one of them and dbmanager, which "
            "keeps its locks (docs/safety.md)",
            _named(others),
        )
    if copies.not_searched:
        yield note(
            "environment_incomplete",
            f"{len(copies.not_searched)} libraries were not searched for a copy of SQLite",
            "run it again with `--seconds` set higher; those that can't be read need permissions",
            copies.not_searched[:5],
        )


def _bugs(copies: list[Copy], traits: Collection[str]) -> Iterator[Finding]:
    by_bug: dict[bugs.Bug, list[Copy]] = defaultdict(list)
    for copy in copies:
        for bug in bugs.of(copy.version):
            by_bug[bug].append(copy)
    for bug, having in by_bug.items():
        make = warning if bug.needs in traits else note
        fixed = ", ".join(_text(version) for version in (*sorted(bug.also_fixed), bug.fixed))
        yield make(
            "sqlite_bug",
            f"{bug.name}: {bug.what} ({bug.page})",
            f"take a SQLite with the fix ({fixed} or newer): `from dbmanager import sqlite3` has "
            "a current one; a distribution may have mended an older version",
            _named(having),
        )


def _named(copies: list[Copy]) -> list[str]:
    """Name copies, those of one package once."""
    return list(dict.fromkeys(f"{copy.owner}: SQLite {copy.version}" for copy in copies))


def _text(version: bugs.Version) -> str:
    return ".".join(map(str, version))
