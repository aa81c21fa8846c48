"""What `dbmanager check` finds, and what it does to the baseline."""

import tomllib
from pathlib import Path

from tests.check.conftest import SHOP, Project


def kinds(findings: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(finding["kind"], finding["file"], finding["line"]) for finding in findings]


def test_the_first_update_allows_all_calls_and_says_how_many(project: Project) -> None:
    result = project.check("--update", "app")
    assert result.exit_code == 0
    assert "dbmanager-baseline.toml is new and allows 4 calls" in result.stderr
    content = tomllib.loads(project.baseline.read_text())
    assert content == {
        "version": 1,
        "paths": ["app"],
        "services_done": [],
        "calls": [
            {"file": "app/services/billing.py", "scope": "bill", "call": "connect('bills.db')"},
            {
                "file": "app/services/shop.py",
                "scope": "Store.open",
                "call": "sqlite3.connect(DB)",
                "count": 2,
            },
            {
                "file": "app/services/shop.py",
                "scope": "add",
                "call": "sqlite3.connect(DB, timeout=10)",
            },
        ],
    }


def test_what_is_allowed_is_no_finding(allowed: Project) -> None:
    result = allowed.check()
    assert (result.exit_code, result.stdout) == (0, "4 direct calls, no findings\n")


def test_a_function_that_is_passed_on_counts_as_a_call(allowed: Project) -> None:
    call = "asyncio.to_thread(sqlite3.connect, p)"
    text = f"import asyncio, sqlite3\nasync def f(p):\n    await {call}\n"
    allowed.write("app/services/sales.py", text)
    [new] = allowed.findings()
    assert kinds([new]) == [("new", "app/services/sales.py", 3)]


def test_a_second_update_changes_no_byte(allowed: Project) -> None:
    before = allowed.baseline.read_bytes(), allowed.baseline.stat().st_mtime_ns
    result = allowed.check("--update")
    assert "is up to date: 4 calls allowed" in result.stderr
    assert (allowed.baseline.read_bytes(), allowed.baseline.stat().st_mtime_ns) == before


def test_calls_that_move_or_are_formatted_anew_change_nothing(allowed: Project) -> None:
    allowed.edit("app/services/shop.py", "import sqlite3", "import os\n\n\nimport sqlite3")
    one_a_line = "sqlite3.connect(  # ours\n        DB,\n        timeout = 10,\n    )"
    allowed.edit("app/services/shop.py", "sqlite3.connect(DB, timeout=10)", one_a_line)
    assert allowed.findings() == []


def test_a_formatter_that_changes_the_quotes_changes_nothing(allowed: Project) -> None:
    allowed.edit("app/services/billing.py", 'connect("bills.db")', "connect('bills.db',)")
    before = allowed.baseline.read_bytes()
    assert allowed.findings() == []
    assert allowed.check("--update").exit_code == 0
    assert allowed.baseline.read_bytes() == before


def test_rows_with_the_quotes_of_an_older_baseline_are_known(allowed: Project) -> None:
    now = allowed.baseline.read_text()
    old = now.replace("""\"connect('bills.db')\"""", """'connect("bills.db")'""")
    assert old != now
    allowed.baseline.write_text(old)
    assert allowed.findings() == []
    assert allowed.baseline.read_text() == old
    assert allowed.check("--update").exit_code == 0
    assert allowed.baseline.read_text() == now


def test_rows_of_an_older_baseline_that_differ_by_quotes_only_allow_what_both_did(
    allowed: Project,
) -> None:
    row = '  { file = "app/services/billing.py", scope = "bill", call = %s, count = %d },\n'
    text = allowed.baseline.read_text()
    [line] = [line for line in text.splitlines(keepends=True) if '"bill"' in line]
    single, double = row % ("\"connect('bills.db')\"", 1), row % ("'connect(\"bills.db\")'", 2)
    # A merge that took the lines of both sides left one of them twice.
    allowed.baseline.write_text(text.replace(line, single + double + double))
    one, other = "connect('bills.db')", 'connect("bills.db")'
    allowed.edit("app/services/billing.py", f"return {other}", f"return {one}, {other}, {other}")
    assert allowed.findings() == []


def test_a_new_call_is_a_finding_and_an_update_refuses_it(allowed: Project) -> None:
    allowed.write("app/services/sales.py", 'import sqlite3\nsqlite3.connect("sales.db")\n')
    [new] = allowed.findings()
    assert kinds([new]) == [("new", "app/services/sales.py", 2)]
    assert new["message"] == "direct call: sqlite3.connect('sales.db'); opens sales.db"
    before = allowed.baseline.read_bytes()
    result = allowed.check("--update")
    assert result.exit_code == 1
    assert "1 new call is not taken in: move it, or allow it with --allow-new" in result.stderr
    assert "app/services/sales.py:2" in result.stdout
    assert allowed.baseline.read_bytes() == before
    assert allowed.check("--update", "--allow-new").exit_code == 0
    assert allowed.findings() == []


