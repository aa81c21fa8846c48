"""A process is killed at any moment: nothing that it acknowledged is lost."""

import random
import signal
import sqlite3 as stdlib
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.programs import (
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    close_pools,
    content,
    database,
    transaction,
)

pytestmark = LINUX_ONLY


WRITERS = 4

# Each thread writes rows of its own, counted up, each together with a twin of a random size, and
# tells of each one when it is committed. A line so short is written to a pipe whole.
WRITE = f"""{PROLOGUE}
import random

first, seed = map(int, sys.argv[4:6])

def write(thread):
    generator = random.Random(seed + thread)
    a = first + 1_000_000 * thread
    while True:
        with transaction(("connect", "session")[thread % 2]) as connection:
            connection.execute("INSERT INTO t VALUES (?, NULL)", (a,))
            size = generator.randrange(20_000)
            connection.execute("INSERT INTO twin VALUES (?, randomblob(?))", (a, size))
        os.write(1, b"%d\\n" % a)
        a += 1

threads = [threading.Thread(target=write, args=(n,)) for n in range({WRITERS})]
for thread in threads:
    thread.start()
threads[0].join()
"""


def rows_after_a_kill(path: Path, mode: str, door: str) -> list[int]:
    """Read the rows by one of the doors, the first that opens the file after the kill."""
    with transaction(path, mode, door) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        twins = connection.execute("SELECT a FROM twin ORDER BY a").fetchall()
        rows = connection.execute("SELECT a FROM t ORDER BY a").fetchall()
        assert rows == twins
    return [row[0] for row in rows]


def killed_again_and_again(path: Path, mode: str, rounds: int) -> tuple[int, int]:
    """Kill that many writing processes; give the counts of rows acknowledged, and of others."""
    database(path, mode)
    with closing(stdlib.connect(path)) as connection:
        connection.execute("CREATE TABLE twin (a INTEGER PRIMARY KEY, b)")
    generator = random.Random(f"{mode} {rounds}")
    rows: list[int] = []
    surplus = 0
    for number in range(rounds):
        first = number * 1_000_000 * WRITERS
        command = [
            sys.executable,
            "-c",
            WRITE,
            path,
            mode,
            "both",
            first,
            generator.getrandbits(31),
        ]
        with subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            acknowledged = [int(child.stdout.readline()) for _ in range(generator.randrange(1, 50))]
            # Anywhere within the transactions that come next.
            threading.Event().wait(generator.random() * 0.005)
            child.kill()
            acknowledged += map(int, child.stdout)
            assert child.stderr.read() == b""
        assert child.returncode == -signal.SIGKILL

        found = rows_after_a_kill(path, mode, ("connect", "session", "stdlib")[number % 3])
        # In every other round the next writer finds idle connections of this process.
        if number % 2:
            close_pools()
        assert content(path) == found
        for thread in range(WRITERS):
            start = first + 1_000_000 * thread
            told = sorted(a for a in acknowledged if start <= a < start + 1_000_000)
            new = [a for a in found if start <= a < start + 1_000_000]
            assert new[: len(told)] == told
            assert new == list(range(start, start + len(new)))
            assert len(new) <= len(told) + 1
            surplus += len(new) - len(told)
        # What was there before is there still.
        assert [a for a in found if a < first] == rows
        rows = found
    return len(rows) - surplus, surplus


@BOTH_MODES
def test_nothing_that_a_killed_process_acknowledged_is_lost(tmp_path: Path, mode: str) -> None:
    acknowledged, _ = killed_again_and_again(tmp_path / "a.db", mode, 5)
    assert acknowledged > 0


@pytest.mark.soak
@pytest.mark.timeout(600)
@BOTH_MODES
def test_nothing_that_two_hundred_killed_processes_acknowledged_is_lost(
    tmp_path: Path, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    acknowledged, surplus = killed_again_and_again(tmp_path / "a.db", mode, 200)
    with capsys.disabled():
        print(
            f"\nkill -9, {mode}: 200 processes, {acknowledged:,} acknowledged rows all there, "
            f"{surplus} that were committed and not yet acknowledged"
        )
