"""`DatabaseManager.session()`: commits, rolls back, gives back, and belongs to one thread."""

import gc
import sqlite3 as stdlib
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from dbmanager import DatabaseManager, Session, sqlite3

NOT_OPEN = "this session is not open; use it within its `with` block"


@pytest.fixture
def db(tmp_path):
    """A manager with a table `t`; every connection must be back at the end."""
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db")
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    yield db
    in_use = db.get_stats()["pool_in_use"]
    DatabaseManager.reset()
    assert in_use == 0


def rows(db):
    with db.session() as session:
        return [x for (x,) in session.execute("SELECT x FROM t ORDER BY x")]


def in_thread(work):
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(work).result()


# ---- commit and roll back ------------------------------------------------------------------


def test_end_of_the_block_commits(db):
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        assert session.in_transaction
        assert in_thread(lambda: rows(db)) == []
    assert rows(db) == [1]


def test_block_without_a_change_is_no_transaction(db):
    with db.session() as session:
        session.execute("SELECT * FROM t").fetchall()
        assert not session.in_transaction


@pytest.mark.parametrize(
    "error",
    [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit, sqlite3.IntegrityError],
)
def test_any_exception_rolls_back_and_goes_on(db, error):
    raised = error()
    with pytest.raises(error) as caught, db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        raise raised
    assert caught.value is raised
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


def test_error_of_sqlite_rolls_back_what_went_before(db):
    with pytest.raises(stdlib.OperationalError, match="no such table: nowhere"):
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            session.execute("INSERT INTO nowhere VALUES (2)")
    assert rows(db) == []


def test_caught_error_does_not_roll_back(db):
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.OperationalError):
            session.execute("INSERT INTO nowhere VALUES (2)")
    assert rows(db) == [1]


def test_table_made_in_a_failed_block_is_undone_with_the_rows(db):
    with pytest.raises(RuntimeError), db.session() as session:
        session.execute("CREATE TABLE undone (x)")
        session.execute("INSERT INTO t VALUES (1)")
        session.execute("CREATE TABLE undone_too (x)")
        raise RuntimeError
    with db.session() as session:
        names = session.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
    assert names == [("t",)]


def test_return_break_and_continue_commit(db):
    def leave():
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            return

    leave()
    for x in (2, 3, 4):
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (?)", (x,))
            if x == 2:
                continue
            break
    assert rows(db) == [1, 2, 3]


def test_commit_within_the_block_stays_when_the_rest_fails(db):
    with pytest.raises(RuntimeError), db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        session.commit()
        session.execute("INSERT INTO t VALUES (2)")
        raise RuntimeError
    assert rows(db) == [1]


def test_rollback_within_the_block_is_possible(db):
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        session.rollback()
        session.execute("INSERT INTO t VALUES (2)")
    assert rows(db) == [2]


def test_close_within_the_block_gives_back_without_a_commit(db):
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        session.close()
        assert db.get_stats()["pool_in_use"] == 0
        with pytest.raises(sqlite3.ProgrammingError, match=NOT_OPEN):
            session.execute("SELECT 1")
    assert rows(db) == []


def test_failed_commit_raises_rolls_back_and_gives_back(db):
    with db.session() as session:
        session.executescript("""
            CREATE TABLE parent (id INTEGER PRIMARY KEY);
            CREATE TABLE child (of INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
        """)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed") as caught:
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            session.execute("INSERT INTO child VALUES (42)")
    assert caught.value.sqlite_errorname == "SQLITE_CONSTRAINT_FOREIGNKEY"
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []
    with db.session() as session:
        assert session.execute("SELECT count(*) FROM child").fetchone() == (0,)


def test_foreign_keys_are_enforced_in_sessions(db):
    with db.session() as session:
        session.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        session.execute("CREATE TABLE child (of INTEGER REFERENCES parent)")
    with pytest.raises(sqlite3.IntegrityError), db.session() as session:
        session.execute("INSERT INTO child VALUES (42)")


def test_generator_that_is_dropped_rolls_back_and_gives_back(db):
    def added():
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            yield
            session.execute("INSERT INTO t VALUES (2)")

    generator = added()
    next(generator)
    assert db.get_stats()["pool_in_use"] == 1
    del generator
    gc.collect()
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


def test_nested_sessions_are_two_connections(db):
    with db.session() as outer:
        outer.execute("INSERT INTO t VALUES (1)")
        with db.session() as inner:
            assert inner.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert db.get_stats()["pool_in_use"] == 1
    assert rows(db) == [1]


# ---- before, after, twice, elsewhere ---------------------------------------------------------


