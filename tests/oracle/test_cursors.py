"""Cursors: fetching, iterating, re-use, re-entry, and cursors that are not usable."""

import gc
import sys
import weakref
from typing import Any

import pytest

from tests.oracle.steps import Run, same_on_both

NUMBERS = "SELECT value FROM json_each('[1,2,3,4,5,6,7]')"


@same_on_both
def test_fetching_past_the_end_gives_nothing_again_and_again(run: Run) -> None:
    cursor = run.connect().execute("SELECT 1 UNION SELECT 2")
    for _ in range(4):
        run(cursor.fetchone)
    run(cursor.fetchall)
    run(cursor.fetchmany)
    run(next, cursor)
    run(next, cursor)


@same_on_both
def test_fetching_from_a_cursor_that_ran_nothing(run: Run) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    run(cursor.fetchone)
    run(cursor.fetchall)
    run(cursor.fetchmany, 3)
    run(next, cursor)
    run(iter, cursor)
    connection.execute("CREATE TABLE t (a)")
    run(cursor.execute, "INSERT INTO t VALUES (1)")
    run(cursor.fetchall)
    run(next, cursor)


@pytest.mark.parametrize(
    "size", [0, 1, 2, 7, 8, -1, -5, 2**31 - 1, 2**31, 2**63, "x", None, 1.0, True]
)
@same_on_both
def test_fetchmany_of_every_size(run: Run, size: object) -> None:
    connection = run.connect()
    cursor = connection.execute(NUMBERS)
    run(cursor.fetchmany, size)
    run(cursor.fetchmany, size)
    cursor = connection.execute(NUMBERS)
    run(cursor.fetchmany, size=size)
    if isinstance(size, int) and size >= 2**31:
        return  # the stdlib wraps such an arraysize around, ours refuses it
    cursor = connection.execute(NUMBERS)
    run(setattr, cursor, "arraysize", size)
    run.see(arraysize=cursor.arraysize)
    run(cursor.fetchmany)
    run(cursor.fetchmany)


@same_on_both
def test_fetch_methods_refuse_other_arguments(run: Run) -> None:
    cursor = run.connect().execute(NUMBERS)
    run(cursor.fetchone, 1)
    run(cursor.fetchall, 1)
    run(cursor.fetchmany, 1, 2)
    run(cursor.fetchmany, maxrows=1)
    run(cursor.fetchall)


@same_on_both
def test_iteration_and_fetching_share_one_position(run: Run) -> None:
    cursor = run.connect().execute(NUMBERS)
    assert iter(cursor) is cursor
    run(next, cursor)
    run(cursor.fetchone)
    run(cursor.fetchmany, 2)
    run(lambda: [row for row, _ in zip(cursor, range(2), strict=False)])
    run(cursor.fetchall)
    run(list, cursor)


@same_on_both
def test_execute_gives_the_cursor_itself_and_drops_the_old_rows(run: Run) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    assert cursor.execute(NUMBERS) is cursor
    run(cursor.fetchone)
    assert cursor.execute("SELECT 'new'") is cursor
    run(cursor.fetchall)
    connection.execute("CREATE TABLE t (a)")
    assert cursor.executemany("INSERT INTO t VALUES (?)", [(1,)]) is cursor
    run(cursor.fetchall)
    assert cursor.executescript("SELECT 1") is cursor
    run(cursor.fetchall)


@same_on_both
def test_failed_execute_drops_the_old_rows(run: Run) -> None:
    cursor = run.connect().execute(NUMBERS)
    run(cursor.fetchone)
    run(cursor.execute, "SELECT oops")
    run(cursor.fetchone)
    run.see(description=cursor.description, rowcount=cursor.rowcount)
    cursor.execute(NUMBERS)
    run(cursor.execute, "SELECT ?", ())
    run(cursor.fetchall)
    cursor.execute(NUMBERS)
    run(cursor.execute, 5)
    run(cursor.fetchall)


