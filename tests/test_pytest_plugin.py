"""The plugin for the tests of an application."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import sqlite3
import pytest
import dbmanager
from contextlib import closing

kept = []

@pytest.fixture
def database(tmp_path):
    with closing(sqlite3.connect(tmp_path / "fixture.db")):
        yield

def test_clean(tmp_path):
    with dbmanager.DatabaseManager(f"sqlite:///{tmp_path}/a.db").session() as s:
        assert s.scalar("SELECT 1") == 1

def test_direct(tmp_path):
    with closing(sqlite3.connect(tmp_path / "direct.db")):
        pass

def test_direct_in_a_fixture(database):
    pass

def test_leaves_a_connection(tmp_path):
    kept.append(dbmanager.connect(tmp_path / "left.db"))
    kept[0].execute("CREATE TABLE t (a)")

def test_leaves_a_session(tmp_path):
    kept.append(dbmanager.DatabaseManager(f"sqlite:///{tmp_path}/session.db").session())
    kept[1].__enter__().execute("SELECT 1")

def test_leaves_garbage(tmp_path):
    circle = [dbmanager.connect(tmp_path / "garbage.db")]
    circle.append(circle)
    circle[0].close()
    connection = dbmanager.connect(tmp_path / "garbage.db")

def test_clean_again(tmp_path):
    dbmanager.connect(tmp_path / "a.db").close()
"""


def run(
    tmp_path: Path, *options: str, settings: str = "", tests: str = TESTS
) -> tuple[str, dict[str, int]]:
    """Run tests with the plugin; give the output, and how many went which way."""
    (tmp_path / "test_application.py").write_text(tests)
    (tmp_path / "pytest.ini").write_text("[pytest]\n" + settings)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "dbmanager.pytest", "-p", "no:cacheprovider"),
            *("-W", "ignore::ResourceWarning", "-q", *options),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    words = ended.stdout.splitlines()[-1].replace(",", "").split()
    counts = {words[at + 1].rstrip("s"): int(words[at]) for at in range(0, len(words) - 2, 2)}
    return ended.stdout, counts


def test_direct_calls_are_reported_and_leaks_fail(tmp_path: Path) -> None:
    output, counts = run(tmp_path)
    assert counts == {"passed": 7, "error": 2}
    section = output.partition("= direct sqlite3.connect calls =")[2]
    assert "test_application.py::test_direct\n" in section
    line = (
        TESTS.splitlines().index('    with closing(sqlite3.connect(tmp_path / "direct.db")):') + 1
    )
    assert f"test_application.py:{line} " in section
    assert "direct.db\n" in section
    assert "test_application.py::test_direct_in_a_fixture\n" in section
    assert "test_clean" not in section.partition("short test summary")[0]
    # pytest repeats the whole messages in its summary if CI is set.
    failures = output.partition("short test summary")[0]
    assert failures.count("connections of dbmanager that were left open: 1 to ") == 2
    assert "left.db" in output
    assert "session.db" in output
    assert "garbage.db" not in output


def test_direct_calls_fail_the_test_if_that_is_asked_for(tmp_path: Path) -> None:
    output, counts = run(tmp_path, "--direct-connects=fail")
    assert counts == {"passed": 7, "error": 4}
    failures = output.partition("short test summary")[0]
    assert failures.count("direct sqlite3.connect calls:\n") == 2


@pytest.mark.parametrize("settings", ["direct_connects_ignore =\n    other\n    test_app*\n"])
def test_modules_may_be_left_out(tmp_path: Path, settings: str) -> None:
    output, counts = run(tmp_path, "--direct-connects=fail", settings=settings)
    assert counts == {"passed": 7, "error": 2}
    assert "direct sqlite3.connect calls" not in output


def test_both_may_be_switched_off(tmp_path: Path) -> None:
    output, counts = run(tmp_path, "--direct-connects=off", settings="leaked_connections = false\n")
    assert counts == {"passed": 7}
    assert "direct sqlite3.connect calls" not in output


