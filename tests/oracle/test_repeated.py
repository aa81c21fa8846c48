"""The same text object executed again and again while the world around it changes.

The first execution of a text compiles it; the later ones may take a shorter way, which
must notice everything that the long one does.
"""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.oracle.steps import Run, same_on_both

SELECT = "SELECT a, b FROM t WHERE a = ?"
INSERT = "INSERT INTO t VALUES (?, ?)"
ALL = "SELECT a, b FROM t ORDER BY a"


def filled(run: Run, *arguments: Any, **keywords: Any) -> Any:
    connection = run.connect(*arguments, **keywords)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
    connection.executemany(INSERT, [(1, "one"), (2, "zwei"), (3, None), (4, 0.5), (5, b"5")])
    connection.commit()
    for _ in range(3):
        run(connection.execute(SELECT, (1,)).fetchall)
        run(connection.execute(ALL).fetchone)
    return connection


def look(run: Run, connection: Any) -> None:
    """Read in all ways, with texts that were executed before."""
    for _ in range(2):
        cursor = run(connection.execute, SELECT, (2,))
        run(connection.execute, SELECT, (2,))
        if cursor is None:
            continue
        run.see(description=cursor.description, row=cursor.rowcount, last=cursor.lastrowid)
        run(cursor.fetchone)
        run(cursor.fetchone)
        cursor = run(connection.execute, ALL)
        run(next, cursor)
        run(cursor.fetchone)
        run(cursor.fetchmany, 2)
        run(list, cursor)


CHANGES: dict[str, Callable[[Any, Any], object]] = {
    "row factory": lambda c, m: setattr(c, "row_factory", lambda cursor, row: ("made", *row)),
    "row class": lambda c, m: setattr(c, "row_factory", m.Row),
    "text factory": lambda c, m: setattr(c, "text_factory", bytes),
    "called text factory": lambda c, m: setattr(c, "text_factory", lambda b: b.decode()[::-1]),
    "progress handler": lambda c, m: c.set_progress_handler(lambda: 1, 1),
    "authorizer": lambda c, m: c.set_authorizer(lambda *_: m.SQLITE_DENY),
    "new column": lambda c, m: c.execute("ALTER TABLE t ADD COLUMN c DEFAULT 'new'"),
    "renamed column": lambda c, m: c.execute("ALTER TABLE t RENAME COLUMN b TO renamed"),
    "dropped table": lambda c, m: c.execute("DROP TABLE t"),
    "view instead": lambda c, m: c.executescript(
        "ALTER TABLE t RENAME TO u; CREATE VIEW t AS SELECT a, a * 2 AS b FROM u"
    ),
    "closed": lambda c, m: c.close(),
    "opened anew": lambda c, m: c.__init__(":memory:"),
    "autocommit": lambda c, m: setattr(c, "isolation_level", None),
    "exclusive": lambda c, m: setattr(c, "isolation_level", "EXCLUSIVE"),
    "transaction": lambda c, m: c.execute("BEGIN"),
    "rolled back": lambda c, m: (c.execute(INSERT, (9, "nine")), c.rollback()),
    "overridden function": lambda c, m: c.create_function("abs", 1, lambda x: -x),
    "short limit": lambda c, m: c.setlimit(m.SQLITE_LIMIT_VARIABLE_NUMBER, 1),
}


@pytest.mark.parametrize("change", CHANGES)
@same_on_both
def test_a_repeated_statement_notices_a_change(run: Run, change: str) -> None:
    connection = filled(run)
    run(lambda: CHANGES[change](connection, run.sqlite))
    look(run, connection)
    cursor = run(connection.cursor)
    if cursor is not None:
        run(cursor.execute, SELECT, (1,))
        run(cursor.fetchone)


@same_on_both
def test_a_view_of_other_columns_changes_the_description(run: Run) -> None:
    connection = run.connect()
    connection.executescript("CREATE TABLE t (a, b); CREATE VIEW v AS SELECT a FROM t")
    sql = "SELECT * FROM v"
    for columns in ("a", "b, a", "a, b, 1 AS c"):
        connection.executescript(f"DROP VIEW v; CREATE VIEW v AS SELECT {columns} FROM t")
        for _ in range(3):
            run.see(description=connection.execute(sql).description)


