"""Functions with connections in random shapes, as source.

Each module has an ``f(path, flag)``. Where it raises, returns early, breaks or goes on hangs on the
flag, so that calling it with every flag goes through its paths.
"""

from hypothesis import strategies as st

FLAGS = range(6)

_SIMPLE = [
    'conn.execute("INSERT INTO t (n) VALUES (1)")',
    'conn.execute("INSERT INTO t (n) VALUES (?)", (flag,))',
    'conn.executemany("INSERT INTO t (n) VALUES (?)", [(7,), (8,)])',
    'conn.execute("UPDATE t SET n = n + 10")',
    'conn.execute("DELETE FROM t WHERE n > 20")',
    'conn.execute("INSERT INTO t (id, n) VALUES (1, 1)")',  # breaks the key
    'seen.append(conn.execute("SELECT count(*), sum(n) FROM t").fetchone())',
    'rows = conn.execute("SELECT n FROM t ORDER BY id").fetchall()\nseen.append(rows)',
    (
        'row = conn.execute("SELECT max(n) FROM t").fetchone()\n'
        'conn.execute("INSERT INTO t (n) VALUES (?)", (row[0] + 1,))'
    ),
    'cur = conn.cursor()\ncur.execute("INSERT INTO t (n) VALUES (3)")\nseen.append(cur.rowcount)',
    'for row in conn.execute("SELECT n FROM t ORDER BY id LIMIT 2"):\n    seen.append(row)',
    'conn.execute("CREATE TABLE IF NOT EXISTS u (a)")',
    'conn.execute("CREATE TABLE v (a)")',
    'conn.executescript("CREATE TABLE IF NOT EXISTS w (a);")',
    'conn.execute("PRAGMA foreign_keys = ON")',
    'conn.execute("nonsense")',
    "conn.commit()",
    "conn.commit()",
    "conn.rollback()",
    "conn.row_factory = None",
    "flag and conn.commit()",
    "None if flag % 2 else conn.commit()",
    "[conn.commit() for i in range(flag)]",
    'cur = conn.cursor()\nother = cur\nother.execute("DELETE FROM t")',
    'seen.extend(row for row in conn.execute("SELECT n FROM t ORDER BY id"))',
    'with suppress(ValueError):\n    conn.execute("INSERT INTO t (n) VALUES (11)")\n    int("x")',
    'with open(__file__ if flag > 9 else "/dev/null"):\n    conn.execute("DELETE FROM t")',
    "fill(conn, flag)",
    "seen.append(count(conn=conn))",
    "store(conn)",
    (
        'for sql in ("INSERT INTO t (n) VALUES (4)", "DELETE FROM t WHERE n = 4"):\n'
        "    conn.execute(sql)"
    ),
    'for sql in ("CREATE TABLE IF NOT EXISTS x (a)", "CREATE TABLE v (a)"):\n    conn.execute(sql)',
    'seen.append("step")',
]
_HEAD = """import asyncio
import gc
import sqlite3
from contextlib import closing, contextmanager, suppress

seen = []


def fill(conn, n):
    if n == 3:
        raise ValueError("three")
    conn.execute("INSERT INTO t (id, n) VALUES (?, 5)", (n,))
    if n == 4:
        conn.commit()


def count(conn):
    return conn.execute("SELECT count(*) FROM t").fetchone()[0]


def store(conn):
    conn.execute("INSERT INTO t (n) VALUES (6)")
    conn.commit()


"""
_LEAVING = ["raise ValueError(flag)", 'return "early"', "conn.close()\nreturn 1"]
_IN_LOOP = ["break", "continue"]
_HANDLED = ["pass", "conn.rollback()", "raise", 'return "handled"', 'seen.append("caught")']
_CAUGHT = ["sqlite3.Error", "sqlite3.IntegrityError", "ValueError", "Exception"]


def indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.split("\n"))


@st.composite
def suites(draw: st.DrawFn, depth: int = 2, in_loop: bool = False) -> str:
    """Some statements."""
    count = draw(st.integers(1, 4 if depth == 2 else 2))
    return "\n".join(draw(statements(depth, in_loop)) for _ in range(count))


