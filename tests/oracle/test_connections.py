"""Connections: opening, settings, threads, limits, copies, and what closing leaves."""

import gc
import os
import pathlib
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import Any

import pytest

import dbmanager.sqlite3
from tests.oracle.outcomes import attempt
from tests.oracle.steps import Run, same_on_both


@same_on_both
def test_connect_takes_every_argument_by_position_or_name(run: Run) -> None:
    connect = run.sqlite.connect
    run(connect)
    run(lambda: connect(":memory:", 1.0).close())
    run(lambda: connect(":memory:", 1.0, 0, "", True, run.sqlite.Connection, 10, False).close())
    run(lambda: connect(database=":memory:", timeout=1, uri=True).close())
    run(lambda: connect(":memory:", bogus=1))
    run(lambda: connect(":memory:", 1.0, timeout=2.0))
    run(lambda: connect(*([":memory:"] + [0] * 12)))
    run(lambda: connect(":memory:", factory=None))
    run(lambda: connect(":memory:", factory=5))
    run(lambda: connect(":memory:", factory=lambda *a, **k: (len(a), sorted(k))))
    run(lambda: connect(":memory:", 5.0, factory=lambda *a, **k: (len(a), sorted(k))))


@pytest.mark.parametrize("timeout", [0, 1, 0.5, -1, float("nan"), "x", None])
@same_on_both
def test_timeout_of_every_kind(run: Run, timeout: object) -> None:
    connection = run(run.connect, ":memory:", timeout=timeout)
    if connection is not None:
        run(lambda: connection.execute("PRAGMA busy_timeout").fetchone())


@pytest.mark.parametrize("timeout", [2**31, 1e300])
def test_timeout_beyond_what_c_holds_waits_as_long_as_can_be(timeout: float) -> None:
    # The stdlib converts it to an int, which C leaves undefined, and does not wait at all.
    with closing(dbmanager.sqlite3.connect(":memory:", timeout=timeout)) as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (2**31 - 1,)


@same_on_both
def test_timeout_shows_as_pragma(run: Run) -> None:
    run(lambda: run.connect().execute("PRAGMA busy_timeout").fetchone())
    run(lambda: run.connect(":memory:", 1.2345).execute("PRAGMA busy_timeout").fetchone())


@same_on_both
def test_database_may_be_text_bytes_or_path(run: Run) -> None:
    plain = run.path("plain.db")
    for name in (plain, os.fsencode(plain), pathlib.Path(plain)):
        connection = run(run.connect, name)
        run(connection.execute, "CREATE TABLE IF NOT EXISTS t (a)")
        run(connection.close)
    for name in (5, None, object(), ["x"], 1.5, bytearray(b"x")):
        run(run.connect, name)
    run(run.connect, "with\x00nul")
    run(run.connect, run.path("with\x00nul"))
    surrogate = run.path("caf\udce9.db")
    run(run.connect, surrogate)
    run(lambda: sorted(os.listdir(os.fsencode(run.folder))))


@same_on_both
def test_opening_what_cannot_be_opened(run: Run) -> None:
    run(run.connect, run.path("missing/test.db"))
    run(run.connect, str(run.folder))
    text = run.path("text.db")
    pathlib.Path(text).write_bytes(b"This is no database, but it is long enough." * 50)
    connection = run(run.connect, text)
    run(connection.execute, "SELECT * FROM sqlite_schema")
    run(connection.execute, "CREATE TABLE t (a)")
    run(connection.execute, "PRAGMA user_version")
    empty = run.path("empty.db")
    pathlib.Path(empty).write_bytes(b"")
    run(lambda: run.connect(empty).execute("SELECT * FROM sqlite_schema").fetchall())


@same_on_both
def test_connection_creates_its_file_at_the_first_write_or_at_once_alike(run: Run) -> None:
    path = pathlib.Path(run.path("new.db"))
    connection = run.connect(path)
    run.see(exists=path.exists(), size=path.stat().st_size if path.exists() else None)
    connection.execute("PRAGMA user_version")
    run.see(exists=path.exists())
    connection.execute("CREATE TABLE t (a)")
    run.see(larger=path.stat().st_size > 0)


