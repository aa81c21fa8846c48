"""Options that contradict each other are refused; what --quiet leaves is the same everywhere."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.command_line import dbmanager, done

TEXT = "import sqlite3\nsqlite3.connect('a.db')\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(TEXT)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE item (id)")
    done("check", "--update", ".", folder=tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", ".", "--json", "--format", "csv"], "--json and --format csv"),
        (["scan", ".", "--json", "--format", "table"], "--json and --format table"),
        (["check", "--json", "--format", "sarif"], "--json and --format sarif"),
        (["scan", ".", "-q", "--json"], "--quiet and --json"),
        (["scan", ".", "-q", "--format", "csv"], "--quiet and --format csv"),
        (["check", "-q", "--json"], "--quiet and --json"),
        (["check", "-q", "--format", "github"], "--quiet and --format github"),
        (["doctor", "a.db", "-q", "--json"], "--quiet and --json"),
        (["migrate", ".", "-q", "--json"], "--quiet and --json"),
        (["migrate", ".", "--diff", "--json"], "--diff and --json"),
        (["migrate", ".", "--diff", "-q"], "--diff and --quiet"),
    ],
)
def test_a_contradiction_is_refused_and_nothing_is_written(
    folder: Path, arguments: list[str], message: str
) -> None:
    ended = dbmanager(*arguments, folder=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{message} exclude each other" in ended.stderr
    assert (folder / "app.py").read_text() == TEXT


@pytest.mark.parametrize("command", [["scan", "."], ["check"]])
def test_json_may_be_asked_for_twice(folder: Path, command: list[str]) -> None:
    told = done(*command, "--json", "--format", "json", folder=folder)
    assert len(json.loads(told)["calls"]) == 1


@pytest.mark.parametrize("form", [["--json"], ["--format", "sarif"], []])
@pytest.mark.parametrize("command", [["scan", "."], ["check", "--update"]])
def test_quiet_with_a_file_writes_the_file_and_tells_nothing(
    folder: Path, command: list[str], form: list[str]
) -> None:
    ended = dbmanager(*command, *form, "--quiet", "-o", "quiet.out", folder=folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    dbmanager(*command, *form, "-o", "loud.out", folder=folder)
    assert (folder / "quiet.out").read_text() == (folder / "loud.out").read_text() != ""


def test_a_dash_for_the_file_is_standard_output(folder: Path) -> None:
    told = done("scan", ".", "--json", "-o", "-", folder=folder)
    assert len(json.loads(told)["calls"]) == 1
    assert not (folder / "-").exists()


def test_a_file_that_can_not_be_written_is_told_before_anything_is_done(folder: Path) -> None:
    (folder / "dbmanager-baseline.toml").unlink()
    ended = dbmanager("check", "--update", ".", "-o", "no/check.txt", folder=folder)
    assert ended.returncode == 2
    assert "no/check.txt can't be written: No such file or directory" in ended.stderr
    assert not (folder / "dbmanager-baseline.toml").exists()


def test_json_of_one_rule_is_of_this_one(folder: Path) -> None:
    [rule] = json.loads(done("rules", "dbm001", "--json", folder=folder))
    assert rule["code"] == "DBM001"
    ended = dbmanager("rules", "x", "--json", folder=folder)
    assert (ended.returncode, ended.stdout) == (2, "")
