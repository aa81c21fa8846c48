"""The inventory of direct calls: where, to which database, how often; in memory and as a file.

The file is JSON, merged over processes and runs: each process adds what it has counted since it
wrote last. `dbmanager check` reads it.
"""

import fcntl
import json
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal

Outcome = Literal["warned", "routed", "not routed", "refused", "ignored"]
VERSION = 1
NO_PYTHON = "<no Python code>"
"""The file of a call that no Python code makes."""
# A place that opens more databases than that has one entry for the others.
_MOST_DATABASES = 100
OTHERS = "<others>"
# So long a process waits for another one that is writing the file, in seconds.
_PATIENCE = 2.0


@dataclass
class DirectConnect:
    """One place that calls ``sqlite3.connect``, and one database that it opens there."""

    file: str
    """The file of the caller's code."""
    line: int
    module: str
    """The caller's ``__name__``."""
    function: str
    database: str
    """As it was told to `connect`; a path is absolute."""
    outcome: Outcome
    """What was done: ``"warned"``, ``"routed"`` to the pool, ``"not routed"`` since only the audit
    event showed the call, ``"refused"``, or ``"ignored"``."""
    count: int = 0
    """How often, since the shim was installed first."""
    thread: str = ""
    """The name of the thread of the first call."""
    stack: list[str] = field(default_factory=list)
    """Where the first call came from, outermost first, as ``file:line function``."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells it from others."""
        return self.file, self.line, self.database, self.outcome


class Inventory:
    """The calls of this process. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._calls: dict[tuple[str, int, str, str], DirectConnect] = {}
        self._written: dict[tuple[str, int, str, str], int] = {}
        self._places: set[tuple[str, int]] = set()
        self._databases: Counter[tuple[str, int]] = Counter()

    def note(
        self, frame: FrameType | None, database: str, outcome: Outcome
    ) -> tuple[DirectConnect, bool]:
        """Count a call of a frame, or of code that is not Python's.

        Tells whether it is the first of its place.
        """
        if frame is None:
            call = DirectConnect(NO_PYTHON, 0, "", "", database, outcome)
        else:
            code, module = frame.f_code, str(frame.f_globals.get("__name__", ""))
            call = DirectConnect(
                code.co_filename, frame.f_lineno, module, code.co_qualname, database, outcome
            )
        with self._lock:
            known = self._calls.get(call.key)
            place = (call.file, call.line)
            is_first = place not in self._places
            self._places.add(place)
            if known is None and self._databases[place] >= _MOST_DATABASES:
                call.database = OTHERS
                known = self._calls.get(call.key)
            if known is None:
                self._databases[place] += 1
                call.thread = threading.current_thread().name
                call.stack = (
                    []
                    if frame is None
                    else [
                        f"{entry.filename}:{entry.lineno} {entry.name}"
                        for entry in traceback.extract_stack(frame)
                    ]
                )
                known = self._calls[call.key] = call
            known.count += 1
            return known, is_first

    def all(self) -> list[DirectConnect]:
        """Give copies, by file and line."""
        with self._lock:
            calls = [DirectConnect(**asdict(call)) for call in self._calls.values()]
        return sorted(calls, key=lambda call: call.key)

    def forget_places(self) -> None:
        """Take each place for a new one."""
        with self._lock:
            self._places.clear()

    def forget(self) -> None:
        """Begin anew."""
        with self._lock:
            self._calls.clear()
            self._written.clear()
            self._places.clear()
            self._databases.clear()

    def in_child(self) -> None:
        """Begin anew in the child of a fork: the parent writes what it has counted."""
        self._lock = threading.RLock()
        self._written = {key: call.count for key, call in self._calls.items()}

    def write(self, path: Path) -> None:
        """Add to a file what was counted since it was written last."""
        with self._lock:
            fresh = []
            for key, call in self._calls.items():
                count = call.count - self._written.get(key, 0)
                if count > 0:
                    fresh.append(DirectConnect(**{**asdict(call), "count": count}))
            if not fresh and path.exists():
                return
            _merge_into(path, fresh)
            self._written.update((call.key, call.count) for call in self._calls.values())


def read(path: Path) -> list[DirectConnect]:
    """Read an inventory.

    Raises:
        ValueError: The file holds something else; the text says what.
    """
    return _parse(path, path.read_text(encoding="utf-8"))


def _parse(path: Path, text: str) -> list[DirectConnect]:
    if not text:
        return []
    try:
        content: Any = json.loads(text)
        version = content["version"]
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no inventory of direct calls: {error!r}") from error
    if version != VERSION:
        raise ValueError(f"{path} is an inventory of version {version}; known is {VERSION}")
    names = {field.name for field in fields(DirectConnect)}
    return [
        DirectConnect(**{name: value for name, value in call.items() if name in names})
        for call in content["calls"]
    ]


def _merge_into(path: Path, fresh: Iterable[DirectConnect]) -> None:
    """Add calls to a file, while no other process does. It is whole at any moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        _wait_for(lock, path)
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
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(path)


def _wait_for(lock: IO[str], path: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(f"another process is writing {path}") from None
            time.sleep(0.01)
        else:
            return
