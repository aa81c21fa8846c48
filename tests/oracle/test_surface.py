"""The surface: every name, constant, signature and class attribute of the stdlib's module."""

import inspect
import pkgutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import ModuleType
from typing import Any

import pytest

import dbmanager
import dbmanager.sqlite3
from tests.oracle.outcomes import attempt, identity, normal
from tests.oracle.steps import Run, same_on_both

CLASSES = ("Connection", "Cursor", "Row", "Blob", "PrepareProtocol")

# Each is the version of the library itself, or a compile-time fact of it.
OF_THE_LIBRARY = {"sqlite_version", "sqlite_version_info"}


def public(names: list[str]) -> set[str]:
    """Leave out what is private, and submodules, which appear when imported."""
    return {name for name in names if not name.startswith("_")} - {"dbapi2", "dump"}


def constants(module: ModuleType) -> dict[str, object]:
    """Give the public constants of a module."""
    kinds = (int, str, tuple, frozenset)
    return {n: v for n in public(dir(module)) if isinstance(v := getattr(module, n), kinds)}


def members(kind: type) -> set[str]:
    """Give the attributes of a class, without what differs between C, Rust and Python."""
    of_the_implementation = {"__dict__", "__weakref__", "__module__", "__annotations__"}
    return set(dir(kind)) - of_the_implementation


@pytest.mark.parametrize("submodule", ["", ".dbapi2", ".dump"])
def test_no_public_name_is_missing_and_only_constants_of_newer_sqlite_are_extra(
    submodule: str,
) -> None:
    oracle = sys.modules[__import__(f"sqlite3{submodule}", fromlist=["x"]).__name__]
    subject = __import__(f"dbmanager.sqlite3{submodule}", fromlist=["x"])
    missing = public(dir(oracle)) - public(dir(subject))
    assert not missing
    extra = public(dir(subject)) - public(dir(oracle))
    # The stdlib's module has a constant only when it was compiled against a SQLite that
    # has it.
    newer = sqlite3.sqlite_version_info < dbmanager.sqlite3.sqlite_version_info
    assert {name for name in extra if not (newer and name.startswith("SQLITE_"))} == set()


def test_star_import_gives_the_same_names() -> None:
    spaces: list[dict[str, object]] = [{}, {}]
    exec("from sqlite3 import *", spaces[0])
    exec("from dbmanager.sqlite3 import *", spaces[1])
    oracle, subject = (public(list(space)) for space in spaces)
    assert oracle - subject == set()
    assert {name for name in subject - oracle if not name.startswith("SQLITE_")} == set()


@pytest.mark.parametrize("name", sorted(constants(sqlite3).keys() - OF_THE_LIBRARY))
@pytest.mark.filterwarnings("ignore:version:DeprecationWarning")
def test_constant_is_equal(name: str) -> None:
    assert normal(getattr(dbmanager.sqlite3, name)) == normal(getattr(sqlite3, name))


def test_library_version_is_told_as_text_and_as_numbers() -> None:
    text = dbmanager.sqlite3.sqlite_version
    assert tuple(map(int, text.split("."))) == dbmanager.sqlite3.sqlite_version_info
    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT sqlite_version()").fetchone() == (text,)


@same_on_both
@pytest.mark.parametrize("name", ["version", "version_info", "OptimizedUnicode", "nothing"])
def test_deprecated_and_unknown_names_warn_or_fail_alike(run: Run, name: str) -> None:
    outcome = attempt(getattr, run.sqlite, name)[1]
    # The message of an AttributeError names the module.
    run.see(outcome=repr(outcome).replace("dbmanager.sqlite3", "sqlite3"))


@pytest.mark.parametrize(
    "name",
    [n for n, v in vars(sqlite3).items() if isinstance(v, type) and issubclass(v, Exception)],
)
def test_exception_class_is_the_stdlibs_own(name: str) -> None:
    assert identity(getattr(dbmanager.sqlite3, name)) == identity(getattr(sqlite3, name))


