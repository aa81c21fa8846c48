"""Every setting of a manager, where it may come from, and what is refused."""

import logging
import queue
import sqlite3 as stdlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from logging.handlers import QueueHandler
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from dbmanager import DatabaseManager, PoolTimeout, sqlite3


@pytest.fixture(autouse=True)
def no_manager_left() -> Iterator[None]:
    """Each test starts without managers and names."""
    yield
    DatabaseManager.reset()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path}/app.db"


def use(db: DatabaseManager, count: int = 1) -> None:
    """Have some sessions open at a time."""
    sessions = [db.session() for _ in range(count)]
    for session in sessions:
        session.__enter__().execute("SELECT 1")
    for session in sessions:
        session.__exit__(None, None, None)


def pragma(db: DatabaseManager, name: str) -> Any:
    """Give a pragma's value within a session."""
    with db.session() as session:
        return session.scalar(f"PRAGMA {name}")


def test_pool_size_is_how_many_are_kept(url: str) -> None:
    db = DatabaseManager(url, pool_size=2)
    use(db, 5)
    figures = db.get_stats()
    assert (figures["pool_idle"], figures["overflow_total"]) == (2, 3)


@pytest.mark.parametrize(("max_overflow", "most"), [(0, 2), (3, 5)])
def test_max_overflow_is_how_many_more_there_may_be(url: str, max_overflow: int, most: int) -> None:
    db = DatabaseManager(url, pool_size=2, max_overflow=max_overflow, pool_timeout=0)
    use(db, most)
    with pytest.raises(PoolTimeout):
        use(db, most + 1)


@pytest.mark.parametrize("no_limit", [-1, None])
def test_max_overflow_without_a_limit(url: str, no_limit: int | None) -> None:
    db = DatabaseManager(url, pool_size=1, max_overflow=no_limit, pool_timeout=0)
    use(db, 30)
    assert db.get_stats()["pool_idle"] == 1


def test_pool_recycle_replaces_old_connections(url: str) -> None:
    db = DatabaseManager(url, pool_recycle=0)
    for _ in range(3):
        use(db)
    assert db.get_stats()["discarded_recycled_total"] == 3


def test_pool_pre_ping_follows_a_file_that_was_replaced(url: str, tmp_path: Path) -> None:
    db = DatabaseManager(url)
    with db.session() as session:
        session.execute("CREATE TABLE old (x)")
    db.close_idle()
    (tmp_path / "app.db").rename(tmp_path / "old.db")
    with db.session() as session:
        assert session.execute("SELECT name FROM sqlite_schema").all() == []
    assert (tmp_path / "app.db").exists()


def renamed_by_another_process(path: Path, to: Path) -> None:
    """For a rename in this process idle connections step aside."""
    subprocess.run(["mv", path, to], check=True)


def test_without_pool_pre_ping_the_file_is_taken_on_trust(url: str, tmp_path: Path) -> None:
    db = DatabaseManager(url, pool_pre_ping=False)
    with db.session() as session:
        session.execute("CREATE TABLE old (x)")
    renamed_by_another_process(tmp_path / "app.db", tmp_path / "old.db")
    with db.session() as session:
        assert session.scalar("SELECT name FROM sqlite_schema") == "old"


def test_pool_pre_ping_after_ms_trusts_the_file_for_that_long(url: str, tmp_path: Path) -> None:
    # A checkpoint on a slow machine would look at the file meanwhile, and find another.
    db = DatabaseManager(url, pool_pre_ping_after_ms=600_000, checkpoint_after=None)
    with db.session() as session:
        session.execute("CREATE TABLE old (x)")
    renamed_by_another_process(tmp_path / "app.db", tmp_path / "old.db")
    with db.session() as session:
        assert session.scalar("SELECT name FROM sqlite_schema") == "old"
    db.close()
    (tmp_path / "old.db").rename(tmp_path / "app.db")
    db = DatabaseManager(url, pool_pre_ping_after_ms=0.001)
    with db.session() as session:
        assert session.scalar("SELECT name FROM sqlite_schema") == "old"
    (tmp_path / "app.db").rename(tmp_path / "old.db")
    with db.session() as session:
        assert session.execute("SELECT name FROM sqlite_schema").all() == []


