"""What one session did to its connection can't be seen by the next one."""

import gc
import json
import sqlite3 as stdlib
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from dbmanager import DatabaseManager, sqlite3


def prepared(path):
    """Give a manager of a new file with one row, and with no connection open."""
    # By the stdlib, in whose name no pool keeps a connection.
    connection = stdlib.connect(path)
    connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(10))")
    connection.close()
    return DatabaseManager(f"sqlite:///{path}")


@pytest.fixture(autouse=True)
def no_manager_left():
    yield
    DatabaseManager.reset()


@pytest.fixture
def db(tmp_path):
    """A manager; every connection must be back at the end."""
    db = prepared(tmp_path / "app.db")
    yield db
    assert db.get_stats()["pool_in_use"] == 0


def outcome(look, session):
    """Give what a session sees, an error as its text."""
    try:
        return look(session)
    except sqlite3.Error as error:
        return repr(error)


def one(sql):
    """Make a look at the first row of a query."""

    def look(session):
        return tuple(session.execute(sql).fetchone())

    return look


class Total:
    """An aggregate and window function."""

    def step(self, x):
        pass

    def inverse(self, x):
        pass

    def value(self):
        return 1

    def finalize(self):
        return 1


def run(*statements):
    def leave(session):
        for statement in statements:
            session.execute(statement).fetchall()

    return leave


def refusing(*arguments):
    return sqlite3.SQLITE_DENY


def interrupting():
    return 1


NUMBERS = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 2000) "


def image_of(sql):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sql)
        return connection.serialize()


# What is left behind, and who would see it.
STATES = {
    "transaction": (
        run("BEGIN", "INSERT INTO t VALUES (2)"),
        lambda s: (s.in_transaction, s.execute("SELECT count(*) FROM t").fetchone()),
    ),
    "savepoint": (
        run("SAVEPOINT a", "INSERT INTO t VALUES (2)"),
        lambda s: (s.in_transaction, s.execute("SELECT count(*) FROM t").fetchone()),
    ),
    "temporary table": (run("CREATE TEMP TABLE mine (x)"), one("SELECT count(*) FROM mine")),
    "temporary view": (run("CREATE TEMP VIEW t AS SELECT 7"), one("SELECT count(*) FROM temp.t")),
    "temporary trigger": (
        run("CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END"),
        one("SELECT count(*) FROM sqlite_temp_schema"),
    ),
    "temporary table by a script": (
        lambda s: s.executescript("SELECT 1; CREATE TEMP TABLE mine (x)"),
        one("SELECT count(*) FROM mine"),
    ),
    "attached database": (
        run("ATTACH ':memory:' AS other"),
        one("SELECT count(*) FROM pragma_database_list"),
    ),
    "pragma": (run("PRAGMA query_only = ON"), one("PRAGMA query_only")),
    "pragma behind a comment": (
        run("/* mine */ -- only\n PRAGMA query_only = ON"),
        one("PRAGMA query_only"),
    ),
    "pragma by a script": (
        lambda s: s.executescript("SELECT 1; PRAGMA query_only = ON"),
        one("PRAGMA query_only"),
    ),
    "pragma that is only prepared": (
        lambda s: s("PRAGMA query_only = ON"),
        one("PRAGMA query_only"),
    ),
    "pragma that is only explained": (
        run("EXPLAIN PRAGMA query_only = ON"),
        one("PRAGMA query_only"),
    ),
    "pragma refused for its parameters": (
        lambda s: outcome(lambda s: s.execute("PRAGMA query_only = ON", (1,)), s),
        one("PRAGMA query_only"),
    ),
    "pragma refused by executemany": (
        lambda s: outcome(lambda s: s.executemany("PRAGMA query_only = ON", [()]), s),
        one("PRAGMA query_only"),
    ),
    "foreign keys": (run("PRAGMA foreign_keys = OFF"), one("PRAGMA foreign_keys")),
    "synchronous": (run("PRAGMA synchronous = OFF"), one("PRAGMA synchronous")),
    "busy timeout": (run("PRAGMA busy_timeout = 1"), one("PRAGMA busy_timeout")),
    "cache size": (run("PRAGMA cache_size = 1"), one("PRAGMA cache_size")),
    "LIKE with case": (run("PRAGMA case_sensitive_like = ON"), one("SELECT 'a' LIKE 'A'")),
    "function": (lambda s: s.create_function("mine", 0, lambda: 1), one("SELECT mine()")),
    "function in place of SQLite's": (
        lambda s: s.create_function("abs", 1, lambda x: "mine"),
        one("SELECT abs(-1)"),
    ),
    "aggregate": (lambda s: s.create_aggregate("mine", 1, Total), one("SELECT mine(1)")),
    "window function": (
        lambda s: s.create_window_function("mine", 1, Total),
        one("SELECT mine(1) OVER ()"),
    ),
    "collation": (
        lambda s: s.create_collation("mine", lambda a, b: 0),
        one("SELECT 'a' = 'b' COLLATE mine"),
    ),
    "authorizer": (lambda s: s.set_authorizer(refusing), one("SELECT count(*) FROM t")),
    "progress handler": (
        lambda s: s.set_progress_handler(interrupting, 1),
        one(NUMBERS + "SELECT max(i) FROM n"),
    ),
    "limit": (
        lambda s: s.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 50),
        one("SELECT " + "1 + " * 50 + "1"),
    ),
    "loading of extensions": (
        lambda s: s.enable_load_extension(True),
        one("SELECT load_extension('nowhere')"),
    ),
    "content by deserialize": (
        lambda s: (
            s.execute("ATTACH ':memory:' AS other"),
            s.deserialize(image_of("CREATE TABLE mine (x)"), name="other"),
        ),
        one("SELECT count(*) FROM other.mine"),
    ),
    "row factory": (
        lambda s: setattr(s, "row_factory", lambda cursor, row: "mine"),
        lambda s: s.execute("SELECT 1").fetchone(),
    ),
    "text factory": (
        lambda s: setattr(s, "text_factory", bytes),
        lambda s: s.execute("SELECT 'a'").fetchone(),
    ),
    "isolation level": (
        lambda s: setattr(s, "isolation_level", None),
        lambda s: (s.isolation_level, s.execute("INSERT INTO t VALUES (2)"), s.in_transaction)[::2],
    ),
}
if sys.version_info >= (3, 12):
    STATES["config option"] = (
        lambda s: s.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True),
        lambda s: s.getconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE),
    )