@pytest.mark.parametrize(
    "parameters",
    [
        (),
        (1, 2),
        [1],
        [1, 2],
        {"a": 1},
        {1},
        "1",
        b"1",
        None,
        1,
        (2**63,),
        (2**62,),
        ("\ud800",),
        (object(),),
        (1.0,),
        (None,),
        (b"1",),
        (True,),
        (range(3),),
    ],
    ids=repr,
)
@same_on_both
def test_every_kind_of_parameters_for_a_repeated_statement(run: Run, parameters: object) -> None:
    connection = filled(run)
    cursor = connection.cursor()
    for _ in range(2):
        run(connection.execute, SELECT, parameters)
        run(cursor.execute, SELECT, parameters)
        run(cursor.fetchall)
        run(connection.execute, ALL, parameters)
        run(connection.execute, SELECT, (1,))
        run(connection.execute(SELECT, (1,)).fetchone)


@same_on_both
def test_other_numbers_of_arguments_for_a_repeated_statement(run: Run) -> None:
    connection = filled(run)
    cursor = connection.cursor()
    for target in (connection, cursor):
        run(target.execute, SELECT)
        run(target.execute, ALL)
        run(target.execute, ALL, ())
        run(target.execute, ALL, [])


class Text(str):
    """A str that is not exactly one."""


class Pair(tuple[object, ...]):
    """A tuple that is not exactly one."""

    __slots__ = ()


@same_on_both
def test_subclasses_of_str_and_tuple_for_a_repeated_statement(run: Run) -> None:
    connection = filled(run)
    text = Text(SELECT)
    for _ in range(3):
        run(connection.execute(text, (1,)).fetchone)
        run(connection.execute(SELECT, Pair((2,))).fetchone)


@same_on_both
def test_named_parameters_by_position_and_by_name_repeated(run: Run) -> None:
    connection = filled(run)
    sql = "SELECT b FROM t WHERE a = :key"
    for _ in range(3):
        run(connection.execute(sql, {"key": 1}).fetchone)
        run(connection.execute(sql, (2,)).fetchone)


class Mapping(dict[str, object]):
    """A dict that is not exactly one."""

    def __missing__(self, key: str) -> object:
        """Give a value for every key."""
        return f"missing {key}"


class Refusing:
    """A key that hashes as a parameter's name and can't be compared with it."""

    def __hash__(self) -> int:
        """Give the hash of the name."""
        return hash("b")

    def __eq__(self, other: object) -> bool:
        """Refuse."""
        raise RuntimeError("not comparable")


@pytest.mark.parametrize(
    "parameters",
    [
        {"a": 1, "b": 2},
        {"b": "two", "a": None, "c": "not asked for"},
        {"a": 1},
        {"b": 1},
        {},
        {"a": 2**63, "b": 1},
        {"a": 1, "b": 2**63},
        {"a": 2**63},
        {"a": object(), "b": 1},
        {"a": 1, "b": object()},
        {"a": bytearray(b"x"), "b": memoryview(b"y")},
        {"a": True, "b": "\ud800"},
        {1: 1, "a": 2, "b": 3},
        {":a": 1, ":b": 2},
        Mapping(a=1),
        {"a": 1, Refusing(): 2},
        [1, 2],
        [1, "two", 3],
        [object(), 1],
        [2**63, object()],
        (1, 2),
    ],
    ids=lambda parameters: f"{type(parameters).__name__} {list(parameters)}",
)
@same_on_both
def test_every_kind_of_values_by_name_repeated(run: Run, parameters: object) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    for sql in ("SELECT :a, @b, $a", "SELECT :a, ?, :b", "SELECT ?, ?", "SELECT ?1, ?2"):
        for _ in range(3):
            run(lambda sql=sql: connection.execute(sql, parameters).fetchall())
            run(lambda sql=sql: cursor.execute(sql, parameters).fetchone())
    run(connection.execute, "CREATE TABLE t (a, b)")
    run(connection.executemany, "INSERT INTO t VALUES (:a, :b)", [{"a": 0, "b": 0}, parameters])
    run(connection.execute("SELECT * FROM t").fetchall)


@same_on_both
def test_an_adapter_for_bool_counts_though_it_is_an_int(run: Run) -> None:
    connection = run.connect()
    sql = "SELECT ?, typeof(?)"
    for _ in range(2):
        run(connection.execute(sql, (True, False)).fetchone)
        run(connection.execute(sql, [False, True]).fetchone)
    run.sqlite.register_adapter(bool, lambda value: f"adapted {value}")
    for _ in range(2):
        run(connection.execute(sql, (True, False)).fetchone)
    run(connection.execute, "CREATE TABLE t (a, b)")
    run(connection.executemany, "INSERT INTO t VALUES (?, ?)", [(True, None), (False, 1)])
    run(connection.execute("SELECT * FROM t").fetchall)


