"""The WAL: its size, what is in the database of it, and who keeps it from being used anew."""

from pathlib import Path

from tests.doctor.command import findings, holding, report

# Rows of four pages each, so that 1,100 of them make more than 4,000 pages.
GROW = (
    "INSERT INTO item (name) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n "
    "LIMIT {}) SELECT hex(zeroblob(8000)) FROM n"
)
MANY = GROW.format(1100)
FEW = GROW.format(1)
READ = ("BEGIN", "SELECT count(*) FROM item")


def test_a_wal_is_told_with_how_much_of_it_is_in_the_database(wal_shop: Path) -> None:
    with holding(wal_shop, FEW, FEW, "PRAGMA wal_checkpoint", FEW):
        [facts] = report(wal_shop)["databases"]
    told = facts["wal"]
    assert told["size_bytes"] == 32 + told["room_frames"] * (4096 + 24)
    assert 0 < told["frames"] <= told["room_frames"]
    assert told["checkpointed"] == 0


def test_a_reader_that_keeps_a_large_wal_is_named(wal_shop: Path) -> None:
    with holding(wal_shop, FEW), holding(wal_shop, *READ) as reader, holding(wal_shop, MANY):
        found = findings(wal_shop)
        assert found["wal_kept"]["severity"] == "warning"
        [line] = found["wal_kept"]["details"]
        assert f"{reader.pid} (" in line
        assert "wal_read_" in line


def test_a_large_wal_that_nobody_checkpoints_is_a_warning(wal_shop: Path) -> None:
    with holding(wal_shop, "PRAGMA wal_autocheckpoint=0", MANY):
        found = findings(wal_shop)["wal_large"]
    assert found["severity"] == "warning"
    assert "wal_checkpoint(TRUNCATE)" in found["advice"]


def test_a_wal_that_was_large_once_is_a_note(wal_shop: Path) -> None:
    with holding(wal_shop, MANY, "PRAGMA wal_checkpoint", FEW):
        found = findings(wal_shop)["wal_large"]
    assert found["severity"] == "note"
    assert "journal_size_limit" in found["advice"]


def test_a_small_wal_in_use_is_nothing_to_tell(wal_shop: Path) -> None:
    with holding(wal_shop, FEW):
        assert findings(wal_shop) == {}
