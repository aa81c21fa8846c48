"""Other interpreters of a process: what they do on the stdlib, they do as ever."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sqlite3, sys, threading
import dbmanager
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

WORK = '''
import os, sqlite3, subprocess
for _ in range(300):
    sqlite3.connect(":memory:").close()
    open("/dev/null").close()
    os.listdir("/proc/self")
'''

def work():
    interpreter = interpreters.create()
    run = getattr(interpreters, "exec", None) or interpreters.run_string
    if failure := run(interpreter, WORK):
        print(failure)
    interpreters.destroy(interpreter)

connection = dbmanager.connect(sys.argv[1])
if sys.argv[2] != "not installed":
    dbmanager.install(sys.argv[2], ignore=["__main__"])
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
while any(thread.is_alive() for thread in threads):
    sqlite3.connect(":memory:").close()
connection.close()
print("ended")
"""


@pytest.mark.parametrize("mode", ["not installed", "warn", "route", "error"])
def test_what_other_interpreters_do_is_not_disturbed(tmp_path: Path, mode: str) -> None:
    # In another process: if it hangs, it does so with the interpreter held.
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, tmp_path / "app.db", mode],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("ended\n", "", 0)