@same_on_both
def test_an_adapter_that_changes_the_dict_it_is_in(run: Run) -> None:
    class Point:
        def __conform__(self, protocol: object) -> str:
            values["b"] = "changed"
            return "point"

    values: dict[str, object] = {}
    connection = run.connect()
    for _ in range(3):
        values.update(a=Point(), b="before")
        run(connection.execute("SELECT :a, :b", values).fetchone)


@same_on_both
def test_a_key_that_uses_the_connection_while_it_is_compared(run: Run) -> None:
    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            connection.execute("SELECT 1").fetchone()
            return str.__eq__(self, other)

    connection = run.connect()
    for _ in range(3):
        run(lambda: connection.execute("SELECT :a, :b", {Key("a"): 1, "b": 2}).fetchone())


@pytest.mark.parametrize("factory", ["Row", "tuple subclass", "dict", "raising"])
@same_on_both
def test_a_row_factory_counts_for_a_repeated_statement(run: Run, factory: str) -> None:
    def raising(cursor: object, row: object) -> object:
        raise RuntimeError("no row")

    connection = filled(run)
    connection.row_factory = {
        "Row": run.sqlite.Row,
        "tuple subclass": lambda cursor, row: Pair(row),
        "dict": lambda cursor, row: dict(
            zip([column[0] for column in cursor.description], row, strict=True)
        ),
        "raising": raising,
    }[factory]
    cursor = connection.cursor()
    for _ in range(3):
        cursor.execute(ALL)
        run(lambda: tuple(cursor.fetchone()))
        run(lambda: [tuple(row) for row in cursor.fetchmany(2)])
        run(lambda: [(row[0], row["b"], row["B"], row[-1]) for row in cursor])
        run(cursor.fetchone)
        run(cursor.fetchall)


@pytest.mark.parametrize(
    "key",
    [0, 1, 2, -1, -2, -3, 2**62, 2**64, True, False, 1.0, None, "a", "A", "b", "c", b"a", "\ud800"],
)
@same_on_both
def test_every_kind_of_key_of_a_row(run: Run, key: object) -> None:
    connection = run.connect()
    connection.row_factory = run.sqlite.Row
    row = connection.execute("SELECT 1 AS a, 'two' AS b").fetchone()
    run(lambda: row[key])
    run(lambda: run.sqlite.Row(connection.cursor(), (1, 2))[key])


@same_on_both
def test_columns_whose_names_differ_in_case_only(run: Run) -> None:
    connection = run.connect()
    connection.row_factory = run.sqlite.Row
    row = connection.execute("SELECT 0 AS bc, 1 AS A, 2 AS a, 3 AS B, 4 AS b, 5 AS c").fetchone()
    for key in ("A", "a", "b", "B", "bc", "BC", "c", "C", "d"):
        run(lambda key=key: row[key])


@pytest.mark.parametrize("error", [KeyError, IndexError, ValueError])
@same_on_both
def test_a_key_that_can_not_be_compared(run: Run, error: type[Exception]) -> None:
    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            raise error("not comparable")

    connection = run.connect()
    sql = "SELECT :a"
    for _ in range(3):
        run(connection.execute(sql, {"a": 1}).fetchone)
        run(connection.execute, sql, {Key("a"): 1})


@same_on_both
def test_rowcount_of_a_cursor_that_is_refused(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    for many in (False, True):
        cursor = connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,)])
        run.see(before=cursor.rowcount)
        cursor.close()
        run(cursor.fetchone)
        run.see(fetched=cursor.rowcount)
        if many:
            run(cursor.executemany, "INSERT INTO t VALUES (?)", [(1,)])
        else:
            run(cursor.execute, "SELECT 1")
        run.see(after=cursor.rowcount)


@same_on_both
def test_ends_of_transactions_that_are_not_open(run: Run) -> None:
    connection = run.connect(run.path())
    for end in (connection.commit, connection.rollback):
        run(end)
        run(end, 1)
    run(connection.__enter__, 1)
    run(connection.__exit__)
    run(connection.__exit__, None, None, None)
    run(connection.__exit__, ValueError, ValueError(), None)
    with connection as entered:
        run.see(same=entered is connection)
    run(connection.execute, "BEGIN")
    run(connection.__exit__, None, None, None)
    run.see(open=connection.in_transaction)
    threaded: list[object] = []

    def elsewhere() -> None:
        for use in (connection.commit, connection.rollback, connection.__enter__):
            try:
                threaded.append(use() is connection)
            except run.sqlite.ProgrammingError as error:
                threaded.append(str(error)[:60])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    run.see(threaded=threaded)
    connection.close()
    for use in (connection.commit, connection.rollback, connection.__enter__):
        run(use)
    run(connection.__exit__, None, None, None)
    run(lambda: connection.in_transaction)
    run(lambda: connection.total_changes)