def test_row_of_the_stdlib_as_row_factory_gives_rows_of_the_stdlib() -> None:
    class Named(sqlite3.Row):
        pass

    with closing(dbmanager.sqlite3.connect(":memory:")) as connection:
        for kind in (sqlite3.Row, Named):
            connection.row_factory = kind
            (row,) = connection.execute('SELECT 1 AS a, NULL AS "b ""quoted"" name"').fetchall()
            assert type(row) is kind
            assert row.keys() == ["a", 'b "quoted" name']
            assert (row["A"], row[1]) == (1, None)


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_the_same_members(name: str) -> None:
    oracle, subject = getattr(sqlite3, name), getattr(dbmanager.sqlite3, name)
    assert members(oracle) - members(subject) == set()
    # A Python built without extension loading lacks these; ours always has them.
    extra = members(subject) - members(oracle) - {"enable_load_extension", "load_extension"}
    assert {member for member in extra if not member.startswith("__")} == set()


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_the_same_name_and_may_be_subclassed(name: str) -> None:
    oracle, subject = getattr(sqlite3, name), getattr(dbmanager.sqlite3, name)
    assert subject.__name__ == oracle.__name__
    assert subject.__qualname__ == oracle.__qualname__
    flag = 1 << 10  # Py_TPFLAGS_BASETYPE
    assert subject.__flags__ & flag == oracle.__flags__ & flag


@pytest.mark.parametrize("kind", ["Connection", "Cursor"])
def test_class_carries_the_exceptions_or_not_as_the_stdlib(kind: str) -> None:
    for name in ("Error", "IntegrityError", "Warning", "NotSupportedError"):
        oracle = getattr(getattr(sqlite3, kind), name, None)
        subject = getattr(getattr(dbmanager.sqlite3, kind), name, None)
        assert (oracle is None) == (subject is None)


def _inspectable() -> list[str]:
    found = []
    for path, value in _callables(sqlite3):
        try:
            inspect.signature(value)
        except (ValueError, TypeError):
            continue
        found.append(path)
    return found


def _callables(module: ModuleType) -> list[tuple[str, Any]]:
    own = [(n, v) for n in sorted(public(dir(module))) if callable(v := getattr(module, n))]
    return own + [
        (f"{name}.{member}", value)
        for name in ("Connection", "Cursor", "Row", "Blob")
        for member in sorted(dir(getattr(module, name)))
        if not member.startswith("_") and callable(value := getattr(getattr(module, name), member))
    ]


