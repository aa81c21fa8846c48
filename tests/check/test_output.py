"""How a result is told, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dbmanager.cli import scan
from dbmanager.cli.scan import Report
from tests.check.conftest import Project

NEW = 'import sqlite3\nsqlite3.connect("a,b%.db")\n'


@pytest.fixture
def found(allowed: Project) -> Project:
    """A project with a finding of each of two kinds."""
    allowed.write("app/services/sales.py", NEW)
    (allowed.folder / "app/services/billing.py").unlink()
    return allowed


def test_github_annotations_stand_at_the_call_and_at_the_row(found: Project) -> None:
    result = found.check("--format", "github")
    assert result.exit_code == 1
    new, stale = result.stdout.splitlines()
    assert new == (
        "::error file=app/services/sales.py,line=2,col=1,title=dbmanager check%3A new"
        "::direct call: sqlite3.connect('a,b%25.db'); opens a,b%25.db"
    )
    lines = found.baseline.read_text().splitlines()
    [line] = [number for number, text in enumerate(lines, 1) if '"bill"' in text]
    assert stale.startswith(f"::error file=dbmanager-baseline.toml,line={line},col=1,title=")


def test_sarif_has_rules_places_and_what_tells_a_result_from_others(found: Project) -> None:
    [run] = json.loads(found.check("--format", "sarif").stdout)["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["ratchet/new", "ratchet/stale"]
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in run["results"]} <= rules
    [place] = run["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "app/services/sales.py"
    print_before = run["results"][0]["partialFingerprints"]
    found.write("app/services/sales.py", "\n\n" + NEW)
    [run] = json.loads(found.check("--format", "sarif").stdout)["runs"]
    assert run["results"][0]["partialFingerprints"] == print_before


def test_json_has_the_calls_and_the_numbers(found: Project) -> None:
    content = json.loads(found.check("--json").stdout)
    assert content["version"] == 1
    assert content["summary"] == {
        "calls": 4,
        "findings": 2,
        "kinds": {"new": 1, "stale": 1},
        "services_done": [],
    }
    assert {call["service"] for call in content["calls"]} == {
        "app.services.sales",
        "app.services.shop",
    }


def test_quiet_writes_the_number_of_findings_only(found: Project) -> None:
    for arguments in ([], ["--update"]):
        result = found.check("--quiet", *arguments)
        assert (result.exit_code, result.stderr) == (1, "")
        assert result.stdout == ("1\n" if arguments else "2\n")


def test_a_result_may_go_to_a_file(found: Project) -> None:
    result = found.check("--format", "sarif", "-o", "check.sarif")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads((found.folder / "check.sarif").read_text())["version"] == "2.1.0"


def test_a_file_that_can_not_be_read_is_a_finding(
    allowed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root, who may run the tests, can read everything.
    def scanned(paths: tuple[Path, ...]) -> Report:
        unreadable = {"file": str(allowed.folder / "app/secret.py"), "reason": "not permitted"}
        return scan.scanned(paths) | {"unreadable": [unreadable]}

    monkeypatch.setattr("dbmanager.cli.ratchet.project.scanned", scanned)
    [unreadable] = allowed.findings()
    assert (unreadable["kind"], unreadable["file"]) == ("unreadable", "app/secret.py")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no baseline dbmanager-baseline.toml; `dbmanager check --update PATH`"),
        (["app"], "there is no baseline"),
        (["--update"], "name what the baseline is to be made from"),
        (["--update", "missing"], "'missing' does not exist"),
        (["--allow-new"], "--allow-new needs --update"),
        (["--done", "a", "--not-done", "a"], "'a' can't be marked both"),
        (["--format", "xml"], "'xml' is not one of"),
        (["--inventory", "missing.json"], "'missing.json' does not exist"),
        (["--baseline", "app", "--update", "app"], "'app' is a directory"),
        (["--update", "--baseline", "no/folder.toml", "app"], "no/folder.toml can't be written"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_to_do(
    project: Project, arguments: list[str], message: str
) -> None:
    result = project.check(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not project.baseline.exists()


def test_paths_that_the_baseline_does_not_have_are_refused(allowed: Project) -> None:
    allowed.write("lib/x.py", NEW)
    result = allowed.check("lib")
    assert result.exit_code == 2
    message = "'lib' is not in what the baseline is made from (app); add it to 'paths' in "
    assert message in result.stderr
    allowed.edit("dbmanager-baseline.toml", '  "app",\n', '  "app",\n  "lib",\n')
    assert [found["file"] for found in allowed.findings("lib")] == ["lib/x.py"]
    (allowed.folder / "lib").rename("library")
    result = allowed.check()
    assert result.exit_code == 2
    assert "'lib', which the baseline is made from, is not there" in result.stderr


def test_a_file_that_can_not_be_written_is_refused(found: Project) -> None:
    result = found.check("-o", "no/check.txt")
    assert result.exit_code == 2
    assert "no/check.txt can't be written: No such file or directory" in result.stderr


def test_a_project_without_python_files_is_refused(allowed: Project) -> None:
    (allowed.folder / "app").rename("old")
    (allowed.folder / "app").mkdir()
    result = allowed.check()
    assert result.exit_code == 2
    assert "there are no Python files below" in result.stderr


def test_the_process_ends_with_the_exit_codes(found: Project) -> None:
    def code(*arguments: str) -> int:
        command = [sys.executable, "-m", "dbmanager", "check", *arguments]
        ended = subprocess.run(command, cwd=found.folder, capture_output=True, timeout=60)
        return ended.returncode

    assert [code(), code("--baseline", "x"), code("--update", "--allow-new"), code()] == [
        1,
        2,
        0,
        0,
    ]
