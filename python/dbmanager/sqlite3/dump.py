"""The dump of a database as SQL text, by the running Python's own ``sqlite3.dump``.

That module is plain Python over the connection's public methods, and its output differs from
version to version. It is loaded from its file, because ``import sqlite3.dump`` would need
``_sqlite3`` (which a Python may lack) and may give this very module (when it stands in for the
stdlib's).
"""

import importlib.util as _importlib
import sysconfig as _sysconfig
from pathlib import Path as _Path
from types import ModuleType as _ModuleType


def _load_stdlib_dump() -> _ModuleType:
    path = _Path(_sysconfig.get_path("stdlib")) / "sqlite3" / "dump.py"
    spec = _importlib.spec_from_file_location("dbmanager.sqlite3._stdlib_dump", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} of the standard library can't be loaded; is Python complete?")
    module = _importlib.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_iterdump = _load_stdlib_dump()._iterdump
