"""Damaged databases, and files that are none: findings, never a traceback."""

import os
import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest

from tests.doctor.command import findings, holding, report, run


def written_over(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def test_a_damaged_page_is_found(shop: Path) -> None:
    written_over(shop, 4096 * 3, random.Random(1).randbytes(4096))
    found = findings(shop)
    assert found["corrupt"]["severity"] == "error"
    assert "sqlite3 DAMAGED .recover" in found["corrupt"]["advice"]
    assert run(shop, "--no-environment").returncode == 1


def test_a_truncated_file_is_told_with_both_sizes(shop: Path) -> None:
    size = shop.stat().st_size
    os.truncate(shop, size - 4096 * 2 - 100)
    found = findings(shop)
    assert f"{size - 8292} bytes, its header says {size}" in found["truncated"]["found"]
    assert "corrupt" in found


def test_a_file_that_ends_in_its_header_is_truncated(shop: Path) -> None:
    os.truncate(shop, 60)
    assert set(findings(shop)) == {"truncated"}


def test_a_malformed_schema_is_told(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE item(' WHERE type='table'")
        connection.commit()
    found = findings(shop)
    assert set(found) == {"schema_malformed"}
    assert "malformed database schema" in found["schema_malformed"]["found"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (random.Random(2).randbytes(8192), "encrypted, overwritten or another file"),
        (b"name,price\n", "does not begin as a SQLite database"),
        (struct.pack(">I", 0x377F0682) + bytes(28), "the journal or the WAL of a database"),
        (bytes.fromhex("d9d505f920a163d7") + bytes(504), "the journal or the WAL of a database"),
    ],
)
def test_a_file_that_is_no_database_is_told_as_what_it_is(
    tmp_path: Path, content: bytes, text: str
) -> None:
    path = tmp_path / "file.db"
    path.write_bytes(content)
    found = findings(path)
    assert set(found) == {"not_a_database"}
    assert text in found["not_a_database"]["found"]


def test_a_file_of_no_bytes_is_told_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    path.touch()
    found = findings(path)
    assert found["empty"]["severity"] == "warning"
    assert path.stat().st_size == 0


def test_a_device_and_a_pipe_are_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.db"
    os.mkfifo(pipe)
    for path in (pipe, "/dev/null"):
        assert set(findings(path)) == {"not_a_file"}


SCHEMA_OF = "UPDATE sqlite_master SET rootpage = ? WHERE name = ?"


def test_an_index_that_does_not_fit_its_table_is_found_by_the_full_check(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("CREATE TABLE other (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        connection.execute("CREATE INDEX other_name ON other (name)")
        connection.execute("INSERT INTO other SELECT id, 'other ' || name FROM item")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA writable_schema=ON")
        sql = "SELECT rootpage FROM sqlite_master WHERE name IN ('item_name', 'other_name')"
        (one,), (other,) = connection.execute(sql).fetchall()
        connection.executemany(SCHEMA_OF, [(other, "item_name"), (one, "other_name")])
        connection.commit()
    assert findings(shop) == {}
    found = findings(shop, "--full")
    assert set(found) == {"index_damaged"}
    assert "finds at least 100 entries" in found["index_damaged"]["found"]
    assert "REINDEX" in found["index_damaged"]["advice"]
    assert found["index_damaged"]["details"][-1] == "… and 90 more"


def test_values_that_the_schema_forbids_are_no_damage_of_the_file(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("CREATE TABLE price (cents INTEGER)")
        connection.execute("INSERT INTO price VALUES (NULL)")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE TABLE price (cents INTEGER NOT NULL)' "
            "WHERE name = 'price'"
        )
        connection.commit()
    found = findings(shop)
    assert set(found) == {"constraint_violated"}
    assert found["constraint_violated"]["details"] == ["NULL value in price.cents"]


def test_a_virtual_table_whose_module_is_missing_is_told(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'shapes', 'shapes', 0, "
            "'CREATE VIRTUAL TABLE shapes USING geometry(1)')"
        )
        connection.commit()
    told = report(shop)
    [found] = told["findings"]
    assert found["code"] == "extension_missing"
    assert "the virtual table shapes needs the module geometry" in found["found"]
    assert told["databases"][0]["schema"]["virtual table"] == 1


@pytest.mark.parametrize("sql", ["CREATE INDEX by_code ON item (code(name))", "own collation"])
def test_a_function_or_collation_of_the_application_is_told_as_missing(
    shop: Path, sql: str
) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.create_function("code", 1, len, deterministic=True)
        connection.create_collation("own", lambda one, two: (one > two) - (one < two))
        if sql == "own collation":
            sql = "CREATE INDEX by_own ON item (name COLLATE own)"
        connection.execute(sql)
        connection.execute("ANALYZE")
        connection.commit()
    found = findings(shop, "--full")
    assert set(found) == {"extension_missing"}
    assert found["extension_missing"]["severity"] == "warning"


def test_who_locks_a_database_exclusively_is_named(shop: Path) -> None:
    with holding(shop, "BEGIN EXCLUSIVE") as process:
        found = findings(shop)
        assert set(found) == {"locked"}
        assert any(f"{process.pid} (" in line for line in found["locked"]["details"])
        assert "exclusive" in found["locked"]["details"][0]


def test_who_keeps_a_wal_database_to_himself_is_named(wal_shop: Path) -> None:
    sql = ("PRAGMA locking_mode=EXCLUSIVE", "INSERT INTO item (name) VALUES ('new')")
    with holding(wal_shop, *sql) as process:
        found = findings(wal_shop)
        assert f"{process.pid} (" in found["locked"]["details"][0]


def test_bytes_that_are_no_text_are_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "\x1b[31mred" (x REFERENCES "\x1b[0mnone")')
        connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.execute('INSERT INTO "\x1b[31mred" VALUES (1)')
        connection.commit()
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.db"))
    path.rename(odd)
    ended = run(odd, "--no-environment")
    assert ended.stderr == ""
    assert "\x1b" not in ended.stdout
    assert "foreign_key_violation" in ended.stdout
    assert "\\x1b[31mred" in ended.stdout


@pytest.mark.parametrize("seed", range(12))
def test_any_damage_gives_findings_and_no_traceback(shop: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(shop.read_bytes())
    for _ in range(chance.choice([1, 10, 200])):
        content[chance.randrange(16, len(content))] = chance.randrange(256)
    if chance.random() < 0.3:
        del content[chance.randrange(100, len(content)) :]
    shop.write_bytes(content)
    ended = run(shop, "--no-environment", "--full")
    assert ended.stderr == ""
    assert ended.returncode in {0, 1}
    assert shop.read_bytes() == content
