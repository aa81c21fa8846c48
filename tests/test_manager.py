"""`DatabaseManager`: one for each URL, where a URL leads, what it counts, how it ends."""

import ctypes
import gc
import os
import sqlite3 as stdlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from dbmanager import DatabaseManager, Session, sqlite3
from tests.open_files import open_files


@pytest.fixture(autouse=True)
def no_manager_left():
    yield
    DatabaseManager.reset()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/app.db"


# ---- one manager for each URL ----------------------------------------------------------


def test_same_url_gives_the_same_object(url):
    assert DatabaseManager(url) is DatabaseManager(url)
    assert DatabaseManager(url=url) is DatabaseManager(url)


def test_other_url_gives_another_object(url, tmp_path):
    assert DatabaseManager(url) is not DatabaseManager(f"sqlite:///{tmp_path}/other.db")


def test_hundred_threads_that_ask_at_once_get_one_object(url):
    together = threading.Barrier(100)

    def ask(_):
        together.wait()
        return DatabaseManager(url)

    with ThreadPoolExecutor(100) as executor:
        managers = set(executor.map(ask, range(100)))
    assert managers == {DatabaseManager(url)}


def test_manager_lives_on_without_a_reference(url):
    with DatabaseManager(url).session() as session:
        session.execute("CREATE TABLE t (x)")
    gc.collect()
    assert DatabaseManager(url).get_stats()["opened_total"] == 1


def test_url_is_kept_as_it_was_written(url):
    assert DatabaseManager(url).url == url
    assert repr(DatabaseManager(url)) == f"<dbmanager.DatabaseManager {url}>"


# ---- the URL ---------------------------------------------------------------------------


def main_file(db):
    with db.session() as session:
        return session.execute("PRAGMA database_list").fetchone()[2]


def test_url_comes_from_the_environment(monkeypatch, url, tmp_path):
    monkeypatch.setenv("DATABASE_URL", url)
    db = DatabaseManager()
    assert db.url == url
    assert db is DatabaseManager(None)
    assert main_file(db) == f"{tmp_path}/app.db"


def test_argument_counts_more_than_the_environment(monkeypatch, url):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///elsewhere.db")
    assert DatabaseManager(url).url == url


def test_app_db_in_the_working_directory_is_the_default(monkeypatch, tmp_path):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    db = DatabaseManager()
    assert db.url == "sqlite:///app.db"
    assert main_file(db) == f"{tmp_path}/app.db"


def test_relative_path_is_resolved_when_the_manager_is_made(monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    db = DatabaseManager("sqlite:///data.db")
    monkeypatch.chdir(second)
    assert main_file(db) == f"{first}/data.db"
    assert list(second.iterdir()) == []


def test_path_may_hold_blanks_and_letters_of_any_script(tmp_path):
    folder = tmp_path / "Ablage für Åsa 数据"
    folder.mkdir()
    assert main_file(DatabaseManager(f"sqlite:///{folder}/a b.db")) == f"{folder}/a b.db"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("app.db", "'app.db' is not a database URL; write sqlite:///relative.db"),
        ("", "'' is not a database URL"),
        ("postgresql://host/db", "the scheme 'postgresql' is not supported"),
        (
            "sqlite+aiosqlite:///a.db",
            r"the scheme 'sqlite\+aiosqlite' is not supported; write sqlite://",
        ),
        ("sqlite://app.db", "names a host; a SQLite file has three slashes: sqlite:///app.db"),
        ("sqlite:///app.db?timeout=5", "'timeout' is no setting; there are pool_size, "),
        ("sqlite:///app.db?pool_size", "the option 'pool_size' of .* has no value"),
        (
            "sqlite:///app.db?pool_size=many",
            "pool_size must be a whole number from 0 to 100000, not 'many'",
        ),
    ],
)
def test_wrong_url_is_refused_with_what_to_write(wrong, message):
    with pytest.raises(ValueError, match=message):
        DatabaseManager(wrong)


@pytest.mark.parametrize("wrong", [b"sqlite:///a.db", 1, object()])
def test_url_must_be_text(wrong):
    with pytest.raises(TypeError):
        DatabaseManager(wrong)


# ---- files that can't be opened ----------------------------------------------------------


