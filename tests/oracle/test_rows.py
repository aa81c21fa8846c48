"""Row: by index, by name, compared, hashed, sliced, and made by hand."""

import copy
import pickle
from typing import Any

import pytest

from tests.oracle.steps import Run, same_on_both


def rows(run: Run, sql: str) -> list[Any]:
    """Fetch with Row as the row factory."""
    connection = run.connect()
    connection.row_factory = run.sqlite.Row
    return list(connection.execute(sql).fetchall())


@same_on_both
def test_row_is_read_by_index_name_and_slice(run: Run) -> None:
    (row,) = rows(run, "SELECT 1 AS a, 'two' AS B, x'03' AS \"c d\", NULL AS é, 5 AS a")
    for key in (
        0,
        4,
        -1,
        -5,
        5,
        -6,
        "a",
        "A",
        "b",
        "B",
        "c d",
        "C D",
        "é",
        "É",
        "nothing",
        "",
        1.0,
        None,
        b"a",
        True,
        (),
        slice(1, 3),
        slice(None),
        slice(None, None, -1),
        slice(10, 20),
        2**70,
        -(2**70),
        "a\x00",
    ):
        run(lambda key=key: row[key])
    run(row.keys)
    run(len, row)
    run(tuple, row)
    run(list, row)
    run(dict, row)
    run(lambda: {**row})
    run(lambda: [*row])
    run(lambda: list(reversed(row)))
    run(lambda: 1 in row)
    run(lambda: "a" in row)
    run(repr, row)
    run(bool, row)


@same_on_both
def test_row_is_immutable_and_no_tuple(run: Run) -> None:
    (row,) = rows(run, "SELECT 1 AS a")

    def assign() -> None:
        row[0] = 2

    def delete() -> None:
        del row[0]

    run(assign)
    run(delete)
    run(lambda: row + row)
    run(lambda: row * 2)
    run(lambda: isinstance(row, tuple))
    run(lambda: row.a)
    run(lambda: row.index(1))
    run(setattr, row, "x", 1)


@same_on_both
def test_rows_are_equal_by_names_and_values(run: Run) -> None:
    first, again = rows(run, "SELECT 1 AS a, 2 AS b UNION ALL SELECT 1, 2")
    (other_name,) = rows(run, "SELECT 1 AS a, 2 AS c")
    (other_value,) = rows(run, "SELECT 1 AS a, 3 AS b")
    (upper_name,) = rows(run, "SELECT 1 AS A, 2 AS b")
    for other in (first, again, other_name, other_value, upper_name, (1, 2), [1, 2], None, 1):
        run(lambda other=other: first == other)
        run(lambda other=other: first != other)
    run(lambda: first < again)
    run(lambda: first >= (1, 2))
    run(lambda: hash(first) == hash(again))
    run(lambda: hash(first) == hash(other_value))
    run(lambda: len({first, again, other_name}))


@same_on_both
def test_row_made_by_hand(run: Run) -> None:
    kind = run.sqlite.Row
    cursor = run.connect().execute("SELECT 1 AS a, 2 AS b")
    run(kind)
    run(kind, cursor)
    run(kind, cursor, [1, 2])
    run(kind, cursor, (1, 2), 3)
    run(kind, (1, 2), cursor)
    run(kind, None, (1,))
    run(kind, cursor=cursor, data=(1, 2))
    row = run(kind, cursor, (8, 9))
    run(lambda: row["b"])


@same_on_both
def test_row_outlives_its_cursor_and_connection(run: Run) -> None:
    connection = run.sqlite.connect(":memory:")
    connection.row_factory = run.sqlite.Row
    cursor = connection.execute("SELECT 1 AS a, 'text' AS b")
    row = cursor.fetchone()
    cursor.execute("SELECT 2 AS other")
    run(row.keys)
    cursor.close()
    connection.close()
    run(row.keys)
    run(lambda: row["b"])


@pytest.mark.parametrize("name", ["", '"', " ", "a b", "[x]", "SELECT", "\t", "a\nb", "😀", "%s"])
@same_on_both
def test_row_keys_are_the_columns_names_as_they_are(run: Run, name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    (row,) = rows(run, f"SELECT 5 AS {quoted}")
    run(row.keys)
    run(lambda: row[name])


@same_on_both
def test_subclass_of_row_as_factory(run: Run) -> None:
    class Attributes(run.sqlite.Row):
        def __getattr__(self, name: str) -> Any:
            try:
                return self[name]
            except IndexError as error:
                raise AttributeError(name) from error

    connection = run.connect()
    connection.row_factory = Attributes
    row = connection.execute("SELECT 1 AS a").fetchone()
    run(lambda: row.a)
    run(lambda: row.b)
    run(lambda: type(row).__name__)
    run(row.keys)
    run(lambda: "Row object" in repr(row) or "Attributes object" in repr(row))


@same_on_both
def test_row_cannot_be_pickled_nor_copied_deeply(run: Run) -> None:
    (row,) = rows(run, "SELECT 1 AS a")
    run(pickle.dumps, row)
    run(copy.copy, row)
    run(copy.deepcopy, row)


@same_on_both
def test_rows_of_returning_pragma_and_explain(run: Run) -> None:
    connection = run.connect()
    connection.row_factory = run.sqlite.Row
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'x')")
    run(lambda: connection.execute("INSERT INTO t (a) VALUES (1) RETURNING *").fetchall())
    run(lambda: connection.execute("PRAGMA table_info(t)").fetchall())
    run(lambda: connection.execute("SELECT * FROM t, t AS u").fetchall())
