"""Open a database so that neither it nor what is beside it changes.

Reading is not enough: whoever opens a WAL database read-only makes its -wal and -shm, and writes
into the latter. So the way depends on what is there.
"""

import os
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path

from dbmanager import sqlite3
from dbmanager.doctor.files import Files

TIMEOUT_SECONDS = 2.0

_OPERATIONS_TO_A_LOOK = 1000
"""So often SQLite lets us look for signals: several times a second even if its work is slow."""


class Way(StrEnum):
    """How a database is read."""

    SHARED = "shared"
    """As any reader, under a shared lock."""
    IMMUTABLE = "immutable"
    """Without locks: a WAL database without a WAL has nobody who uses it."""
    WAL_INDEX = "wal"
    """With the WAL's index as it is there, or as SQLite works it out in memory."""
    COPY = "copy"
    """A copy: SQLite would have to bring a WAL or a journal into the file first."""


class NoRoomError(Exception):
    """There is no room for a copy."""


def way(files: Files, *, is_wal: bool, is_hot: bool) -> Way:
    """Choose how to read a database."""
    if is_hot:
        return Way.COPY
    if not is_wal:
        return Way.SHARED
    if "-wal" not in files.sides:
        return Way.IMMUTABLE
    if "-shm" in files.sides:
        return Way.WAL_INDEX
    return Way.COPY if files.size_bytes("-wal") else Way.IMMUTABLE


_OPTIONS = {
    Way.SHARED: "mode=ro",
    Way.IMMUTABLE: "mode=ro&immutable=1",
    Way.WAL_INDEX: "mode=ro&readonly_shm=1",
    Way.COPY: "mode=rw",
}


@contextmanager
def opened(files: Files, how: Way) -> Iterator[sqlite3.Connection]:
    """Open a database for a ``with`` block.

    Raises:
        NoRoomError: It can be read as a copy only, and there is no room for one.
        OSError: The copy can't be made.
    """
    if how is not Way.COPY:
        with closing(_connect(files.path, how)) as connection:
            yield connection
        return
    with (
        tempfile.TemporaryDirectory(prefix="dbmanager-doctor-") as folder,
        closing(_connect(_copy(files, Path(folder)), how)) as connection,
    ):
        yield connection


def _connect(path: Path, how: Way) -> sqlite3.Connection:
    uri = f"file:{urllib.parse.quote(os.fsencode(path))}?{_OPTIONS[how]}"
    connection = sqlite3.connect(uri, uri=True, timeout=TIMEOUT_SECONDS, isolation_level=None)
    # A damaged database may hold any bytes.
    # A file may come from anywhere: what its schema calls shall do no harm, its cells be looked at
    # closely (https://sqlite.org/security.html).
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    # Python has signals handled between steps of its own code only. An exception of a handler makes
    # SQLite end the statement: see `failures`.
    connection.set_progress_handler(lambda: 0, _OPERATIONS_TO_A_LOOK)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _copy(files: Files, folder: Path) -> Path:
    needed = files.stat.st_size + sum(files.size_bytes(end) for end in files.sides)
    free = shutil.disk_usage(folder).free
    if needed * 2 > free:
        message = f"{needed * 2} bytes are needed below {folder.parent}, {free} are free"
        raise NoRoomError(message)
    copy = folder / "copy.db"
    shutil.copyfile(files.path, copy)
    for end in ("-wal", "-journal"):
        if end in files.sides:
            shutil.copyfile(files.side(end), Path(f"{copy}{end}"))
    return copy
