"""Statements: parameters, counts, ids, descriptions, and text that is not one statement."""

import string
import sys
from collections import UserDict, UserList, namedtuple
from typing import Any

import pytest

import dbmanager.sqlite3
from tests.oracle.steps import Run, same_on_both

Point = namedtuple("Point", "x y")  # noqa: PYI024


def see(run: Run, cursor: Any) -> None:
    """Note what a cursor tells about its statement."""
    run.see(rowcount=cursor.rowcount, lastrowid=cursor.lastrowid, description=cursor.description)


@same_on_both
def test_rowcount_of_returning_is_zero_until_rows_are_fetched(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    cursor = run(connection.execute, "INSERT INTO t VALUES (1), (2), (3) RETURNING a")
    see(run, cursor)
    for _ in range(5):
        run(cursor.fetchone)
        see(run, cursor)
    cursor = run(connection.execute, "UPDATE t SET a = a + 1 RETURNING a")
    assert cursor.rowcount == 0
    run(cursor.fetchall)
    assert cursor.rowcount == 3
    cursor = run(connection.execute, "DELETE FROM t WHERE a > 2 RETURNING a")
    run(cursor.fetchmany, 1)
    see(run, cursor)
    run(connection.commit)
    see(run, cursor)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT a FROM t",
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1), (2), (3)",
        "INSERT INTO t SELECT a FROM t",
        "UPDATE t SET a = 5",
        "UPDATE t SET a = 5 WHERE 0",
        "DELETE FROM t",
        "DELETE FROM t WHERE a = 1",
        "REPLACE INTO t VALUES (7)",
        "INSERT OR IGNORE INTO k VALUES (1)",
        "REPLACE INTO k VALUES (1)",
        "INSERT INTO k VALUES (1) ON CONFLICT DO NOTHING",
        "CREATE TABLE u (a)",
        "DROP TABLE t",
        "PRAGMA user_version",
        "WITH x AS (SELECT 8) INSERT INTO t SELECT * FROM x",
        "/* c */ UPDATE t SET a = 6",
        "UPDATE t SET a = 5 RETURNING a",
        "EXPLAIN DELETE FROM t",
        "BEGIN",
        "VACUUM",
        "",
        "-- nothing",
    ],
)
@same_on_both
def test_counts_and_description_after_a_statement(run: Run, sql: str) -> None:
    connection = run.connect()
    connection.executescript(
        "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);"
        "CREATE TABLE k (id INTEGER PRIMARY KEY); INSERT INTO k VALUES (1)"
    )
    cursor = connection.cursor()
    run(cursor.execute, sql)
    see(run, cursor)
    run.see(total_changes=connection.total_changes)
    if not sql.startswith("EXPLAIN"):  # whose rows belong to the version of SQLite
        run(cursor.fetchall)
    see(run, cursor)


@same_on_both
def test_lastrowid_is_untouched_by_executemany_and_failed_inserts(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)")
    cursor = connection.cursor()
    run(cursor.execute, "INSERT INTO t VALUES (10, 'x')")
    assert cursor.lastrowid == 10
    run(cursor.executemany, "INSERT INTO t VALUES (?, ?)", [(20, "y"), (30, "z")])
    assert cursor.lastrowid == 10
    run(cursor.execute, "INSERT INTO t VALUES (40, 'x')")
    assert cursor.lastrowid == 10
    run(cursor.execute, "INSERT OR IGNORE INTO t VALUES (50, 'x')")
    see(run, cursor)
    run(cursor.execute, "REPLACE INTO t VALUES (60, 'x')")
    see(run, cursor)
    run(cursor.execute, "UPDATE t SET a = 'w' WHERE id = 60")
    see(run, cursor)
    run(cursor.execute, "SELECT 1")
    see(run, cursor)
    other = connection.cursor()
    see(run, other)
    run(other.execute, "SELECT 1")
    see(run, other)
    run(cursor.executescript, "INSERT INTO t VALUES (70, 'v')")
    see(run, cursor)
    run(cursor.execute, "INSERT INTO t VALUES (?, 'u') RETURNING id", (2**63 - 1,))
    see(run, cursor)
    run(cursor.fetchall)
    see(run, cursor)
    run(cursor.execute, "INSERT INTO t VALUES (-5, 't')")
    see(run, cursor)
    run(cursor.execute, "CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID")
    run(cursor.execute, "INSERT INTO w VALUES (1)")
    see(run, cursor)