def failure(db):
    """Give the error of a session; it must come at once, not when the pool's time is up."""
    session = db.session()
    with pytest.raises(stdlib.Error) as caught, session:
        session.execute("SELECT * FROM sqlite_schema")
    assert db.get_stats()["timeouts_total"] == 0
    assert db.get_stats()["pool_in_use"] == 0
    return type(caught.value), str(caught.value), caught.value.sqlite_errorname


def same_failure_of_the_stdlib(path):
    with pytest.raises(stdlib.Error) as caught:
        connection = stdlib.connect(path)
        try:
            connection.execute("SELECT * FROM sqlite_schema")
        finally:
            connection.close()
    return type(caught.value), str(caught.value)


def test_directory_fails_at_once_in_sqlites_words(tmp_path):
    found = failure(DatabaseManager(f"sqlite:///{tmp_path}"))
    assert found[:2] == same_failure_of_the_stdlib(tmp_path)
    assert found[:2] == (stdlib.OperationalError, "unable to open database file")


def test_missing_folder_fails_at_once_in_sqlites_words(tmp_path):
    path = tmp_path / "missing" / "app.db"
    found = failure(DatabaseManager(f"sqlite:///{path}"))
    assert found[:2] == same_failure_of_the_stdlib(path)
    assert found[2] == "SQLITE_CANTOPEN"


def test_error_of_the_file_comes_from_the_statement_and_not_from_the_session(tmp_path):
    path = tmp_path / "app.db"
    path.write_bytes(b"This is a text and no database. " * 100)
    db = DatabaseManager(f"sqlite:///{path}")
    for _ in range(2):
        with db.session() as session:
            with pytest.raises(stdlib.DatabaseError, match="file is not a database"):
                session.execute("SELECT * FROM sqlite_schema")
    path.unlink()
    with db.session() as session:
        assert session.scalar("PRAGMA journal_mode") == "wal"
        assert session.scalar("PRAGMA foreign_keys") == 1


def test_file_that_is_no_database_fails_at_once_in_sqlites_words(tmp_path):
    path = tmp_path / "app.db"
    path.write_bytes(b"This is a text and no database. " * 100)
    found = failure(DatabaseManager(f"sqlite:///{path}"))
    assert found == (stdlib.DatabaseError, "file is not a database", "SQLITE_NOTADB")
    assert found[:2] == same_failure_of_the_stdlib(path)


def test_file_without_permission_fails_at_once_in_sqlites_words(tmp_path):
    path = tmp_path / "app.db"
    path.touch(mode=0o000)

    def as_somebody_else():
        # Permissions don't bind the superuser. This holds for the calling thread only.
        ctypes.CDLL(None).setfsuid(65534 if os.geteuid() == 0 else os.geteuid())
        return failure(DatabaseManager(f"sqlite:///{path}")), same_failure_of_the_stdlib(path)

    with ThreadPoolExecutor(1) as executor:
        found, expected = executor.submit(as_somebody_else).result()
    assert found[:2] == expected == (stdlib.OperationalError, "unable to open database file")


def test_manager_works_once_the_cause_is_gone(tmp_path):
    folder = tmp_path / "later"
    db = DatabaseManager(f"sqlite:///{folder}/app.db")
    failure(db)
    folder.mkdir()
    assert main_file(db) == f"{folder}/app.db"
    assert db.get_stats()["opened_total"] == 1


# ---- figures -------------------------------------------------------------------------------


def test_figures_of_a_new_manager_are_zero(url):
    figures = DatabaseManager(url).get_stats()
    assert figures.pop("pool_max") == 10
    # The process's, whatever other tests have open.
    assert figures.pop("descriptors_parked") >= 0
    assert set(figures.values()) == {0}
    assert {"pool_size", "pool_idle", "pool_in_use", "requests_waiting"} < set(figures)


def test_manager_that_had_no_session_counts_and_closes_the_connections_of_connect(url, tmp_path):
    path = tmp_path / "app.db"

    def use():
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE IF NOT EXISTS t (x)")

    use()
    use()
    figures = DatabaseManager(url).get_stats()
    assert (figures["acquired_total"], figures["pool_idle"], figures["pool_in_use"]) == (2, 1, 0)
    assert DatabaseManager(url).close_idle() == 1
    for end in ("drain", "close"):
        DatabaseManager.reset()
        use()
        assert (tmp_path / "app.db-wal").exists()
        getattr(DatabaseManager(url), end)()
        assert os.listdir(tmp_path) == ["app.db"]


