"""One pooled ``DatabaseManager`` and a drop-in ``sqlite3`` for Python."""

from dbmanager import sqlite3
from dbmanager._core import DatabaseManager, Session, connect, dict_row

__all__ = ["DatabaseManager", "Session", "connect", "dict_row", "sqlite3"]
