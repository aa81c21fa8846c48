"""The shim from outside: `dbmanager run`, and the environment."""

import os
import py_compile
import subprocess
import sys
import zipapp
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


# What a program sees of itself: compared with what it sees when Python runs it.
SEEN = """
import atexit, os, pickle, queue, sys, threading
class K: pass
def tell(*words):
    print(*words)
def when_the_code_has_ended():
    threading.main_thread().join()
    at_the_end()
def at_the_end():
    tell("pickled", pickle.loads(pickle.dumps(K())).__class__ is K)
atexit.register(at_the_end)
threading.Thread(target=when_the_code_has_ended).start()
tell(sys.argv, __name__, globals().get("__file__"), __package__, getattr(__spec__, "name", None))
tell(sorted(name for name in globals() if name.startswith("__")), type(__loader__).__name__)
tell(sys.path, queue.__file__, sys.modules["__main__"].K is K, __builtins__.__name__)
if "exit" in sys.argv:
    sys.exit(3)
if "raise" in sys.argv:
    def fail():
        raise ValueError("from the program")
    try:
        {}["a"]
    except KeyError as error:
        raise ZeroDivisionError("in it") from error
if "interrupted" in sys.argv:
    raise KeyboardInterrupt
if "hooked" in sys.argv:
    def told(kind, value, traceback):
        while traceback is not None:
            tell(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
            traceback = traceback.tb_next
    sys.excepthook = told
    atexit.register(lambda: tell(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno))
    raise ValueError("told by the program")
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the program in all forms, and a module that hides one of the stdlib's."""
    (tmp_path / "queue.py").write_text("hidden = True")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "program.py").write_text(SEEN)
    (tmp_path / "wrong.py").write_text("a = = 1")
    (tmp_path / "package" / "inner").mkdir(parents=True)
    for name in ("__main__.py", "module.py", "inner/__main__.py"):
        (tmp_path / "package" / name).write_text(SEEN)
    (tmp_path / "package" / "__init__.py").write_text("import sys; print(sys.argv)")
    py_compile.compile(str(tmp_path / "sub" / "program.py"), str(tmp_path / "program.pyc"))
    (tmp_path / "link.py").symlink_to("sub/program.py")
    zipapp.create_archive(tmp_path / "package", tmp_path / "archive.pyz")
    return tmp_path


@pytest.mark.parametrize("end", ["", "exit", "raise", "interrupted", "hooked"])
@pytest.mark.parametrize(
    "program",
    [
        ["sub/program.py"],
        ["./sub/../sub/program.py"],
        ["link.py"],
        ["package"],
        ["archive.pyz"],
        ["-m", "package"],
        ["-m", "package.module"],
        ["-m", "package.inner"],
        ["-m", "not_there"],
        ["-m", "package.not_there"],
        ["program.pyc"],
        ["wrong.py"],
        ["-"],
    ],
    ids=lambda program: " ".join(program),
)
def test_a_program_sees_itself_as_when_python_runs_it(
    programs: Path, program: list[str], end: str
) -> None:
    def seen(*command: str) -> tuple[str, str, int]:
        ended = subprocess.run(
            [sys.executable, *command, *program, "--", "-x", "--mode", end],
            input=SEEN,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=programs,
            check=False,
        )
        return ended.stdout, ended.stderr, ended.returncode

    assert seen("-m", "dbmanager", "run") == seen()


def test_run_takes_a_program_that_can_be_read_once_only() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dbmanager", "run", "/dev/stdin"],
        input="print('read')",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("read\n", "")


def test_run_reads_a_program_in_its_own_encoding() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dbmanager", "run", "-"],
        input="# coding: latin-1\nprint(ascii('ä'))".encode("latin-1"),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"'\\xe4'\n", b"")


def test_run_sees_what_the_package_of_a_module_calls(path: Path, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").touch()
    code = f"import sqlite3; sqlite3.connect({str(path)!r}).close()"
    (tmp_path / "package" / "__init__.py").write_text(code)
    ended = subprocess.run(
        [sys.executable, "-m", "dbmanager", "run", "--mode", "error", "-m", "package.module"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "DirectConnectError" in ended.stderr


def test_run_asks_for_a_program() -> None:
    ended = run("-m", "dbmanager", "run", "--mode", "warn")
    assert ended.returncode == 2
    assert "dbmanager run: error: which program? Name a file, or a module with -m" in ended.stderr