def leave_by_exception(session):
    with pytest.raises(LookupError), session:
        yield session
        raise LookupError


def leave_by_commit(session):
    with session:
        yield session
        if session.in_transaction:
            session.rollback()  # data would be seen by the next, rightly


def leave_by_close(session):
    with session:
        yield session
        session.close()


def leave_to_the_collector(session):
    yield session.__enter__()


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize(
    "leave", [leave_by_exception, leave_by_commit, leave_by_close, leave_to_the_collector]
)
@pytest.mark.parametrize(
    ("change", "look"), [pytest.param(*state, id=name) for name, state in STATES.items()]
)
def test_state_of_a_session_is_not_seen_by_the_next(db, tmp_path, change, look, leave):
    for session in leave(db.session()):
        change(session)
    del session
    gc.collect()
    with db.session() as session:
        found = outcome(look, session)
    with prepared(tmp_path / "fresh.db").session() as session:
        assert found == outcome(look, session)


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize(("change", "look"), STATES.values(), ids=STATES)
def test_same_session_sees_the_state_it_changed(db, tmp_path, change, look):
    """The looks above aren't blind."""
    with db.session() as session:
        change(session)
        changed = outcome(look, session)
        session.close()
    with prepared(tmp_path / "fresh.db").session() as session:
        assert changed != outcome(look, session)


# ---- what reads or waits still -------------------------------------------------------------


@pytest.fixture
def checkpoint(db, tmp_path):
    """Try to empty the WAL from another process; True if no reader or writer is in the way."""
    code = """
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
print(json.dumps(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()))
connection.close()
"""

    def attempt():
        path = str(tmp_path / "app.db")
        run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
        busy, _, _ = json.loads(run.stdout)
        return busy == 0

    return attempt


def fill(session):
    session.executemany("INSERT INTO t VALUES (?)", [(x,) for x in range(5000)])


def test_unfinished_cursor_leaves_no_lock_behind(db, checkpoint):
    with db.session() as session:
        fill(session)
    with db.session() as session:
        cursor = session.execute("SELECT x FROM t")
        cursor.fetchone()
        assert not checkpoint()
    assert checkpoint()
    assert cursor is not None


