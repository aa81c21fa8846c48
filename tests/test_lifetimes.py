"""Lifetimes: cycles are collected, the interpreter ends in peace, nothing leaks."""

import gc
import os
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dbmanager.sqlite3 as sqlite

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")


class Connection(sqlite.Connection):
    """A subclass, which can be referenced weakly."""

    anything: object = None


class Cursor(sqlite.Cursor):
    """A subclass with attributes."""

    anything: object = None


def aggregate_of(connection: Any) -> type:
    """Make an aggregate class that holds the connection."""

    class Holding:
        held = connection

        def step(self, value: object) -> None:
            pass

        def inverse(self, value: object) -> None:
            pass

        def value(self) -> int:
            return 1

        def finalize(self) -> int:
            return 1

    return Holding


def attribute(connection: Any) -> None:
    connection.anything = connection


def row_factory(connection: Any) -> None:
    connection.row_factory = lambda cursor, row: (connection, row)


def text_factory(connection: Any) -> None:
    connection.text_factory = lambda raw: (connection, raw)


def function(connection: Any) -> None:
    connection.create_function("f", 0, lambda: connection.total_changes)
    connection.execute("SELECT f()").fetchall()


def aggregate(connection: Any) -> None:
    connection.create_aggregate("a", 1, aggregate_of(connection))
    connection.execute("SELECT a(1)").fetchall()


def window_function(connection: Any) -> None:
    connection.create_window_function("w", 1, aggregate_of(connection))
    connection.execute("SELECT w(1) OVER ()").fetchall()


def collation(connection: Any) -> None:
    connection.create_collation("c", lambda a, b: connection.total_changes)
    connection.execute("SELECT 'a' < 'b' COLLATE c").fetchall()


def authorizer(connection: Any) -> None:
    connection.set_authorizer(lambda *arguments: connection.total_changes)


def progress_handler(connection: Any) -> None:
    connection.set_progress_handler(lambda: connection.total_changes, 1)


def trace_callback(connection: Any) -> None:
    connection.set_trace_callback(lambda sql: connection.total_changes)


def open_cursor(connection: Any) -> None:
    connection.anything = connection.execute("SELECT 1 UNION SELECT 2")


def cursor_attribute(connection: Any) -> None:
    cursor = connection.cursor(Cursor)
    cursor.anything = connection
    connection.anything = cursor


def cursor_row_factory(connection: Any) -> None:
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    cursor.row_factory = lambda given, row: cursor
    connection.anything = cursor


def open_blob(connection: Any) -> None:
    connection.execute("CREATE TABLE t (b BLOB)")
    connection.execute("INSERT INTO t VALUES (zeroblob(5))")
    connection.anything = connection.blobopen("t", "b", 1)


def iterdump(connection: Any) -> None:
    dump = connection.iterdump()
    next(dump)
    connection.anything = dump


def bound_method(connection: Any) -> None:
    connection.create_function("f", 0, connection.commit)


def error_with_traceback(connection: Any) -> None:
    try:
        connection.execute("SELECT oops")
    except sqlite.Error as error:
        connection.anything = error


CYCLES: list[Callable[[Any], None]] = [
    attribute,
    row_factory,
    text_factory,
    function,
    aggregate,
    window_function,
    collation,
    authorizer,
    progress_handler,
    trace_callback,
    open_cursor,
    cursor_attribute,
    cursor_row_factory,
    open_blob,
    iterdump,
    bound_method,
    error_with_traceback,
]


@pytest.mark.parametrize("tie", CYCLES, ids=lambda tie: tie.__name__)
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_cycle_through_connection_is_collected(tie: Callable[[Any], None], closed: bool) -> None:
    connection = sqlite.connect(":memory:", factory=Connection)
    tie(connection)
    if closed:
        connection.close()
    gone = weakref.ref(connection)
    del connection
    gc.collect()
    assert gone() is None


def test_connection_without_a_cycle_goes_at_once_and_closes_its_file(tmp_path: Path) -> None:
    connection = sqlite.connect(tmp_path / "x.db", factory=Connection)
    connection.execute("CREATE TABLE t (a)")
    gone = weakref.ref(connection)
    gc.disable()
    try:
        del connection
        assert gone() is None
    finally:
        gc.enable()