@same_on_both
def test_closed_cursor_refuses_everything(run: Run) -> None:
    cursor = run.connect().execute(NUMBERS)
    run(cursor.close)
    run(cursor.close)
    run(cursor.execute, "SELECT 1")
    run(cursor.executemany, "SELECT 1", [])
    run(cursor.executescript, "SELECT 1")
    run(cursor.fetchone)
    run(cursor.fetchmany)
    run(cursor.fetchall)
    run(next, cursor)
    run(iter, cursor)
    run(cursor.setinputsizes, [])
    run.see(
        description=cursor.description,
        rowcount=cursor.rowcount,
        lastrowid=cursor.lastrowid,
        arraysize=cursor.arraysize,
    )
    run(lambda: cursor.connection)


@same_on_both
def test_cursor_of_a_closed_connection_refuses_everything(run: Run) -> None:
    connection = run.connect()
    cursor = connection.execute(NUMBERS)
    run(cursor.fetchone)
    run(connection.close)
    run(cursor.fetchone)
    run(cursor.fetchmany)
    run(cursor.fetchall)
    run(next, cursor)
    run(cursor.execute, "SELECT 1")
    run(cursor.executemany, "SELECT 1", [])
    run(cursor.executescript, "SELECT 1")
    run.see(description=cursor.description, rowcount=cursor.rowcount, lastrowid=cursor.lastrowid)
    assert cursor.connection is connection
    run(cursor.close)