def test_unfinished_cursor_of_a_failed_session_leaves_no_lock_behind(db, checkpoint):
    with db.session() as session:
        fill(session)
    with pytest.raises(LookupError), db.session() as session:
        cursor = session.execute("SELECT x FROM t")
        cursor.fetchone()
        session.execute("DELETE FROM t")
        raise LookupError
    assert checkpoint()
    assert cursor is not None


def test_open_blob_leaves_no_lock_behind(db, checkpoint):
    with db.session() as session:
        blob = session.blobopen("t", "x", 1)
        blob.read(1)
    assert checkpoint()
    with pytest.raises(sqlite3.ProgrammingError):
        blob.read()


def test_iterator_over_a_dump_leaves_no_lock_behind(db, checkpoint):
    with db.session() as session:
        dump = session.iterdump()
        next(dump)
    assert checkpoint()
    with pytest.raises(sqlite3.ProgrammingError):
        list(dump)


def test_open_transaction_of_a_dropped_session_leaves_no_lock_behind(db, checkpoint):
    session = db.session()
    session.__enter__().execute("INSERT INTO t VALUES (1)")
    del session
    gc.collect()
    assert checkpoint()


def test_unfinished_cursor_gives_no_rows_after_its_session(db):
    with db.session() as session:
        fill(session)
        cursor = session.execute("SELECT x FROM t")
        rows = iter(cursor)
        next(rows)
    for use in (cursor.fetchone, cursor.fetchall, lambda: next(rows), lambda: cursor.execute("")):
        with pytest.raises(sqlite3.ProgrammingError, match="this session is not open"):
            use()


def test_cursor_of_an_old_session_does_not_disturb_the_connections_next_user(db):
    with db.session() as session:
        fill(session)
    with db.session() as session:
        old = session.execute("SELECT x FROM t ORDER BY rowid")
        old.fetchone()
    with db.session() as session:
        new = session.execute("SELECT x FROM t ORDER BY rowid")
        assert new.fetchone() == (bytes(10),)
        del old
        gc.collect()
        assert new.fetchmany(3) == [(0,), (1,), (2,)]


def test_cursors_of_old_sessions_can_be_dropped_while_other_threads_use_the_connections(db):
    with db.session() as session:
        fill(session)

    def work(_):
        kept = []
        for _ in range(50):
            with db.session() as session:
                cursor = session.execute("SELECT x FROM t LIMIT 100")
                cursor.fetchone()
                kept.append(cursor)
        return kept

    with ThreadPoolExecutor(8) as executor:
        cursors = list(executor.map(work, range(8)))
    del cursors
    gc.collect()
    with db.session() as session:
        assert session.execute("SELECT count(*) FROM t").fetchone() == (5001,)


def test_session_left_within_its_own_callback_comes_back(tmp_path):
    db = prepared(tmp_path / "app.db")

    def leave_early():
        session = db.session()
        session.__enter__()
        session.create_function("leave", 0, lambda: session.__exit__(None, None, None))
        with pytest.raises(sqlite3.Error):
            session.execute("SELECT leave(), x FROM t").fetchall()

    leave_early()
    gc.collect()
    assert db.get_stats()["pool_in_use"] == 0


def test_connection_that_is_discarded_closes_its_file_though_a_cursor_lives(db, tmp_path):
    with db.session() as session:
        fill(session)
    with db.session() as session:
        session.execute("PRAGMA query_only = 1")
        cursor = session.execute("SELECT x FROM t")
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]
    assert cursor is not None


def test_manager_that_is_closed_closes_its_files_though_a_cursor_lives(tmp_path):
    db = prepared(tmp_path / "app.db")
    with db.session() as session:
        fill(session)
    with db.session() as session:
        cursor = session.execute("SELECT x FROM t")
        cursor.fetchone()
    db.close()
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]
    assert cursor is not None


# ---- keeping what is still good --------------------------------------------------------------


def test_connection_of_a_clean_session_is_lent_again(db):
    for _ in range(3):
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            session.execute("SELECT x FROM t").fetchone()
            session.row_factory = sqlite3.Row
    figures = db.get_stats()
    assert (figures["opened_total"], figures["discarded_total"]) == (1, 0)


