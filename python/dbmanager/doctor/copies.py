"""The copies of SQLite in an environment: Python's, ours, and those inside other packages.

A copy is known by three texts that each has: how a database file begins, the date and hash of the
source, and the version. Nothing is loaded or run to find them.
"""

import _sqlite3
import contextlib
import importlib.metadata
import math
import mmap
import re
import sqlite3 as stdlib
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dbmanager import _core, sqlite3
from dbmanager.doctor.header import MAGIC

_LIBRARY = re.compile(r"\.(so|dylib|dll|pyd)(\.\d+)*$")
_SOURCE = re.compile(rb"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d [0-9a-f]{40,64}(?:alt\d+)?")
_VERSION = re.compile(rb"(?<![0-9.\-])3\.\d{1,2}\.\d{1,2}(?=(?:\.\d{1,2})?\0)")
_LIKELY = re.compile(r"sqlite|apsw|libsql|sqlcipher|duckdb", re.IGNORECASE)
_PART = 1 << 26
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
    found = Copies([_pythons_own(), _our_own()])
    for owner, path in sorted(_libraries(), key=_rank):
        if time.monotonic() > ends:
            found.not_searched.append(str(path))
            continue
        try:
            copy = _search(owner, path, ends)
        except (OSError, ValueError):
            found.not_searched.append(str(path))
            continue
        found.copies += [copy] if copy else []
    return found


def _pythons_own() -> Copy:
    """Tell of the SQLite of Python's ``sqlite3``.

    No connection asks it: that would be a direct call, which our shim may route or refuse.
    """
    owner = "sqlite3 (Python)"
    for path in _loaded_libraries():
        try:
            copy = _search(owner, path, math.inf)
        except (OSError, ValueError):
            # Replaced since it was loaded.
            continue
        if copy is not None and copy.version == stdlib.sqlite_version:
            return copy
    return Copy(owner, stdlib.sqlite_version, "", "")


def _loaded_libraries() -> Iterator[Path]:
    """Give the files that Python's SQLite may be in: a library, its module, or Python itself."""
    with contextlib.suppress(FileNotFoundError):
        # Without /proc the module and Python itself are left.
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
        paths = {line.partition("/")[2] for line in mapped.splitlines()}
        yield from (Path(f"/{path}") for path in sorted(paths) if "libsqlite3" in path)
    module = getattr(_sqlite3, "__file__", None)
    yield from (Path(path) for path in (module, sys.executable) if path)


def _our_own() -> Copy:
    with closing(sqlite3.connect(":memory:")) as connection:
        (source,) = connection.execute("SELECT sqlite_source_id()").fetchone()
    return Copy("dbmanager", sqlite3.sqlite_version, source, _core.__file__)


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


def _has_magic(content: mmap.mmap, ends: float) -> bool:
    """Look for how a database begins, a part at a time: a library may have gigabytes.

    Raises:
        TimeoutError: The time is up.
    """
    for start in range(0, len(content), _PART):
        if time.monotonic() > ends:
            raise TimeoutError
        if content.find(MAGIC, start, start + _PART + len(MAGIC)) >= 0:
            return True
    return False


def _search(owner: str, path: Path, ends: float) -> Copy | None:
    """Search a library for a copy of SQLite.

    Raises:
        OSError: It can't be read, or the time is up.
        ValueError: It is empty.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        # The quick one first: most libraries have none.
        if not _has_magic(content, ends):
            return None
        source, version = _SOURCE.search(content), _VERSION.search(content)
        if source is None or version is None:
            return None
        return Copy(owner, version[0].decode(), source[0].decode(), str(path))
