"""The shim: direct `sqlite3.connect` calls are seen, and warned of, routed or refused."""

import _thread
import gc
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dbmanager
from dbmanager import DatabaseManager, DirectConnectError, DirectConnectWarning
from dbmanager._shim import calls, switch

# Not as a global, which would be rebound.
ORIGINALS = [sqlite3.connect]


@pytest.fixture(autouse=True)
def no_shim() -> Iterator[None]:
    """Begin and end without one."""
    switch._inventory.forget()
    yield
    dbmanager.uninstall()
    switch._inventory.forget()
    assert sqlite3.connect is ORIGINALS[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


def module(name: str, code: str) -> types.ModuleType:
    """Make a module, as an import would."""
    made = types.ModuleType(name)
    made.__file__ = f"/somewhere/{name}.py"
    exec(compile(code, made.__file__, "exec"), vars(made))
    sys.modules[name] = made
    return made


@pytest.fixture
def service(path: Path) -> Iterator[types.ModuleType]:
    """A module that opens the database in many ways, and has bound `connect` before the shim."""
    code = """
import functools
import sqlite3
import sqlite3 as x
import sqlite3.dbapi2
from sqlite3 import connect
from sqlite3 import connect as open_database, dbapi2

class Keeper:
    connect = staticmethod(connect)

def default(path, connect=connect):
    return connect(path)

def factory(path):
    class Connection(sqlite3.Connection):
        pass
    return sqlite3.connect(path, factory=Connection)

WAYS = {
    "attribute": lambda path: sqlite3.connect(path),
    "alias": lambda path: x.connect(path),
    "dbapi2": lambda path: sqlite3.dbapi2.connect(path),
    "bound": lambda path: connect(path),
    "bound by another name": lambda path: open_database(path),
    "keyword": lambda path: connect(database=path, timeout=1),
    "late import": lambda path: __import__("sqlite3").connect(path),
    "class attribute": lambda path: Keeper.connect(path),
    "default argument": default,
    "partial": functools.partial(connect),
    "class": lambda path: sqlite3.Connection(path),
    "factory": factory,
}
"""
    yield module("service", code)
    del sys.modules["service"]


WAYS = [
    "attribute",
    "alias",
    "dbapi2",
    "bound",
    "bound by another name",
    "keyword",
    "late import",
    "class attribute",
    "default argument",
    "partial",
    "class",
    "factory",
]
# Only the audit event shows these, or they ask for a class of the stdlib's.
NOT_ROUTED = {"class attribute", "default argument", "partial", "class", "factory"}


def use(way: Callable[[Any], Any], path: Path) -> type:
    with closing(way(path)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        return type(connection)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_connect_is_warned_of_once_at_its_line(
    service: types.ModuleType, path: Path, way: str
) -> None:
    dbmanager.install("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            assert issubclass(use(service.WAYS[way], path), sqlite3.Connection)
    (warning,) = caught
    (call,) = dbmanager.direct_connects()
    assert warning.category is DirectConnectWarning
    assert issubclass(DirectConnectWarning, DeprecationWarning)
    assert (warning.filename, warning.lineno) == (call.file, call.line)
    if way != "partial":
        assert (call.file, call.module) == ("/somewhere/service.py", "service")
    assert (call.outcome, call.count, call.database) == ("warned", 3, str(path))
    assert call.thread == threading.current_thread().name
    assert call.stack[-1].startswith(f"{call.file}:{call.line} ")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_connect_is_routed_or_reported(
    service: types.ModuleType, path: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    dbmanager.install("route")
    with caplog.at_level("WARNING", logger="dbmanager.direct"):
        kind = use(service.WAYS[way], path)
    (call,) = dbmanager.direct_connects()
    if way in NOT_ROUTED:
        assert call.outcome == "not routed"
        assert issubclass(kind, sqlite3.Connection)
        # What goes through the stand-in is known to our `connect`, which can't take it.
        assert ("not routed" in caplog.text) == (way != "factory")
    else:
        assert (call.outcome, caplog.text) == ("routed", "")
        assert kind is dbmanager.sqlite3.Connection
    dbmanager.uninstall()
    assert issubclass(use(service.WAYS[way], path), sqlite3.Connection)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_connect_is_refused(service: types.ModuleType, path: Path, way: str) -> None:
    dbmanager.install("error")
    for _ in range(2):
        with pytest.raises(
            DirectConnectError, match=r"direct sqlite3.connect\('.*app.db'\); write"
        ):
            service.WAYS[way](path)
    assert not path.exists()
    (call,) = dbmanager.direct_connects()
    assert (call.outcome, call.count) == ("refused", 2)


def test_the_warning_tells_what_to_write_instead(path: Path) -> None:
    def told(database: object, **keywords: Any) -> str:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            exec("sqlite3.connect(database, **keywords).close()", {"sqlite3": sqlite3}, locals())
        (warning,) = caught
        return str(warning.message)

    DatabaseManager.configure({"portfolio": f"sqlite:///{path}"})
    try:
        dbmanager.install("warn")
        assert told(path) == (
            f"direct sqlite3.connect('{path}'); write "
            "`with DatabaseManager.named('portfolio').session() as s:`, or "
            f"`dbmanager.connect('{path}')` as it stands (docs/migrating.md)"
        )
        switch._inventory.forget()
        other = path.with_name("other.db")
        assert f"`with DatabaseManager('sqlite:///{other}').session() as s:`" in told(other)
        switch._inventory.forget()
        assert "write `dbmanager.connect(':memory:')` (docs" in told(":memory:")
        switch._inventory.forget()
        uri = f"file:{path}?mode=ro"
        assert f"write `dbmanager.connect('{uri}')` (docs" in told(uri, uri=True)
    finally:
        DatabaseManager.reset()


def test_what_the_warning_names_is_what_works(path: Path) -> None:
    DatabaseManager.configure({"app": f"sqlite:///{path}"})
    try:
        for database in (str(path), str(path.with_name("other.db"))):
            names = {"DatabaseManager": DatabaseManager, "dbmanager": dbmanager}
            code = switch.advice.replacement(database)
            exec(f"{code}\n    s.execute('CREATE TABLE t (a)')", names)
            with closing(sqlite3.connect(database)) as connection:
                assert connection.execute("SELECT * FROM t").fetchall() == []
    finally:
        DatabaseManager.reset()


@pytest.mark.parametrize("mode", ["warn", "route", "error"])
def test_ignored_modules_are_only_counted(service: types.ModuleType, path: Path, mode: Any) -> None:
    dbmanager.install(mode, ignore=["other", "serv*"])
    with warnings.catch_warnings(record=True) as caught:
        for way in ("attribute", "bound", "class"):
            assert use(service.WAYS[way], path) is sqlite3.Connection
    assert caught == []
    assert {call.outcome for call in dbmanager.direct_connects()} == {"ignored"}


def test_routed_connections_pass_for_the_stdlibs(service: types.ModuleType, path: Path) -> None:
    dbmanager.install("route")
    with closing(service.WAYS["bound"](path)) as connection:
        connection.row_factory = sqlite3.Row
        cursor = connection.execute("SELECT 1 AS one")
        row = cursor.fetchone()
        assert isinstance(connection, sqlite3.Connection)
        assert isinstance(cursor, sqlite3.Cursor)
        assert isinstance(row, sqlite3.Row)
        connection.row_factory = dbmanager.sqlite3.Row
        assert isinstance(connection.execute("SELECT 1").fetchone(), sqlite3.Row)
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (zeroblob(4))")
        with connection.blobopen("t", "a", 1) as blob:
            assert isinstance(blob, sqlite3.Blob)
        assert row["one"] == 1
        with pytest.raises(sqlite3.OperationalError):
            connection.execute("SELECT nothing")
    assert DatabaseManager(f"sqlite:///{path}").get_stats()["acquired_total"] == 1
    DatabaseManager.reset()


def test_our_own_connects_are_not_direct(path: Path) -> None:
    dbmanager.install("error")
    for connect in (dbmanager.connect, dbmanager.sqlite3.connect, dbmanager.sqlite3.Connection):
        connect(path).close()
    with DatabaseManager(f"sqlite:///{path}").session() as session:
        session.execute("SELECT 1")
    DatabaseManager.reset()
    assert dbmanager.direct_connects() == []


def test_modes_may_change_and_nothing_stays_after_uninstall(
    service: types.ModuleType, path: Path
) -> None:
    before = list(warnings.filters)
    for mode in ("warn", "route", "error", "route", "warn"):
        dbmanager.install(mode)  # type: ignore[arg-type]
        assert (sqlite3.connect is ORIGINALS[0]) == (mode != "route")
    dbmanager.uninstall()
    dbmanager.uninstall()
    assert warnings.filters == before
    assert service.connect is service.open_database is sqlite3.dbapi2.connect is ORIGINALS[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for way in service.WAYS.values():
            use(way, path)
    assert dbmanager.direct_connects() == []


def test_a_module_imported_while_routing_has_the_stdlibs_function_afterwards(path: Path) -> None:
    dbmanager.install("route")
    late = module("late", "from sqlite3 import connect")
    try:
        assert use(late.connect, path) is dbmanager.sqlite3.Connection
        dbmanager.uninstall()
        assert late.connect is ORIGINALS[0]
    finally:
        del sys.modules["late"]


def test_one_who_patches_connect_later_keeps_the_patch() -> None:
    dbmanager.install("route")
    mine = sqlite3.connect = lambda *arguments: arguments  # type: ignore[assignment]
    try:
        dbmanager.uninstall()
        assert sqlite3.connect is mine
    finally:
        sqlite3.connect = ORIGINALS[0]


def test_a_stand_in_that_somebody_has_kept_is_the_stdlibs_function_afterwards(path: Path) -> None:
    dbmanager.install("route")
    kept = [sqlite3.connect]
    dbmanager.uninstall()
    assert use(kept[0], path) is sqlite3.Connection
    dbmanager.install("warn")
    with pytest.warns(DirectConnectWarning):
        use(kept[0], path)


def test_each_place_is_logged_once(
    service: types.ModuleType, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dbmanager.install("warn")
    with (
        warnings.catch_warnings(),
        caplog.at_level(logging.INFO, logger="dbmanager.direct"),
    ):
        warnings.simplefilter("ignore")
        for _ in range(3):
            use(service.WAYS["attribute"], path)
            use(service.WAYS["alias"], path)
    assert [record.message.partition(": ")[0] for record in caplog.records] == [
        f"/somewhere/service.py:{line}"
        for line in sorted(call.line for call in dbmanager.direct_connects())
    ]


def test_a_log_handler_that_connects_itself_is_not_caught_in_a_circle(path: Path) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sqlite3.connect(path.with_name("log.db")).close()

    handler = Handler()
    log = logging.getLogger("dbmanager.direct")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        dbmanager.install("warn")
        with pytest.warns(DirectConnectWarning):
            sqlite3.connect(path).close()
        assert path.with_name("log.db").exists()
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mode": "no"}, ValueError, "mode must be 'warn', 'route' or 'error', not 'no'"),
        ({"ignore": "pandas"}, TypeError, "ignore must be a list of names of modules"),
        ({"ignore": [1]}, TypeError, "ignore must be a list of names of modules"),
    ],
)
def test_wrong_arguments_are_refused_and_change_nothing(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    dbmanager.install("error")
    with pytest.raises(error, match=message):
        dbmanager.install(**arguments)
    with pytest.raises(DirectConnectError):
        sqlite3.connect(":memory:")


def test_a_place_that_opens_many_databases_does_not_grow_for_ever(tmp_path: Path) -> None:
    dbmanager.install("route")
    for number in range(150):
        sqlite3.connect(f"file:{number}?mode=memory", uri=True).close()
    seen = dbmanager.direct_connects()
    assert len(seen) == 101
    assert [call.count for call in seen if call.database == calls.OTHERS] == [50]


def test_packages_are_ignored_by_their_names(path: Path) -> None:
    part = module("package.part", "import sqlite3\nconnect = lambda path: sqlite3.connect(path)")
    try:
        dbmanager.install("error", ignore=["package"])
        use(part.connect, path)
    finally:
        del sys.modules["package.part"]


# ---- the inventory as a file ---------------------------------------------------------------


def test_inventories_of_processes_and_runs_are_merged(path: Path, tmp_path: Path) -> None:
    report = tmp_path / "new" / "calls.json"
    code = """
import os, sqlite3, sys, warnings
import dbmanager
warnings.simplefilter("ignore")
dbmanager.install("warn", report=sys.argv[2])
def work():
    for _ in range(5):
        sqlite3.connect(sys.argv[1]).close()
work()
child = os.fork()
work()
if child:
    os.waitpid(child, 0)
"""
    program = tmp_path / "program.py"
    program.write_text(code)
    command = [sys.executable, "-W", "ignore", program, path, report]
    for _ in range(2):
        processes = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(timeout=60) for process in processes] == [0] * 4
    (call,) = calls.read(report)
    # Two runs, four processes, each with a child; what came before the fork is the parent's.
    assert call.count == 2 * 4 * 15
    assert (call.file, call.function, call.database) == (str(program), "work", str(path))
    assert [line.rpartition(" ")[2] for line in call.stack] == ["<module>", "work"]
    assert json.loads(report.read_text())["version"] == 1


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"version": 2, "calls": []}'])
def test_a_file_that_is_no_inventory_is_kept_and_disturbs_no_call(
    path: Path, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    report = tmp_path / "calls.json"
    report.write_text(text)
    with pytest.raises(ValueError, match=r"calls\.json is"):
        calls.read(report)
    dbmanager.install("route", report=report)
    with caplog.at_level("WARNING", logger="dbmanager.direct"):
        for _ in range(2):
            sqlite3.connect(path).close()
    assert caplog.text.count("the report of direct calls is not written any more") == 1
    dbmanager.uninstall()
    assert report.read_text() == text


def test_a_report_that_can_not_be_written_disturbs_no_call(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level("WARNING", logger="dbmanager.direct"):
        dbmanager.install("route", report=tmp_path / "file" / "calls.json")
        sqlite3.connect(path).close()
        dbmanager.uninstall()
    assert caplog.text.count("the report of direct calls is not written any more") == 1


def test_names_that_are_no_texts_are_kept(tmp_path: Path) -> None:
    report = tmp_path / "calls.json"
    database = os.fsencode(tmp_path) + b"/x\xff.db"
    dbmanager.install("warn", report=report)
    with pytest.warns(DirectConnectWarning):
        sqlite3.connect(database).close()
    dbmanager.uninstall()
    assert [os.fsencode(call.database) for call in calls.read(report)] == [database]


@pytest.mark.parametrize(
    ("mode", "outcome"), [("warn", "warned"), ("route", "not routed"), ("error", "refused")]
)
def test_a_call_without_any_python_code_is_seen(path: Path, mode: Any, outcome: str) -> None:
    dbmanager.install(mode)
    unraisable = []
    hook, sys.unraisablehook = sys.unraisablehook, unraisable.append
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before = _thread._count()
            # The thread calls the function of C at once, and drops what it gives.
            _thread.start_new_thread(ORIGINALS[0], (str(path),))
            while not dbmanager.direct_connects() or _thread._count() > before:
                pass
            # The stdlib's connection is a circle of its own, and warned of when that is found.
            gc.collect()
    finally:
        sys.unraisablehook = hook
    (call,) = dbmanager.direct_connects()
    assert (call.file, call.line, call.outcome) == ("<no Python code>", 0, outcome)
    assert [one.exc_type for one in unraisable] == [DirectConnectError] * (mode == "error")


# ---- from outside --------------------------------------------------------------------------

PROGRAM = """
import sqlite3, subprocess, sys
from sqlite3 import connect

def main():
    for _ in range(2):
        connect(sys.argv[1]).close()
    print(type(sqlite3.connect(sys.argv[1])).__module__, sys.argv[1:], __name__)
    if len(sys.argv) == 2:
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).close()"
        subprocess.run([sys.executable, "-c", code, sys.argv[1]], check=True)

if __name__ == "__main__":
    main()
"""


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def program(tmp_path: Path) -> Path:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    return program


def test_run_shows_the_calls_of_a_program_under_pythons_own_filters(
    program: Path, path: Path
) -> None:
    ended = run("-m", "dbmanager", "run", program, path, "-x", "--mode")
    assert ended.returncode == 0
    assert ended.stdout == f"sqlite3 ['{path}', '-x', '--mode'] __main__\n"
    lines = [line for line in ended.stderr.splitlines() if "DirectConnectWarning" in line]
    assert [line.partition(": ")[0] for line in lines] == [f"{program}:7", f"{program}:8"]


def test_run_shows_the_calls_of_python_processes_that_the_program_starts(
    program: Path, path: Path
) -> None:
    ended = run("-m", "dbmanager", "run", program, path)
    lines = [line for line in ended.stderr.splitlines() if "DirectConnectWarning" in line]
    places = [f"{program}:7", f"{program}:8", "<string>:1"]
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(places)


def test_run_routes_the_calls_of_a_module(program: Path, path: Path, tmp_path: Path) -> None:
    report = tmp_path / "calls.json"
    options = ["--mode", "route", "--report", report]
    ended = subprocess.run(
        [sys.executable, "-m", "dbmanager", "run", *options, "-m", "program", path, "x"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"sqlite3 ['{path}', 'x'] __main__\n"
    assert [(call.line, call.count, call.outcome) for call in calls.read(report)] == [
        (7, 2, "routed"),
        (8, 1, "routed"),
    ]


def test_run_refuses_calls_and_tells_of_a_program_that_is_not_there(
    program: Path, path: Path, tmp_path: Path
) -> None:
    ended = run("-m", "dbmanager", "run", "--mode", "error", program, path)
    assert ended.returncode == 1
    assert "DirectConnectError: direct sqlite3.connect(" in ended.stderr
    ended = run("-m", "dbmanager", "run", tmp_path / "none.py")
    assert (ended.returncode, ended.stderr) == (
        2,
        f"dbmanager run: there is no file '{tmp_path}/none.py'\n",
    )
    for module, missing in (("not_there", "not_there"), ("not_there.main", "not_there")):
        ended = run("-m", "dbmanager", "run", "-m", module)
        assert (ended.returncode, ended.stderr) == (
            2,
            f"dbmanager run: there is no module '{missing}'\n",
        )
    ended = run("-m", "dbmanager", "run", "--mode", "no", program)
    assert ended.returncode == 2
    assert "invalid choice: 'no'" in ended.stderr


@pytest.mark.parametrize("imports", ["sqlite3, sys", "dbmanager, sqlite3, sys"])
def test_the_environment_installs_it_without_a_change_to_the_code(
    path: Path, tmp_path: Path, imports: str
) -> None:
    report = tmp_path / "calls.json"
    code = f"import {imports}; sqlite3.connect(sys.argv[1]).close()"
    settings = {"DBMANAGER_MODE": "route", "DBMANAGER_REPORT": str(report)}
    assert run("-c", code, path, **settings).returncode == 0
    settings["DBMANAGER_IGNORE"] = "other,__main__"
    assert run("-c", code, path, **settings).returncode == 0
    assert [call.outcome for call in calls.read(report)] == ["ignored", "routed"]
    ended = run("-c", code, path, DBMANAGER_MODE="no")
    # Python goes on where a line of its start fails.
    assert ended.returncode == ("dbmanager" in imports)
    assert "the environment variable DBMANAGER_MODE: mode must be 'warn'," in ended.stderr
