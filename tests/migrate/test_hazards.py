"""Each hazard before and after: what scan tells, what happens, and what migrate makes of it."""

import gc
import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dbmanager import DatabaseManager, _core

HEAD = """import sqlite3
import sys
from contextlib import closing


"""
KEPT = "each path keeps what it kept and discards what it discarded"
SETUP = "CREATE TABLE t (n INTEGER NOT NULL)"


@dataclass(frozen=True)
class Case:
    """A function ``f(path, x)``, and what is told and done."""

    body: str
    hazards: list[str]
    #: What is given as ``x`` for the hazard to come true.
    x: object
    #: The rules that rewrite it; empty, if it is left.
    rules: list[str]
    #: What the reason says.
    reason: str
    #: Whether a connection of the stdlib stays open; a lease never does.
    is_open: bool = False
    #: The rows that are there at the end, before and after.
    kept: int = 0


CASES = {
    "a write is not committed before the close": Case(
        """
    c = sqlite3.connect(path)
    try:
        c.execute("INSERT INTO t VALUES (1)")
    finally:
        c.close()
""",
        ["write_not_committed"],
        None,
        ["DBM001"],
        "a write is not committed on some path",
    ),
    "a write is not committed on a path": Case(
        """
    with closing(sqlite3.connect(path)) as c:
        c.execute("INSERT INTO t VALUES (1)")
        if x:
            return
        c.commit()
""",
        ["write_not_committed"],
        True,
        ["DBM001"],
        "a write is not committed on some path",
    ),
    "a return before the close": Case(
        """
    c = sqlite3.connect(path)
    if x is None:
        return 0
    c.close()
""",
        ["open_after_return"],
        None,
        ["DBM101"],
        KEPT,
        is_open=True,
    ),
    "a return before the try": Case(
        """
    c = sqlite3.connect(path)
    if x is None:
        return None
    try:
        return c.execute("SELECT n FROM t").fetchall()
    finally:
        c.close()
""",
        ["open_after_return"],
        None,
        ["DBM102"],
        KEPT,
        is_open=True,
    ),
    "a loop that goes on before the close": Case(
        """
    for y in x:
        c = sqlite3.connect(path)
        if y is None:
            continue
        c.close()
""",
        ["open_after_return"],
        [None],
        ["DBM101"],
        KEPT,
        is_open=True,
    ),
    "a name that goes to another connection": Case(
        """
    c = sqlite3.connect(path)
    if x is None:
        c = sqlite3.connect(path)
    c.close()
""",
        ["open_after_return", "open_after_exception"],
        None,
        ["DBM001", "DBM001"],
        "its name is bound again",
        is_open=True,
    ),
    "an exception before the close": Case(
        """
    c = sqlite3.connect(path)
    c.execute("INSERT INTO t VALUES (?)", (x,))
    c.commit()
    c.close()
""",
        ["open_after_exception"],
        None,
        ["DBM101"],
        KEPT,
        is_open=True,
    ),
    "an exit before the close": Case(
        """
    c = sqlite3.connect(path)
    if x:
        sys.exit(1)
    c.close()
""",
        ["open_after_exception"],
        True,
        ["DBM101"],
        KEPT,
        is_open=True,
    ),
    "an exception behind the block of the connection": Case(
        """
    with sqlite3.connect(path) as c:
        c.execute("INSERT INTO t VALUES (?)", (x,))
    c.close()
""",
        ["open_after_exception"],
        None,
        ["DBM103"],
        KEPT,
        is_open=True,
    ),
    "a block of the connection only": Case(
        """
    with sqlite3.connect(path) as c:
        c.execute("INSERT INTO t VALUES (1)")
""",
        ["never_closed"],
        None,
        ["DBM103"],
        KEPT,
        is_open=True,
        kept=1,
    ),
    "nothing closes it": Case(
        """
    c = sqlite3.connect(path)
    return c.execute("SELECT n FROM t").fetchall()
""",
        ["never_closed"],
        None,
        ["DBM101"],
        KEPT,
        is_open=True,
    ),
    "only its name is deleted": Case(
        """
    c = sqlite3.connect(path)
    c.execute("SELECT n FROM t").fetchall()
    del c
""",
        ["never_closed"],
        None,
        ["DBM001"],
        "its name is bound again",
        is_open=True,
    ),
    "opened again in the block": Case(
        """
    with closing(sqlite3.connect(path)) as c:
        c.execute("SELECT n FROM t").fetchall()
        with closing(sqlite3.connect(path)) as d:
            return d.execute("SELECT n FROM t").fetchall()
""",
        ["nested_open"],
        None,
        ["DBM104", "DBM104"],
        KEPT,
    ),
    "opened again while a write is in progress": Case(
        """
    c = sqlite3.connect(path)
    try:
        c.execute("INSERT INTO t VALUES (1)")
        d = sqlite3.connect(path)
        d.close()
        c.commit()
    finally:
        c.close()
""",
        ["nested_open"],
        None,
        ["DBM102", "DBM001"],
        KEPT,
        kept=1,
    ),
    "a class that neither commits nor closes": Case(
        """
    class Store:
        def __init__(self):
            self._c = sqlite3.connect(path)

        def add(self):
            self._c.execute("INSERT INTO t VALUES (1)")

    Store().add()
""",
        ["write_not_committed", "never_closed"],
        None,
        ["DBM001"],
        "a method leaves something uncommitted for another one",
        is_open=True,
    ),
    "cursor.connection commits": Case(
        """
    with closing(sqlite3.connect(path)) as c:
        cur = c.cursor()
        cur.execute("INSERT INTO t VALUES (1)")
        cur.connection.commit()
""",
        [],
        None,
        ["DBM001"],
        "it is asked for by its cursor",
        kept=1,
    ),
    "closed by closing() of an assignment": Case(
        """
    with closing(c := sqlite3.connect(path)):
        return c.execute("SELECT n FROM t").fetchall()
""",
        [],
        None,
        ["DBM001"],
        "it is entered in a way that the rules do not know",
    ),
}


