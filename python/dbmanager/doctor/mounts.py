"""The file system that a database is on: over a network, locks and shared memory do not work."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dbmanager.doctor.findings import Finding, error, note, warning

MOUNTS = Path("/proc/self/mountinfo")
# Those that several machines may have mounted at once.
# fmt: off
_NETWORK = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs",
    "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2",
    "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a file system is seen, and of which type it is."""

    point: Path
    kind: str


def look(path: Path) -> Mount | None:
    """Find the file system that a file is on; None where the system does not tell."""
    try:
        text = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    found = None
    for mount in _mounts(text):
        # The later one of the same folder lies above the earlier.
        is_nearer = found is None or len(mount.point.parts) >= len(found.point.parts)
        if path.is_relative_to(mount.point) and is_nearer:
            found = mount
    return found


def _mounts(text: str) -> Iterator[Mount]:
    """Read lines as proc(5) has them: the point is the fifth field, the type follows a dash."""
    for line in text.splitlines():
        first, dash, last = line.partition(" - ")
        if dash and len(fields := first.split()) >= 5:
            yield Mount(Path(_unescaped(fields[4])), last.split()[0])


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def findings(mount: Mount | None, path: Path, *, is_wal: bool) -> Iterator[Finding]:
    """Tell whether a database may be on such a file system."""
    if mount is None:
        return
    if mount.point == path:
        yield warning(
            "mounted_file",
            "the file is mounted alone, as into a container: who opens it elsewhere has another "
            "folder around it, so neither sees the journal and the WAL of the other",
            "mount the folder that it is in",
        )
    yield from _of_kind(mount.kind, is_wal=is_wal)


def _of_kind(kind: str, *, is_wal: bool) -> Iterator[Finding]:
    if kind in _NETWORK:
        make = error if is_wal else warning
        yield make(
            "network_file_system",
            f"the file is on {kind}, which other machines may mount, too: "
            + ("the WAL's shared memory is not shared there" if is_wal else "locks may not hold"),
            "move it to a disk of this machine; "
            + (
                "or, with nobody else using it, `PRAGMA journal_mode=DELETE`"
                if is_wal
                else "let one machine only open it"
            ),
        )
    elif kind.startswith("fuse.") or kind == "fuse":
        make = warning if is_wal else note
        yield make(
            "fuse_file_system",
            f"the file is on {kind}, a program's file system: whether its locks and shared memory "
            "work is that program's affair",
            "move it to a disk of this machine if several processes or machines open it",
        )