@same_on_both
def test_uri_with_its_parameters_is_understood_when_asked_for(run: Run) -> None:
    path = run.path("uri.db")
    connection = run.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    run(lambda: run.connect(f"file:{path}?mode=ro", uri=True).execute("INSERT INTO t VALUES (1)"))
    run(lambda: run.connect(f"file:{path}?mode=rw", uri=True).execute("SELECT * FROM t").fetchall())
    run(run.connect, f"file:{path}x?mode=rw", uri=True)
    run(run.connect, f"file:{path}?mode=bogus", uri=True)
    run(run.connect, f"file:{path}?cache=bogus", uri=True)
    run(run.connect, f"file://elsewhere{path}", uri=True)
    run(run.connect, f"file:{path}?vfs=nothing", uri=True)
    run(lambda: run.connect(f"file:{path}?immutable=1", uri=True).execute("SELECT 1").fetchone())
    run(lambda: run.connect("file::memory:", uri=True).execute("SELECT 1").fetchone())
    run(lambda: run.connect("file:shared?mode=memory&cache=shared", uri=True).close())
    # Without uri=True it depends on the library: Debian's is compiled with USE_URI.
    run(run.connect, f"file:{path}", uri="yes")


@same_on_both
def test_shared_memory_database_is_shared_by_name(run: Run) -> None:
    name = f"file:shared_{run.folder.name}?mode=memory&cache=shared"
    first, second = run.connect(name, uri=True), run.connect(name, uri=True, timeout=0)
    first.execute("CREATE TABLE t (a)")
    first.execute("INSERT INTO t VALUES (1)")
    run(lambda: second.execute("SELECT * FROM t").fetchall())
    run(second.execute, "INSERT INTO t VALUES (2)")
    first.commit()
    run(lambda: second.execute("SELECT * FROM t").fetchall())
    run(second.execute, "INSERT INTO t VALUES (2)")
    run(second.rollback)


@same_on_both
def test_memory_and_temporary_databases_are_private(run: Run) -> None:
    for name in (":memory:", ""):
        first, second = run.connect(name), run.connect(name)
        first.execute("CREATE TABLE t (a)")
        run(second.execute, "SELECT * FROM t")
        run(lambda first=first: [row[1:] for row in first.execute("PRAGMA database_list")])


@same_on_both
def test_closed_connection_refuses_everything_but_close(run: Run) -> None:
    connection = run.connect()
    run(connection.close)
    run(connection.close)
    for step in (
        (connection.cursor,),
        (connection.commit,),
        (connection.rollback,),
        (connection.execute, "SELECT 1"),
        (connection.executemany, "SELECT 1", []),
        (connection.executescript, "SELECT 1"),
        (connection, "SELECT 1"),
        (connection.create_function, "f", 0, len),
        (connection.create_aggregate, "f", 0, object),
        (connection.create_collation, "c", None),
        (connection.set_authorizer, None),
        (connection.set_progress_handler, None, 1),
        (connection.set_trace_callback, None),
        (connection.interrupt,),
        (connection.iterdump,),
        (connection.backup, connection),
        (connection.blobopen, "t", "a", 1),
        (connection.getlimit, 0),
        (connection.setlimit, 0, 1),
        (connection.__enter__,),
        (connection.__exit__, None, None, None),
        (setattr, connection, "isolation_level", None),
        (setattr, connection, "isolation_level", ""),
        (setattr, connection, "row_factory", None),
        (setattr, connection, "text_factory", str),
    ):
        run(*step)
    for name in ("in_transaction", "total_changes", "isolation_level", "row_factory"):
        run(getattr, connection, name)
    if hasattr(connection, "serialize"):
        run(connection.serialize)
        run(connection.deserialize, b"")
    if hasattr(run.sqlite.Connection, "autocommit"):
        run(getattr, connection, "autocommit")
        run(setattr, connection, "autocommit", True)
        run(connection.getconfig, 1002)
        run(connection.setconfig, 1002)
    if hasattr(sqlite3.Connection, "enable_load_extension"):
        run(connection.enable_load_extension, True)
        run(connection.load_extension, "nothing")
    run(lambda: list(connection.iterdump()))


