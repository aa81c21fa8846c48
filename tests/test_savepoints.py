"""Savepoints of sessions, and blocks that join one: what they undo, and what ends them."""

from collections.abc import Callable

import pytest

from dbmanager import DatabaseManager, Session, sqlite3

FILLED = 9


@pytest.fixture
def filled(db: DatabaseManager) -> DatabaseManager:
    """The manager with some rows in its table."""
    with db.session() as session:
        session.executemany("INSERT INTO t (x) VALUES (?)", [(n,) for n in range(FILLED)])
    return db


def stored(db: DatabaseManager) -> list[object]:
    """Give what is in the table, and see that nobody has the turn to write."""
    with db.session("write") as session:
        return session.execute("SELECT x FROM t ORDER BY id").scalars().all()


def insert(session: Session, x: object) -> None:
    """Write a row."""
    session.execute("INSERT INTO t (x) VALUES (?)", (x,))


def keep_a_blob_open(session: Session) -> object:
    """Open a BLOB to write."""
    session.execute("INSERT INTO t (id, x) VALUES (100, zeroblob(2))")
    return session.blobopen("t", "x", 100)


def keep_rows_unread(session: Session) -> object:
    """Leave a row of RETURNING unread."""
    rows = session.execute("INSERT INTO t (id, x) VALUES (100, 'r'), (101, 'r') RETURNING id")
    next(rows)
    return rows


KEEPERS = [keep_a_blob_open, keep_rows_unread]


@pytest.mark.parametrize("keep", KEEPERS)
@pytest.mark.parametrize("fails", [True, False])
def test_what_is_open_in_its_block_keeps_no_savepoint_from_ending(
    db: DatabaseManager, keep: Callable[[Session], object], fails: bool
) -> None:
    with db.session() as session:
        insert(session, "before")
        kept = None
        try:
            with session.begin_nested():
                kept = keep(session)
                if fails:
                    raise KeyError("mine")
        except KeyError:
            assert fails
        assert kept is not None
        insert(session, "after")
    assert stored(db)[:1] == ["before"]
    assert len(stored(db)) == (2 if fails else 2 + (1 if keep is keep_a_blob_open else 2))


def test_rows_of_returning_are_read_on_behind_savepoints(db: DatabaseManager) -> None:
    with db.session() as session:
        rows = session.execute("INSERT INTO t (x) VALUES (1), (2), (3), (4) RETURNING x")
        read = []
        for (x,) in rows:
            with session.begin_nested() as savepoint:
                insert(session, "undone")
                savepoint.rollback()
            read.append(x)
        assert read == [1, 2, 3, 4]
    assert stored(db) == read


def test_blob_that_is_open_to_write_keeps_a_savepoint_from_beginning(db: DatabaseManager) -> None:
    with db.session() as session:
        blob = session.blobopen("t", "x", keep_a_blob_open(session) and 100)
        with pytest.raises(
            sqlite3.OperationalError, match=r"cannot open savepoint - .*close the BLOB"
        ):
            session.begin_nested()
        blob.close()
    assert stored(db) == [b"\0\0"]


@pytest.mark.parametrize("keep", KEEPERS)
def test_what_is_half_read_keeps_no_session_from_committing(
    db: DatabaseManager, keep: Callable[[Session], object]
) -> None:
    with db.session() as session:
        insert(session, "kept")
        kept = keep(session)
    assert "kept" in stored(db)
    assert kept is not None


def test_savepoints_leave_the_compiled_statements_alone(db: DatabaseManager) -> None:
    with db.session() as session:
        for _ in range(300):
            with session.begin_nested() as savepoint:
                insert(session, 1)
                savepoint.rollback()
        texts = session.execute("SELECT sql FROM sqlite_stmt").scalars().all()
    assert not [sql for sql in texts if "dbmanager_" in sql]
    assert any(sql.startswith("INSERT") for sql in texts)


