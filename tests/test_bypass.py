"""The way back: modules that are bypassed get connections of the stdlib's, the others go on."""

import os
import sqlite3 as stdlib
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dbmanager
from dbmanager import DirectConnectError, sqlite3
from dbmanager._shim import switch

CODE = """
import dbmanager
from dbmanager import connect, sqlite3
from dbmanager.sqlite3 import dbapi2

WAYS = {
    "bound": lambda *a, **k: connect(*a, **k),
    "package": lambda *a, **k: dbmanager.connect(*a, **k),
    "module": lambda *a, **k: sqlite3.connect(*a, **k),
    "dbapi2": lambda *a, **k: dbapi2.connect(*a, **k),
}
"""


@pytest.fixture(autouse=True)
def no_bypass() -> Iterator[None]:
    yield
    dbmanager.configure(bypass=[])
    switch._inventory.forget()


def ways(name: str) -> dict[str, Any]:
    """Give the ways to connect of a module of that name."""
    made = types.ModuleType(name)
    exec(compile(CODE, f"{name}.py", "exec"), vars(made))
    return dict(made.WAYS)


def kinds(name: str) -> set[type]:
    kinds = set()
    for way in ways(name).values():
        with closing(way(":memory:")) as connection:
            kinds.add(type(connection))
    return kinds


@pytest.mark.parametrize(
    ("pattern", "bypassed", "others"),
    [
        ("services.billing", ["services.billing", "services.billing.tax"], ["services.bill"]),
        ("services.legacy.*", ["services.legacy.a", "services.legacy.a.b"], ["services.legacy"]),
        ("services", ["services", "services.x"], ["services2", "my.services"]),
        ("*.old", ["a.old", "b.old.c"], ["old", "a.older"]),
    ],
)
def test_modules_go_back_by_their_names_and_others_stay(
    pattern: str, bypassed: list[str], others: list[str]
) -> None:
    dbmanager.configure(bypass=["nothing", pattern])
    for name in bypassed:
        assert kinds(name) == {stdlib.Connection}, name
    for name in others:
        assert kinds(name) == {sqlite3.Connection}, name
    dbmanager.configure(bypass=[])
    for name in bypassed:
        assert kinds(name) == {sqlite3.Connection}, name


def test_all_arguments_go_through(tmp_path: Path) -> None:
    dbmanager.configure(bypass=["billing"])
    path = tmp_path / "a.db"

    class Mine(stdlib.Connection):
        pass

    connect = ways("billing")["bound"]
    with closing(connect(path, timeout=1.5, isolation_level=None, factory=Mine)) as connection:
        assert (type(connection), connection.isolation_level) == (Mine, None)
    with pytest.raises(stdlib.OperationalError, match="unable to open database file"):
        connect(f"file:{path}no?mode=rw", uri=True)
    # The stdlib can't make one of a class of ours.
    with closing(connect(path, factory=sqlite3.Connection)) as connection:
        assert type(connection) is sqlite3.Connection


def test_a_bypassed_module_and_the_others_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a)")
    dbmanager.configure(bypass=["billing"])

    def work(name: str) -> None:
        connect = ways(name)["bound"]
        for _ in range(200):
            with closing(connect(path, timeout=60)) as connection, connection:
                connection.execute("INSERT INTO t VALUES (1)")

    names = ("billing", "shop")
    threads = [threading.Thread(target=work, args=(name,)) for name in 2 * names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (800,)


def test_what_is_bypassed_is_no_direct_call() -> None:
    dbmanager.configure(bypass=["billing"])
    dbmanager.install("error")
    try:
        assert kinds("billing") == {stdlib.Connection}
        with pytest.raises(DirectConnectError):
            stdlib.connect(":memory:")
    finally:
        dbmanager.uninstall()


def test_the_environment_says_it_without_a_change_to_the_code(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    for name in ("billing", "shop"):
        kind = "type(dbmanager.connect(':memory:'))"
        code = f"import dbmanager\nprint({kind} is dbmanager.sqlite3.Connection)"
        (tmp_path / "services" / f"{name}.py").write_text(code)
    ended = subprocess.run(
        [sys.executable, "-c", "import services.billing, services.shop"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "DBMANAGER_BYPASS": " services.billing, services.legacy.*"},
        check=False,
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "False\nTrue\n")


@pytest.mark.parametrize("wrong", ["services.billing", [1]])
def test_a_wrong_bypass_is_refused_and_changes_nothing(wrong: Any) -> None:
    dbmanager.configure(bypass=["billing"])
    with pytest.raises(TypeError, match="bypass must be a list of names of modules"):
        dbmanager.configure(bypass=wrong)
    assert kinds("billing") == {stdlib.Connection}
