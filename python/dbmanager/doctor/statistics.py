"""What the query planner knows: the rows of ``sqlite_stat1``, and how far they are from the truth.

``PRAGMA optimize`` runs ANALYZE where a table has grown or shrunk to ten times or a tenth
(https://sqlite.org/pragma.html#pragma_optimize).
"""

from collections.abc import Iterator

from dbmanager import sqlite3
from dbmanager.doctor.contents import quoted, tables
from dbmanager.doctor.findings import Finding, note

_CHANGE = 10
_FEW_ROWS = 100
_COUNT = "SELECT count(*) FROM {}"
_ADVICE = (
    "`PRAGMA optimize` on each connection before it closes, or every few hours; `ANALYZE` once, now"
)


def findings(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Tell of tables with indexes that the planner knows nothing, or nothing true, about."""
    counted = {
        table: connection.execute(_COUNT.format(quoted(table))).fetchone()[0]
        for table in tables(connection)
        if _has_index(connection, table)
    }
    large = {table: rows for table, rows in counted.items() if rows >= _FEW_ROWS}
    known = _analyzed(connection)
    if not known:
        if large:
            names = [f"{table}: {rows} rows" for table, rows in large.items()]
            yield note(
                "never_analyzed", "neither ANALYZE nor PRAGMA optimize ever ran", _ADVICE, names
            )
        return
    if old := list(_outdated(counted, known)):
        yield note(
            "analyzed_long_ago",
            f"ANALYZE ran when {len(old)} tables were very different",
            _ADVICE,
            old,
        )


def _has_index(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute(f"PRAGMA index_list({quoted(table)})").fetchone() is not None


def _analyzed(connection: sqlite3.Connection) -> dict[str, int]:
    """Give by table how many rows it had then: the first number of ``stat``."""
    sql = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_stat1'"
    if connection.execute(sql).fetchone() is None:
        return {}
    found: dict[str, int] = {}
    for table, stat in connection.execute("SELECT tbl, stat FROM sqlite_stat1"):
        first = str(stat or "").partition(" ")[0]
        if first.isdigit():
            found[str(table)] = max(int(first), found.get(str(table), 0))
    return found


def _outdated(counted: dict[str, int], known: dict[str, int]) -> Iterator[str]:
    for table, rows in counted.items():
        then = known.get(table)
        if then is None and rows >= _FEW_ROWS:
            yield f"{table}: {rows} rows, none known"
        elif then is not None and _differs(then, rows):
            yield f"{table}: {rows} rows, {then} then"


def _differs(then: int, now: int) -> bool:
    return max(then, now) >= _FEW_ROWS and (now >= then * _CHANGE or then >= now * _CHANGE)