@st.composite
def statements(draw: st.DrawFn, depth: int, in_loop: bool) -> str:
    kinds = ["simple"] * 5 + (["if", "for", "try", "block"] if depth else [])
    kind = draw(st.sampled_from([*kinds, "leave"]))
    flag = draw(st.sampled_from(FLAGS))
    match kind:
        case "simple":
            return draw(st.sampled_from(_SIMPLE))
        case "leave":
            leaving = _LEAVING + (_IN_LOOP if in_loop else [])
            return f"if flag == {flag}:\n" + indented(draw(st.sampled_from(leaving)))
        case "if":
            body = indented(draw(suites(depth - 1, in_loop)))
            other = draw(st.booleans())
            otherwise = "\nelse:\n" + indented(draw(suites(depth - 1, in_loop))) if other else ""
            return f"if flag % 2 == {flag % 2}:\n{body}{otherwise}"
        case "for":
            return "for i in range(2):\n" + indented(draw(suites(depth - 1, True)))
        case "block":
            return "with conn:\n" + indented(draw(suites(depth - 1, in_loop)))
        case _:
            return draw(attempts(depth, in_loop))


@st.composite
def attempts(draw: st.DrawFn, depth: int, in_loop: bool) -> str:
    body = indented(draw(suites(depth - 1, in_loop)))
    caught, handled = draw(st.sampled_from(_CAUGHT)), draw(st.sampled_from(_HANDLED))
    text = f"try:\n{body}\nexcept {caught}:\n{indented(handled)}"
    if draw(st.booleans()):
        text += '\nelse:\n    seen.append("else")'
    if draw(st.integers(0, 3)) == 0:
        text += '\nfinally:\n    seen.append("finally")'
    return text


# A line that is a name in capitals stands for statements.
_SHAPES = [
    "OPEN\nBODY\nconn.close()\nreturn 2",
    "OPEN\nBODY\nreturn 2",
    "OPEN\ntry:\n    BODY\nfinally:\n    conn.close()\nreturn 2",
    "OPEN\nSETUP\ntry:\n    BODY\nfinally:\n    conn.close()",
    'OPEN\ntry:\n    BODY\nfinally:\n    conn.close()\n    seen.append("end")\nreturn 2',
    "OPEN\ntry:\n    BODY\nexcept Exception:\n    HANDLED\nfinally:\n    conn.close()\nreturn 2",
    "OPEN\ntry:\n    with conn:\n        BODY\nfinally:\n    conn.close()\nreturn 2",
    "try:\n    OPEN\n    BODY\nfinally:\n    conn.close()\nreturn 2",
    (
        "conn = None\ntry:\n    OPEN\n    BODY\nexcept sqlite3.Error:\n    ENDED\n"
        "finally:\n    if conn:\n        conn.close()"
    ),
    "with sqlite3.connect(path) as conn:\n    BODY\nreturn 2",
    "with closing(sqlite3.connect(path)) as conn:\n    BODY\nreturn 2",
    "with closing(sqlite3.connect(path)) as conn, conn:\n    BODY\nreturn 2",
    (
        "with sqlite3.connect(path) as conn:\n    BODY\n"
        "with closing(sqlite3.connect(path)) as conn:\n    SECOND"
    ),
    "OPEN\nBODY\nconn.close()\nOPEN\nSECOND\nconn.close()\nreturn 2",
    "for i in range(2):\n    OPEN\n    BODY\n    conn.close()\nreturn 2",
]


# How a module comes to its connection, and what then calls it.
_PLAIN = """
def f(path, flag):
    SHAPE
"""
_METHOD = """
class Store:
    def __init__(self, path):
        self.path = path

    def run(self, flag):
        SHAPE


def f(path, flag):
    return Store(path).run(flag)
"""
_ASYNC = """
async def run(path, flag):
    SHAPE


def f(path, flag):
    return asyncio.run(run(path, flag))
"""
_FACTORY = """
def opened(path, flag):
    conn = sqlite3.connect(path)
    SETUP
    return conn


def f(path, flag):
    SHAPE
"""
_METHOD_FACTORY = """
class Store:
    def __init__(self, path):
        self.path = path

    def opened(self):
        return sqlite3.connect(self.path)

    def run(self, flag):
        SHAPE


def f(path, flag):
    return Store(path).run(flag)
"""
_NESTED = """
def f(path, flag):
    def run():
        SHAPE

    run()
    # The stdlib's connections wait for the collector.
    gc.collect()
    return [run() for _ in range(flag % 2)]
"""
_YIELDED = """
@contextmanager
def opened(path, flag):
    conn = sqlite3.connect(path)
    try:
        yield conn
    finally:
        conn.close()


def f(path, flag):
    with opened(path, flag) as conn:
        BODY
    return 2
"""
_YIELDED_AND_COMMITTED = """
@contextmanager
def opened(path):
    conn = sqlite3.connect(path)
    try:
        yield conn
        conn.commit()
    except Exception:
        conn.rollback()
        raise
    finally:
        conn.close()


def f(path, flag):
    with opened(path) as conn:
        BODY
    return 2
"""
_STORED = """
class Store:
    def __init__(self, path):
        self.conn = sqlite3.connect(path)

    def run(self, flag):
        conn = self.conn
        BODY

    def add(self, n):
        self.conn.execute("INSERT INTO t (n) VALUES (?)", (n,))
        self.conn.commit()

    def count(self):
        return self.conn.execute("SELECT count(*) FROM t").fetchone()[0]

    def close(self):
        self.conn.close()


def f(path, flag):
    store = Store(path)
    try:
        store.add(flag)
        seen.append(store.run(flag))
        return store.count()
    finally:
        store.close()
"""
# These are left to the drop-in, if only safe rules are taken.
_HELD_BY_OTHERS = [_YIELDED, _YIELDED_AND_COMMITTED, _STORED]
_OPENED_BY = {
    _PLAIN: "sqlite3.connect(path)",
    _NESTED: "sqlite3.connect(path)",
    _ASYNC: "sqlite3.connect(path)",
    _METHOD: "sqlite3.connect(self.path)",
    _FACTORY: "opened(path, flag)",
    _METHOD_FACTORY: "self.opened()",
}


