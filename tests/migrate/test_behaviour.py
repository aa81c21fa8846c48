"""A rewritten function does what it did: the rows it leaves, what it gives, raises and sees."""

import gc
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings

from dbmanager import DatabaseManager, _core
from tests.migrate.functions import FLAGS, functions, held_by_others

# Long in `make soak`.
EXAMPLES = 1500 if os.environ.get("HYPOTHESIS_PROFILE") == "slow" else 150
EXAMPLES = int(os.environ.get("DBMANAGER_FUNCTIONS", EXAMPLES))
SETUP = """
CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO t VALUES (1, 1), (2, 2);
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # In memory, if that can be had: each example commits a hundred times.
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        # What there is already need not be gone through at each collection.
        gc.collect()
        gc.freeze()
        yield Path(name)
        gc.unfreeze()
        DatabaseManager.reset()


def migrated(source: str, folder: Path, *, unsafe: bool = False) -> tuple[str, list[Any]]:
    path = folder / "module.py"
    path.write_text(source)
    told, changes = _core._migrate(
        [str(path)], {}, rules=set(), only=set(), with_unsafe=unsafe, databases=[]
    )
    report = json.loads(told)
    assert not report["failures"], report["failures"]
    assert len(changes) == 1, report
    return changes[0][3].decode(), report["rewritten"]


def behaviour(source: str, path: Path, flag: int) -> dict[str, Any]:
    """Call the function on a new database, and tell all that can be seen of it."""
    with_setup(path)
    namespace: dict[str, Any] = {}
    exec(compile(source, "module.py", "exec"), namespace)
    try:
        given: object = namespace["f"](str(path), flag)
    except (TypeError, ValueError, sqlite3.Error, UnboundLocalError) as error:
        given = (type(error).__name__, str(error))
    # A connection that was left open goes with its frame.
    gc.collect()
    lent = [count for lent, count in _core._leases() if lent == path]
    return {"given": given, "seen": namespace["seen"], "lent": lent, "rows": left(path)}


def with_setup(path: Path) -> None:
    DatabaseManager.at(path).close()
    for leftover in path.parent.glob(f"{path.name}*"):
        leftover.unlink()
    connection = sqlite3.connect(path)
    connection.executescript(SETUP)
    connection.close()


def left(path: Path) -> list[Any]:
    connection = sqlite3.connect(path)
    tables = connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    rows = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    connection.close()
    return [tables, rows]


# Some functions close nothing, which Python 3.13 warns of.
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.machine
@given(source=functions())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_a_function_behaves_alike_before_and_after(source: str, folder: Path) -> None:
    assert_alike(source, folder)


@pytest.mark.machine
@given(source=held_by_others())
@settings(
    max_examples=max(30, EXAMPLES // 5),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_what_is_rewritten_on_request_behaves_alike_if_each_use_ends_what_it_begins(
    source: str, folder: Path
) -> None:
    assert_alike(source, folder, unsafe=True)


def assert_alike(source: str, folder: Path, *, unsafe: bool = False) -> None:
    compile(source, "module.py", "exec")
    after, calls = migrated(source, folder, unsafe=unsafe)
    rules = ", ".join(sorted(call["rule"] for call in calls))
    event(rules)
    for flag in FLAGS:
        before = behaviour(source, folder / "before.db", flag)
        now = behaviour(after, folder / "after.db", flag)
        assert now == before, f"flag {flag}, by {rules}:\n{source}\n{after}"