def test_figures_are_those_of_the_file_that_connect_has_found_at_the_path(url, tmp_path):
    path = tmp_path / "app.db"
    db = DatabaseManager(url)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
    path.rename(tmp_path / "old.db")
    with closing(sqlite3.connect(path)):
        figures = db.get_stats()
    assert (figures["acquired_total"], figures["pool_in_use"]) == (1, 1)


def test_time_of_waits_and_of_use_is_counted_in_milliseconds(url):
    db = DatabaseManager(url, pool_size=1, max_overflow=0)

    def use():
        with db.session():
            pass

    with ThreadPoolExecutor(1) as executor:
        start = time.monotonic()
        with db.session():
            waiting = executor.submit(use)
            while not db.get_stats()["requests_waiting"]:
                time.sleep(0)
            seen = time.monotonic()
            while time.monotonic() < seen + 0.05:
                time.sleep(0.001)
        waiting.result()
        whole = (time.monotonic() - start) * 1000
    figures = db.get_stats()
    assert (figures["waited_total"], figures["acquired_total"]) == (1, 2)
    assert 50 <= figures["wait_ms"] <= whole
    assert 50 <= figures["use_ms"] <= whole
    assert (figures["timeouts_total"], figures["writers_waited_total"]) == (0, 0)


def test_making_a_manager_or_a_session_opens_nothing(url, tmp_path):
    DatabaseManager(url).session()
    assert list(tmp_path.iterdir()) == []


def test_idle_connections_are_lent_again(url):
    db = DatabaseManager(url)
    for _ in range(5):
        with db.session() as session:
            session.execute("SELECT 1")
    figures = db.get_stats()
    assert figures["acquired_total"] == 5
    assert figures["opened_total"] == figures["pool_size"] == figures["pool_idle"] == 1


def test_figures_add_up_while_and_after_sessions_are_open(url):
    db = DatabaseManager(url)
    sessions = [db.session() for _ in range(3)]
    for session in sessions:
        session.__enter__()
    figures = db.get_stats()
    assert (figures["pool_size"], figures["pool_in_use"], figures["pool_idle"]) == (3, 3, 0)
    sessions[0].execute("PRAGMA query_only = OFF")
    for session in sessions:
        session.__exit__(None, None, None)
    figures = db.get_stats()
    assert (figures["pool_size"], figures["pool_in_use"], figures["pool_idle"]) == (2, 0, 2)
    assert figures["opened_total"] == figures["pool_size"] + figures["discarded_total"] == 3


def test_eleventh_session_waits_for_the_first_that_comes_back(url):
    db = DatabaseManager(url, max_overflow=0)
    held = [db.session() for _ in range(10)]
    for session in held:
        session.__enter__()
    waiting = threading.Event()

    def work():
        waiting.set()
        with db.session() as session:
            return session.execute("SELECT 1").fetchone()

    with ThreadPoolExecutor(1) as executor:
        eleventh = executor.submit(work)
        waiting.wait()
        assert db.get_stats()["pool_size"] == 10
        assert not eleventh.done()
        held.pop().__exit__(None, None, None)
        assert eleventh.result() == (1,)
    for session in held:
        session.__exit__(None, None, None)
    figures = db.get_stats()
    assert figures["acquired_total"] == 11
    assert figures["opened_total"] == figures["pool_idle"] == 10
    assert figures["requests_waiting"] == figures["timeouts_total"] == 0


def test_session_that_waits_gets_the_place_of_a_connection_that_was_discarded(url):
    db = DatabaseManager(url, max_overflow=0)
    held = [db.session() for _ in range(10)]
    for session in held:
        session.__enter__()

    def work():
        with db.session() as session:
            return session.execute("SELECT 1").fetchone()

    with ThreadPoolExecutor(1) as executor:
        eleventh = executor.submit(work)
        while db.get_stats()["requests_waiting"] == 0:
            os.sched_yield()
        unfit = held.pop()
        unfit.set_progress_handler(lambda: 0, 1000)
        unfit.__exit__(None, None, None)
        try:
            assert eleventh.result(timeout=2) == (1,)
        finally:
            for session in held:
                session.__exit__(None, None, None)


