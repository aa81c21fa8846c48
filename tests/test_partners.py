"""Beside others: pandas, the stdlib's connections, a Python without `_sqlite3`, shared caches."""

import sqlite3 as stdlib
import subprocess
import sys
from contextlib import closing

import pandas as pd
import pytest
import sqlalchemy

from dbmanager import DatabaseManager, sqlite3

# ---- SQLAlchemy: what belongs to its own sessions says where to go -------------------------------


@pytest.mark.parametrize(
    "run",
    [
        lambda session, statement: session.execute(statement),
        lambda session, statement: session.scalar(statement),
        lambda session, statement: session.executemany(statement, []),
        lambda session, statement: session.cursor().execute(statement),
    ],
)
@pytest.mark.parametrize(
    "statement", [sqlalchemy.text("SELECT 1"), sqlalchemy.select(sqlalchemy.literal(1))]
)
def test_statement_of_sqlalchemy_says_where_it_belongs(tmp_path, run, statement):
    with (
        DatabaseManager(f"sqlite:///{tmp_path}/a.db").session() as session,
        pytest.raises(TypeError, match=r"must be str, not .*orm_session\(\), or give their text"),
    ):
        run(session, statement)
    with DatabaseManager(f"sqlite:///{tmp_path}/a.db").session() as session:
        assert session.scalar(str(sqlalchemy.text("SELECT 1"))) == 1
    DatabaseManager.reset()


@pytest.mark.parametrize(
    "name", ["add", "add_all", "delete", "flush", "get", "merge", "query", "refresh", "scalars"]
)
def test_orm_method_says_where_it_belongs(tmp_path, name):
    with DatabaseManager(f"sqlite:///{tmp_path}/a.db").session() as session:
        with pytest.raises(AttributeError, match=rf"'{name}' is a method .*orm_session\(\)"):
            getattr(session, name)
        assert not hasattr(session, "anything_else")
    DatabaseManager.reset()


# ---- pandas: warnings are errors, so an unwelcome connection fails here --------------------------

FRAME = pd.DataFrame({"id": [1, 2, 3], "name": ["Ada", None, "Grace"], "score": [1.5, 2.0, -1.0]})


@pytest.fixture(params=["connect", "session"])
def open_connection(request, tmp_path):
    if request.param == "connect":
        with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
            yield connection
    else:
        with DatabaseManager(f"sqlite:///{tmp_path}/a.db").session() as session:
            yield session
        DatabaseManager.reset()


def test_pandas_writes_and_reads(open_connection):
    assert FRAME.to_sql("person", open_connection, index=False) == 3
    found = pd.read_sql_query("SELECT * FROM person ORDER BY id", open_connection)
    pd.testing.assert_frame_equal(found, FRAME, check_dtype=False)


def test_pandas_passes_parameters_and_reads_in_chunks(open_connection):
    FRAME.to_sql("person", open_connection, index=False)
    chunks = pd.read_sql_query(
        "SELECT id FROM person WHERE id > ?", open_connection, params=(1,), chunksize=1
    )
    assert [list(chunk["id"]) for chunk in chunks] == [[2], [3]]


def test_pandas_appends_and_replaces(open_connection):
    FRAME.to_sql("person", open_connection, index=False)
    FRAME.to_sql("person", open_connection, index=False, if_exists="append")
    count = "SELECT count(*) AS n FROM person"
    assert pd.read_sql_query(count, open_connection)["n"][0] == 6
    FRAME.to_sql("person", open_connection, index=False, if_exists="replace", method="multi")
    assert pd.read_sql_query(count, open_connection)["n"][0] == 3


def test_pandas_stores_dates_as_it_does_with_the_stdlib(open_connection, tmp_path):
    frame = pd.DataFrame({"at": pd.to_datetime(["2024-02-29 12:30:00", "1999-12-31 23:59:59"])})
    frame.to_sql("moment", open_connection, index=False)
    with closing(stdlib.connect(tmp_path / "theirs.db")) as theirs:
        frame.to_sql("moment", theirs, index=False)
        expected = theirs.execute("SELECT at, typeof(at) FROM moment").fetchall()
    found = open_connection.execute("SELECT at, typeof(at) FROM moment").fetchall()
    assert found == expected