@pytest.mark.parametrize(("cached_statements", "kept"), [(0, 0), (2, 2), (128, 5)])
def test_cached_statements_is_how_many_are_kept(
    url: str, cached_statements: int, kept: int
) -> None:
    db = DatabaseManager(url, cached_statements=cached_statements)
    for _ in range(2):
        with db.session() as session:
            for number in range(5):
                assert session.scalar(f"SELECT {number}") == number
            # SQLite's own list of compiled statements; the cache makes room before this one runs.
            count = "SELECT count(*) FROM sqlite_stmt WHERE sql GLOB 'SELECT [0-9]'"
            assert session.scalar(count) in (kept, kept - 1)


def test_pragmas_are_set_for_each_connection_and_set_back_for_each_session(url: str) -> None:
    db = DatabaseManager(
        url, pragmas={"synchronous": "FULL", "cache_size": -7000, "foreign_keys": False}
    )
    for _ in range(2):
        with db.session() as session:
            for name, value in (("synchronous", 2), ("cache_size", -7000), ("foreign_keys", 0)):
                assert session.scalar(f"PRAGMA {name}") == value
            session.execute("PRAGMA synchronous = OFF")
            session.execute("PRAGMA cache_size = 5")
            session.execute("PRAGMA foreign_keys = ON")
    assert db.get_stats()["opened_total"] == 1


def test_default_pragmas(url: str) -> None:
    db = DatabaseManager(url)
    for name, value in (
        ("journal_mode", "wal"),
        ("synchronous", 1),
        ("foreign_keys", 1),
        ("busy_timeout", 5000),
    ):
        assert pragma(db, name) == value
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        assert connection.execute("PRAGMA foreign_keys").fetchone() == (0,)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_statistics_of_the_planner_are_kept_on_close_unless_switched_off(tmp_path: Path) -> None:
    for optimizes in (True, False):
        url = f"sqlite:///{tmp_path}/{optimizes}.db"
        db = DatabaseManager(url, optimize_on_close=optimizes)
        with db.session() as session:
            session.execute("CREATE TABLE t (a, b)")
            session.execute("CREATE INDEX i ON t (a)")
            session.executemany("INSERT INTO t VALUES (?, 1)", [(n % 9,) for n in range(3000)])
            session.execute("SELECT * FROM t WHERE a = 1 AND b = 1").all()
        db.close()
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            sql = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'"
            assert connection.execute(sql).fetchone() == (int(optimizes),)


