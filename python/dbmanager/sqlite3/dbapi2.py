"""The names of PEP 249 around the extension, as ``sqlite3.dbapi2`` has them in the running Python.

The adapters and converters are the stdlib's own registries (see ``register_adapter``), so its
default ones are there already; only a Python that was built without SQLite gets ours.
"""

import collections.abc
import datetime
import sys as _sys
import time
import warnings as _warnings

from dbmanager import _core
from dbmanager._core import *  # noqa: F403
from dbmanager._core import Row, sqlite_version

if _sys.version_info < (3, 12):

    def enable_shared_cache(enable: int) -> None:  # type: ignore[misc]
        """Switch shared-cache mode for connections opened from now on; Python 3.12 removed this."""
        message = (
            "enable_shared_cache is deprecated and will be removed in Python 3.12. "
            "Shared cache is strongly discouraged by the SQLite 3 documentation. "
            "If shared cache must be used, open the database in URI mode using"
            "the cache=shared query parameter."
        )
        _warnings.warn(message, DeprecationWarning, stacklevel=2)
        _core.enable_shared_cache(enable)


# The extension has more than the stdlib's module; the rest is `dbmanager`'s own.
for _name in (
    "DatabaseManager",
    "MixedOpenWarning",
    "MultipleResultsFound",
    "NoResultFound",
    "PoolTimeout",
    "Result",
    "Session",
    "close_all_pools",
    "compile_options",
    "dict_row",
    "set_lingering_locks",
    "set_max_idle_connections",
    "set_mixed_opens",
):
    del globals()[_name]
del _name

paramstyle = "qmark"
apilevel = "2.0"

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = memoryview

sqlite_version_info = tuple(int(part) for part in sqlite_version.split("."))

_VERSION = "2.6.0"
_VERSION_INFO = (2, 6, 0)

collections.abc.Sequence.register(Row)


def DateFromTicks(ticks: float) -> datetime.date:
    """Make a date of seconds since the epoch, in local time (PEP 249)."""
    return Date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:
    """Make a time of day of seconds since the epoch, in local time (PEP 249)."""
    return Time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """Make a date and time of seconds since the epoch, in local time (PEP 249)."""
    return Timestamp(*time.localtime(ticks)[:6])


if _sys.version_info < (3, 12):
    version = _VERSION
    version_info = _VERSION_INFO
elif _sys.version_info < (3, 14):
    _deprecated_names = frozenset({"version", "version_info"})
    _deprecated_version = _VERSION
    _deprecated_version_info = _VERSION_INFO

    def __getattr__(name: str) -> object:
        return _deprecated_attribute(__name__, name)


def _deprecated_attribute(module: str, name: str) -> object:
    """Give an attribute that Python 3.12 deprecated, with its warning for the caller's caller."""
    if name in ("version", "version_info"):
        message = f"{name} is deprecated and will be removed in Python 3.14"
        _warnings.warn(message, DeprecationWarning, stacklevel=3)
        return _VERSION if name == "version" else _VERSION_INFO
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def _register_default_adapters() -> None:
    """Dates and timestamps as ISO 8601 text, for a Python whose own ``sqlite3`` is missing."""

    def converted_timestamp(value: bytes) -> datetime.datetime:
        day, _, clock = value.decode().partition(" ")
        whole, _, fraction = clock.partition(".")
        hour, minute, second = (int(part) for part in whole.split(":"))
        moment = datetime.time(hour, minute, second, int(f"{fraction:0<6.6}"))
        return datetime.datetime.combine(datetime.date.fromisoformat(day), moment)

    _core.register_adapter(datetime.date, datetime.date.isoformat)
    _core.register_adapter(datetime.datetime, lambda value: value.isoformat(" "))
    _core.register_converter("date", lambda value: datetime.date.fromisoformat(value.decode()))
    _core.register_converter("timestamp", converted_timestamp)


if not _core.adapters:
    _register_default_adapters()

del _register_default_adapters