def test_callbacks_are_released_when_they_are_replaced_or_the_connection_closes() -> None:
    class Callback:
        def __call__(self, *arguments: object) -> int:
            return 0

    setters: list[Callable[[Any, Any], object]] = [
        lambda c, callback: c.create_function("f", 0, callback),
        lambda c, callback: c.create_aggregate("a", 0, callback),
        lambda c, callback: c.create_window_function("w", 0, callback),
        lambda c, callback: c.create_collation("c", callback),
        lambda c, callback: c.set_authorizer(callback),
        lambda c, callback: c.set_progress_handler(callback, 1000),
        lambda c, callback: c.set_trace_callback(callback),
    ]
    for setter in setters:
        connection = sqlite.connect(":memory:")
        first, second = Callback(), Callback()
        references = [weakref.ref(first), weakref.ref(second)]
        setter(connection, first)
        setter(connection, second)
        del first
        gc.collect()
        assert references[0]() is None
        del second
        assert references[1]() is not None
        connection.close()
        gc.collect()
        assert references[1]() is None


def test_parameters_and_rows_are_released() -> None:
    class Value(str):
        pass

    connection = sqlite.connect(":memory:")
    value = Value("text")
    gone = weakref.ref(value)
    cursor = connection.execute("SELECT ?", (value,))
    cursor.fetchall()
    cursor.execute("SELECT 1")
    del value
    gc.collect()
    assert gone() is None
    connection.close()


def test_collection_inside_a_callback_is_harmless() -> None:
    connection = sqlite.connect(":memory:")

    def collect() -> int:
        other = sqlite.connect(":memory:", factory=Connection)
        attribute(other)
        del other
        return gc.collect() and 1

    connection.create_function("collect", 0, collect)
    assert connection.execute("SELECT collect(), collect()").fetchone() == (1, 1)
    connection.close()