@same_on_both
def test_description_is_set_for_an_empty_select_and_cleared_by_what_gives_no_rows(
    run: Run,
) -> None:
    connection = run.connect()
    connection.execute('CREATE TABLE t (a, "b c", "d [e]", "")')
    cursor = connection.cursor()
    run(cursor.execute, "SELECT * FROM t")
    assert [column[0] for column in cursor.description] == ["a", "b c", "d [e]", ""]
    see(run, cursor)
    run(cursor.fetchone)
    see(run, cursor)
    run(cursor.execute, "INSERT INTO t (a) VALUES (1)")
    assert cursor.description is None
    run(cursor.execute, "SELECT a AS x, a AS x, 1+1, 'é' AS \"naïve\", NULL FROM t")
    see(run, cursor)
    run(cursor.execute, "SELECT oops FROM t")
    see(run, cursor)
    run(cursor.fetchone)
    run(cursor.execute, "INSERT INTO t (a) VALUES (1) RETURNING a AS b")
    see(run, cursor)
    run(cursor.execute, "PRAGMA user_version")
    see(run, cursor)
    run(cursor.execute, "PRAGMA user_version = 1")
    see(run, cursor)


@same_on_both
def test_description_keeps_or_cuts_the_bracket_by_detect_types(run: Run) -> None:
    module = run.sqlite
    names = ['"a [int]"', '"a[int]"', '"[int]"', '"a [int] b"', '"a ["', '" [x"', '"a  [i]"']
    for flags in (0, module.PARSE_DECLTYPES, module.PARSE_COLNAMES, 3):
        connection = run.connect(":memory:", detect_types=flags)
        for name in names:
            cursor = connection.execute(f"SELECT 1 AS {name}")
            see(run, cursor)
            run(cursor.fetchall)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "SELECT 1;",
        "SELECT 1; ",
        "SELECT 1;;",
        "SELECT 1; -- comment",
        "SELECT 1; /* comment */",
        "SELECT 1; /* open",
        "SELECT 1; --",
        "SELECT 1; -",
        "SELECT 1; /",
        "SELECT 1; x",
        "; SELECT 1",
        ";",
        ";;",
        "-- c\n; SELECT 1",
        "SELECT 1\x00",
        "SELECT 1\x00; SELECT 2",
        "\x00",
        "SELECT '\x00'",
        "SELECT 1; \x00",
        "SELECT '\ud800'",
        "SELECT 'é日本😀'",
        "SELECT ?; SELECT ?",
        "SELEC 1",
        "SELECT",
        "SELECT 'open",
        "SELECT * FROM nowhere",
        "INSERT INTO nowhere VALUES (1)",
        "SELECT nosuch(1)",
        "SELECT 1 +",
        "\ufeffSELECT 1",
        "SELECT \ufeff 1",
        "\tSELECT\n1\r",
    ],
)
@same_on_both
def test_text_that_is_not_exactly_one_statement(run: Run, sql: str) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    run(cursor.execute, sql)
    see(run, cursor)
    run(cursor.fetchall)
    run(cursor.executemany, sql, [])
    run(connection, sql)
    run(connection.execute, sql)


@pytest.mark.parametrize("sql", [b"SELECT 1", None, 1, object, bytearray(b"SELECT 1")])
@same_on_both
def test_sql_must_be_text(run: Run, sql: object) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    run(cursor.execute, sql)
    run(cursor.executemany, sql, [()])
    run(connection.execute, sql)
    run(connection, sql)


class Text(str):
    """A subclass of str."""

    __slots__ = ()


@same_on_both
def test_sql_may_be_a_subclass_of_str(run: Run) -> None:
    connection = run.connect()
    run(lambda: connection.execute(Text("SELECT ?"), (Text("x"),)).fetchall())
    run(lambda: connection.executescript(Text("CREATE TABLE t (a)")))
    run(lambda: connection.executemany(Text("INSERT INTO t VALUES (?)"), [(1,)]).rowcount)


@same_on_both
def test_wrong_number_of_arguments(run: Run) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    for target in (connection, cursor):
        run(target.execute)
        run(target.execute, "SELECT 1", (), ())
        run(target.execute, sql="SELECT 1")
        run(target.executemany, "SELECT 1")
        run(target.executemany)
        run(target.execute, "SELECT ?", parameters=(1,))
    run(connection)
    run(connection, "SELECT 1", 2)
    run(connection, sql="SELECT 1")


