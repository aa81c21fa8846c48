"""The shim from outside: `dbmanager run`, and the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dbmanager._shim.report import read

PROGRAM = """
import sqlite3, subprocess, sys
from sqlite3 import connect

def main():
    for _ in range(2):
        connect(sys.argv[1]).close()
    print(type(sqlite3.connect(sys.argv[1])).__module__, sys.argv[1:], __name__)
    if len(sys.argv) == 2:
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).close()"
        subprocess.run([sys.executable, "-c", code, sys.argv[1]], check=True)

if __name__ == "__main__":
    main()
"""


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return program


def test_run_shows_the_calls_of_a_program_under_pythons_own_filters(
    program: Path, path: Path
) -> None:
    ended = run("-m", "dbmanager", "run", program, path, "-x", "--mode")
    assert ended.returncode == 0
    assert ended.stdout == f"sqlite3 ['{path}', '-x', '--mode'] __main__\n"
    lines = [line for line in ended.stderr.splitlines() if "DirectConnectWarning" in line]
    assert [line.partition(": ")[0] for line in lines] == [f"{program}:7", f"{program}:8"]


def test_run_shows_the_calls_of_python_processes_that_the_program_starts(
    program: Path, path: Path
) -> None:
    ended = run("-m", "dbmanager", "run", program, path)
    lines = [line for line in ended.stderr.splitlines() if "DirectConnectWarning" in line]
    places = [f"{program}:7", f"{program}:8", "<string>:1"]
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(places)


def test_run_routes_the_calls_of_a_module(program: Path, path: Path, tmp_path: Path) -> None:
    report = tmp_path / "calls.json"
    options = ["--mode", "route", "--report", report]
    ended = subprocess.run(
        [sys.executable, "-m", "dbmanager", "run", *options, "-m", "program", path, "x"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"sqlite3 ['{path}', 'x'] __main__\n"
    assert [(call.line, call.count, call.outcome) for call in read(report)] == [
        (7, 2, "routed"),
        (8, 1, "routed"),
    ]


def test_run_refuses_calls_and_tells_of_a_program_that_is_not_there(
    program: Path, path: Path, tmp_path: Path
) -> None:
    ended = run("-m", "dbmanager", "run", "--mode", "error", program, path)
    assert ended.returncode == 1
    assert "DirectConnectError: direct sqlite3.connect(" in ended.stderr
    ended = run("-m", "dbmanager", "run", tmp_path / "none.py")
    assert (ended.returncode, ended.stderr) == (
        2,
        f"dbmanager run: there is no file '{tmp_path}/none.py'\n",
    )
    for module, missing in (("not_there", "not_there"), ("not_there.main", "not_there")):
        ended = run("-m", "dbmanager", "run", "-m", module)
        assert (ended.returncode, ended.stderr) == (
            2,
            f"dbmanager run: there is no module '{missing}'\n",
        )
    ended = run("-m", "dbmanager", "run", "--mode", "no", program)
    assert ended.returncode == 2
    assert "invalid choice: 'no'" in ended.stderr


@pytest.mark.parametrize("imports", ["sqlite3, sys", "dbmanager, sqlite3, sys"])
def test_the_environment_installs_it_without_a_change_to_the_code(
    path: Path, tmp_path: Path, imports: str
) -> None:
    report = tmp_path / "calls.json"
    code = f"import {imports}; sqlite3.connect(sys.argv[1]).close()"
    settings = {"DBMANAGER_MODE": "route", "DBMANAGER_REPORT": str(report)}
    assert run("-c", code, path, **settings).returncode == 0
    settings["DBMANAGER_IGNORE"] = "other,__main__"
    assert run("-c", code, path, **settings).returncode == 0
    assert [call.outcome for call in read(report)] == ["ignored", "routed"]
    ended = run("-c", code, path, DBMANAGER_MODE="no")
    # Python goes on where a line of its start fails.
    assert ended.returncode == ("dbmanager" in imports)
    assert "the environment variable DBMANAGER_MODE: mode must be 'warn'," in ended.stderr
