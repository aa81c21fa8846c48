"""Completion in shells. Bash is asked itself; it is wherever `make` works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPLETE = """
eval "$(dbmanager completion bash)"
set -- $(complete -p dbmanager)
while [[ $1 != -F ]]; do shift; done
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
compopt() {{ :; }}
$2 dbmanager
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def bash(code: str) -> list[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "--norc", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": path},
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("dbmanager ch", ["check"]),
        ("dbmanager check --al", ["--all-kinds", "--allow-new"]),
        ("dbmanager check --format s", ["sarif"]),
        ("dbmanager scan --format ''", ["csv", "github", "html", "json", "sarif", "table"]),
        ("dbmanager completion ''", ["bash", "fish", "zsh"]),
        ("dbmanager xyz", []),
    ],
)
def test_bash_completes_commands_options_and_values(words: str, completed: list[str]) -> None:
    assert sorted(bash(COMPLETE.format(words=words))) == completed


@pytest.mark.parametrize(
    ("shell", "text"),
    [("bash", "complete -o"), ("zsh", "#compdef dbmanager"), ("fish", "complete --no-files")],
)
def test_each_shell_has_a_text_that_asks_dbmanager(shell: str, text: str) -> None:
    [*words] = bash(f"dbmanager completion {shell}")
    told = " ".join(words)
    assert text in told
    assert f"_DBMANAGER_COMPLETE={shell}_complete" in told
