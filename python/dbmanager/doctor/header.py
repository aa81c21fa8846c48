"""The first hundred bytes of a file: whether it is a database, and what it says of itself.

They are read before SQLite opens the file: a process that closes a descriptor of a file gives back
all its POSIX locks on it (https://sqlite.org/howtocorrupt.html, section 2.2).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dbmanager.doctor.findings import Finding, error, warning

MAGIC = b"SQLite format 3\0"
SIZE = 100
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_WAL_MAGICS = (0x377F0682, 0x377F0683)
_ENCODINGS = {1: "UTF-8", 2: "UTF-16le", 3: "UTF-16be"}


@dataclass(frozen=True, slots=True)
class Header:
    """What https://sqlite.org/fileformat2.html, section 1.3, has in a file's header."""

    page_size: int
    is_wal: bool
    page_count: int | None
    """None where a version of SQLite before 3.7.0 wrote last, which did not keep it."""
    free_pages: int
    encoding: str
    user_version: int
    application_id: int
    auto_vacuum: str
    written_by: str
    """The version of SQLite that wrote last."""


def read(path: Path) -> bytes:
    """Read a file's header, or as much as there is of it."""
    with path.open("rb") as file:
        return file.read(SIZE)


def parse(head: bytes) -> Header | None:
    """Read a header; None if it is not a database's."""
    if len(head) < SIZE or not head.startswith(MAGIC):
        return None
    (page_size,) = struct.unpack_from(">H", head, 16)
    changes, pages, _, free = struct.unpack_from(">4I", head, 24)
    largest_root, encoding, user_version, incremental, application_id = struct.unpack_from(
        ">2IiIi", head, 52
    )
    valid_for, version = struct.unpack_from(">2I", head, 92)
    return Header(
        page_size=65536 if page_size == 1 else page_size,
        is_wal=head[19] == 2,
        page_count=pages if valid_for == changes and pages else None,
        free_pages=free,
        encoding=_ENCODINGS.get(encoding, "none yet"),
        user_version=user_version,
        application_id=application_id,
        auto_vacuum=("incremental" if incremental else "full") if largest_root else "none",
        written_by=_version(version),
    )


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1_000 % 1_000}.{number % 1_000}"


def not_a_database(head: bytes) -> Finding:
    """Say what a file is instead of a database."""
    if not head:
        return warning(
            "empty",
            "the file has 0 bytes: SQLite takes it for a new database without tables",
            "check the path; if there should be data, restore a backup",
        )
    if head.startswith(_JOURNAL_MAGIC) or _is_wal(head):
        return error(
            "not_a_database",
            "the file is the journal or the WAL of a database, not a database",
            "name the database itself, without '-journal' or '-wal'; don't delete this file",
        )
    if head.startswith(MAGIC):
        return error(
            "truncated",
            f"the file ends after {len(head)} bytes, within the header",
            "restore a backup",
        )
    return error(
        "not_a_database",
        "the file does not begin as a SQLite database: it is encrypted, overwritten or another "
        "file",
        "open it with the program that made it; if that should be SQLite, restore a backup",
    )


def _is_wal(head: bytes) -> bool:
    return len(head) >= 4 and int.from_bytes(head[:4], "big") in _WAL_MAGICS


def size_findings(header: Header, size_bytes: int) -> Iterator[Finding]:
    """Compare the size that a header tells with the file's.

    It may be wrong while somebody commits, and where the newest pages are in a WAL.
    """
    expected = (header.page_count or 0) * header.page_size
    if size_bytes < expected:
        yield error(
            "truncated",
            f"the file has {size_bytes} bytes, its header says {expected} "
            f"({header.page_count} pages of {header.page_size})",
            "restore a backup; what is left can be saved by "
            "`sqlite3 DAMAGED .recover | sqlite3 SAVED`",
        )
