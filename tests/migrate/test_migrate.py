"""``dbmanager migrate`` and ``undo`` on an application: what is written, and taken back."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.command_line import dbmanager, done
from tests.migrate.git import git

SHOP = """import sqlite3


def add(path, name):
    connection = sqlite3.connect(path, factory=Own)
    connection.close()


def opened(path):
    return sqlite3.connect(path)
"""
BILLING = b"# coding: latin-1\r\nfrom sqlite3 import connect as c\r\nx = c('b\xe4.db')"
FILES = {
    "app/__init__.py": b"",
    "app/services/__init__.py": b"",
    "app/services/shop.py": SHOP.encode(),
    "app/services/billing.py": BILLING,
}
SWAP = "DBM001,DBM105"


@pytest.fixture
def application(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    git("init", "-q", folder=tmp_path)
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> None:
    git("add", "-A", folder=folder)
    git("commit", "-qm", "all", folder=folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_calls_are_rewritten_and_all_else_stays_byte_for_byte(application: Path) -> None:
    told = done("migrate", "app", "--rules", SWAP, folder=application)
    assert "2 calls rewritten in 2 files, 1 left" in told
    assert "a factory must be derived from dbmanager.sqlite3.Connection" in told
    assert (application / "app/services/shop.py").read_text() == SHOP.replace(
        "import sqlite3\n", "import sqlite3\n\nimport dbmanager\n"
    ).replace("return sqlite3", "return dbmanager")
    assert (application / "app/services/billing.py").read_bytes() == BILLING.replace(
        b"from sqlite3 import connect as c", b"import dbmanager"
    ).replace(b"c('", b"dbmanager.connect('")


def test_a_second_migration_changes_nothing(application: Path) -> None:
    done("migrate", "app", folder=application)
    first = contents(application)
    assert "0 calls rewritten in 0 files, 1 left" in done(
        "migrate", "app", "--allow-dirty", folder=application
    )
    assert contents(application) == first


def test_diff_writes_nothing_and_git_can_apply_it(application: Path) -> None:
    difference = done("migrate", "app", "--diff", folder=application)
    assert contents(application) == FILES
    assert not (application / ".dbmanager").exists()
    assert "\x1b" not in difference
    # Text can't tell Latin-1 from UTF-8: the file in UTF-8 is enough.
    shop = difference[difference.index("--- a/app/services/shop.py") :]
    (application / "shop.diff").write_text(shop)
    git("apply", "shop.diff", folder=application)
    by_git = (application / "app/services/shop.py").read_bytes()
    git("checkout", "app", folder=application)
    done("migrate", "app", folder=application)
    assert (application / "app/services/shop.py").read_bytes() == by_git


def test_a_service_is_moved_alone_and_taken_back_alone(application: Path) -> None:
    done("migrate", "app", "--service", "app.services.shop", folder=application)
    assert contents(application)["app/services/billing.py"] == BILLING
    commit(application)
    done("migrate", "app", "--service", "app.services.billing", folder=application)
    both = contents(application)
    listed = done("undo", "--list", folder=application).splitlines()
    begun = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    for line, told in zip(
        listed,
        [
            f"000001  {begun}  app.services.shop  1 file",
            f"000002  {begun}  app.services.billing  1 file",
        ],
        strict=True,
    ):
        assert re.fullmatch(told, line)
    done("undo", "--service", "app.services.shop", folder=application)
    one = contents(application)
    assert one["app/services/shop.py"] == SHOP.encode()
    assert one["app/services/billing.py"] == both["app/services/billing.py"]
    done("undo", folder=application)
    assert contents(application) == FILES
    ended = dbmanager("undo", folder=application)
    assert (ended.returncode, "no migration to take back" in ended.stderr) == (2, True)


def test_a_service_of_which_all_is_moved_has_nothing_left(application: Path) -> None:
    # Its calls become sessions by safe rules, all of them.
    (application / "app/services/shop.py").write_text(
        "import sqlite3\n\n\ndef f(path):\n    with sqlite3.connect(path) as connection:\n"
        "        connection.execute('DELETE FROM t')\n"
    )
    commit(application)
    done("migrate", "app", "--service", "app.services.shop", folder=application)
    commit(application)
    before = contents(application)
    done("migrate", "app", "--service", "app.services.shop", folder=application)
    assert contents(application) == before
    ended = dbmanager("migrate", "app", "--service", "app.services.none", folder=application)
    assert "there is no service 'app.services.none' with direct calls" in ended.stderr


def test_of_one_run_over_all_services_one_can_be_taken_back(application: Path) -> None:
    done("migrate", "app", folder=application)
    done("undo", "--service", "app.services.billing", folder=application / "app")
    now = contents(application)
    assert now["app/services/billing.py"] == BILLING
    assert now["app/services/shop.py"] != SHOP.encode()
    ended = dbmanager("undo", "--service", "app.services.billing", folder=application)
    assert "there are migrations of app.services.shop" in ended.stderr
    done("undo", folder=application)
    assert contents(application) == FILES


def test_undo_refuses_files_that_were_changed_since_and_writes_none(application: Path) -> None:
    done("migrate", "app", folder=application)
    shop = application / "app/services/shop.py"
    shop.write_text(shop.read_text() + "# mine\n")
    after = contents(application)
    ended = dbmanager("undo", folder=application)
    assert ended.returncode == 1
    assert "app/services/shop.py: changed since the migration" in ended.stderr
    assert contents(application) == after


def test_uncommitted_changes_are_refused_unless_allowed(application: Path) -> None:
    (application / "app/__init__.py").write_text("x = 1\n")
    ended = dbmanager("migrate", "app", folder=application)
    assert ended.returncode == 2
    assert "not committed: app/__init__.py; commit them, or --allow-dirty" in ended.stderr
    assert contents(application)["app/services/shop.py"] == SHOP.encode()
    done("migrate", "app", "--diff", folder=application)
    (application / "untracked.txt").write_text("")
    done("migrate", "app", "--allow-dirty", folder=application)


def test_git_does_not_see_what_undo_needs(application: Path) -> None:
    done("migrate", "app", folder=application)
    assert git("status", "--porcelain", folder=application).split() == [
        *("M", "app/services/billing.py"),
        *("M", "app/services/shop.py"),
    ]


def test_modes_links_and_times_are_those_of_a_written_file(application: Path) -> None:
    shop, billing = (application / f"app/services/{name}.py" for name in ("shop", "billing"))
    shop.chmod(0o751)
    target = application / "elsewhere.txt"
    shop.rename(target)
    shop.symlink_to("../../elsewhere.txt")
    other = application / "hard.link"
    os.link(billing, other)
    commit(application)
    # A link is followed where it is named.
    done("migrate", shop, billing, folder=application)
    assert shop.is_symlink()
    assert "dbmanager.connect" in target.read_text()
    assert target.stat().st_mode & 0o777 == 0o751
    assert billing.samefile(other)
    assert b"dbmanager" in other.read_bytes()
    assert not list(application.rglob(".*.py.*"))
    done("undo", folder=application)
    assert target.read_bytes() == SHOP.encode()
    assert other.read_bytes() == BILLING
    assert target.stat().st_mode & 0o777 == 0o751


def test_json_tells_what_was_rewritten_and_what_is_left(application: Path) -> None:
    told = json.loads(done("migrate", "app", "--rules", SWAP, "--json", folder=application))
    rewritten = [
        (call["file"], call["line"], call["column"], call["rule"], call["verdict"])
        for call in told["rewritten"]
    ]
    assert rewritten == [
        ("app/services/billing.py", 3, 5, "DBM001", "safe"),
        ("app/services/shop.py", 10, 12, "DBM105", "safe"),
    ]
    assert [(call["scope"], call["verdict"]) for call in told["left"]] == [("add", "by hand")]


def test_tests_that_replace_connect_are_told(application: Path) -> None:
    test = "from unittest.mock import patch\n@patch('sqlite3.connect')\ndef test_a(c): pass\n"
    (application / "test_shop.py").write_text(test)
    commit(application)
    told = done("migrate", ".", folder=application)
    assert "these replace sqlite3.connect" in told
    assert "test_shop.py:2" in told


def test_what_is_not_looked_at_is_told(application: Path) -> None:
    (application / "app/old.py").write_text("import sqlite3\nprint sqlite3.connect('a')\n")
    (application / "app/part.py").write_text(
        "import sqlite3, functools\nC = functools.partial(sqlite3.connect, 'a')\n"
    )
    commit(application)
    told = done("migrate", "app", folder=application)
    assert "app/old.py:2 is no Python" in told
    assert "left, by hand: the function is named, and others may call it\n  app/part.py:2" in told
    assert "2 calls rewritten in 2 files, 2 left" in told


def test_quiet_tells_nothing(application: Path) -> None:
    assert done("migrate", "app", "--quiet", folder=application) == ""
    assert done("undo", "--quiet", folder=application) == ""


def test_wrong_input_is_told_clearly(application: Path) -> None:
    for arguments, told in [
        (["app", "--service", "shop"], "there is no service 'shop' with direct calls; there are: "),
        (["app", "--rules", "DBM9"], "there is no rule 'DBM9'; there are DBM001"),
        (["missing"], "'missing' does not exist"),
        ([".git"], "there are no Python files below .git"),
    ]:
        ended = dbmanager("migrate", *arguments, folder=application)
        assert ended.returncode == 2, arguments
        assert told in ended.stderr
    ended = dbmanager("undo", "--service", "x", folder=application)
    assert "there is no migration of 'x' to take back" in ended.stderr
    assert contents(application) == FILES


def test_rules_tell_of_themselves(application: Path) -> None:
    listed = done("rules", folder=application)
    assert "DBM001  pooled drop-in: " in listed
    assert "dbmanager.connect(path, timeout=10)" in done("rules", "dbm001", folder=application)
    rules = json.loads(done("rules", "--json", folder=application))
    assert [rule["code"] for rule in rules] == sorted(rule["code"] for rule in rules)
    assert "there is no rule 'x'" in dbmanager("rules", "x", folder=application).stderr
