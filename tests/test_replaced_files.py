"""A file that others put in place, or copy, while ours have the one before open and idle."""

import os
import shutil
import sqlite3 as stdlib
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import pytest

import dbmanager
from dbmanager import DatabaseManager, sqlite3


def database(path: Path, rows: int) -> Path:
    """Make a database in WAL mode by the stdlib."""
    with closing(stdlib.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a, b)")
        rows_of_text = [(a, "x" * 60) for a in range(rows)]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows_of_text)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with idle connections of ours, of which one has written."""
    path = database(tmp_path / "app.db", 5)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE t SET b = 'y'")
    return path


OTHER = """
import os, sqlite3, sys
path, new, how = sys.argv[1:]
if how == "replaced":
    os.replace(new, path)
else:
    os.remove(path)
    if how == "made anew":
        with sqlite3.connect(path) as made:
            made.execute("PRAGMA journal_mode=wal")
            made.execute("CREATE TABLE t (a, b)")
    else:
        os.rename(new, path)
connection = sqlite3.connect(path)
rows = connection.execute("SELECT count(*) FROM t").fetchone()[0]
for step in range(4):
    for _ in range(5):
        with connection:
            connection.execute("INSERT INTO t VALUES (?, 'z')", (step,))
        if how == "opened again":
            connection.close()
            connection = sqlite3.connect(path)
    print("written", flush=True)
    sys.stdin.readline()
print(connection.execute("SELECT count(*) FROM t").fetchone()[0] - rows)
print(connection.execute("PRAGMA integrity_check").fetchone()[0])
"""


def close_one_way(path: Path, step: int) -> None:
    """Have the idle connections closed, another way each time."""
    if step == 0:
        sqlite3.connect(path).close()
    elif step == 1:
        dbmanager.close_all_pools()
    elif step == 2:
        os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ), 0)
    else:
        DatabaseManager(f"sqlite:///{path}").drain()


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("how", ["replaced", "renamed", "made anew", "opened again"])
def test_what_others_commit_into_a_file_that_they_put_in_place_is_kept(
    path: Path, tmp_path: Path, how: str, first: int
) -> None:
    new = database(tmp_path / "new.db", 3)
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, path, new, how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        for step in range(4):
            assert other.stdout.readline() == "written\n"
            close_one_way(path, (first + step) % 4)
            other.stdin.write("\n")
            other.stdin.flush()
        assert other.stdout.read() == "20\nok\n"


def rows_of_stdlib(path: Path) -> int:
    with closing(stdlib.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def removed_and_copied(new: Path, path: Path) -> None:
    path.unlink()
    shutil.copyfile(new, path)


def written_over(new: Path, path: Path) -> None:
    with path.open("r+b") as file:
        file.write(new.read_bytes())


@pytest.mark.parametrize(
    "put", [shutil.copyfile, os.replace, os.rename, shutil.move, removed_and_copied, written_over]
)
def test_a_backup_that_is_put_in_place_here_is_whole_for_others_at_once(
    path: Path, tmp_path: Path, put: Callable[[Path, Path], object]
) -> None:
    put(database(tmp_path / "new.db", 3000), path)
    assert rows_of_stdlib(path) == 3000
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (3000,)


@pytest.mark.parametrize("command", ["cp", "mv"])
def test_a_backup_that_another_process_puts_in_place_is_whole_for_others_soon(
    path: Path, tmp_path: Path, command: str
) -> None:
    new = database(tmp_path / "new.db", 3000)
    subprocess.run([command, new, path], check=True)
    until = time.monotonic() + 30
    rows = None
    while rows != 3000 and time.monotonic() < until:
        try:
            rows = rows_of_stdlib(path)
        except stdlib.DatabaseError:
            # Until the housekeeper has looked at the file: once a second.
            os.sched_yield()
    assert rows == 3000


# ---- copies of the file alone --------------------------------------------------------------


def copied(path: Path) -> int:
    """Copy the file alone, and count the rows of the copy."""
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    return rows_of_stdlib(copy)


@pytest.mark.parametrize("options", ["mode=ro", "mode=rw"])
@pytest.mark.parametrize("reads_on", [False, True])
def test_a_copy_after_the_last_close_is_complete_however_the_others_opened_the_file(
    path: Path, options: str, reads_on: bool
) -> None:
    writer = sqlite3.connect(path)
    assert len(writer.execute("SELECT * FROM t").fetchall()) == 5
    reader = sqlite3.connect(f"file:{path}?{options}", uri=True)
    rows = reader.execute("SELECT * FROM t")
    rows.fetchone()
    if not reads_on:
        reader.close()
    with writer:
        writer.execute("INSERT INTO t VALUES (1, 'w')")
    writer.close()
    reader.close()
    assert copied(path) == 6


def test_pools_of_one_file_that_open_it_differently_do_not_drive_each_other_out(path: Path) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    with manager.session() as session:
        sqlite3.connect(f"file:{path}?mode=ro", uri=True).close()
        session.execute("INSERT INTO t VALUES (1, 'w')")
    manager.drain()
    subprocess.run(["cp", path, path.with_name("copy.db")], check=True)
    assert rows_of_stdlib(path.with_name("copy.db")) == 6


def by_stdlib(path: Path) -> None:
    with closing(stdlib.connect(path)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (1, 'w')")


def by_another_process(path: Path) -> None:
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1])\n"
    code += "with c: c.execute('INSERT INTO t VALUES (1, 2)')"
    subprocess.run([sys.executable, "-c", code, path], check=True)


def attached(path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ? AS b", (str(path),))
        with connection:
            connection.execute("INSERT INTO b.t VALUES (1, 'w')")


def attached_to_a_file(path: Path) -> None:
    with closing(sqlite3.connect(path.with_name("other.db"))) as connection:
        connection.execute("ATTACH ? AS b", (str(path),))
        with connection:
            connection.execute("INSERT INTO b.t VALUES (1, 'w')")


def by_uri(options: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with closing(sqlite3.connect(f"file:{path}?{options}", uri=True)) as connection:
            with connection:
                connection.execute("INSERT INTO t VALUES (1, 'w')")

    return write


@pytest.mark.parametrize(
    "write",
    [
        by_stdlib,
        by_another_process,
        attached,
        attached_to_a_file,
        by_uri("psow=1"),
        by_uri("cache=shared"),
    ],
)
def test_a_copy_made_here_is_complete_whoever_closed_the_file_beside_idle_connections(
    path: Path, write: Callable[[Path], None]
) -> None:
    sqlite3.connect(path).close()
    write(path)
    assert copied(path) == 6


@pytest.mark.parametrize("how", ["truncated", "overwritten"])
@pytest.mark.parametrize("door", ["connect", "session"])
@pytest.mark.parametrize(("times", "rows"), [(1, 1), (30, 5000)], ids=["a row", "much"])
def test_a_file_that_loses_its_content_below_a_connection_is_no_database_to_the_next(
    tmp_path: Path, how: str, door: str, times: int, rows: int
) -> None:
    path = database(tmp_path / "app.db", 5)
    db = DatabaseManager(f"sqlite:///{path}")
    opened = db.session() if door == "session" else sqlite3.connect(path)
    with opened as connection:
        for _ in range(times):
            connection.executemany("INSERT INTO t VALUES (6, ?)", [("x" * 100,)] * rows)
            connection.commit()
    overwrite = "x" * 8192 if how == "overwritten" else ""
    code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, path, overwrite], check=True)
    opened.close()
    if door == "session":
        db.drain()
    for connect in (sqlite3.connect, stdlib.connect, sqlite3.connect):
        with closing(connect(path)) as connection, pytest.raises(stdlib.DatabaseError):
            connection.execute("SELECT sum(a) FROM t").fetchall()


RESTORES = """
import shutil, sqlite3, sys
path, commits = sys.argv[1], int(sys.argv[2])
shutil.copyfile(path, path + ".backup")
print("ready", flush=True)
sys.stdin.readline()
with open(path + ".backup", "rb") as backup, open(path, "r+b") as file:
    file.write(backup.read())
    file.truncate()
