"""Damaged and truncated files: told as by the stdlib, until a backup is back."""

import shutil
import sqlite3 as stdlib
from pathlib import Path

import pytest

from tests.faults.programs import (
    BOTH_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    content,
    database,
    manager,
    transaction,
)

pytestmark = LINUX_ONLY


def garbage_page(image: bytes) -> bytes:
    middle = len(image) // 2048 * 1024
    return image[:middle] + b"\xff" * 1024 + image[middle + 1024 :]


def garbage_header(image: bytes) -> bytes:
    return b"\xff" * 100 + image[100:]


DAMAGE = {
    "garbage in a page": (garbage_page, "database disk image is malformed"),
    "half of it": (lambda image: image[: len(image) // 2048 * 1024], "image is malformed"),
    "not at a page's end": (lambda image: image[: len(image) // 2 + 7], "image is malformed"),
    "garbage in the header": (garbage_header, "file is not a database"),
    "half of the header": (lambda image: image[:50], "image is malformed"),
}

READ = "SELECT sum(a), sum(length(b)) FROM t"
WRITE_ALL = "UPDATE t SET b = b || 'new'"


def failure(path: Path, mode: str, door: str, sql: str) -> tuple[type, str, str]:
    with pytest.raises(stdlib.DatabaseError) as caught:
        with transaction(path, mode, door) as connection:
            connection.execute(sql).fetchall()
    return type(caught.value), str(caught.value), caught.value.sqlite_errorname


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("before", ["nothing", "idle connections"])
@pytest.mark.parametrize("restored", ["in place", "by a move"])
def test_damage_is_told_as_by_the_stdlib_until_a_backup_is_back(
    tmp_path: Path, *, mode: str, door: str, damage: str, before: str, restored: str
) -> None:
    path = database(tmp_path / "a.db", mode, 300)
    backup = Path(shutil.copy(path, tmp_path / "backup.db"))
    other = database(tmp_path / "other.db", mode)
    if before == "idle connections":
        with transaction(path, mode, door) as connection:
            connection.execute(READ).fetchall()
    change, text = DAMAGE[damage]
    path.write_bytes(change(path.read_bytes()))
    (tmp_path / "copy").mkdir()
    copy = Path(shutil.copy(path, tmp_path / "copy"))

    for number, sql in enumerate([READ, WRITE_ALL, READ]):
        told = failure(path, mode, door, sql)
        assert text in told[1]
        assert told == failure(copy, mode, "stdlib", sql)
        for also in ("connect", "session"):
            with transaction(other, mode, also) as connection:
                connection.execute("INSERT INTO t (b) VALUES (?)", (number,))
    assert manager(path, mode).get_stats()["pool_in_use"] == 0
    assert content(other) == [1, 2, 3, 4, 5, 6]

    manager(path, mode).drain()
    if restored == "in place":
        shutil.copyfile(backup, path)
    else:
        backup.replace(path)
    with transaction(path, mode, door) as connection:
        assert tuple(connection.execute(READ).fetchone()) == (sum(range(300)), 300 * 300)
        connection.execute("INSERT INTO t VALUES (300, NULL)")
    assert content(path) == list(range(301))


@BOTH_MODES
@BOTH_DOORS
def test_damage_met_in_the_midst_of_a_transaction_undoes_what_it_had_done(
    tmp_path: Path, mode: str, door: str
) -> None:
    path = database(tmp_path / "a.db", mode, 300)
    sound = path.read_bytes()
    path.write_bytes(garbage_page(sound))
    with pytest.raises(stdlib.DatabaseError, match="malformed"):
        with transaction(path, mode, door) as connection:
            connection.execute("INSERT INTO t VALUES (1000, NULL)")
            connection.execute(READ).fetchall()
    manager(path, mode).drain()
    assert path.read_bytes() == garbage_page(sound)