USES = {
    "execute": lambda s: s.execute("SELECT 1"),
    "executemany": lambda s: s.executemany("INSERT INTO t VALUES (?)", [(1,)]),
    "executescript": lambda s: s.executescript("SELECT 1"),
    "call": lambda s: s("SELECT 1"),
    "cursor": lambda s: s.cursor(),
    "commit": lambda s: s.commit(),
    "rollback": lambda s: s.rollback(),
    "iterdump": lambda s: list(s.iterdump()),
    "backup": lambda s: s.backup(sqlite3.connect(":memory:")),
    "blobopen": lambda s: s.blobopen("t", "x", 1),
    "create_function": lambda s: s.create_function("f", 0, int),
    "create_collation": lambda s: s.create_collation("c", lambda a, b: 0),
    "set_authorizer": lambda s: s.set_authorizer(None),
    "set_progress_handler": lambda s: s.set_progress_handler(None, 1),
    "set_trace_callback": lambda s: s.set_trace_callback(None),
    "serialize": lambda s: s.serialize(),
    "getlimit": lambda s: s.getlimit(sqlite3.SQLITE_LIMIT_LENGTH),
    "interrupt": lambda s: s.interrupt(),
    "total_changes": lambda s: s.total_changes,
    "in_transaction": lambda s: s.in_transaction,
    "isolation_level": lambda s: s.isolation_level,
}


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_session_can_be_used_only_within_its_block(db, use):
    session = db.session()
    with pytest.raises(sqlite3.ProgrammingError, match=NOT_OPEN):
        use(session)
    with session:
        pass
    with pytest.raises(sqlite3.ProgrammingError, match=NOT_OPEN):
        use(session)


THREAD_FREE = {"interrupt", "total_changes", "in_transaction", "isolation_level"}


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("name", [name for name in USES if name not in THREAD_FREE])
def test_session_can_be_used_only_in_the_thread_that_entered_it(db, name):
    with db.session() as session:

        def work():
            with pytest.raises(sqlite3.ProgrammingError, match="created in a thread can only"):
                USES[name](session)

        in_thread(work)


def test_session_may_be_entered_in_another_thread_than_made_it(db):
    session = db.session()

    def work():
        with session:
            session.execute("INSERT INTO t VALUES (1)")

    in_thread(work)
    assert rows(db) == [1]


def test_session_that_leaves_in_another_thread_is_rolled_back_and_given_back_with_an_error(db):
    session = db.session()
    session.__enter__()
    session.execute("INSERT INTO t VALUES (1)")

    def leave():
        with pytest.raises(sqlite3.ProgrammingError, match="created in a thread can only"):
            session.__exit__(None, None, None)

    in_thread(leave)
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


def test_block_whose_session_another_thread_ended_says_so(db):
    refused = []

    def end(session):
        try:
            session.__exit__(None, None, None)
        except sqlite3.ProgrammingError as error:
            refused.append(str(error))

    with pytest.raises(sqlite3.ProgrammingError, match="another thread has ended this session"):
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (99)")
            thread = threading.Thread(target=end, args=[session])
            thread.start()
            thread.join()
    assert len(refused) == 1
    with pytest.raises(ZeroDivisionError), db.session() as session:
        thread = threading.Thread(target=end, args=[session])
        thread.start()
        thread.join()
        raise ZeroDivisionError


def test_generator_that_is_closed_by_another_thread_gives_back(db):
    def added():
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            yield

    def close(generator):
        with pytest.raises(sqlite3.ProgrammingError, match="created in a thread can only"):
            generator.close()

    generator = added()
    next(generator)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(close, generator).result()
    del generator
    gc.collect()
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


def test_session_can_be_opened_once(db):
    session = db.session()
    with session:
        session.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.ProgrammingError, match="this session was used already"):
        session.__enter__()
    assert rows(db) == [1]


@pytest.mark.parametrize("mode", ["auto", "write"])
def test_block_within_the_sessions_own_commits_as_a_connections_does(db, mode):
    with pytest.raises(RuntimeError, match="outer"), db.session(mode=mode) as session:
        session.execute("INSERT INTO t VALUES (1)")
        with session as same:
            assert same is session
            session.execute("INSERT INTO t VALUES (2)")
        assert not session.in_transaction
        session.execute("INSERT INTO t VALUES (3)")
        raise RuntimeError("outer")
    assert rows(db) == [1, 2]


def test_block_within_the_sessions_own_rolls_back_what_an_exception_leaves(db):
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(KeyError), session, session:
            session.execute("INSERT INTO t VALUES (2)")
            raise KeyError
        assert not session.in_transaction
        session.execute("INSERT INTO t VALUES (3)")
    assert rows(db) == [3]


