"""What migrations have changed, so that they can be taken back exactly.

Each run has a folder below `.dbmanager/migrations` of the project, with the files' old content and
a `manifest.json` that says which file is whose. It is written before the first file changes. Git
does not see the folder.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dbmanager import _folders
from dbmanager.cli.files.replacing import Change

_FOLDER = Path(".dbmanager") / "migrations"
_MANIFEST = "manifest.json"
_VERSION = 1
_MARKERS = (".dbmanager", ".git", "dbmanager.toml", "pyproject.toml", "setup.py")


@dataclass(frozen=True)
class File:
    """A file that a run has changed."""

    path: Path
    service: str
    before: bytes
    sha256_after: str


class JournalError(Exception):
    """The journal can't be read, or tells of a run that was interrupted."""


class Run:
    """One migration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / _MANIFEST
        try:
            self._manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            message = f"{path} can't be read: {error}; {_way_out(folder)}"
            raise JournalError(message) from error
        if self._manifest.get("version") != _VERSION:
            raise JournalError(f"{path} was written by another version of dbmanager")

    @property
    def name(self) -> str:
        """What it is called: its number."""
        return self.folder.name

    @property
    def is_complete(self) -> bool:
        """Whether all files were written."""
        return bool(self._manifest["complete"])

    @property
    def begun(self) -> str:
        """When it was, in ISO 8601."""
        return str(self._manifest["begun"])

    @property
    def services(self) -> set[str]:
        """The services whose files it has changed."""
        return {entry["service"] for entry in self._manifest["files"]}

    def paths(self, service: str | None = None) -> list[tuple[Path, str]]:
        """Give the paths of the files, or of those of one service, each with its service."""
        return [(self._root / entry["path"], entry["service"]) for entry in self._entries(service)]

    def files(self, service: str | None = None) -> list[File]:
        """Give the files, or those of one service, with their old content."""
        return [self._file(entry) for entry in self._entries(service)]

    @property
    def _root(self) -> Path:
        return self.folder.parents[len(_FOLDER.parts)]

    def _entries(self, service: str | None) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = self._manifest["files"]
        return [entry for entry in entries if service in {None, entry["service"]}]

    def _file(self, entry: Mapping[str, str]) -> File:
        content = self.folder / entry["content"]
        try:
            before = content.read_bytes()
        except OSError as error:
            message = f"{content} can't be read: {error.strerror}; {_way_out(self.folder)}"
            raise JournalError(message) from error
        if _sha256(before) != entry["sha256_before"]:
            raise JournalError(f"{content} is damaged; {_way_out(self.folder)}")
        return File(self._root / entry["path"], entry["service"], before, entry["sha256_after"])

    def complete(self) -> None:
        """Note that all files were written."""
        self._manifest["complete"] = True
        _write_manifest(self.folder, self._manifest)

    def is_without_effect(self) -> bool:
        """Whether every file is as it was before."""
        return not any(changes_back(self.files()))

    def forget(self, service: str | None = None) -> None:
        """Forget the run, or what it did for one service."""
        gone = self._entries(service)
        rest = [entry for entry in self._manifest["files"] if entry not in gone]
        if not rest:
            drop(self.folder)
            return
        self._manifest["files"] = rest
        _write_manifest(self.folder, self._manifest)


def _way_out(folder: Path) -> str:
    return f"`dbmanager undo --forget {folder.name}` drops it"


def project_root() -> Path:
    """Find the folder of the project that the working directory is in.

    The home folder is one only of what is done in itself.
    """
    here = Path.cwd()
    for above in _folders.upward():
        if above != here and above == _folders.home_folder():
            break
        if any((above / marker).exists() for marker in _MARKERS):
            return above
    return here


def runs(root: Path) -> list[Run]:
    """Give the migrations that can be taken back, the oldest first."""
    folder = root / _FOLDER
    found = [path for path in folder.glob("*") if (path / _MANIFEST).exists()]
    return [Run(path) for path in sorted(found)]


def folder_of(root: Path, name: str) -> Path | None:
    """Find the folder of the run that is called so; zeros before its number do not count."""
    if not (name.isascii() and name.isdigit()):
        return None
    folder = root / _FOLDER / _name(int(name))
    return folder if folder.is_dir() else None


def drop(folder: Path) -> None:
    """Forget the run of a folder, though it may not be readable."""
    # Without its manifest it is none, if this does not come to its end.
    (folder / _MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(folder)


def begin(root: Path, changes: Sequence[Change], services: Sequence[str]) -> Run:
    """Note what is about to be changed, with the service of each change."""
    above = root / _FOLDER
    above.mkdir(parents=True, exist_ok=True)
    (above.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    folder = _new_folder(above)
    try:
        _keep(folder, root, changes, services)
    except BaseException:
        # Nothing is changed yet.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Run(folder)


def _keep(folder: Path, root: Path, changes: Sequence[Change], services: Sequence[str]) -> None:
    entries = []
    for index, (change, service) in enumerate(zip(changes, services, strict=True)):
        content = f"{index:04}"
        (folder / content).write_bytes(change.before)
        entry = {
            "path": _relative(change.path, root),
            "service": service,
            "content": content,
            "sha256_before": _sha256(change.before),
            "sha256_after": _sha256(change.after),
        }
        entries.append(entry)
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = {"version": _VERSION, "begun": begun, "complete": False, "files": entries}
    _write_manifest(folder, manifest)


def changes_back(files: Iterable[File]) -> tuple[list[Change], list[Path]]:
    """Give the changes that take files back, and the files that were changed by others since."""
    changes, foreign = [], []
    for file in files:
        content = file.path.read_bytes() if file.path.is_file() else b""
        if _sha256(content) == file.sha256_after:
            changes.append(Change(file.path, content, file.before))
        elif content != file.before:
            foreign.append(file.path)
    return changes, foreign


def _new_folder(above: Path) -> Path:
    """Make the next numbered folder; another process may be quicker."""
    number = max((int(path.name) for path in above.glob("[0-9]*")), default=0) + 1
    while True:
        folder = above / _name(number)
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def _name(number: int) -> str:
    return f"{number:06}"


def _relative(path: Path, root: Path) -> str:
    whole = path.absolute()
    return str(whole.relative_to(root) if whole.is_relative_to(root) else whole)


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    staged = folder / f"{_MANIFEST}.new"
    staged.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    staged.replace(folder / _MANIFEST)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
