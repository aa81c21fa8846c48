"""Files that others see, copy, replace and want alone, while the pool keeps connections to them."""

import os
import shutil
import sqlite3 as stdlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dbmanager import DatabaseManager, sqlite3
from tests.open_files import open_files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database in WAL mode with a table."""
    path = tmp_path / "app.db"
    with closing(stdlib.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a)")
    return path


def idle_connections(path: Path, manager: DatabaseManager) -> int:
    """Leave two idle connections of each door in the pool."""
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path)) as two:
        assert (
            one.execute("SELECT * FROM t").fetchall() == two.execute("SELECT * FROM t").fetchall()
        )
    with manager.session() as session:
        session.execute("SELECT * FROM t").fetchall()
    return int(manager.get_stats()["pool_idle"])


@contextmanager
def opens_nothing() -> Iterator[None]:
    """See that no file is opened."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


# ---- statements that want the file alone ---------------------------------------------------


@pytest.mark.parametrize("door", ["connect", "session", "script"])
def test_idle_connections_step_aside_for_another_journal_mode(path: Path, door: str) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    assert idle_connections(path, manager) == 3
    if door == "session":
        with manager.session() as session:
            mode = session.execute("PRAGMA journal_mode=delete").fetchone()
    else:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            if door == "script":
                connection.executescript("PRAGMA journal_mode=delete;")
                mode = connection.execute("PRAGMA journal_mode").fetchone()
            else:
                mode = connection.execute("PRAGMA journal_mode=delete").fetchone()
    assert mode == ("delete",)
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_idle_connections_step_aside_for_a_file_that_is_locked_for_good(path: Path) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    assert idle_connections(path, manager) == 3
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute("PRAGMA locking_mode=exclusive")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        with closing(stdlib.connect(path, timeout=0)) as other:
            with pytest.raises(stdlib.OperationalError, match="database is locked"):
                other.execute("SELECT * FROM t").fetchall()
    with manager.session() as session:
        assert session.execute("SELECT * FROM t").fetchall() == [(1,)]


def test_idle_connections_step_aside_for_vacuum(path: Path) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    with manager.session() as session:
        session.executemany("INSERT INTO t VALUES (?)", [(b"x" * 1000,)] * 5000)
    with manager.session() as session:
        session.execute("DELETE FROM t")
    assert idle_connections(path, manager) == 3
    with closing(sqlite3.connect(path, timeout=0)) as connection:
        connection.execute("VACUUM")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    assert path.stat().st_size < 100_000
    with manager.session() as session:
        assert session.execute("SELECT * FROM t").fetchall() == [(1,)]


