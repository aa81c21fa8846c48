"""Drop-in for the standard library's ``sqlite3``.

Change ``import sqlite3`` into ``from dbmanager import sqlite3``: everything that the running
Python's module has is here, with the same results, exceptions (the stdlib's own classes) and
messages.
"""

import sys as _sys
import warnings as _warnings

from dbmanager.sqlite3 import dbapi2 as dbapi2
from dbmanager.sqlite3.dbapi2 import *  # noqa: F403

if _sys.version_info < (3, 12):

    def __getattr__(name: str) -> object:
        if name == "OptimizedUnicode":
            # To the letter, line breaks included, as Python 3.11 words it.
            message = """
            OptimizedUnicode is deprecated and will be removed in Python 3.12.
            Since Python 3.3 it has simply been an alias for 'str'.
        """
            _warnings.warn(message, DeprecationWarning, stacklevel=2)
            return str
        raise AttributeError(f"module 'sqlite3' has no attribute '{name}'")
elif _sys.version_info < (3, 14):
    from dbmanager.sqlite3.dbapi2 import (
        _deprecated_attribute,
    )
    from dbmanager.sqlite3.dbapi2 import (
        _deprecated_names as _deprecated_names,
    )
    from dbmanager.sqlite3.dbapi2 import (
        _deprecated_version as _deprecated_version,
    )
    from dbmanager.sqlite3.dbapi2 import (
        _deprecated_version_info as _deprecated_version_info,
    )

    def __getattr__(name: str) -> object:
        return _deprecated_attribute(__name__, name)