def test_savepoint_of_a_session_without_transaction_control_is_a_transaction(
    db: DatabaseManager,
) -> None:
    with pytest.raises(KeyError), db.session() as session:
        session.isolation_level = None
        with session.begin_nested():
            insert(session, 1)
            with session.begin_nested():
                insert(session, 2)
            assert session.in_transaction
        assert not session.in_transaction
        with pytest.raises(ZeroDivisionError), session.begin_nested():
            insert(session, "undone")
            raise ZeroDivisionError
        assert not session.in_transaction
        with db.session(join=True):
            insert(session, 3)
        assert not session.in_transaction
        insert(session, 4)
        raise KeyError
    assert stored(db) == [1, 2, 3, 4]


def test_savepoint_that_is_a_transaction_and_can_not_be_committed_is_undone(
    db: DatabaseManager,
) -> None:
    with db.session() as session:
        session.execute("CREATE TABLE c (x REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    with db.session() as session:
        session.isolation_level = None
        with session.begin_nested():
            session.execute("INSERT INTO t (x) VALUES (1), (2) RETURNING x").fetchone()
        assert not session.in_transaction
        with pytest.raises(sqlite3.IntegrityError), session.begin_nested():
            session.execute("INSERT INTO c VALUES (99)")
        assert not session.in_transaction
        insert(session, 3)
        savepoint = session.begin_nested()
        session.commit()
        session.begin()
        with pytest.raises(sqlite3.ProgrammingError, match="no more"):
            savepoint.commit()
        insert(session, "undone")
        session.rollback()
    assert stored(db) == [1, 2, 3]


@pytest.mark.parametrize("mode", ["auto", "read"])
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("fails", [True, False])
def test_close_within_the_block_hides_no_exception(
    db: DatabaseManager, mode: str, joined: bool, fails: bool
) -> None:
    assert mode == "auto" or mode == "read"  # noqa: PLR1714 - narrows the type
    try:
        with db.session() as session:
            with db.session(mode, join=True) if joined else session.begin_nested():
                insert(session, 1)
                session.close()
                if fails:
                    raise KeyError("mine")
    except KeyError:
        assert fails
    assert stored(db) == []


def test_what_is_written_behind_a_commit_in_the_block_is_the_sessions(db: DatabaseManager) -> None:
    with db.session() as session:
        try:
            with session.begin_nested():
                insert(session, 1)
                session.commit()
                insert(session, 2)
                raise KeyError
        except KeyError:
            pass
    assert stored(db) == [1, 2]


def test_joined_session_can_be_entered_once(db: DatabaseManager) -> None:
    joined = db.session(join=True)
    with joined as session:
        with pytest.raises(sqlite3.ProgrammingError, match="used already"), joined:
            pass
        insert(session, 1)
    with pytest.raises(sqlite3.ProgrammingError, match="used already"), joined:
        pass
    assert stored(db) == [1]


def test_join_is_a_savepoint_of_the_outer_session(filled: DatabaseManager) -> None:
    with filled.session() as outer:
        outer.execute("UPDATE t SET x = 'outer' WHERE id = 1")
        with filled.session(join=True) as inner:
            assert inner is outer
            inner.execute("UPDATE t SET x = 'kept' WHERE id = 2")
        with pytest.raises(RuntimeError), filled.session(join=True) as inner:
            inner.execute("UPDATE t SET x = 'undone' WHERE id = 1")
            raise RuntimeError
    with filled.session(join=True) as alone:
        rows = alone.execute("SELECT x FROM t WHERE id < 3").scalars().all()
        assert rows == ["outer", "kept"]


def test_savepoint_is_undone_alone(filled: DatabaseManager) -> None:
    with filled.session() as session:
        with session.begin_nested():
            session.execute("UPDATE t SET x = 'kept' WHERE id = 1")
        with pytest.raises(RuntimeError), session.begin_nested():
            session.execute("UPDATE t SET x = 'undone' WHERE id = 1")
            raise RuntimeError
        with session.begin_nested() as savepoint:
            session.execute("UPDATE t SET x = 'undone too' WHERE id = 1")
            savepoint.rollback()
    with filled.session() as session:
        assert session.scalar("SELECT x FROM t WHERE id = 1") == "kept"


@pytest.mark.parametrize("end", ["commit", "rollback", "block"])
def test_savepoint_that_is_no_more_says_so(filled: DatabaseManager, end: str) -> None:
    with filled.session() as session:
        with session.begin_nested() as savepoint:
            session.execute("UPDATE t SET x = 'first' WHERE id = 1")
            if end != "block":
                getattr(session, end)()
                with pytest.raises(sqlite3.ProgrammingError, match="this savepoint is no more"):
                    savepoint.rollback()
                session.execute("UPDATE t SET x = 'second' WHERE id = 2")
                with pytest.raises(sqlite3.ProgrammingError, match="this savepoint is no more"):
                    savepoint.rollback()
        with pytest.raises(sqlite3.ProgrammingError, match="this savepoint is no more"):
            savepoint.rollback()
    with filled.session() as session:
        rows = session.execute("SELECT x FROM t WHERE id < 3").scalars().all()
    assert (
        rows
        == {
            "commit": ["first", "second"],
            "rollback": [0, "second"],
            "block": ["first", 1],
        }[end]
    )


def test_block_that_joins_to_read_begins_no_transaction(filled: DatabaseManager) -> None:
    with filled.session() as outer:
        with filled.session("read", join=True) as inner:
            assert inner is outer
            assert inner.scalar("SELECT count(*) FROM t") == FILLED
            assert not inner.in_transaction
        assert not outer.in_transaction
        with pytest.raises(RuntimeError), filled.session("read", join=True) as inner:
            inner.execute("UPDATE t SET x = 'undone' WHERE id = 1")
            raise RuntimeError
        outer.execute("UPDATE t SET x = 'kept' WHERE id = 2")
        with pytest.raises(RuntimeError), filled.session("read", join=True) as inner:
            inner.execute("UPDATE t SET x = 'undone' WHERE id = 2")
            raise RuntimeError
    with filled.session("read") as session:
        assert session.execute("SELECT x FROM t WHERE id < 3").scalars().all() == [0, "kept"]


def test_savepoint_begins_when_it_is_asked_for_and_can_be_ended_without_a_block(
    filled: DatabaseManager,
) -> None:
    with filled.session() as session:
        savepoint = session.begin_nested()
        session.execute("UPDATE t SET x = 'undone' WHERE id = 1")
        savepoint.rollback()
        session.execute("UPDATE t SET x = 'kept' WHERE id = 2")
        savepoint.commit()
        for end in (savepoint.commit, savepoint.rollback):
            with pytest.raises(sqlite3.ProgrammingError, match="this savepoint is no more"):
                end()
        with pytest.raises(sqlite3.ProgrammingError, match="used already"), savepoint:
            pass
        # One that is left open is committed with the session.
        session.begin_nested()
        session.execute("UPDATE t SET x = 'kept, too' WHERE id = 3")
    with pytest.raises(sqlite3.ProgrammingError, match="not open"):
        session.begin_nested()
    with filled.session("read") as session:
        rows = session.execute("SELECT x FROM t WHERE id < 4").scalars().all()
        assert rows == [0, "kept", "kept, too"]


def test_savepoint_that_is_committed_in_its_block_keeps_what_was_done(
    filled: DatabaseManager,
) -> None:
    with filled.session() as session:
        with pytest.raises(RuntimeError), session.begin_nested() as savepoint:
            session.execute("UPDATE t SET x = 'kept' WHERE id = 1")
            savepoint.commit()
            raise RuntimeError
        assert session.scalar("SELECT x FROM t WHERE id = 1") == "kept"