def test_who_only_reads_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(stdlib.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute("CREATE INDEX i ON t (a)")
        connection.executemany("INSERT INTO t VALUES (?, 1)", [(n % 9,) for n in range(3000)])
    before = path.read_bytes()
    db = DatabaseManager(f"sqlite:///{path}")
    for session in (db.session("read"), db.session()):
        with session:
            assert len(session.execute("SELECT * FROM t WHERE a = 1 AND b = 1").all()) == 334
    db.close()
    assert path.read_bytes() == before


def test_leak_is_reported_with_its_place(url: str) -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(records)
    logging.getLogger("dbmanager.pool").addHandler(handler)
    try:
        manager = DatabaseManager(url, leak_detection_threshold=0.01)
        line = sys._getframe().f_lineno + 1
        with manager.session() as session, closing(session.execute("SELECT 'secret'")):
            record = records.get(timeout=30)
    finally:
        logging.getLogger("dbmanager.pool").removeHandler(handler)
    assert record.levelno == logging.WARNING
    assert f'settings.py", line {line}, in test_leak_is_reported_with' in record.getMessage()
    # Warnings tell no paths of databases, and no parameters, not even as the source has them.
    assert "secret" not in record.getMessage()
    assert record.getMessage().startswith("app.db: ")
    assert url.removeprefix("sqlite:///") not in record.getMessage()


@pytest.mark.parametrize("defensive", [False, True])
def test_defensive_manager_trusts_neither_schema_nor_sql(url: str, defensive: bool) -> None:
    db = DatabaseManager(url, defensive=defensive)
    assert db.settings["defensive"] is defensive
    with db.session() as session:
        session.create_function("harm", 0, lambda: 1)
        session.execute("CREATE TABLE t (a)")
        session.execute("INSERT INTO t VALUES (1)")
        session.execute("CREATE VIEW v AS SELECT harm() FROM t")
        session.execute("CREATE VIRTUAL TABLE f USING fts5(x)")

    def refused(sql: str) -> bool:
        try:
            with db.session() as session:
                session.create_function("harm", 0, lambda: 1)
                session.execute(sql).fetchall()
        except sqlite3.Error:
            return True
        return False

    assert refused("SELECT * FROM v") is defensive
    assert refused("INSERT INTO f_data VALUES (99, x'00')") is defensive
    with db.session() as session:
        session.execute("PRAGMA writable_schema = 1")
    assert refused("DELETE FROM sqlite_schema WHERE name = 'v'")
    assert not refused("SELECT harm() FROM t")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool_sise": 3}, "'pool_sise' is no setting of a DatabaseManager; there are pool_size, "),
        ({"pool_size": -1}, "pool_size must be a whole number from 0 to 100000, not -1"),
        ({"pool_size": 10**400}, "pool_size must be a whole number from 0 to 100000, not inf"),
        ({"pool_size": 1.5}, "pool_size must be a whole number from 0 to 100000, not 1.5"),
        ({"pool_size": "many"}, "pool_size must be a whole number from 0 to 100000, not 'many'"),
        ({"pool_size": [1]}, "pool_size must be a number, a str, True, False or None, not list"),
        ({"pool_timeout": -1}, "pool_timeout must be a number of seconds from 0 to 1000000000"),
        ({"pool_timeout": None}, "pool_timeout must be a number of seconds .*, not None"),
        ({"pool_timeout": 1e30}, "number of seconds from 0 to 1000000000, not 1000000000000000"),
        ({"pool_timeout": float("inf")}, "from 0 to 1000000000, not inf"),
        ({"pool_timeout": float("nan")}, "from 0 to 1000000000, not NaN"),
        ({"pool_recycle": 1e10}, "seconds up to 1000000000, or None for no limit, not 1000000"),
        ({"pool_pre_ping_after_ms": -1}, "a number of milliseconds from 0 to 1000000000, not -1"),
        ({"pool_pre_ping": 3}, "pool_pre_ping must be True or False, not 3"),
        ({"pool_size": 0, "max_overflow": 0}, "there could be no session"),
        ({"pool_recycle_jitter": 2}, "a fraction between 0 and 1"),
        ({"pragmas": ["x"]}, "pragmas must be a dict of names and values, not list"),
        ({"pragmas": {1: 2}}, "the name of a pragma must be str, not int"),
        ({"pragmas": {"a b": 1}}, "'a b' is no name of a pragma"),
        ({"pragmas": {"jornal_mode": "WAL"}}, "SQLite has no PRAGMA jornal_mode"),
        ({"pragmas": {"cache_size": "1; DROP"}}, "is no value for PRAGMA cache_size"),
    ],
)
def test_wrong_setting_is_refused_at_once(url: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        DatabaseManager(url, **settings)
    DatabaseManager(url)


@pytest.mark.parametrize("wrong", ["folder", "missing", "text", "forbidden"])
def test_what_can_not_be_opened_fails_at_once_with_sqlites_words(
    tmp_path: Path, wrong: str
) -> None:
    path = {
        "folder": tmp_path,
        "missing": tmp_path / "no" / "a.db",
        "text": tmp_path / "text.db",
        "forbidden": Path("/proc/version"),
    }[wrong]
    if wrong == "text":
        path.write_text("no database, " * 100)
    db = DatabaseManager(f"sqlite:///{path}", pool_timeout=3600)
    with pytest.raises(sqlite3.DatabaseError) as caught, db.session() as session:
        session.execute("CREATE TABLE t (x)")
    words = {"text": "file is not a database", "forbidden": ""}
    assert words.get(wrong, "unable to open database file") in str(caught.value)
    assert db.get_stats()["pool_in_use"] == 0


def test_asking_again_with_other_settings_names_both(url: str) -> None:
    db = DatabaseManager(url, pool_size=3)
    assert DatabaseManager(url) is db
    assert DatabaseManager(url, pool_size=3) is db
    with pytest.raises(ValueError, match=r"other settings .*: pool_size: 3 and 4"):
        DatabaseManager(url, pool_size=4)


def test_what_is_not_asked_for_is_not_compared(url: str) -> None:
    db = DatabaseManager(f"{url}?pool_size=3", pragmas={"synchronous": "FULL"})
    assert DatabaseManager(url, pool_timeout=30) is db
    assert DatabaseManager(f"{url}?pool_size=3") is db
    assert DatabaseManager(url, pragmas={"synchronous": "FULL"}, pool_size=3) is db
    with pytest.raises(ValueError, match=r"other settings .*: pool_timeout: 30 and 1$"):
        DatabaseManager(url, pool_timeout=1)
    with pytest.raises(ValueError, match=r": pragma synchronous: 'FULL' and 'OFF'$"):
        DatabaseManager(url, pragmas={"synchronous": "OFF"})


def test_pragmas_are_compared_by_what_they_mean(url: str) -> None:
    pragmas = {"synchronous": "FULL", "cache_size": -100, "foreign_keys": True}
    db = DatabaseManager(url, pragmas=pragmas)
    for same in (
        {"cache_size": -100, "foreign_keys": 1, "synchronous": "full"},
        {"synchronous": 2},
        {"journal_mode": "wal", "busy_timeout": 5000, "foreign_keys": "yes"},
    ):
        assert DatabaseManager(url, pragmas=same) is db
    DatabaseManager.configure({"app": {"url": url, "pragmas": {"synchronous": "FULL"}}})
    assert DatabaseManager.named("app") is db
    message = r"pragma cache_size: '-100' and '-200'; pragma mmap_size: unset and '0'$"
    with pytest.raises(ValueError, match=message):
        DatabaseManager(url, pragmas={"cache_size": -200, "mmap_size": 0})


def test_manager_is_found_by_its_url_whatever_becomes_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    db, other = DatabaseManager(), DatabaseManager(f"sqlite:///{tmp_path}/o.db?pool_size=3")
    (tmp_path / "gone").rmdir()
    for later in ("postgresql://h/d", "sqlite:///z.db?pool_size=3", ""):
        monkeypatch.setenv("DATABASE_URL", later)
        assert DatabaseManager() is db
        assert DatabaseManager(pool_size=10) is db
    assert DatabaseManager(f"sqlite:///{tmp_path}/o.db?pool_size=3") is other
    assert DatabaseManager(f"sqlite:///{tmp_path}/o.db?pool_size=3", pool_timeout=30) is other
    assert DatabaseManager(f"sqlite:///{tmp_path}/new.db") is not other
    with pytest.raises(sqlite3.OperationalError, match=r"the relative path in 'sqlite:///r.db' le"):
        DatabaseManager("sqlite:///r.db")


def test_empty_url_is_refused_also_when_there_is_a_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    DatabaseManager()
    for ask in (DatabaseManager, lambda url: DatabaseManager.configure({"app": url})):
        with pytest.raises(ValueError, match="'' is not a database URL"):
            ask("")


def test_options_of_a_url_are_compared_with_what_a_resize_made_of_them(url: str) -> None:
    db = DatabaseManager(url, pool_size=5)
    db.resize(pool_size=7)
    assert DatabaseManager(f"{url}?pool_size=7") is db
    db.resize(pool_size=9)
    with pytest.raises(ValueError, match="pool_size: 9 and 7"):
        DatabaseManager(f"{url}?pool_size=7")


def test_name_of_a_relative_path_tells_where_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    DatabaseManager.configure({"app": "sqlite:///app.db"})
    DatabaseManager.named("app").close()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with pytest.raises(ValueError, match="is in use already") as caught:
        DatabaseManager.configure({"app": "sqlite:///app.db"})
    assert f"({tmp_path}/app.db)" in str(caught.value)
    assert f"({tmp_path}/deep/app.db)" in str(caught.value)


def test_url_with_other_options_is_refused_each_time(url: str) -> None:
    DatabaseManager(url)
    for _ in range(2):
        with pytest.raises(ValueError, match="pool_size: 10 and 3"):
            DatabaseManager(f"{url}?pool_size=3")


def test_spellings_of_a_path_that_is_not_there_are_one_manager(tmp_path: Path) -> None:
    db = DatabaseManager(f"sqlite:///{tmp_path}/no/a.db")
    assert DatabaseManager(f"sqlite:///{tmp_path}/no/../no/./a.db") is db


def test_name_with_wrong_settings_can_be_corrected(url: str) -> None:
    db = DatabaseManager(url)
    DatabaseManager.configure({"app": {"url": url, "pool_size": 3}})
    with pytest.raises(ValueError, match="pool_size: 10 and 3"):
        DatabaseManager.named("app")
    DatabaseManager.configure({"app": url})
    assert DatabaseManager.named("app") is db


def test_settings_that_count_when_a_file_is_made_come_before_the_journal_mode(url: str) -> None:
    made = {"page_size": 8192, "auto_vacuum": "FULL", "encoding": "UTF-16le"}
    db = DatabaseManager(url, pragmas=made)
    assert [pragma(db, name) for name in made] == [8192, 1, "UTF-16le"]
    assert pragma(db, "journal_mode") == "wal"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "the environment variable DATABASE_URL is empty; unset it"),
        ("app.db", "the environment variable DATABASE_URL: 'app.db' is not a database URL"),
        ("sqlite:///a?pool_size=x", "the environment variable DATABASE_URL: pool_size must be"),
    ],
)
def test_wrong_url_of_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(ValueError, match=message):
        DatabaseManager()


