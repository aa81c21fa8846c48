"""What the shim saw at run time, beside what the scan knows."""

import json
from pathlib import Path

import pytest

from tests.check.conftest import Project

HIDDEN = """
import importlib
import sqlite3


def by_name(path):
    getattr(sqlite3, "conn" + "ect")(path).close()


def by_text(path):
    exec("sqlite3.connect(path).close()")


def by_import(path):
    module = importlib.import_module("sql" + "ite3")
    module.connect(path).close()
"""
MAIN = """import sqlite3
import app.hidden
from app.services.shop import add

for _ in range(2):
    add("a")
    app.hidden.by_name("hidden.db")
app.hidden.by_text("text.db")
app.hidden.by_import("imported.db")
"""


@pytest.fixture
def seen(allowed: Project) -> Project:
    """A project that has run with the shim."""
    allowed.write("app/hidden.py", HIDDEN)
    allowed.write("main.py", MAIN)
    allowed.run("main.py")
    return allowed


def test_calls_that_only_run_time_shows_are_findings(seen: Project) -> None:
    found = seen.findings()
    assert [(one["kind"], one["file"], one["line"], one["row"]["scope"]) for one in found] == [
        ("run time", "app/hidden.py", 7, "by_name"),
        ("run time", "app/hidden.py", 16, "by_import"),
    ]
    source = 'getattr(sqlite3, "conn" + "ect")(path).close()'
    message = f"direct call only seen at run time: {source}; opens hidden.db (seen at run time)"
    assert found[0]["message"] == message


def test_the_databases_of_a_scanned_call_are_told_with_it(seen: Project) -> None:
    calls = json.loads(seen.check("--json").stdout)["calls"]
    [add] = [call for call in calls if call["scope"] == "add"]
    expected = {"database": "shop.db", "count": 2, "threads": ["MainThread"]}
    assert add["seen"] == [{**expected, "outcomes": ["warned"]}]
    table = seen.check().stdout
    assert "app/services/shop.py:8" in table
    assert "shop.db (seen at run time)" in table


def test_calls_of_packages_and_of_texts_are_counted_only(seen: Project) -> None:
    run_time = json.loads(seen.check("--json").stdout)["run_time"]
    # That of exec(), whose code is in no file.
    assert run_time["elsewhere"] == {"places": 1, "calls": 1}
    assert "seen at run time in files of others: 1 place, not checked" in seen.check().stdout


def test_rows_of_their_own_allow_them_and_go_with_the_line(seen: Project) -> None:
    assert seen.check("--update").exit_code == 1
    assert "run_time" not in seen.baseline.read_text()
    assert seen.check("--update", "--allow-new").exit_code == 0
    row = '{ file = "app/hidden.py", scope = "by_import", source = "module.connect(path).close()" }'
    assert row in seen.baseline.read_text()
    assert seen.findings() == []
    (seen.folder / "dbmanager-inventory.json").unlink()
    assert seen.findings() == []
    seen.edit("app/hidden.py", "    module.connect(path).close()\n", "")
    [stale] = seen.findings()
    assert (stale["kind"], stale["row"]["scope"]) == ("stale", "by_import")
    assert seen.check("--update").exit_code == 0
    assert "by_import" not in seen.baseline.read_text()


def test_a_file_that_changed_since_is_matched_by_its_lines_texts(seen: Project) -> None:
    assert seen.check("--update", "--allow-new").exit_code == 0
    for name in ("app/hidden.py", "app/services/shop.py"):
        seen.edit(name, "import sqlite3\n", "import os\nimport re\nimport sqlite3\n")
    assert seen.findings() == []
    calls = json.loads(seen.check("--json").stdout)["calls"]
    assert [call["line"] for call in calls if call["seen"]] == [10]


def test_what_is_not_in_the_code_any_more_is_no_finding(seen: Project) -> None:
    (seen.folder / "app/hidden.py").write_text("")
    assert seen.findings() == []
    told = seen.check().stdout
    assert "seen at run time, and not in the code any more: 2 places" in told


def test_a_call_of_a_service_done_is_a_finding(seen: Project) -> None:
    seen.write("app/services/billing.py", "")
    assert seen.check("--update", "--allow-new", "--done", "app.services.billing").exit_code == 0
    text = HIDDEN.replace("by_name", "hidden")
    seen.write("app/services/billing.py", text)
    program = "import app.services.billing as billing\nbilling.hidden('a.db')\n"
    seen.write("main.py", program)
    seen.run("main.py")
    [found] = seen.findings()
    assert (found["kind"], found["file"]) == ("done", "app/services/billing.py")


def inventory(path: Path, file: str, line: int, **others: object) -> Path:
    call = {"file": file, "line": line, "module": "m", "function": "f", "database": "/data/a.db"}
    call |= {"outcome": "routed", "count": 3, "thread": "T"} | others
    path.write_text(json.dumps({"version": 1, "calls": [call]}))
    return path


def test_without_texts_the_lines_decide_and_several_inventories_are_merged(
    allowed: Project, tmp_path: Path
) -> None:
    file = str(tmp_path / "app/services/shop.py")
    one = inventory(tmp_path / "one.json", file, 8)
    two = inventory(tmp_path / "two.json", file, 8, thread="U", outcome="warned")
    three = inventory(tmp_path / "three.json", "/lib/site-packages/x.py", 1)
    command = ["--json", "--inventory", one, "--inventory", two, "--inventory", three]
    content = json.loads(allowed.check(*command).stdout)
    [call] = [call for call in content["calls"] if call["seen"]]
    expected = {"database": "/data/a.db", "count": 6, "threads": ["T", "U"]}
    assert call["line"] == 8
    assert call["seen"] == [{**expected, "outcomes": ["routed", "warned"]}]
    assert content["run_time"]["elsewhere"] == {"places": 1, "calls": 3}
    inventory(one, file, 2)
    [found] = allowed.findings("--inventory", one)
    assert (found["kind"], found["row"]["text"]) == ("run time", "import sqlite3")


def test_files_of_an_environment_below_the_path_are_not_the_projects(allowed: Project) -> None:
    for name in ("app/env/pyvenv.cfg", "app/env/lib/x.py", "app/.cache/y.py"):
        path = allowed.write(name, "connect('a')\n")
        inventory(allowed.folder / "dbmanager-inventory.json", str(path), 1)
        assert allowed.findings() == []


def test_a_file_that_is_no_inventory_is_refused(allowed: Project) -> None:
    for text in ("{", '{"version": 9, "calls": []}', "\ufeff"):
        allowed.write("calls.json", text)
        result = allowed.check("--inventory", "calls.json")
        assert result.exit_code == 2
        assert "calls.json is" in result.stderr