@same_on_both
def test_cursor_is_not_entered_again_from_its_own_rows(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    cursor = connection.cursor()

    def rows(step: Any, *arguments: Any) -> Any:
        run(step, *arguments)
        yield (1,)
        run(step, *arguments)

    steps: list[tuple[Any, ...]] = [
        (cursor.executescript, "SELECT 1"),
        (cursor.fetchone,),
        (cursor.fetchall,),
        (cursor.fetchmany,),
        (next, cursor),
        (cursor.close,),
        (cursor.__init__, connection),
    ]
    # The stdlib lets execute and executemany in, and since 3.12 crashes then: see test_crashes.
    for step in steps:
        run(cursor.executemany, "INSERT INTO t VALUES (?)", rows(*step))
        run(lambda: connection.execute("SELECT count(*) FROM t").fetchone())


@same_on_both
def test_cursor_is_not_entered_again_from_a_converter_or_factory(run: Run) -> None:
    connection = run.connect(":memory:", detect_types=run.sqlite.PARSE_COLNAMES)
    cursor = connection.cursor()
    taken: list[Any] = []

    def inside(raw: Any, *others: Any) -> object:
        if taken:
            run(*taken.pop())
        return "converted"

    run.sqlite.register_converter("inside", inside)
    steps: list[tuple[Any, ...]] = [
        (cursor.fetchone,),
        (cursor.fetchall,),
        (cursor.close,),
        (cursor.__init__, connection),
    ]
    if sys.version_info < (3, 12):  # the stdlib crashes since: see test_crashes
        steps.append((cursor.execute, "SELECT 1"))
    for step in steps:
        taken[:] = [step]
        run(cursor.execute, "SELECT 'x' AS \"x [inside]\", 2")
        run(cursor.fetchall)
        cursor = connection.cursor()
        cursor.row_factory = inside
        taken[:] = [(getattr(cursor, step[0].__name__), *step[1:])]
        run(cursor.execute, "SELECT 1 UNION SELECT 2")
        run(cursor.fetchone)
        run(cursor.fetchall)
        cursor = connection.cursor()
    taken[:] = [(connection.execute, "SELECT 5")]
    run(cursor.execute, "SELECT 'x' AS \"x [inside]\", 2")
    run(cursor.fetchall)


@same_on_both
def test_connection_closed_from_a_converter_or_factory(run: Run) -> None:
    for place in ("converter", "row_factory", "text_factory"):
        connection = run.connect(":memory:", detect_types=run.sqlite.PARSE_COLNAMES)

        def closing(*arguments: Any, connection: Any = connection) -> str:
            run(connection.close)
            return "closed"

        sql = "SELECT 'x' AS x"
        if place == "converter":
            run.sqlite.register_converter("closing", closing)
            sql = "SELECT 'x' AS \"x [closing]\""
        else:
            setattr(connection, place, closing)
        cursor = run(connection.execute, sql)
        run(cursor.fetchall)
        run(cursor.fetchall)


@same_on_both
def test_cursor_without_base_init_refuses_everything(run: Run) -> None:
    class Forgetful(run.sqlite.Cursor):
        def __init__(self, connection: Any) -> None:
            pass

    connection = run.connect()
    cursor = run(connection.cursor, Forgetful)
    cursor = cursor or run.sqlite.Cursor.__new__(run.sqlite.Cursor)
    for step in (
        (cursor.execute, "SELECT 1"),
        (cursor.executemany, "SELECT 1", []),
        (cursor.executescript, "SELECT 1"),
        (cursor.fetchone,),
        (cursor.fetchall,),
        (cursor.fetchmany,),
        (next, cursor),
        (cursor.close,),
    ):
        run(*step)


@same_on_both
def test_cursor_wants_a_connection(run: Run) -> None:
    kind = run.sqlite.Cursor
    connection = run.connect()
    run(kind)
    run(kind, None)
    run(kind, object())
    run(kind, connection, 1)
    run(lambda: kind(connection).execute("SELECT 1").fetchone())
    connection.close()
    run(kind, connection)


@same_on_both
def test_cursor_initialised_again_starts_over(run: Run) -> None:
    connection, other = run.connect(), run.connect()
    other.execute("CREATE TABLE only_here (a)")
    cursor = connection.execute(NUMBERS)
    cursor.arraysize = 3
    run(cursor.fetchone)
    run(cursor.__init__, other)
    run(cursor.fetchone)
    run.see(arraysize=cursor.arraysize, rowcount=cursor.rowcount, row=cursor.description)
    run(cursor.execute, "SELECT * FROM only_here")
    run(cursor.__init__)
    run(cursor.fetchall)


class Bogus:
    """Not a cursor."""

    def __init__(self, connection: object) -> None:
        pass


@same_on_both
def test_cursor_factory_must_give_a_cursor(run: Run) -> None:
    class Named(run.sqlite.Cursor):
        """A subclass with an attribute."""

        def __init__(self, connection: Any, name: str = "unnamed") -> None:
            super().__init__(connection)
            self.name = name

    connection = run.connect()
    run.see(name=connection.cursor(Named).name, kind=type(connection.cursor(Named)).__name__)
    run(connection.cursor, factory=Named)
    run(connection.cursor, None)
    run(connection.cursor, Bogus)
    run(connection.cursor, lambda given: None)
    run(connection.cursor, lambda given: Named(given, "given"))
    run(connection.cursor, 5)
    run(connection.cursor, Named, 5)
    run(connection.cursor, cls=Named)


@same_on_both
def test_execute_of_the_connection_uses_its_own_cursor_method(run: Run) -> None:
    class Counting(run.sqlite.Connection):
        def cursor(self, *arguments: Any) -> Any:
            run.see(cursor_called_with=len(arguments))
            return super().cursor(*arguments)

    connection = run.connect(":memory:", factory=Counting)
    run(connection.execute, "CREATE TABLE t (a)")
    run(connection.executemany, "INSERT INTO t VALUES (?)", [(1,)])
    run(connection.executescript, "SELECT 1")

    class Broken(run.sqlite.Connection):
        def cursor(self, *arguments: Any) -> Any:
            return None

    connection = run.connect(":memory:", factory=Broken)
    run(connection.execute, "SELECT 1")
    run(connection.executemany, "SELECT 1", [])
    run(connection.executescript, "SELECT 1")


@same_on_both
def test_row_factory_of_the_connection_is_taken_when_the_cursor_is_made(run: Run) -> None:
    connection = run.connect()
    before = connection.cursor()
    connection.row_factory = lambda cursor, row: ["made", *row]
    after = connection.cursor()
    run.see(before=before.row_factory)
    run(lambda: before.execute("SELECT 1").fetchone())
    run(lambda: after.execute("SELECT 1").fetchone())
    after.row_factory = None
    run(lambda: after.execute("SELECT 1").fetchone())
    connection.row_factory = None
    run(lambda: connection.execute("SELECT 1").fetchone())
    for name in ("row_factory", "text_factory"):
        run(delattr, connection, name)
    run(delattr, after, "row_factory")


@same_on_both
def test_row_factory_gets_the_cursor_and_a_tuple(run: Run) -> None:
    connection = run.connect()
    connection.row_factory = lambda cursor, row: (
        type(cursor).__name__,
        type(row).__name__,
        [column[0] for column in cursor.description],
        row,
    )
    run(lambda: connection.execute("SELECT 1 AS a, NULL AS b").fetchall())
    run(lambda: connection.execute("SELECT 1 AS a WHERE 0").fetchall())


@pytest.mark.parametrize(
    "factory",
    [
        5,
        "x",
        list,
        dict,
        tuple,
        lambda: None,
        lambda cursor: None,
        lambda cursor, row: None,
        lambda cursor, row: 1 / 0,
    ],
)
@same_on_both
def test_row_factory_of_every_kind(run: Run, factory: Any) -> None:
    connection = run.connect()
    run(setattr, connection, "row_factory", factory)
    cursor = run(connection.execute, "SELECT 1 UNION SELECT 2 UNION SELECT 3")
    if cursor is None:
        return
    run(cursor.fetchone)
    run(cursor.fetchmany, 1)
    run(cursor.fetchall)
    run(cursor.fetchall)


@same_on_both
def test_row_factory_changed_under_an_open_cursor_takes_effect(run: Run) -> None:
    cursor = run.connect().execute(NUMBERS)
    run(cursor.fetchone)
    cursor.row_factory = lambda cursor, row: {"row": row}
    run(cursor.fetchone)
    run(cursor.fetchmany, 2)
    cursor.row_factory = None
    run(cursor.fetchall)


@same_on_both
def test_error_while_stepping_ends_the_rows_there(run: Run) -> None:
    connection = run.connect()
    sql = "SELECT abs(value) FROM json_each('[1, 2, -9223372036854775808, 4]')"
    cursor = run(connection.execute, sql)
    for _ in range(5):
        run(cursor.fetchone)
    cursor = run(connection.execute, sql)
    run(cursor.fetchall)
    run(cursor.fetchall)
    run.see(description=cursor.description)
    run(lambda: list(connection.execute(sql)))


@same_on_both
def test_first_row_that_fails_fails_in_execute(run: Run) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    run(cursor.execute, "SELECT abs(-9223372036854775808)")
    run(cursor.fetchall)
    connection.create_function("fail", 0, lambda: 1 / 0)
    run(cursor.execute, "SELECT fail()")
    run(cursor.fetchall)


@same_on_both
def test_table_changed_under_an_open_cursor(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    connection.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10)])
    cursor = connection.execute("SELECT id FROM t ORDER BY id")
    run(cursor.fetchmany, 2)
    connection.execute("DELETE FROM t WHERE id IN (4, 5)")
    connection.execute("INSERT INTO t VALUES (100)")
    run(cursor.fetchall)
    run(connection.execute, "ALTER TABLE t ADD COLUMN b")
    cursor = connection.execute("SELECT * FROM t")
    run(cursor.fetchone)
    run(connection.execute, "ALTER TABLE t ADD COLUMN c")
    run(cursor.fetchone)


