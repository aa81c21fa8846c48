"""The shim: direct `sqlite3.connect` calls are seen, and warned of, routed or refused."""

import _thread
import gc
import inspect
import logging
import os
import pickle
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
from tests.shim.conftest import ORIGINALS


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
        assert "was not routed" in caplog.text
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


def test_the_stand_in_is_bound_as_little_as_the_stdlibs_function(path: Path) -> None:
    dbmanager.install("route")
    store = type("Store", (), {"connect": sqlite3.connect})()
    assert use(store.connect, path) is dbmanager.sqlite3.Connection
    assert pickle.loads(pickle.dumps(sqlite3.connect)) is sqlite3.connect
    assert inspect.unwrap(sqlite3.connect) is ORIGINALS[0]
    assert sqlite3.connect.__name__ == "connect"
    dbmanager.uninstall()
    assert use(store.connect, path) is sqlite3.Connection


def test_a_patch_that_is_there_at_first_does_not_pass_for_the_stdlibs_function(path: Path) -> None:
    code = """
import sqlite3, sys
from unittest import mock
import dbmanager
with mock.patch("sqlite3.connect"):
    dbmanager.install("warn")
    dbmanager.uninstall()
dbmanager.install("route")
sqlite3.connect(sys.argv[1]).close()
print(dbmanager.direct_connects()[0].outcome)
"""
    command = [sys.executable, "-c", code, path]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"routed\n"


def test_no_call_goes_through_while_modes_change(path: Path) -> None:
    went_through: list[str] = []
    ended = threading.Event()
    begun = threading.Barrier(3)

    def connect() -> None:
        begun.wait()
        while not ended.is_set():
            try:
                ORIGINALS[0](path).close()
            except DirectConnectError:
                continue
            went_through.append("one")

    dbmanager.install("error")
    threads = [threading.Thread(target=connect) for _ in range(2)]
    for thread in threads:
        thread.start()
    begun.wait()
    for _ in range(300):
        dbmanager.install("error")
    ended.set()
    for thread in threads:
        thread.join()
    assert went_through == []


def test_modules_that_are_imported_lazily_stay_so(path: Path) -> None:
    class Lazy(types.ModuleType):
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(name)

    sys.modules["lazy"] = Lazy("lazy")
    try:
        dbmanager.install("route")
        assert use(sqlite3.connect, path) is dbmanager.sqlite3.Connection
        dbmanager.uninstall()
    finally:
        del sys.modules["lazy"]


def test_a_cursor_of_the_stdlibs_class_is_refused_with_what_to_do(path: Path) -> None:
    class Cursor(sqlite3.Cursor):
        pass

    dbmanager.install("route")
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(TypeError, match=r"^Cursor is a class of the stdlib's.*install\(ignore="),
    ):
        assert type(connection.cursor(sqlite3.Cursor)) is dbmanager.sqlite3.Cursor
        connection.cursor(Cursor)


def test_no_path_of_a_database_is_logged_at_the_default_level(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING, logger="dbmanager"):
        dbmanager.install("route", report=tmp_path / "file" / "calls.json")
        sqlite3.Connection(path).close()
    assert len(caplog.records) == 2
    assert str(tmp_path) not in caplog.text


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python 3.13 brought the warning")
def test_a_warning_about_positions_is_the_callers(path: Path) -> None:
    dbmanager.install("route")
    with pytest.warns(DeprecationWarning, match="positional") as caught:
        sqlite3.connect(path, 5.0).close()
    # The stdlib warns for the function and for the class.
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("name", ["services.billing", "services.*", "services"])
def test_a_module_that_is_run_is_known_by_its_own_name(
    path: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "services").mkdir()
    code = "import sys, sqlite3; from dbmanager import connect\n"
    code += "print(type(sqlite3.connect(sys.argv[1])), type(connect(sys.argv[1])))"
    (tmp_path / "services" / "billing.py").write_text(code)
    settings = {"DBMANAGER_MODE": "error", "DBMANAGER_IGNORE": f"other, {name}"}
    ended = subprocess.run(
        [sys.executable, "-m", "services.billing", path],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, **settings, "DBMANAGER_BYPASS": name},
        check=True,
    )
    assert ended.stdout == b"<class 'sqlite3.Connection'> <class 'sqlite3.Connection'>\n"


def test_a_child_that_is_forked_while_modes_change_can_change_them(path: Path) -> None:
    dbmanager.install("warn")
    with switch._state.lock:
        # Its thread holds the lock; the child's first thread is another one.
        forked: list[int] = []

        def fork() -> None:
            child = os.fork()
            if child == 0:
                dbmanager.uninstall()
                os._exit(0)
            forked.append(child)

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(forked[0], 0)[1]) == 0


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
