"""The command: what it is given, what it writes, how it ends."""

import json
import os
import re
from pathlib import Path

import pytest

from dbmanager.doctor.findings import CODES
from tests.doctor.command import report, run

ROOT = Path(__file__).resolve().parents[2]


def test_a_sound_database_gives_facts_and_exit_code_0(shop: Path) -> None:
    ended = run(shop, "--no-environment", "--ignore", "holders_unseen")
    assert (ended.returncode, ended.stderr) == (0, "")
    for text in (
        str(shop),
        "rollback journal",
        "of 4096 bytes, 0 free (0%)",
        "schema        1 table, 1 index",
        "foreign keys  none",
        "check         quick, read as shared",
        "0 errors, 0 warnings, 0 notes",
    ):
        assert text in ended.stdout
    assert "\x1b" not in ended.stdout


def test_findings_have_what_was_found_and_what_to_do(shop: Path) -> None:
    shop.chmod(0o666)
    ended = run(shop, "--no-environment", "--quiet", "--ignore", "holders_unseen")
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines == [
        f"warning world_writable {shop}: every user of the machine may write {shop} (-rw-rw-rw-)",
        f"    → `chmod o-w {shop}`",
    ]
    arguments = (
        "--no-environment",
        "-q",
        "--ignore",
        "world_writable",
        "--ignore",
        "holders_unseen",
    )
    assert run(shop, *arguments).stdout == ""


def test_several_databases_are_looked_at_and_the_gravest_finding_comes_first(
    shop: Path, tmp_path: Path
) -> None:
    shop.chmod(0o666)
    other = tmp_path / "other.db"
    other.write_bytes(b"no database")
    told = report(shop, other)
    assert [one["path"] for one in told["databases"]] == [str(shop), str(other)]
    assert [(one["severity"], one["database"]) for one in told["findings"]] == [
        ("error", str(other)),
        ("warning", str(shop)),
    ]


def test_json_has_the_documented_fields(wal_shop: Path) -> None:
    wal_shop.chmod(0o666)
    told = json.loads(run(wal_shop, "--json").stdout)
    document = (ROOT / "docs/doctor.md").read_text()
    documented = set(re.findall(r"`(\w+)`", document.partition("## JSON")[2]))
    names = {*told, *told["environment"], *told["environment"]["copies"][0]}
    names |= {*told["findings"][0], *told["databases"][0], *told["databases"][0]["holders"]}
    assert names <= documented
    assert told["version"] == 1


def test_every_code_is_documented_with_what_to_do() -> None:
    code = re.compile(r"(?:error|warning|note|make|finding)\(\s*\"(\w+)\"")
    sources = (ROOT / "python/dbmanager/doctor").glob("*.py")
    found = {name for path in sources for name in code.findall(path.read_text())}
    document = (ROOT / "docs/doctor.md").read_text()
    table = document.partition("## Findings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert found == set(rows) == CODES
    assert len(rows) == len(set(rows))


def test_without_arguments_it_looks_at_the_configured_databases(shop: Path) -> None:
    config = '[databases]\nshop = "sqlite:///shop.db?pool_size=2"\n'
    config += 'other = { url = "sqlite:///missing.db" }\nmemory = "sqlite://"\n'
    (shop.parent / "dbmanager.toml").write_text(config)
    told = report(folder=shop.parent)
    assert [one["path"] for one in told["databases"]] == [
        str(shop),
        str(shop.parent / "missing.db"),
    ]
    [found] = told["findings"]
    assert (found["code"], found["database"]) == ("no_file", str(shop.parent / "missing.db"))
    assert not (shop.parent / "missing.db").exists()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("", "name a database: no configuration names one"),
        ('[databases]\nmemory = "sqlite://"\n', "names no file"),
        ("[databases\n", "is no valid TOML"),
    ],
)
def test_without_a_database_it_says_how_to_name_one(tmp_path: Path, config: str, text: str) -> None:
    if config:
        (tmp_path / "dbmanager.toml").write_text(config)
    ended = run(folder=tmp_path)
    assert ended.returncode == 2
    assert text in " ".join(ended.stderr.split())


def test_a_configured_link_that_leads_nowhere_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "circle.db").symlink_to("circle.db")
    (tmp_path / "gone.db").symlink_to("nothing.db")
    config = '[databases]\na = "sqlite:///circle.db"\nb = "sqlite:///gone.db"\n'
    (tmp_path / "dbmanager.toml").write_text(config)
    codes = [one["code"] for one in report(folder=tmp_path)["findings"]]
    assert codes == ["not_readable", "no_file"]


def test_a_code_to_ignore_that_is_none_is_refused(shop: Path) -> None:
    ended = run(shop, "--ignore", "sqlite_bugs")
    assert ended.returncode == 2
    assert "'sqlite_bugs' is no code of a finding" in ended.stderr


def test_options_that_exclude_each_other_are_refused(shop: Path) -> None:
    ended = run(shop, "--full", "--no-check")
    assert ended.returncode == 2
    assert "--full and --no-check exclude each other" in ended.stderr


def test_time_for_the_environment_is_refused_where_that_is_left_out(shop: Path) -> None:
    ended = run(shop, "--no-environment", "--seconds", "10")
    assert ended.returncode == 2
    assert "--seconds and --no-environment exclude each other" in ended.stderr


def test_an_output_that_can_not_write_everything_gets_escapes(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PYTHONIOENCODING", "ascii")
    shop.chmod(0o666)
    ended = run(shop, "--no-environment", "--quiet")
    assert ended.stderr == ""
    assert "\\u2192 `chmod o-w" in ended.stdout
