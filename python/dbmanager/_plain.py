"""Sessions of modules that are bypassed: on a connection of the stdlib's, with the same semantics.

They read in autocommit and begin IMMEDIATE at their first write, in their turn among all sessions
of the process; the block's end commits, an exception rolls back. Each opens its file anew, as
before the migration.
"""

import contextlib
import os
import re
import sqlite3
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, ClassVar, Literal, Self
from urllib.parse import quote

from dbmanager import _core
from dbmanager._core import DatabaseManager, MultipleResultsFound, NoResultFound
from dbmanager._session import Mappings, Savepoint, Scalars
from dbmanager.sqlite3 import ProgrammingError

Mode = Literal["auto", "read", "write"]

_NOT_OPEN = "this session is not open; use it within its `with` block"
_USED = "this session was used already; ask the DatabaseManager for another one"
_READS = (
    "this session was opened with mode='read', and the statement writes; use mode='auto' or 'write'"
)

_WRITE = {"INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE"}
# Outside of transactions, so never begun for; and refused to who only reads.
_WRITE_ALONE = {"VACUUM"}
_PRAGMAS_THAT_WRITE = ("user_version", "application_id", "optimize")
# A PRAGMA behind the word: a schema's name, in quotes or not, its own, and what sets it.
_QUOTED = r"""["'`\[]?{}["'`\]]?"""
_PRAGMA = re.compile(
    rf"\s*(?:{_QUOTED.format(chr(92) + 'w*')}\s*\.\s*)?"
    rf"{_QUOTED.format('(' + chr(92) + 'w*)')}\s*([=(].*)?.*",
    re.DOTALL,
)


class _Open(threading.local):
    """The sessions that a thread has open, the last one last."""

    def __init__(self) -> None:
        self.sessions: list[PlainSession] = []


_open = _Open()


def current(manager: DatabaseManager) -> "PlainSession | None":
    """Give the session of a bypassed module that this thread opened last and has open."""
    sessions = (one for one in reversed(_open.sessions) if one._manager is manager)
    return next(sessions, None)


