"""The pragmas of a bypassed session, set as ours are."""

import logging
from _sqlite3 import (
    SQLITE_BUSY,
    SQLITE_CANTOPEN,
    SQLITE_CORRUPT,
    SQLITE_NOTADB,
    SQLITE_READONLY,
    Connection,
    Cursor,
)

from dbmanager._core import DatabaseError

_LOG = logging.getLogger("dbmanager.bypass")

# The first statement that needs the file tells of these, as after the stdlib's `connect()`.
_OF_THE_FILE = {SQLITE_CANTOPEN, SQLITE_CORRUPT, SQLITE_NOTADB}
# What keeps a file from being switched to WAL, and from nothing else.
_OF_THE_SWITCH = {SQLITE_BUSY, SQLITE_READONLY}
# Milliseconds to try it: those who have the file in use may be of the same thread.
_PATIENCE = 250

# Files of which it has been said that they can't be switched.
_said: set[str] = set()


def set_pragmas(connection: Connection, pragmas: dict[str, str], path: str, timeout: int) -> None:
    """Set pragmas on a connection that was just opened, and waits for `timeout` milliseconds.

    Raises:
        DatabaseError: One can't be set, for another reason than what the file is.
    """
    has_wal = True
    for name, value in pragmas.items():
        is_switch = name == "journal_mode" and value.upper() == "WAL"
        try:
            if is_switch:
                _switch_to_wal(connection, timeout)
            else:
                _run(connection, f"PRAGMA {name} = '{value}'")
        except DatabaseError as error:
            # An error that is not SQLite's has none.
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if is_switch and code in _OF_THE_SWITCH:
                has_wal = False
                if code == SQLITE_BUSY:
                    _tell(path)
            elif code not in _OF_THE_FILE:
                raise
    if not has_wal and pragmas.get("synchronous", "").upper() in {"NORMAL", "1"}:
        # Which is safe with a WAL only.
        _run(connection, "PRAGMA synchronous = FULL")


def _run(connection: Connection, sql: str) -> Cursor:
    return Cursor(connection).execute(sql)


def _switch_to_wal(connection: Connection, timeout: int) -> None:
    if _run(connection, "PRAGMA journal_mode").fetchone() == ("wal",):
        return
    _run(connection, f"PRAGMA busy_timeout = {min(timeout, _PATIENCE)}")
    try:
        _run(connection, "PRAGMA journal_mode = WAL")
    finally:
        _run(connection, f"PRAGMA busy_timeout = {timeout}")


def _tell(path: str) -> None:
    if path in _said:
        return
    _said.add(path)
    _LOG.warning(
        "others have %s in use, so that it can't be switched to WAL now: sessions go on in the"
        " mode that it has, where readers and a writer wait for each other, and the next ones try"
        " again",
        path,
    )