# ---- backups -----------------------------------------------------------------------------------


def fill(connection, rows=1000):
    connection.execute("CREATE TABLE t (x)")
    connection.executemany("INSERT INTO t VALUES (?)", [(f"row {x}",) for x in range(rows)])
    connection.commit()


def content(connection):
    return connection.execute("SELECT x FROM t ORDER BY rowid").fetchall()


@pytest.mark.parametrize("target", [sqlite3, stdlib], ids=["ours", "stdlib"])
@pytest.mark.parametrize("place", ["memory", "file"])
@pytest.mark.parametrize("pages", [-1, 1])
def test_backup_into_ours_and_the_stdlibs(tmp_path, target, place, pages):
    path = ":memory:" if place == "memory" else str(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as source, closing(target.connect(path)) as to:
        fill(source)
        fill(to, rows=5)
        steps = []
        source.backup(to, pages=pages, progress=lambda *step: steps.append(step))
        assert content(to) == content(source)
        assert steps[-1][1] == 0
        to.execute("INSERT INTO t VALUES ('more')")
        to.commit()


def test_target_of_an_unfinished_backup_is_refused_and_works_afterwards(tmp_path):
    source, target = sqlite3.connect(":memory:"), sqlite3.connect(tmp_path / "target.db")
    source.execute(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "LIMIT 5000) SELECT i, randomblob(50) AS b FROM n"
    )
    cursor = target.cursor()
    uses = [
        lambda: target.execute("CREATE TABLE mine (a)"),
        lambda: cursor.execute("SELECT 1"),
        lambda: target.executescript("SELECT 1"),
        lambda: target.in_transaction,
        lambda: target.close(),
        lambda: target.__enter__(),
        lambda: source.backup(target),
    ]
    refused = []

    def progress(code, remaining, total):
        for use in uses:
            with pytest.raises(sqlite3.ProgrammingError, match="a backup into it is not finished"):
                use()
            refused.append(remaining)

    source.backup(target, pages=20, progress=progress)
    assert len(refused) > 2 * len(uses)
    assert target.execute("SELECT count(*) FROM t").fetchone() == (5000,)
    assert cursor.execute("SELECT max(i) FROM t").fetchone() == (5000,)
    target.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        target.execute("SELECT 1")
    source.close()


def test_target_that_is_opened_anew_within_its_backup_is_the_new_one(tmp_path):
    source, target = sqlite3.connect(":memory:"), sqlite3.connect(tmp_path / "target.db")
    source.execute("CREATE TABLE t (a)")
    source.backup(target, progress=lambda *_: target.__init__(":memory:"))
    assert target.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    target.close()
    with closing(sqlite3.connect(tmp_path / "target.db")) as copied:
        assert copied.execute("SELECT count(*) FROM t").fetchone() == (0,)
    source.close()


def test_backup_from_the_stdlib_refuses_our_connection():
    theirs, ours = stdlib.connect(":memory:"), sqlite3.connect(":memory:")
    with closing(theirs), closing(ours):
        with pytest.raises(TypeError, match=r"must be sqlite3\.Connection, not"):
            theirs.backup(ours)


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_documented_way_from_the_stdlib_to_ours_copies_all(tmp_path, journal_mode):
    """As docs/sqlite3.md writes it."""
    with (
        closing(stdlib.connect(tmp_path / "theirs.db")) as theirs,
        closing(sqlite3.connect(tmp_path / "ours.db")) as ours,
    ):
        theirs.execute(f"PRAGMA journal_mode = {journal_mode}")
        fill(theirs)
        image = bytearray(theirs.serialize())
        image[18:20] = b"\x01\x01"
        with closing(sqlite3.connect(":memory:")) as copy:
            copy.deserialize(image)
            copy.backup(ours)
        assert content(ours) == content(theirs)
    with closing(stdlib.connect(tmp_path / "ours.db")) as reopened:
        assert reopened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_backup_from_a_session_leaves_nothing_to_the_next(tmp_path):
    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    with db.session() as session:
        fill(session)
    with db.session() as session, closing(sqlite3.connect(":memory:")) as copy:
        session.backup(copy)
        assert len(content(copy)) == 1000
    assert db.get_stats()["pool_in_use"] == 0
    DatabaseManager.reset()


# ---- one file, one copy of SQLite per process ---------------------------------------------------


def test_file_of_ours_is_read_and_written_by_the_stdlib_in_another_process(tmp_path):
    path = tmp_path / "a.db"
    code = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("INSERT INTO t VALUES ('theirs')")
connection.commit()
print(connection.execute("SELECT count(*) FROM t").fetchone()[0])
connection.close()
"""
    db = DatabaseManager(f"sqlite:///{path}")
    with db.session() as session:
        fill(session)
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "1001\n"
    with db.session() as session:
        assert content(session)[-1] == ("theirs",)
    DatabaseManager.reset()


def test_exception_of_either_module_is_caught_by_the_other():
    for raising, catching in ((sqlite3, stdlib), (stdlib, sqlite3)):
        with closing(raising.connect(":memory:")) as connection:
            with pytest.raises(catching.OperationalError, match="no such table: nowhere"):
                connection.execute("SELECT * FROM nowhere")


# ---- a Python that was built without SQLite -----------------------------------------------------

WITHOUT_SQLITE = """
import sys

class NoSqlite:
    def find_spec(self, name, path=None, target=None):
        if name == "_sqlite3":
            raise ModuleNotFoundError("No module named '_sqlite3'", name=name)

sys.meta_path.insert(0, NoSqlite())
import datetime
from dbmanager import DatabaseManager, sqlite3
"""


def without_sqlite(code, *arguments):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_SQLITE + code, *arguments],
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_python_without_sqlite_has_equal_exception_classes_of_ours():
    code = """
names = sorted(name for name, value in vars(sqlite3).items()
               if isinstance(value, type) and issubclass(value, Exception))
for name in names:
    value = getattr(sqlite3, name)
    print(name, value.__module__, *(base.__name__ for base in value.__mro__[1:]))
"""
    expected = "".join(
        f"{name} sqlite3 {' '.join(base.__name__ for base in value.__mro__[1:])}\n"
        for name, value in sorted(vars(stdlib).items())
        if isinstance(value, type) and issubclass(value, Exception)
    )
    assert without_sqlite(code) == expected


def test_python_without_sqlite_raises_them_with_codes():
    code = """
connection = sqlite3.connect(":memory:")
try:
    connection.execute("SELECT * FROM nowhere")
except sqlite3.OperationalError as error:
    print(error, error.sqlite_errorname, connection.OperationalError is sqlite3.OperationalError)
connection.close()
"""
    assert without_sqlite(code) == "no such table: nowhere SQLITE_ERROR True\n"


DATES = """
if sys.version_info >= (3, 12):
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
connection = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_DECLTYPES)
connection.execute("CREATE TABLE t (d date, t timestamp)")
for day, moment in [
    (datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30, 5)),
    (datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)),
    (None, datetime.datetime(2024, 1, 1, 0, 0, 0, 500)),
]:
    connection.execute("INSERT INTO t VALUES (?, ?)", (day, moment))
