"""``dbmanager scan`` on an application, and on everything that is installed here."""

import csv
import io
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import dbmanager
from tests.scan.counted import counted_by_ast

SHOP = '''
import sqlite3
from pathlib import Path

# sqlite3.connect is called below
DB = Path(__file__).parent / "data" / "shop.db"


def add(name):
    """Calls sqlite3.connect itself."""
    connection = sqlite3.connect(str(DB), timeout=10)
    connection.execute("INSERT INTO item VALUES (?)", (name,))
    connection.commit()
    connection.close()


class Store:
    def __init__(self, path):
        self.connection = sqlite3.connect(path)

    async def count(self):
        with sqlite3.connect("shop.db") as connection:
            return connection.execute("SELECT count(*) FROM item").fetchone()[0]
'''
BILLING = """from app.services import shop
from sqlite3 import connect as c
c("bills.db")
"""
FILES = {
    "app/__init__.py": "",
    "app/services/__init__.py": "",
    "app/services/shop.py": SHOP,
    "app/services/billing.py": BILLING,
    "app/broken.py": "import sqlite3\nprint sqlite3.connect('a')\n",
    "tests/test_shop.py": "from app.services.shop import add\n",
}


@pytest.fixture
def application(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def scan(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return dbmanager("scan", *arguments, folder=folder)


def report(*paths: object, folder: Path) -> Any:
    ended = scan(*paths, "--json", folder=folder)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_json_tells_each_call_and_accounts_for_every_hit(application: Path) -> None:
    found = report(".", folder=application)
    calls = {(call["scope"], call["held"]): call for call in found["calls"]}
    assert list(calls) == [
        ("<module>", "unclosed"),
        ("add", "closed"),
        ("Store.__init__", "attribute"),
        ("Store.count", "with"),
    ]
    add = calls["add", "closed"]
    assert {key: add[key] for key in ("file", "line", "column", "kind", "service")} == {
        "file": "app/services/shop.py",
        "line": 11,
        "column": 18,
        "kind": "sqlite3",
        "service": "app.services.shop",
    }
    assert add["keywords"] == {"timeout": "10"}
    assert add["database"] == str(application / "app/services/data/shop.db")
    assert (add["usage"]["writes"], add["usage"]["commits"]) == (1, 1)
    assert (add["rule"], add["verdict"]) == ("DBM101", "safe")
    assert add["hazards"] == ["open_after_exception"]
    assert calls["Store.count", "with"]["hazards"] == ["never_closed"]
    assert calls["Store.count", "with"]["scope_kind"] == "async method"
    assert calls["Store.__init__", "attribute"]["database"] == "unknown"
    assert found["hits"] == {
        "call": 3,
        "string": 1,
        "comment": 1,
        "unparsable": 1,
        "reference": 0,
        "other": 0,
    }
    [broken] = found["unparsable"]
    assert (broken["file"], broken["line"], broken["hits"]) == ("app/broken.py", 2, 1)
    assert found["summary"]["calls"] == 4
    assert found["summary"]["files"] == 6


def test_services_are_in_order_with_their_reasons(application: Path) -> None:
    services = report(".", folder=application)["services"]
    assert [service["name"] for service in services] == [
        "app.services.billing",
        "app.services.shop",
    ]
    shop = services[1]
    assert shop["imported_by"] == ["app.services.billing"]
    assert shop["tests"] == ["tests/test_shop.py"]
    assert "imported by 1 other service" in shop["reasons"]


def test_services_may_be_configured(application: Path) -> None:
    config = '[tool.dbmanager.services]\nsales = ["app.services.*"]\n'
    (application / "pyproject.toml").write_text(config)
    services = report("app", folder=application)["services"]
    assert [service["name"] for service in services] == ["sales"]
    (application / "pyproject.toml").write_text("[tool.dbmanager.services]\nsales = 1\n")
    ended = scan("app", folder=application)
    assert ended.returncode == 2
    assert "the service 'sales' must be a list of patterns of modules" in ended.stderr


def test_table_shows_calls_services_databases_and_what_is_no_python(application: Path) -> None:
    ended = scan(".", folder=application)
    assert ended.returncode == 0, ended.stderr
    for text in (
        "app/services/shop.py:11",
        "closed, not in a finally",
        "? path",
        "4 direct calls in 6 files: 4 safe, 0 unsafe, 0 by hand",
        "a search by text finds 6: 3 call, 1 string, 1 comment, 1 unparsable",
        "app/broken.py:2 is no Python",
    ):
        assert text in ended.stdout
    assert "\x1b" not in ended.stdout


def test_sarif_names_rules_and_places(application: Path) -> None:
    run = json.loads(scan(".", "--format", "sarif", folder=application).stdout)["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["DBM001", "DBM101", "DBM103"]
    places = [
        result["locations"][0]["physicalLocation"]["region"]["startLine"]
        for result in run["results"]
    ]
    assert places == [3, 11, 19, 22]


def test_github_annotations_and_csv_have_a_line_for_each_call(application: Path) -> None:
    lines = scan(".", "--format", "github", folder=application).stdout.splitlines()
    assert lines[1].startswith("::warning file=app/services/shop.py,line=11,col=18,title=direct")
    assert len(lines) == 5
    text = scan(".", "--format", "csv", folder=application).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["keywords"] for row in rows[:-1]] == ["", "timeout=10", "", ""]
    assert (rows[-1]["file"], rows[-1]["line"]) == ("app/broken.py", "2")


def test_functions_that_are_passed_on_are_told_with_their_places(tmp_path: Path) -> None:
    call = "asyncio.to_thread(sqlite3.connect, p)"
    text = f"import asyncio, sqlite3\nasync def f(p):\n    await {call}\n"
    (tmp_path / "a.py").write_text(f"{text}CONNECT = sqlite3.connect\n")
    found = report(".", folder=tmp_path)["references"]
    assert [(one["line"], one["scope"], one["is_given"], one["call"]) for one in found] == [
        (3, "f", True, "asyncio.to_thread(sqlite3.connect, p)"),
        (4, "<module>", False, "sqlite3.connect"),
    ]


def test_names_of_files_are_shown_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "x[").mkdir()
    (tmp_path / "x[/b].py").write_text("import sqlite3\nprint sqlite3.connect('a')\n")
    (tmp_path / "a#b%41 c.py").write_text("import sqlite3\nsqlite3.connect('a')\n")
    ended = scan(".", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "x[/b].py:2 is no Python" in ended.stdout
    run = json.loads(scan(".", "--format", "sarif", folder=tmp_path).stdout)["runs"][0]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%23b%2541%20c.py"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_what_can_not_be_written_is_told_in_a_sentence(application: Path) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "dbmanager", "scan", ".", "--json"],
            cwd=application,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (ended.returncode, ended.stderr) == (2, "dbmanager: No space left on device\n")


def test_a_report_may_go_to_a_file_and_only_the_number_may_be_asked_for(application: Path) -> None:
    ended = scan(".", "--json", "-o", "calls.json", folder=application)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert len(json.loads((application / "calls.json").read_text())["calls"]) == 4
    assert scan(".", "--quiet", folder=application).stdout == "4\n"


def test_wrong_paths_are_told_clearly(application: Path) -> None:
    ended = scan("missing", folder=application)
    assert ended.returncode == 2
    assert "'missing' does not exist" in ended.stderr
    (application / "empty").mkdir()
    ended = scan(".", "-o", "no/calls.txt", folder=application)
    assert ended.returncode == 2
    assert "no/calls.txt can't be written: No such file or directory" in ended.stderr
    ended = scan("empty", folder=application)
    assert ended.returncode == 2
    assert "there are no Python files below empty" in ended.stderr


def test_without_click_the_commands_say_what_to_install_and_run_works(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('ran')")

    def ended(*command: str) -> tuple[int, str, str]:
        code = "import sys; sys.modules['click'] = None; from dbmanager.__main__ import run; run()"
        ended = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    code, _, told = ended("scan", ".")
    assert code == 2
    assert "this command needs click, which is not installed: pip install 'dbmanager[cli]'" in told
    assert ended("run", "program.py") == (0, "ran\n", "")


def test_help_names_all_commands(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "dbmanager", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    commands = ended.stdout.partition("Commands:")[2].partition("\n\n")[0]
    found = re.findall(r"^  (\w+) ", commands, re.MULTILINE)
    assert found == [
        *("check", "completion", "doctor", "migrate", "rules", "run", "scan", "undo"),
    ]


def test_run_behind_an_option_of_all_commands_runs_the_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    command = [sys.executable, "-m", "dbmanager", "--", "run", "program.py", "--help"]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (3, "['--help']\n")


ROOTS = sorted({sysconfig.get_paths()[name] for name in ("stdlib", "purelib")})


@pytest.mark.parametrize("root", ROOTS)
def test_everything_installed_here_is_scanned_as_an_independent_count_by_ast(
    root: str, tmp_path: Path
) -> None:
    found = report(root, folder=tmp_path)
    of_connect = {"sqlite3", "pysqlite3", "aiosqlite"}
    ours = {
        (call["file"], call["line"], call["column"])
        for call in found["calls"]
        if call["kind"] in of_connect
    }
    theirs, unparsable, hits = counted_by_ast(Path(root))
    assert theirs
    missing = {(Path(file).relative_to(root).as_posix(), line) for file, line, _ in theirs - ours}
    lines = {(file, source_line(root, file, line)) for file, line in missing}
    assert lines <= EXPLAINED.keys()
    assert ours <= theirs
    assert {file["file"] for file in found["unparsable"]} == unparsable
    assert sum(found["hits"].values()) == hits


def source_line(root: str, file: str, line: int) -> str:
    return (Path(root) / file).read_text(encoding="utf-8").splitlines()[line - 1].strip()


# What the count by `ast` takes for a call, by the names alone, and why the scan does not.
EXPLAINED = {
    (
        "sqlalchemy/dialects/sqlite/aiosqlite.py",
        "connection = self.aiosqlite.connect(*arg, **kw)",
    ): "the module is given as an argument: that it is aiosqlite is no more than its name",
}


def test_value_is_not_certain_where_a_file_without_a_word_of_it_gives_another_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.py").write_text('DB = "/srv/a.db"\n')
    (tmp_path / "app.py").write_text(
        "import sqlite3\n\nimport config\n\nconnection = sqlite3.connect(config.DB)\n"
    )
    reader, other = tmp_path / "reader.py", tmp_path / "other.py"
    reader.write_text("import config\n\nprint(config.DB, config.DB == '/srv/b.db')\n")
    (call,) = json.loads(dbmanager("scan", str(tmp_path), "--json").stdout)["calls"]
    assert call["database"] == "/srv/a.db"
    other.write_text('import config\n\nconfig.DB = "/srv/b.db"\n')
    (call,) = json.loads(dbmanager("scan", str(tmp_path), "--json").stdout)["calls"]
    assert call["database"] == "unknown"
