"""The inventory of direct calls as a file."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import dbmanager
from dbmanager import DirectConnectWarning
from dbmanager._shim.calls import Inventory
from dbmanager._shim.report import Report, read


def test_inventories_of_processes_and_runs_are_merged(path: Path, tmp_path: Path) -> None:
    report = tmp_path / "new" / "calls.json"
    code = """
import os, sqlite3, sys, warnings
import dbmanager
warnings.simplefilter("ignore")
dbmanager.install("warn", report=sys.argv[2])
def work():
    for _ in range(5):
        sqlite3.connect(sys.argv[1]).close()
work()
child = os.fork()
work()
if child:
    os.waitpid(child, 0)
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    command = [sys.executable, "-W", "ignore", program, path, report]
    for _ in range(2):
        processes = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(timeout=60) for process in processes] == [0] * 4
    (call,) = read(report)
    # Two runs, four processes, each with a child; what came before the fork is the parent's.
    assert call.count == 2 * 4 * 15
    assert (call.file, call.function, call.database) == (str(program), "work", str(path))
    assert [line.rpartition(" ")[2] for line in call.stack] == ["<module>", "work"]
    assert json.loads(report.read_text())["version"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"version": 2, "calls": []}',
        '{"version": 1}',
        '{"version": 1, "calls": [{}]}',
        '{"version": 1, "calls": [1]}',
        '{"version": 1, "calls": [{"file": 1}]}',
    ],
)
def test_a_file_that_is_no_inventory_is_kept_and_disturbs_no_call(
    path: Path, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    report = tmp_path / "calls.json"
    report.write_text(text)
    with pytest.raises(ValueError, match=r"calls\.json is"):
        read(report)
    dbmanager.install("route", report=report)
    with caplog.at_level("WARNING", logger="dbmanager.direct"):
        for _ in range(2):
            sqlite3.connect(path).close()
    assert caplog.text.count("the report of direct calls can't be written at present") == 1
    dbmanager.uninstall()
    assert report.read_text() == text


def test_a_report_that_can_not_be_written_disturbs_no_call(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level("WARNING", logger="dbmanager.direct"):
        dbmanager.install("route", report=tmp_path / "file" / "calls.json")
        sqlite3.connect(path).close()
        dbmanager.uninstall()
    assert caplog.text.count("the report of direct calls can't be written at present") == 1


def test_names_that_are_no_texts_are_kept(tmp_path: Path) -> None:
    report = tmp_path / "calls.json"
    database = os.fsencode(tmp_path) + b"/x\xff.db"
    dbmanager.install("warn", report=report)
    with pytest.warns(DirectConnectWarning):
        sqlite3.connect(database).close()
    dbmanager.uninstall()
    assert [os.fsencode(call.database) for call in read(report)] == [database]


KILLED = """
import multiprocessing, os, signal, sqlite3, sys
import dbmanager

def work(count):
    for _ in range(count):
        sqlite3.connect(sys.argv[1]).close()

if __name__ == "__main__":
    dbmanager.install("warn", report=sys.argv[2])
    if sys.argv[3] == "killed":
        work(500)
        os.kill(os.getpid(), signal.SIGKILL)
    context = multiprocessing.get_context(sys.argv[3])
    work(1)
    for _ in range(4):
        child = context.Process(target=work, args=(100,))
        child.start()
        child.join()
        assert child.exitcode == 0
"""


@pytest.mark.parametrize(
    ("end", "least", "most"),
    [("killed", 400, 500), ("fork", 401, 401), ("spawn", 401, 401), ("forkserver", 401, 401)],
)
def test_processes_that_end_without_a_word_have_told_of_nearly_all(
    path: Path, tmp_path: Path, end: str, least: int, most: int
) -> None:
    report = tmp_path / "calls.json"
    program = tmp_path / "program.py"
    program.write_text(KILLED)
    subprocess.run(
        [sys.executable, "-W", "ignore", program, path, report, end],
        env={**os.environ, "DBMANAGER_MODE": "warn", "DBMANAGER_REPORT": str(report)},
        timeout=60,
        check=end != "killed",
    )
    assert least <= sum(call.count for call in read(report)) <= most


def test_a_report_that_fails_is_written_once_it_can_be(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    folder.touch()
    dbmanager.install("route", report=folder / "calls.json")
    for _ in range(3):
        sqlite3.connect(path).close()
    folder.unlink()
    dbmanager.uninstall()
    assert [call.count for call in read(folder / "calls.json")] == [3]
    assert [name.name for name in folder.iterdir() if name.suffix == ".new"] == []


def test_a_child_keeps_nobody_from_writing(path: Path, tmp_path: Path) -> None:
    report = Report(tmp_path / "calls.json")
    inventory = Inventory()
    with report._lock(0) as is_ours:
        assert is_ours
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write_end)
            os.read(read_end, 1)
            os._exit(0)
    inventory.note(None, "a.db", "warned")
    report.write(inventory, patience=0)
    assert [call.count for call in read(tmp_path / "calls.json")] == [1]
    os.close(write_end)
    os.waitpid(child, 0)


def test_programs_elsewhere_mean_the_same_report(path: Path, tmp_path: Path) -> None:
    code = """
import subprocess, sys, sqlite3
sqlite3.connect(sys.argv[1]).close()
if len(sys.argv) == 2:
    subprocess.run([sys.executable, "-c", sys.orig_argv[-2], sys.argv[1], "again"], cwd="/")
"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, path],
        cwd=tmp_path,
        env={**os.environ, "DBMANAGER_MODE": "warn", "DBMANAGER_REPORT": "calls.json"},
        timeout=60,
        check=True,
    )
    assert [call.count for call in read(tmp_path / "calls.json")] == [2]


CROWD = """
import sqlite3, sys, time
path, count = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(count):
    sqlite3.connect(path).close()
print("called", flush=True)
sys.stdin.readline()
"""


def test_killed_processes_have_told_of_their_calls_though_others_were_writing(
    path: Path, tmp_path: Path
) -> None:
    report = tmp_path / "calls.json"
    environment = {**os.environ, "DBMANAGER_MODE": "warn", "DBMANAGER_REPORT": str(report)}
    crowd = []
    for number in range(8):
        program = tmp_path / f"program{number}.py"
        program.write_text(CROWD)
        command = [sys.executable, "-W", "ignore", program, path, str(1 + 100 * (number % 2))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        crowd.append(subprocess.Popen(command, env=environment, **pipes))  # type: ignore[call-overload]
    for word in ("ready\n", "called\n"):
        for process in crowd:
            assert process.stdout.readline() == word
        for process in crowd if word == "ready\n" else ():
            process.stdin.write("\n")
            process.stdin.flush()
    for process in crowd:
        process.kill()
        process.communicate()
    counts = {Path(call.file).stem: call.count for call in read(report)}
    assert set(counts) == {f"program{number}" for number in range(8)}
    for number in range(1, 8, 2):
        assert 101 / 2 <= counts[f"program{number}"] <= 101


def test_the_line_of_a_call_is_told_by_its_text(path: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sqlite3, sys\n"
        "def work():\n"
        "    connection = sqlite3.connect(\n        sys.argv[1]\n    )\n    connection.close()\n"
        "work()\n"
        'exec("sqlite3.connect(sys.argv[1]).close()")\n'
    )
    report = tmp_path / "calls.json"
    command = [sys.executable, "-W", "ignore", program, path]
    env = {**os.environ, "DBMANAGER_MODE": "warn", "DBMANAGER_REPORT": str(report)}
    subprocess.run(command, check=True, timeout=60, env=env)
    assert {(call.function, call.source) for call in read(report)} == {
        ("work", "connection = sqlite3.connect("),
        ("<module>", ""),
    }


def test_an_inventory_without_the_texts_of_lines_is_read(tmp_path: Path) -> None:
    report = tmp_path / "calls.json"
    call = {"file": "a.py", "line": 1, "module": "a", "function": "f", "database": "/a.db"}
    call |= {"outcome": "warned", "count": 2}
    report.write_text(json.dumps({"version": 1, "calls": [call]}))
    assert read(report)[0].source == ""
