"""What handlers of a locked or a foreign file caught before a migration, they catch behind it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dbmanager import DatabaseManager, _core

HEAD = """import sqlite3
from contextlib import closing, suppress


"""

# Each reads and writes; what it gives tells whether its handler, or nobody, has caught something.
FUNCTIONS = {
    "within a try": """
def f(path):
    conn = sqlite3.connect(path, timeout=0)
    try:
        n = conn.execute("SELECT n FROM t").fetchone()[0]
        conn.execute("UPDATE t SET n = ?", (n + 1,))
        conn.commit()
    except sqlite3.DatabaseError:
        return "handled"
    finally:
        conn.close()
    return n
""",
    "behind a read, in a try of its own": """
def f(path):
    with closing(sqlite3.connect(path, timeout=0)) as conn:
        n = conn.execute("SELECT n FROM t").fetchone()[0]
        try:
            conn.execute("UPDATE t SET n = ?", (n + 1,))
            conn.commit()
        except sqlite3.Error as error:
            conn.rollback()
            return "handled", str(error)
        return n
""",
    "one that lets it through": """
def f(path):
    conn = sqlite3.connect(path, timeout=0)
    try:
        n = conn.execute("SELECT n FROM t").fetchone()[0]
        conn.execute("UPDATE t SET n = ?", (n + 1,))
        conn.commit()
    except Exception:
        conn.rollback()
        raise
    finally:
        conn.close()
    return n
""",
    "one for other errors": """
def f(path):
    conn = sqlite3.connect(path, timeout=0)
    try:
        n = conn.execute("SELECT n FROM t").fetchone()[0]
        conn.execute("UPDATE t SET n = ?", (n + 1,))
        conn.commit()
    except (sqlite3.IntegrityError, TypeError):
        return "handled"
    finally:
        conn.close()
    return n
""",
    "around it": """
def f(path):
    try:
        with closing(sqlite3.connect(path, timeout=0)) as conn:
            n = conn.execute("SELECT n FROM t").fetchone()[0]
            conn.execute("UPDATE t SET n = ?", (n + 1,))
            conn.commit()
            return n
    except sqlite3.DatabaseError as error:
        return "handled", type(error)
""",
}


@pytest.fixture(autouse=True)
def ends() -> Iterator[None]:
    yield
    DatabaseManager.reset()


def new_database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("CREATE TABLE t (n); INSERT INTO t VALUES (1)")
    # As impatient as the functions are.
    DatabaseManager(f"sqlite:///{path}", pragmas={"busy_timeout": 0})
    return path


def function(source: str) -> Callable[[Path], object]:
    names: dict[str, Any] = {}
    exec(compile(source, "a.py", "exec"), names)
    called: Callable[[Path], object] = names["f"]
    return called


def outcome(f: Callable[[Path], object], path: Path) -> object:
    try:
        return f(path)
    except sqlite3.Error as error:
        return type(error), str(error)


def outcomes(f: Callable[[Path], object], folder: Path) -> list[object]:
    """Free, locked by somebody else, free again, and no database at all; with the rows behind."""
    path = new_database(folder / "app.db")
    told = [outcome(f, path)]
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        told.append(outcome(f, path))
        other.rollback()
    told.append(outcome(f, path))
    with closing(sqlite3.connect(path)) as other:
        told.append(other.execute("SELECT n FROM t").fetchall())
    text = folder / "text.db"
    text.write_text("no database, " * 100)
    return [*told, outcome(f, text)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_was_caught_is_caught_and_what_came_through_comes_through(
    tmp_path: Path, name: str
) -> None:
    source = tmp_path / "a.py"
    source.write_text(HEAD + FUNCTIONS[name].lstrip())
    (tmp_path / "before").mkdir()
    before = outcomes(function(source.read_text()), tmp_path / "before")
    assert before[0] == 1
    assert before[2:4] == [2, [(3,)]]
    _, changes = _core._migrate(
        [str(source)], {}, rules=set(), only=set(), with_unsafe=False, databases=[]
    )
    (change,) = changes
    source.write_bytes(change[3])
    assert ".session(" in source.read_text()
    (tmp_path / "after").mkdir()
    assert outcomes(function(source.read_text()), tmp_path / "after") == before
