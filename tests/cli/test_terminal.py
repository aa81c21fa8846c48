"""Colours, progress, help and errors, as a terminal and a pipe get them."""

import os
import pty
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dbmanager.cli.commands import commands

COLOUR = re.compile(r"\x1b\[[\d;]*3[0-7][\d;]*m")
ANY = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM", "COLUMNS"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text("import sqlite3\nsqlite3.connect('a.db')\n")
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ANY}
    return {**kept, "TERM": "xterm-256color", **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dbmanager", *arguments]


def in_pipe(
    folder: Path, *arguments: str, code: int = 0, **more: str
) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        command(*arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(**more),
    )
    assert ended.returncode == code, ended.stderr
    return ended


def in_terminal(folder: Path, *arguments: str, code: int = 0, **more: str) -> str:
    """Run a command in a terminal; give all that it shows there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command(*arguments),
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**more),
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    assert process.returncode == code
    return shown.decode()


def of_result(shown: str) -> str:
    """Leave out the progress, which comes first."""
    return shown.rpartition("\x1b[2K")[2]


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # Linux says so when nobody has the terminal open any more.
        return b""


def test_a_terminal_has_colours(folder: Path) -> None:
    assert COLOUR.search(of_result(in_terminal(folder, "scan", ".")))


def test_no_color_takes_them_away(folder: Path) -> None:
    shown = in_terminal(folder, "scan", ".", NO_COLOR="1")
    assert "app.py:2" in shown
    assert not COLOUR.search(shown)


def test_a_pipe_has_none_unless_they_are_forced(folder: Path) -> None:
    assert "\x1b" not in in_pipe(folder, "scan", ".").stdout
    assert COLOUR.search(in_pipe(folder, "scan", ".", FORCE_COLOR="1").stdout)
    forced = in_pipe(folder, "scan", ".", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert not COLOUR.search(forced)


def test_findings_have_colours_in_a_terminal_only(folder: Path) -> None:
    in_pipe(folder, "check", "--update", ".")
    (folder / "b.py").write_text("import sqlite3\nsqlite3.connect('b.db')\n")
    assert "\x1b" not in in_pipe(folder, "check", code=1).stdout
    assert COLOUR.search(of_result(in_terminal(folder, "check", code=1)))
    assert not COLOUR.search(in_terminal(folder, "check", code=1, NO_COLOR="1"))


def test_progress_is_shown_in_a_terminal_and_never_with_quiet(folder: Path) -> None:
    assert "scanning" in in_terminal(folder, "scan", ".")
    assert in_terminal(folder, "scan", ".", "--quiet") == "1\r\n"
    assert in_pipe(folder, "scan", ".").stderr == ""


@pytest.fixture
def databases(folder: Path) -> list[str]:
    names = ["a.db", "[b].db"]
    for name in names:
        with closing(sqlite3.connect(folder / name)) as connection:
            connection.execute("CREATE TABLE item (id)")
    return names


def test_progress_of_a_diagnosis_names_what_is_looked_at(
    folder: Path, databases: list[str]
) -> None:
    shown = in_terminal(folder, "doctor", *databases, "--ignore", "holders_unseen")
    for text in (
        "checking a.db (1 of 2)",
        "checking [b].db (2 of 2)",
        "searching for copies of SQLite",
    ):
        assert text in shown
    only = in_terminal(folder, "doctor", "a.db", "--no-environment", "--no-check")
    assert "looking at a.db " in only


@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_a_diagnosis_for_programs_shows_no_progress(
    folder: Path, databases: list[str], option: str
) -> None:
    arguments = ["doctor", *databases, "--no-environment", "--ignore", "holders_unseen"]
    assert "checking" not in in_terminal(folder, *arguments, option)
    assert in_pipe(folder, *arguments).stderr == ""


@pytest.mark.parametrize("name", ["", *commands.commands])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_examples(folder: Path, name: str, option: str) -> None:
    told = in_pipe(folder, *filter(None, [name, option])).stdout
    assert told.lower().startswith("usage: dbmanager")
    assert "Examples: `dbmanager" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["chekc"], "there is no command 'chekc'; did you mean 'check'?"),
        (["rum", "app.py"], "there is no command 'rum'; did you mean 'run'?"),
        (["xyz"], "there is no command 'xyz' (see dbmanager --help)"),
        (["scan", "--jsn", "."], "--json"),
        (["scan"], "Missing argument 'PATH...'"),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_wrong_words_are_told_with_the_near_ones(
    folder: Path, arguments: list[str], message: str
) -> None:
    ended = in_pipe(folder, *arguments, code=2)
    assert message in ended.stderr
    assert ended.stdout == ""
