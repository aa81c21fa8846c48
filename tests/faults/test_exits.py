"""The interpreter ends with sessions open."""

from pathlib import Path

import pytest

from tests.faults.programs import (
    BOTH_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    PROLOGUE,
    content,
    database,
    run,
)

pytestmark = LINUX_ONLY


EXIT = f"""{PROLOGUE}
import time
where, end = sys.argv[4:6]
ready = threading.Event()
kept = []

def write(a):
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (?, NULL)", (a,))
    os.write(1, b"%d\\n" % a)

def leave_open():
    write(1)
    if door == "session":
        connection = db.session().__enter__()
    else:
        connection = sqlite3.connect(path)
    connection.create_function("began", 0, lambda: ready.set() or 1)
    connection.execute("INSERT INTO t VALUES (2, NULL)")
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    cursor.fetchone()
    kept.append((connection, cursor))
    return connection

def wait_in_a_daemon():
    leave_open()
    ready.set()
    threading.Event().wait()

def query_in_a_daemon():
    leave_open().execute(
        "WITH RECURSIVE c(n) AS (SELECT began() UNION ALL SELECT 1 FROM c) SELECT count(*) FROM c"
    ).fetchall()

def stay(*_):
    # It wants the interpreter again and again when that ends.
    ready.set()
    while True:
        time.sleep(0.0005)

class Adapted:
    def __conform__(self, protocol):
        stay()

def rows():
    yield (5, None)
    stay()

def stay_in_a_callback(kind):
    connection = leave_open()
    ready.clear()
    if kind == "function":
        connection.create_function("stay", 0, stay)
        connection.execute("SELECT stay()").fetchall()
    elif kind == "collation":
        connection.create_collation("stay", stay)
        connection.execute("SELECT 'a' < 'b' COLLATE stay").fetchall()
    elif kind == "progress":
        connection.set_progress_handler(stay, 1)
        connection.execute("SELECT 1").fetchall()
    elif kind == "trace":
        connection.set_trace_callback(stay)
        connection.execute("SELECT 1").fetchall()
    elif kind == "row_factory":
        connection.row_factory = stay
        connection.execute("SELECT 1").fetchall()
    elif kind == "text_factory":
        connection.text_factory = stay
        connection.execute("SELECT 'a'").fetchall()
    elif kind == "adapter":
        connection.execute("SELECT ?", (Adapted(),)).fetchall()
    elif kind == "rows":
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows())

def wait_for_the_lock_in_a_daemon():
    with transaction() as connection:
        connection.execute("SELECT 1").fetchall()
        ready.set()
        connection.execute("INSERT INTO t VALUES (3, NULL)")

def write_in_a_daemon():
    a = 1
    while True:
        write(a)
        a += 1
        if a == 20:
            ready.set()

def wait_for_a_place_in_a_daemon():
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (4, NULL)")

def raise_system_exit_in_a_block():
    write(1)
    with transaction() as connection:
        connection.execute("INSERT INTO t VALUES (2, NULL)")
        sys.exit(0)

def start(work, *arguments):
    threading.Thread(target=work, args=arguments, daemon=True).start()

if where == "main":
    leave_open()
elif where == "block":
    raise_system_exit_in_a_block()
elif where == "daemon":
    start(wait_in_a_daemon)
    ready.wait()
elif where == "query":
    start(query_in_a_daemon)
    ready.wait()
elif where == "lock":
    leave_open()
    start(wait_for_the_lock_in_a_daemon)
    ready.wait()
elif where == "place":
    leave_open()
    # As many as there can be, the one that is open already included.
    kept += [db.session().__enter__() for _ in range(19 if door == "session" else 20)]
    start(wait_for_a_place_in_a_daemon)
    while db.get_stats()["requests_waiting"] == 0:
        pass
elif where == "writing":
    start(write_in_a_daemon)
    ready.wait()
elif where == "callback":
    start(stay_in_a_callback, end)
    ready.wait()
if end == "exit":
    sys.exit(0)
"""


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize(
    ("where", "end"),
    [
        ("main", "end"),
        ("main", "exit"),
        ("block", "exit"),
        ("daemon", "end"),
        ("daemon", "exit"),
        ("query", "end"),
        ("lock", "end"),
        ("place", "end"),
        ("writing", "end"),
    ],
)
def test_the_interpreter_ends_in_peace_and_only_committed_work_stays(
    tmp_path: Path, mode: str, door: str, where: str, end: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    acknowledged = [int(line) for line in run(EXIT, path, mode, door, where, end).split()]
    found = content(path)
    if where == "writing":
        # And at most the one of which there was no time to tell.
        assert len(acknowledged) >= 19
        assert found in (acknowledged, [*acknowledged, len(acknowledged) + 1])
    else:
        assert found == acknowledged == [1]


CALLBACKS = (
    *("function", "collation", "progress", "trace"),
    *("row_factory", "text_factory", "adapter", "rows"),
)


@BOTH_DOORS
@pytest.mark.parametrize("callback", CALLBACKS)
def test_the_interpreter_ends_in_peace_while_a_thread_is_in_a_callback(
    tmp_path: Path, door: str, callback: str
) -> None:
    path = database(tmp_path / "a.db", "wal")
    assert run(EXIT, path, "wal", door, "callback", callback).split() == ["1"]
    assert content(path) == [1]


CONNECTING = """
import dbmanager, sqlite3, sys, threading

path, mode = sys.argv[1:]
if mode == "bypass":
    dbmanager.configure(bypass=["__main__"])
    connect = dbmanager.connect
else:
    dbmanager.install(mode)
    connect = sqlite3.connect
begun = threading.Semaphore(0)

def work():
    while True:
        try:
            connect(path).close()
        except dbmanager.DirectConnectError:
            assert mode == "error"
        begun.release()

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(300):
    begun.acquire()
"""


@pytest.mark.parametrize("mode", ["error", "route", "bypass"])
def test_the_interpreter_ends_in_peace_while_threads_connect_by_the_shim(
    tmp_path: Path, mode: str
) -> None:
    run(CONNECTING, tmp_path / "a.db", mode)
