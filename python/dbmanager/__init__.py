"""One pooled ``DatabaseManager`` and a drop-in ``sqlite3`` for Python."""

import atexit as _atexit

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

__all__ = [
    "DatabaseManager",
    "MixedOpenWarning",
    "MultipleResultsFound",
    "NoResultFound",
    "PoolTimeout",
    "Result",
    "Session",
    "connect",
    "dict_row",
    "set_lingering_locks",
    "set_max_idle_connections",
    "set_mixed_opens",
    "sqlite3",
]

# The last one to close a WAL database brings its log into the file, and a pool keeps files open.
_atexit.register(close_all_pools)
