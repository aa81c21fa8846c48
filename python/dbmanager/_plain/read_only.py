"""What a read session of a bypassed module attaches: files that are there, and for reading only.

The stdlib opens attached files as it opened the first one, that is to write and to make them; only
the name can tell otherwise (sqlite.org/uri.html, "mode"). It may be any expression, so SQLite has a
function applied to it.
"""

import os
from typing import Any
from urllib.parse import parse_qsl, quote

from dbmanager import _core
from dbmanager._core import OperationalError

FOR_READING = "_dbmanager_for_reading"


def for_reading(sql: str) -> str:
    """Give an ATTACH for reading only."""
    parts = _core._parts_of_attach(sql)
    if parts is None:
        raise OperationalError("this session was opened with mode='read', and ATTACH names no file")
    before, file, after = parts
    return f"{before} {FOR_READING}({file}\n) {after}"


def read_only_uri(file: Any) -> Any:  # noqa: ANN401 - a value of SQLite's
    """Give the URI by which a file is opened for reading only."""
    if not isinstance(file, str) or file in {"", ":memory:"}:
        return file
    if not file.startswith("file:"):
        return f"file:{quote(os.fsencode(file))}?mode=ro"
    uri = file.partition("#")[0]
    query = uri.partition("?")[2]
    if [value for key, value in parse_qsl(query) if key == "mode"] == ["memory"]:
        return file
    # The last one counts, and gives no more rights than those before it.
    return f"{uri}{'&' if query else '?'}mode=ro"