@st.composite
def functions(draw: st.DrawFn) -> str:
    """A module whose function opens a connection in one of the ways that are seen most."""
    module = draw(st.sampled_from([_PLAIN, _PLAIN, _PLAIN, *_OPENED_BY, *_HELD_BY_OTHERS]))
    opened = _OPENED_BY.get(module, "")
    awaited = ["await asyncio.sleep(0)"] if module == _ASYNC else []
    parts = {
        "OPEN": f"conn = {opened}",
        "BODY": draw(suites()),
        "SECOND": draw(suites(1)),
        "SETUP": draw(st.sampled_from(_SIMPLE)),
        "HANDLED": draw(st.sampled_from(_HANDLED)),
        "ENDED": draw(st.sampled_from(["pass", "conn.rollback()", "raise", "return 3"])),
    }
    if awaited and draw(st.booleans()):
        parts["BODY"] += "\n" + awaited[0]
    shape = draw(st.sampled_from(_SHAPES)).replace("sqlite3.connect(path)", opened)
    return _HEAD + with_parts(module, {**parts, "SHAPE": with_parts(shape, parts)})


# What leaves nothing uncommitted, and no schema changed.
_FINISHED = [
    'conn.execute("INSERT INTO t (n) VALUES (?)", (flag,))\nconn.commit()',
    'with conn:\n    conn.execute("UPDATE t SET n = n + 10")',
    'conn.execute("DELETE FROM t WHERE n > 20")\nconn.rollback()',
    'seen.append(conn.execute("SELECT count(*), sum(n) FROM t").fetchone())',
    'cur = conn.cursor()\nseen.append(cur.execute("SELECT n FROM t ORDER BY id").fetchall())',
    (
        'try:\n    conn.execute("INSERT INTO t (id, n) VALUES (1, 1)")\n'
        "except sqlite3.IntegrityError:\n    conn.rollback()"
    ),
    (
        'row = conn.execute("SELECT max(n) FROM t").fetchone()\n'
        'conn.execute("INSERT INTO t (n) VALUES (?)", (row[0] + 1,))\nconn.commit()'
    ),
    'if flag == 2:\n    raise ValueError("two")',
    'if flag == 3:\n    return "three"',
    'with suppress(ValueError):\n    int("x")',
    'for i in range(flag):\n    conn.execute("UPDATE t SET n = n + 1")\n    conn.commit()',
]


@st.composite
def held_by_others(draw: st.DrawFn) -> str:
    """A module whose connection is given on or kept, where each use ends what it begins."""
    module = draw(st.sampled_from(_HELD_BY_OTHERS))
    body = "\n".join(draw(st.lists(st.sampled_from(_FINISHED), min_size=1, max_size=4)))
    if module == _STORED:
        module = module.replace("        conn = self.conn\n", "")
        body = body.replace("conn.", "self.conn.").replace("with conn", "with self.conn")
    return _HEAD + with_parts(module, {"BODY": body})


def with_parts(text: str, parts: dict[str, str]) -> str:
    return "\n".join(filled(line, parts) for line in text.split("\n"))


def filled(line: str, parts: dict[str, str]) -> str:
    """Put statements in the place of their name."""
    name = line.strip()
    if name not in parts:
        return line
    indentation = line.removesuffix(name)
    return "\n".join(f"{indentation}{part}" for part in parts[name].split("\n"))
