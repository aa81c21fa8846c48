"""Who has a database open, with which of SQLite's locks."""

import os
from pathlib import Path
from typing import Any

import pytest

from dbmanager.doctor import files, holders, locks
from tests.doctor.command import findings, holding, report, started


def processes(path: Path) -> dict[int, Any]:
    [facts] = report(path)["databases"]
    assert facts["holders"]["known"]
    return {one["pid"]: one for one in facts["holders"]["processes"]}


def test_a_process_is_named_with_its_command_files_and_locks(wal_shop: Path) -> None:
    with holding(wal_shop, "INSERT INTO item (name) VALUES ('new')") as process:
        found = processes(wal_shop)
    assert list(found) == [process.pid]
    holder = found[process.pid]
    assert str(wal_shop) in holder["command"]
    assert set(holder["files"]) == {"database", "-wal", "-shm"}
    assert holder["locks"] == ["shared", "wal_open"]


def test_a_process_with_dbmanager_is_named_with_its_locks(wal_shop: Path) -> None:
    with holding(wal_shop, "BEGIN", "SELECT 1 FROM item", module="dbmanager.sqlite3") as process:
        holder = processes(wal_shop)[process.pid]
    assert {"shared", "wal_open"} <= set(holder["locks"])
    assert any(name.startswith("wal_read_") for name in holder["locks"])


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("SELECT name FROM item", ["shared"]),
        ("BEGIN IMMEDIATE", ["shared", "reserved"]),
        ("BEGIN EXCLUSIVE", ["exclusive", "reserved", "pending"]),
    ],
)
def test_locks_of_a_rollback_journal_are_named(
    shop: Path, statement: str, names: list[str]
) -> None:
    with holding(shop, statement) as process:
        assert set(processes(shop)[process.pid]["locks"]) == set(names)


def test_who_writes_a_wal_is_told(wal_shop: Path) -> None:
    with holding(wal_shop, "BEGIN IMMEDIATE") as process:
        assert "wal_write" in processes(wal_shop)[process.pid]["locks"]


def test_nobody_holds_a_closed_database(shop: Path) -> None:
    assert processes(shop) == {}


def test_who_writes_into_a_file_that_was_replaced_is_named(shop: Path) -> None:
    with holding(shop, "SELECT name FROM item") as process:
        content = shop.read_bytes()
        shop.unlink()
        shop.write_bytes(content)
        found = findings(shop)["removed_while_open"]
        assert found["severity"] == "warning"
        assert found["details"][0].startswith(f"{process.pid} (")


LOCKS_OF_A_DESCRIPTION = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0x40000001, 1, 0)
fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_lock_of_an_open_file_description_is_the_process_that_has_it(shop: Path) -> None:
    with started(LOCKS_OF_A_DESCRIPTION, shop) as process:
        assert "-1" in Path(f"/proc/{process.pid}/fdinfo/3").read_text()
        assert processes(shop)[process.pid]["locks"] == ["reserved"]


LOCKS = """1: FLOCK  ADVISORY  WRITE 5718 {device}:{inode} 0 EOF
2: POSIX  ADVISORY  READ 4001 {device}:{inode} 1073741826 1073742335
2: -> POSIX  ADVISORY  WRITE 4002 {device}:{inode} 1073741826 1073742335
3: OFDLCK ADVISORY  WRITE -1 {device}:{inode} 1073741825 1073741825
4: POSIX  ADVISORY  WRITE 4003 {device}:1 1073741824 1073742335
"""


def of_another_user(folder: Path, pid: int, command: str) -> None:
    """Make what /proc shows of a process whose files can't be looked at."""
    process = folder / str(pid)
    process.mkdir()
    (process / "cmdline").write_bytes(command.encode().replace(b" ", b"\0"))


def test_locks_of_processes_that_can_not_be_looked_at_are_from_the_kernels_list(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    there = files.look(shop)
    device = f"{os.major(there.stat.st_dev):02x}:{os.minor(there.stat.st_dev):02x}"
    (proc / "locks").write_text(LOCKS.format(device=device, inode=there.stat.st_ino))
    for pid in (4001, 4002):
        of_another_user(proc, pid, f"server {pid}")
    monkeypatch.setattr(holders, "PROC", proc)
    monkeypatch.setattr(holders, "_holder", refused)
    found = holders.look(there)
    assert found.not_seen == 2
    told = {(one.pid, one.command, tuple(one.locks)) for one in found.processes}
    assert told == {(4001, "server 4001", ("shared",)), (None, "", ("reserved",))}
    [finding] = holders.findings(found)
    assert finding.code == "holders_unseen"


def refused(pid: int, there: files.Files) -> None:
    raise PermissionError(13, "Permission denied")


def test_a_system_without_proc_is_said_not_to_tell(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "PROC", tmp_path / "missing")
    found = holders.look(files.look(shop))
    assert not found.is_known
    assert [one.code for one in holders.findings(found)] == ["holders_unknown"]


def test_lines_of_the_kernel_are_read_as_locks() -> None:
    read = list(locks.parse(LOCKS.format(device="fe:00", inode=7)))
    assert [(one.pid, one.writes, one.inode) for one in read] == [
        (4001, False, 7),
        (-1, True, 7),
        (4003, True, 1),
    ]
    assert read[0].device == (254, 0)
    whole = locks.Lock(1, (0, 0), 1, writes=True, start=0, end=2**63 - 1)
    assert list(locks.names(whole, is_index=False)) == ["exclusive", "reserved", "pending"]
    assert len(list(locks.names(whole, is_index=True))) == 9
