"""Exceptions inside every kind of callback behave as with the stdlib.

Each scenario runs on both modules, with ``enable_callback_tracebacks`` off and on, and
compares what the caller gets and what reaches ``sys.unraisablehook``.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.oracle.steps import Run, same_on_both

NUMBERS = "json_each('[1,2,3]')"

ERRORS = [
    ZeroDivisionError("division"),
    ValueError("value"),
    MemoryError("memory"),
    OverflowError("overflow"),
    KeyError("key"),
    RecursionError("deep"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "reason"),
]

tracebacks = pytest.mark.parametrize("shown", [False, True], ids=["hidden", "shown"])
errors = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


def raising(error: BaseException) -> Callable[..., Any]:
    """Make a callback that raises."""

    def callback(*arguments: object, **keywords: object) -> Any:
        raise type(error)(*error.args)

    return callback


def prepared(run: Run, shown: bool, **settings: Any) -> Any:
    """Open a connection on a table t(a) with three rows, tracebacks shown or not."""
    connection = run.connect(":memory:", **settings)
    connection.execute("CREATE TABLE t (a)")
    connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
    connection.commit()
    run.sqlite.enable_callback_tracebacks(shown)
    return connection


def still_usable(run: Run, connection: Any) -> None:
    """Note that the connection goes on working."""
    run(lambda: connection.execute("SELECT count(*) FROM t").fetchall())
    run.see(in_transaction=connection.in_transaction)


@tracebacks
@errors
@same_on_both
def test_function_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    run(connection.create_function, "fail", -1, raising(error))
    run(lambda: connection.execute("SELECT fail()").fetchall())
    run(lambda: connection.execute("SELECT a, fail(a) FROM t").fetchall())
    run(lambda: connection.execute("SELECT 1 WHERE fail() OR 1").fetchall())
    run(connection.execute, "INSERT INTO t SELECT fail(a) FROM t")
    run(connection.executemany, "INSERT INTO t VALUES (fail(?))", [(1,), (2,)])
    run(connection.executescript, "INSERT INTO t VALUES (5); SELECT fail();")
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_function_that_fails_late_gives_the_rows_before(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    connection.create_function("late", 1, lambda a: 1 // (a - 3))
    cursor = run(connection.execute, "SELECT late(a) FROM t")
    for _ in range(4):
        run(cursor.fetchone)
    run(lambda: connection.execute("SELECT late(a) FROM t").fetchall())
    still_usable(run, connection)


class Unconvertible:
    """A result that SQLite has no type for."""


RESULTS: list[object] = [
    None,
    1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    1.5,
    float("nan"),
    float("inf"),
    "text",
    "é😀",
    "a\x00b",
    "\ud800",
    b"blob",
    b"",
    "",
    bytearray(b"array"),
    memoryview(b"view"),
    memoryview(b"strided")[::2],
    True,
    [],
    (),
    {},
    Unconvertible(),
    object,
    1j,
]


@tracebacks
@same_on_both
def test_function_results_of_every_type(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    for result in RESULTS:
        connection.create_function("give", 0, lambda result=result: result)
        run(lambda: connection.execute("SELECT give(), typeof(give())").fetchone())
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_function_arguments_of_every_type(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    seen: list[object] = []
    connection.create_function("take", -1, lambda *arguments: seen.append(arguments))
    for expression in (
        "",
        "NULL",
        "1, 2.5, 'é', x'00ff'",
        "9223372036854775807",
        "'a' || char(0) || 'b'",
        "''",
        "x''",
        "1e999",
        "CAST(x'ff' AS TEXT)",
        "zeroblob(3)",
    ):
        run(lambda expression=expression: connection.execute(f"SELECT take({expression})"))
    run.see(seen=seen)
    connection.text_factory = bytes
    run(lambda: connection.execute("SELECT take('text')").fetchone())
    run.see(seen=seen[-1])


@tracebacks
@same_on_both
def test_function_with_the_wrong_number_of_arguments(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    run(connection.create_function, "two", 2, lambda a, b: a)
    run(connection.create_function, "loose", -1, lambda a, b: a)
    run(lambda: connection.execute("SELECT two(1)").fetchone())
    run(lambda: connection.execute("SELECT loose(1)").fetchone())
    run(lambda: connection.execute("SELECT loose(1, 2)").fetchone())
    for narg in (-2, 5000, 127, "x", None):
        run(connection.create_function, "bad", narg, len)
    for name in (5, None, "with\x00nul", "x" * 300, "\ud800", ""):
        run(connection.create_function, name, 1, len)
    run(connection.create_function, "uncallable", 0, 5)
    run(lambda: connection.execute("SELECT uncallable()").fetchone())
    run(connection.create_function, "two", 2, None)
    run(lambda: connection.execute("SELECT two(1, 2)").fetchone())
    run(connection.create_function, "two")
    run(connection.create_function, "f", 1, len, True)
    run(connection.create_function, "f", 1, len, deterministic=True)
    run(lambda: connection.execute("SELECT f('four')").fetchone())
    run(connection.execute, "CREATE INDEX on_f ON t (f(a))")
    run(connection.create_function, "g", 1, len, deterministic=False)
    run(connection.execute, "CREATE INDEX on_g ON t (g(a))")


class Aggregate:
    """An aggregate that raises in the named methods."""

    failing: frozenset[str] = frozenset()
    error: BaseException = ZeroDivisionError("x")

    def __init__(self) -> None:
        self.total = 0
        self._maybe("__init__")

    def _maybe(self, name: str) -> None:
        if name in self.failing:
            raise type(self.error)(*self.error.args)

    def step(self, value: Any) -> None:
        self._maybe("step")
        self.total += value

    def inverse(self, value: Any) -> None:
        self._maybe("inverse")
        self.total -= value

    def value(self) -> int:
        self._maybe("value")
        return self.total

    def finalize(self) -> int:
        self._maybe("finalize")
        return self.total


def aggregate(error: BaseException, *failing: str) -> type[Aggregate]:
    """Make an aggregate class that raises in some of its methods."""
    return type("Failing", (Aggregate,), {"failing": frozenset(failing), "error": error})


AGGREGATE_METHODS = ["__init__", "step", "finalize"]


@tracebacks
@pytest.mark.parametrize("method", AGGREGATE_METHODS)
@errors
@same_on_both
def test_aggregate_that_raises(run: Run, shown: bool, method: str, error: Exception) -> None:
    connection = prepared(run, shown)
    run(connection.create_aggregate, "total_of", 1, aggregate(error, method))
    run(lambda: connection.execute("SELECT total_of(a) FROM t").fetchall())
    run(lambda: connection.execute("SELECT total_of(a) FROM t WHERE 0").fetchall())
    run(lambda: connection.execute("SELECT a, total_of(a) FROM t GROUP BY a").fetchall())
    run(connection.execute, "INSERT INTO t SELECT total_of(a) FROM t")
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_aggregate_that_raises_in_step_and_finalize(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    error = ZeroDivisionError("both")
    connection.create_aggregate("both", 1, aggregate(error, "step", "finalize"))
    run(lambda: connection.execute("SELECT both(a) FROM t").fetchall())
    connection.create_aggregate("all", 1, aggregate(error, "__init__", "step", "finalize"))
    run(lambda: connection.execute('SELECT "all"(a) FROM t').fetchall())


@pytest.mark.parametrize("missing", ["step", "finalize", "both"])
@tracebacks
@same_on_both
def test_aggregate_without_its_methods(run: Run, shown: bool, missing: str) -> None:
    class Bare:
        if missing == "finalize":

            def step(self, *arguments: object) -> None:
                pass

        if missing == "step":

            def finalize(self) -> int:
                return 5

    connection = prepared(run, shown)
    run(connection.create_aggregate, "bare", 1, Bare)
    run(lambda: connection.execute("SELECT bare(a) FROM t").fetchall())
    run(lambda: connection.execute("SELECT bare(a) FROM t WHERE 0").fetchall())
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_aggregate_results_and_registration(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    for result in RESULTS:

        class Giving:
            given = result

            def step(self, *arguments: object) -> None:
                pass

            def finalize(self) -> object:
                return self.given

        connection.create_aggregate("give", -1, Giving)
        run(lambda: connection.execute("SELECT give(a), give() FROM t").fetchall())
    run(connection.create_aggregate, "give", -1, None)
    run(lambda: connection.execute("SELECT give(a) FROM t").fetchall())
    run(connection.create_aggregate, "bad", 1, 5)
    run(lambda: connection.execute("SELECT bad(a) FROM t").fetchall())
    run(connection.create_aggregate, "bad", 5000, Aggregate)
    run(connection.create_aggregate, 5, 1, Aggregate)
    run(connection.create_aggregate, "bad")


WINDOW = "SELECT a, w(a) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t"


@tracebacks
@pytest.mark.parametrize("method", ["none", "__init__", "step", "inverse", "value", "finalize"])
@errors
@same_on_both
def test_window_function_that_raises(run: Run, shown: bool, method: str, error: Exception) -> None:
    connection = prepared(run, shown)
    run(connection.create_window_function, "w", 1, aggregate(error, method))
    run(lambda: connection.execute(WINDOW).fetchall())
    cursor = run(connection.execute, WINDOW)
    if cursor is not None:
        for _ in range(4):
            run(cursor.fetchone)
    run(lambda: connection.execute("SELECT w(a) FROM t").fetchall())
    still_usable(run, connection)


@tracebacks
@pytest.mark.parametrize("missing", ["step", "inverse", "value", "finalize"])
@same_on_both
def test_window_function_without_a_method(run: Run, shown: bool, missing: str) -> None:
    members = {name: getattr(Aggregate, name) for name in ("step", "inverse", "value", "finalize")}
    del members[missing]
    members |= {"__init__": Aggregate.__init__, "_maybe": Aggregate._maybe, "failing": ()}
    connection = prepared(run, shown)
    run(connection.create_window_function, "w", 1, type("Lacking", (), members))
    run(lambda: connection.execute(WINDOW).fetchall())
    still_usable(run, connection)


@tracebacks
@pytest.mark.parametrize("value", [[1], "\ud800", object(), 1j, 2**70, None, 1.5], ids=repr)
@same_on_both
def test_window_function_that_returns_something(run: Run, shown: bool, value: object) -> None:
    members = {name: getattr(Aggregate, name) for name in ("step", "inverse")}
    members |= {"__init__": Aggregate.__init__, "_maybe": Aggregate._maybe, "failing": ()}
    members |= {"value": lambda self: value, "finalize": lambda self: value}
    connection = prepared(run, shown)
    run(connection.create_window_function, "w", 1, type("Giving", (), members))
    run(lambda: connection.execute(WINDOW).fetchall())
    run(lambda: connection.execute("SELECT w(a) FROM t").fetchall())
    still_usable(run, connection)


@same_on_both
def test_window_function_is_registered_and_removed(run: Run) -> None:
    connection = prepared(run, False)
    create = connection.create_window_function
    run(create, "w", 1, Aggregate)
    run(lambda: connection.execute(WINDOW).fetchall())
    run(create, "w", 1, None)
    run(lambda: connection.execute(WINDOW).fetchall())
    run(create, "w", -100, Aggregate)
    run(create, "w", 1)
    run(create, 5, 1, Aggregate)
    run(create, "w", "x", Aggregate)


@tracebacks
@errors
@same_on_both
def test_collation_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    connection.execute("CREATE TABLE s (a TEXT)")
    connection.executemany("INSERT INTO s VALUES (?)", [("b",), ("a",), ("c",)])
    run(connection.create_collation, "fail", raising(error))
    run(lambda: connection.execute("SELECT a FROM s ORDER BY a COLLATE fail").fetchall())
    run(lambda: connection.execute("SELECT 'a' < 'b' COLLATE fail").fetchall())
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_collation_results_and_registration(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    connection.execute("CREATE TABLE s (a TEXT)")
    connection.executemany("INSERT INTO s VALUES (?)", [("b",), ("é",), ("",), ("a",)])
    select = "SELECT a FROM s ORDER BY a COLLATE own"
    for result in (0, 1, -1, 2**31, 2**70, -(2**70), "x", None, 1.5, True):
        connection.create_collation("own", lambda a, b, result=result: result)
        run(lambda: connection.execute(select).fetchall())
    for callback in (5, "x", lambda: 0, lambda a: 0):
        run(connection.create_collation, "own", callback)
        run(lambda: connection.execute(select).fetchall())
    run(connection.create_collation, "own", lambda a, b: (a > b) - (a < b))
    run(lambda: connection.execute(select).fetchall())
    run(connection.create_collation, "own", None)
    run(lambda: connection.execute(select).fetchall())
    for name in ("é", "a b", "", "x\x00y", "\ud800", 5, None):
        run(connection.create_collation, name, lambda a, b: 0)
    run(connection.create_collation, "own")


@tracebacks
@errors
@same_on_both
def test_authorizer_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    run(connection.set_authorizer, raising(error))
    run(connection.execute, "SELECT a FROM t")
    run(connection.execute, "SELECT 1")
    run(connection.execute, "INSERT INTO t VALUES (1)")
    run(connection.executescript, "SELECT a FROM t")
    run(connection.set_authorizer, None)
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_authorizer_answers(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    module = run.sqlite
    for answer in (
        module.SQLITE_OK,
        module.SQLITE_DENY,
        module.SQLITE_IGNORE,
        99,
        2**31,
        2**70,
        None,
        "x",
        1.5,
        True,
    ):
        connection.set_authorizer(lambda *arguments, answer=answer: answer)
        run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.set_authorizer, None)
    for callback in (5, "x", lambda: 0):
        run(connection.set_authorizer, callback)
        run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.set_authorizer)
    run(connection.set_authorizer, None)
    still_usable(run, connection)


@same_on_both
def test_authorizer_is_told_what_is_done(run: Run) -> None:
    connection = prepared(run, False)
    connection.execute("CREATE VIEW v AS SELECT a FROM t")
    seen: list[tuple[object, ...]] = []

    def authorizer(*arguments: object) -> int:
        seen.append(arguments)
        return 0

    connection.set_authorizer(authorizer)
    for sql in (
        "SELECT a FROM t",
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "SELECT a FROM v",
        "BEGIN",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "PRAGMA user_version",
        "SELECT abs(1)",
        "ATTACH ':memory:' AS o",
    ):
        seen.clear()
        run(connection.execute, sql)
        run.see(seen=list(seen))


LONG = (
    "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 5000) "
    "SELECT count(*) FROM c"
)


@tracebacks
@errors
@same_on_both
def test_progress_handler_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    run(connection.set_progress_handler, raising(error), 10)
    run(lambda: connection.execute(LONG).fetchall())
    run(connection.executemany, "INSERT INTO t VALUES (?)", [(n,) for n in range(50)])
    run(connection.set_progress_handler, None, 10)
    run(lambda: connection.execute(LONG).fetchall())
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_progress_handler_answers(run: Run, shown: bool) -> None:
    class Undecided:
        def __bool__(self) -> bool:
            raise ZeroDivisionError("undecided")

    connection = prepared(run, shown)
    for answer in (0, 1, None, "", "x", [], 2**70, Undecided()):
        connection.set_progress_handler(lambda answer=answer: answer, 100)
        run(lambda: connection.execute(LONG).fetchall())
    for steps in (0, -1, "x", None, 2**31):
        run(connection.set_progress_handler, lambda: 1, steps)
        run(lambda: connection.execute(LONG).fetchall())
    for callback in (5, lambda argument: 0):
        run(connection.set_progress_handler, callback, 100)
        run(lambda: connection.execute(LONG).fetchall())
    run(connection.set_progress_handler, lambda: 1)
    run(connection.set_progress_handler, None, 0)
    still_usable(run, connection)


@tracebacks
@errors
@same_on_both
def test_trace_callback_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    run(connection.set_trace_callback, raising(error))
    run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(connection.execute, "INSERT INTO t VALUES (?)", (1,))
    run(connection.commit)
    run(connection.set_trace_callback, None)
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_trace_callback_sees_expanded_statements(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    connection.execute(
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = a + 0 WHERE 0; END"
    )
    seen: list[object] = []
    connection.set_trace_callback(seen.append)
    for step in (
        (connection.execute, "SELECT ?, ?", (1, "é'x")),
        (connection.execute, "INSERT INTO t VALUES (:a)", {"a": b"\x00\xff"}),
        (connection.executemany, "INSERT INTO t VALUES (?)", [(1,), (None,)]),
        (connection.executescript, "SELECT 1; -- comment\nSELECT 2"),
        (connection.execute, "SELECT 'a\ud800'"),
        (connection.execute, "SELECT oops"),
        (connection.commit,),
        (connection.execute, "-- only a comment"),
        (connection.execute, "SELECT ?", ("x" * 50,)),
    ):
        seen.clear()
        run(*step)
        run.see(seen=list(seen))
    connection.setlimit(run.sqlite.SQLITE_LIMIT_LENGTH, 100)
    seen.clear()
    run(connection.execute, "SELECT ?", ("y" * 90,))
    run.see(seen=list(seen))
    for callback in (5, "x", lambda: 0):
        run(connection.set_trace_callback, callback)
        run(lambda: connection.execute("SELECT 1").fetchall())
    run(connection.set_trace_callback)


@tracebacks
@errors
@same_on_both
def test_converter_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown, detect_types=run.sqlite.PARSE_COLNAMES)
    run.sqlite.register_converter("failing", raising(error))
    cursor = connection.cursor()
    run(cursor.execute, 'SELECT 1 AS "a [failing]" UNION ALL SELECT 2')
    run(cursor.fetchall)
    run(cursor.fetchone)
    run(lambda: list(connection.execute("SELECT 1, 'x' AS \"a [failing]\"")))
    run(lambda: connection.execute('SELECT NULL AS "a [failing]"').fetchall())
    still_usable(run, connection)


@tracebacks
@errors
@same_on_both
def test_adapter_and_conform_that_raise(run: Run, shown: bool, error: Exception) -> None:
    class Adapted:
        pass

    class Conforming:
        __conform__ = raising(error)

    class Property:
        @property
        def __conform__(self) -> object:
            raise type(error)(*error.args)

    connection = prepared(run, shown)
    run.sqlite.register_adapter(Adapted, raising(error))
    for value in (Adapted(), Conforming(), Property()):
        run(connection.execute, "SELECT ?", (value,))
        run(connection.execute, "SELECT :a", {"a": value})
        run(connection.execute, "INSERT INTO t VALUES (?)", (value,))
        run(connection.executemany, "INSERT INTO t VALUES (?)", [(1,), (value,)])
        run.see(in_transaction=connection.in_transaction)
        run(run.sqlite.adapt, value)
        run(run.sqlite.adapt, value, run.sqlite.PrepareProtocol, "alternative")
    still_usable(run, connection)


@tracebacks
@errors
@same_on_both
def test_row_factory_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    connection.row_factory = raising(error)
    cursor = run(connection.execute, "SELECT a FROM t")
    for _ in range(4):
        run(cursor.fetchone)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())
    run(lambda: connection.execute("SELECT a FROM t").fetchmany(2))
    run(lambda: list(connection.execute("SELECT a FROM t")))
    run(lambda: connection.execute("SELECT a FROM t WHERE 0").fetchall())
    run(lambda: list(connection.iterdump()))
    connection.row_factory = None
    still_usable(run, connection)


@tracebacks
@errors
@same_on_both
def test_text_factory_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection = prepared(run, shown)
    connection.text_factory = raising(error)
    cursor = run(connection.execute, "SELECT 'x' UNION ALL SELECT 'y'")
    if cursor is not None:
        run(cursor.fetchone)
        run(cursor.fetchall)
    run(lambda: connection.execute("SELECT 1").fetchall())
    run(lambda: connection.execute("SELECT 1 UNION ALL SELECT 'x'").fetchall())
    connection.text_factory = str
    still_usable(run, connection)


@tracebacks
@errors
@same_on_both
def test_backup_progress_that_raises(run: Run, shown: bool, error: Exception) -> None:
    connection, target = prepared(run, shown), run.connect()
    run(connection.backup, target, pages=1, progress=raising(error))
    run(lambda: target.execute("SELECT count(*) FROM sqlite_schema").fetchall())
    run(connection.backup, target, pages=1, progress=lambda argument: None)
    run(connection.backup, target)
    run(lambda: target.execute("SELECT count(*) FROM t").fetchall())
    still_usable(run, connection)


@tracebacks
@errors
@same_on_both
def test_parameters_that_raise_while_they_are_read(run: Run, shown: bool, error: Exception) -> None:
    class Items:
        def __len__(self) -> int:
            return 1

        __getitem__ = raising(error)

    class Length:
        __len__ = raising(error)

        def __getitem__(self, index: int) -> int:
            return 1

    class Missing(dict[str, object]):
        __missing__ = raising(error)

    class Rows:
        __iter__ = raising(error)

    connection = prepared(run, shown)
    run(connection.execute, "SELECT ?", Items())
    run(connection.execute, "SELECT ?", Length())
    run(connection.execute, "SELECT :a", Missing())
    run(connection.executemany, "INSERT INTO t VALUES (?)", Rows())
    run(connection.executemany, "INSERT INTO t VALUES (?)", [(1,), Items()])
    run.see(in_transaction=connection.in_transaction)
    still_usable(run, connection)


@same_on_both
def test_blob_written_from_a_buffer_that_is_gone(run: Run) -> None:
    connection = prepared(run, False)
    connection.execute("INSERT INTO t VALUES (zeroblob(4))")
    blob = connection.blobopen("t", "a", 4)
    released = memoryview(b"abcd")
    released.release()
    run(blob.write, released)

    def assign(value: object) -> None:
        blob[0:4] = value

    run(assign, released)
    run(blob.read)
    run(blob.close)


@tracebacks
@same_on_both
def test_callback_that_exits_or_is_interrupted(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    # Neither is an Exception; the caller must not see it as one.
    for error in (KeyboardInterrupt("stop"), SystemExit(3), GeneratorExit("g")):
        connection.create_function("leave", 0, raising(error))
        run(lambda: connection.execute("SELECT leave()").fetchall())
    still_usable(run, connection)


@tracebacks
@same_on_both
def test_callbacks_that_use_their_own_connection(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)
    connection.execute("CREATE TABLE log (a)")
    actions: list[Callable[[], object]] = [
        connection.commit,
        connection.rollback,
        lambda: connection.execute("INSERT INTO log VALUES (9)").rowcount,
        lambda: connection.execute("SELECT count(*) FROM t").fetchone()[0],
        lambda: connection.create_function("later", 0, lambda: 1),
        lambda: connection.executescript("SELECT 1") and None,
        lambda: connection.in_transaction,
    ]
    for action in actions:
        connection.create_function("act", 0, action)
        run(lambda: connection.execute("SELECT act() FROM t").fetchall())
        run(lambda: connection.execute("INSERT INTO t SELECT act()").rowcount)
        still_usable(run, connection)


@tracebacks
@same_on_both
def test_function_replaced_while_it_runs(run: Run, shown: bool) -> None:
    connection = prepared(run, shown)

    def replace() -> int:
        run(connection.create_function, "self", 0, lambda: 2)
        run(connection.create_function, "self", 0, None)
        return 1

    connection.create_function("self", 0, replace)
    run(lambda: connection.execute("SELECT self() FROM t").fetchall())
    run(lambda: connection.execute("SELECT self()").fetchall())
    still_usable(run, connection)


@same_on_both
def test_unraisable_errors_name_the_callback_only_when_shown(run: Run) -> None:
    def named() -> None:
        raise ZeroDivisionError("named")

    for shown in (True, False, True):
        connection = prepared(run, shown)
        connection.create_function("named", 0, named)
        connection.set_trace_callback(raising(ValueError("trace")))
        connection.set_authorizer(lambda *a: named() if a[0] == 31 else 0)
        connection.set_progress_handler(named, 1)
        run(lambda connection=connection: connection.execute("SELECT named()").fetchall())
        run(lambda connection=connection: connection.execute("SELECT 1").fetchall())
