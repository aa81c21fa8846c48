"""One pooled ``DatabaseManager`` and a drop-in ``sqlite3`` for Python."""

import atexit as _atexit
import os as _os
from typing import TYPE_CHECKING as _TYPE_CHECKING

from dbmanager import sqlite3
from dbmanager._core import (
    DatabaseManager,
    MixedOpenWarning,
    MultipleResultsFound,
    NoResultFound,
    PoolTimeout,
    Result,
    Session,
    close_all_pools,
    connect,
    dict_row,
    set_lingering_locks,
    set_max_idle_connections,
    set_mixed_opens,
)

if _TYPE_CHECKING:
    from dbmanager._shim.bypass import configure
    from dbmanager._shim.calls import DirectConnect
    from dbmanager._shim.switch import (
        DirectConnectError,
        DirectConnectWarning,
        direct_connects,
        install,
        uninstall,
    )

__all__ = [
    "DatabaseManager",
    "DirectConnect",
    "DirectConnectError",
    "DirectConnectWarning",
    "MixedOpenWarning",
    "MultipleResultsFound",
    "NoResultFound",
    "PoolTimeout",
    "Result",
    "Session",
    "configure",
    "connect",
    "dict_row",
    "direct_connects",
    "install",
    "set_lingering_locks",
    "set_max_idle_connections",
    "set_mixed_opens",
    "sqlite3",
    "uninstall",
]

# The last one to close a WAL database brings its log into the file, and a pool keeps files open.
_atexit.register(close_all_pools)


def __getattr__(name: str) -> object:
    """Import the shim when it is asked for: most processes never do, and it takes as long again."""
    if name == "configure":
        from dbmanager._shim import bypass

        return bypass.configure
    if name in __all__:
        from dbmanager._shim import switch

        return getattr(switch, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if _os.environ.get("DBMANAGER_MODE"):
    from dbmanager._shim.switch import from_environment as _from_environment

    _from_environment()

if _os.environ.get("DBMANAGER_BYPASS"):
    from dbmanager._shim.bypass import from_environment as _bypass_from_environment

    _bypass_from_environment()