connection.execute("INSERT INTO t VALUES ('2024-02-29', '2024-02-29 01:02:03.5')")
print(connection.execute("SELECT * FROM t").fetchall())
print(connection.execute("SELECT d || '', t || '' FROM t").fetchall())
connection.close()
"""


def test_python_without_sqlite_stores_dates_as_the_stdlib_does():
    run = subprocess.run(
        [sys.executable, "-c", "import sys, datetime, sqlite3\n" + DATES],
        capture_output=True,
        text=True,
        check=True,
    )
    assert without_sqlite(DATES) == run.stdout


def test_python_without_sqlite_has_sessions_rows_and_dumps(tmp_path):
    code = """
db = DatabaseManager(sys.argv[1])
with db.session() as session:
    session.row_factory = sqlite3.Row
    session.execute("CREATE TABLE t (x)")
    session.execute("INSERT INTO t VALUES (1)")
    row = session.execute("SELECT x FROM t").fetchone()
    print(dict(row), isinstance(session, sqlite3.Connection))
db.close()
connection = sqlite3.connect(":memory:")
connection.execute("CREATE TABLE t (x)")
print(list(connection.iterdump()))
connection.close()
"""
    assert without_sqlite(code, f"sqlite:///{tmp_path}/a.db") == (
        "{'x': 1} True\n['BEGIN TRANSACTION;', 'CREATE TABLE t (x);', 'COMMIT;']\n"
    )


# ---- shared caches -----------------------------------------------------------------------------


# One thread is in a function of its own and so holds the cache's mutex; it waits for the
# interpreter, while the main thread does the operation.
SHARED_CACHE = """
import contextlib, threading
from dbmanager import sqlite3

