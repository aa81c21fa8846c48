"""Blobs: opening, reading, writing, slicing, seeking, expiring."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import dbmanager.sqlite3
from tests.oracle.steps import Run, same_on_both


def table(run: Run, content: bytes = b"0123456789") -> Any:
    """Open a connection on a table with one blob in row 1."""
    connection = run.connect()
    connection.execute("CREATE TABLE t (b BLOB, n INTEGER)")
    connection.execute("INSERT INTO t VALUES (?, 5), (NULL, 6), ('text', 7)", (content,))
    connection.commit()
    return connection


@same_on_both
def test_blob_is_read_in_pieces_from_its_position(run: Run) -> None:
    blob = table(run).blobopen("t", "b", 1)
    run(len, blob)
    run(blob.read, 3)
    run(blob.tell)
    run(blob.read)
    run(blob.read)
    run(blob.read, 5)
    run(blob.seek, 2)
    run(blob.read, 100)
    run(blob.seek, 0)
    run(blob.read, 0)
    run(blob.read, -1)
    run(blob.read, -7)
    run(blob.read, "x")
    run(blob.read, None)
    run(blob.read, 2**70)
    run(blob.close)


@pytest.mark.parametrize("origin", [0, 1, 2, 3, -1, "x"])
@same_on_both
def test_blob_seeks_from_each_origin(run: Run, origin: object) -> None:
    blob = table(run).blobopen("t", "b", 1)
    for offset in (0, 3, -3, 10, 11, -11, 2**31, -(2**31), 2**40, "x"):
        run(blob.seek, offset, origin)
        run(blob.tell)
    run(blob.seek)
    run(blob.seek, 0, 0, 0)
    run(blob.tell, 1)
    run(blob.close)


@same_on_both
def test_blob_is_written_but_never_grows(run: Run) -> None:
    connection = table(run)
    blob = connection.blobopen("t", "b", 1)
    run(blob.write, b"ab")
    run(blob.tell)
    run(blob.write, b"x" * 9)
    run(blob.tell)
    run(blob.write, b"x" * 8)
    run(blob.write, b"y")
    run(blob.write, b"")
    run(blob.write, "text")
    run(blob.write, bytearray(b""))
    run(blob.write)
    run(blob.write, 5)
    blob.seek(0)
    run(blob.read)
    run.see(in_transaction=connection.in_transaction)
    run(blob.close)
    run(lambda: connection.execute("SELECT b FROM t").fetchall())
    run.see(total_changes=connection.total_changes)


@same_on_both
def test_blob_opened_to_read_refuses_to_be_written(run: Run) -> None:
    connection = table(run)
    blob = connection.blobopen("t", "b", 1, readonly=True)

    def assign(index: object, value: object) -> None:
        blob[index] = value

    run(blob.write, b"x")
    run(assign, 0, 5)
    run(assign, slice(0, 2), b"xy")
    run(blob.read)
    run(blob.close)


INDEXES: list[object] = [
    0,
    9,
    -1,
    -10,
    10,
    -11,
    2**40,
    -(2**40),
    2**70,
    "x",
    None,
    1.0,
    True,
    slice(None),
    slice(2, 5),
    slice(5, 2),
    slice(-3, None),
    slice(0, 10, 3),
    slice(8, 100),
    slice(0, 0),
    slice(0, 5, 0),
    slice("x"),
]


@pytest.mark.parametrize("index", INDEXES, ids=repr)
@same_on_both
def test_blob_is_indexed_and_sliced_as_bytes_are(run: Run, index: Any) -> None:
    connection = table(run)
    blob = connection.blobopen("t", "b", 1)
    run(lambda: blob[index])

    def assign(value: object) -> None:
        blob[index] = value

    for value in (
        65,
        0,
        255,
        256,
        -1,
        b"A",
        b"AB",
        b"ABC",
        bytearray(b"ABC"),
        "A",
        None,
        1.5,
        b"ABCD",
        b"0123456789",
        b"",
        2**70,
        memoryview(b"ABC"),
    ):
        run(assign, value)
        run(lambda: blob[:])

    def delete() -> None:
        del blob[index]

    run(delete)
    run(blob.close)


@same_on_both
def test_blob_is_no_general_sequence(run: Run) -> None:
    blob = table(run).blobopen("t", "b", 1)
    run(lambda: 48 in blob)
    run(lambda: b"0" in blob)
    run(lambda: list(blob))
    run(lambda: iter(blob))
    run(lambda: blob + blob)
    run(lambda: blob * 2)
    run(lambda: bytes(blob))
    run(lambda: bool(blob))
    run(lambda: blob == blob)  # noqa: PLR0124
    run(blob.close)


@same_on_both
def test_blob_opening_that_fails(run: Run) -> None:
    connection = table(run)
    for arguments in (
        ("nothing", "b", 1),
        ("t", "nothing", 1),
        ("t", "b", 99),
        ("t", "b", 2),
        ("t", "n", 1),
        ("t", "b", 3),
        ("t", "b", -1),
        ("t", "b", 2**63),
        ("t", "b", "x"),
        ("t", "b"),
        ("t",),
        (),
        (5, "b", 1),
        ("t", 5, 1),
        ("t\x00", "b", 1),
        ("t", "b\x00", 1),
        ("\udc80", "b", 1),
    ):
        blob = run(connection.blobopen, *arguments)
        if blob is not None:
            run(len, blob)
            run(blob.close)
    run(lambda: connection.blobopen("t", "b", 1, name="main").close())
    run(connection.blobopen, "t", "b", 1, name="nothing")
    run(connection.blobopen, "t", "b", 1, name=5)
    run(connection.blobopen, "t", "b", 1, True)
    run(lambda: connection.blobopen(table="t", column="b", row=1).close())
    run(connection.blobopen, "t", "b", 1, bogus=1)
    run(lambda: run.sqlite.Blob())


@same_on_both
def test_blob_context_manager_closes(run: Run) -> None:
    connection = table(run)
    with connection.blobopen("t", "b", 1) as blob:
        run(blob.read, 2)
    run(blob.read)
    run(blob.write, b"x")
    run(blob.tell)
    run(blob.seek, 0)
    run(len, blob)
    run(lambda: blob[0])
    run(blob.__enter__)
    run(blob.__exit__, None, None, None)
    run(blob.close)
    try:
        with connection.blobopen("t", "b", 1) as blob:
            raise KeyError("from the block")
    except KeyError as error:
        run.error(error)
    run(blob.read)


@same_on_both
def test_blob_expires_when_its_row_changes(run: Run) -> None:
    connection = table(run)
    blob = connection.blobopen("t", "b", 1)
    connection.execute("UPDATE t SET b = 'other' WHERE rowid = 1")
    run(blob.read)
    run(blob.write, b"x")
    run(lambda: blob[0])
    run(lambda: blob[0:2])
    run(len, blob)
    run(blob.close)
    blob = connection.blobopen("t", "b", 1)
    connection.execute("DELETE FROM t")
    run(blob.read, 0)
    run(blob.read, 1)
    run(blob.close)


@same_on_both
def test_blob_of_a_closed_connection(run: Run) -> None:
    connection = table(run)
    blob = connection.blobopen("t", "b", 1)
    run(connection.close)
    for step in (
        (blob.read,),
        (blob.write, b"x"),
        (blob.seek, 0),
        (blob.tell,),
        (len, blob),
        (blob.__enter__,),
        (blob.__exit__, None, None, None),
        (blob.close,),
        (lambda: blob[0],),
    ):
        run(*step)


@same_on_both
def test_open_blob_holds_the_transaction_as_a_statement_does(run: Run) -> None:
    path = run.path()
    connection = run.connect(path, timeout=0)
    connection.execute("CREATE TABLE t (b BLOB)")
    connection.execute("INSERT INTO t VALUES (zeroblob(5))")
    connection.commit()
    other = run.connect(path, timeout=0)
    blob = connection.blobopen("t", "b", 1)
    run(other.execute, "INSERT INTO t VALUES (1)")
    run(other.rollback)
    run(blob.write, b"abc")
    run.see(in_transaction=connection.in_transaction)
    run(lambda: other.execute("SELECT b FROM t").fetchall())
    run(blob.close)
    run(lambda: other.execute("SELECT b FROM t").fetchall())


@same_on_both
def test_empty_blob(run: Run) -> None:
    blob = table(run, b"").blobopen("t", "b", 1)
    run(len, blob)
    run(blob.read)
    run(blob.read, 5)
    run(lambda: blob[:])
    run(lambda: blob[0])
    run(blob.seek, 0)
    run(blob.seek, 1)
    run(blob.write, b"")
    run(blob.write, b"x")
    run(blob.close)


def test_blob_is_sliced_backwards() -> None:
    # The stdlib raises SystemError here.
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (b)")
        connection.execute("INSERT INTO t VALUES (?)", (b"0123456789",))
        blob = connection.blobopen("t", "b", 1)
        assert blob[::-1] == b"9876543210"
        assert blob[7:1:-3] == b"74"
        blob[8:2:-2] = b"abc"
        assert blob[:] == b"0123c5b7a9"


@pytest.mark.parametrize("module", [sqlite3, dbmanager.sqlite3], ids=["stdlib", "dbmanager"])
def test_blob_of_a_table_that_another_connection_changed_meanwhile(
    module: Any, tmp_path: Path
) -> None:
    # The second connection's successor is a new one with the stdlib, and the same one with a pool.
    path = tmp_path / "a.db"
    with closing(module.connect(path)) as one:
        one.execute("CREATE TABLE t (x)")
        one.execute("INSERT INTO t VALUES (zeroblob(3))")
        one.commit()
        with closing(module.connect(path)) as two:
            two.execute("SELECT * FROM t").fetchall()
        one.execute("ALTER TABLE t ADD COLUMN y")
        one.execute("UPDATE t SET y = zeroblob(2)")
        one.execute("CREATE TABLE u (z)")
        one.execute("INSERT INTO u VALUES (zeroblob(1))")
        one.commit()
        with closing(module.connect(path)) as two:
            assert len(two.blobopen("t", "y", 1)) == 2
        with closing(module.connect(path)) as two:
            assert len(two.blobopen("u", "z", 1)) == 1
