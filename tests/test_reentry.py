"""Connections that are closed or opened anew while something of them is running.

Each scenario once crashed or hung the extension, so each runs in an interpreter of its own.
"""

import subprocess
import sys
import threading

import pytest

from dbmanager import sqlite3

PRELUDE = """
import gc, threading
from dbmanager import sqlite3
gc.set_threshold(1)
"""

SCENARIOS = {
    "rows of executemany open the connection anew": """
        con = sqlite3.connect(":memory:")
        con.create_function("f", 1, lambda x: x)
        con.execute("CREATE TABLE t (a)")
        con.commit()
        def rows():
            for i in range(100):
                if i == 3:
                    con.__init__(":memory:")
                yield (i,)
        try:
            con.cursor().executemany("INSERT INTO t VALUES (f(?))", rows())
        except sqlite3.ProgrammingError as error:
            assert "closed database" in str(error)
        else:
            raise AssertionError("not refused")
        con.close()
    """,
    "a key of a dict closes the connection while it is compared": """
        class Key(str):
            __hash__ = str.__hash__
            def __eq__(self, other):
                con.close()
                return str.__eq__(self, other)
        sql = "SELECT :a, :b"
        for executions in range(3):
            con = sqlite3.connect(":memory:")
            for _ in range(executions):
                assert con.execute(sql, {"a": 1, "b": 2}).fetchone() == (1, 2)
            try:
                con.execute(sql, {Key("a"): 1, "b": 2}).fetchall()
            except sqlite3.ProgrammingError as error:
                assert "closed database" in str(error)
            else:
                raise AssertionError("not refused")
    """,
    "a key of a dict uses the cursor while it is compared": """
        class Key(str):
            __hash__ = str.__hash__
            def __eq__(self, other):
                try:
                    cursor.execute("SELECT 7 UNION SELECT 8")
                except sqlite3.ProgrammingError as error:
                    refused.append(str(error))
                return str.__eq__(self, other)
        con = sqlite3.connect(":memory:")
        con.execute("CREATE TABLE t (a)")
        cursor = con.cursor()
        for number in range(3):
            refused = []
            cursor.execute("INSERT INTO t VALUES (:a)", {"a": number})
            cursor.execute("INSERT INTO t VALUES (:a)", {Key("a"): 5})
            assert refused == ["Recursive use of cursors not allowed."]
            assert cursor.fetchall() == [] and cursor.description is None
        assert con.execute("SELECT count(*) FROM t").fetchone() == (6,)
        con.close()
    """,
    "another thread opens a shared connection anew": """
        con = sqlite3.connect(":memory:", check_same_thread=False)
        stop = threading.Event()
        def work():
            while not stop.is_set():
                try:
                    con.execute("SELECT 1 UNION SELECT 2").fetchall()
                    con.commit()
                    con.executescript("SELECT 1; SELECT 2")
                except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
                    pass
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            con.__init__(":memory:", check_same_thread=False)
        stop.set()
        for thread in threads:
            thread.join()
        con.close()
    """,
    "a trace of COMMIT opens the connection anew": """
        con = sqlite3.connect(":memory:")
        con.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)")
        cur = con.execute("SELECT * FROM t")
        con.execute("INSERT INTO t VALUES (4)")
        def trace(sql):
            global cur
            if sql.startswith("COMMIT"):
                con.__init__(":memory:")
                cur = None
        con.set_trace_callback(trace)
        con.commit()
        assert con.execute("SELECT 1").fetchall() == [(1,)]
        con.close()
    """,
    "a function opens the connection anew while its rows are fetched": """
        con = sqlite3.connect(":memory:")
        con.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)")
        con.create_function("again", 1, lambda x: con.__init__(":memory:") if x == 2 else x)
        for fetch in ("fetchall", "fetchone", "fetchmany"):
            cur = con.cursor()
            try:
                cur.execute("SELECT again(a) FROM t")
                getattr(cur, fetch)()
            except sqlite3.Error:
                pass
            del cur
        con.close()
    """,
    "a trace closes the connection, and its lock is gone with it": """
        import tempfile, os
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.db")
            con = sqlite3.connect(path)
            con.execute("CREATE TABLE t (a)")
            con.execute("INSERT INTO t VALUES (1)")
            con.set_trace_callback(lambda sql: con.close())
            try:
                con.execute("INSERT INTO t VALUES (2)")
            except sqlite3.Error:
                pass
            other = sqlite3.connect(path, timeout=0)
            other.execute("INSERT INTO t VALUES (3)")
            other.close()
    """,
    "a backup goes into a connection whose thread is in a statement": """
        source = sqlite3.connect(":memory:")
        source.execute("CREATE TABLE copied (a)")
        box, inside, go = {}, threading.Event(), threading.Event()
        def owner():
            target = box["target"] = sqlite3.connect(":memory:")
            def wait():
                inside.set()
                go.wait()
                return 1
            target.create_function("wait", 0, wait)
            target.execute("SELECT wait()").fetchall()
            done.wait()
            target.close()
        done = threading.Event()
        thread = threading.Thread(target=owner)
        thread.start()
        inside.wait()
        threading.Timer(0.05, go.set).start()
        source.backup(box["target"])
        done.set()
        thread.join()
        source.close()
    """,
}


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
def test_connection_survives_when(scenario: str) -> None:
    body = "\n".join(line[8:] for line in scenario.splitlines())
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + body],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_behind_one_that_cannot_be_decoded_are_not_lost(threads: int) -> None:

    over = threading.Event()
    other = threading.Thread(target=over.wait)
    if threads == 2:
        other.start()
    try:
        connection = sqlite3.connect(":memory:")
        cursor = connection.execute(
            "SELECT 'a' UNION ALL SELECT 'b' "
            "UNION ALL SELECT cast(x'ff' AS TEXT) UNION ALL SELECT 'c'"
        )
        with pytest.raises(sqlite3.OperationalError, match="Could not decode to UTF-8"):
            cursor.fetchall()
        connection.text_factory = bytes
        assert cursor.fetchall() == [(b"\xff",), (b"c",)]
        connection.close()
    finally:
        over.set()
        if threads == 2:
            other.join()
