"""Permissions, owners, links, and the file system that a database is on."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from dbmanager.doctor import mounts
from tests.doctor.command import findings, holding, report, run

IS_ROOT = os.geteuid() == 0
NOBODY = 65534


def test_owner_mode_and_file_system_are_told(shop: Path) -> None:
    shop.chmod(0o640)
    [facts] = report(shop)["databases"]
    assert facts["mode"] == "-rw-r-----"
    assert facts["writable"]
    assert facts["folder_writable"]
    assert facts["links"] == 1
    assert facts["symlink_to"] is None
    told = subprocess.run(
        ["stat", "-c", "%U", shop], capture_output=True, text=True, check=True
    ).stdout
    assert facts["owner"] == told.strip()
    kinds = subprocess.run(
        ["stat", "-f", "-c", "%T", shop], capture_output=True, text=True, check=True
    ).stdout
    # stat names a family: ext2/ext3, btrfs, overlayfs.
    assert facts["file_system"][:3] == kinds[:3]


def test_a_file_that_all_may_write_is_told_with_the_command(shop: Path) -> None:
    shop.chmod(0o666)
    found = findings(shop)
    assert set(found) == {"world_writable"}
    assert found["world_writable"]["advice"] == f"`chmod o-w {shop}`"


def test_a_folder_that_all_may_write_is_told_unless_it_is_sticky(shop: Path) -> None:
    shop.parent.chmod(0o777)
    assert "world_writable" in findings(shop)
    shop.parent.chmod(0o1777)
    assert findings(shop) == {}


@pytest.mark.skipif(IS_ROOT, reason="root may write everything")
def test_what_this_user_can_not_write_is_told(shop: Path) -> None:
    shop.chmod(0o444)
    assert findings(shop)["read_only"]["severity"] == "note"


@pytest.mark.skipif(IS_ROOT, reason="root may read everything")
def test_a_file_that_this_user_can_not_read_is_told(shop: Path) -> None:
    shop.chmod(0)
    assert set(findings(shop)) == {"not_readable", "read_only"}


@pytest.mark.skipif(not IS_ROOT, reason="only root can be nobody")
def test_another_user_is_told_what_he_can_not_do(wal_shop: Path) -> None:
    code = (
        "import encodings.ascii, os, sys; from pathlib import Path; "
        "from dbmanager.cli.doctor import diagnosed; "
        "from dbmanager.doctor.integrity import Check; "
        f"os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); "
        f"os.setresuid({NOBODY}, {NOBODY}, {NOBODY}); "
        "report = diagnosed([Path(sys.argv[1])], Check.QUICK, None); "
        "print(*sorted(finding.code for finding in report['findings']))"
    )
    # The folders of pytest are this user's alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(shutil.copy(wal_shop, folder))
        with holding(path, "INSERT INTO item (name) VALUES ('new')"):
            ended = subprocess.run(
                [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60
            )
    assert ended.stderr == ""
    expected = ["folder_read_only", "holders_unseen", "read_only", "read_only", "read_only"]
    assert ended.stdout.split() == expected


@pytest.mark.skipif(not IS_ROOT, reason="only root gives files away")
def test_files_of_different_owners_are_told(wal_shop: Path) -> None:
    with holding(wal_shop, "INSERT INTO item (name) VALUES ('new')"):
        os.chown(f"{wal_shop}-shm", NOBODY, NOBODY)
        found = findings(wal_shop)
    assert set(found) == {"other_owner"}
    assert f"chown --reference={wal_shop} {wal_shop}-shm" in found["other_owner"]["advice"]


def test_a_link_is_followed_and_told(shop: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(shop)
    told = report(link)
    [found] = told["findings"]
    assert (found["code"], found["severity"]) == ("symlink", "note")
    assert told["databases"][0]["symlink_to"] == str(shop)


@pytest.mark.parametrize(("mode", "severity"), [("WAL", "error"), ("DELETE", "warning")])
def test_a_second_name_is_a_warning_and_with_a_wal_an_error(
    shop: Path, tmp_path: Path, mode: str, severity: str
) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
    os.link(shop, tmp_path / "second.db")
    found = findings(shop)
    assert found["hard_links"]["severity"] == severity
    assert "2 names" in found["hard_links"]["found"]


MOUNTINFO = r"""22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:50 / /srv rw,relatime shared:7 master:3 - nfs4 server:/export rw,vers=4.2
41 40 0:51 / /srv/disk rw - xfs /dev/vdb rw
42 22 0:52 / /home/with\040space rw - fuse.sshfs host:/ rw
43 22 0:53 / /win rw - cifs //host/share rw
44 22 0:54 / /over rw - ext4 /dev/vdc rw
45 22 0:55 / /over rw - 9p share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/project/a.db", "ext4"),
        ("/srv/a.db", "nfs4"),
        ("/srv/disk/a.db", "xfs"),
        ("/srvother/a.db", "ext4"),
        ("/home/with space/a.db", "fuse.sshfs"),
        ("/over/a.db", "9p"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(
    path: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    found = mounts.look(Path(path))
    assert found is not None
    assert found.kind == kind


def test_a_system_that_does_not_tell_of_mounts_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "missing")
    assert mounts.look(tmp_path) is None
    assert list(mounts.findings(None, tmp_path, is_wal=True)) == []


@pytest.mark.parametrize(
    ("kind", "is_wal", "expected"),
    [
        ("nfs", True, [("network_file_system", "error")]),
        ("cifs", False, [("network_file_system", "warning")]),
        ("fuse.sshfs", True, [("fuse_file_system", "warning")]),
        ("fuse.sshfs", False, [("fuse_file_system", "note")]),
        ("fuseblk", True, []),
        ("ext4", True, []),
    ],
)
def test_a_wal_over_a_network_is_an_error(
    kind: str, is_wal: bool, expected: list[tuple[str, str]]
) -> None:
    mount = mounts.Mount(Path("/project"), kind)
    found = mounts.findings(mount, Path("/project/a.db"), is_wal=is_wal)
    assert [(one.code, str(one.severity)) for one in found] == expected


def test_a_file_that_is_mounted_alone_is_told() -> None:
    mount = mounts.Mount(Path("/project/a.db"), "ext4")
    [found] = mounts.findings(mount, Path("/project/a.db"), is_wal=True)
    assert found.code == "mounted_file"


def test_a_file_that_is_not_there_is_an_error_of_usage(tmp_path: Path) -> None:
    ended = run(tmp_path / "missing.db")
    assert ended.returncode == 2
    assert "missing.db' does not exist" in ended.stderr
    ended = run(tmp_path)
    assert ended.returncode == 2
    assert "is a directory" in ended.stderr