def test_function_that_was_written_for_a_connection_takes_a_session(db):
    def save(connection, x):
        with connection:
            connection.execute("INSERT INTO t VALUES (?)", (x,))

    with db.session() as session:
        save(session, 1)
        assert in_thread(lambda: rows(db)) == [1]
        with closing(session):
            save(session, 2)
        with pytest.raises(sqlite3.ProgrammingError, match="used already"):
            save(session, 3)
    assert rows(db) == [1, 2]


def test_inner_block_of_a_session_belongs_to_its_thread_as_well(db):
    with db.session() as session:
        with pytest.raises(sqlite3.ProgrammingError, match="thread"):
            in_thread(session.__enter__)
        session.execute("INSERT INTO t VALUES (1)")
    assert rows(db) == [1]


def test_session_left_without_being_entered_is_harmless(db):
    session = db.session()
    session.__exit__(None, None, None)
    session.close()
    with session:
        session.execute("INSERT INTO t VALUES (1)")
    assert rows(db) == [1]


def test_session_left_twice_commits_once(db):
    session = db.session()
    with session:
        session.execute("INSERT INTO t VALUES (1)")
    session.__exit__(None, None, None)
    session.close()
    assert rows(db) == [1]


def test_session_that_is_never_entered_takes_nothing(db):
    before = db.get_stats()
    del before["acquired_total"]
    for _ in range(20):
        db.session()
    gc.collect()
    after = db.get_stats()
    del after["acquired_total"]
    assert after == before


def test_session_opened_again_by_init_is_refused(db, tmp_path):
    """`Connection.__init__` would put a private connection into a lease's place."""
    with db.session() as session:
        with pytest.raises((TypeError, sqlite3.ProgrammingError)):
            session.__init__(tmp_path / "other.db")
        session.execute("INSERT INTO t VALUES (1)")
    assert not (tmp_path / "other.db").exists()
    assert rows(db) == [1]


def test_session_is_a_connection_for_code_that_checks(db):
    with db.session() as session:
        assert isinstance(session, Session)
        assert isinstance(session, sqlite3.Connection)
        assert isinstance(session, stdlib.Connection)


# ---- sessions nobody left -------------------------------------------------------------------


def test_session_dropped_within_its_block_rolls_back_and_gives_back(db):
    session = db.session()
    session.__enter__()
    session.execute("INSERT INTO t VALUES (1)")
    del session
    gc.collect()
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


def test_session_of_an_ended_thread_rolls_back_and_gives_back_when_it_is_dropped(db):
    sessions = []

    def work():
        session = db.session()
        session.__enter__()
        session.execute("INSERT INTO t VALUES (1)")
        sessions.append(session)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert db.get_stats()["pool_in_use"] == 1
    sessions.clear()
    gc.collect()
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


def test_session_of_an_ended_thread_is_not_the_next_threads(tmp_path):
    db = DatabaseManager(f"sqlite:///{tmp_path}/app.db")
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    left = []

    def leave_open():
        session = db.session("write").__enter__()
        left.append((threading.get_ident(), session))

    def follow():
        outcome.append((threading.get_ident(), db.current_session()))

    # The system gives the number of an ended thread to one of the next.
    outcome = []
    thread = threading.Thread(target=leave_open)
    thread.start()
    thread.join()
    while not outcome or outcome[-1][0] != left[0][0]:
        thread = threading.Thread(target=follow)
        thread.start()
        thread.join()
    assert {session for _, session in outcome} == {None}
    left.clear()
    gc.collect()
    assert db.run(lambda session: session.scalar("SELECT count(*) FROM t"), join=True) == 0
    DatabaseManager.reset()


def test_session_in_a_thread_that_fails_rolls_back_and_gives_back(db):
    def work():
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (1)")
            raise LookupError

    with pytest.raises(LookupError):
        in_thread(work)
    assert db.get_stats()["pool_in_use"] == 0
    assert rows(db) == []


# ---- writers ---------------------------------------------------------------------------------


def write_at_once(db, threads, changes):
    """Let threads count up one row; give the count that must come out."""
    together = threading.Barrier(threads)

    def work(thread):
        together.wait()
        for number in range(changes):
            with db.session() as session:
                session.execute("UPDATE counter SET n = n + 1")
                session.execute("INSERT INTO t VALUES (?)", (thread * changes + number,))

    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(work, range(threads)))
    return threads * changes