@same_on_both
def test_a_cursor_without_rows_left_is_still_checked(run: Run) -> None:
    connection = run.connect(run.path())
    cursor = connection.execute("SELECT 1")
    for use in (cursor.fetchone, cursor.fetchone, cursor.fetchmany, cursor.fetchall):
        run(use)
    run(lambda: next(cursor, "end"))
    refused: list[str] = []

    def elsewhere() -> None:
        try:
            cursor.fetchone()
        except run.sqlite.ProgrammingError as error:
            refused.append(str(error)[:60])

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    run.see(refused=refused)
    connection.close()
    for use in (cursor.fetchone, cursor.fetchmany, cursor.fetchall, cursor.__next__):
        run(use)


@same_on_both
def test_an_adapter_for_a_plain_type_counts_for_a_repeated_statement(run: Run) -> None:
    connection = filled(run)
    sql = "SELECT ?"
    run(connection.execute(sql, (1.5,)).fetchone)
    run(connection.execute(sql, (1.5,)).fetchone)
    run.sqlite.register_adapter(float, lambda value: f"adapted {value}")
    try:
        run(connection.execute(sql, (1.5,)).fetchone)
        run(connection.execute(sql, (1,)).fetchone)
    finally:
        del run.sqlite.adapters[float, run.sqlite.PrepareProtocol]
    run(connection.execute(sql, (1.5,)).fetchone)


@same_on_both
def test_the_counters_of_repeated_changes(run: Run) -> None:
    connection = filled(run)
    update = "UPDATE t SET b = b WHERE a > ?"
    insert = "INSERT OR IGNORE INTO t (a) VALUES (?)"
    returning = "INSERT INTO t (a) VALUES (?) RETURNING a, b"
    cursor = connection.cursor()
    for key in (2, 2, 10, 11, 11, 11, 12):
        for target in (connection, cursor):
            for sql in (update, insert, returning):
                changed = run(target.execute, sql, (key,))
                if changed is not None:
                    run.see(count=changed.rowcount, last=changed.lastrowid)
                    run(changed.fetchone)
                    run.see(count=changed.rowcount, inside=connection.in_transaction)
                    run(changed.fetchall)
                    run.see(count=changed.rowcount, total=connection.total_changes)


@same_on_both
def test_a_repeated_change_begins_a_transaction_each_time(run: Run) -> None:
    connection = filled(run)
    for number in range(20, 24):
        run.see(before=connection.in_transaction)
        run(connection.execute, INSERT, (number, "n"))
        run.see(after=connection.in_transaction)
        run(connection.rollback if number % 2 else connection.commit)
    run(connection.execute(ALL).fetchall)


@same_on_both
def test_an_error_in_the_midst_of_repeated_rows(run: Run) -> None:
    connection = run.connect()
    sql = "SELECT abs(value) FROM json_each('[1,2,-9223372036854775808,4]')"
    for _ in range(3):
        cursor = connection.execute(sql)
        for _ in range(5):
            run(cursor.fetchone)
        run.see(count=cursor.rowcount)
        cursor = connection.execute(sql)
        run(list, cursor)
        run(next, cursor)


@same_on_both
def test_an_error_at_the_first_row_of_a_repeated_statement(run: Run) -> None:
    connection = run.connect()
    sql = "SELECT abs(?)"
    cursor = connection.cursor()
    for number in (1, -1, -(2**63), 2, -(2**63)):
        run(connection.execute, sql, (number,))
        run(cursor.execute, sql, (number,))
        run.see(count=cursor.rowcount, description=cursor.description)
        run(cursor.fetchone)


@same_on_both
def test_a_constraint_fails_again_and_again(run: Run) -> None:
    connection = filled(run)
    cursor = connection.cursor()
    connection.execute("BEGIN")
    for key in (7, 7, 8, 7):
        for target in (connection, cursor):
            run(target.execute, INSERT, (key, "again"))
            run.see(last=cursor.lastrowid, count=cursor.rowcount)


@same_on_both
def test_text_that_is_not_utf8_stays_for_another_try(run: Run) -> None:
    connection = run.connect()
    sql = "SELECT CAST(x'ff41' AS TEXT) AS a UNION ALL SELECT 'b'"
    for _ in range(2):
        cursor = connection.execute(sql)
        run(cursor.fetchone)
        run(cursor.fetchone)
        connection.text_factory = bytes
        run(cursor.fetchone)
        run(cursor.fetchone)
        connection.text_factory = str