def test_connection_of_a_failed_session_is_lent_again(db):
    with pytest.raises(sqlite3.OperationalError), db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        session.execute("SELECT * FROM nowhere")
    with db.session() as session:
        assert session.execute("SELECT count(*) FROM t").fetchone() == (1,)
    figures = db.get_stats()
    assert (figures["opened_total"], figures["discarded_total"]) == (1, 0)


def test_table_changed_behind_an_idle_connection_is_seen(db, tmp_path):
    with db.session() as session:
        session.execute("SELECT * FROM t").fetchall()
    other = sqlite3.connect(tmp_path / "app.db")
    other.execute("ALTER TABLE t ADD COLUMN y DEFAULT 5")
    other.close()
    with db.session() as session:
        assert session.execute("SELECT * FROM t").fetchall() == [(bytes(10), 5)]


TAKEN_BACK = {
    "function": lambda s: s.create_function("mine", 1, lambda x: x),
    "functions of one name": lambda s: [
        s.create_function("mine", n, lambda *x: 1) for n in (-1, 0, 1)
    ],
    "aggregate": lambda s: s.create_aggregate("mine", 1, Total),
    "window function": lambda s: s.create_window_function("mine", 1, Total),
    "collation": lambda s: s.create_collation("mine", lambda a, b: 0),
    "authorizer": lambda s: s.set_authorizer(refusing),
    "progress handler": lambda s: s.set_progress_handler(interrupting, 1),
    "trace": lambda s: s.set_trace_callback(lambda text: None),
    "limit": lambda s: s.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 3),
    "pragma": run("PRAGMA temp_store = MEMORY", "PRAGMA case_sensitive_like = ON"),
}


@pytest.mark.parametrize("leave", TAKEN_BACK.values(), ids=TAKEN_BACK.keys())
def test_what_can_be_taken_back_keeps_the_connection(db, leave):
    for _ in range(3):
        with db.session() as session:
            session.execute("SELECT x FROM t").fetchall()
            leave(session)
    figures = db.get_stats()
    assert (figures["opened_total"], figures["discarded_total"]) == (1, 0)
    with db.session() as session:
        for sql in ("SELECT mine(1)", "SELECT mine()", "SELECT 'a' < 'b' COLLATE mine"):
            with pytest.raises(sqlite3.OperationalError, match="no such"):
                session.execute(sql)
        assert session.execute("SELECT 'A' LIKE 'a', ?, ?, ?, ?", (1, 2, 3, 4)).fetchone()[0] == 1


@pytest.mark.parametrize(
    "leave",
    [
        lambda s: s.create_function("ABS", 1, lambda x: "mine"),
        lambda s: s.create_function("changes", 0, lambda: "mine"),
        lambda s: s.create_aggregate("sum", 1, Total),
        lambda s: s.create_window_function("sum", 1, None),
        lambda s: s.create_collation("nocase", lambda a, b: 0),
        lambda s: [s.create_function(f"mine_{n}", 0, lambda: 1) for n in range(200)],
    ],
)
def test_what_can_not_be_taken_back_closes_the_connection(db, leave):
    with db.session() as session:
        leave(session)
    assert db.get_stats()["discarded_altered_total"] == 1
    with db.session() as session:
        sql = "SELECT abs(-1), changes(), sum(2), 'a' = 'B' COLLATE nocase"
        assert session.execute(sql).fetchone() == (1, 0, 2, 0)


def test_function_that_is_taken_back_is_let_go_of(db):
    def mine(x):
        return x

    alive = weakref.ref(mine)
    with db.session() as session:
        session.create_function("mine", 1, mine)
        assert session.execute("SELECT mine(7)").fetchone() == (7,)
    del mine
    gc.collect()
    assert alive() is None


def test_functions_registered_at_each_connect_cost_no_connection(tmp_path):
    db = prepared(tmp_path / "app.db")
    for number in range(50):
        connection = sqlite3.connect(tmp_path / "app.db")
        connection.create_function("regexp", -1, lambda *texts, number=number: number)
        assert connection.execute("SELECT 'a' REGEXP 'b'").fetchone() == (number,)
        connection.close()
    with db.session():
        pass
    assert db.get_stats()["opened_total"] == 2
    DatabaseManager.reset()
