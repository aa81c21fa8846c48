"""The page of the rules is what the rules say, and their examples are what they do."""

import json
from pathlib import Path

import pytest

from dbmanager import _core
from dbmanager.cli import rules_page
from dbmanager.cli.rules import Rule, all_rules

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
HEAD = "import sqlite3\nfrom contextlib import closing, contextmanager\nfrom pathlib import Path\n"
# What is not said in an example, and stands around it.
AROUND = {
    "DBM001": "path = input()\n{}\n",
    "DBM101": "def f(path):\n{}\n",
    "DBM102": "path = input()\n{}\n",
    "DBM103": "path = input()\n{}\n",
    "DBM104": "def f(path):\n{}\n",
    "DBM105": "PATH = input()\n{}\n",
    "DBM106": "PATH = input()\n{}\n",
    "DBM107": "{}\n",
    "DBM108": "BASE = Path(__file__).parent\n{}\n    connection.execute('SELECT 1')\n",
    "DBM201": "with sqlite3.connect(input()) as connection:\n{}\n",
}


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == rules_page.page(), "run `make docs-commands`"


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule["code"])
def test_the_example_of_a_rule_is_what_it_does(rule: Rule, tmp_path: Path) -> None:
    before, after = (placed(rule["code"], text) for text in rule["example"])
    path = tmp_path / "module.py"
    path.write_text(HEAD + before)
    told, changes = _core._migrate(
        [str(path)],
        {},
        rules=set(),
        only=set(),
        with_unsafe=True,
        databases=[(str(tmp_path / "app.db"), "app")],
    )
    [call] = json.loads(told)["rewritten"]
    assert rule["code"] in {call["rule"], *call["also"]}
    body = changes[0][3].decode().partition("import Path\n")[2]
    without_imports = "".join(
        line for line in body.splitlines(keepends=True) if "dbmanager import" not in line
    )
    wanted = after.replace(
        "with sqlite3.connect(input())", "with DatabaseManager.at(input()).session()"
    )
    assert without_imports.replace("import dbmanager\n", "").strip() == wanted.strip()


def placed(code: str, text: str) -> str:
    around = AROUND[code]
    is_indented = "def f" in around or code == "DBM201"
    lines = text.split("\n")
    return around.format("\n".join(f"    {line}" if is_indented else line for line in lines))
