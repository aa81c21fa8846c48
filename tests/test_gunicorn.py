"""gunicorn --preload: workers forked from a process that has used the application."""

import http.client
import os
import signal
import socket
import sqlite3 as stdlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("gunicorn", reason="gunicorn is not installed")

APPLICATION = """
import os
from contextlib import closing

from dbmanager import DatabaseManager, sqlite3

PATH = os.environ["TEST_DATABASE"]
db = DatabaseManager("sqlite:///" + PATH, pool_timeout=60)
# The process that loads this has used both doors before it forks.
with db.session() as session:
    session.execute("CREATE TABLE t (number INTEGER, process INTEGER)")
with closing(sqlite3.connect(PATH)) as connection, connection:
    connection.execute("INSERT INTO t VALUES (-1, ?)", (os.getpid(),))
kept = sqlite3.connect(PATH, check_same_thread=False)
kept.execute("SELECT count(*) FROM t").fetchone()


def application(environ, start_response):
    number = int(environ["QUERY_STRING"])
    if number % 2:
        with db.session() as session:
            session.execute("INSERT INTO t VALUES (?, ?)", (number, os.getpid()))
            seen = session.scalar("SELECT count(*) FROM t WHERE number = ?", (number,))
    else:
        with closing(sqlite3.connect(PATH, timeout=60)) as connection, connection:
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, os.getpid()))
            (seen,) = connection.execute(
                "SELECT count(*) FROM t WHERE number = ?", (number,)
            ).fetchone()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{seen} {os.getpid()}".encode()]
"""

REQUESTS = 200


class ByFile(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


def test_workers_forked_from_a_used_application_serve_from_the_first_request(
    tmp_path: Path,
) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    database, listener = tmp_path / "app.db", tmp_path / "socket"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "gunicorn", "--preload"]
    command += ["--workers", "2", "--bind", f"unix:{listener}", "--no-control-socket"]
    command += ["--log-level", "warning", "application"]
    server = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "TEST_DATABASE": str(database)},
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = threading.Event()

    def ask(number: int) -> int:
        while True:
            try:
                with closing(ByFile(listener)) as connection:
                    connection.request("GET", f"/?{number}")
                    response = connection.getresponse()
                    text = response.read().decode()
            except OSError:
                # It does not listen yet.
                assert server.poll() is None
                continue
            except http.client.HTTPException:
                # Its worker was killed: the row may be there, once.
                assert killed.is_set()
                continue
            assert (response.status, text[:2]) in {(200, "1 "), (200, "2 ")}, text
            return int(text[2:])

    try:
        with ThreadPoolExecutor(8) as executor:
            workers = set(executor.map(ask, range(REQUESTS)))
            # A new one is forked in the midst of requests.
            killed.set()
            os.kill(workers.pop(), signal.SIGKILL)
            workers |= set(executor.map(ask, range(REQUESTS, 2 * REQUESTS)))
    finally:
        server.send_signal(signal.SIGTERM)
        errors = server.communicate(timeout=60)[1]
    assert server.returncode == 0, errors
    assert "Traceback" not in errors
    with closing(stdlib.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        numbers = {number for (number,) in connection.execute("SELECT number FROM t")}
        processes = {process for (process,) in connection.execute("SELECT process FROM t")}
    assert numbers == set(range(-1, 2 * REQUESTS))
    # The one that loaded the application, two workers, and the one that came for the killed one.
    assert len(processes) >= 3