def _at(module: ModuleType, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("path", _inspectable())
def test_signature_is_the_same(path: str) -> None:
    expected = inspect.signature(_at(sqlite3, path))
    actual = inspect.signature(_at(dbmanager.sqlite3, path))
    assert _shape(actual) == _shape(expected)


def _shape(signature: inspect.Signature) -> list[tuple[object, ...]]:
    return [(p.name, p.kind, _default(p.default)) for p in signature.parameters.values()]


def _default(value: object) -> object:
    if isinstance(value, type):
        return value.__name__
    return repr(value)


@pytest.mark.parametrize("path", [path for path, _ in _callables(sqlite3)])
def test_what_the_stdlib_documents_is_documented(path: str) -> None:
    if getattr(_at(sqlite3, path), "__doc__", None):
        assert _at(dbmanager.sqlite3, path).__doc__


def test_pep_249_globals_are_those_of_a_serialized_library() -> None:
    module = dbmanager.sqlite3
    assert (module.apilevel, module.paramstyle, module.threadsafety) == ("2.0", "qmark", 3)


def test_pep_249_exceptions_form_its_tree() -> None:
    tree = {
        "Warning": Exception,
        "Error": Exception,
        "InterfaceError": dbmanager.sqlite3.Error,
        "DatabaseError": dbmanager.sqlite3.Error,
        "DataError": dbmanager.sqlite3.DatabaseError,
        "OperationalError": dbmanager.sqlite3.DatabaseError,
        "IntegrityError": dbmanager.sqlite3.DatabaseError,
        "InternalError": dbmanager.sqlite3.DatabaseError,
        "ProgrammingError": dbmanager.sqlite3.DatabaseError,
        "NotSupportedError": dbmanager.sqlite3.DatabaseError,
    }
    for name, base in tree.items():
        assert getattr(dbmanager.sqlite3, name).__bases__ == (base,)


@same_on_both
def test_pep_249_type_constructors_give_the_same_values(run: Run) -> None:
    module = run.sqlite
    run.see(
        date=repr(module.Date(2024, 2, 29)),
        time=repr(module.Time(23, 59, 58)),
        timestamp=repr(module.Timestamp(2024, 2, 29, 1, 2, 3)),
        binary=module.Binary(b"blob"),
        date_from_ticks=repr(module.DateFromTicks(0)),
        time_from_ticks=repr(module.TimeFromTicks(3661)),
        timestamp_from_ticks=repr(module.TimestampFromTicks(86_400)),
    )


@same_on_both
def test_pep_249_attributes_of_a_fresh_cursor(run: Run) -> None:
    cursor = run.connect().cursor()
    run.see(
        description=cursor.description,
        rowcount=cursor.rowcount,
        arraysize=cursor.arraysize,
        lastrowid=cursor.lastrowid,
        row_factory=cursor.row_factory,
    )
    run(cursor.setinputsizes, [1, 2])
    run(cursor.setoutputsize, 10)
    run(cursor.setoutputsize, 10, 1)
    run(cursor.setinputsizes)
    run(cursor.nextset) if hasattr(cursor, "nextset") else run.see(nextset="absent")
    run(cursor.callproc, "x") if hasattr(cursor, "callproc") else run.see(callproc="absent")


@same_on_both
def test_read_only_attributes_refuse_to_be_set_or_deleted(run: Run) -> None:
    connection = run.connect()
    cursor = connection.cursor()
    for name in ("in_transaction", "total_changes", "Error", "NotSupportedError"):
        run(setattr, connection, name, 1)
        run(delattr, connection, name)
    for name in ("description", "rowcount", "lastrowid", "connection"):
        run(setattr, cursor, name, 1)
        run(delattr, cursor, name)
    run(delattr, cursor, "arraysize")
    run(delattr, connection, "isolation_level")
    run(lambda: setattr(connection, "no_such_attribute", 1))
    run(lambda: setattr(cursor, "no_such_attribute", 1))


@same_on_both
@pytest.mark.parametrize("name", ["Connection", "Cursor", "Row", "Blob"])
def test_class_can_not_be_changed(run: Run, name: str) -> None:
    kind = getattr(run.sqlite, name)
    method = "keys" if name == "Row" else "close"
    run(setattr, kind, method, len)
    run(delattr, kind, method)
    run(setattr, kind, "another", 1)


@same_on_both
def test_subclass_can_be_changed(run: Run) -> None:
    class Named(run.sqlite.Cursor):  # type: ignore[name-defined, misc]
        pass

    Named.fetchone = lambda self: "mine"
    run.see(row=run.connect().cursor(Named).execute("SELECT 1").fetchone())


@same_on_both
def test_row_is_matched_by_no_sequence_pattern(run: Run) -> None:
    connection = run.connect()
    connection.row_factory = run.sqlite.Row
    match connection.execute("SELECT 1, 2").fetchone():
        case [_, _]:
            run.see(matched="sequence")
        case run.sqlite.Row():
            run.see(matched="row")


def test_signature_of_connect_names_its_arguments() -> None:
    parameters = list(inspect.signature(dbmanager.sqlite3.connect).parameters)
    expected = [
        "database",
        "timeout",
        "detect_types",
        "isolation_level",
        "check_same_thread",
        "factory",
        "cached_statements",
        "uri",
    ]
    assert parameters == expected + ["autocommit"] * (sys.version_info >= (3, 12))


@same_on_both
def test_complete_statement_judges_alike(run: Run) -> None:
    complete = run.sqlite.complete_statement
    for sql in (
        "SELECT 1;",
        "SELECT 1",
        "",
        ";",
        "SELECT ';",
        "-- x;",
        "/* ; */",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;",
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; END;",
        "SELECT 'a\x00b';",
        "SELECT '\udc80';",
    ):
        run(complete, sql)
    run(complete, statement="SELECT 1;")
    run(complete, b"SELECT 1;")
    run(complete)


@pytest.mark.parametrize("form", ["-m", "import"])
def test_importing_leaves_the_stdlibs_module_alone(form: str) -> None:
    code = (
        "import sqlite3; before = dict(vars(sqlite3)); import dbmanager.sqlite3; "
        "assert {k: v for k, v in vars(sqlite3).items() if k not in before or "
        "before[k] is not v} .keys() <= {'dump'}, 'changed'; "
        "assert type(sqlite3.connect(':memory:')).__module__.endswith('sqlite3')"
    )
    if form == "-m":
        code = "import dbmanager.sqlite3, sqlite3; " + code
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_package_has_the_stdlibs_submodules() -> None:
    expected = {m.name for m in pkgutil.iter_modules(sqlite3.__path__)}
    actual = {m.name for m in pkgutil.iter_modules(dbmanager.sqlite3.__path__)}
    assert expected - {"__main__"} <= actual | {"__main__"}


def test_module_is_the_one_that_the_package_gives() -> None:
    assert dbmanager.sqlite3.connect is dbmanager.connect
