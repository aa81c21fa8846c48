"""Values: what goes in, what comes out, and how types are declared, adapted, converted."""

import array
import datetime
import decimal
import enum
import sys
from typing import Any

import pytest

from tests.oracle.steps import Run, same_on_both


class Number(int):
    """A subclass of int."""


class Ratio(float):
    """A subclass of float."""


class Text(str):
    """A subclass of str."""

    __slots__ = ()


class Bytes(bytes):
    """A subclass of bytes."""


class Colour(enum.IntEnum):
    """An enum that is an integer."""

    RED = 1


class Name(enum.StrEnum):
    """An enum that is a text."""

    ADA = "ada"


class Truthy:
    """No type that SQLite knows."""

    def __index__(self) -> int:
        return 7

    def __str__(self) -> str:
        return "seven"


VALUES: list[object] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    255,
    256,
    2**31 - 1,
    2**31,
    -(2**31) - 1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**63,
    -(2**63) - 1,
    2**64,
    10**30,
    0.0,
    -0.0,
    1.5,
    -1e308,
    5e-324,
    0.1,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "a",
    "ascii text of some length",
    "é",
    "Łódź",
    "東京",
    "😀",
    "a\x00b",
    "\x00",
    "\ud800",
    "a\udc80b",
    "x" * 10_000,
    "é" * 10_000,
    "😀" * 1_000,
    "1",
    "1.0",
    " 1",
    "1e3",
    "0x10",
    "null",
    b"",
    b"\x00",
    b"bytes",
    bytes(range(256)),
    b"\xff" * 10_000,
    bytearray(b""),
    bytearray(b"array"),
    memoryview(b"view"),
    memoryview(b"strided view")[::2],
    memoryview(bytearray(b"writable")),
    array.array("b", [1, 2, 3]),
    array.array("i", [1, 2, 3]),
    Number(5),
    Ratio(5.5),
    Text("sub"),
    Bytes(b"sub"),
    Colour.RED,
    Name.ADA,
    Truthy(),
    object,
    (),
    [],
    {},
    (1,),
    1j,
    decimal.Decimal("1.5"),
    ...,
    int,
]


@same_on_both
def test_value_comes_back_as_the_same_value_or_fails_alike(run: Run) -> None:
    connection = run.connect()
    for value in VALUES:
        run(lambda value=value: connection.execute("SELECT ?", (value,)).fetchone())
        run(lambda value=value: connection.execute("SELECT :v", {"v": value}).fetchone())
        run(lambda value=value: connection.execute("SELECT typeof(?)", (value,)).fetchone())
    released = memoryview(b"gone")
    released.release()
    run(connection.execute, "SELECT ?", (released,))


# Text affinity turns floats into text, which SQLite 3.43 and later write differently.
@pytest.mark.parametrize("affinity", ["", "INTEGER", "REAL", "NUMERIC", "BLOB"])
@same_on_both
def test_value_is_stored_by_the_affinity_of_its_column(run: Run, affinity: str) -> None:
    connection = run.connect()
    connection.execute(f"CREATE TABLE t (a {affinity})")
    for value in VALUES:
        run(connection.execute, "INSERT INTO t VALUES (?)", (value,))
    cursor = connection.execute("SELECT a, typeof(a) FROM t ORDER BY rowid")
    for _ in VALUES:
        run(cursor.fetchone)


@same_on_both
def test_value_in_a_text_column(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a TEXT)")
    for value in (None, 1, -(2**63), 0.5, "x", "\x00", b"b", True, "😀"):
        run(connection.execute, "INSERT INTO t VALUES (?)", (value,))
        run(lambda: connection.execute("SELECT a, typeof(a) FROM t").fetchall())


@same_on_both
def test_executemany_binds_what_execute_binds(run: Run) -> None:
    connection = run.connect()
    connection.execute("CREATE TABLE t (a)")
    for value in VALUES:
        run(connection.executemany, "INSERT INTO t VALUES (?)", [(value,), (1,), (value,)])
        run(lambda: connection.execute("SELECT count(*) FROM t").fetchone())


@same_on_both
def test_integers_beyond_64_bits_overflow_with_the_index_of_the_parameter(run: Run) -> None:
    connection = run.connect()
    for parameters in ((1, 2**63), (-(2**63) - 1,), {"big": 2**63}):
        marks = ":big" if isinstance(parameters, dict) else ", ".join("?" * len(parameters))
        run(connection.execute, f"SELECT {marks}", parameters)