class Sequence:
    """The least that counts as a sequence."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> object:
        return self.values[index]


class BrokenSequence(Sequence):
    """A sequence whose items can't be had."""

    def __getitem__(self, index: int) -> object:
        raise ZeroDivisionError(f"item {index}")


class BrokenLength(Sequence):
    """A sequence without a length."""

    def __len__(self) -> int:
        raise ZeroDivisionError("length")


class Defaulting(dict[str, object]):
    """A mapping that makes what is missing."""

    def __missing__(self, key: str) -> object:
        return f"made for {key}"


class BrokenMapping(dict[str, object]):
    """A mapping that fails for what is missing."""

    def __missing__(self, key: str) -> object:
        raise ZeroDivisionError(key)


PARAMETERS: list[object] = [
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    [1, 2],
    Point(1, 2),
    Sequence(1, 2),
    Sequence(1),
    BrokenSequence(1, 2),
    BrokenLength(1, 2),
    UserList([1, 2]),
    range(2),
    "ab",
    b"ab",
    bytearray(b"ab"),
    {},
    {"a": 1, "b": 2},
    {"a": 1},
    {"a": 1, "b": 2, "c": 3},
    {0: 1, 1: 2},
    Defaulting(),
    BrokenMapping(),
    UserDict({"a": 1, "b": 2}),
    UserDict(),
    {1, 2},
    iter((1, 2)),
    None,
    1,
    object,
    (object,),
    (1, object()),
    {"a": 1, "b": object()},
]

PLACEHOLDERS = [
    "SELECT 1",
    "SELECT ?",
    "SELECT ?, ?",
    "SELECT ?2, ?1",
    "SELECT ?1, ?1",
    "SELECT ?3",
    "SELECT :a, :b",
    "SELECT @a, @b",
    "SELECT $a, $b",
    "SELECT :a, ?",
    "SELECT ?, :a",
    "SELECT :a, :a",
    "SELECT :a, $a, @a",
    "SELECT $a::b(c)",
    "SELECT :é",
]


@pytest.mark.parametrize("sql", PLACEHOLDERS)
@same_on_both
def test_parameters_of_every_shape_bind_or_fail_alike(run: Run, sql: str) -> None:
    connection = run.connect()
    for parameters in PARAMETERS:
        cursor = connection.cursor()
        run(cursor.execute, sql, parameters)
        run(cursor.fetchall)
    run(connection.execute, sql)


@same_on_both
def test_item_of_a_named_parameter_is_looked_up_without_its_sign(run: Run) -> None:
    connection = run.connect()
    for key in ("a", ":a", "@a", "$a", "A"):
        run(lambda key=key: connection.execute("SELECT :a", {key: 1}).fetchall())
    run(lambda: connection.execute("SELECT :é", {"é": 1}).fetchall())
    run(lambda: connection.execute("SELECT :1, :2", {"1": "x", "2": "y"}).fetchall())
    run(lambda: connection.execute("SELECT :1, :2", (8, 9)).fetchall())


def shapes_of_rows() -> list[object]:
    """Give rows for executemany, right and wrong; the iterators among them are fresh."""
    return [
        [],
        [(1,), (2,)],
        ((n,) for n in range(3)),
        [(1,), (2, 3)],
        [(1,), object()],
        [{"x": 1}],
        [(1,), {"x": 1}],
        iter([]),
        "ab",
        {"a": 1},
        None,
        5,
        [None],
        [(object(),)],
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (?)",
        "INSERT INTO t VALUES (?) RETURNING a",
        "UPDATE t SET a = a WHERE a = ?",
        "DELETE FROM t WHERE a = ?",
        "SELECT ?",
        "SELECT a FROM t WHERE a = ?",
        "INSERT INTO t VALUES (:x)",
        "CREATE TABLE u (a)",
        "PRAGMA user_version",
        "",
        "INSERT INTO k VALUES (?)",
    ],
)
@same_on_both
def test_executemany_with_every_shape_of_rows(run: Run, sql: str) -> None:
    if "RETURNING" in sql and sys.version_info >= (3, 12):
        pytest.skip("the stdlib raises InterfaceError (API misuse) here since 3.12; ours goes on")
    for rows in shapes_of_rows():
        connection = run.connect()
        connection.executescript("CREATE TABLE t (a); CREATE TABLE k (a UNIQUE);")
        connection.executescript("INSERT INTO t VALUES (1), (1); INSERT INTO k VALUES (2);")
        cursor = connection.cursor()
        run(cursor.executemany, sql, rows)
        see(run, cursor)
        run(cursor.fetchall)
        run.see(in_transaction=connection.in_transaction, changes=connection.total_changes)
        run(lambda connection=connection: connection.execute("SELECT a FROM t").fetchall())


