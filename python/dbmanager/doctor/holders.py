"""Who has a database open, and which of SQLite's locks they hold; Linux only.

A process's own files tell of its locks exactly, those of open file descriptions included, which
dbmanager uses. Of processes that can't be looked at, the kernel's list names the POSIX locks.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from dbmanager.doctor import locks
from dbmanager.doctor.files import Files
from dbmanager.doctor.findings import Finding, note, warning

PROC = Path("/proc")


@dataclass(slots=True)
class Holder:
    """A process that has a database open."""

    pid: int | None
    """None for a lock whose process can't be told."""
    command: str
    files: list[str] = field(default_factory=list)
    """Which: ``database``, ``-wal``, ``-shm``, ``-journal``; ``removed`` for a file that had the
    database's path before."""
    locks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        who = "a process of another user" if self.pid is None else f"{self.pid} ({self.command})"
        return f"{who}: {', '.join(self.locks) or 'no lock'}"


@dataclass(slots=True)
class Holders:
    """All that could be found out."""

    is_known: bool
    """False where the system does not tell."""
    processes: list[Holder] = field(default_factory=list)
    not_seen: int = 0
    """How many processes could not be looked at."""

    def with_lock(self, wanted: frozenset[str]) -> list[Holder]:
        """Give those who hold any of some locks."""
        return [holder for holder in self.processes if wanted.intersection(holder.locks)]

    def facts(self) -> dict[str, object]:
        """Tell of it in JSON's types."""
        return {
            "known": self.is_known,
            "processes": [asdict(holder) for holder in self.processes],
            "processes_not_seen": self.not_seen,
        }


def look(files: Files) -> Holders:
    """Find the processes that have a database's files open, but for this one."""
    try:
        pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        listed = (PROC / "locks").read_text(encoding="ascii", errors="replace")
    except OSError:
        return Holders(is_known=False)
    found = Holders(is_known=True)
    seen = {os.getpid()}
    for pid in sorted({*pids} - seen):
        try:
            holder = _holder(pid, files)
        except PermissionError:
            found.not_seen += 1
            continue
        except OSError:
            # It has ended meanwhile.
            holder = None
        seen.add(pid)
        found.processes += [holder] if holder else []
    found.processes += _from_list(listed, files, seen, found)
    return found


def _holder(pid: int, files: Files) -> Holder | None:
    folder = PROC / str(pid)
    holder = Holder(pid=pid, command=_command(folder))
    for descriptor in (folder / "fd").iterdir():
        end = _which(descriptor, files)
        if end is None:
            continue
        holder.files += [end] if end not in holder.files else []
        info = (folder / "fdinfo" / descriptor.name).read_text(encoding="ascii", errors="replace")
        _note_locks(holder, locks.parse(info), end)
    return holder if holder.files else None


def _which(descriptor: Path, files: Files) -> str | None:
    try:
        found = descriptor.stat()
        link = str(descriptor.readlink())
    except FileNotFoundError:
        return None
    if os.path.samestat(found, files.stat):
        return "database"
    for end, side in files.sides.items():
        if os.path.samestat(found, side):
            return end
    return "removed" if link == f"{files.path} (deleted)" else None


def _note_locks(holder: Holder, held: Iterator[locks.Lock], end: str) -> None:
    if end not in {"database", "-shm"}:
        return
    for lock in held:
        for name in locks.names(lock, is_index=end == "-shm"):
            holder.locks += [name] if name not in holder.locks else []


def _command(folder: Path) -> str:
    words = (folder / "cmdline").read_bytes().split(b"\0")
    text = b" ".join(word for word in words if word).decode("utf-8", "replace")
    return text or (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()


def _from_list(listed: str, files: Files, seen: set[int], others: Holders) -> Iterator[Holder]:
    """Make holders of the locks whose processes could not be looked at."""
    found: dict[int, Holder] = {}
    known = {name for holder in others.processes for name in holder.locks}
    for lock in locks.parse(listed):
        end = _locked(lock, files)
        if end is None or lock.pid in seen or (lock.pid < 0 and not others.not_seen):
            continue
        named = set(locks.names(lock, is_index=end == "-shm"))
        if lock.pid < 0 and named <= known:
            # That of an open file description, seen where it belongs.
            continue
        holder = found.setdefault(lock.pid, _unseen(lock.pid))
        holder.files += [end] if end not in holder.files else []
        _note_locks(holder, iter([lock]), end)
    yield from found.values()


def _unseen(pid: int) -> Holder:
    if pid < 0:
        return Holder(pid=None, command="")
    try:
        return Holder(pid=pid, command=_command(PROC / str(pid)))
    except OSError:
        return Holder(pid=pid, command="?")


def _locked(lock: locks.Lock, files: Files) -> str | None:
    for end, found in (("database", files.stat), *files.sides.items()):
        device = os.major(found.st_dev), os.minor(found.st_dev)
        if (lock.device, lock.inode) == (device, found.st_ino):
            return end
    return None


def findings(holders: Holders) -> Iterator[Finding]:
    """Tell what could not be looked at, and who writes into a file that is gone."""
    if not holders.is_known:
        yield note(
            "holders_unknown",
            f"who has the database open can't be told on this system ({sys.platform})",
            "ask with the system's own tools: `lsof DATABASE`, `fuser DATABASE`",
        )
    if holders.not_seen:
        yield note(
            "holders_unseen",
            f"{holders.not_seen} processes of other users could not be looked at; of them only "
            "locks are known, not who has the database open without one",
            "run it again as root, or as the user of the application",
        )
    if gone := [holder for holder in holders.processes if "removed" in holder.files]:
        yield warning(
            "removed_while_open",
            "a database at this path was removed or replaced while it was open; what these "
            "processes write is lost",
            "restart them, and stop them first the next time that the file is replaced",
            map(str, gone),
        )