@pytest.mark.parametrize(
    "factory",
    [
        str,
        bytes,
        bytearray,
        Text,
        Bytes,
        lambda raw: raw.decode("utf-16-le", "replace"),
        lambda raw: (type(raw).__name__, raw),
        len,
        int,
        None,
        "not callable",
        lambda: "no argument",
        str.upper,
    ],
)
@same_on_both
def test_text_factory_makes_texts_and_only_texts(run: Run, factory: Any) -> None:
    connection = run.connect()
    run(setattr, connection, "text_factory", factory)
    for text in ("ascii", "é日本😀", "", "a\x00b", "12"):
        run(lambda text=text: connection.execute("SELECT ?, 1, x'00'", (text,)).fetchone())
    run(lambda: connection.execute("SELECT CAST(x'ff41' AS TEXT)").fetchall())
    run(lambda: connection.execute("SELECT CAST(x'ed a0 80' AS TEXT)".replace(" ", "")).fetchall())


@same_on_both
def test_text_that_is_not_utf8_fails_with_the_column_and_the_text(run: Run) -> None:
    connection = run.connect()
    for blob in ("ff", "41ff42", "c3", "ed a0 80", "f0 9f 98", "00ff", "c0 80", "f5 80 80 80"):
        sql = f"SELECT CAST(x'{blob.replace(' ', '')}' AS TEXT) AS broken"
        cursor = run(connection.execute, sql)
        if cursor is not None:
            run(cursor.fetchone)
            run(cursor.fetchone)
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    run(lambda: connection.execute("SELECT CAST(x'41ff42' AS TEXT)").fetchone())


@same_on_both
def test_text_factory_changed_under_an_open_cursor_takes_effect(run: Run) -> None:
    connection = run.connect()
    cursor = connection.execute('SELECT value FROM json_each(\'["a", "b", "c"]\')')
    run(cursor.fetchone)
    connection.text_factory = bytes
    run(cursor.fetchone)
    connection.text_factory = str
    run(cursor.fetchone)


def upper(raw: bytes) -> str:
    """Convert, showing that it happened."""
    return raw.decode().upper()


def failing(raw: bytes) -> str:
    """Fail to convert."""
    raise ZeroDivisionError(raw)


DECLARED = [
    "shout",
    "SHOUT",
    "Shout(10)",
    "shout (10, 2)",
    "shout out",
    "shout\tout",
    '"shout"',
    "shoutx",
    "x shout",
    "shout[1]",
    "",
    "integer",
]


@pytest.mark.parametrize("declared", DECLARED)
@same_on_both
def test_decltypes_key_on_the_word_before_a_blank_or_parenthesis(run: Run, declared: str) -> None:
    run.sqlite.register_converter("shout", upper)
    for flags in range(4):
        connection = run.connect(":memory:", detect_types=flags)
        run(connection.execute, f"CREATE TABLE t (a {declared})")
        run(connection.execute, "INSERT INTO t VALUES ('text'), (NULL), (1), (x'61'), ('')")
        run(lambda connection=connection: connection.execute("SELECT a FROM t").fetchall())
        run(lambda connection=connection: connection.execute("SELECT a || '' FROM t").fetchall())
        run(
            lambda connection=connection: connection.execute(
                "SELECT b FROM (SELECT a AS b FROM t)"
            ).fetchall()
        )


@pytest.mark.parametrize(
    "name",
    [
        "a [shout]",
        "a [SHOUT]",
        "a[shout]",
        "[shout]",
        "a [shout",
        "a [ shout]",
        "a [shout] b",
        "a [nothing]",
        "a [x] [shout]",
        "a []",
        "é [shout]",
    ],
)
@same_on_both
def test_colnames_key_on_the_bracket(run: Run, name: str) -> None:
    run.sqlite.register_converter("shout", upper)
    for flags in range(4):
        connection = run.connect(":memory:", detect_types=flags)
        cursor = run(connection.execute, f"SELECT 'text' AS \"{name}\"")
        run(cursor.fetchall)
        run.see(description=cursor.description)


@same_on_both
def test_converters_see_bytes_and_never_null(run: Run) -> None:
    seen: list[object] = []
    run.sqlite.register_converter("spy", lambda raw: seen.append(raw) or "spied")
    connection = run.connect(":memory:", detect_types=run.sqlite.PARSE_DECLTYPES)
    connection.execute("CREATE TABLE t (a spy)")
    connection.execute("INSERT INTO t VALUES ('é'), (NULL), (-5), (x'00ff'), (''), (x'')")
    run(lambda: connection.execute("SELECT a FROM t ORDER BY rowid").fetchall())
    run.see(seen=seen)


