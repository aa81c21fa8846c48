"""The package as it is installed: what its SQLite can do, its shell, its memory, its demo."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import dbmanager
from dbmanager import _core, sqlite3

ROOT = Path(__file__).parents[1]


@pytest.fixture
def connection():
    connection = dbmanager.connect(":memory:")
    yield connection
    connection.close()


def one(connection, sql, parameters=()):
    return connection.execute(sql, parameters).fetchone()


def run_python(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], capture_output=True, text=True, **options
    )


# ---- the bundled SQLite ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    [
        "DEFAULT_MEMSTATUS=0",
        "ENABLE_COLUMN_METADATA",
        "ENABLE_DBSTAT_VTAB",
        "ENABLE_FTS3",
        "ENABLE_FTS3_PARENTHESIS",
        "ENABLE_FTS4",
        "ENABLE_FTS5",
        "ENABLE_MATH_FUNCTIONS",
        "ENABLE_RTREE",
        "ENABLE_STMTVTAB",
        "LIKE_DOESNT_MATCH_BLOBS",
        "MAX_EXPR_DEPTH=1000",
        "MAX_VARIABLE_NUMBER=250000",
        "THREADSAFE=2",
    ],
)
def test_sqlite_was_compiled_with(option):
    assert option in _core.compile_options()


@pytest.mark.parametrize(
    "option",
    ["ENABLE_API_ARMOR", "ENABLE_MEMORY_MANAGEMENT", "OMIT_DEPRECATED", "OMIT_LOAD_EXTENSION"],
)
def test_sqlite_was_compiled_without(option):
    assert option not in _core.compile_options()


def test_compile_options_are_those_of_the_pragma(connection):
    rows = connection.execute("PRAGMA compile_options").fetchall()
    assert _core.compile_options() == [option for (option,) in rows]


def test_sqlite_is_free_of_the_wal_reset_bug():
    assert sqlite3.sqlite_version_info >= (3, 51, 3)


def test_math_functions(connection):
    row = one(connection, "SELECT sin(0), log2(8), ceil(1.2), mod(7, 4), pow(2, 5)")
    assert row == (0.0, 3.0, 2.0, 3.0, 32.0)


@pytest.mark.parametrize("version", ["fts3", "fts4", "fts5"])
def test_full_text_search(connection, version):
    connection.execute(f"CREATE VIRTUAL TABLE note USING {version}(text)")
    connection.executemany("INSERT INTO note VALUES (?)", [("red apple",), ("green pear",)])
    found = connection.execute("SELECT text FROM note WHERE note MATCH 'apple OR plum'")
    assert found.fetchall() == [("red apple",)]


def test_full_text_search_ranks_and_marks(connection):
    connection.execute("CREATE VIRTUAL TABLE note USING fts5(text, tokenize = 'porter')")
    connection.execute("INSERT INTO note VALUES ('running water')")
    row = one(connection, "SELECT highlight(note, 0, '<', '>'), rank < 0 FROM note('run')")
    assert row == ("<running> water", 1)


def test_rtree(connection):
    connection.execute("CREATE VIRTUAL TABLE box USING rtree(id, left, right)")
    connection.executemany("INSERT INTO box VALUES (?, ?, ?)", [(1, 0, 2), (2, 5, 9)])
    assert connection.execute("SELECT id FROM box WHERE right < 4").fetchall() == [(1,)]


def test_json(connection):
    text = '{"a": [1, {"b": "c"}]}'
    assert one(connection, "SELECT json_extract(?, '$.a[1].b')", (text,)) == ("c",)
    assert one(connection, "SELECT ? ->> '$.a[0]'", (text,)) == (1,)
    assert one(connection, "SELECT json(jsonb(?)) ->> 'a'", (text,)) == ('[1,{"b":"c"}]',)
    assert connection.execute("SELECT value FROM json_each('[1, 2]')").fetchall() == [(1,), (2,)]


def test_column_metadata_decides_converters(tmp_path):
    """The declared type is a column's own, through views, aliases and joins."""
    connection = dbmanager.connect(":memory:", detect_types=sqlite3.PARSE_DECLTYPES)
    connection.execute("CREATE TABLE day (at date, note text)")
    connection.execute("CREATE VIEW seen AS SELECT at AS moment FROM day")
    connection.execute("INSERT INTO day VALUES ('2024-02-29', '')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sqlite3.converters, "DATE", lambda raw: ("converted", raw))
        assert one(connection, "SELECT moment FROM seen") == (("converted", b"2024-02-29"),)
    connection.close()


def test_dbstat(connection):
    connection.execute("CREATE TABLE t (x)")
    assert one(connection, "SELECT sum(pageno > 0) FROM dbstat WHERE name = 't'") == (1,)


def test_stmt_table(connection):
    assert one(connection, "SELECT sql FROM sqlite_stmt") == ("SELECT sql FROM sqlite_stmt",)


def test_quarter_of_a_million_variables(connection):
    marks = ",".join(["?"] * 250_000)
    values = range(250_000)
    assert one(connection, f"SELECT max(column1) FROM (VALUES (1)) WHERE 7 IN ({marks})", [*values])
    with pytest.raises(sqlite3.OperationalError, match="too many SQL variables"):
        connection.execute(f"SELECT 1 IN ({marks},?)", [*values, 1])


def test_foreign_keys_are_off_in_connect(connection):
    assert one(connection, "PRAGMA foreign_keys") == (0,)
    connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    connection.execute("CREATE TABLE child (of INTEGER REFERENCES parent)")
    connection.execute("INSERT INTO child VALUES (42)")
    connection.commit()
    connection.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY constraint failed"):
        connection.execute("INSERT INTO child VALUES (43)")


def test_expression_may_be_1000_deep_and_no_deeper(connection):
    assert connection.getlimit(sqlite3.SQLITE_LIMIT_EXPR_DEPTH) == 1000
    assert one(connection, "SELECT 0" + " OR 0" * 998) == (0,)
    with pytest.raises(sqlite3.OperationalError, match="Expression tree is too large"):
        connection.execute("SELECT 0" + " OR 0" * 1_001)
    with pytest.raises(sqlite3.OperationalError, match="Recursion limit"):
        connection.execute("SELECT " + "(" * 200_000 + "1" + ")" * 200_000)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET x = 1 LIMIT 1",
        "UPDATE t SET x = 1 WHERE x > 2 ORDER BY x LIMIT 1",
        "DELETE FROM t LIMIT 1",
        "delete from t where x = 1 order by x limit 1",
    ],
)
def test_limit_on_a_change_says_how_to_write_it(connection, sql):
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError, match="syntax error") as caught:
        connection.execute(sql)
    assert re.search(
        r"no ORDER BY and LIMIT on UPDATE and DELETE; write … WHERE rowid IN \(SELECT rowid FROM …",
        str(caught.value),
    )