EXITS = {
    "connection": "c = s.connect(':memory:')",
    "file": "c = s.connect(path); c.execute('CREATE TABLE t (a)')",
    "transaction": (
        "c = s.connect(path); c.execute('CREATE TABLE t (a)'); "
        "c.execute('INSERT INTO t VALUES (1)')"
    ),
    "cursor": "c = s.connect(path); k = c.execute('SELECT 1 UNION SELECT 2'); k.fetchone()",
    "only the cursor": "k = s.connect(':memory:').execute('SELECT 1 UNION SELECT 2')",
    "iterator": "i = iter(s.connect(':memory:').execute('SELECT 1 UNION SELECT 2')); next(i)",
    "blob": (
        "c = s.connect(path); c.execute('CREATE TABLE t (b)'); "
        "c.execute('INSERT INTO t VALUES (zeroblob(9))'); b = c.blobopen('t', 'b', 1)"
    ),
    "row": (
        "c = s.connect(':memory:'); c.row_factory = s.Row; r = c.execute('SELECT 1 a').fetchone()"
    ),
    "dump": "d = s.connect(':memory:').iterdump(); next(d)",
    "callbacks": (
        "c = s.connect(':memory:'); c.create_function('f', 0, lambda: c); "
        "c.create_collation('x', lambda a, b: c); c.set_trace_callback(lambda q: c); "
        "c.set_progress_handler(lambda: c and 0, 1); c.set_authorizer(lambda *a: c and 0)"
    ),
    "cycle": "c = s.connect(':memory:', factory=type('C', (s.Connection,), {})); c.me = c",
    "class attribute": "class A: c = s.connect(':memory:'); k = c.execute('SELECT 1')",
    "exit in a callback": (
        "c = s.connect(':memory:'); c.create_function('f', 0, lambda: sys.exit(0))\n"
        "try: c.execute('SELECT f()')\nexcept BaseException: pass"
    ),
    "used at exit": (
        "import atexit; c = s.connect(':memory:'); "
        "atexit.register(lambda: c.execute('SELECT 1').fetchall())"
    ),
    "used by a finaliser": (
        "class A:\n"
        "    def __init__(self): self.c = s.connect(':memory:')\n"
        "    def __del__(self): self.c.execute('SELECT 1').fetchall(); self.c.close()\n"
        "a = A(); a.me = a"
    ),
    "many": "c = [s.connect(path) for _ in range(50)]; k = [x.execute('SELECT 1') for x in c]",
    "daemon thread in a query": (
        "import threading; started = threading.Event()\n"
        "def work():\n"
        "    c = s.connect(':memory:'); c.create_function('started', 0, started.set)\n"
        "    c.execute('WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c) '\n"
        "              'SELECT started(), (SELECT count(*) FROM c)').fetchall()\n"
        "threading.Thread(target=work, daemon=True).start(); started.wait()"
    ),
    "daemon thread that fetches": (
        "import threading; started = threading.Event()\n"
        "def work():\n"
        "    c = s.connect(':memory:')\n"
        "    for row in c.execute('WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL '\n"
        "                         'SELECT n + 1 FROM c) SELECT n FROM c'): started.set()\n"
        "threading.Thread(target=work, daemon=True).start(); started.wait()"
    ),
    "daemon thread that waits for a lock": (
        "import threading; started = threading.Event()\n"
        "c = s.connect(path); c.execute('BEGIN IMMEDIATE')\n"
        "def work():\n"
        "    k = s.connect(path, timeout=60); k.set_trace_callback(lambda sql: started.set())\n"
        "    k.execute('BEGIN IMMEDIATE')\n"
        "threading.Thread(target=work, daemon=True).start(); started.wait()"
    ),
    "daemon thread that waits for a place": (
        "import dbmanager, threading; started = threading.Event()\n"
        "m = dbmanager.DatabaseManager('sqlite:///' + path, pool_size=1, max_overflow=0)\n"
        "def work():\n"
        "    started.set()\n"
        "    with m.session(): pass\n"
        "x = m.session().__enter__()\n"
        "threading.Thread(target=work, daemon=True).start(); started.wait()\n"
        "while not m.get_stats()['requests_waiting']: pass"
    ),
    "daemon thread that waits for its turn": (
        "import dbmanager, threading; started = threading.Event()\n"
        "m = dbmanager.DatabaseManager('sqlite:///' + path)\n"
        "def work():\n"
        "    started.set()\n"
        "    with m.session('write'): pass\n"
        "x = m.session('write').__enter__()\n"
        "threading.Thread(target=work, daemon=True).start(); started.wait()\n"
        "while not m.get_stats()['writers_waiting']: pass"
    ),
    "daemon thread that logs": (
        "import logging, os, threading; started = threading.Event()\n"
        "logging.basicConfig(level=logging.DEBUG, filename=os.devnull)\n"
        "def work():\n"
        "    while True:\n"
        "        c = s.connect(path); c.execute('CREATE TEMP TABLE m (a)'); c.close()\n"
        "        started.set()\n"
        "threading.Thread(target=work, daemon=True).start(); started.wait()"
    ),
    "thread's connection": (
        "import threading; c = []\n"
        "t = threading.Thread(target=lambda: c.append(s.connect(path))); t.start(); t.join()"
    ),
    "manager": "import dbmanager; m = dbmanager.DatabaseManager('sqlite:///' + path)",
    "session": (
        "import dbmanager; m = dbmanager.DatabaseManager('sqlite:///' + path)\n"
        "with m.session() as x: x.execute('CREATE TABLE t (a)')\n"
        "y = m.session(); z = y.__enter__(); z.execute('INSERT INTO t VALUES (1)')"
    ),
    "os._exit": "c = s.connect(path); import os; os._exit(0)",
    "exception": (
        "c = s.connect(':memory:')\ntry: c.execute('oops')\nexcept s.Error as e: kept = e"
    ),
}


