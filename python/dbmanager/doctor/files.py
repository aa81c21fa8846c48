"""A database's files, whose they are and who may write them."""

import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dbmanager.doctor.findings import Finding, error, note, warning

SIDES = ("-journal", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Files:
    """A database's file and those beside it, as they were at one moment."""

    asked: Path
    """As it was named."""
    path: Path
    """Where it is, without links: SQLite puts the WAL and the journal beside this one."""
    stat: os.stat_result
    sides: dict[str, os.stat_result]
    """By what is added to the database's name."""

    def side(self, end: str) -> Path:
        """Give the path of a file beside it."""
        return Path(f"{self.path}{end}")

    def size_bytes(self, end: str) -> int:
        """Tell how large a file beside it is, 0 if there is none."""
        return self.sides[end].st_size if end in self.sides else 0

    def stamp(self) -> tuple[object, ...]:
        """Give what changes when any of them is written, made or removed."""
        return (_stamp(self.stat), *((end, _stamp(found)) for end, found in self.sides.items()))


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


def look(asked: Path) -> Files:
    """Look at the files of a database.

    Raises:
        OSError: There is none, or its folder can't be searched.
    """
    path = Path(os.path.realpath(asked, strict=True))
    sides = {}
    for end in SIDES:
        try:
            sides[end] = Path(f"{path}{end}").stat()
        except FileNotFoundError:
            continue
    return Files(asked=asked, path=path, stat=path.stat(), sides=sides)


def facts(files: Files) -> dict[str, object]:
    """Tell who owns the file, and what may be done with it."""
    return {
        "owner": _owner(files.stat.st_uid),
        "mode": stat.filemode(files.stat.st_mode),
        "writable": _may_write(files.path),
        "folder_writable": _may_write(files.path.parent),
        "links": files.stat.st_nlink,
        "symlink_to": str(files.path) if files.asked.is_symlink() else None,
    }


def findings(files: Files, *, is_wal: bool) -> Iterator[Finding]:
    """Tell what is wrong with the files' owners, modes and names."""
    yield from _writable(files, is_wal=is_wal)
    yield from _open_to_all(files)
    yield from _owners(files)
    yield from _names(files, is_wal=is_wal)


def _writable(files: Files, *, is_wal: bool) -> Iterator[Finding]:
    folder = files.path.parent
    if not _may_write(folder):
        wal = " A WAL database can't even be read by others unless -wal and -shm are there."
        yield warning(
            "folder_read_only",
            f"this user ({_owner(os.geteuid())}) can't make files in {folder}, where SQLite needs "
            f"its journal.{wal if is_wal else ''}",
            f"whoever writes needs the folder, too: `chmod u+w {folder}`, or change its owner; for "
            "reading only, open it with '?immutable=1' if nobody ever writes it",
        )
    for path in (files.path, *map(files.side, files.sides)):
        # A journal may be gone already.
        if not _may_write(path) and path.exists():
            yield note(
                "read_only",
                f"this user ({_owner(os.geteuid())}) can't write {path}",
                f"if the application runs as this user: `chmod u+w {path}`, or change its owner",
            )


def _open_to_all(files: Files) -> Iterator[Finding]:
    for path, found in (
        (files.path, files.stat),
        *((files.side(end), found) for end, found in files.sides.items()),
    ):
        if found.st_mode & stat.S_IWOTH:
            yield warning(
                "world_writable",
                f"every user of the machine may write {path} ({stat.filemode(found.st_mode)})",
                f"`chmod o-w {path}`",
            )
    folder = files.path.parent
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield warning(
            "world_writable",
            f"every user of the machine may replace files in {folder} ({stat.filemode(mode)})",
            f"`chmod o-w {folder}`",
        )


def _owners(files: Files) -> Iterator[Finding]:
    for end, found in files.sides.items():
        if found.st_uid != files.stat.st_uid:
            yield warning(
                "other_owner",
                f"{files.side(end)} belongs to {_owner(found.st_uid)}, the database to "
                f"{_owner(files.stat.st_uid)}: one of them can't use it",
                "run all programs that write it as one user; then "
                f"`chown --reference={files.path} {files.side(end)}`",
            )


def _names(files: Files, *, is_wal: bool) -> Iterator[Finding]:
    if files.asked.is_symlink():
        yield note(
            "symlink",
            f"{files.asked} is a link to {files.path}; journal and WAL are beside the latter",
            "back up and move the file that it links to, with those beside it",
        )
    if files.stat.st_nlink > 1:
        make = error if is_wal else warning
        yield make(
            "hard_links",
            f"the file has {files.stat.st_nlink} names: who opens it by another one uses another "
            "journal and another WAL, which destroys the database",
            f"keep one name: `find -L ROOT -samefile {files.path}` shows them all; remove the "
            "others, or make symbolic links of them",
        )


def _may_write(path: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, os.W_OK, effective_ids=effective)


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
