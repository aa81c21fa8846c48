"""The copies of SQLite in an environment, and the bugs of their versions."""

import itertools
import json
import os
import re
import sqlite3
import sys
import types
from contextlib import closing
from pathlib import Path

import pytest

from dbmanager import sqlite3 as ours
from dbmanager.doctor import bugs, copies, environment
from tests.doctor.command import run

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/doctor.md"
SOURCE = b"2013-05-20 00:56:22 118a3b35693b134d56ebd780123b7fd6f1497668\0"


def source_id(module: types.ModuleType) -> str:
    with closing(module.connect(":memory:")) as connection:
        text: str = connection.execute("SELECT sqlite_source_id()").fetchone()[0]
    return text


def test_pythons_own_and_ours_are_found_with_version_and_source() -> None:
    pythons, dbmanagers, *_ = copies.look().copies
    assert (pythons.owner, dbmanagers.owner) == ("sqlite3 (Python)", "dbmanager")
    assert pythons.version == sqlite3.sqlite_version
    # Distributions' packages may end in "alt1" or the like.
    assert pythons.source_id[:60] == source_id(sqlite3)[:60]
    assert Path(pythons.path).is_file()
    assert (dbmanagers.version, dbmanagers.source_id) == (ours.sqlite_version, source_id(ours))


def test_what_a_package_brings_is_found_as_it_tells_itself() -> None:
    apsw = pytest.importorskip("apsw")
    found = {one.path: one for one in copies.look().copies}
    assert found[apsw.__file__].owner == f"apsw {apsw.apsw_version()}"
    assert found[apsw.__file__].version == apsw.sqlite_lib_version()
    assert found[apsw.__file__].source_id == apsw.sqlite3_sourceid()


@pytest.mark.parametrize("mode", ["route", "error"])
def test_a_shim_that_routes_or_refuses_direct_calls_does_not_change_what_is_found(
    shop: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "DBMANAGER_MODE", mode)
    ended = run(shop, "--json")
    assert ended.stderr == ""
    assert json.loads(ended.stdout)["environment"]["copies"][0]["version"] == sqlite3.sqlite_version