@same_on_both
def test_connection_without_base_init_refuses_everything(run: Run) -> None:
    class Forgetful(run.sqlite.Connection):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            pass

    connection = run.sqlite.connect(":memory:", factory=Forgetful)
    for step in (
        (connection.cursor,),
        (connection.execute, "SELECT 1"),
        (connection, "SELECT 1"),
        (connection.commit,),
        (connection.rollback,),
        (connection.close,),
        (connection.interrupt,),
        (connection.__enter__,),
        (getattr, connection, "in_transaction"),
        (getattr, connection, "total_changes"),
        (getattr, connection, "isolation_level"),
        (setattr, connection, "isolation_level", None),
    ):
        run(*step)


@same_on_both
def test_connection_initialised_again_is_another_database(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    connection.row_factory = run.sqlite.Row
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    run(cursor.fetchone)
    run(connection.__init__, ":memory:")
    run(connection.execute, "SELECT * FROM t")
    run.see(row_factory=connection.row_factory, in_transaction=connection.in_transaction)
    run(connection.__init__, run.path("missing/x.db"))
    run(connection.execute, "SELECT 1")
    run(connection.cursor)


@same_on_both
def test_subclass_and_factory_get_all_arguments(run: Run) -> None:
    class Recording(run.sqlite.Connection):
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            run.see(arguments=list(arguments), keywords=sorted(keywords))
            super().__init__(*arguments, **keywords)
            self.extra = "attribute"

    connection = run.connect(":memory:", 1.0, factory=Recording, cached_statements=5)
    run.see(extra=connection.extra)
    run(lambda: connection.execute("SELECT 1").fetchone())
    run(lambda: Recording(":memory:").close())
    run(lambda: run.connect(":memory:", 5.0, 0, "", True, Recording))


@same_on_both
def test_use_in_another_thread_is_refused_with_both_threads_named(run: Run) -> None:
    connection = run.connect()
    cursor = connection.execute("SELECT 1")
    kinds: list[object] = []

    def elsewhere() -> None:
        for step in (
            (connection.cursor,),
            (connection.commit,),
            (connection.rollback,),
            (connection.close,),
            (connection.execute, "SELECT 1"),
            (connection.interrupt,),
            (connection, "SELECT 1"),
            (connection.set_trace_callback, None),
            (connection.create_function, "f", 0, None),
            (connection.iterdump,),
            (connection.__enter__,),
            (connection.__exit__, None, None, None),
            (cursor.execute, "SELECT 1"),
            (cursor.fetchone,),
            (cursor.fetchall,),
            (cursor.fetchmany,),
            (cursor.close,),
            (next, cursor),
            (run.sqlite.Cursor, connection),
            (getattr, connection, "in_transaction"),
            (getattr, connection, "total_changes"),
            (getattr, connection, "isolation_level"),
            (setattr, connection, "isolation_level", None),
            (setattr, connection, "row_factory", None),
        ):
            _, outcome = attempt(*step)
            text = repr(outcome).replace(str(threading.get_ident()), "THERE")
            kinds.append(text.replace(str(threading.main_thread().ident), "HERE"))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    for kind in kinds:
        run.see(kind=kind)


@same_on_both
def test_check_same_thread_off_lets_another_thread_in(run: Run) -> None:
    connection = run.connect(":memory:", check_same_thread=False)
    thread = threading.Thread(target=lambda: run(connection.execute, "CREATE TABLE t (a)"))
    thread.start()
    thread.join()
    run(lambda: connection.execute("SELECT * FROM t").fetchall())
    for value in (0, 1, None, "x", []):
        run(run.connect, ":memory:", check_same_thread=value)


@same_on_both
def test_calling_a_connection_prepares_a_statement(run: Run) -> None:
    connection = run.connect()
    run(lambda: type(connection("SELECT 1")).__name__)
    run(connection, "SELECT 1; SELECT 2")
    run(connection, "oops")
    run(connection, 5)
    run(connection)
    run(connection, "SELECT 1", "SELECT 2")
    run(lambda: connection("") is None)


@pytest.mark.parametrize("category", [0, 1, 5, 10, 11, -1, 100, "x", None])
@same_on_both
def test_limits_are_read_and_set(run: Run, category: object) -> None:
    connection = run.connect()
    # Default values belong to the build of the library, and so does the least length.
    run(lambda: type(connection.getlimit(category)).__name__)
    run(lambda: type(connection.setlimit(category, 77)).__name__)
    run(connection.getlimit, category)
    run(connection.setlimit, category, -1)
    run(connection.setlimit, category)
    run(connection.setlimit, category, "x")


if sys.version_info >= (3, 12):

    @same_on_both
    def test_database_configuration_is_read_and_set(run: Run) -> None:
        connection = run.connect()
        names = [name for name in dir(run.sqlite) if name.startswith("SQLITE_DBCONFIG_")]
        common = {
            "SQLITE_DBCONFIG_ENABLE_FKEY",
            "SQLITE_DBCONFIG_ENABLE_TRIGGER",
            "SQLITE_DBCONFIG_ENABLE_VIEW",
            "SQLITE_DBCONFIG_DEFENSIVE",
            "SQLITE_DBCONFIG_WRITABLE_SCHEMA",
            "SQLITE_DBCONFIG_DQS_DML",
            "SQLITE_DBCONFIG_DQS_DDL",
            "SQLITE_DBCONFIG_TRUSTED_SCHEMA",
            "SQLITE_DBCONFIG_LEGACY_FILE_FORMAT",
            "SQLITE_DBCONFIG_LEGACY_ALTER_TABLE",
            "SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE",
            "SQLITE_DBCONFIG_RESET_DATABASE",
        }
        for name in sorted(common & set(names)):
            option = getattr(run.sqlite, name)
            run(connection.getconfig, option)
            run(connection.setconfig, option)
            run(connection.getconfig, option)
            run(connection.setconfig, option, False)
            run(connection.getconfig, option)
            run(connection.setconfig, option, enable=True)
        for option in (-1, 0, 1000, 9999, "x", None):
            run(connection.getconfig, option)
            run(connection.setconfig, option)


@same_on_both
def test_foreign_keys_and_other_defaults_are_the_stdlibs(run: Run) -> None:
    connection = run.connect()
    for name in (
        "foreign_keys",
        "recursive_triggers",
        "encoding",
        "auto_vacuum",
        "synchronous",
        "journal_mode",
        "page_size",
        "cache_spill",
        "defer_foreign_keys",
        "read_uncommitted",
        "case_sensitive_like",
        "temp_store",
        "locking_mode",
        "query_only",
        "trusted_schema",
        "user_version",
        "wal_autocheckpoint",
        "cell_size_check",
        "legacy_alter_table",
        "secure_delete",
        "fullfsync",
        "checkpoint_fullfsync",
        "automatic_index",
        "ignore_check_constraints",
        "reverse_unordered_selects",
        "max_page_count",
    ):
        if name in {"secure_delete", "max_page_count"}:
            continue  # build options of Debian's library, not of the interface
        run(lambda name=name: connection.execute(f"PRAGMA {name}").fetchall())
    file = run.connect(run.path())
    run(lambda: file.execute("PRAGMA journal_mode").fetchone())
    run(lambda: file.execute("PRAGMA synchronous").fetchone())
    run(lambda: file.execute("PRAGMA cache_size").fetchone())


@same_on_both
def test_total_changes_counts_all_rows_ever_changed(run: Run) -> None:
    connection = run.connect()
    run.see(total=connection.total_changes)
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
    run.see(total=connection.total_changes)
    connection.execute("UPDATE t SET a = a")
    connection.rollback()
    run.see(total=connection.total_changes)


@same_on_both
def test_locked_database_fails_at_once_without_a_timeout(run: Run) -> None:
    path = run.path()
    first, second = run.connect(path), run.connect(path, timeout=0)
    first.execute("CREATE TABLE t (a)")
    first.execute("INSERT INTO t VALUES (1)")
    run(second.execute, "INSERT INTO t VALUES (2)")
    run(lambda: second.execute("SELECT * FROM t").fetchall())
    run(second.execute, "BEGIN IMMEDIATE")
    run(second.executescript, "BEGIN EXCLUSIVE")
    run.see(in_transaction=second.in_transaction)
    first.execute("PRAGMA journal_mode")
    first.commit()
    run(second.rollback)
    run(second.execute, "INSERT INTO t VALUES (2)")
    run(second.commit)


@same_on_both
def test_wal_snapshot_that_is_old_refuses_to_write(run: Run) -> None:
    path = run.path()
    first, second = run.connect(path, timeout=0), run.connect(path, timeout=0)
    run(lambda: first.execute("PRAGMA journal_mode = WAL").fetchone())
    first.execute("CREATE TABLE t (a)")
    run(second.execute, "BEGIN")
    run(lambda: second.execute("SELECT * FROM t").fetchall())
    first.execute("INSERT INTO t VALUES (1)")
    first.commit()
    run(second.execute, "INSERT INTO t VALUES (2)")
    run.see(in_transaction=second.in_transaction)
    run(second.rollback)
    run(second.execute, "INSERT INTO t VALUES (2)")
    run(second.commit)


@same_on_both
def test_wal_files_come_and_go_with_the_connections(run: Run) -> None:
    path = run.path("wal.db")
    connection = run.connect(path)
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    connection.commit()
    run.see(files=sorted(os.listdir(run.folder)))
    connection.close()
    run(lambda: run.connect(path).execute("SELECT * FROM t").fetchall())


@same_on_both
def test_interrupt_when_idle_does_nothing(run: Run) -> None:
    connection = run.connect()
    run(connection.interrupt)
    run(lambda: connection.execute("SELECT 1").fetchone())
    run(connection.interrupt, 1)


@same_on_both
def test_interrupt_from_a_callback_ends_the_statement(run: Run) -> None:
    connection = run.connect()
    connection.create_function("stop", 0, connection.interrupt)
    run(lambda: connection.execute("SELECT stop() FROM json_each('[1,2,3]')").fetchall())
    run(lambda: connection.execute("SELECT 1").fetchall())
    connection.execute("CREATE TABLE t (a)")
    run(connection.execute, "INSERT INTO t SELECT stop() FROM json_each('[1,2]')")
    run.see(in_transaction=connection.in_transaction)


def filled(run: Run) -> Any:
    """Open a connection on a schema with everything that a dump has to write."""
    connection = run.connect()
    connection.executescript(
        """
        CREATE TABLE "index" ("index" BLOB);
        CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b TEXT DEFAULT 'it''s', c);
        CREATE INDEX i ON t (b);
        CREATE VIEW v AS SELECT a FROM t;
        CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;
        CREATE TABLE "qu""oted" ("we ird" INT);
        CREATE VIRTUAL TABLE f USING fts4 (body);
        INSERT INTO t (b, c) VALUES ('é', x'00ff'), (NULL, 5), ('line
break', 0.5);
        INSERT INTO "qu""oted" VALUES (7);
        INSERT INTO f VALUES ('words');
        CREATE TABLE test (a);
        """
    )
    return connection


@same_on_both
def test_iterdump_writes_the_same_lines_and_they_can_be_read_back(run: Run) -> None:
    connection = filled(run)
    lines = run(lambda: list(connection.iterdump()))
    connection.row_factory = run.sqlite.Row
    run(lambda: list(connection.iterdump()))
    run.see(row_factory_kept=connection.row_factory is run.sqlite.Row)
    again = run.connect()
    run(again.executescript, "\n".join(lines))
    run(lambda: again.execute("SELECT * FROM t").fetchall())
    connection.row_factory = lambda cursor, row: None
    run(lambda: list(connection.iterdump()))


@same_on_both
def test_iterdump_of_an_empty_database_and_with_arguments(run: Run) -> None:
    run(lambda: list(run.connect().iterdump()))
    run(run.connect().iterdump, 1)
    if sys.version_info >= (3, 13):
        run(lambda: list(filled(run).iterdump(filter="t%")))
        run(lambda: list(filled(run).iterdump(filter=None)))
        run(lambda: list(filled(run).iterdump(filter="nothing")))
        run(lambda: list(filled(run).iterdump(filter=5)))


@same_on_both
def test_backup_copies_and_reports_progress(run: Run) -> None:
    source = run.connect()
    source.execute("CREATE TABLE t (a)")
    source.executemany("INSERT INTO t VALUES (zeroblob(?))", [(1000,)] * 50)
    source.commit()
    target = run.connect()
    seen: list[tuple[int, int, int]] = []
    run(source.backup, target, pages=3, progress=lambda *a: seen.append(a))
    run.see(seen=seen)
    run(lambda: target.execute("SELECT count(*) FROM t").fetchone())
    run(source.backup, target)
    run(source.backup, target, name="main", pages=-1, sleep=0.0)
    run(source.backup, target, pages=0)
    run(source.backup, target, name="temp")
    run(source.backup, target, name="nothing")
    run(source.backup, source)
    run(source.backup, None)
    run(source.backup)
    run(source.backup, target, progress=5)
    run(source.backup, target, pages="x")
    run(source.backup, target, sleep="x")
    run(source.backup, target, 5)
    run(source.backup, target=target, name="main")


@same_on_both
def test_backup_to_a_closed_or_busy_target(run: Run) -> None:
    source, target = run.connect(), run.connect()
    source.execute("CREATE TABLE t (a)")
    target.close()
    run(source.backup, target)
    path = run.path()
    locker, target = run.connect(path), run.connect(path, timeout=0)
    locker.execute("CREATE TABLE x (a)")
    target.execute("BEGIN")
    target.execute("INSERT INTO x VALUES (1)")
    run(source.backup, target)
    run.see(in_transaction=target.in_transaction)
    target.rollback()
    run(source.backup, target)
    run(lambda: locker.execute("SELECT name FROM sqlite_schema").fetchall())


@same_on_both
def test_serialize_and_deserialize_carry_the_database(run: Run) -> None:
    connection = run.connect()
    if not hasattr(connection, "serialize"):
        return
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES ('kept')")
    connection.commit()
    image = connection.serialize()
    run.see(kind=type(image).__name__, head=image[:16])
    other = run.connect()
    run(other.deserialize, image)
    run(lambda: other.execute("SELECT * FROM t").fetchall())
    run(other.execute, "INSERT INTO t VALUES ('more')")
    run(other.commit)
    run(other.deserialize, bytearray(image))
    run(other.deserialize, memoryview(image))
    run(other.deserialize, b"")
    run(lambda: other.execute("SELECT * FROM sqlite_schema").fetchall())
    run(other.deserialize, b"not a database" * 100)
    run(other.execute, "SELECT * FROM sqlite_schema")
    other = run.connect()
    run(other.deserialize, "text")
    run(other.execute, "SELECT * FROM sqlite_schema")
    run(other.deserialize)
    other = run.connect()
    run(connection.serialize, name="nothing")
    run(connection.serialize, name=5)
    run(connection.serialize, "main")
    run(other.deserialize, image, "main")
    # Into "temp" and unknown names: the stdlib raises SystemError or an old error: test_crashes.


@same_on_both
def test_extensions_are_off_until_enabled(run: Run) -> None:
    connection = run.connect()
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        pytest.skip("this Python's own sqlite3 was built without extension loading: no oracle")
    for step in (
        (connection.load_extension, "no-such-extension"),
        (connection.enable_load_extension, True),
        (connection.enable_load_extension, False),
        (connection.enable_load_extension,),
        (connection.load_extension,),
        (connection.load_extension, 5),
        (connection.enable_load_extension, "truthy"),
        (connection.enable_load_extension, 0),
        (connection.load_extension, "no-such-extension"),
    ):
        run(*step)


@same_on_both
def test_attached_databases_are_read_and_written(run: Run) -> None:
    connection = run.connect()
    run(connection.execute, "ATTACH ? AS other", (run.path("other.db"),))
    run(connection.execute, "CREATE TABLE other.t (a)")
    run(connection.execute, "INSERT INTO other.t VALUES (1)")
    run(connection.execute, "DETACH other")
    run(connection.commit)
    run(connection.execute, "DETACH other")
    run(connection.execute, "SELECT * FROM other.t")
    run(lambda: run.connect(run.path("other.db")).execute("SELECT * FROM t").fetchall())


@same_on_both
def test_audit_events_of_opening_and_loading(run: Run) -> None:
    events: list[tuple[str, list[object]]] = AUDITED
    events.clear()
    WATCHING[0] = True
    try:
        connection = run.connect(":memory:", factory=run.sqlite.Connection)
        run(run.connect, run.path("missing/x.db"))
        if hasattr(sqlite3.Connection, "enable_load_extension"):
            connection.enable_load_extension(True)
            connection.enable_load_extension(False)
            run(connection.load_extension, "nothing")
    finally:
        WATCHING[0] = False
    for name, arguments in list(events):
        own = [str(a).replace(str(run.folder), "") for a in arguments if isinstance(a, str | int)]
        run.see(event=name, arguments=own, count=len(arguments))


# An audit hook can't be removed, so one for all, which listens when told to.
AUDITED: list[tuple[str, list[object]]] = []
WATCHING = [False]


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if WATCHING[0] and event.startswith("sqlite3."):
        AUDITED.append((event, list(arguments)))


sys.addaudithook(_audit)


@same_on_both
def test_unclosed_connection_warns_or_not_as_this_python_does(run: Run) -> None:
    # The stdlib's connection is part of a cycle and goes with the next collection, ours at
    # once: both on this line, which the warning names.
    dropped = (run.sqlite.connect(":memory:") is None, gc.collect())
    run.see(dropped=dropped[0])
    closed = run.sqlite.connect(":memory:")
    closed.close()
    del closed


if sys.version_info >= (3, 12):

    @same_on_both
    def test_positional_arguments_after_the_database_are_deprecated_or_not(run: Run) -> None:
        run(lambda: run.sqlite.connect(":memory:", 5.0).close())
        connection = run.connect()
        run(connection.create_function, "f", 1, abs)
        run(connection.create_function, name="f", narg=1, func=abs)
        run(connection.set_authorizer, authorizer_callback=None)
        run(connection.set_progress_handler, progress_handler=None, n=1)
        run(connection.set_trace_callback, trace_callback=None)
        run(connection.create_aggregate, name="a", n_arg=1, aggregate_class=None)
        run(connection.execute, "SELECT :a", (1,))
        run(connection.execute, "SELECT ?, :b", (1, 2))


class Truth:
    """An object whose truth value fails."""

    def __bool__(self) -> bool:
        """Fail."""
        raise RuntimeError("neither true nor false")


@pytest.mark.parametrize("value", [0, 1, 2, True, None, "", "a", 1.5, [], 2**40, Truth()], ids=repr)
@same_on_both
def test_every_kind_of_truth_value(run: Run, value: object) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t AS SELECT zeroblob(3) AS a")
    connection.commit()
    run(connection.create_function, "f", 0, lambda: 1, deterministic=value)
    run(connection.execute, "CREATE INDEX i ON t (f())")
    blob = run(connection.blobopen, "t", "a", 1, readonly=value)
    if blob is not None:
        run(blob.write, b"x")
        blob.close()


@pytest.mark.parametrize("name", [None, 1, b"main", "main", "temp", "nothing", "ma\0in", "\ud800"])
@same_on_both
def test_every_kind_of_schema_name(run: Run, name: object) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t AS SELECT zeroblob(3) AS a")
    connection.commit()
    image = connection.serialize()
    run(connection.blobopen, "t", "a", 1, name=name)
    run(lambda: len(connection.serialize(name=name)))
    run(connection.deserialize, image, name=name)
    run(connection.backup, run.connect(), name=name)


@pytest.mark.skipif(not hasattr(sqlite3.Connection, "getconfig"), reason="since Python 3.12")
@pytest.mark.parametrize("option", [2**31, -(2**31) - 1, 2**70, -1, 1.5, "1", None])
@same_on_both
def test_every_kind_of_configuration_option(run: Run, option: object) -> None:
    connection = run.connect()
    run(connection.getconfig, option)
    run(connection.setconfig, option)


@same_on_both
def test_subclass_may_rewrite_or_refuse_texts_in_its_call(run: Run) -> None:
    seen = []

    class Strict(run.sqlite.Connection):  # type: ignore[misc, name-defined]
        def __call__(self, sql: str) -> object:
            seen.append(sql)
            if "secret" in sql:
                raise PermissionError(sql)
            return super().__call__(sql.replace("%s", "?"))

    connection = run.connect(":memory:", factory=Strict)
    first = "SELECT %s"
    run(lambda: connection.execute(first, (5,)).fetchall())
    run(lambda: connection.execute(first, (6,)).fetchall())
    run(lambda: connection.execute("SELECT 'secret'").fetchall())
    run(lambda: connection.execute("CREATE TABLE t (a)"))
    run(lambda: connection.executemany("INSERT INTO t VALUES (%s)", [(1,), (2,)]).rowcount)
    run(lambda: connection.cursor().execute("SELECT sum(a) FROM t WHERE a < %s", (9,)).fetchone())
    run(lambda: connection.executescript("SELECT 'secret'; DROP TABLE t"))
    run(lambda: connection.execute("SELEC"))
    run(lambda: list(seen))


def test_call_of_a_subclass_must_give_a_statement() -> None:
    class Wrong(dbmanager.sqlite3.Connection):
        def __call__(self, sql: str) -> object:  # type: ignore[override]
            return sql

    with closing(dbmanager.sqlite3.connect(":memory:", factory=Wrong)) as connection:
        with pytest.raises(TypeError, match=r"Wrong.__call__ must give what .* gives, not str"):
            connection.execute("SELECT 1")
        connection.executescript("SELECT 1")


@pytest.mark.parametrize(
    "script", ["/*", "SELECT 1; /*", "SELECT 1; /* a", "/* a */ /*", "--", "-"]
)
@same_on_both
def test_script_that_ends_in_a_comment(run: Run, script: str) -> None:
    connection = run.connect()
    run(lambda: connection.executescript(script).fetchall())
    run(lambda: connection.execute(script).fetchall())


@pytest.mark.parametrize("act", ["close()", "__init__(':memory:')"])
def test_call_of_a_subclass_may_close_or_reopen_the_connection(act: str) -> None:
    # Ours only: the stdlib crashes.
    code = f"""
from dbmanager import sqlite3
class Changing(sqlite3.Connection):
    def __call__(self, sql):
        statement = super().__call__(sql)
        self.{act}
        return statement
connection = sqlite3.connect(":memory:", factory=Changing)
for _ in range(3):
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError as error:
        print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60
    )
    message = "Cannot operate on a closed database.\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, 3 * message, "")