def test_eight_writing_threads_lose_nothing_and_nothing_is_locked(db):
    with db.session() as session:
        session.execute("CREATE TABLE counter (n)")
        session.execute("INSERT INTO counter VALUES (0)")
    total = write_at_once(db, threads=8, changes=100)
    assert rows(db) == list(range(total))
    with db.session() as session:
        assert session.execute("SELECT n FROM counter").fetchone() == (total,)
        assert session.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_first_sessions_of_a_new_file_may_begin_at_once(tmp_path):
    """The first connection turns the file's journal to WAL, which needs it alone."""
    together = threading.Barrier(8)

    def work(url):
        together.wait()
        with DatabaseManager(url).session() as session:
            session.execute("CREATE TABLE IF NOT EXISTS t (x)")
            session.execute("INSERT INTO t VALUES (1)")

    with ThreadPoolExecutor(8) as executor:
        for attempt in range(20):
            url = f"sqlite:///{tmp_path}/{attempt}.db"
            list(executor.map(work, [url] * 8))
            assert rows(DatabaseManager(url)) == [1] * 8
    DatabaseManager.reset()


def test_reader_sees_a_snapshot_while_another_session_writes(db):
    with db.session() as session:
        session.executemany("INSERT INTO t VALUES (?)", [(x,) for x in range(1000)])
    with db.session() as reader:
        cursor = reader.execute("SELECT x FROM t ORDER BY x")
        assert cursor.fetchone() == (0,)
        in_thread(lambda: delete_all(db))
        assert len(cursor.fetchall()) == 999
    assert rows(db) == []


def delete_all(db):
    with db.session() as session:
        session.execute("DELETE FROM t")


WAYS = {
    "execute": lambda session, sql: session.execute(sql),
    "cursor": lambda session, sql: session.cursor().execute(sql),
    "script": lambda session, sql: session.executescript(sql),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "sql",
    [
        "; INSERT INTO t VALUES (2)",
        " ;; /* a */ ; -- b\n INSERT INTO t VALUES (2)",
        "\ufeffINSERT INTO t VALUES (2)",
        "PRAGMA user_version = 2",
        "pragma main.application_id = 2",
        ";PRAGMA user_version(2)",
    ],
)
def test_write_is_undone_whatever_stands_before_it(tmp_path, way, sql):
    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    with db.session() as session:
        session.execute("CREATE TABLE t (a)")

    def state():
        with db.session("read") as session:
            return [
                session.execute(question).fetchall()
                for question in ("SELECT a FROM t", "PRAGMA user_version", "PRAGMA application_id")
            ]

    before = state()
    with pytest.raises(KeyError), db.session() as session:
        WAYS[way](session, sql)
        assert session.in_transaction
        raise KeyError
    assert state() == before
    with db.session() as session:
        WAYS[way](session, sql)
    assert state() != before
    DatabaseManager.reset()


def test_blob_that_is_opened_to_write_belongs_to_the_transaction(tmp_path):
    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    with db.session() as session:
        session.execute("CREATE TABLE b (x)")
        session.execute("INSERT INTO b VALUES (zeroblob(4))")
    with pytest.raises(KeyError), db.session() as session:
        session.blobopen("b", "x", 1).write(b"lost")
        assert session.in_transaction
        raise KeyError
    with db.session("read") as session:
        with pytest.raises(sqlite3.OperationalError, match="mode='read'"):
            session.blobopen("b", "x", 1)
        with session.blobopen("b", "x", 1, readonly=True) as blob:
            assert blob.read() == bytes(4)
    with db.session() as session:
        session.blobopen("b", "x", 1).write(b"kept")
        with pytest.raises(sqlite3.OperationalError, match="is writing"), db.session("write"):
            pass
    with db.session() as session:
        assert session.scalar("SELECT x FROM b") == b"kept"
    DatabaseManager.reset()


@pytest.mark.parametrize("mode", ["read", "write", "auto"])
def test_session_is_no_target_of_a_backup(tmp_path, mode):
    db = DatabaseManager(f"sqlite:///{tmp_path}/a.db")
    with db.session() as session:
        session.execute("CREATE TABLE t (a)")
    with closing(sqlite3.connect(":memory:")) as other, db.session(mode) as session:
        with pytest.raises(sqlite3.ProgrammingError, match="can't be the target of a backup"):
            other.backup(session)
    with db.session() as session:
        assert session.scalar("SELECT name FROM sqlite_schema") == "t"
    memory = DatabaseManager("sqlite://")
    with closing(sqlite3.connect(tmp_path / "a.db")) as other, memory.session() as session:
        other.backup(session)
    with memory.session() as session:
        assert session.scalar("SELECT name FROM sqlite_schema") == "t"
    DatabaseManager.reset()


def test_database_in_memory_survives_a_resize():
    db = DatabaseManager("sqlite://")
    with db.session() as session:
        session.execute("CREATE TABLE t (a)")
    for size in (20, 0, 1):
        db.resize(pool_size=size)
        with db.session() as session:
            assert session.scalar("SELECT count(*) FROM t") == 0
    DatabaseManager.reset()