WIDE = """
import sqlite3
import unittest
import pytest
import dbmanager
from contextlib import closing

with closing(sqlite3.connect("import.db")):
    pass

@pytest.fixture(scope="session")
def session_wide(tmp_path_factory):
    with closing(sqlite3.connect(tmp_path_factory.mktemp("s") / "session.db")):
        yield

@pytest.fixture(scope="class")
def class_wide(tmp_path_factory):
    with closing(sqlite3.connect(tmp_path_factory.mktemp("c") / "class.db")):
        yield

@pytest.mark.usefixtures("class_wide")
class TestWide:
    def test_first(self):
        pass

    def test_second(self, session_wide):
        pass

class TestOfUnittest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        sqlite3.connect("unittest.db").close()

    def test_first(self):
        dbmanager.uninstall()

    def test_second(self):
        sqlite3.connect("later.db").close()

def test_refusal_and_routing_are_no_direct_calls(tmp_path):
    dbmanager.install("error")
    with pytest.raises(dbmanager.DirectConnectError):
        sqlite3.connect("refused.db")
    dbmanager.install("route")
    sqlite3.connect(tmp_path / "routed.db").close()
    dbmanager.uninstall()
"""


@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_calls_of_wider_fixtures_and_of_imports_are_reported(
    tmp_path: Path, processes: tuple[str, ...]
) -> None:
    output, counts = run(tmp_path, *processes, tests=WIDE)
    assert counts == {"passed": 5}
    section = output.partition("= direct sqlite3.connect calls =")[2]
    lines = [line.rpartition("/")[2] for line in section.splitlines()]
    for test, database in [
        ("test_application.py", "import.db"),
        ("test_application.py::TestWide::test_first", "class.db"),
        ("test_application.py::TestWide::test_second", "session.db"),
        ("test_application.py::TestOfUnittest::test_first", "unittest.db"),
        ("test_application.py::TestOfUnittest::test_second", "later.db"),
    ]:
        assert lines[lines.index(test) + 1] == database
    assert "routed.db" not in output
    assert "refused.db" not in output


def test_calls_of_wider_fixtures_fail_the_test_that_needs_them_first(tmp_path: Path) -> None:
    output, counts = run(
        tmp_path, "--direct-connects=fail", tests=WIDE.replace('"import.db"', '":memory:"')
    )
    assert counts == {"error": 1}
    assert "ERROR test_application.py" in output
    tests = WIDE.replace('with closing(sqlite3.connect("import.db")):\n    pass', "")
    output, counts = run(tmp_path, "--direct-connects=fail", tests=tests)
    assert counts == {"passed": 5, "error": 4}


def test_a_wider_fixture_that_leaves_a_connection_open_fails_the_last_test(tmp_path: Path) -> None:
    tests = """
import pytest
import dbmanager

@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    connection = dbmanager.connect(tmp_path_factory.mktemp("m") / "wide.db")
    yield
    kept.append(connection)

kept = []

def test_one(wide):
    pass

def test_two(wide):
    pass
"""
    output, counts = run(tmp_path, tests=tests)
    assert counts == {"passed": 2, "error": 1}
    assert "ERROR test_application.py::test_two" in output
    assert "wide.db" in output


TESTS_THAT_END_BADLY = """
import sqlite3
import pytest
import dbmanager

@pytest.fixture
def falls():
    yield
    raise ValueError("on its own")

def test_ends_badly(falls):
    sqlite3.connect(":memory:").close()

def test_is_innocent():
    pass

def test_leaves_a_connection(tmp_path):
    sqlite3.connect(":memory:").close()
    global kept
    kept = dbmanager.connect(tmp_path / "left.db")

def test_is_innocent_too():
    pass
"""


@pytest.mark.parametrize("ending", ["report", "fail"])
def test_the_calls_of_a_test_that_ends_badly_are_not_the_next_ones(
    tmp_path: Path, ending: str
) -> None:
    output, _ = run(tmp_path, f"--direct-connects={ending}", tests=TESTS_THAT_END_BADLY)
    assert output.count("test_ends_badly") > 0
    assert output.count("test_leaves_a_connection") > 0
    assert "innocent" not in output