@pytest.mark.parametrize("converter", [failing, None, "no", lambda: 1, bytes, bytes.decode, len])
@same_on_both
def test_converters_that_fail_or_are_none(run: Run, converter: Any) -> None:
    run(run.sqlite.register_converter, "odd", converter)
    connection = run.connect(":memory:", detect_types=run.sqlite.PARSE_DECLTYPES)
    connection.execute("CREATE TABLE t (a odd, b)")
    connection.execute("INSERT INTO t VALUES ('x', 1)")
    cursor = run(connection.execute, "SELECT * FROM t")
    if cursor is not None:
        run(cursor.fetchall)
        run(cursor.fetchall)
    run(lambda: connection.execute("SELECT * FROM t").fetchone())


@same_on_both
def test_registering_wants_a_name_and_a_type(run: Run) -> None:
    module = run.sqlite
    run(module.register_converter)
    run(module.register_converter, 1, upper)
    run(module.register_converter, "x")
    run(module.register_adapter)
    run(module.register_adapter, int)
    run(module.register_adapter, 1, upper)
    run(module.enable_callback_tracebacks, "x")
    run(module.enable_callback_tracebacks, False)


@same_on_both
def test_detect_types_must_be_a_number(run: Run) -> None:
    for value in (0, 1, 2, 3, 4, -1, 2**31, "x", None, 1.5):
        run(run.connect, ":memory:", detect_types=value)


@same_on_both
def test_default_converters_read_dates_and_timestamps(run: Run) -> None:
    connection = run.connect(":memory:", detect_types=run.sqlite.PARSE_DECLTYPES)
    connection.execute("CREATE TABLE t (d date, s timestamp)")
    today = datetime.date(2024, 2, 29)
    now = datetime.datetime(2024, 2, 29, 1, 2, 3, 45)
    run(connection.execute, "INSERT INTO t VALUES (?, ?)", (today, now))
    run(lambda: repr(connection.execute("SELECT * FROM t").fetchall()))
    for text in (
        "2024-02-29 01:02:03",
        "2024-02-29 01:02:03.4",
        "2024-02-29 01:02:03.1234567",
        "2024-02-29",
        "not a date",
        "2024-02-29 01:02:03+01:00",
        "",
    ):
        connection.execute("DELETE FROM t")
        connection.execute("INSERT INTO t VALUES (?, ?)", (text[:10], text))
        run(lambda: repr(connection.execute("SELECT d FROM t").fetchall()))
        run(lambda: repr(connection.execute("SELECT s FROM t").fetchall()))
    run(connection.execute, "SELECT ?", (datetime.time(1, 2),))
    run(connection.execute, "SELECT ?", (now.replace(tzinfo=datetime.UTC),))


class Point:
    """A type with an adapter."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y


class Conforming:
    """A type that adapts itself."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def __conform__(self, protocol: type) -> object:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "protocol":
            return protocol.__name__
        return self.answer


@same_on_both
def test_adapters_apply_to_the_exact_type_and_may_be_replaced(run: Run) -> None:
    class Derived(Point):
        pass

    connection = run.connect()
    run(connection.execute, "SELECT ?", (Point(1, 2),))
    run.sqlite.register_adapter(Point, lambda point: f"{point.x};{point.y}")
    run(lambda: connection.execute("SELECT ?", (Point(1, 2),)).fetchone())
    run(connection.execute, "SELECT ?", (Derived(1, 2),))
    run.sqlite.register_adapter(Point, lambda point: (point.x, point.y))
    run(connection.execute, "SELECT ?", (Point(1, 2),))
    run.sqlite.register_adapter(Point, lambda point: None)
    run(lambda: connection.execute("SELECT ?", (Point(1, 2),)).fetchone())


@same_on_both
def test_adapter_of_a_subclass_of_a_known_type_applies(run: Run) -> None:
    class Cents(int):
        pass

    connection = run.connect()
    run(lambda: connection.execute("SELECT ?, typeof(?1)", (Cents(5),)).fetchone())
    run.sqlite.register_adapter(Cents, lambda cents: f"{int(cents)} cents")
    run(lambda: connection.execute("SELECT ?", (Cents(5),)).fetchone())


@same_on_both
def test_adapter_of_a_known_type_is_not_asked_until_one_is_registered(run: Run) -> None:
    connection = run.connect()
    # The registry is the module's: a name of a type that nothing else binds.
    run(lambda: connection.execute("SELECT ?", (bytearray(b"x"),)).fetchone())
    run.sqlite.register_adapter(bytearray, lambda value: "adapted")
    try:
        run(lambda: connection.execute("SELECT ?", (bytearray(b"x"),)).fetchone())
    finally:
        run.sqlite.adapters.pop((bytearray, run.sqlite.PrepareProtocol))
    run(lambda: connection.execute("SELECT ?", (bytearray(b"x"),)).fetchone())


