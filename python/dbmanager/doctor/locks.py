"""What SQLite's locks mean: bytes of a database's file and of its -shm.

https://sqlite.org/src/file/src/os_unix.c and https://sqlite.org/walformat.html tell which bytes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PENDING = 0x40000000
_RESERVED = _PENDING + 1
_SHARED_FIRST = _PENDING + 2
_SHARED_LAST = _SHARED_FIRST + 509
_WAL_BYTES = {
    120: "wal_write",
    121: "wal_checkpoint",
    122: "wal_recover",
    **{123 + mark: f"wal_read_{mark}" for mark in range(5)},
    128: "wal_open",
}
# "1: POSIX  ADVISORY  READ 7422 fe:00:10059791 128 128"; those who wait have an arrow.
_LINE = re.compile(
    r"\d+: (?P<waits>->)? *(?P<kind>\w+) +\w+ +(?P<access>\w+) +(?P<pid>-?\d+) "
    r"(?P<device>[0-9a-f]+:[0-9a-f]+):(?P<inode>\d+) (?P<start>\d+) (?P<end>\d+|EOF)"
)

EXCLUDES_READERS = frozenset({"exclusive", "pending"})
WRITES = frozenset({"exclusive", "pending", "reserved", "wal_write"})


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock as the kernel tells of it."""

    pid: int
    """-1 for locks of an open file description, which processes may share."""
    device: tuple[int, int]
    inode: int
    writes: bool
    start: int
    end: int

    def covers(self, first: int, last: int) -> bool:
        """Whether it is on any of these bytes."""
        return self.start <= last and first <= self.end


def parse(text: str) -> Iterator[Lock]:
    """Read what ``/proc/locks`` or a ``/proc/PID/fdinfo`` file says; only what is held."""
    for line in text.splitlines():
        found = _LINE.match(line.removeprefix("lock:").strip())
        if found is None or found["waits"] or found["kind"] not in {"POSIX", "OFDLCK"}:
            continue
        major, minor = found["device"].split(":")
        yield Lock(
            pid=int(found["pid"]),
            device=(int(major, 16), int(minor, 16)),
            inode=int(found["inode"]),
            writes=found["access"] == "WRITE",
            start=int(found["start"]),
            end=2**63 - 1 if found["end"] == "EOF" else int(found["end"]),
        )


def names(lock: Lock, *, is_index: bool) -> Iterator[str]:
    """Name SQLite's locks that one of the kernel's stands for, on the database or on its -shm."""
    if is_index:
        yield from (name for byte, name in _WAL_BYTES.items() if lock.covers(byte, byte))
        return
    if lock.covers(_SHARED_FIRST, _SHARED_LAST):
        yield "exclusive" if lock.writes else "shared"
    if lock.writes and lock.covers(_RESERVED, _RESERVED):
        yield "reserved"
    if lock.writes and lock.covers(_PENDING, _PENDING):
        yield "pending"
