"""The inventory of direct calls of this process: where, to which database, how often."""

import threading
import traceback
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Literal

Outcome = Literal["warned", "routed", "not routed", "refused", "ignored"]
NO_PYTHON = "<no Python code>"
"""The file of a call that no Python code makes."""
# A place that opens more databases than that has one entry for the others.
_MOST_DATABASES = 100
OTHERS = "<others>"


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
    """How often, since the shim was installed first; in a report at least so often."""
    thread: str = ""
    """The name of the thread of the first call."""
    stack: list[str] = field(default_factory=list)
    """Where the first call came from, outermost first, as ``file:line function``."""
    source: str = ""
    """The text of the line when it was called first; empty if there is no source."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells it from others."""
        return self.file, self.line, self.database, self.outcome


class Inventory:
    """The calls of this process. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._calls: dict[tuple[str, int, str, str], DirectConnect] = {}
        # How often a call was when it was written last, and how many calls were noted and written.
        self._written: Counter[tuple[str, int, str, str]] = Counter()
        self._total = self._total_written = 0
        self._places: set[tuple[str, int]] = set()
        self._databases: Counter[tuple[str, int]] = Counter()

    def note(self, frame: FrameType | None, database: str, outcome: Outcome) -> bool:
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
                if frame is not None:
                    _tell_origin(call, traceback.extract_stack(frame))
                known = self._calls[call.key] = call
            known.count += 1
            self._total += 1
            return is_first

    def all(self) -> list[DirectConnect]:
        """Give copies, by file and line."""
        with self._lock:
            calls = [replace(call, stack=list(call.stack)) for call in self._calls.values()]
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
            self._total = self._total_written = 0

    def in_child(self) -> None:
        """Begin anew in the child of a fork: the parent writes what it has counted."""
        self._lock = threading.RLock()
        self._written = Counter({key: call.count for key, call in self._calls.items()})
        self._total = self._total_written = 0

    def has_much_to_write(self) -> bool:
        """Tell whether as much as a fifth of the calls was not written yet."""
        return 5 * (self._total - self._total_written) >= self._total

    def unwritten(self) -> list[DirectConnect]:
        """Give what was counted and not written yet, with these counts."""
        with self._lock:
            counts = {key: call.count - self._written[key] for key, call in self._calls.items()}
            return [replace(self._calls[key], count=n) for key, n in counts.items() if n > 0]

    def mark_written(self, calls: Iterable[DirectConnect]) -> None:
        """Take note that such calls, as `unwritten` gave them, were written."""
        with self._lock:
            for call in calls:
                self._written[call.key] += call.count
                self._total_written += call.count


def _tell_origin(call: DirectConnect, stack: traceback.StackSummary) -> None:
    call.stack = [f"{entry.filename}:{entry.lineno} {entry.name}" for entry in stack]
    call.source = stack[-1].line or ""