def test_spellings_of_one_file_are_one_manager(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    db = DatabaseManager("sqlite:///app.db")
    for spelling in ("sqlite:///./app.db", f"sqlite:///{tmp_path}/app.db"):
        assert DatabaseManager(spelling) is db


def test_default_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    db = DatabaseManager()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other.db")
    assert DatabaseManager() is db
    use(db)
    assert (tmp_path / "app.db").exists()


def test_hundred_threads_that_ask_first_get_one_manager(url: str) -> None:
    barrier = threading.Barrier(100)

    def ask(_: int) -> DatabaseManager:
        barrier.wait()
        return DatabaseManager(url, pool_size=3)

    with ThreadPoolExecutor(100) as executor:
        assert len({id(db) for db in executor.map(ask, range(100))}) == 1


def test_options_in_the_url_are_settings(url: str) -> None:
    db = DatabaseManager(f"{url}?pool_size=3&pool_recycle=none&pragma.synchronous=FULL")
    assert db.settings["pool_size"] == 3
    assert db.settings["pool_recycle"] is None
    assert pragma(db, "synchronous") == 2
    assert DatabaseManager(url) is db


def test_database_in_memory_is_one_for_all_sessions() -> None:
    db = DatabaseManager("sqlite://", pool_timeout=0)
    with db.session() as session:
        session.execute("CREATE TABLE t (x)")
        session.execute("PRAGMA case_sensitive_like = ON")
        with pytest.raises(PoolTimeout):
            use(db)
    with db.session() as session:
        assert session.scalar("SELECT count(*) FROM t") == 0


def test_named_databases(url: str) -> None:
    DatabaseManager.configure({"app": url, "other": {"url": f"{url}2", "pool_size": 7}})
    assert DatabaseManager.named("app") is DatabaseManager(url)
    assert DatabaseManager.named("other").settings["pool_size"] == 7
    with pytest.raises(ValueError, match="no database is named 'nobody'"):
        DatabaseManager.named("nobody")


def test_name_that_was_asked_for_keeps_its_database(url: str, tmp_path: Path) -> None:
    DatabaseManager.configure({"app": f"{url}1"})
    DatabaseManager.configure({"app": url, "other": f"{url}2"})
    db = DatabaseManager.named("app")
    same = {"app": {"url": f"sqlite:///{tmp_path}/./app.db", "pool_size": 10}}
    DatabaseManager.configure(same)
    for other in (f"{url}2", {"url": url, "pool_size": 7}):
        with pytest.raises(ValueError, match="the database 'app' is in use already as ") as caught:
            DatabaseManager.configure({"new": url, "app": other})
        assert ", and is now to be 'sqlite:///" in str(caught.value)
    assert "pool_size=7" in str(caught.value)
    assert DatabaseManager.named("app") is db
    with pytest.raises(ValueError, match="no database is named 'new'"):
        DatabaseManager.named("new")


@pytest.mark.parametrize(
    ("databases", "error", "message"),
    [
        ([], TypeError, "databases must be a dict of names and URLs, not list"),
        ({1: "sqlite://"}, TypeError, "the name of a database must be str, not int"),
        ({"a": 5}, TypeError, "the database 'a': it must be a URL, or a dict with 'url' and set"),
        ({"a": {"url": 5}}, TypeError, "the database 'a': 'url' must be str, not int"),
        ({"a": {"pool_size": 5}}, ValueError, "the database 'a': it has no 'url'"),
        ({"a": "app.db"}, ValueError, "the database 'a': 'app.db' is not a database URL"),
        ({"a": {"url": "sqlite://", "x": 1}}, TypeError, "the database 'a': 'x' is no setting"),
        ({"a": {"url": "sqlite://", 1: 1}}, TypeError, "'a': the name of a setting must be str"),
        (
            {"b": "sqlite://", "a": {"url": "sqlite://", "pool_size": -1}},
            ValueError,
            "the database 'a': pool_size must be a whole number",
        ),
    ],
)
def test_wrong_database_says_which_one_and_none_is_named(
    databases: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        DatabaseManager.configure(databases)
    with pytest.raises(ValueError, match="none has a name yet"):
        DatabaseManager.named("b")


def test_databases_may_be_named_in_any_mapping(url: str) -> None:
    entry = MappingProxyType({"url": url, "pool_size": 3})
    DatabaseManager.configure(MappingProxyType({"app": entry}))
    assert DatabaseManager.named("app").settings["pool_size"] == 3
    assert dict(entry) == {"url": url, "pool_size": 3}


@pytest.mark.parametrize("name", ["pyproject.toml", "dbmanager.toml"])
def test_databases_are_named_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    prefix = "tool.dbmanager." if name == "pyproject.toml" else ""
    (tmp_path / name).write_text(
        f'[{prefix}databases]\napp = "sqlite:///app.db"\n'
        f'[{prefix}databases.other]\nurl = "sqlite:///other.db"\npool_size = 4\n'
    )
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    use(DatabaseManager.named("app"))
    assert (tmp_path / "app.db").exists()
    assert DatabaseManager.named("other").settings["pool_size"] == 4


@pytest.mark.parametrize("git", ["folder", "file"])
def test_databases_of_a_project_above_the_repository_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: str
) -> None:
    config = '[databases]\n{name} = "sqlite:///app.db"\n'
    (tmp_path / "dbmanager.toml").write_text(config.format(name="above"))
    repository = tmp_path / "repository"
    (repository / "deep").mkdir(parents=True)
    # A work tree of its own has a file there.
    (repository / ".git").mkdir() if git == "folder" else (repository / ".git").write_text("gitdir")
    monkeypatch.chdir(repository / "deep")
    with pytest.raises(ValueError, match="no database is named 'above'"):
        DatabaseManager.named("above")
    (repository / "dbmanager.toml").write_text(config.format(name="top"))
    use(DatabaseManager.named("top"))
    assert (repository / "app.db").exists()


def test_databases_above_the_home_folder_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "homes" / "ann"
    (home / "project").mkdir(parents=True)
    (tmp_path / "link").symlink_to("homes", target_is_directory=True)
    monkeypatch.setenv("HOME", str(tmp_path / "link" / "ann"))
    monkeypatch.chdir(home / "project")
    (tmp_path / "dbmanager.toml").write_text('[databases]\nabove = "sqlite:///app.db"\n')
    with pytest.raises(ValueError, match="no database is named 'above'"):
        DatabaseManager.named("above")
    (home / "dbmanager.toml").write_text('[databases]\nhome = "sqlite:///app.db"\n')
    use(DatabaseManager.named("home"))


def test_databases_in_a_folder_for_everybodys_files_are_not_ours_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    tmp_path.chmod(0o1777)
    (tmp_path / "dbmanager.toml").write_text('[databases]\nothers = "sqlite:///app.db"\n')
    monkeypatch.chdir(tmp_path / "project")
    with pytest.raises(ValueError, match="no database is named 'others'"):
        DatabaseManager.named("others")
    monkeypatch.chdir(tmp_path)
    use(DatabaseManager.named("others"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[databases", "is no valid TOML"),
        ("databases = 3", "must be a table"),
        ('[databasses]\napp = "sqlite:///a.db"', r"dbmanager.toml: 'databasses' is not known; "),
        ('app = "sqlite:///a.db"', r"databases are named in \[databases\]"),
        ("[databases]\napp = 3", "dbmanager.toml: the database 'app': it must be a URL, or a"),
        ("[databases.app]\npool_size = 3", "dbmanager.toml: the database 'app': it has no 'url'"),
        ('[databases.app]\nurl = "sqlite:///a.db"\npool_sise = 3', "'pool_sise' is no setting"),
    ],
)
def test_wrong_configuration_file_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    (tmp_path / "dbmanager.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=message):
        DatabaseManager.named("app")


def test_configuration_file_that_can_not_be_used_where_it_is_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "why?"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "dbmanager.toml").write_text('[databases]\napp = "sqlite:///a.db"')
    with pytest.raises(ValueError, match=r"from a folder with '\?' in its name"):
        DatabaseManager.named("app")
    (folder / "dbmanager.toml").write_bytes(b'[databases]\napp = "\xff"')
    with pytest.raises(ValueError, match=r"dbmanager.toml is no valid TOML: 'utf-8' codec"):
        DatabaseManager.named("app")


def test_key_that_is_not_known_beside_the_databases_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.dbmanager]\napp = "sqlite:///a.db"\n[tool.x]')
    monkeypatch.chdir(tmp_path)
    message = (
        r"pyproject.toml: 'tool.dbmanager.app' is not known; .* in \[tool.dbmanager.databases\]"
    )
    with pytest.raises(ValueError, match=message):
        DatabaseManager.named("app")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pool_size": 2**31}, "pool_size must be a whole number from 0 to 100000"),
        ({"pragmas": {"foreign_keys": None}}, "None is no value for PRAGMA foreign_keys"),
        ({"pragmas": {"busy_timeout": True}}, "'ON' is no value for .*: it takes milliseconds"),
        ({"pragmas": {"journal_mode": "WALL"}}, "'WALL' is no value .* DELETE, .* WAL, OFF"),
    ],
)
def test_value_that_would_do_something_else_without_a_word_is_refused(
    url: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DatabaseManager(url, **settings)
    db = DatabaseManager(url)
    if "pool_size" in settings:
        with pytest.raises(ValueError, match=message):
            db.resize(**settings)
    use(db)


def test_resize_lets_waiting_sessions_in(url: str) -> None:
    db = DatabaseManager(url, pool_size=1, max_overflow=0, pool_timeout=60)
    with ThreadPoolExecutor(1) as executor, db.session():
        waiting = executor.submit(use, db)
        while db.get_stats()["requests_waiting"] == 0:
            pass
        db.resize(pool_size=20)
        waiting.result()
    use(db, 20)
    assert db.get_stats()["pool_idle"] == 20
    db.resize(pool_size=2)
    assert db.get_stats()["pool_idle"] == 2
    assert db.settings["pool_size"] == 2


def test_manager_that_was_resized_is_given_to_whoever_asks_for_it_as_it_was_made(url: str) -> None:
    db = DatabaseManager(url, pool_size=3)
    db.resize(pool_size=7)
    assert DatabaseManager(url, pool_size=3) is db
    assert DatabaseManager(url, pool_size=7) is db
    with pytest.raises(ValueError, match="pool_size: 7 and 5"):
        DatabaseManager(url, pool_size=5)


def test_level_of_the_log_may_be_set_late(url: str) -> None:
    logger = logging.getLogger("dbmanager.pool")
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = QueueHandler(records)
    logger.addHandler(handler)
    db = DatabaseManager(url)
    try:
        for level, expected in [(logging.WARNING, 0), (logging.INFO, 1), (logging.ERROR, 0)]:
            logger.setLevel(level)
            use(db)
            assert db.close_idle() == 1
            assert records.qsize() == expected
            if expected:
                assert "closed 1 idle connection(s)" in records.get().getMessage()
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)


