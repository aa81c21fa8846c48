"""`install` and `uninstall`: what happens when somebody calls ``sqlite3.connect``."""

import atexit
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args

from dbmanager import _core
from dbmanager._shim import advice, routing
from dbmanager._shim.calls import NO_PYTHON, DirectConnect, Inventory, Outcome
from dbmanager._shim.patterns import Modules, checked, listed
from dbmanager._shim.report import Report

Mode = Literal["warn", "route", "error"]

_LOG = logging.getLogger("dbmanager.direct")


class DirectConnectWarning(DeprecationWarning):
    """A direct ``sqlite3.connect`` call, at the line that makes it; tells what to write instead."""


class DirectConnectError(RuntimeError):
    """A direct ``sqlite3.connect`` call that `install(mode="error")` refused."""


@dataclass
class _Shim:
    mode: Mode
    ignores: Modules
    report: Report | None = None
    # Whether it warns, or only counts.
    says: bool = True


@dataclass
class _State:
    """What is on. `shim` is set in one step, so that no call comes between two modes."""

    shim: _Shim | None = None
    # What stays when the shim is uninstalled: who only counts.
    counts: _Shim | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)


_inventory = Inventory()
_state = _State()


class _Passing(threading.local):
    """A call of this thread that was seen already, or is made by the shim itself."""

    now = False


_passing = _Passing()

_FILTER = ("default", None, DirectConnectWarning, None, 0)
# The first of the filters that Python begins with, behind those of `-W` and PYTHONWARNINGS.
_PYTHONS_FIRST: Any = ("default", None, DeprecationWarning, "__main__", 0)


def install(
    mode: Mode = "warn",
    *,
    ignore: Iterable[str] = (),
    report: str | os.PathLike[str] | None = None,
) -> None:
    """See every direct ``sqlite3.connect`` call from now on, and warn, route or refuse.

    Seen are calls of the function wherever it is called by: ``import sqlite3 as x``, ``from
    sqlite3 import connect`` bound before, ``sqlite3.dbapi2``, ``sqlite3.Connection(…)``,
    third-party packages, C code. Installing again changes the mode.

    Args:
        mode: ``"warn"``: the call goes through to the stdlib, with one `DirectConnectWarning` for
            each place, visible under Python's default filters, and a line in the log
            ``dbmanager.direct``. ``"route"``: the call gets a pooled connection of ours; module
            globals that hold the stdlib's function are rebound; what can't be routed
            (``sqlite3.Connection(…)``, a factory of the stdlib's class, a function that is kept
            elsewhere) goes through and is noted as ``"not routed"``. ``"error"``: the call raises
            `DirectConnectError`.
        ignore: Names of modules or packages, or patterns of them, whose calls are only counted.
        report: A JSON file to which the inventory is added at each new place and at exit; it is
            merged over processes and runs.

    Raises:
        ValueError: There is no such mode.
        TypeError: `ignore` is one string, or not of strings.

    Example:
        >>> import dbmanager
        >>> dbmanager.install("warn", ignore=["pandas"])
        >>> dbmanager.uninstall()
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be 'warn', 'route' or 'error', not {mode!r}")
    patterns = checked(ignore, "ignore", "pandas")
    shim = _Shim(
        mode, Modules(patterns), None if report is None else Report(Path(report).absolute())
    )
    with _state.lock:
        _core._listen_to_connects(_heard)
        if mode == "route":
            _routes.lay()
        _write()
        _state.shim = shim
        if mode != "route":
            _routes.lift()
        _inventory.forget_places()
        _show_warnings()


def uninstall() -> None:
    """Take the shim away: `sqlite3.connect` is the stdlib's own again, and nothing is said.

    The inventory stays. (Python can't remove an audit hook; it does nothing from now on.)
    """
    with _state.lock:
        if _state.shim is _state.counts:
            return
        _write()
        _state.shim = _state.counts
        _routes.lift()
        _hide_warnings()
        if _state.shim is None:
            _core._listen_to_connects(None)


def count(ignore: Iterable[str]) -> None:
    """Keep the inventory and say nothing, also after `uninstall`: for the pytest plugin."""
    counts = _Shim("warn", Modules(checked(ignore, "ignore", "pandas")), says=False)
    with _state.lock:
        if _state.shim is _state.counts:
            _state.shim = counts
        _state.counts = counts
        _core._listen_to_connects(_heard)


def count_no_more() -> None:
    """End `count`."""
    with _state.lock:
        before, _state.counts = _state.counts, None
        if before is not None and _state.shim is before:
            _state.shim = None
            _core._listen_to_connects(None)


def _show_warnings() -> None:
    """Have the warning seen under Python's own filters; those of the command line go first."""
    _hide_warnings()
    at = 0
    if sys.warnoptions and _PYTHONS_FIRST in warnings.filters:
        at = warnings.filters.index(_PYTHONS_FIRST)
    warnings.filters.insert(at, _FILTER)  # type: ignore[attr-defined]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _hide_warnings() -> None:
    if _FILTER in warnings.filters:
        warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]
        warnings._filters_mutated()  # type: ignore[attr-defined]


