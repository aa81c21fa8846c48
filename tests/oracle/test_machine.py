"""A state machine that drives both modules with the same random steps.

Every step runs on both: its outcome must be equal, and so must everything that
connection and cursors tell about themselves afterwards. SQL is put together from parts on
which SQLite 3.40 and the bundled version agree in results and messages: reading has an
ORDER BY, no float is turned into text, and no query plan shows.
"""

import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import dbmanager.sqlite3
from tests.oracle.outcomes import Outcome, attempt, normal

# After the greatest rowid SQLite takes random ones, hence the CHECK.
SCHEMA = """
    CREATE TABLE t (id INTEGER PRIMARY KEY CHECK (id < 1000000), i INTEGER, r REAL, x, b BLOB);
    CREATE TABLE u (k PRIMARY KEY, v NOT NULL CHECK (typeof(v) <> 'blob')) WITHOUT ROWID;
    CREATE TABLE d (shouted shout, plain TEXT);
    INSERT INTO t VALUES (1, 10, 0.5, 'one', x'01'), (2, -5, 2.25, NULL, zeroblob(8));
    INSERT INTO u VALUES ('a', 1), ('b', 'two');
    INSERT INTO d VALUES ('loud', 'quiet'), (NULL, 'é');
"""

CURSORS = 3
FLOAT = re.compile(r"-?\d+\.\d+(e[+-]\d+)?", re.IGNORECASE)
HAS_AUTOCOMMIT = sys.version_info >= (3, 12)


class Number(int):
    """An integer of a type of its own."""


class Conforming:
    """A value that adapts itself."""

    def __repr__(self) -> str:
        return "Conforming()"

    def __conform__(self, protocol: type) -> object:
        return "conformed"


class Unsupported:
    """A value that no column takes."""

    def __repr__(self) -> str:
        return "Unsupported()"


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**30]),
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e300, 5e-324]),
    st.text(max_size=6),
    st.sampled_from(["", "a", "b", "é", "😀", "\x00", "a\x00b", "\ud800", "1", "1.0", "x" * 300]),
    st.binary(max_size=6),
    st.binary(max_size=6).map(bytearray),
    st.binary(max_size=6).map(memoryview),
    st.sampled_from([Number(7), Conforming(), Unsupported(), [], (1,)]),
)

PARAMETERS = st.one_of(
    st.lists(VALUES, max_size=4).map(tuple),
    st.lists(VALUES, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES, max_size=3),
    st.sampled_from([None, 5, "ab", b"ab", {1}, object]),
)

LITERALS = st.sampled_from(
    ["NULL", "1", "-7", "0.5", "'one'", "'é'", "x'00ff'", "9223372036854775807", "''"]
)
EXPRESSIONS = st.one_of(
    LITERALS,
    # The first releases of Python 3.12 take a number (?1) for a name; ours never does.
    st.sampled_from(
        ["?", "?", *(["?1", "?2"] if sys.version_info < (3, 12) else []), ":a", ":b", "@a", "$c"]
    ),
    st.sampled_from(["id", "i", "x", "b", "r", "nowhere"]),
    st.sampled_from(["i + 1", "x || 'z'", "length(x)", "typeof(x)", "abs(i)", "hex(b)"]),
    st.sampled_from(["twice(i)", "twice(x)", "faulty(i)", "coalesce(x, i)", "i = 1", "nosuch(1)"]),
)
ALIASES = st.sampled_from(["", "", " AS c", ' AS "é [shout]"', ' AS "b [int]"', ' AS "x [shout"'])
CONDITIONS = st.sampled_from(
    ["", "", " WHERE id = ?", " WHERE i > 0", " WHERE x IS NOT NULL", " WHERE 0", " WHERE id = :a"]
)
COMMENTS = st.sampled_from(["", "", "", "-- c\n", "/* c */ ", " ", "\n\t", ";"])
TAILS = st.sampled_from(["", "", "", ";", " ;", " -- c", "/* c */", "; SELECT 1", "\x00", ";;"])


@st.composite
def selects(draw: st.DrawFn) -> str:
    """Draw a SELECT of table t with its rows in order."""
    columns = draw(st.lists(st.tuples(EXPRESSIONS, ALIASES), min_size=1, max_size=4))
    listed = ", ".join(expression + alias for expression, alias in columns)
    return f"SELECT {listed} FROM t{draw(CONDITIONS)} ORDER BY id"