class PlainResult(sqlite3.Cursor):
    """A cursor of the stdlib's that reads as `dbmanager.Result` does."""

    _session: "PlainSession | None" = None
    _ahead: "deque[Any] | None" = None

    def execute(self, sql: str, parameters: Any = (), /) -> Self:  # noqa: ANN401 - as the stdlib
        """Run one statement."""
        return self._run(sql, parameters, lambda: sqlite3.Cursor.execute(self, sql, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
        """Run one statement with each of many sets of parameters."""
        return self._run(sql, None, lambda: sqlite3.Cursor.executemany(self, sql, parameters))

    def executescript(self, sql_script: str, /) -> Self:
        """Run the statements of a script, within the session's transaction."""
        for sql in _statements(sql_script):
            self.execute(sql)
        return self

    def _run(self, sql: str, parameters: Any, body: Callable[[], object]) -> Self:  # noqa: ANN401
        session = self._session
        if session is None:
            raise ProgrammingError(_NOT_OPEN)
        session._before(sql, parameters)
        # Not before: a transaction that begins there reads what is open, these last rows too.
        self._ahead = None
        try:
            body()
        finally:
            session._after()
        return self

    def _read_ahead(self) -> None:
        """Read to the end what is being read, which nothing then keeps open."""
        if self._ahead is None:
            self._ahead = deque(super().fetchall())

    def _let_go(self) -> None:
        self._read_ahead()
        self._ahead = deque()

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the row factory made
        if self._ahead is None:
            return super().__next__()
        if not self._ahead:
            raise StopIteration
        return self._ahead.popleft()

    def fetchone(self) -> Any:  # noqa: ANN401
        """Give the next row, None if there is none."""
        return next(self, None)

    def fetchmany(self, size: "int | None" = None) -> list[Any]:
        """Give some rows."""
        count = self.arraysize if size is None else size
        return [row for _, row in zip(range(count), self, strict=False)]

    def fetchall(self) -> list[Any]:
        """Give all rows that are left."""
        return list(self)

    def all(self) -> list[Any]:
        """Give all rows that are left."""
        return list(self)

    def first(self) -> Any:  # noqa: ANN401
        """Give the first row, None if there is none, and let the others go."""
        row = self.fetchone()
        self._let_go()
        return row

    def one_or_none(self) -> Any:  # noqa: ANN401
        """Give the only row, None if there is none. Raises MultipleResultsFound."""
        row, second = self.fetchone(), self.fetchone()
        self._let_go()
        if second is not None:
            raise MultipleResultsFound("more than one row was found when exactly one was required")
        return row

    def one(self) -> Any:  # noqa: ANN401
        """Give the only row. Raises NoResultFound or MultipleResultsFound."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("no row was found when one was required")
        return row

    def scalar(self) -> Any:  # noqa: ANN401
        """Give the first value of the first row, None if there is none."""
        row = self.first()
        return None if row is None else _first(row)

    def scalar_one(self) -> Any:  # noqa: ANN401
        """Give the first value of the only row."""
        return _first(self.one())

    def scalar_one_or_none(self) -> Any:  # noqa: ANN401
        """Give the first value of the only row, None if there is none."""
        row = self.one_or_none()
        return None if row is None else _first(row)

    def scalars(self) -> Scalars:
        """Give the first value of each row."""
        return Scalars(self)  # type: ignore[arg-type]

    def mappings(self) -> Mappings:
        """Give each row as a dict."""
        return Mappings(self)  # type: ignore[arg-type]

    def keys(self) -> list[str]:
        """Give the names of the columns."""
        return [column[0] for column in self.description or ()]


def _first(row: Any) -> Any:  # noqa: ANN401
    return next(iter(row.values())) if isinstance(row, dict) else row[0]


def _statements(script: str) -> Iterator[str]:
    """Cut a script into its statements."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \t\r\n\f;"):
                yield statement
            statement = ""
    if statement.strip(" \t\r\n\f;"):
        yield statement.removesuffix(";")


def _words(sql: str) -> tuple[str, str]:
    """Give the first word, in capitals, and the rest, without comments before them."""
    rest = sql.lstrip(" \t\r\n\f;\ufeff")
    while rest.startswith(("--", "/*")):
        end = "\n" if rest.startswith("--") else "*/"
        rest = rest.partition(end)[2].lstrip(" \t\r\n\f;")
    length = next((at for at, sign in enumerate(rest) if not sign.isalpha()), len(rest))
    return rest[:length].upper(), rest[length:]


class PlainSession:
    """See the head of this file. Made by `DatabaseManager.session` in a bypassed module."""

    # What asks `isinstance(…, dbmanager.Session)` may have either.
    __class__: ClassVar[Any] = property(lambda _self: _core.Session)

    def __init__(self, manager: DatabaseManager, mode: Mode) -> None:
        self._manager = manager
        self._mode = mode
        self._is_used = False
        self._connection: sqlite3.Connection | None = None
        self._turn: _core._Turn | None = None
        self._results: weakref.WeakSet[PlainResult] = weakref.WeakSet()

    @property
    def mode(self) -> Mode:
        """How it was asked for."""
        return self._mode

    @property
    def isolation_level(self) -> str:
        """Its transactions begin so."""
        return "IMMEDIATE"

    def __enter__(self) -> Self:
        """Open the connection."""
        if self._is_used:
            raise ProgrammingError(_USED)
        self._is_used = True
        self._connection = self._opened()
        _open.sessions.append(self)
        try:
            if self._mode == "read":
                self._connection.execute("BEGIN")
                self._connection.execute("PRAGMA query_only = ON")
            elif self._mode == "write":
                self.begin()
        except BaseException:
            self._end()
            raise
        return self

    def _opened(self) -> sqlite3.Connection:
        settings = self._manager.settings
        pragmas = dict(settings["pragmas"])
        timeout = int(pragmas.pop("busy_timeout", 0)) / 1000
        if self._mode == "read":
            # No way to write then, whatever a statement switches on.
            pragmas.pop("journal_mode", None)
        path = "file:" + quote(os.fsencode(self._manager._path or ""))
        connection = _core._stdlib_connect(
            path + ("?mode=ro" if self._mode == "read" else ""),
            timeout=timeout,
            isolation_level=None,
            uri=True,
        )
        try:
            for name, value in pragmas.items():
                connection.execute(f"PRAGMA {name} = '{value}'")
            if settings["defensive"]:
                connection.execute("PRAGMA trusted_schema = OFF")
                if sys.version_info >= (3, 12):
                    connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        except BaseException:
            connection.close()
            raise
        return connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Commit, or roll back if the block raised something, and close the connection."""
        try:
            if self._connection is not None and self._connection.in_transaction:
                if kind is None:
                    self._read_all_ahead()
                    self._connection.execute("COMMIT")
                else:
                    self._connection.execute("ROLLBACK")
        finally:
            self._end()

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        with contextlib.suppress(ValueError):
            _open.sessions.remove(self)
        for result in self._results:
            result._session = None
        try:
            if connection is not None:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                connection.close()
        finally:
            self._give_turn_back()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ProgrammingError(_NOT_OPEN)
        return self._connection

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a connection has
        """Give what the stdlib's connection has."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._open(), name)

    def __setattr__(self, name: str, value: object) -> None:
        """Set what the stdlib's connection has (`row_factory`, `text_factory`)."""
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self._open(), name, value)

    # ---- statements -------------------------------------------------------------------------

    def cursor(self, factory: type[PlainResult] = PlainResult) -> PlainResult:
        """Make a result to execute on."""
        result = self._open().cursor(factory)
        result._session = self
        self._results.add(result)
        return result

    def execute(self, sql: str, parameters: Any = (), /) -> PlainResult:  # noqa: ANN401
        """Run one statement."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> PlainResult:
        """Run one statement with each of many sets of parameters."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> PlainResult:
        """Run the statements of a script, within the session's transaction."""
        return self.cursor().executescript(sql_script)

    def scalar(self, sql: str, parameters: Any = (), /) -> Any:  # noqa: ANN401
        """Give the first value of the first row, None if there is none."""
        return self.execute(sql, parameters).scalar()

    def blobopen(self, *arguments: Any, **keywords: Any) -> sqlite3.Blob:  # noqa: ANN401
        """Open a BLOB, for writing within the session's transaction."""
        if not (keywords.get("readonly", False) or self._mode == "read"):
            self.begin()
        return self._open().blobopen(*arguments, **keywords)

    def _before(self, sql: str, parameters: Any) -> None:  # noqa: ANN401
        """Begin the transaction that a write needs."""
        connection = self._open()
        word, rest = _words(sql)
        if not self._writes(connection, word, rest, sql, parameters):
            return
        if self._mode == "read":
            error = sqlite3.OperationalError(_READS)
            raise error
        if word not in _WRITE_ALONE and not connection.in_transaction:
            self.begin()

    @staticmethod
    def _writes(
        connection: sqlite3.Connection,
        word: str,
        rest: str,
        sql: str,
        parameters: Any,  # noqa: ANN401
    ) -> bool:
        if word in _WRITE or word in _WRITE_ALONE:
            return True
        if word == "PRAGMA":
            name, value = _PRAGMA.fullmatch(rest).groups()  # type: ignore[union-attr]
            return name.lower() in _PRAGMAS_THAT_WRITE and bool(value or name == "optimize")
        if word != "WITH":
            return False
        if parameters is None:
            return True  # executemany takes nothing else
        # The program tells it: the operation that begins a transaction has 1 there if it writes.
        try:
            program = connection.execute(f"EXPLAIN {sql}", parameters).fetchall()
        except sqlite3.Error:
            return False  # it fails when it is run, too, with its own words
        return any(row[1] == "Transaction" and row[3] != 0 for row in map(tuple, program))

    def _after(self) -> None:
        if self._connection is not None and not self._connection.in_transaction:
            self._give_turn_back()

    # ---- transactions -----------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to write now, if that was not begun: in this session's turn."""
        connection = self._open()
        if self._mode == "read":
            raise ProgrammingError("this session was opened with mode='read' and can't write")
        if connection.in_transaction:
            return
        # An open read would keep an old snapshot, which could not come to write.
        self._read_all_ahead()
        if self._turn is None:
            self._turn = self._manager._turn()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._give_turn_back()
            raise

    def _read_all_ahead(self) -> None:
        for result in list(self._results):
            result._read_ahead()

    def _give_turn_back(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.end()

    def commit(self) -> None:
        """Keep what was done, and go on."""
        self._finish("COMMIT")

    def rollback(self) -> None:
        """Undo what was done since the last commit, and go on."""
        self._finish("ROLLBACK")

    def _finish(self, sql: str) -> None:
        connection = self._open()
        if connection.in_transaction:
            self._read_all_ahead()
            connection.execute(sql)
        self._after()

    def begin_nested(self) -> Savepoint:
        """Begin a part of the transaction that can be undone on its own."""
        self._open()
        return Savepoint(self)  # type: ignore[arg-type]

    def _control(self, sql: str) -> None:
        self._open().execute(sql)
        self._after()

    def close(self) -> None:
        """Roll back and give the connection up."""
        self._end()


def session(manager: DatabaseManager, mode: Mode) -> PlainSession:
    """Make a session for a bypassed module."""
    return PlainSession(manager, mode)
