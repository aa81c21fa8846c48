"""The doctor changes nothing: no byte, no time, no file beside, whatever state a database is in."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dbmanager.doctor.examination import examine
from dbmanager.doctor.integrity import Check
from tests.doctor.command import findings, holding, report, state

INSERT = "INSERT INTO item (name) VALUES ('new')"


@pytest.mark.parametrize("options", [(), ("--full",), ("--no-check",)])
def test_a_closed_database_is_left_as_it_is(shop: Path, options: tuple[str, ...]) -> None:
    before = state(shop.parent)
    told = report(shop, *options)
    assert told["findings"] == []
    assert told["databases"][0]["read"] == "shared"
    assert state(shop.parent) == before


def test_a_closed_wal_database_gets_no_wal(wal_shop: Path) -> None:
    before = state(wal_shop.parent)
    told = report(wal_shop)
    assert told["findings"] == []
    assert told["databases"][0]["read"] == "immutable"
    assert state(wal_shop.parent) == before


@pytest.mark.parametrize("module", ["sqlite3", "dbmanager.sqlite3"])
def test_a_wal_database_in_use_is_read_with_what_is_in_its_wal(wal_shop: Path, module: str) -> None:
    with holding(wal_shop, "CREATE TABLE fresh (x)", module=module):
        before = state(wal_shop.parent)
        assert set(before) == {"shop.db", "shop.db-wal", "shop.db-shm"}
        told = report(wal_shop)
        assert told["findings"] == []
        assert told["databases"][0]["schema"]["table"] == 2
        assert state(wal_shop.parent) == before


def test_a_database_with_a_transaction_that_writes_is_read_beside_it(shop: Path) -> None:
    with holding(shop, "BEGIN IMMEDIATE", INSERT):
        before = state(shop.parent)
        assert "shop.db-journal" in before
        assert report(shop)["findings"] == []
        assert state(shop.parent) == before


def test_a_wal_that_was_left_is_read_and_stays(wal_shop: Path) -> None:
    with holding(wal_shop, "CREATE TABLE fresh (x)"):
        pass
    before = state(wal_shop.parent)
    assert "shop.db-wal" in before
    told = report(wal_shop)
    assert [one["code"] for one in told["findings"]] == ["wal_left"]
    assert told["databases"][0]["read"] == "wal"
    assert told["databases"][0]["schema"]["table"] == 2
    assert state(wal_shop.parent) == before


def test_a_wal_without_its_index_is_read_from_a_copy(wal_shop: Path) -> None:
    with holding(wal_shop, "CREATE TABLE fresh (x)"):
        pass
    Path(f"{wal_shop}-shm").unlink()
    before = state(wal_shop.parent)
    told = report(wal_shop)
    assert [one["code"] for one in told["findings"]] == ["wal_left"]
    assert told["databases"][0]["read"] == "copy"
    assert told["databases"][0]["schema"]["table"] == 2
    assert state(wal_shop.parent) == before


def test_a_damaged_index_of_a_wal_that_was_left_is_worked_out_anew(wal_shop: Path) -> None:
    with holding(wal_shop, "CREATE TABLE fresh (x)"):
        pass
    index = Path(f"{wal_shop}-shm")
    index.write_bytes(bytes([255]) * index.stat().st_size)
    before = state(wal_shop.parent)
    told = report(wal_shop)
    assert [one["code"] for one in told["findings"]] == ["wal_left"]
    assert told["databases"][0]["schema"]["table"] == 2
    assert state(wal_shop.parent) == before


def test_a_hot_journal_is_told_and_stays(shop: Path) -> None:
    # A cache of one page writes the transaction into the file before it ends.
    with holding(shop, "PRAGMA cache_size=1", "BEGIN", "UPDATE item SET name = name || 'y'"):
        pass
    before = state(shop.parent)
    assert "shop.db-journal" in before
    told = report(shop)
    assert [one["code"] for one in told["findings"]] == ["hot_journal"]
    assert "don't delete the journal" in told["findings"][0]["advice"]
    assert told["databases"][0]["read"] == "copy"
    assert state(shop.parent) == before
    with closing(sqlite3.connect(shop)) as connection:
        assert connection.execute("SELECT count(*) FROM item WHERE name GLOB '*y'").fetchone() == (
            0,
        )


def test_a_journal_that_is_kept_for_later_is_not_hot(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA journal_mode=PERSIST")
        connection.execute(INSERT)
        connection.commit()
    before = state(shop.parent)
    assert "shop.db-journal" in before
    assert report(shop)["findings"] == []
    assert state(shop.parent) == before


@pytest.mark.parametrize("kind", ["closed", "left", "without index"])
def test_a_wal_database_in_a_folder_that_is_read_only(wal_shop: Path, kind: str) -> None:
    if kind != "closed":
        with holding(wal_shop, "CREATE TABLE fresh (x)"):
            pass
    if kind == "without index":
        Path(f"{wal_shop}-shm").unlink()
    before = state(wal_shop.parent)
    wal_shop.parent.chmod(0o555)
    try:
        told = report(wal_shop)
        assert state(wal_shop.parent) == before
    finally:
        wal_shop.parent.chmod(0o755)
    assert "schema" in told["databases"][0]
    codes = {one["code"] for one in told["findings"]}
    # Root may write everywhere.
    assert ("folder_read_only" in codes) == (os.geteuid() != 0)


def test_a_copy_leaves_nothing_behind(wal_shop: Path, tmp_path: Path) -> None:
    with holding(wal_shop, "CREATE TABLE fresh (x)"):
        pass
    Path(f"{wal_shop}-shm").unlink()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    old = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(temporary)
    try:
        assert "wal_left" in findings(wal_shop)
    finally:
        os.environ.pop("TMPDIR") if old is None else os.environ.update(TMPDIR=old)
    assert list(temporary.iterdir()) == []


def test_without_room_for_a_copy_it_says_so(
    wal_shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holding(wal_shop, "CREATE TABLE fresh (x)"):
        pass
    Path(f"{wal_shop}-shm").unlink()
    before = state(wal_shop.parent)
    usage = shutil.disk_usage(wal_shop)._replace(free=wal_shop.stat().st_size)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    found = examine(wal_shop, Check.QUICK).findings
    assert {"not_checked", "wal_left"} <= {one.code for one in found}
    assert state(wal_shop.parent) == before


def test_a_copied_database_is_sound_without_what_was_beside_it(shop: Path, tmp_path: Path) -> None:
    copy = tmp_path / "with spaces and ? % # ü.db"
    shutil.copyfile(shop, copy)
    assert report(copy)["findings"] == []