@st.composite
def changes(draw: st.DrawFn) -> str:
    """Draw an INSERT, REPLACE, UPDATE or DELETE; RETURNING a REAL column is version-bound."""
    values = st.one_of(LITERALS, st.sampled_from(["?", "?", ":a", ":b", "?2"]))
    conflict = draw(
        st.sampled_from(["", "", " OR IGNORE", " OR REPLACE", " OR FAIL", " OR ROLLBACK"])
    )
    returning = draw(
        st.sampled_from(["", "", " RETURNING id, x", " RETURNING x, id AS n", " RETURNING oops"])
    )
    kind = draw(st.sampled_from(["t", "u", "update", "delete", "select"]))
    if kind == "t":
        key, content = draw(values), draw(values)
        return f"INSERT{conflict} INTO t (id, x) VALUES ({key}, {content}){returning}"
    if kind == "u":
        return f"INSERT{conflict} INTO u VALUES ({draw(values)}, {draw(values)})"
    if kind == "update":
        column = draw(st.sampled_from(["id", "i", "x", "b", "r"]))
        return f"UPDATE{conflict} t SET {column} = {draw(values)}{draw(CONDITIONS)}{returning}"
    if kind == "delete":
        return f"DELETE FROM t{draw(CONDITIONS)}{returning}"
    return "INSERT INTO t (i, x) SELECT i, x FROM t WHERE id < 3 ORDER BY id"


