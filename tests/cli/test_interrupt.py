"""Ctrl-C: the command ends soon, says so in one line, and has written nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Whoever runs the tests in the background may have the signal ignored.
COMMAND = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("dbmanager", run_name="__main__", alter_sys=True)
"""
TEXT = "import sqlite3\nsqlite3.connect('a.db')\n"
ENDS_WITHIN_SECONDS = 30
"""Far less than what is interrupted here would take, and enough for a slow machine."""


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command; it is killed if the block ends before it."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: "subprocess.Popen[str]") -> None:
    """Interrupt it, and have it end as it should."""
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    assert (process.returncode, told) == (130, ("", "dbmanager: interrupted\n"))


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A folder that nobody comes through before the pipe in it is written to."""
    (tmp_path / "a.py").write_text(TEXT)
    os.mkfifo(tmp_path / ".gitignore")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("scan", "."),
        ("scan", ".", "-o", "calls.json", "--json"),
        ("migrate", ".", "--allow-dirty"),
        ("check", "--update", "."),
    ],
)
def test_what_goes_through_files_ends_and_writes_nothing(
    endless: Path, arguments: tuple[str, ...]
) -> None:
    with started(endless, *arguments) as process:
        # It is opened when the command has begun to read it, and closed when that has ended.
        with (endless / ".gitignore").open("w"):
            interrupted(process)
    assert (endless / "a.py").read_text() == TEXT
    assert sorted(path.name for path in endless.iterdir()) == [".gitignore", "a.py"]
