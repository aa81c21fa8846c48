"""The swap must reach every interpreter that the tests spawn, or end it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from . import swap
from .suite import OURS

NAMES = """
import sqlite3, _sqlite3, sqlite3.dump
from sqlite3 import dbapi2
print(sqlite3.__name__, dbapi2.__name__, sqlite3.dump.__name__, _sqlite3.connect is dbapi2.connect)
"""


def interpret(code, *options, module=None):
    environment = {k: v for k, v in os.environ.items() if k != swap.VARIABLE}
    if module:
        environment[swap.VARIABLE] = module
    return subprocess.run(
        [sys.executable, *options, "-c", code], env=environment, capture_output=True, text=True
    )


@pytest.fixture(autouse=True, scope="module")
def _installed():
    swap.install()


@pytest.mark.parametrize("options", [(), ("-I",), ("-E", "-s"), ("-W", "error")])
def test_spawned_interpreter_is_swapped(options):
    result = interpret(NAMES, *options, module=OURS)
    assert result.stderr == ""
    assert result.stdout.split() == [OURS, f"{OURS}.dbapi2", f"{OURS}.dump", "True"]


def test_shell_of_the_module_is_swapped():
    code = "import sqlite3.__main__ as shell; print(shell.__file__)"
    result = interpret(code, module=OURS)
    assert result.stderr == ""
    assert Path(result.stdout.strip()).parts[-3:] == ("dbmanager", "sqlite3", "__main__.py")


def test_without_the_variable_nothing_is_swapped():
    result = interpret(NAMES)
    assert result.stdout.split() == ["sqlite3", "sqlite3.dbapi2", "sqlite3.dump", "True"]


def test_interpreter_that_cannot_be_swapped_ends():
    result = interpret("print('went on')", module="dbmanager.no_such_module")
    assert result.returncode == swap.FAILED_STATUS
    assert result.stdout == ""
    assert "could not take the place of sqlite3" in result.stderr
