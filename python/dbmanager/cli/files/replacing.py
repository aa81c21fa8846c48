"""Several files get new content: all of them, or none.

A file is replaced by a rename, so that no reader sees a part of it. A symbolic link stays one, and
what it points at is replaced. Mode, owner and extended attributes stay. A file with several hard
links is written in place, because a rename would leave the other links behind.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Change:
    """A file with the content that it has and the one that it gets."""

    path: Path
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Failure:
    """A file that can't be changed, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class ReplacingError(Exception):
    """Some files can't be changed.

    `is_undone` tells whether all files are as before.
    """

    def __init__(self, *failures: Failure, is_undone: bool = True) -> None:
        super().__init__("\n".join(map(str, failures)))
        self.failures = failures
        self.is_undone = is_undone


def replace(changes: Sequence[Change]) -> None:
    """Give files their new content.

    Raises:
        ReplacingError: A file is not as it was read, or can't be written.
        KeyboardInterrupt: All files are as before, or all have their new content.
    """
    staged: list[_Staged] = []
    failures: list[Failure] = []
    try:
        for change in changes:
            try:
                staged.append(_Staged(change))
            except OSError as error:
                failures.append(_failure(change, error))
        if failures:
            raise ReplacingError(*failures)
        _put_in_place(staged)
    finally:
        for one in staged:
            one.discard()


def _put_in_place(staged: Sequence["_Staged"]) -> None:
    begun: list[_Staged] = []
    try:
        for one in staged:
            begun.append(one)
            one.put_in_place()
    except OSError as error:
        failures = _take_back(begun)
        first = _failure(begun[-1].change, error)
        raise ReplacingError(first, *failures, is_undone=not failures) from error
    except KeyboardInterrupt as interrupt:
        if failures := _take_back(begun):
            raise ReplacingError(*failures, is_undone=False) from interrupt
        raise


def _take_back(begun: Sequence["_Staged"]) -> list[Failure]:
    failures = []
    for one in reversed(begun):
        try:
            one.take_back()
        except OSError as error:
            failures.append(_failure(one.change, error, ", and it has the new content"))
    return failures


def _failure(change: Change, error: OSError, more: str = "") -> Failure:
    return Failure(change.path, f"{error.strerror or error}{more}")


class _Staged:
    """New content that lies ready beside its file."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self._target = change.path.resolve(strict=True)
        self._staged: Path | None = None
        if self._target.read_bytes() != change.before:
            raise OSError(None, "it has changed since it was read; run the command again")
        if not os.access(self._target, os.W_OK):
            raise PermissionError(None, "it is not writable")
        if self._target.stat().st_nlink == 1:
            self._staged = _written_beside(self._target, change.after)

    def put_in_place(self) -> None:
        if self._staged is None:
            self._target.write_bytes(self.change.after)
            return
        self._staged.replace(self._target)
        self._staged = None

    def take_back(self) -> None:
        """Give the file its old content again."""
        if self._target.stat().st_nlink == 1:
            _written_beside(self._target, self.change.before).replace(self._target)
        else:
            self._target.write_bytes(self.change.before)

    def discard(self) -> None:
        if self._staged is not None:
            self._staged.unlink(missing_ok=True)


def _written_beside(target: Path, content: bytes) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copystat(target, path)
        os.utime(path)
        _give_to_owner_of(target, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _give_to_owner_of(target: Path, path: Path) -> None:
    status, own = target.stat(), path.stat()
    if (status.st_uid, status.st_gid) == (own.st_uid, own.st_gid) or not hasattr(os, "chown"):
        return
    # Whoever may write a file may not always give one away: it becomes theirs, as with editors.
    with contextlib.suppress(PermissionError):
        os.chown(path, status.st_uid, status.st_gid)
        path.chmod(status.st_mode & 0o7777)
