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

def start(work):
    threading.Thread(target=work, daemon=True).start()

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
