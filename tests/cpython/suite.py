"""Find CPython's test files, run each in a process of its own, read its events."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from . import swap

PACKAGE = "test.test_sqlite3"
STDLIB = "sqlite3"
OURS = "dbmanager.sqlite3"
FILE_TIMEOUT_S = 600
# Settings of the caller's shell that would change what the tests see.
UNWANTED_VARIABLES = ("PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONSAFEPATH", swap.VARIABLE)


class SuiteMissingError(Exception):
    """CPython's tests are not part of this installation."""


@dataclass
class FileRun:
    """What one test file did on one module. Test ids begin at the file's name."""

    file: str
    module: str
    passed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    # Why the process did not reach its end, and what it last printed.
    broken: str = ""
    output: str = ""

    def record(self, event: dict[str, str], test: str) -> None:
        """Note the outcome of one test; of several (subtests, tearDown) the first fault."""
        match event["event"]:
            case "passed":
                self.passed.add(test)
            case "skipped":
                self.skipped[test] = event["reason"]
            case "failed":
                self.failed.setdefault(test, event["trace"])
            case "error":
                self.errors.setdefault(test, event["trace"])

    @property
    def tests(self) -> set[str]:
        return self.passed | set(self.skipped) | set(self.failed) | set(self.errors)

    @property
    def faults(self) -> dict[str, str]:
        return self.failed | self.errors


def find_files() -> list[str]:
    """Name the suite's test files ("test_dbapi", ...).

    Raises:
        SuiteMissingError: This Python came without `test.test_sqlite3`.
    """
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except ImportError:
        spec = None
    folders = spec.submodule_search_locations if spec else None
    files = sorted(p.stem for folder in folders or () for p in Path(folder).glob("test_*.py"))
    if not files:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SuiteMissingError(
            f"{sys.executable} (Python {version}) has no {PACKAGE}: on Debian and Ubuntu install "
            f"the package libpython{version}-testsuite, elsewhere a full build (pyenv's is one)"
        )
    return files


def run_file(file: str, module: str = OURS, patterns: tuple[str, ...] = ()) -> FileRun:
    """Run one test file on `module`, which takes the place of `sqlite3` if it isn't it."""
    if module != STDLIB:
        swap.install()
    with tempfile.TemporaryDirectory(prefix="cpython-suite-") as name:
        folder = Path(name)
        child = Path(__file__).with_name("child.py")
        events, output = folder / "events.json", folder / "output.txt"
        command = [sys.executable, "-X", "faulthandler", str(child), str(events)]
        command += [f"{PACKAGE}.{file}", module, *patterns]
        ending = _run_process(command, _environment(module), folder, output)
        lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
        run = FileRun(file, module, output=output.read_text(encoding="utf-8", errors="replace"))
    return read_events(run, lines, ending)


def _run_process(
    command: list[str], environment: dict[str, str], folder: Path, output: Path
) -> str:
    """Run a child to its end, and say how it ended: nothing if it went well."""
    # Some tests write into the working directory.
    work = folder / "work"
    work.mkdir()
    with (
        output.open("wb") as stream,
        subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            status = process.wait(FILE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"no end after {FILE_TIMEOUT_S} s"
        except BaseException:
            _end(process)
            raise
    return f"exit status {status}" if status else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a child and what it started; on SIGABRT it prints where its threads stand."""
    process.send_signal(signal.SIGABRT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment(module: str) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in UNWANTED_VARIABLES}
    if module != STDLIB:
        environment[swap.VARIABLE] = module
    return environment


def read_events(run: FileRun, lines: list[str], ending: str) -> FileRun:
    """Fill `run` from the child's events; `ending` says what is wrong with its end."""
    running, complete = "", False
    for line in lines:
        event = json.loads(line)
        test = event.get("test", "").removeprefix(f"{PACKAGE}.")
        match event["event"]:
            case "start":
                running = test
            case "stop":
                running = ""
            case "end":
                complete = True
            case _:
                run.record(event, test)
    if running:
        run.errors[running] = f"the interpreter did not survive this test: {ending}"
    if not complete:
        run.broken = f"{ending or 'no last event'}, in {running or 'no test'}"
    elif ending:
        run.broken = f"{ending}, after the last test"
    return run