@same_on_both
def test_a_cursor_is_used_for_other_statements_in_between(run: Run) -> None:
    connection = filled(run)
    cursor = connection.cursor()
    for _ in range(3):
        run(cursor.execute, ALL)
        run(cursor.fetchone)
        run(cursor.execute, SELECT, (4,))
        run(cursor.fetchone)
        run(cursor.execute, ALL)
        run(cursor.fetchmany, 2)
    run(cursor.close)
    run(cursor.execute, ALL)
    run(cursor.fetchone)


@same_on_both
def test_two_cursors_on_one_repeated_statement(run: Run) -> None:
    connection = filled(run)
    first, second = connection.execute(ALL), connection.execute(ALL)
    for _ in range(6):
        run(first.fetchone)
        run(second.fetchone)


@same_on_both
def test_a_repeated_statement_in_another_thread_is_refused(run: Run) -> None:
    connection = filled(run)
    cursor = connection.execute(ALL)

    def other() -> None:
        run(connection.execute, SELECT, (1,))
        run(cursor.fetchone)
        run(next, cursor)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    run(cursor.fetchone)


@same_on_both
def test_a_dropped_cursor_leaves_nothing_to_the_next(run: Run) -> None:
    connection = filled(run)
    cursor = connection.execute(INSERT, (30, "x"))
    cursor.arraysize = 3
    cursor.row_factory = lambda cursor, row: "stale"
    run.see(last=cursor.lastrowid)
    del cursor
    for fresh in (connection.cursor(), connection.execute(ALL)):
        run.see(
            last=fresh.lastrowid,
            count=fresh.rowcount,
            size=fresh.arraysize,
            description=fresh.description,
            factory=fresh.row_factory,
            same=fresh.connection is connection,
        )
        run(fresh.fetchone)


@same_on_both
def test_a_cursor_found_by_the_collector_leaves_nothing_to_the_next(run: Run) -> None:
    connection, other = filled(run), filled(run)
    run(connection.execute, SELECT, (1,))
    for cursor in [c for c in gc.get_objects() if type(c) is run.sqlite.Cursor]:
        cursor.__init__(other)
        cursor.arraysize = 77
        cursor.execute(ALL)
    cursor = None
    fresh = connection.cursor()
    run.see(size=fresh.arraysize, description=fresh.description, row=fresh.fetchone())


@same_on_both
def test_a_weak_reference_dies_with_its_cursor(run: Run) -> None:
    connection = filled(run)
    died: list[bool] = []
    for _ in range(3):
        cursor = connection.execute(SELECT, (1,))
        reference = weakref.ref(cursor, lambda _: died.append(True))
        cursor = connection.execute(SELECT, (2,))
        run.see(gone=reference() is None, died=len(died), row=cursor.fetchone())


@same_on_both
def test_a_cursor_in_a_cycle_is_collected_with_its_connection(run: Run) -> None:
    class Connection(run.sqlite.Connection):  # type: ignore[misc, name-defined]
        """Can hold attributes."""

    gc.collect()
    for _ in range(3):
        connection = Connection(":memory:")
        connection.execute("CREATE TABLE t (a)")
        for _ in range(3):
            connection.kept = connection.execute("SELECT 1 UNION SELECT 2")
        reference = weakref.ref(connection)
        connection.close()
        del connection
        gc.collect()
        run.see(gone=reference() is None)


@same_on_both
def test_a_connection_dies_with_the_last_of_its_dropped_cursors(run: Run) -> None:
    class Connection(run.sqlite.Connection):  # type: ignore[misc, name-defined]
        """Can be referred to weakly."""

    connection = Connection(":memory:")
    reference = weakref.ref(connection)
    cursor = connection.execute("SELECT 1")
    connection.close()
    del connection
    run.see(kept=reference() is not None)
    del cursor
    run.see(gone=reference() is None)


@same_on_both
def test_a_collection_in_the_midst_of_a_row_may_close_the_connection(run: Run) -> None:
    class Closer:
        """Closes a connection when the garbage collector finds it."""

        def __init__(self, connection: Any) -> None:
            self.cycle = self
            self.connection = connection

        def __del__(self) -> None:
            self.connection.close()

    threshold = gc.get_threshold()
    gc.collect()
    connection = filled(run)
    Closer(connection)
    try:
        gc.set_threshold(1)
        try:
            for _ in range(1000):
                assert connection.execute(SELECT, (1,)).fetchone() == (1, "one")
        except run.sqlite.ProgrammingError as error:
            run.error(error)
    finally:
        gc.set_threshold(*threshold)
    run(connection.execute, SELECT, (1,))