def test_one_more_of_equal_calls_is_a_finding_with_the_numbers(allowed: Project) -> None:
    allowed.write("app/services/shop.py", SHOP + "        self.three = sqlite3.connect(DB)\n")
    [new] = allowed.findings()
    assert kinds([new]) == [("new", "app/services/shop.py", 16)]
    assert "(3 here, the baseline allows 2)" in str(new["message"])


def test_a_call_that_is_gone_leaves_a_stale_row_that_an_update_takes_out(allowed: Project) -> None:
    allowed.edit("app/services/billing.py", 'return connect("bills.db")', "return None")
    allowed.edit("app/services/shop.py", "self.two = sqlite3.connect(DB)", "self.two = None")
    rows = allowed.baseline.read_text().splitlines()
    found = allowed.findings()
    assert kinds(found) == [
        ("stale", "dbmanager-baseline.toml", line)
        for line, row in enumerate(rows, 1)
        if '"bill"' in row or "count = 2" in row
    ]
    assert "connect('bills.db') is gone from app/services/billing.py (bill)" in found[0]["message"]
    assert "allows 2 of sqlite3.connect(DB), and there are 1" in found[1]["message"]
    result = allowed.check("--update")
    assert result.exit_code == 0
    assert "is written: 2 calls allowed, 4 before" in result.stderr
    assert allowed.findings() == []


def test_an_update_shrinks_though_it_refuses_what_is_new(allowed: Project) -> None:
    allowed.edit("app/services/billing.py", '"bills.db"', '"new.db"')
    assert allowed.check("--update").exit_code == 1
    assert "bills.db" not in allowed.baseline.read_text()
    assert "new.db" not in allowed.baseline.read_text()


def test_a_renamed_file_is_told_as_such(allowed: Project) -> None:
    (allowed.folder / "app/services/billing.py").rename("app/services/bills.py")
    new, stale = allowed.findings()
    assert (new["kind"], stale["kind"]) == ("new", "stale")
    assert "moved from app/services/billing.py?" in new["message"]
    assert "moved to app/services/bills.py?" in stale["message"]
    assert "moved from app/services/billing.py?" in allowed.check("--update").stdout


def test_only_calls_of_sqlite3_count_unless_all_are_asked_for(allowed: Project) -> None:
    allowed.write("app/later.py", 'import aiosqlite\nx = aiosqlite.connect("a.db")\n')
    assert allowed.findings() == []
    assert kinds(allowed.findings("--all-kinds")) == [("new", "app/later.py", 2)]
    assert allowed.check("--all-kinds", "--update", "--allow-new").exit_code == 0
    assert "\nall_kinds = true\n" in allowed.baseline.read_text()
    assert allowed.findings() == []
    assert [found["kind"] for found in allowed.findings("--no-all-kinds")] == ["stale"]


def test_a_file_that_is_no_python_is_a_finding_if_it_names_connect(allowed: Project) -> None:
    allowed.write("app/old.py", "print sqlite3.connect('a')\n")
    allowed.write("app/older.py", "print 'sqlite3'\n")
    [found] = allowed.findings()
    assert kinds([found]) == [("unparsable", "app/old.py", 1)]
    assert "can't be checked, it is no Python" in found["message"]
    assert "names connect() once" in found["message"]
    assert allowed.check("--update", "--allow-new").exit_code == 0
    assert '\nunparsable = [\n  { file = "app/old.py" },\n]\n' in allowed.baseline.read_text()
    assert allowed.findings() == []
    allowed.write("app/old.py", "print sqlite3.connect('a'), sqlite3.connect('b')\n")
    assert "(2 here, the baseline allows 1)" in allowed.findings()[0]["message"]
    (allowed.folder / "app/old.py").unlink()
    assert [found["kind"] for found in allowed.findings()] == ["stale"]


def test_a_part_may_be_checked_and_updated_and_the_rest_is_left(allowed: Project) -> None:
    allowed.edit("app/services/billing.py", '"bills.db"', '"new.db"')
    assert allowed.findings("app/services/shop.py") == []
    assert [found["kind"] for found in allowed.findings("app/services")] == ["new", "stale"]
    assert allowed.check("--update", "app/services/shop.py").exit_code == 0
    assert "bills.db" in allowed.baseline.read_text()


def test_files_are_named_from_the_baselines_folder(
    project: Project, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path / "app")
    file = tmp_path / "ci" / "calls.toml"
    file.parent.mkdir()
    assert project.check("--baseline", file, "--update", "services").exit_code == 0
    assert '"../app/services/shop.py"' in file.read_text()
    (tmp_path / "app/services/billing.py").unlink()
    [stale] = project.findings("--baseline", "../ci/calls.toml")
    assert stale["file"] == "../ci/calls.toml"
    project.write("app/services/new.py", "import sqlite3\nsqlite3.connect('x')\n")
    assert project.findings("--baseline", file)[0]["file"] == "services/new.py"