for number in range(commits):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE t SET b = 'restored' WHERE a = ?", (number,))
    connection.close()
print("restored", flush=True)
"""


@pytest.mark.parametrize("meanwhile", ["nothing", "a program is started", "one is lent"])
@pytest.mark.parametrize("door", ["connect", "session"])
@pytest.mark.parametrize("journal", ["delete", "persist"])
def test_a_backup_that_is_copied_over_a_file_is_read_though_it_was_changed_as_often(
    tmp_path: Path, journal: str, door: str, meanwhile: str
) -> None:
    path = tmp_path / "app.db"
    with closing(stdlib.connect(path)) as made, made:
        made.execute(f"PRAGMA journal_mode = {journal}")
        made.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        made.executemany("INSERT INTO t VALUES (?, 'old')", [(a,) for a in range(4)])
    db = DatabaseManager(f"sqlite:///{path}", pragmas={"journal_mode": journal})

    def connect() -> AbstractContextManager[sqlite3.Connection]:
        return db.session() if door == "session" else closing(sqlite3.connect(path))

    def rows() -> list[str]:
        with connect() as connection:
            return [text for (text,) in connection.execute("SELECT b FROM t ORDER BY a").fetchall()]

    command = [sys.executable, "-c", RESTORES, path, "4"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with connect() as first, connect() as second:
            assert first is not second
        for number in range(4):
            with connect() as connection:
                connection.execute("UPDATE t SET b = 'new' WHERE a = ?", (number,))
                connection.commit()
        assert rows() == ["new"] * 4
        with ExitStack() as lent:
            if meanwhile == "one is lent":
                lent.enter_context(connect())
                assert rows() == ["new"] * 4
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "restored\n"
            if meanwhile == "a program is started":
                subprocess.run([sys.executable, "-c", ""], check=True)
            assert rows() == ["restored"] * 4
            with connect() as connection:
                connection.execute("UPDATE t SET b = 'mine' WHERE a = 3")
                connection.commit()
    with closing(stdlib.connect(path)) as connection:
        found = connection.execute("SELECT b FROM t ORDER BY a").fetchall()
        assert found == [("restored",)] * 3 + [("mine",)]
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
