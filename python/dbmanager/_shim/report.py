"""The inventory of direct calls as a file, which `dbmanager check` reads.

It is JSON, merged over processes and runs: each process adds what it has counted since it wrote
last, at each new place, whenever a fifth of its calls is not written, and at its end. A process
that is killed has told of every place, and of four fifths of its calls at least, unless others
kept it from the file for too long.
"""

import contextlib
import fcntl
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any

from dbmanager._shim.calls import DirectConnect, Inventory

VERSION = 1
# So long a process that ends waits for others that are writing the file, in seconds; and so long
# one that goes on, for its first call of a place and for others.
_PATIENCE = 2.0
_PATIENCE_FIRST = 0.5
_PATIENCE_MORE = 0.05
# So long what was counted may stay unwritten if there are more calls, and so soon a try that
# failed is followed by another, in seconds.
_INTERVAL = 5.0

_LOG = logging.getLogger("dbmanager.direct")


class Report:
    """A file that the inventory is added to. What goes wrong is told once and disturbs no call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()
        self._locked: IO[str] | None = None
        self._fails = False
        self._tried_at = 0.0
        # A place was told of that is not written yet.
        self._lacks_place = False

    def in_child(self) -> None:
        """Begin anew in the child of a fork, which has the parent's lock on the file open."""
        self._writing = threading.Lock()
        if self._locked is not None:
            self._locked.close()
            self._locked = None

    def write_if_due(self, inventory: Inventory, *, is_first: bool) -> None:
        """Add to the file, unless that has time: `is_first` tells of a new place."""
        self._lacks_place |= is_first
        late = time.monotonic() > self._tried_at + _INTERVAL
        much = self._lacks_place or inventory.has_much_to_write()
        if late or (much and not self._fails):
            self.write(inventory, patience=_PATIENCE_FIRST if is_first else _PATIENCE_MORE)

    def write(self, inventory: Inventory, *, patience: float = _PATIENCE) -> None:
        """Add to the file; wait so long, in seconds, for others that do."""
        if not self._writing.acquire(timeout=patience):
            return
        self._tried_at = time.monotonic()
        try:
            calls = inventory.unwritten()
            if calls or not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._lock(patience) as is_ours:
                    if is_ours:
                        self._lacks_place = False
                        _merge_into(self._path, calls)
                        inventory.mark_written(calls)
            self._fails = False
        except (OSError, ValueError) as error:
            if not self._fails:
                why = error.strerror if isinstance(error, OSError) else "it is no inventory"
                _LOG.warning("the report of direct calls can't be written at present: %s", why)
                _LOG.info("the report of direct calls: %s", error)
            self._fails = True
        finally:
            self._writing.release()

    @contextlib.contextmanager
    def _lock(self, patience: float) -> Iterator[bool]:
        """Keep other processes from the file. Gives whether that could be had in time."""
        until = time.monotonic() + patience
        with self._path.with_name(self._path.name + ".lock").open("w") as self._locked:
            while not (is_ours := _try_to_lock(self._locked)) and time.monotonic() < until:
                time.sleep(0.001)
            try:
                yield is_ours
            finally:
                # By name: a child that was forked meanwhile has the file open, too.
                fcntl.flock(self._locked, fcntl.LOCK_UN)
        self._locked = None


def _try_to_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read(path: Path) -> list[DirectConnect]:
    """Read an inventory.

    Raises:
        ValueError: The file holds something else; the text says what.
    """
    return _parse(path, path.read_text(encoding="utf-8"))


def _parse(path: Path, text: str) -> list[DirectConnect]:
    if not text:
        return []
    names = {field.name for field in fields(DirectConnect)}
    try:
        content: Any = json.loads(text)
        version = content["version"]
        calls = [
            _checked(DirectConnect(**{name: call[name] for name in names & call.keys()}))
            for call in content["calls"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is no inventory of direct calls: {error!r}") from error
    if version != VERSION:
        raise ValueError(f"{path} is an inventory of version {version}; known is {VERSION}")
    return calls


def _checked(call: DirectConnect) -> DirectConnect:
    types = [type(value) for value in (*call.key, call.count, call.function, call.source)]
    if types != [str, int, str, str, int, str, str]:
        raise TypeError(f"{call} is no call")
    return call


def _merge_into(path: Path, fresh: Iterable[DirectConnect]) -> None:
    """Add calls to a file, while no other process does. It is whole at any moment."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    merged = {call.key: call for call in _parse(path, text)}
    for call in fresh:
        known = merged.setdefault(call.key, call)
        if known is not call:
            known.count += call.count
    calls = [asdict(merged[key]) for key in sorted(merged)]
    # In ASCII: names of files need not be texts.
    text = json.dumps({"version": VERSION, "calls": calls}, indent=1)
    new = path.with_name(path.name + ".new")
    try:
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
