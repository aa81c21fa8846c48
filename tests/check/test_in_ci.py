"""The check in pre-commit and in GitHub Actions, as the repository and docs/check.md have it."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.check.conftest import Project

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")


def hook() -> dict[str, str]:
    """Read the one hook there is: a list with one map of plain values."""
    text = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = [re.fullmatch(r"(- |  )([a-z_]+): (\S.*)", line) for line in lines]
    assert all(entries)
    assert [entry[1] for entry in entries if entry].count("- ") == 1
    # A plain value must not hold what begins something else.
    plain = [entry[3] for entry in entries if entry and entry[3][0] not in "[\"'"]
    assert not [
        value for value in plain if ": " in value or " #" in value or value[0] in "{&*!|>%@`"
    ]
    return {entry[2]: entry[3] for entry in entries if entry}


def test_the_hook_of_pre_commit_is_whole(allowed: Project) -> None:
    values = hook()
    assert values["id"] == "dbmanager-check"
    assert (values["language"], values["pass_filenames"]) == ("python", "false")
    assert values["always_run"] == "true"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["cli"]
    assert re.findall(r'"([^"]+)"', values["additional_dependencies"]) == extra
    assert run(values["entry"], allowed).returncode == 0


def run(line: str, project: Project) -> subprocess.CompletedProcess[str]:
    """Run a line as GitHub Actions does."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-c", line],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )


def test_every_line_of_the_workflow_runs_and_the_last_one_fails_on_a_new_call(
    allowed: Project,
) -> None:
    [workflow] = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    lines = re.findall(r"^ *- run: (.+)$", workflow, re.MULTILINE)
    assert len(lines) == workflow.count("run:") == 3
    test = "from app.services.shop import add\n\ndef test_add():\n    add('a')\n"
    allowed.write("tests/test_shop.py", test)
    allowed.write("conftest.py", "")
    for line in lines:
        ended = run(line, allowed)
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (allowed.folder / "dbmanager-inventory.json").exists()
    allowed.write("app/new.py", 'import sqlite3\nsqlite3.connect("new.db")\n')
    ended = run(lines[-1], allowed)
    assert ended.returncode == 1
    assert ended.stdout.startswith("::error file=app/new.py,line=2,col=1,")
