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
from typing import Literal, get_args

from dbmanager import _core
from dbmanager._shim import advice, routing
from dbmanager._shim.calls import NO_PYTHON, DirectConnect, Inventory, Outcome
from dbmanager._shim.patterns import Modules, checked

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
    report: Path | None
    says: bool = True
    routes: routing.Routes = field(default_factory=routing.Routes)


@dataclass
class _State:
    shim: _Shim | None = None


_inventory = Inventory()
_lock = threading.RLock()
_state = _State()


class _Passing(threading.local):
    """A call of this thread that was seen already, or is made by the shim itself."""

    now = False


_passing = _Passing()

# Put in front by `install`, so that the warning is seen under Python's own filters.
_FILTER = ("default", None, DirectConnectWarning, None, 0)


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
    with _lock:
        uninstall()
        shim = _state.shim = _Shim(
            mode, Modules(patterns), Path(report).absolute() if report is not None else None
        )
        _inventory.forget_places()
        warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
        warnings._filters_mutated()  # type: ignore[attr-defined]
        if mode == "route":
            shim.routes.lay(_routed)
        _core._listen_to_connects(_heard)


def listen(ignore: Iterable[str]) -> None:
    """Keep the inventory, and say nothing: for the pytest plugin."""
    install("warn", ignore=ignore)
    if _state.shim is not None:
        _state.shim.says = False


def uninstall() -> None:
    """Take the shim away: `sqlite3.connect` is the stdlib's own again, and nothing is said.

    The inventory stays. (Python can't remove an audit hook; it does nothing from now on.)
    """
    with _lock:
        if _state.shim is None:
            return
        _core._listen_to_connects(None)
        _state.shim.routes.lift()
        if _FILTER in warnings.filters:
            warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]
            warnings._filters_mutated()  # type: ignore[attr-defined]
        _write()
        _state.shim = None


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
    if not mode or _state.shim is not None:
        return
    ignore = [part for part in os.environ.get("DBMANAGER_IGNORE", "").split(",") if part]
    try:
        install(mode, ignore=ignore, report=os.environ.get("DBMANAGER_REPORT") or None)  # type: ignore[arg-type]
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
    return frame is not None and shim.ignores(str(frame.f_globals.get("__name__", "")))


def _note(shim: _Shim, frame: FrameType | None, database: str, outcome: Outcome) -> bool:
    """Count a call. Tells whether it is the first of its place."""
    _, is_first = _inventory.note(frame, database, outcome)
    if is_first and shim.report is not None:
        _write()
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
        if _note(shim, frame, database, "not routed"):
            _LOG.warning("%s:%d: %s: not routed", *_place(frame), advice.warning(database))
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


def _routed(arguments: routing.Arguments, keywords: routing.Keywords) -> object:
    """Stand in for the stdlib's `connect`."""
    shim = _state.shim
    if shim is None or shim.mode != "route" or _passing.now:
        # Somebody has kept this function, and the audit event tells of what follows.
        return routing.ORIGINAL(*arguments, **keywords)
    frame = _caller()
    database = advice.path_of(keywords.get("database", arguments[0] if arguments else ""))
    if _is_ignored(shim, frame):
        outcome: Outcome = "ignored"
    else:
        outcome = "routed" if routing.can_route(arguments, keywords) else "not routed"
    _note(shim, frame, database, outcome)
    if outcome == "routed":
        return routing.route(arguments, keywords)
    _passing.now = True
    try:
        return routing.ORIGINAL(*arguments, **keywords)
    finally:
        _passing.now = False


def _write() -> None:
    """Add to the report. What goes wrong is told once and disturbs no call."""
    shim = _state.shim
    if shim is None or shim.report is None:
        return
    try:
        _inventory.write(shim.report)
    except (OSError, ValueError) as error:
        _LOG.warning("the report of direct calls is not written any more: %s", error)
        shim.report = None


atexit.register(_write)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_inventory.in_child)