def test_a_log_handler_that_fails_is_reported_and_fails_nothing_else(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.levelname)

    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hook: seen.append(hook.exc_value))
    logger = logging.getLogger("dbmanager.pool")
    handler = Failing()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    db = DatabaseManager(url)
    try:
        use(db)
        assert db.close_idle() == 1
        use(db)
    finally:
        logger.setLevel(logging.NOTSET)
        logger.removeHandler(handler)
    assert [(type(error), str(error)) for error in seen] == [(RuntimeError, "INFO")]


def test_hooks_of_the_last_user_hear_nothing_of_what_follows(url: str) -> None:
    heard: list[str] = []
    db = DatabaseManager(url)
    with db.session() as session:
        session.executescript("CREATE TABLE t (a); CREATE INDEX i ON t (a)")
        session.executemany("INSERT INTO t VALUES (?)", [(n % 9,) for n in range(3000)])
        session.execute("SELECT * FROM t WHERE a = 1").all()
        session.commit()
        session.set_trace_callback(heard.append)
        session.set_authorizer(lambda *action: heard.append(f"{action}") or sqlite3.SQLITE_DENY)
        session.set_progress_handler(lambda: heard.append("progress"), 1)
    with db.session() as session:
        assert session.scalar("SELECT count(*) FROM t") == 3000
    assert db.get_stats()["discarded_altered_total"] == 0
    db.close()
    assert heard == []


