"""The baseline as a file: what is refused, how it is written, and how it is merged."""

import subprocess
import tomllib
from pathlib import Path

import pytest

from dbmanager.cli.ratchet import layout
from dbmanager.cli.ratchet.baseline import Baseline, Row, read
from tests.check.conftest import Project

ROW = '{ file = "a.py", scope = "f", call = "connect()"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 1\n\npath = ['a']\n", "3: 'path' is not known; known are version, paths"),
        ("version = 2\npaths = ['a']\n", "1: version 2 is not known, only 1"),
        ("\npaths = ['a']\n", "1: 'version' is missing"),
        ("version = 1\n", "1: 'paths' must name what the baseline is made from"),
        ("version = 1\npaths = 'a'\n", "2: 'paths' must be a list of texts"),
        ("version = 1\npaths = ['a']\nservices_done = [1]\n", "3: 'services_done' must be a list"),
        ("version = 1\npaths = ['a']\nall_kinds = 1\n", "3: 'all_kinds' must be true or false"),
        ("version = 1\npaths = ['a'\n", "2: this is no valid TOML"),
        ("version = 1\npaths = ['a']\ncalls = {}\n", "3: 'calls' must be a list of rows"),
        ("version = 1\npaths = ['a']\n[[call]]\n", "3: 'call' is not known"),
    ],
)
def test_what_is_wrong_in_a_baseline_is_told_with_its_line(
    project: Project, text: str, message: str
) -> None:
    project.baseline.write_text(text)
    for arguments in ([], ["--update"]):
        result = project.check(*arguments)
        assert result.exit_code == 2
        assert f"dbmanager-baseline.toml:{message}" in result.stderr
        assert project.baseline.read_text() == text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1", "a row of 'calls' must be a table"),
        ('{ file = "a.py" }', "a row of 'calls' must have a text 'scope'"),
        (ROW + ", line = 3 }", "'line' is not known in a row of 'calls'; known are call, count"),
        (ROW + ", count = 0 }", "'count' must be a number from 1, not 0"),
    ],
)
def test_what_is_wrong_in_a_row_is_told_with_its_line(
    project: Project, row: str, message: str
) -> None:
    rows = f"calls = [\n  {ROW} }},\n\n  {row},\n]\n"
    project.baseline.write_text(f"version = 1\npaths = ['a']\n{rows}")
    result = project.check()
    assert result.exit_code == 2
    line = 3 if row == "1" else 6
    assert f"dbmanager-baseline.toml:{line}: {message}" in result.stderr


def test_every_text_is_read_as_it_was_written(tmp_path: Path) -> None:
    texts = [
        "plain",
        'a "b"',
        "it's",
        'it\'s "both"',
        "\\d",
        "a\nb\t\x7f\x00\x1b",
        "ü→😀",
        "'",
        "\u2028",
    ]
    rows = {Row("run_time", f"{number}.py", "f", text): 1 for number, text in enumerate(texts)}
    rows[Row("calls", "b.py", "<module>", r"""connect('it\'s "both"')""")] = 1
    rows[Row("unparsable", "c.py")] = 7
    baseline = Baseline(tmp_path / "b.toml", ["."], services_done=texts, rows=rows)
    assert layout.write(baseline)
    known = read(baseline.path, after_merge=False)
    assert (known.rows, known.services_done) == (rows, sorted(texts))
    assert not layout.write(known)
    written = baseline.path.read_text(encoding="utf-8").split("\n")
    assert all(f'"{row.file}"' in written[known.lines[row] - 1] for row in rows)


def test_a_baseline_keeps_its_permissions_and_nothing_is_left_beside_it(allowed: Project) -> None:
    allowed.baseline.chmod(0o640)
    (allowed.folder / "app/services/billing.py").unlink()
    assert allowed.check("--update").exit_code == 0
    assert allowed.baseline.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in allowed.folder.iterdir()} == {"app", "dbmanager-baseline.toml"}


def git(folder: Path, *arguments: str, code: int = 0) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    ended = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == code, ended.stdout + ended.stderr