# ---- the shell -------------------------------------------------------------------------------


def shell(*arguments, **options):
    return run_python("-m", "dbmanager.sqlite3", *arguments, **options)


def test_shell_tells_the_version():
    run = shell("--version")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == f"SQLite version {sqlite3.sqlite_version}\n"


def test_shell_runs_a_statement_and_prints_its_rows(tmp_path):
    path = str(tmp_path / "a.db")
    assert shell(path, "CREATE TABLE t AS SELECT 1 AS a UNION SELECT 2").returncode == 0
    run = shell(path, "SELECT a, 'x' FROM t")
    assert (run.stdout, run.stderr, run.returncode) == ("(1, 'x')\n(2, 'x')\n", "", 0)


def test_shell_ends_with_1_when_the_statement_fails():
    run = shell(":memory:", "SELECT * FROM nowhere")
    assert (run.stdout, run.returncode) == ("", 1)
    assert run.stderr == "OperationalError (SQLITE_ERROR): no such table: nowhere\n"


def test_shell_reads_statements_from_a_pipe():
    run = shell(input="CREATE TABLE t (x);\nINSERT INTO t\nVALUES (5);\nSELECT x FROM t;\n\n")
    assert run.returncode == 0
    assert "(5,)" in run.stdout
    assert "    ... " in run.stdout
    assert f"running on SQLite version {sqlite3.sqlite_version}" in run.stderr


