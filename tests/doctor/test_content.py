"""What is told of a sound database's content."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.doctor.command import findings, report


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_facts_are_those_that_sqlite_tells(shop: Path) -> None:
    changed(
        shop,
        "CREATE VIEW names AS SELECT name FROM item",
        "CREATE TABLE sale (item REFERENCES item)",
        "CREATE TRIGGER sold AFTER INSERT ON sale BEGIN SELECT 1; END",
        "PRAGMA user_version=7",
        "PRAGMA application_id=-5",
    )
    [facts] = report(shop)["databases"]
    with closing(sqlite3.connect(shop)) as connection:
        for name in ("page_size", "page_count", "encoding", "user_version", "application_id"):
            assert (facts[name],) == connection.execute(f"PRAGMA {name}").fetchone()
    assert facts["size_bytes"] == shop.stat().st_size
    assert facts["free_pages"] == 0
    assert facts["journal_mode"] == "rollback"
    assert facts["auto_vacuum"] == "none"
    assert facts["written_by"] == sqlite3.sqlite_version
    assert facts["schema"] == {
        "table": 2,
        "virtual table": 0,
        "index": 1,
        "view": 1,
        "trigger": 1,
    }
    assert facts["tables_with_foreign_keys"] == ["sale"]
    assert facts["path"] == str(shop)
    assert facts["wal"] is None


def test_references_to_no_row_are_counted_by_table_with_the_first_rows(shop: Path) -> None:
    changed(
        shop,
        "CREATE TABLE sale (item INTEGER REFERENCES item, gift INTEGER REFERENCES item)",
        "INSERT INTO sale WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 20) "
        "SELECT x + 10000, 1 FROM n",
        "CREATE TABLE tag (item INTEGER REFERENCES nowhere)",
        "INSERT INTO tag VALUES (1)",
    )
    found = [one for one in report(shop)["findings"] if one["code"] == "foreign_key_violation"]
    assert [one["found"] for one in found] == [
        "20 references of sale go to no row: 20 to item",
        "1 references of tag go to no row: 1 to nowhere",
    ]
    assert found[0]["details"] == [f"sale rowid {row} → item" for row in range(1, 6)]
    assert 'PRAGMA foreign_key_check("sale")' in found[0]["advice"]


def test_a_foreign_key_to_columns_that_are_not_unique_is_told(shop: Path) -> None:
    changed(
        shop,
        "CREATE TABLE sale (name TEXT REFERENCES item (name))",
        "CREATE TABLE other (item INTEGER REFERENCES item)",
        "INSERT INTO other VALUES (99999)",
    )
    found = findings(shop)
    assert set(found) == {"foreign_key_mismatch", "foreign_key_violation"}


def test_without_a_check_no_row_is_read(shop: Path) -> None:
    changed(
        shop,
        "CREATE TABLE sale (item INTEGER REFERENCES item)",
        "INSERT INTO sale VALUES (99999)",
        "DROP TABLE sqlite_stat1",
    )
    told = report(shop, "--no-check")
    assert told["findings"] == []
    assert told["databases"][0]["check"] == "none"
    assert told["databases"][0]["tables_with_foreign_keys"] == ["sale"]


def test_a_database_that_was_never_analyzed_is_told_with_what_to_run(shop: Path) -> None:
    changed(shop, "DROP TABLE sqlite_stat1")
    found = findings(shop)["never_analyzed"]
    assert found["severity"] == "note"
    assert found["details"] == ["item: 500 rows"]
    assert "PRAGMA optimize" in found["advice"]


def test_statistics_that_are_far_from_the_truth_are_told(shop: Path) -> None:
    changed(
        shop,
        "CREATE TABLE sale (item INTEGER)",
        "CREATE INDEX sale_item ON sale (item)",
        "INSERT INTO sale SELECT id FROM item",
        "DELETE FROM item WHERE id > 40",
    )
    found = findings(shop)["analyzed_long_ago"]
    assert found["details"] == ["item: 40 rows, 500 then", "sale: 500 rows, none known"]


def test_statistics_of_a_table_with_a_partial_index_only_are_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    changed(
        path,
        "CREATE TABLE t (x)",
        "CREATE INDEX part ON t (x) WHERE x < 3",
        "INSERT INTO t WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n LIMIT 900) "
        "SELECT x FROM n",
        "ANALYZE",
    )
    assert report(path)["findings"] == []


def test_many_free_pages_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    changed(
        path,
        "CREATE TABLE t (x)",
        "INSERT INTO t VALUES (zeroblob(20000000))",
        "DELETE FROM t",
    )
    told = report(path)
    [found] = told["findings"]
    assert (found["code"], found["severity"]) == ("free_pages", "note")
    assert "VACUUM" in found["advice"]
    assert told["databases"][0]["free_pages"] > 4000


def test_full_text_tables_are_checked_and_have_their_module(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    changed(
        path,
        "CREATE VIRTUAL TABLE note USING fts5(text)",
        "INSERT INTO note VALUES ('some words')",
    )
    assert report(path, "--full")["findings"] == []