def direct_connects() -> list[DirectConnect]:
    """Give the direct calls that were seen in this process, by file and line.

    Example:
        >>> import sqlite3, dbmanager
        >>> dbmanager.install("route")
        >>> sqlite3.connect(":memory:").close()
        >>> [(call.database, call.outcome) for call in dbmanager.direct_connects()]
        [(':memory:', 'routed')]
        >>> dbmanager.uninstall()
    """
    return _inventory.all()


def from_environment() -> None:
    """Install what DBMANAGER_MODE, DBMANAGER_IGNORE and DBMANAGER_REPORT ask for."""
    mode = os.environ.get("DBMANAGER_MODE", "")
    if not mode or _state.shim is not _state.counts:
        return
    ignore = listed(os.environ.get("DBMANAGER_IGNORE", ""))
    report = os.environ.get("DBMANAGER_REPORT")
    if report:
        # Programs that this one starts elsewhere mean the same file.
        os.environ["DBMANAGER_REPORT"] = report = str(Path(report).absolute())
    try:
        install(mode, ignore=ignore, report=report or None)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"the environment variable DBMANAGER_MODE: {error}") from None


def _caller() -> FrameType | None:
    """Find the frame that makes the call, beyond the stdlib's and ours; None if no Python does."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in {"sqlite3", "dbmanager"}:
            return frame
        frame = frame.f_back
    return None


def _is_ignored(shim: _Shim, frame: FrameType | None) -> bool:
    return frame is not None and shim.ignores.name_of(frame.f_globals) is not None


def _note(shim: _Shim, frame: FrameType | None, database: str, outcome: Outcome) -> bool:
    """Count a call. Tells whether it is the first of its place."""
    is_first = _inventory.note(frame, database, outcome)
    if shim.report is not None:
        shim.report.write_if_due(_inventory, is_first=is_first)
    if is_first and outcome == "not routed":
        # At the level that is seen by default no paths of databases.
        _LOG.warning("%s:%d: a direct sqlite3.connect was not routed", *_place(frame))
        _LOG.info("%s:%d: %s", *_place(frame), advice.warning(database))
    return is_first


def _heard(database: object) -> None:
    """The stdlib is about to open a database: the audit event, in the caller's thread."""
    shim = _state.shim
    if shim is None or _passing.now:
        return
    _passing.now = True
    try:
        _handle(shim, _caller(), advice.path_of(database))
    finally:
        _passing.now = False


def _handle(shim: _Shim, frame: FrameType | None, database: str) -> None:
    if _is_ignored(shim, frame):
        _note(shim, frame, database, "ignored")
    elif shim.mode == "error":
        _note(shim, frame, database, "refused")
        raise DirectConnectError(advice.warning(database))
    elif shim.mode == "route":
        _note(shim, frame, database, "not routed")
    elif _note(shim, frame, database, "warned") and shim.says:
        text = advice.warning(database)
        # The warning is seen anyway; a log that is set up keeps it.
        _LOG.info("%s:%d: %s", *_place(frame), text)
        warnings.warn_explicit(
            text,
            DirectConnectWarning,
            *_place(frame),
            module="" if frame is None else str(frame.f_globals.get("__name__", "")),
            registry=None if frame is None else frame.f_globals.setdefault(_REGISTRY, {}),
        )


# Where Python notes which warnings of a module were shown.
_REGISTRY = "__warningregistry__"


def _place(frame: FrameType | None) -> tuple[str, int]:
    if frame is None:
        return NO_PYTHON, 0
    return frame.f_code.co_filename, frame.f_lineno


def _decide(arguments: routing.Arguments, keywords: routing.Keywords) -> bool | None:
    """Tell what a call of the stand-in gets: a connection of ours (True), or the stdlib's.

    False: the call is noted; None: the audit event tells of it.
    """
    shim = _state.shim
    if shim is None or shim.mode != "route" or _passing.now:
        return None
    frame = _caller()
    database = advice.path_of(keywords.get("database", arguments[0] if arguments else ""))
    _passing.now = True
    try:
        if _is_ignored(shim, frame):
            _note(shim, frame, database, "ignored")
            return False
        can_route = routing.can_route(arguments, keywords)
        _note(shim, frame, database, "routed" if can_route else "not routed")
        return can_route
    finally:
        _passing.now = False


_routes = routing.Routes(_decide)


def _write() -> None:
    """Add to the report what it has not yet."""
    shim = _state.shim
    if shim is not None and shim.report is not None:
        shim.report.write(_inventory)


def _in_child() -> None:
    """Begin anew in the child of a fork."""
    _state.lock = threading.RLock()
    _inventory.in_child()
    if _state.shim is not None and _state.shim.report is not None:
        _state.shim.report.in_child()
    multiprocessing = sys.modules.get("multiprocessing.util")
    if multiprocessing is not None:
        # Its children end without the functions of `atexit`.
        multiprocessing.register_after_fork(_inventory, _write_at_the_end_of_a_child)


def _write_at_the_end_of_a_child(_: object) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _write, exitpriority=0)


atexit.register(_write)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