@pytest.fixture
def merged(allowed: Project) -> Project:
    """A project in a repository: four services, of which each has a branch without calls."""
    for name in ("mail", "stock", "tax"):
        allowed.write(f"app/services/{name}.py", f"import sqlite3\nsqlite3.connect('{name}')\n")
    assert allowed.check("--update", "--allow-new").exit_code == 0
    git(allowed.folder, "init", "-q", "-b", "main")
    git(allowed.folder, "add", ".")
    git(allowed.folder, "commit", "-qm", "all")
    for name in ("mail", "stock", "tax"):
        git(allowed.folder, "checkout", "-qb", name, "main")
        allowed.write(f"app/services/{name}.py", "")
        assert allowed.check("--update").exit_code == 0
        git(allowed.folder, "commit", "-qam", name)
    git(allowed.folder, "checkout", "-q", "main")
    return allowed


def rows_of_files(project: Project) -> set[str]:
    return {row["file"] for row in tomllib.loads(project.baseline.read_text())["calls"]}


def test_branches_that_take_out_rows_of_different_files_are_merged_without_a_conflict(
    merged: Project,
) -> None:
    for name in ("mail", "stock", "tax"):
        git(merged.folder, "merge", "-q", "--no-edit", name)
    assert merged.findings() == []
    assert rows_of_files(merged) == {"app/services/billing.py", "app/services/shop.py"}
    before = merged.baseline.read_bytes()
    assert merged.check("--update").exit_code == 0
    assert merged.baseline.read_bytes() == before


def test_titles_go_with_their_files_and_with_the_last_row(merged: Project) -> None:
    git(merged.folder, "merge", "-q", "--no-edit", "mail")
    assert "  # app/services/mail.py\n" in merged.baseline.read_text()
    (merged.folder / "app/services/mail.py").unlink()
    assert merged.check("--update").exit_code == 0
    assert "mail" not in merged.baseline.read_text()
    for name in ("billing", "shop", "stock", "tax"):
        merged.write(f"app/services/{name}.py", "")
    assert merged.check("--update").exit_code == 0
    assert "calls = [\n]\n" in merged.baseline.read_text()


@pytest.mark.parametrize("style", ["merge", "diff3"])
def test_an_update_ends_a_conflict_with_what_both_sides_need(merged: Project, style: str) -> None:
    for name in ("stock", "tax"):
        git(merged.folder, "checkout", "-q", name)
        assert merged.check("--done", f"app.services.{name}").exit_code == 0
        git(merged.folder, "commit", "-qam", "done")
    git(merged.folder, "config", "merge.conflictStyle", style)
    git(merged.folder, "merge", "-q", "--no-edit", "stock", code=1)
    lines = merged.baseline.read_text().splitlines()
    result = merged.check()
    assert result.exit_code == 2
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("<<<<<<<"))
    assert f"dbmanager-baseline.toml:{line}: a merge left a conflict here" in result.stderr
    assert merged.check("--update").exit_code == 0
    assert merged.findings() == []
    content = tomllib.loads(merged.baseline.read_text())
    assert content["services_done"] == ["app.services.stock", "app.services.tax"]
    files = {f"app/services/{name}.py" for name in ("billing", "mail", "shop")}
    assert rows_of_files(merged) == files


def test_a_merge_that_takes_both_sides_lines_never_stops_and_an_update_tidies(
    merged: Project,
) -> None:
    git(merged.folder, "checkout", "-qb", "less", "main")
    merged.edit("app/services/shop.py", "self.two = sqlite3.connect(DB)", "self.two = None")
    assert merged.check("--update").exit_code == 0
    git(merged.folder, "commit", "-qam", "less")
    git(merged.folder, "checkout", "-q", "main")
    merged.edit("app/services/shop.py", "sqlite3.connect(DB, timeout=10)", "None")
    assert merged.check("--update").exit_code == 0
    git(merged.folder, "commit", "-qam", "less, too")
    merged.write(".git/info/attributes", "dbmanager-baseline.toml merge=union\n")
    git(merged.folder, "merge", "-q", "--no-edit", "less")
    assert {found["kind"] for found in merged.findings()} == {"stale"}
    assert merged.check("--update").exit_code == 0
    assert merged.findings() == []