@same_on_both
def test_executemany_stops_where_its_rows_raise_and_keeps_what_was_done(run: Run) -> None:
    def rows() -> Any:
        yield (1,)
        yield (2,)
        raise ZeroDivisionError("from the generator")

    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    cursor = connection.cursor()
    run(cursor.executemany, "INSERT INTO t VALUES (?)", rows())
    see(run, cursor)
    run.see(in_transaction=connection.in_transaction)
    run(lambda: connection.execute("SELECT a FROM t").fetchall())


@same_on_both
def test_executemany_whose_rows_use_the_connection(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")

    def rows(action: Any) -> Any:
        yield (1,)
        run(action)
        yield (2,)

    for action in (
        connection.commit,
        connection.rollback,
        lambda: connection.execute("INSERT INTO t VALUES (9)"),
        lambda: connection.executescript("SELECT 1"),
        lambda: connection.execute("SELECT count(*) FROM t").fetchone(),
    ):
        run(connection.executemany, "INSERT INTO t VALUES (?)", rows(action))
        run.see(in_transaction=connection.in_transaction)
        run(lambda: connection.execute("SELECT a FROM t").fetchall())


@same_on_both
def test_same_text_on_two_cursors_is_two_statements(run: Run) -> None:
    connection = run.connect()
    sql = "SELECT value FROM json_each('[1,2,3]')"
    first, second = connection.execute(sql), connection.execute(sql)
    run(first.fetchone)
    run(second.fetchall)
    run(first.fetchall)
    third = connection.execute(sql)
    run(third.execute, sql)
    run(third.fetchone)


@same_on_both
def test_statement_is_prepared_anew_after_the_schema_changed(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (1)")
    select = "SELECT * FROM t"
    run(lambda: connection.execute(select).fetchall())
    connection.execute("ALTER TABLE t ADD COLUMN b DEFAULT 'new'")
    cursor = connection.cursor()
    run(cursor.execute, select)
    see(run, cursor)
    run(cursor.fetchall)
    connection.execute("ALTER TABLE t RENAME COLUMN a TO c")
    run(cursor.execute, select)
    see(run, cursor)
    run(connection.execute, "DROP TABLE t")
    run(cursor.fetchall)
    run(connection.execute, "DROP TABLE t")
    run(cursor.execute, select)
    see(run, cursor)


@pytest.mark.parametrize("cached_statements", [0, 1, 2, 128, -1, 2**31, "x", None])
@same_on_both
def test_size_of_the_statement_cache_changes_no_result(run: Run, cached_statements: object) -> None:
    connection = run(run.connect, ":memory:", cached_statements=cached_statements)
    if connection is None:
        return
    for _ in range(2):
        for number in range(4):
            run(lambda number=number: connection.execute(f"SELECT {number}").fetchall())


@same_on_both
def test_length_limits_of_sql_and_values(run: Run) -> None:
    connection = run.connect()
    limits = run.sqlite
    # Read the schema first: newer SQLite holds the limit against its own statements too.
    connection.execute("SELECT name FROM sqlite_schema").fetchall()
    run(connection.setlimit, limits.SQLITE_LIMIT_SQL_LENGTH, 20)
    run(connection.execute, "SELECT 'a longer text'")
    run(connection.executescript, "SELECT 'a longer text'")
    run(connection, "SELECT 'a longer text'")
    run(connection.execute, "SELECT 1")
    run(connection.execute, "SELECT             1")
    run(connection.execute, "SELECT              1")
    run(connection.setlimit, limits.SQLITE_LIMIT_SQL_LENGTH, 1_000_000)
    run(connection.setlimit, limits.SQLITE_LIMIT_LENGTH, 50)
    for value in ("x" * 50, "x" * 51, b"x" * 50, b"x" * 51, "é" * 26):
        run(lambda value=value: connection.execute("SELECT ?", (value,)).fetchall())
    run(lambda: connection.execute("SELECT zeroblob(60)").fetchall())


@same_on_both
def test_number_of_parameters_is_limited_as_set(run: Run) -> None:
    connection = run.connect()
    run(connection.setlimit, run.sqlite.SQLITE_LIMIT_VARIABLE_NUMBER, 3)
    run(lambda: connection.execute("SELECT ?, ?, ?", (1, 2, 3)).fetchall())
    run(lambda: connection.execute("SELECT ?, ?, ?, ?", (1, 2, 3, 4)).fetchall())
    run(lambda: connection.execute("SELECT ?4", (1, 2, 3, 4)).fetchall())


@same_on_both
def test_many_columns_and_many_parameters(run: Run) -> None:
    connection = run.connect()
    marks = ", ".join("?" * 1999)
    row = run(lambda: connection.execute(f"SELECT {marks}", range(1999)).fetchone())
    assert row == tuple(range(1999))
    letters = ", ".join(f":{a}{b}" for a in string.ascii_lowercase for b in string.digits)
    names = {f"{a}{b}": a + b for a in string.ascii_lowercase for b in string.digits}
    run(lambda: connection.execute(f"SELECT {letters}", names).fetchone())


@pytest.mark.parametrize(
    ("statements", "sql"),
    [
        ("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"),
        (
            "CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)",
            "INSERT INTO t VALUES (1)",
        ),
        ("CREATE TABLE t (a NOT NULL)", "INSERT INTO t VALUES (NULL)"),
        ("CREATE TABLE t (a CHECK (a > 0))", "INSERT INTO t VALUES (0)"),
        ("CREATE TABLE t (a, CONSTRAINT positive CHECK (a > 0))", "INSERT INTO t VALUES (0)"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES ('x')"),
        ("CREATE TABLE t (a PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES (NULL)"),
        ("CREATE TABLE t (a INTEGER) STRICT", "INSERT INTO t VALUES ('x')"),
        (
            (
                "PRAGMA foreign_keys = ON; CREATE TABLE p (a PRIMARY KEY);"
                "CREATE TABLE t (a REFERENCES p)"
            ),
            "INSERT INTO t VALUES (1)",
        ),
        (
            (
                "CREATE TABLE t (a); CREATE TRIGGER r BEFORE INSERT ON t "
                "BEGIN SELECT RAISE(ABORT, 'refused by the trigger'); END"
            ),
            "INSERT INTO t VALUES (1)",
        ),
        (
            (
                "CREATE TABLE t (a); CREATE TRIGGER r BEFORE INSERT ON t "
                "BEGIN SELECT RAISE(ROLLBACK, 'rolled back'); END"
            ),
            "INSERT INTO t VALUES (1)",
        ),
        ("CREATE TABLE t (a)", "INSERT INTO t VALUES (1, 2)"),
        ("CREATE TABLE t (a)", "SELECT b FROM t"),
        ("CREATE TABLE t (a)", "CREATE TABLE t (a)"),
        ("", "SELECT abs(-9223372036854775808)"),
        ("", "SELECT 9223372036854775807 + 1"),
        ("", "SELECT json('{')"),
        ("", "SELECT sum(9223372036854775807) FROM (VALUES (1), (2))"),
        ("PRAGMA query_only = ON", "CREATE TABLE t (a)"),
        ("", "SELECT load_extension('nothing')"),
        ("", "DETACH main"),
        ("", "ATTACH '' AS main"),
        ("", "SELECT x'0"),
        ("", "SELECT group_concat(1) OVER (ORDER BY 1 ROWS -1 PRECEDING)"),
        ("", "SELECT max()"),
        ("", "SELECT substr()"),
        ("", "SELECT randomblob(3000000000)"),
        ("CREATE VIEW v AS SELECT 1 AS a", "INSERT INTO v VALUES (1)"),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)", "DROP TABLE sqlite_sequence"),
    ],
)
@same_on_both
def test_errors_of_sqlite_carry_class_message_and_codes(
    run: Run, statements: str, sql: str
) -> None:
    connection = run.connect()
    connection.executescript(statements)
    cursor = connection.cursor()
    run(cursor.execute, sql)
    run(cursor.fetchall)
    see(run, cursor)
    run.see(in_transaction=connection.in_transaction)


def test_long_script_takes_no_longer_a_statement_than_a_short_one() -> None:
    # With a copy of the rest for each statement it would take minutes: the time limit ends it.
    connection = dbmanager.sqlite3.connect(":memory:")
    statement = "INSERT INTO t VALUES (1, 'a text that makes the script some megabytes long');\n"
    connection.executescript(f"CREATE TABLE t (a, b); BEGIN; {statement * 400_000} COMMIT")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (400_000,)
    connection.close()