def test_close_idle_and_drain(url: str) -> None:
    db = DatabaseManager(url)
    use(db, 3)
    assert db.close_idle() == 3
    use(db, 2)
    with db.session():
        db.drain()
        assert db.get_stats()["pool_idle"] == 0
    figures = db.get_stats()
    assert (figures["pool_size"], figures["discarded_closed_total"]) == (0, 2)


LOGS_INTO_THE_DATABASE = """
import logging, subprocess, sys, threading
from contextlib import closing
from sqlite3 import connect
from dbmanager import DatabaseManager

def make(path):
    with closing(connect(path)) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")

def count():
    with db.session() as session:
        return session.execute("SELECT count(*) FROM t").fetchone()[0]

class Handler(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())
        counts.append(count())
        thread = threading.Thread(target=lambda: counts.append(count()))
        thread.start()
        thread.join()

path, other = sys.argv[1:]
make(path)
make(other)
db = DatabaseManager("sqlite:///" + path)
messages, counts = [], []
logger = logging.getLogger("dbmanager.pool")
logger.addHandler(Handler())
logger.setLevel(logging.INFO)
count()
subprocess.run(["mv", other, path], check=True)
count()
logger.setLevel(logging.ERROR)
print("idle connection(s) (stale)" in messages[0], set(counts))
"""


def test_a_log_handler_may_use_the_database_whose_file_was_replaced(tmp_path: Path) -> None:
    code = LOGS_INTO_THE_DATABASE
    paths = [str(tmp_path / "a.db"), str(tmp_path / "b.db")]
    # In another process: if it hangs, it does so with the interpreter held.
    run = subprocess.run(
        [sys.executable, "-c", code, *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("True {1}\n", "")