def distribution(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """Make what an installed distribution leaves in a folder of ``sys.path``."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    filler = b"\x7fELF" + bytes(5000)
    whole = filler + b"SQLite format 3\0" + SOURCE + b"\xff3.7.17\0" + filler
    distribution(
        tmp_path,
        "shapes",
        {
            "shapes/libqsqlite.so": whole,
            "shapes/_other.cpython-311-x86_64-linux-gnu.so": filler + b"3.7.17\0",
            "shapes/no_version.so": filler + b"SQLite format 3\0" + SOURCE,
            "shapes/empty.so": b"",
            "shapes/text.py": whole,
            "shapes.libs/libsqlite3-e9f4.so.0.8.6": whole.replace(b"3.7.17", b"3.51.1"),
        },
    )
    return tmp_path


def test_a_library_is_a_copy_only_with_format_source_and_version(packages: Path) -> None:
    found = copies.look()
    assert {(Path(one.path).name, one.version) for one in found.copies[2:]} == {
        ("libqsqlite.so", "3.7.17"),
        ("libsqlite3-e9f4.so.0.8.6", "3.51.1"),
    }
    assert found.copies[2].owner == "shapes 1.0"
    assert found.copies[2].source_id == SOURCE[:-1].decode()
    assert found.not_searched == [str(packages / "shapes/empty.so")]


def test_what_there_was_no_time_for_is_said(packages: Path) -> None:
    found = copies.look(seconds=0)
    assert len(found.copies) == 2
    assert len(found.not_searched) == 5
    codes = [one.code for one in environment.findings(found, traits=())]
    assert "environment_incomplete" in codes
    assert "several_copies" not in codes


def test_a_large_library_is_searched_to_its_end_unless_the_time_is_up(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The text lies across the edge of two parts.
    monkeypatch.setattr(copies, "_PART", 5010)
    found = copies.look()
    assert len(found.copies) == 4
    times = itertools.chain([0.0], itertools.repeat(20.0))
    monkeypatch.setattr(copies.time, "monotonic", lambda: next(times))
    assert len(copies.look(seconds=10).not_searched) == 5


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("3.6.23", []),
        ("3.7.0", ["WAL-reset", "VACUUM between WAL and rollback journal"]),
        ("3.7.5", ["WAL-reset"]),
        ("3.18.0", ["WAL-reset", "COMMIT tried again", "auto_vacuum"]),
        ("3.18.1", ["WAL-reset", "COMMIT tried again"]),
        ("3.19.2", ["WAL-reset", "COMMIT tried again", "auto_vacuum"]),
        ("3.34.1", ["WAL-reset"]),
        (
            "3.35.4",
            ["WAL-reset", "UPSERT and indexes", "secondary journal in memory", "DROP COLUMN"],
        ),
        ("3.37.1", ["WAL-reset", "UPSERT and indexes", "secondary journal in memory"]),
        ("3.40.1", ["WAL-reset", "UPSERT and indexes"]),
        ("3.44.5", ["WAL-reset", "UPSERT and indexes"]),
        ("3.44.6", ["UPSERT and indexes"]),
        ("3.45.2", ["WAL-reset"]),
        ("3.50.6", ["WAL-reset"]),
        ("3.50.7", []),
        ("3.51.2", ["WAL-reset"]),
        ("3.51.3", []),
        ("3.52.0", ["expression indexes of 3.52.0"]),
        ("3.53.2", []),
        ("3.54.1", []),
    ],
)
def test_bugs_are_those_of_the_version(version: str, names: list[str]) -> None:
    assert [bug.name for bug in bugs.of(version)] == names


def test_each_bug_names_a_page_of_sqlite_org_and_is_documented() -> None:
    for bug in bugs.BUGS:
        assert re.fullmatch(r"https://sqlite\.org/[\w/.#]+", bug.page)
        assert bug.first < bug.fixed
        assert bug.page in DOCUMENT.read_text()


def old(version: str) -> copies.Copies:
    return copies.Copies([copies.Copy("shapes 1.0", version, "", "")])


def test_a_bug_is_a_warning_where_a_database_has_what_it_needs() -> None:
    severities = {
        traits: {
            one.code: str(one.severity)
            for one in environment.findings(old("3.51.2"), traits=traits)
        }
        for traits in ((), ("auto_vacuum",), ("wal",))
    }
    assert severities[()] == {"sqlite_bug": "note", "several_copies": "note"}
    assert severities["auto_vacuum",] == severities[()]
    assert severities["wal",] == {"sqlite_bug": "warning", "several_copies": "note"}


def test_the_command_tells_the_environment_and_the_bugs_that_matter(wal_shop: Path) -> None:
    ended = run(wal_shop, "--json")
    assert ended.stderr == ""
    told = json.loads(ended.stdout)
    owners = [one["owner"] for one in told["environment"]["copies"]]
    assert owners[:2] == ["sqlite3 (Python)", "dbmanager"]
    assert told["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    warned = [one for one in told["findings"] if one["severity"] == "warning"]
    has_bug = any(bug.name == "WAL-reset" for bug in bugs.of(sqlite3.sqlite_version))
    assert [one["code"] for one in warned] == (["sqlite_bug"] if has_bug else [])
    assert ended.returncode == (1 if has_bug else 0)
    assert run(wal_shop, "--ignore", "sqlite_bug").returncode == 0


def test_an_auto_vacuum_database_is_known_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("CREATE TABLE t (x)")
    told = json.loads(run(path, "--json", "--no-environment").stdout)
    assert told["databases"][0]["auto_vacuum"] == "incremental"
    assert told["environment"] is None