def test_more_threads_than_connections_all_get_their_turn(url):
    db = DatabaseManager(url, max_overflow=0)
    assert main_file(db)
    together = threading.Barrier(30)

    def work(_):
        together.wait()
        for _ in range(20):
            with db.session() as session:
                session.execute("SELECT 1").fetchone()

    with ThreadPoolExecutor(30) as executor:
        list(executor.map(work, range(30)))
    figures = db.get_stats()
    assert figures["acquired_total"] == 601
    assert figures["pool_in_use"] == figures["timeouts_total"] == 0
    assert figures["pool_size"] == figures["pool_idle"] <= 10


# ---- the end ---------------------------------------------------------------------------------


CLOSED = "is closed; ask DatabaseManager for a new one"


def test_closed_manager_refuses_sessions_and_figures(url):
    db = DatabaseManager(url)
    early = db.session()
    db.close()
    for session in (early, db.session()):
        with pytest.raises(sqlite3.ProgrammingError, match=CLOSED):
            session.__enter__()
    with pytest.raises(sqlite3.ProgrammingError, match=CLOSED):
        db.get_stats()
    assert db.url == url


def test_close_twice_is_harmless(url):
    db = DatabaseManager(url)
    db.close()
    db.close()


def test_url_of_a_closed_manager_gives_a_new_one(url):
    old = DatabaseManager(url)
    old.close()
    new = DatabaseManager(url)
    assert new is not old
    old.close()
    assert DatabaseManager(url) is new
    assert main_file(new)


def test_close_closes_the_files(url, tmp_path):
    db = DatabaseManager(url)
    assert main_file(db)
    with db.session() as session:
        session.execute("SELECT * FROM sqlite_schema").fetchall()
    assert f"{tmp_path}/app.db" in open_files(tmp_path)
    db.close()
    assert open_files(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]


def test_session_that_is_open_at_close_commits_and_then_closes_its_file(url, tmp_path):
    db = DatabaseManager(url)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        db.close()
        session.execute("INSERT INTO t VALUES (1)")
    assert open_files(tmp_path) == []
    with DatabaseManager(url).session() as session:
        assert session.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_reset_closes_all_managers(url, tmp_path):
    managers = [DatabaseManager(f"{url}{number}") for number in range(3)]
    for db in managers:
        main_file(db)
    DatabaseManager.reset()
    assert open_files(tmp_path) == []
    for db in managers:
        with pytest.raises(sqlite3.ProgrammingError, match=CLOSED):
            db.get_stats()
        assert DatabaseManager(db.url) is not db


def test_what_sessions_committed_is_in_the_file_after_close(url, tmp_path):
    db = DatabaseManager(url)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        session.execute("INSERT INTO t VALUES (1)")
    db.close()
    copy = tmp_path / "copy.db"
    copy.write_bytes((tmp_path / "app.db").read_bytes())
    connection = stdlib.connect(copy)
    assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]
    connection.close()


def test_process_that_closes_nothing_ends_cleanly_and_keeps_what_was_committed(url):
    code = """
import sys
from dbmanager import DatabaseManager
with DatabaseManager(sys.argv[1]).session() as session:
    session.execute("CREATE TABLE t (x)")
    session.execute("INSERT INTO t VALUES (1)")
left_open = DatabaseManager(sys.argv[1]).session()
left_open.__enter__().execute("INSERT INTO t VALUES (2)")
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, url], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    with DatabaseManager(url).session() as session:
        assert session.execute("SELECT x FROM t").fetchall() == [(1,)]


# ---- the class -------------------------------------------------------------------------------


def test_only_a_manager_makes_sessions():
    with pytest.raises(TypeError, match=r"a Session is made by DatabaseManager\(\)\.session\(\)"):
        Session()


@pytest.mark.parametrize("name", ["url", "anything"])
def test_manager_has_no_attributes_to_set(url, name):
    with pytest.raises(AttributeError):
        setattr(DatabaseManager(url), name, 1)