@same_on_both
def test_cursor_keeps_its_connection_and_may_be_referenced_weakly(run: Run) -> None:
    connection = run.sqlite.connect(":memory:")
    cursor = connection.execute(NUMBERS)
    reference = weakref.ref(cursor)
    assert reference() is cursor
    assert cursor.connection is connection
    run(weakref.ref, connection)
    del connection
    gc.collect()
    run(cursor.fetchone)
    cursor.connection.close()


@same_on_both
def test_subclass_of_cursor_may_replace_methods_and_hold_attributes(run: Run) -> None:
    class Logging(run.sqlite.Cursor):
        def execute(self, sql: str, *arguments: Any) -> Any:
            self.last_sql = sql
            return super().execute(sql, *arguments)

        def fetchone(self) -> Any:
            return "own fetchone"

    cursor = run.connect().cursor(Logging)
    run(cursor.execute, NUMBERS)
    run.see(last_sql=cursor.last_sql)
    run(cursor.fetchone)
    run(next, cursor)
    run(cursor.fetchall)


@same_on_both
def test_recursion_between_connection_and_function(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1), (2)")
    connection.create_function(
        "count_rows", 0, lambda: connection.execute("SELECT count(*) FROM t").fetchone()[0]
    )
    run(lambda: connection.execute("SELECT a, count_rows() FROM t").fetchall())
    cursor = connection.cursor()
    connection.create_function("same", 0, lambda: cursor.execute("SELECT 1").fetchone()[0])
    run(lambda: cursor.execute("SELECT same()").fetchall())
    run(lambda: connection.execute("SELECT same()").fetchall())
