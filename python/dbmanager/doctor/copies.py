"""The copies of SQLite in an environment: Python's, ours, and those inside other packages.

A copy is known by three texts that each has: how a database file begins, the date and hash of the
source, and the version. Nothing is loaded or run to find them.
"""

import importlib.metadata
import mmap
import re
import sqlite3 as stdlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dbmanager import sqlite3
from dbmanager.doctor.header import MAGIC

_LIBRARY = re.compile(r"\.(so|dylib|dll|pyd)(\.\d+)*$")
_SOURCE = re.compile(rb"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f]{40,64}(?:alt\d+)?")
_VERSION = re.compile(rb"(?<![0-9.\-])3\.\d{1,2}\.\d{1,2}(?=(?:\.\d{1,2})?\0)")
_LIKELY = re.compile(r"sqlite|apsw|libsql|sqlcipher|duckdb", re.IGNORECASE)
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of SQLite."""

    owner: str
    """Whose it is: ``sqlite3 (Python)``, ``dbmanager``, or a distribution and its version."""
    version: str
    source_id: str
    path: str


@dataclass(slots=True)
class Copies:
    """What was found in an environment."""

    copies: list[Copy] = field(default_factory=list)
    not_searched: list[str] = field(default_factory=list)
    """Libraries for which there was no time, or that could not be read."""

    def facts(self) -> dict[str, object]:
        """Tell of it in JSON's types."""
        return {
            "copies": [asdict(copy) for copy in self.copies],
            "not_searched": self.not_searched,
        }


def look(seconds: float = SECONDS) -> Copies:
    """Find the copies of SQLite that this environment has.

    Args:
        seconds: After so long no further library is searched; those that are named after SQLite
            come first, then the small ones.
    """
    ends = time.monotonic() + seconds
    found = Copies([_loaded("sqlite3 (Python)", stdlib), _loaded("dbmanager", sqlite3)])
    for owner, path in sorted(_libraries(), key=_rank):
        if time.monotonic() > ends:
            found.not_searched.append(str(path))
            continue
        try:
            copy = _search(owner, path)
        except (OSError, ValueError):
            found.not_searched.append(str(path))
            continue
        found.copies += [copy] if copy else []
    return found


def _loaded(owner: str, module: object) -> Copy:
    connection: stdlib.Connection = module.connect(":memory:")  # type: ignore[attr-defined]
    try:
        version, source = connection.execute(
            "SELECT sqlite_version(), sqlite_source_id()"
        ).fetchone()
    finally:
        connection.close()
    return Copy(owner, version, source, str(getattr(module, "__file__", "")))


def _libraries() -> Iterator[tuple[str, Path]]:
    """Give the shared libraries of all distributions but this one, each once."""
    seen: set[Path] = set()
    for distribution in importlib.metadata.distributions():
        name = distribution.name
        for file in distribution.files or () if name != "dbmanager" else ():
            path = Path(str(file.locate()))
            if _LIBRARY.search(file.name) and path not in seen and path.is_file():
                seen.add(path)
                yield f"{name} {distribution.version}", path


def _rank(library: tuple[str, Path]) -> tuple[bool, int]:
    owner, path = library
    return not _LIKELY.search(f"{owner} {path.name}"), path.stat().st_size


def _search(owner: str, path: Path) -> Copy | None:
    """Search a library for a copy of SQLite.

    Raises:
        OSError: It can't be read.
        ValueError: It is empty.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        # The quick one first: most libraries have none.
        if content.find(MAGIC) < 0:
            return None
        source, version = _SOURCE.search(content), _VERSION.search(content)
        if source is None or version is None:
            return None
        return Copy(owner, version[0].decode(), source[0].decode(), str(path))
