"""Sessions of modules that are bypassed: on a connection of the stdlib's, with the same semantics.

They read in autocommit and begin IMMEDIATE at their first write, in their turn among all sessions
of the process; the block's end commits, an exception rolls back. Each opens its file anew, as
before the migration.
"""

from dbmanager._core import DatabaseManager
from dbmanager._plain.session import Mode, Session


def session(manager: DatabaseManager, mode: Mode) -> Session:
    """Make a session for a bypassed module."""
    return Session(manager, mode)
