"""Run ``dbmanager doctor`` as a process, and others beside it."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.command_line import dbmanager

# Holds what it has open until its standard input ends.
HOLDS = """
import sys
from {module} import connect
connection = connect(sys.argv[1], isolation_level=None)
{statements}
print("ready", flush=True)
sys.stdin.read()
"""


def run(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return dbmanager("doctor", *arguments, folder=folder)


def report(*arguments: object, folder: Path | None = None) -> Any:
    ended = run(*arguments, "--no-environment", "--json", folder=folder)
    assert ended.stderr == ""
    assert ended.returncode in {0, 1}
    told = json.loads(ended.stdout)
    # What processes of others the machine has is not for a test to say.
    told["findings"] = [one for one in told["findings"] if one["code"] != "holders_unseen"]
    return told


def findings(*arguments: object, folder: Path | None = None) -> dict[str, Any]:
    return {one["code"]: one for one in report(*arguments, folder=folder)["findings"]}


@contextlib.contextmanager
def started(code: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a program on a path until it says that it is ready, and kill it at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def holding(
    path: Path, *statements: str, module: str = "sqlite3"
) -> contextlib.AbstractContextManager["subprocess.Popen[str]"]:
    """Have another process run statements on a database and keep it open."""
    lines = "\n".join(f"cursor = connection.execute({sql!r})" for sql in statements)
    return started(HOLDS.format(module=module, statements=lines), path)


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Give all that a folder has: content, modification time and inode by name."""
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes())
        for path in sorted(folder.iterdir())
    }
