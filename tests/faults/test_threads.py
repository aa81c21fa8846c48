"""Exceptions in sessions, and threads that end within them."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dbmanager import sqlite3
from tests.faults.programs import (
    BOTH_DOORS,
    BOTH_MODES,
    LINUX_ONLY,
    content,
    database,
    manager,
    transaction,
)

pytestmark = LINUX_ONLY


@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize(
    "error", [ValueError, sqlite3.IntegrityError, KeyboardInterrupt, SystemExit, GeneratorExit]
)
def test_an_exception_undoes_the_block_and_gives_the_connection_back(
    tmp_path: Path, mode: str, door: str, error: type[BaseException]
) -> None:
    path = database(tmp_path / "a.db", mode)
    for _ in range(30):
        with pytest.raises(error):
            with transaction(path, mode, door) as connection:
                connection.execute("INSERT INTO t VALUES (1, NULL)")
                raise error
        figures = manager(path, mode).get_stats()
        assert figures["pool_in_use"] == figures["writers_waiting"] == 0
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (2, NULL)")
    assert content(path) == [2]


def half_done(path: Path, mode: str, door: str) -> Any:
    """Give a connection, or a session that was entered, that has written and not committed."""
    if door == "session":
        connection: Any = manager(path, mode).session().__enter__()
    else:
        connection = sqlite3.connect(path)
    connection.execute("INSERT INTO t VALUES (1, NULL)")
    return connection


def generator_of(path: Path, mode: str, door: str) -> Iterator[None]:
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        yield
        connection.execute("INSERT INTO t VALUES (2, NULL)")


def end(path: Path, mode: str, door: str) -> None:
    half_done(path, mode, door)


def end_with_a_local(path: Path, mode: str, door: str) -> None:
    connection = half_done(path, mode, door)
    assert connection.in_transaction


def end_with_an_open_cursor(path: Path, mode: str, door: str) -> None:
    cursor = half_done(path, mode, door).execute("SELECT 1 UNION SELECT 2")
    assert cursor.fetchone() == (1,)


def end_with_a_cycle(path: Path, mode: str, door: str) -> None:
    cycle: list[Any] = [half_done(path, mode, door)]
    cycle.append(cycle)


def end_in_a_thread_local(path: Path, mode: str, door: str) -> None:
    local = threading.local()
    local.connection = half_done(path, mode, door)
    local.itself = local


def exit_outright(path: Path, mode: str, door: str) -> None:
    connection = half_done(path, mode, door)
    assert connection.in_transaction
    raise SystemExit


def exit_in_the_block(path: Path, mode: str, door: str) -> None:
    with transaction(path, mode, door) as connection:
        connection.execute("INSERT INTO t VALUES (1, NULL)")
        raise SystemExit


def end_with_a_generator(path: Path, mode: str, door: str) -> None:
    next(generator_of(path, mode, door))


def exit_with_a_generator(path: Path, mode: str, door: str) -> None:
    for _ in generator_of(path, mode, door):
        raise SystemExit


ENDS = [
    end,
    end_with_a_local,
    end_with_an_open_cursor,
    end_with_a_cycle,
    end_in_a_thread_local,
    exit_outright,
    exit_in_the_block,
    end_with_a_generator,
    exit_with_a_generator,
]


@pytest.fixture
def little_to_collect() -> Iterator[None]:
    """Collect what the test leaves, not all that other tests have left, again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


# Python 3.13 warns of connections that were never closed, rightly.
@pytest.mark.usefixtures("little_to_collect")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@BOTH_MODES
@BOTH_DOORS
@pytest.mark.parametrize("how", ENDS)
def test_a_thread_that_ends_leaves_no_lease_no_lock_and_no_row(
    tmp_path: Path, mode: str, door: str, how: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pytest's own one keeps the exception, and with it the frames and what they hold.
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    path = database(tmp_path / "a.db", mode)
    # More often than there are places.
    for number in range(10, 34):
        thread = threading.Thread(target=how, args=(path, mode, door))
        thread.start()
        thread.join()
        # As in any thread that still has something to do.
        gc.collect()
        figures = manager(path, mode).get_stats()
        assert (figures["pool_in_use"], figures["writers_waiting"]) == (0, 0)
        if number % 10 == 0:
            for other in ("connect", "session"):
                with transaction(path, mode, other) as connection:
                    row = (number + (other == "session"),)
                    connection.execute("INSERT INTO t VALUES (?, NULL)", row)
    assert content(path) == [10, 11, 20, 21, 30, 31]


@BOTH_MODES
def test_a_thread_that_waits_to_write_gets_in_when_the_writing_one_has_ended(
    tmp_path: Path, mode: str
) -> None:
    path = database(tmp_path / "a.db", mode)
    db = manager(path, mode)
    waits = threading.Event()

    def end_when_another_waits() -> None:
        session = half_done(path, mode, "session")
        waits.set()
        while db.get_stats()["writers_waiting"] == 0:
            pass
        assert session.in_transaction

    thread = threading.Thread(target=end_when_another_waits)
    thread.start()
    waits.wait()
    with db.session() as session:
        session.execute("INSERT INTO t VALUES (2, NULL)")
    thread.join()
    assert db.get_stats()["pool_in_use"] == 0
    assert content(path) == [2]