class Watched(sqlite3.Connection):
    """Knows whether it was closed."""

    opened: list["Watched"] = []  # noqa: RUF012 - emptied before each run
    is_open = True

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.opened.append(self)

    def close(self) -> None:
        self.is_open = False
        super().close()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Watched]]:
    real = sqlite3.connect

    def connect(path: str) -> sqlite3.Connection:
        return real(path, factory=Watched)

    monkeypatch.setattr(sqlite3, "connect", connect)
    yield Watched
    for connection in Watched.opened:
        connection.close()
    Watched.opened.clear()


def source_of(case: Case) -> str:
    return f"{HEAD}def f(path, x):{case.body}"


def scanned(path: Path) -> list[Any]:
    calls: list[Any] = json.loads(_core._scan([str(path)], {}))["calls"]
    return calls


def migrated(path: Path) -> Any:
    told, changes = _core._migrate(
        [str(path)], {}, rules=set(), only=set(), with_unsafe=False, databases=[]
    )
    for _, _, _, after, *_ in changes:
        path.write_bytes(after)
    return json.loads(told)


def run(path: Path, database: Path, x: object) -> None:
    namespace: dict[str, Any] = {}
    exec(compile(path.read_text(), "module.py", "exec"), namespace)
    with suppress(sqlite3.Error, SystemExit):
        namespace["f"](str(database), x)


def new_database(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.execute(SETUP)
    connection.close()
    return path


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    [[count]] = connection.execute("SELECT count(*) FROM t").fetchall()
    connection.close()
    return int(count)


@pytest.mark.parametrize("name", CASES)
def test_what_is_told_comes_true(name: str, tmp_path: Path, watched: type[Watched]) -> None:
    case = CASES[name]
    module = tmp_path / "module.py"
    module.write_text(source_of(case))
    [first, *_] = scanned(module)
    assert first["hazards"] == case.hazards
    database = new_database(tmp_path / "a.db")
    watched.opened.clear()
    run(module, database, case.x)
    assert any(one.is_open for one in watched.opened) == case.is_open
    for connection in watched.opened:
        connection.close()
    assert rows(database) == case.kept


# Pooled connections that are not closed go back, and Python 3.13 warns of them.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("name", CASES)
def test_behind_a_migration_no_connection_is_left_and_the_same_rows_are(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    module = tmp_path / "module.py"
    module.write_text(source_of(case))
    report = migrated(module)
    assert [call["rule"] for call in report["rewritten"]] == case.rules
    assert case.reason in report["rewritten"][0]["reason"]
    # No direct call is left that a hazard could be told of.
    assert scanned(module) == []
    database = new_database(tmp_path / "b.db")
    run(module, database, case.x)
    gc.collect()
    assert [count for lent, count in _core._leases() if lent == database and count] == []
    assert rows(database) == case.kept
    DatabaseManager.reset()


LEFT = {
    "another build of SQLite": (
        (
            "import pysqlite3\ndef f(path):\n    c = pysqlite3.connect(path)\n"
            "    c.execute('DELETE FROM t')\n    c.close()\n"
        ),
        ["write_not_committed", "open_after_exception"],
    ),
    "a factory of its own": (
        (
            "import sqlite3\ndef f(path):\n    c = sqlite3.connect(path, factory=Own)\n"
            "    return c.execute('SELECT 1').fetchall()\n"
        ),
        ["never_closed"],
    ),
    "opened in the block, with a factory": (
        (
            "import sqlite3\nfrom contextlib import closing\ndef f(path):\n"
            "    with closing(sqlite3.connect(path, factory=Own)) as c:\n"
            "        return g(sqlite3.connect(path, factory=Own))\n"
        ),
        ["nested_open"],
    ),
    "a return, with a factory": (
        (
            "import sqlite3\ndef f(path, x):\n    c = sqlite3.connect(path, factory=Own)\n"
            "    if x is None:\n        return\n    c.close()\n"
        ),
        ["open_after_return"],
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_not_rewritten_stays_as_it_is_and_is_told_again(name: str, tmp_path: Path) -> None:
    source, hazards = LEFT[name]
    module = tmp_path / "module.py"
    module.write_text(source)
    before = scanned(module)
    assert before[0]["hazards"] == hazards
    report = migrated(module)
    assert (report["rewritten"], module.read_text()) == ([], source)
    assert report["left"][0]["reason"]
    assert scanned(module) == before
