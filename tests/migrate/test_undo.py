"""``dbmanager undo``: what it tells, what it forgets, and whose migrations it finds."""

import json
from pathlib import Path
from typing import Any

import pytest

from dbmanager.cli.files import journal
from tests.command_line import dbmanager, done

TEXT = "import sqlite3\nsqlite3.connect('x')\n"


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """A project of two services without Git, migrated."""
    folder = tmp_path / "project"
    for name in ("bills", "mail"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
        (folder / name / "store.py").write_text(TEXT)
    (folder / "pyproject.toml").write_text("")
    done("migrate", ".", folder=folder)
    return folder


def told(*arguments: str, folder: Path, code: int = 0) -> Any:
    ended = dbmanager("undo", "--json", *arguments, folder=folder)
    assert ended.returncode == code, ended.stderr
    return json.loads(ended.stdout)


def test_json_tells_what_was_taken_back(migrated: Path) -> None:
    [run] = journal.runs(migrated)
    assert told("--service", "mail", folder=migrated) == {
        "version": 1,
        "run": "000001",
        "begun": run.begun,
        "taken_back": [{"file": "mail/store.py", "service": "mail"}],
        "refused": [],
        "forgotten": [],
    }
    assert (migrated / "mail/store.py").read_text() == TEXT
    assert told(folder=migrated)["taken_back"] == [{"file": "bills/store.py", "service": "bills"}]


def test_json_tells_what_is_refused_and_why(migrated: Path) -> None:
    (migrated / "mail/store.py").write_text("# mine\n")
    found = told(folder=migrated, code=1)
    assert found["taken_back"] == []
    assert found["refused"] == [
        {"file": "mail/store.py", "service": "mail", "reason": "changed since the migration"}
    ]
    assert (migrated / "bills/store.py").read_text() != TEXT


def test_json_lists_what_can_be_taken_back(migrated: Path) -> None:
    [run] = journal.runs(migrated)
    [found] = told("--list", folder=migrated)["migrations"]
    assert found == {
        "run": "000001",
        "begun": run.begun,
        "is_complete": True,
        "files": [
            {"file": "bills/store.py", "service": "bills"},
            {"file": "mail/store.py", "service": "mail"},
        ],
    }
    [found] = told("--list", "--service", "mail", folder=migrated)["migrations"]
    assert found["files"] == [{"file": "mail/store.py", "service": "mail"}]


def test_a_list_of_a_service_has_no_others(migrated: Path) -> None:
    listed = done("undo", "--list", "--service", "mail", folder=migrated)
    assert listed.endswith("  mail  1 file\n")
    assert listed.count("\n") == 1


def test_a_refusal_says_how_the_migration_is_forgotten(migrated: Path) -> None:
    (migrated / "mail/store.py").write_text("# mine\n")
    message = "to keep the files as they are: `dbmanager undo --forget 000001"
    assert f"{message}`" in dbmanager("undo", folder=migrated).stderr
    ended = dbmanager("undo", "--service", "mail", folder=migrated)
    assert f"{message} --service mail`" in ended.stderr


@pytest.mark.parametrize("name", ["000001", "1"])
def test_a_migration_that_is_forgotten_leaves_its_files(migrated: Path, name: str) -> None:
    mine = migrated / "mail/store.py"
    mine.write_text("# mine\n")
    other = (migrated / "bills/store.py").read_text()
    assert done("undo", "--forget", name, folder=migrated).splitlines() == [
        "bills/store.py stays as it is",
        "mail/store.py stays as it is",
        "migration 000001 is forgotten",
    ]
    assert (mine.read_text(), (migrated / "bills/store.py").read_text()) == ("# mine\n", other)
    assert done("undo", "--list", folder=migrated) == ""


def test_of_a_migration_the_part_of_a_service_can_be_forgotten(migrated: Path) -> None:
    (migrated / "mail/store.py").write_text("# mine\n")
    found = told("--forget", "1", "--service", "mail", folder=migrated)
    assert found["forgotten"] == [{"file": "mail/store.py", "service": "mail"}]
    done("undo", folder=migrated)
    assert (migrated / "bills/store.py").read_text() == TEXT


@pytest.mark.parametrize("arguments", [["7"], ["../000001"], [""], ["1", "--service", "x"]])
def test_what_is_not_there_can_not_be_forgotten(migrated: Path, arguments: list[str]) -> None:
    ended = dbmanager("undo", "--forget", *arguments, folder=migrated)
    assert ended.returncode == 2
    assert "there is no migration" in ended.stderr
    assert len(journal.runs(migrated)) == 1


def test_a_damaged_journal_can_be_forgotten(migrated: Path) -> None:
    [run] = journal.runs(migrated)
    (run.folder / "manifest.json").write_text("{")
    (migrated / "new.py").write_text(TEXT)
    for command in (["undo"], ["undo", "--list"], ["migrate", "."]):
        ended = dbmanager(*command, folder=migrated)
        assert ended.returncode == 1
        assert "`dbmanager undo --forget 000001` drops it" in ended.stderr
    assert done("undo", "--forget", "1", folder=migrated) == "migration 000001 is forgotten\n"
    assert done("undo", "--list", folder=migrated) == ""


def test_a_file_that_is_gone_is_told_and_is_no_traceback(migrated: Path) -> None:
    (migrated / "mail/store.py").unlink()
    assert "mail/store.py: changed since" in dbmanager("undo", folder=migrated).stderr
    [run] = journal.runs(migrated)
    (run.folder / "0000").unlink()
    ended = dbmanager("undo", folder=migrated)
    assert ended.returncode == 1
    assert "0000 can't be read: No such file or directory; `dbmanager undo --fo" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json", "--quiet"], "--quiet and --json exclude each other"),
        (["--list", "--quiet"], "--list and --quiet exclude each other"),
        (["--list", "--forget", "1"], "--list and --forget exclude each other"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    migrated: Path, arguments: list[str], message: str
) -> None:
    ended = dbmanager("undo", *arguments, folder=migrated)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr
    assert len(journal.runs(migrated)) == 1


@pytest.mark.parametrize("marker", [".dbmanager", "pyproject.toml", ".git"])
def test_the_home_folder_is_no_project_of_what_is_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str
) -> None:
    project = tmp_path / "ann" / "project"
    project.mkdir(parents=True)
    (project.parent / marker).mkdir()
    monkeypatch.setenv("HOME", str(project.parent))
    (project / "a.py").write_text(TEXT)
    done("migrate", "a.py", folder=project)
    assert (project / ".dbmanager" / "migrations" / "000001").is_dir()
    assert not (project.parent / ".dbmanager" / "migrations").exists()
    done("undo", folder=project)
    assert (project / "a.py").read_text() == TEXT


def test_what_is_above_the_repository_is_not_its_project(tmp_path: Path) -> None:
    (tmp_path / ".dbmanager").mkdir()
    repository = tmp_path / "repository"
    (repository / "deep").mkdir(parents=True)
    (repository / ".git").mkdir()
    (repository / "deep" / "a.py").write_text(TEXT)
    done("migrate", "a.py", folder=repository / "deep")
    assert (repository / ".dbmanager" / "migrations" / "000001").is_dir()


def test_a_folder_of_everybodys_files_is_no_project_of_what_is_below_it(tmp_path: Path) -> None:
    (tmp_path / ".dbmanager").mkdir()
    tmp_path.chmod(0o1777)
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.py").write_text(TEXT)
    done("migrate", "a.py", folder=project)
    assert (project / ".dbmanager" / "migrations" / "000001").is_dir()


def test_where_it_looked_is_told_if_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "deep").mkdir()
    ended = dbmanager("undo", folder=tmp_path / "deep")
    assert ended.returncode == 2
    assert f"there is no migration to take back in {tmp_path}" in ended.stderr