def test_shell_goes_on_after_an_error():
    run = shell(input="SELECT oops;\nSELECT 'still here';\n")
    assert "OperationalError (SQLITE_ERROR): no such column: oops" in run.stderr
    assert "('still here',)" in run.stdout
    assert run.returncode == 0


def test_shell_knows_its_dot_commands():
    run = shell(input=".version\n.help\n.oops\n.quit\nSELECT 'not reached';\n")
    assert sqlite3.sqlite_version in run.stdout
    assert "Enter SQL code and press enter." in run.stdout
    assert 'Error: unknown command: "oops"' in run.stderr
    assert "not reached" not in run.stdout
    assert run.returncode == 0


# ---- the process -----------------------------------------------------------------------------


MEMORY = """
import resource, sys
import dbmanager
connection = dbmanager.connect(":memory:")
SQL = ("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ?) "
       "SELECT i, 'text number ' || i FROM n")
def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def read(count):
    total = 0
    for number, text in connection.execute(SQL, (count,)):
        total += number
    return total
read(10_000)
before = peak_kb()
assert read(1_000_000) == 500_000_500_000
print(peak_kb() - before)
connection.close()
"""


def test_a_million_rows_are_read_in_flat_memory():
    run = run_python("-c", MEMORY)
    assert run.stderr == ""
    assert int(run.stdout) < 4_000  # the rows themselves would take 100 times as much


PYTHON_3_14 = """
import sys
sys.version_info = (3, 14, 0, "final", 0)
from dbmanager import sqlite3
print(*(hasattr(module, name) for module in (sqlite3, sqlite3.dbapi2) for name in sys.argv[1:]))
"""


def test_version_attributes_are_gone_where_python_3_14_runs():
    names = ("version", "version_info", "_deprecated_names", "sqlite_version")
    run = run_python("-W", "error", "-c", PYTHON_3_14, *names)
    assert (run.stdout.split(), run.stderr) == (["False", "False", "False", "True"] * 2, "")


SUBINTERPRETER = '''
import dbmanager, sys
code = """
import pathlib
try:
    import dbmanager
except ImportError as error:
    pathlib.Path({!r}).write_text(str(error))
""".format(sys.argv[1])
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    number = interpreters.create("legacy")
    interpreters.exec(number, code)
else:
    import _xxsubinterpreters as interpreters
    number = interpreters.create(isolated=False)
    interpreters.run_string(number, code)
interpreters.destroy(number)
'''


def test_subinterpreter_is_refused(tmp_path):
    answer = tmp_path / "answer"
    # The kind that shares the interpreter lock: the other kind refuses such extensions by itself.
    run = run_python("-c", SUBINTERPRETER, str(answer))
    assert (run.returncode, run.stderr) == (0, "")
    assert "main interpreter only" in answer.read_text()


def test_import_brings_no_package_but_the_standard_library():
    code = """
import sys
before = set(sys.modules)
import dbmanager
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(new - sys.stdlib_module_names))
"""
    run = run_python("-c", code)
    assert (run.stdout, run.stderr) == ("['dbmanager']\n", "")


def test_connect_of_the_package_is_the_drop_ins():
    assert dbmanager.connect is sqlite3.connect
    assert set(dbmanager.__all__) <= set(dir(dbmanager))


SMALL_DEMONSTRATION = """
import dataclasses, sys
sys.path.insert(0, sys.argv[1])
from service_app import seed
seed.USERS = 40
import demo
demo.PHASES = [dataclasses.replace(phase, visitors=20, repeat=1) for phase in demo.PHASES]
sys.exit(demo.main(["--threads", "2"]))
"""


def test_demonstration_runs_and_finds_no_difference():
    run = run_python("-c", SMALL_DEMONSTRATION, str(ROOT / "examples" / "service_app"))
    assert (run.returncode, run.stderr) == (0, "")
    assert "The three left the same" in run.stdout