def connect():
    uri = "file:shared?mode=memory&cache=shared"
    return sqlite3.connect(uri, uri=True, check_same_thread=False)

one, other = connect(), connect()
one.execute("CREATE TABLE t (x)")
one.executemany("INSERT INTO t VALUES (?)", [(bytes(9),)] * 5)
one.commit()
inside, leave = threading.Event(), threading.Event()

def hold(x):
    inside.set()
    leave.wait()

one.create_function("hold", 1, hold)
reading = other.execute("SELECT x FROM t")
reading.fetchone()
blob = other.blobopen("t", "x", 1, readonly=True)
thread = threading.Thread(target=lambda: one.execute("SELECT hold(x) FROM t").fetchall())
thread.start()
inside.wait()
leave.set()
with contextlib.suppress(sqlite3.OperationalError):
    OPERATION
thread.join()
"""

COMPILING = {
    "prepare": "other.execute('SELECT 1 FROM t AS fresh')",
    "prepare by a call": "other('SELECT 1 FROM t AS fresh')",
    "executemany": "other.executemany('INSERT INTO t VALUES (?)', [(1,)])",
    "execute again": "reading.execute('SELECT x FROM t')",
    "reset": "reading.close()",
    "finalize": "del reading",
    "begin": "other.execute('BEGIN')",
    "blobopen": "other.blobopen('t', 'x', 2, readonly=True)",
    "blob read": "blob.read()",
    "blob close": "blob.close()",
    "serialize": "other.serialize()",
    "drop": "reading = blob = other = None",
}
FREE = {
    "step": "reading.fetchall()",
    "executescript": "other.executescript('SELECT 1 FROM t AS fresh')",
    "commit": "other.commit()",
    "close": "other.close()",
    "connect": "connect()",
    "backup": "other.backup(sqlite3.connect(':memory:'))",
    "iterdump": "list(other.iterdump())",
    "create_function": "other.create_function('f', 0, int)",
    "total_changes": "other.total_changes",
}


@pytest.mark.parametrize(
    "operation",
    [pytest.param(code, id=name) for name, code in {**COMPILING, **FREE}.items()],
)
def test_shared_cache_in_use_by_a_python_function_does_not_dead_lock(operation):
    code = SHARED_CACHE.replace("OPERATION", operation)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_shared_cache_is_seen_by_connections_of_the_same_name_only():
    first = sqlite3.connect("file:one?mode=memory&cache=shared", uri=True)
    second = sqlite3.connect("file:one?mode=memory&cache=shared", uri=True)
    other = sqlite3.connect("file:two?mode=memory&cache=shared", uri=True)
    fill(first, rows=3)
    assert len(content(second)) == 3
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        content(other)
    for connection in (first, second, other):
        connection.close()
