"""What a database says of itself."""

import re
from collections.abc import Iterator

from dbmanager import sqlite3
from dbmanager.doctor import failures
from dbmanager.doctor.findings import Finding, note
from dbmanager.doctor.header import Header

_AUTO_VACUUM = {0: "none", 1: "full", 2: "incremental"}
_LARGE_SHARE = 0.25
_LARGE_FREE_BYTES = 10_000_000
_MODULE = re.compile(r"\bUSING\s+[\"'`\[]?(\w+)", re.IGNORECASE)


def of_header(header: Header) -> dict[str, object]:
    """Tell what the header says, for a database that can't be opened."""
    return {
        "journal_mode": "wal" if header.is_wal else "rollback",
        "page_size": header.page_size,
        "page_count": header.page_count,
        "free_pages": header.free_pages,
        "encoding": header.encoding,
        "user_version": header.user_version,
        "application_id": header.application_id,
        "auto_vacuum": header.auto_vacuum,
        "written_by": header.written_by,
    }


def facts(connection: sqlite3.Connection) -> dict[str, object]:
    """Ask a database what it says of itself, the pages in its WAL included."""
    names = ("page_size", "page_count", "encoding", "user_version", "application_id")
    found: dict[str, object] = {name: _pragma(connection, name) for name in names}
    found["free_pages"] = _pragma(connection, "freelist_count")
    found["auto_vacuum"] = _AUTO_VACUUM[int(_pragma(connection, "auto_vacuum"))]
    found["schema"] = schema(connection)
    return found


def _pragma(connection: sqlite3.Connection, name: str) -> str | int:
    value: str | int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def schema(connection: sqlite3.Connection) -> dict[str, int]:
    """Count what a schema has of each kind; SQLite's own tables do not count."""
    counted = dict.fromkeys(("table", "virtual table", "index", "view", "trigger"), 0)
    sql = (
        "SELECT type, sql LIKE 'CREATE VIRTUAL%' FROM sqlite_schema "
        "WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    )
    for kind, is_virtual in connection.execute(sql):
        name = "virtual table" if is_virtual else kind
        counted[name] = counted.get(name, 0) + 1
    return counted


def tables(connection: sqlite3.Connection) -> list[str]:
    """Name a schema's tables, without virtual ones and SQLite's own."""
    sql = (
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' "
        "AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name"
    )
    return [name for (name,) in connection.execute(sql)]


def quoted(name: str) -> str:
    """Write a name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def virtual_tables(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Tell of virtual tables that can't be used here, since their module is missing."""
    known = {name.lower() for (name,) in connection.execute("PRAGMA module_list")}
    sql = "SELECT name, sql FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL%' ORDER BY name"
    for name, text in connection.execute(sql).fetchall():
        module = _MODULE.search(text)
        if module and module[1].lower() not in known:
            yield failures.missing(f"the virtual table {name} needs the module {module[1]}")


def free_pages(found: dict[str, object], path: str) -> Iterator[Finding]:
    """Tell of pages that are kept for later though there are many."""
    free, pages, size = (found.get(name) for name in ("free_pages", "page_count", "page_size"))
    if not (isinstance(free, int) and isinstance(pages, int) and isinstance(size, int) and pages):
        return
    if free / pages > _LARGE_SHARE and free * size > _LARGE_FREE_BYTES:
        yield note(
            "free_pages",
            f"{free} of {pages} pages ({free / pages:.0%}, {free * size} bytes) are free",
            f"if it does not grow again: `VACUUM` (writes the whole file anew and needs as much "
            f"room beside {path}), or `PRAGMA incremental_vacuum` where auto_vacuum is incremental",
        )
