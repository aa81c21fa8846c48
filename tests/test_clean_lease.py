"""What one session did to its connection can't be seen by the next one."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbmanager import DatabaseManager, sqlite3


@pytest.fixture
def db(tmp_path):
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db")
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        session.execute("INSERT INTO t VALUES (zeroblob(10))")
    yield db
    in_use = db.get_stats()["pool_in_use"]
    DatabaseManager.reset()
    assert in_use == 0


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
        lambda s: s.deserialize(sqlite3.connect(":memory:").serialize()),
        one("SELECT count(*) FROM t"),
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
    "interrupt": (lambda s: s.interrupt(), one(NUMBERS + "SELECT max(i) FROM n")),
    "total_changes": (run("INSERT INTO t VALUES (2)", "ROLLBACK"), lambda s: s.total_changes),
    "changes()": (run("INSERT INTO t VALUES (2), (3)", "ROLLBACK"), one("SELECT changes()")),
    "last_insert_rowid()": (
        run("INSERT INTO t VALUES (2), (3)", "ROLLBACK"),
        one("SELECT last_insert_rowid()"),
    ),
    "counters of a trigger's and a select's": (
        run("INSERT INTO t VALUES (2) RETURNING x", "ROLLBACK"),
        one("SELECT last_insert_rowid(), changes(), total_changes()"),
    ),
}
if sys.version_info >= (3, 12):
    STATES["autocommit"] = (
        lambda s: setattr(s, "autocommit", True),
        lambda s: (s.autocommit, s.execute("INSERT INTO t VALUES (2)"), s.in_transaction)[::2],
    )
    STATES["config option"] = (
        lambda s: s.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True),
        lambda s: s.getconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE),
    )


def fresh(db):
    """Give a manager of the same file whose connections nobody used."""
    db.close()
    return DatabaseManager(db.url)


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize(("leave", "look"), STATES.values(), ids=STATES)
@pytest.mark.parametrize("end", ["success", "exception"])
def test_state_of_a_session_is_not_seen_by_the_next(tmp_path, leave, look, end):
    def result(*steps):
        with fresh(prepared(tmp_path)).session() as session:
            pass
        db = DatabaseManager(session_url(tmp_path))
        for step in steps:
            try:
                with db.session() as session:
                    step(session)
                    if end == "exception":
                        raise LookupError
            except LookupError:
                pass
        with db.session() as session:
            return outcome(look, session)

    def keep_nothing(session):
        leave(session)
        if session.in_transaction:
            session.rollback()

    try:
        expected = result()
        step = leave if end == "exception" else keep_nothing
        assert result(step) == expected
    finally:
        DatabaseManager.reset()
