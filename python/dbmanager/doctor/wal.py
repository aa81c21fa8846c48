"""The WAL of a database: how long it is, how much of it is in the file already, who keeps it so.

https://sqlite.org/walformat.html tells what stands in the -shm.
"""

import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from dbmanager.doctor.files import Files
from dbmanager.doctor.findings import Finding, note, warning
from dbmanager.doctor.holders import Holders

# SQLite copies a WAL into its database when it has so many pages, unless it is told otherwise
# (https://sqlite.org/pragma.html#pragma_wal_autocheckpoint).
_AUTOCHECKPOINT_PAGES = 1000
_TOO_MANY = 4
_VERSION = 3007000
_FRAME_HEADER_SIZE = 24
_HEADER_SIZE = 32
_TRUNCATE = "`PRAGMA wal_checkpoint(TRUNCATE)`"


@dataclass(frozen=True, slots=True)
class Index:
    """What the index of a WAL says."""

    frames: int
    """The pages that are in use in the WAL."""
    checkpointed: int
    """So many of them are in the database already."""
    read_marks: tuple[int, ...]
    """The frame up to which the readers of each mark see the database."""


@dataclass(frozen=True, slots=True)
class Wal:
    """The WAL of a database."""

    size_bytes: int
    page_size: int
    index: Index | None

    @property
    def room_frames(self) -> int:
        """How many pages the file has room for."""
        frame = self.page_size + _FRAME_HEADER_SIZE
        return max(0, self.size_bytes - _HEADER_SIZE) // frame

    def facts(self) -> dict[str, object]:
        """Tell of it in JSON's types."""
        found: dict[str, object] = {"size_bytes": self.size_bytes, "room_frames": self.room_frames}
        return found | (asdict(self.index) if self.index else {})


def look(files: Files, page_size: int) -> Wal | None:
    """Look at the WAL of a database; None if it has none."""
    if "-wal" not in files.sides:
        return None
    index = None
    if "-shm" in files.sides:
        index = _index(files.side("-shm"))
    return Wal(files.size_bytes("-wal"), page_size, index)


def _index(path: Path) -> Index | None:
    """Read an index; None if there is none yet, or this user may not."""
    try:
        with path.open("rb") as file:
            head = file.read(136)
    except OSError:
        return None
    if len(head) < 136:
        return None
    version, _, _, is_made, _, _, frames = struct.unpack_from("=3I2BHI", head)
    if version != _VERSION or not is_made:
        return None
    checkpointed, *marks = struct.unpack_from("=6I", head, 96)
    return Index(frames, checkpointed, tuple(0 if mark == 2**32 - 1 else mark for mark in marks))


def findings(wal: Wal | None, holders: Holders) -> Iterator[Finding]:
    """Tell whether a WAL is left over, or larger than it should be, and why."""
    if wal is None or not wal.size_bytes:
        return
    # Who has a WAL database open holds a lock, which the kernel lists even of processes that can't
    # be looked at; not those of other containers.
    if holders.is_known and not holders.processes:
        yield warning(
            "wal_left",
            "no process of this system is seen to have the database open, but it has a WAL of "
            f"{wal.size_bytes} bytes: who had it open last was killed, or it was copied. The WAL "
            "may hold commits that the file does not",
            f"don't delete the WAL; open the database with the application, or run {_TRUNCATE} "
            "and close it",
        )
    elif wal.room_frames > _TOO_MANY * _AUTOCHECKPOINT_PAGES:
        yield _large(wal, holders)


def _large(wal: Wal, holders: Holders) -> Finding:
    found = f"the WAL has {wal.size_bytes} bytes, room for {wal.room_frames} pages"
    if wal.index is None:
        advice = f"end reads and transactions that last long, then run {_TRUNCATE}"
        return warning("wal_large", found, advice)
    pending = wal.index.frames - wal.index.checkpointed
    found += f"; {wal.index.frames} are in use, {pending} of them not yet in the database"
    if readers := _readers(wal.index, holders):
        return warning(
            "wal_kept",
            f"{found}: readers of an older state keep them from being copied or the WAL from "
            "being used anew",
            "end these reads (a cursor that is not read to its end, a transaction that stays "
            f"open), then run {_TRUNCATE}",
            map(str, readers),
        )
    if pending > _TOO_MANY * _AUTOCHECKPOINT_PAGES:
        return warning(
            "wal_large",
            f"{found}: no checkpoint comes to its end, or none is asked for",
            f"run {_TRUNCATE}; look for `wal_autocheckpoint=0` and for transactions that write "
            "very much",
        )
    return note(
        "wal_large",
        f"{found}: it has been larger once and keeps its size",
        f"{_TRUNCATE} makes it small, `PRAGMA journal_size_limit=BYTES` keeps it so",
    )


def _readers(index: Index, holders: Holders) -> list[object]:
    """Give who reads a state that is older than the newest.

    Mark 0 is that of readers who need nothing of the WAL: nothing may be copied under them.
    """
    older = frozenset(
        f"wal_read_{number}"
        for number, mark in enumerate(index.read_marks)
        if number == 0 or mark < index.frames
    )
    return list(holders.with_lock(older)) if index.checkpointed < index.frames else []