OTHERS = st.sampled_from(
    [
        "BEGIN",
        "BEGIN IMMEDIATE",
        "BEGIN EXCLUSIVE",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT s",
        "SAVEPOINT s2",
        "RELEASE s",
        "ROLLBACK TO s",
        "ROLLBACK TO s2",
        "CREATE TABLE n (a)",
        "CREATE TEMP TABLE n (a)",
        "DROP TABLE n",
        "CREATE INDEX IF NOT EXISTS ti ON t (i)",
        "DROP INDEX ti",
        "CREATE TABLE IF NOT EXISTS n (a, b)",
        "ALTER TABLE n ADD COLUMN z",
        "CREATE VIEW w AS SELECT id FROM t",
        "DROP VIEW w",
        "SELECT * FROM w ORDER BY 1",
        "SELECT * FROM n ORDER BY rowid",
        "SELECT shouted, plain FROM d ORDER BY rowid",
        "SELECT * FROM u ORDER BY k",
        "SELECT count(*), sum(i), max(x) FROM t",
        "SELECT group_concat(x, ';') FROM (SELECT x FROM t WHERE typeof(x) = 'text' ORDER BY id)",
        "PRAGMA user_version",
        "PRAGMA user_version = 4",
        "PRAGMA foreign_keys",
        "PRAGMA query_only = 1",
        "PRAGMA query_only = 0",
        "PRAGMA table_info(u)",
        (
            "WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < 300) "
            "SELECT n FROM c"
        ),
        "WITH q AS (SELECT 5 AS n) INSERT INTO t (i) SELECT n FROM q",
        "VACUUM",
        "VALUES (1, 'two'), (3, NULL)",
        "SELECT changes(), total_changes(), last_insert_rowid()",
        "SELECT 1 COLLATE backwards",
        "SELECT x FROM t WHERE typeof(x) = 'text' ORDER BY x COLLATE backwards, id",
        "",
        "  ",
        "-- nothing",
        "SELEC",
        "SELECT (",
        "SELECT 'open",
    ]
)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Draw a statement, now and then with something before or behind it."""
    core = draw(st.one_of(selects(), changes(), OTHERS))
    return draw(COMMENTS) + core + draw(TAILS)


def failing_factory(cursor: Any, row: Any) -> object:
    """Fail to make a row."""
    raise LookupError("from the row factory")


def dict_factory(cursor: Any, row: Any) -> object:
    """Make a dict of a row."""
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


ROW_FACTORIES: list[Any] = [None, "Row", dict_factory, failing_factory, lambda c, r: len(r), 5]
TEXT_FACTORIES: list[Any] = [str, str, bytes, bytearray, lambda raw: raw[::-1], int, None]


@dataclass
class World:
    """One module's connection, cursors and blobs."""

    sqlite: ModuleType
    folder: Path
    detect_types: int
    connection: Any = None
    rival: Any = None
    cursors: list[Any] = field(default_factory=list)

    def open(self, **settings_of_connection: Any) -> None:
        """Open the database, and a rival's connection to the same file."""
        self.connection = self.sqlite.connect(
            self.folder / "machine.db",
            timeout=0,
            detect_types=self.detect_types,
            **settings_of_connection,
        )
        self.rival = self.sqlite.connect(
            self.folder / "machine.db", timeout=0, isolation_level=None
        )
        # A machine's examples commit thousands of times, and none of them cuts the power.
        for connection in (self.connection, self.rival):
            connection.execute("PRAGMA synchronous = OFF")
        self.connection.create_function("twice", 1, lambda value: value * 2)
        self.connection.create_function("faulty", 1, lambda value: 1 // (value - 10))
        self.connection.create_collation("backwards", lambda a, b: (a < b) - (a > b))
        self.cursors = [self.connection.cursor() for _ in range(CURSORS)]

    def close(self) -> None:
        """Close both connections.

        The cursors go first: the stdlib's closed connection keeps its locks as long as a
        cursor keeps a statement.
        """
        self.cursors.clear()
        for connection in (self.connection, self.rival):
            with suppress(self.sqlite.Error):
                connection.close()

    def state(self) -> list[Outcome]:
        """Give all that connection and cursors tell."""
        of_connection = ["in_transaction", "total_changes", "isolation_level"]
        if HAS_AUTOCOMMIT:
            of_connection.append("autocommit")
        of_cursor = ["rowcount", "lastrowid", "description", "arraysize"]
        return [(name, attempt(getattr, self.connection, name)[1]) for name in of_connection] + [
            (number, name, attempt(getattr, cursor, name)[1])
            for number, cursor in enumerate(self.cursors)
            for name in of_cursor
        ]


def shout(raw: bytes) -> str:
    """Convert a declared or named column, failing for some; a float's digits are hidden."""
    if raw == b"two":
        raise ValueError("not two")
    return FLOAT.sub("FLOAT", raw.decode(errors="replace").upper())


class Machine(RuleBasedStateMachine):
    """The stdlib's world and ours, side by side."""

    worlds: list[World]

    def both(self, step: Callable[[World], object]) -> Any:
        """Take a step in both worlds and compare; give the stdlib's value."""
        (value, expected), (_, actual) = (attempt(step, world) for world in self.worlds)
        assert actual == expected
        return value

    @initialize(
        detect_types=st.integers(0, 3),
        isolation_level=st.sampled_from(["", "", "DEFERRED", "IMMEDIATE", "EXCLUSIVE", None]),
        cached_statements=st.sampled_from([0, 1, 5, 128]),
        journal_mode=st.sampled_from(["DELETE", "WAL", "MEMORY"]),
    )
    def begin(self, detect_types: int, journal_mode: str, **settings_of_connection: Any) -> None:
        """Open both databases with the same content."""
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.settings_of_connection = settings_of_connection
        self.worlds = []
        for number, module in enumerate((sqlite3, dbmanager.sqlite3)):
            folder = self.folder / str(number)
            folder.mkdir()
            world = World(module, folder, detect_types)
            module.register_converter("shout", shout)
            self.worlds.append(world)
            world.open(**settings_of_connection)
            world.rival.execute(f"PRAGMA journal_mode = {journal_mode}").fetchall()
            world.rival.executescript(SCHEMA)

    def teardown(self) -> None:
        """Close everything and leave no file and no converter."""
        for world in getattr(self, "worlds", []):
            world.close()
            world.sqlite.converters.pop("SHOUT", None)
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    @invariant()
    def tell_the_same(self) -> None:
        """Compare what both tell about themselves."""
        if getattr(self, "worlds", None):
            expected, actual = (world.state() for world in self.worlds)
            assert actual == expected

    # -- statements

    @rule(cursor=st.integers(0, CURSORS - 1), sql=statements(), parameters=PARAMETERS)
    def execute(self, cursor: int, sql: str, parameters: Any) -> None:
        """Execute on a cursor."""
        self.both(lambda world: world.cursors[cursor].execute(sql, parameters))

    @rule(cursor=st.integers(0, CURSORS - 1), sql=statements(), fitting=st.data())
    def execute_with_fitting_parameters(self, cursor: int, sql: str, fitting: Any) -> None:
        """Execute with as many parameters as the statement needs, so that more succeed."""
        names = {sign + name for sign in ":@$" for name in "abc" if sign + name in sql}
        count = max(sql.count("?"), 2 if "?2" in sql else 0)
        if names:
            assume(not count)
            parameters: Any = {name: fitting.draw(VALUES) for name in "abc"}
        else:
            parameters = fitting.draw(st.lists(VALUES, min_size=count, max_size=count))
        self.both(lambda world: world.cursors[cursor].execute(sql, parameters))

    @rule(cursor=st.integers(0, CURSORS - 1), sql=statements())
    def execute_and_fetch_all(self, cursor: int, sql: str) -> None:
        """Execute without parameters and fetch everything."""
        self.both(lambda world: world.cursors[cursor].execute(sql).fetchall())

    @rule(
        cursor=st.integers(0, CURSORS - 1),
        sql=st.one_of(changes(), selects(), OTHERS),
        rows=st.lists(PARAMETERS, max_size=3),
        failing=st.booleans(),
    )
    def executemany(self, cursor: int, sql: str, rows: list[Any], failing: bool) -> None:
        """Execute for several rows, now and then from an iterator that fails."""

        def feed() -> Any:
            yield from rows
            if failing:
                raise LookupError("no more rows")

        self.both(lambda world: world.cursors[cursor].executemany(sql, feed()))

    @rule(cursor=st.integers(0, CURSORS - 1), parts=st.lists(statements(), max_size=3))
    def executescript(self, cursor: int, parts: list[str]) -> None:
        """Execute a script."""
        self.both(lambda world: world.cursors[cursor].executescript("; ".join(parts)))

    @rule(sql=statements(), parameters=PARAMETERS)
    def execute_on_the_connection(self, sql: str, parameters: Any) -> None:
        """Execute by the connection's short cut, and drop the cursor."""
        self.both(lambda world: world.connection.execute(sql, parameters).fetchone())

    # -- fetching

    @rule(cursor=st.integers(0, CURSORS - 1))
    def fetchone(self, cursor: int) -> None:
        """Fetch a row."""
        self.both(lambda world: world.cursors[cursor].fetchone())

    @rule(cursor=st.integers(0, CURSORS - 1), size=st.integers(-1, 5))
    def fetchmany(self, cursor: int, size: int) -> None:
        """Fetch some rows."""
        self.both(lambda world: world.cursors[cursor].fetchmany(size))

    @rule(cursor=st.integers(0, CURSORS - 1))
    def fetchall(self, cursor: int) -> None:
        """Fetch what is left."""
        self.both(lambda world: world.cursors[cursor].fetchall())

    @rule(cursor=st.integers(0, CURSORS - 1))
    def step(self, cursor: int) -> None:
        """Iterate once."""
        self.both(lambda world: next(world.cursors[cursor]))

    @rule(cursor=st.integers(0, CURSORS - 1), size=st.integers(0, 4))
    def set_arraysize(self, cursor: int, size: int) -> None:
        """Set the size of fetchmany."""
        self.both(lambda world: setattr(world.cursors[cursor], "arraysize", size))
        self.both(lambda world: world.cursors[cursor].fetchmany())

    @rule(cursor=st.integers(0, CURSORS - 1), close=st.booleans())
    def replace_cursor(self, cursor: int, close: bool) -> None:
        """Make a new cursor in the place of one, closed or dropped."""
        if close:
            self.both(lambda world: world.cursors[cursor].close())
            self.both(lambda world: world.cursors[cursor].fetchone())

        def replace(world: World) -> None:
            world.cursors[cursor] = world.connection.cursor()

        self.both(replace)

    # -- transactions and settings

    @rule(method=st.sampled_from(["commit", "rollback"]))
    def end_transaction(self, method: str) -> None:
        """Commit or roll back."""
        self.both(lambda world: getattr(world.connection, method)())

    @rule(level=st.sampled_from(["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE", None, "bogus", 5]))
    def set_isolation_level(self, level: Any) -> None:
        """Set the isolation level."""
        self.both(lambda world: setattr(world.connection, "isolation_level", level))

    @precondition(lambda self: HAS_AUTOCOMMIT)
    @rule(value=st.sampled_from([True, False, -1, -1, -1]))
    def set_autocommit(self, value: Any) -> None:
        """Set the autocommit attribute of 3.12."""
        self.both(lambda world: setattr(world.connection, "autocommit", value))

    @rule(sql=statements(), fail=st.booleans())
    def context_manager(self, sql: str, fail: bool) -> None:
        """Work in a with block that may fail."""

        def block(world: World) -> object:
            with world.connection as entered:
                row = entered.execute(sql).fetchone()
                if fail:
                    raise LookupError("from the block")
            return row

        self.both(block)

    @rule(number=st.integers(0, len(ROW_FACTORIES) - 1), cursor=st.integers(-1, CURSORS - 1))
    def set_row_factory(self, number: int, cursor: int) -> None:
        """Set the row factory of the connection or of one cursor."""

        def assign(world: World) -> None:
            target = world.connection if cursor < 0 else world.cursors[cursor]
            factory = ROW_FACTORIES[number]
            target.row_factory = world.sqlite.Row if factory == "Row" else factory

        self.both(assign)

    @rule(number=st.integers(0, len(TEXT_FACTORIES) - 1))
    def set_text_factory(self, number: int) -> None:
        """Set the text factory."""
        self.both(lambda world: setattr(world.connection, "text_factory", TEXT_FACTORIES[number]))

    # -- other ways to the database

    @rule(sql=st.one_of(changes(), selects(), OTHERS))
    def rival_executes(self, sql: str) -> None:
        """Let another connection work on the same file, which may lock it."""
        self.both(lambda world: world.rival.execute(sql).fetchall())

    @rule(
        row=st.integers(0, 4),
        column=st.sampled_from(["b", "x", "i", "id", "nowhere"]),
        content=st.binary(max_size=10),
        readonly=st.booleans(),
    )
    def use_blob(self, row: int, column: str, content: bytes, readonly: bool) -> None:
        """Open a blob, write, read, close."""

        def use(world: World) -> object:
            with world.connection.blobopen("t", column, row, readonly=readonly) as blob:
                before = blob.read()
                blob.seek(0)
                blob.write(content)
                return before, len(blob), blob.tell()

        self.both(use)

    @rule()
    def dump(self) -> None:
        """Write the database as SQL; a float's digits are the library's choice."""

        def lines(world: World) -> list[str]:
            return [FLOAT.sub("FLOAT", line) for line in world.connection.iterdump()]

        self.both(lines)

    @rule(pages=st.sampled_from([-1, 1]))
    def backup(self, pages: int) -> None:
        """Copy the database into memory and read the copy."""

        def copy(world: World) -> object:
            target = world.sqlite.connect(":memory:")
            steps = iter(range(100))

            def progress(*arguments: int) -> None:
                # While the source is locked, the stdlib tries again without an end.
                if next(steps, None) is None:
                    raise LookupError("too many steps")

            try:
                world.connection.backup(target, pages=pages, progress=progress, sleep=0)
                return target.execute("SELECT id, i, x FROM t ORDER BY id").fetchall()
            finally:
                target.close()

        self.both(copy)

    @rule()
    def reopen(self) -> None:
        """Close, discarding what is open, and connect again."""
        for world in self.worlds:
            world.close()
            world.open(**self.settings_of_connection)
        self.both(
            lambda world: world.rival.execute("SELECT id, i, r, x, b FROM t ORDER BY id").fetchall()
        )

    @rule(sql=st.text(max_size=8), parameters=PARAMETERS)
    def execute_anything(self, sql: str, parameters: Any) -> None:
        """Execute a random text."""
        # Where a text is wrong is told by the parser of each version alike; a text that
        # happens to begin a statement is left to the other rules.
        assume(sql.strip(" ;\n\t")[:3].upper() not in {"EXP", "PRA"})
        self.both(lambda world: world.connection.execute(sql, parameters).fetchall())


def test_values_compare_by_type_and_bits() -> None:
    different = [1, True, 1.0, "1", b"1", bytearray(b"1"), (1,), [1], None, 0.0, -0.0]
    forms = [normal(value) for value in different]
    assert all(a != b for n, a in enumerate(forms) for b in forms[:n])
    assert normal(float("nan")) == normal(float("nan"))


TestMachine = pytest.mark.machine(Machine.TestCase)
TestMachine.settings = settings(stateful_step_count=40, derandomize=True)