@pytest.mark.parametrize("door", ["connect", "session", "script"])
@pytest.mark.parametrize("name", ["b.", '"B" . ', ""])
def test_idle_connections_to_attached_files_step_aside_too(
    tmp_path: Path, path: Path, door: str, name: str
) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    assert idle_connections(path, manager) == 3
    other = DatabaseManager(f"sqlite:///{tmp_path / 'other.db'}", pragmas={"busy_timeout": 0})
    doors = {
        "connect": lambda: closing(sqlite3.connect(":memory:", timeout=0, isolation_level=None)),
        "script": lambda: closing(sqlite3.connect(":memory:", timeout=0, isolation_level=None)),
        "session": other.session,
    }
    with doors[door]() as connection:
        connection.execute("ATTACH ? AS b", (str(path),))
        change = f"PRAGMA {name}journal_mode=delete"
        if door == "script":
            connection.executescript(f"SELECT 1; {change};")
        else:
            connection.execute(change)
        assert connection.execute("PRAGMA b.journal_mode").fetchone() == ("delete",)
    with closing(stdlib.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("name", ["b.", ""])
def test_idle_connections_to_attached_files_step_aside_for_a_lock_for_good(
    path: Path, name: str
) -> None:
    assert idle_connections(path, DatabaseManager(f"sqlite:///{path}")) == 3
    with closing(sqlite3.connect(":memory:", timeout=0, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS b", (str(path),))
        connection.execute(f"PRAGMA {name}locking_mode=exclusive")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("INSERT INTO b.t VALUES (1)")
        connection.execute("COMMIT")
        with closing(stdlib.connect(path, timeout=0)) as other:
            with pytest.raises(stdlib.OperationalError, match="database is locked"):
                other.execute("SELECT * FROM t").fetchall()


def test_idle_connections_step_aside_for_vacuum_of_an_attached_file(path: Path) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    assert idle_connections(path, manager) == 3
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("ATTACH ? AS b", (str(path),))
        connection.execute("VACUUM")
        assert manager.get_stats()["pool_idle"] == 3
        connection.execute("VACUUM b")
        assert manager.get_stats()["pool_idle"] == 0


# ---- other names of a file -----------------------------------------------------------------


def uris(path: Path) -> list[str]:
    """URIs that mean the file by the rules of sqlite.org/uri.html."""
    folder, name = path.parent, path.name
    escaped = "".join(f"%{byte:02X}" for byte in os.fsencode(name))
    return [
        f"file:{path}",
        f"file://{path}",
        f"file://localhost{path}",
        f"file:{path}?mode=rwc",
        f"file:{path}?cache=private",
        f"file:{path}?mode=rwc&cache=private#fragment",
        f"file:{path}#fragment",
        f"file:{folder}/{escaped}",
        f"file:{name}",
        f"file:./{name}",
    ]


@pytest.mark.parametrize("name", ["app.db", "a b%c?d#e.db", "Übung.db"])
def test_uris_of_equal_meaning_share_one_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    for _ in range(2):
        # The connection that makes a file is not kept.
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
    is_plain = not set(name) & set("%?#")
    asked = uris(path) if is_plain else [uri for uri in uris(path) if "%61" in uri]
    assert asked
    for uri in asked:
        with closing(stdlib.connect(uri, uri=True)) as connection:
            (row,) = connection.execute("PRAGMA database_list").fetchall()
            assert row[2] == str(path), uri
        with opens_nothing(), closing(sqlite3.connect(uri, uri=True)) as connection:
            (row,) = connection.execute("PRAGMA database_list").fetchall()
            assert row[2] == str(path), uri


@pytest.mark.parametrize(
    "uri",
    [
        "file://host/tmp/a.db",
        "file:a.db?mode=no",
        "file:a.db?cache=no",
        "file:a.db?vfs=no",
        "file:no/such/folder.db",
        "file:no.db?mode=rw",
    ],
)
def test_uris_that_mean_nothing_are_refused_as_by_the_stdlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.chdir(tmp_path)
    errors = []
    for module in (stdlib, sqlite3):
        with pytest.raises(stdlib.OperationalError) as caught:
            module.connect(uri, uri=True)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


# ---- copies and replacements by others -----------------------------------------------------


def test_copy_of_the_file_alone_has_all_that_sessions_committed_once_drained(
    path: Path, tmp_path: Path
) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    with manager.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
    manager.drain()
    copy = shutil.copyfile(path, tmp_path / "copy.db")
    with closing(stdlib.connect(copy)) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]


@pytest.fixture
def copied_rows(path: Path) -> Iterator[Callable[[], int]]:
    """Count the rows of a copy of the database file alone, made by another process."""
    copy = path.with_suffix(".copy")
    script = 'while read line; do cp "$1" "$2"; echo done; done'
    with subprocess.Popen(
        ["sh", "-c", script, "sh", path, copy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as copier:

        def count() -> int:
            assert copier.stdin is not None
            assert copier.stdout is not None
            copier.stdin.write("copy\n")
            assert copier.stdout.readline() == "done\n"
            with closing(stdlib.connect(copy)) as connection:
                (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
                return int(count)

        yield count
        assert copier.stdin is not None
        copier.stdin.close()


def test_sessions_may_be_set_to_leave_all_in_the_file_when_they_end(
    path: Path, copied_rows: Callable[[], int]
) -> None:
    manager = DatabaseManager(f"sqlite:///{path}", checkpoint_after=0)
    for number in range(1, 6):
        with manager.session() as session:
            session.execute("INSERT INTO t VALUES (?)", (number,))
        assert copied_rows() == number
        with manager.session() as outer:
            with manager.session() as session:
                session.execute("DELETE FROM t WHERE a = 0")
            outer.execute("SELECT * FROM t").fetchall()


def read_whole(path: Path) -> None:
    path.with_suffix(".copy").write_bytes(path.read_bytes())


COPIES = {
    "shutil.copyfile": lambda path: shutil.copyfile(path, path.with_suffix(".copy")),
    "shutil.copy2 of text": lambda path: shutil.copy2(str(path), str(path.with_suffix(".copy"))),
    "shutil.copy of bytes": lambda path: shutil.copy(
        os.fsencode(path), os.fsencode(path.with_suffix(".copy"))
    ),
    "read": read_whole,
    "subprocess": lambda path: subprocess.run(["cp", path, path.with_suffix(".copy")], check=True),
    "os.system": lambda path: os.system(f"cp '{path}' '{path.with_suffix('.copy')}'"),
    "copytree": lambda path: shutil.copy(
        shutil.copytree(path.parent, path.parent / "tree") / path.name, path.with_suffix(".copy")
    ),
}


@pytest.mark.parametrize("how", COPIES)
def test_copy_made_in_this_process_hurries_what_sessions_committed_into_the_file(
    path: Path, how: str
) -> None:
    manager = DatabaseManager(f"sqlite:///{path}", checkpoint_after=None)
    for number in range(1, 4):
        with manager.session() as session:
            session.execute("INSERT INTO t VALUES (?)", (number,))
        COPIES[how](path)
        with closing(stdlib.connect(path.with_suffix(".copy"))) as connection:
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (number,)
        shutil.rmtree(path.parent / "tree", ignore_errors=True)


def test_backup_copied_over_the_file_in_this_process_finds_no_rest_of_what_was_there(
    path: Path,
) -> None:
    backup = path.with_suffix(".backup")
    with closing(stdlib.connect(backup)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(a,) for a in range(500)])
    manager = DatabaseManager(f"sqlite:///{path}")
    for _ in range(3):
        with manager.session() as session:
            session.execute("INSERT INTO t VALUES (-1)")
        shutil.copyfile(backup, path)
        with manager.session() as session:
            assert session.scalar("SELECT count(*) FROM t WHERE a < 0") == 0
            assert session.scalar("SELECT count(*) FROM t") == 500
            assert session.scalar("PRAGMA integrity_check") == "ok"


def test_names_that_are_no_texts_are_copied_in_full_too(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"x\xff.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a)")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with DatabaseManager(f"sqlite:///{link}", checkpoint_after=None).session() as session:
        session.execute("INSERT INTO t VALUES (1)")
    copy = shutil.copyfile(path, tmp_path / "copy.db")
    with closing(stdlib.connect(copy)) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]


def test_copy_made_while_others_use_the_file_neither_fails_nor_waits(path: Path) -> None:
    manager = DatabaseManager(f"sqlite:///{path}", pragmas={"busy_timeout": 600_000})
    with manager.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
    with closing(stdlib.connect(path)) as reader, closing(stdlib.connect(path)) as writer:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        writer.execute("BEGIN IMMEDIATE")
        shutil.copyfile(path, path.with_suffix(".copy"))
        # And while the thread itself has a session.
        with manager.session() as session:
            assert session.scalar("SELECT count(*) FROM t") == 1
            shutil.copyfile(path, path.with_suffix(".copy"))


def test_sessions_leave_all_in_the_file_some_time_after_the_last(
    path: Path, copied_rows: Callable[[], int]
) -> None:
    manager = DatabaseManager(f"sqlite:///{path}")
    with manager.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
    assert copied_rows() == 0
    while copied_rows() == 0:
        pass


@pytest.mark.parametrize("door", ["connect", "session"])
def test_what_the_stdlib_leaves_beside_idle_connections_comes_into_the_file(
    path: Path, door: str, copied_rows: Callable[[], int]
) -> None:
    """Its last close leaves it to those who have the file open."""
    manager = DatabaseManager(f"sqlite:///{path}")
    if door == "session":
        with manager.session() as session:
            session.execute("SELECT * FROM t").fetchall()
    else:
        for _ in range(2):
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("SELECT * FROM t").fetchall()
    with closing(stdlib.connect(path)) as connection, connection:
        connection.execute("INSERT INTO t VALUES (1)")
    while copied_rows() == 0:
        pass
    with manager.session() as session:
        assert session.execute("SELECT * FROM t").fetchall() == [(1,)]


def test_sessions_may_be_set_to_leave_the_rest_to_sqlite(
    path: Path, copied_rows: Callable[[], int]
) -> None:
    manager = DatabaseManager(f"sqlite:///{path}", checkpoint_after=None)
    assert manager.settings["checkpoint_after"] is None
    with manager.session() as session:
        session.execute("INSERT INTO t VALUES (1)")
    manager.drain()
    assert copied_rows() == 1


@pytest.mark.parametrize("how", ["mv", "cp", "cp && mv", "truncate"])
@pytest.mark.parametrize("door", ["connect", "session"])
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_another_process_that_puts_a_backup_in_place_is_noticed(
    path: Path, tmp_path: Path, how: str, door: str, mode: str
) -> None:
    """While the pool is idle, again and again, with sizes that grow, shrink and stay."""
    manager = DatabaseManager(f"sqlite:///{path}", pragmas={"journal_mode": mode})

    def read() -> list[int]:
        if door == "session":
            with manager.session() as session:
                return [a for (a,) in session.execute("SELECT a FROM t ORDER BY a")]
        with closing(sqlite3.connect(path)) as connection:
            return [a for (a,) in connection.execute("SELECT a FROM t ORDER BY a")]

    def write(a: int) -> None:
        if door == "session":
            with manager.session() as session:
                session.execute("INSERT INTO t VALUES (?)", (a,))
            # What sessions committed is brought into the file within two seconds, or now.
            manager.drain()
        else:
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("INSERT INTO t VALUES (?)", (a,))

    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
    for turn in range(5):
        rows = [turn] if turn % 2 else list(range(3000))
        backup = tmp_path / f"backup{turn}.db"
        with closing(stdlib.connect(backup)) as connection:
            connection.execute(f"PRAGMA journal_mode={mode}")
            connection.execute("CREATE TABLE t (a)")
            connection.executemany("INSERT INTO t VALUES (?)", [(a,) for a in rows])
            connection.commit()
        command = {
            "mv": 'mv "$1" "$2"',
            "cp": 'cp "$1" "$2"',
            "cp && mv": 'cp "$1" "$2.new" && mv "$2.new" "$2"',
            "truncate": 'truncate -s 0 "$2" && cat "$1" >> "$2"',
        }[how]
        subprocess.run(["sh", "-c", command, "sh", backup, path], check=True)
        assert read() == rows
        write(-1)
        assert read() == [-1, *rows]
        with closing(stdlib.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("SELECT count(*) FROM t").fetchone() == (len(rows) + 1,)


# ---- many files, and folders that go -------------------------------------------------------

MANY = """
import os, sys
from contextlib import closing
from pathlib import Path
from dbmanager import DatabaseManager, sqlite3

folder, count = Path(sys.argv[1]), int(sys.argv[2])
most = 0
for number in range(count):
    path = folder / f"{number}.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE t (a)")
    if number % 2:
        with DatabaseManager(f"sqlite:///{path}").session() as session:
            session.execute("INSERT INTO t VALUES (1)")
    if number % 50 == 0:
        most = max(most, len(os.listdir("/proc/self/fd")))
print(most)
"""


def descriptors_for_databases(folder: Path, count: int) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", MANY, folder, str(count)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return int(ended.stdout)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells the open files")
def test_folder_that_is_removed_with_its_databases_keeps_no_file_open(tmp_path: Path) -> None:
    """The housekeeper, who looks each second, needs no call for that."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(20):
        path = folder / f"{number}.db"
        for _ in range(2):
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("PRAGMA journal_mode=wal")
                connection.execute("CREATE TABLE IF NOT EXISTS t (a)")
        with DatabaseManager(f"sqlite:///{path}").session() as session:
            session.execute("INSERT INTO t VALUES (1)")
    assert len(open_files(folder)) > 20
    shutil.rmtree(folder)
    while open_files(folder):
        pass


# 256 idle connections, each with up to five files: of database, WAL and index, and two for locks.
BOUND = 5 * 256 + 100


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux tells the open files")
def test_descriptors_are_bounded_whatever_the_number_of_databases(tmp_path: Path) -> None:
    assert descriptors_for_databases(tmp_path, 500) <= BOUND


@pytest.mark.soak
def test_descriptors_are_bounded_with_ten_thousand_databases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    most = descriptors_for_databases(tmp_path, 10_000)
    with capsys.disabled():
        print(f"\nfiles: 10,000 databases in one process, at most {most:,} descriptors")
    assert most <= BOUND
