"""Which words tell a caller what to write instead of ``sqlite3.connect``."""

import os
from pathlib import Path

from dbmanager import _core

DOCUMENTATION = "docs/migrating.md"


def path_of(database: object) -> str:
    """Give the database of a call as text: a path absolute, a URI and ``:memory:`` as they are."""
    try:
        text = os.fsdecode(database)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return repr(database)
    if not text or text == ":memory:" or text.startswith("file:"):
        return text
    return str(Path(text).absolute())


def replacement(database: str) -> str:
    """Tell what to write instead, for a database as `path_of` gives it."""
    if not database or database.startswith(("file:", ":memory:")):
        return f"dbmanager.connect({database!r})"
    name = _core._name_of(database)
    if name is not None:
        return f"with DatabaseManager.named({name!r}).session() as s:"
    if set(database) & set("%?#") or not database.isprintable():
        # It would mean something in a URL.
        return f"dbmanager.connect({database!r})"
    return f"with DatabaseManager({'sqlite:///' + database!r}).session() as s:"


def warning(database: str) -> str:
    """Word the warning for a direct call."""
    session = replacement(database)
    drop_in = f"dbmanager.connect({database!r})"
    instead = f"`{session}`" if session == drop_in else f"`{session}`, or `{drop_in}` as it stands"
    return f"direct sqlite3.connect({database!r}); write {instead} ({DOCUMENTATION})"