@pytest.mark.parametrize("what", EXITS)
@pytest.mark.parametrize("mode", ["plain", "dev"])
def test_interpreter_exit_with_open_objects_is_silent(what: str, mode: str, tmp_path: Path) -> None:
    code = "import sys\nimport dbmanager.sqlite3 as s\npath = sys.argv[1]\n" + EXITS[what]
    # 3.13 warns of unclosed connections, rightly; everything else is a fault.
    options = ["-X", "dev", "-W", "ignore::ResourceWarning"] if mode == "dev" else []
    run = subprocess.run(
        [sys.executable, *options, "-c", code, str(tmp_path / "x.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_uncommitted_rows_are_not_in_the_file_after_exit(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    code = (
        "import sys, dbmanager.sqlite3 as s; c = s.connect(sys.argv[1]); "
        "c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (1)'); c.commit(); "
        "c.execute('INSERT INTO t VALUES (2)')"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)
    connection = sqlite.connect(path)
    assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    connection.close()


PROLOGUE = """
import gc, os, sys
import dbmanager.sqlite3 as s

path = sys.argv[1]

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def resident_kb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

def measure(step, warm_up, count):
    for _ in range(warm_up):
        step()
    gc.collect()
    before = descriptors(), resident_kb()
    for _ in range(count):
        step()
    gc.collect()
    print(descriptors() - before[0], resident_kb() - before[1])
"""

LEAKS = {
    "file connections": """
        c = s.connect(path); c.execute("CREATE TABLE t (a)"); c.commit(); c.close()
        def step():
            c = s.connect(path)
            c.execute("SELECT * FROM t WHERE a = ?", (1,)).fetchall()
            c.close()
        measure(step, 1000, 10_000)
    """,
    "sessions": """
        from dbmanager import DatabaseManager
        db = DatabaseManager("sqlite:///" + path)
        with db.session() as c:
            c.execute("CREATE TABLE t (a)")
        def step():
            with db.session("write") as c:
                with c.begin_nested() as savepoint:
                    c.execute("INSERT INTO t VALUES (?)", ("x" * 100,))
                    savepoint.rollback()
            with db.session("read") as c, db.session(join=True) as joined:
                joined.execute("SELECT * FROM t WHERE a = ?", (1,)).all()
        measure(step, 1000, 10_000)
    """,
    "memory connections": """
        def step():
            c = s.connect(":memory:")
            c.execute("SELECT ?", ("x" * 100,)).fetchall()
            c.close()
        measure(step, 1000, 10_000)
    """,
    "connections with everything on them": """
        c = s.connect(path); c.execute("CREATE TABLE t (a)")
        c.execute("INSERT INTO t VALUES (zeroblob(10))"); c.commit(); c.close()
        class Total:
            def __init__(self): self.n = 0
            def step(self, x): self.n += 1
            def finalize(self): return self.n
        def step():
            c = s.connect(path, detect_types=3)
            c.create_function("f", 1, lambda x: x)
            c.create_aggregate("g", 1, Total)
            c.create_collation("h", lambda a, b: 0)
            c.set_trace_callback(lambda q: None)
            c.set_progress_handler(lambda: 0, 100)
            c.set_authorizer(lambda *a: 0)
            c.row_factory = lambda k, r: (c, r)
            k = c.execute("SELECT f(a), g(a) FROM t")
            k.fetchone()
            b = c.blobopen("t", "a", 1)
            b.read()
            try: c.execute("SELECT oops")
            except s.Error: pass
            try: c.execute("SELECT ?", (object(),))
            except s.Error: pass
            c.close()
        measure(step, 300, 2_000)
    """,
    "connections dropped unclosed": """
        import warnings; warnings.simplefilter("ignore")
        c = s.connect(path); c.execute("CREATE TABLE t (a)"); c.commit(); c.close()
        def step():
            c = s.connect(path)
            c.execute("SELECT * FROM t").fetchall()
        measure(step, 500, 3_000)
    """,
    "failing opens": """
        def step():
            try: s.connect(path + "/missing/x.db")
            except s.OperationalError: pass
            else: raise SystemExit("opened")
        measure(step, 1000, 10_000)
    """,
    "statements": """
        c = s.connect(":memory:")
        c.execute("CREATE TABLE t (a, b)")
        n = 0
        def step():
            global n
            n += 1
            k = c.execute(f"SELECT {n}, ?", (f"text {n}",)); k.fetchall()
            c.execute("INSERT INTO t VALUES (?, ?)", (n, b"blob")); c.execute("DELETE FROM t")
            try: c.execute(f"SELECT oops{n}")
            except s.Error: pass
        measure(step, 2000, 10_000)
    """,
    "names of columns and parameters": """
        c = s.connect(":memory:")
        n = 0
        def step():
            global n
            n += 1
            c.execute(f"SELECT '{n:0500}', :parameter_{n}", {f"parameter_{n}": 1}).fetchall()
        measure(step, 2000, 10_000)
    """,
    "result sets": """
        c = s.connect(":memory:")
        sql = ("WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 100) "
               "SELECT n, n * 1.5, 'text ' || n, x'0011', NULL, 'é' || n FROM c")
        def step():
            c.row_factory = None; c.execute(sql).fetchall()
            c.row_factory = s.Row; [tuple(r) for r in c.execute(sql)]
            c.row_factory = lambda k, r: dict(zip("abcdef", r)); c.execute(sql).fetchmany(30)
        measure(step, 200, 1_000)
    """,
    "callbacks that fail": """
        def fail(*a): raise ValueError("x")
        c = s.connect(":memory:")
        c.create_function("f", 0, fail)
        def step():
            try: c.execute("SELECT f()").fetchall()
            except s.OperationalError: pass
            else: raise SystemExit("no error")
        measure(step, 1000, 10_000)
    """,
}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts through /proc")
def test_source_that_its_backup_closes_lets_go_of_its_file(tmp_path: Path) -> None:
    def is_open(path: Path) -> bool:
        names = os.listdir("/proc/self/fd")
        return str(path) in {os.path.realpath(f"/proc/self/fd/{name}") for name in names}

    path = tmp_path / "source.db"
    source, target = sqlite.connect(path), sqlite.connect(":memory:")
    source.execute("CREATE TABLE t AS SELECT zeroblob(100000) AS a")
    source.execute("PRAGMA cache_size = 0")
    # Not to be lent again, so that it is closed.
    source.setlimit(sqlite.SQLITE_LIMIT_LENGTH, 1_000_000)
    source.commit()
    assert is_open(path)
    source.backup(target, pages=1, progress=lambda *_: source.close())
    assert not is_open(path)
    with pytest.raises(sqlite.ProgrammingError, match="closed"):
        source.execute("SELECT 1")
    target.close()


FEW_FILES = """
import os, resource, sys
from dbmanager import sqlite3
limit, reserve = 256, 150
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
for number in range(150):
    c = sqlite3.connect(f"{sys.argv[1]}/{number}.db")
    c.execute("PRAGMA journal_mode = WAL"); c.execute("CREATE TABLE t (a)"); c.close()
files = [os.open("/dev/null", os.O_RDONLY) for _ in range(reserve)]
for number in range(150):
    c = sqlite3.connect(f"{sys.argv[1]}/{number}.db")
    assert c.execute("SELECT count(*) FROM t").fetchone() == (0,)
    c.close()
# The application takes what is left, and the pools give theirs up.
try:
    while True:
        files.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
c = sqlite3.connect(f"{sys.argv[1]}/new.db")
print(c.execute("SELECT 1").fetchone())
"""


def test_idle_connections_leave_files_to_the_application(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FEW_FILES, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("(1,)\n", "")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts through /proc")
@pytest.mark.parametrize("what", LEAKS)
def test_repetition_leaks_no_descriptor_and_no_memory(what: str, tmp_path: Path) -> None:
    code = PROLOGUE + textwrap.dedent(LEAKS[what])
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    descriptors, growth_kb = map(int, run.stdout.split())
    assert descriptors == 0
    # An object leaked a time would be 500 KB and more; an allocator's arenas are less.
    assert growth_kb <= 1024


def test_exception_of_a_signal_survives_the_end_of_a_connection_that_was_never_closed() -> None:
    code = """
import ctypes, functools, signal
from dbmanager import sqlite3
c = ctypes.CDLL(None)
def connect():
    connection = sqlite3.connect(":memory:")
    # A function in C, so that the signal's handler must wait for Python code to run.
    connection.set_progress_handler(functools.partial(c["raise"], signal.SIGINT), 1)
    return connection
try:
    for _ in range(3):
        try:
            connect().execute("SELECT abs(-9223372036854775808)")
        except sqlite3.OperationalError:
            print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("interrupted\n")
    assert ended.stdout.count("went on") <= 1