@pytest.mark.parametrize(
    "answer",
    [
        "text",
        5,
        None,
        "protocol",
        ZeroDivisionError("in conform"),
        TypeError("in conform"),
        AttributeError("in conform"),
        (1, 2),
    ],
)
@same_on_both
def test_conform_is_asked_with_the_protocol(run: Run, answer: object) -> None:
    connection = run.connect()
    cursor = run(connection.execute, "SELECT ?", (Conforming(answer),))
    if cursor is not None:
        run(cursor.fetchone)


@same_on_both
def test_adapt_gives_adapted_values_alternatives_or_an_error(run: Run) -> None:
    adapt = run.sqlite.adapt
    protocol = run.sqlite.PrepareProtocol
    run(adapt, 1)
    run(adapt, Conforming("own"))
    run(adapt, Conforming("own"), protocol)
    run(adapt, object())
    run(adapt, object(), protocol)
    run(adapt, object(), protocol, "alternative")
    run(adapt, object(), None, "alternative")
    run(adapt, object(), int, None)
    run(adapt, Conforming(ZeroDivisionError("x")), protocol, "alternative")
    run(adapt, Conforming(TypeError("x")), protocol, "alternative")
    run(adapt)
    run(adapt, 1, 2, 3, 4)

    class Adaptable:
        pass

    class Target:
        def __adapt__(self, value: object) -> object:
            return f"adapted by the protocol: {type(value).__name__}"

    run(adapt, Adaptable(), Target())
    run.sqlite.register_adapter(Adaptable, lambda value: "registered")
    run(adapt, Adaptable(), protocol)
    run(adapt, Adaptable())
    run.see(known=(Adaptable, protocol) in run.sqlite.adapters)
    run.see(dates=(datetime.date, protocol) in run.sqlite.adapters)


@same_on_both
def test_converters_are_kept_under_upper_case_names(run: Run) -> None:
    run.sqlite.register_converter("MiXeD", upper)
    run.see(mixed="MIXED" in run.sqlite.converters, as_given="MiXeD" in run.sqlite.converters)
    run.see(defaults=sorted({"DATE", "TIMESTAMP"} & set(run.sqlite.converters)))


class Buffer:
    """An object with __buffer__, which 3.12 made a protocol of Python."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.content)


if sys.version_info >= (3, 12):

    @same_on_both
    def test_object_with_the_buffer_protocol_is_a_blob(run: Run) -> None:
        connection = run.connect()
        run(lambda: connection.execute("SELECT ?, typeof(?1)", (Buffer(b"x"),)).fetchone())


@same_on_both
def test_large_values_pass_unchanged(run: Run) -> None:
    connection = run.connect()
    for value in (b"\x01" * 3_000_000, "é" * 1_500_000, "a" * 3_000_000):
        row = connection.execute("SELECT ?, length(?1)", (value,)).fetchone()
        assert row == (value, len(value))
        run.see(type=type(row[0]).__name__, length=row[1])


@same_on_both
def test_mutable_buffer_changed_after_execute_does_not_change_what_was_bound(run: Run) -> None:
    connection = run.connect()
    buffer = bytearray(b"before")
    cursor = connection.execute("SELECT ? UNION ALL SELECT ?1", (buffer,))
    run(cursor.fetchone)
    buffer[:] = b"after!"
    run(cursor.fetchone)


@same_on_both
def test_function_results_of_sqlite_have_their_types(run: Run) -> None:
    connection = run.connect()
    for expression in (
        "1/2",
        "1/2.0",
        "5/0",
        "'1' + 1",
        "1 || 2",
        "NULL + 1",
        "x'41' || 'b'",
        "1 = 1",
        "CAST('12abc' AS INTEGER)",
        "CAST(x'3132' AS TEXT)",
        "CAST('x' AS BLOB)",
        "hex('é')",
        "length('😀')",
        "substr('日本語', 2, 1)",
        "upper('é')",
        "round(2.5)",
        "abs(-1)",
        "zeroblob(3)",
        "date('2024-02-29', '+1 year')",
        "json('[1, 2.5, null]')",
        "json_extract('{\"a\": [1, 2]}', '$.a[1]')",
        "max(1, 'a', x'00')",
        "typeof(1e0)",
        "quote(x'0102')",
        "quote('it''s')",
        "unicode('é')",
        "char(233, 0, 65)",
        "sqrt(2)",
        "pi()",
        "1e999",
        "-1e999",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "0x7fffffffffffffff",
        "'a' LIKE 'A'",
        "x'61' LIKE 'A'",
        "instr('abc', 'c')",
        "printf('%5d|%-5s|', 42, 'é')",
        "group_concat('x')",
        "total(NULL)",
    ):
        run(lambda expression=expression: connection.execute(f"SELECT {expression}").fetchone())
