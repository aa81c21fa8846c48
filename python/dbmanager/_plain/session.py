"""The session of a bypassed module: a connection of the stdlib's, which begins and ends as ours do.

What SQLite says of a statement, that it only reads or does not, is what our own sessions go by. The
end of the block, and what must happen whatever interrupts Python code, is native (`_core._Block`).
The stdlib's methods are called by their class, past those here; and that is its C code's, whatever
others put in the place of `sqlite3`.
"""

import _sqlite3
import contextlib
import functools
import os
import sys
from _sqlite3 import Blob, Connection, Cursor
from collections.abc import Callable, Iterable
from types import MethodDescriptorType
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from dbmanager import _core
from dbmanager._core import DatabaseManager, OperationalError, ProgrammingError
from dbmanager._plain.alive import Alive
from dbmanager._plain.read_only import FOR_READING, for_reading, read_only_uri
from dbmanager._plain.result import Result
from dbmanager._plain.settings import set_pragmas
from dbmanager._session import Savepoint

Mode = Literal["auto", "read", "write"]

_LEVELS = {"", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"}
_IN_PROGRESS = "SQL statements in progress"


class Session(Connection):
    """See the head of this file. Made by `DatabaseManager.session` in a bypassed module."""

    __slots__ = ("__weakref__", "_blobs", "_block", "_level", "_manager", "_mode", "_results")
    __module__ = "dbmanager"
    # What asks `isinstance(…, dbmanager.Session)` may have either.
    __class__: ClassVar[Any] = property(lambda _self: _core.Session)

    __enter__ = _core._enter
    __exit__ = _core._exit
    __del__ = _core._delete

    def __init__(self, manager: DatabaseManager, mode: Mode) -> None:
        # The stdlib's own `__init__` is the block's to call.
        self._manager = manager
        self._mode = mode
        self._block = manager._block()
        self._level: str | None = "IMMEDIATE"
        self.text_factory = str
        self._results: Alive[Result] = Alive()
        self._blobs: Alive[Blob] = Alive()

    # ---- the block: called by its native side -----------------------------------------------

    def _start(self) -> None:
        self._open()
        if self._mode == "read":
            Connection.create_function(self, FOR_READING, 1, read_only_uri)
            self._raw("BEGIN")
        elif self._mode == "write":
            self._block.begin_immediate(self)

    def _open(self) -> None:
        settings = self._manager.settings
        pragmas = dict(settings["pragmas"])
        timeout = int(pragmas.pop("busy_timeout", 0))
        path = os.fspath(self._manager._path or "")
        uri = "file:" + quote(os.fsencode(path))
        if self._mode == "read":
            # No way to write then, whatever a statement switches on. But it makes no file.
            uri += "?mode=ro"
            pragmas.pop("journal_mode", None)
            _make(path)
        # They may be set before the block.
        factories = self.row_factory, self.text_factory
        self._block.open(self, uri, timeout=timeout / 1000, isolation_level=None, uri=True)
        set_pragmas(self, pragmas, path, timeout)
        self.row_factory, self.text_factory = factories
        if settings["defensive"]:
            self._raw("PRAGMA trusted_schema = OFF")
            if sys.version_info >= (3, 12):
                Connection.setconfig(self, _sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)

    def _keep(self) -> None:
        """Commit at the end of the block."""
        if not self._is_in_transaction():
            return
        # An open BLOB would keep the COMMIT from going through,
        for blob in self._blobs.all():
            blob.close()
        try:
            Connection.commit(self)
        except OperationalError as error:
            # and so would rows that a statement still has to give, and has written already.
            if not str(error).endswith(_IN_PROGRESS):
                raise
            for result in self._results.all():
                Cursor.close(result)
            Connection.commit(self)

    # ---- statements -------------------------------------------------------------------------

    def _raw(self, sql: str) -> Cursor:
        """Run a statement of our own, whatever factories are set."""
        return Cursor(self).execute(sql)

    def cursor(self, factory: Any = Result) -> Result:  # type: ignore[override] # noqa: ANN401
        """Make a result to execute on."""
        self._block.check()
        if factory is _core.Result or factory is _core.Cursor:
            factory = Result
        result: Any = Connection.cursor(self, factory)
        if not issubclass(type(result), Result):
            message = f"factory must return a Result of the session, not {type(result).__name__}"
            raise TypeError(message)
        self._results.add(result)
        return result  # type: ignore[no-any-return]

    def execute(self, sql: str, parameters: Any = (), /) -> Result:  # noqa: ANN401 - as the stdlib
        """Run one statement."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Result:
        """Run one statement with each of many sets of parameters."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> Result:
        """Run the statements of a script, within the session's transaction."""
        return self.cursor().executescript(sql_script)

    def scalar(self, sql: str, parameters: Any = (), /) -> Any:  # noqa: ANN401
        """Give the first value of the first row, None if there is none."""
        return self.execute(sql, parameters).scalar()

    def blobopen(
        self, table: str, column: str, row: int, /, *, readonly: bool = False, name: str = "main"
    ) -> Blob:
        """Open a BLOB, for writing within the session's transaction."""
        self._block.check()
        if not readonly:
            self._before_writing(can_be_undone=True)
        blob = Connection.blobopen(self, table, column, row, readonly=readonly, name=name)
        self._blobs.add(blob)
        return blob

    def _before(self, sql: Any) -> Any:  # noqa: ANN401 - the stdlib refuses other types
        """Do what must be done before a statement runs. Gives its text, or another one for it."""
        self._block.check()
        if not isinstance(sql, str) or (self._block.has_turn and self._is_in_transaction()):
            return sql
        text = _core._Text(sql)
        if text.wants_file_alone:
            self._manager.close_idle()
        if text.reads:
            return sql
        if text.writes(self._is_readonly(sql)):
            self._before_writing(can_be_undone=text.can_be_undone)
        elif text.attaches and self._mode == "read":
            return for_reading(sql)
        return sql

    def _is_readonly(self, sql: str) -> bool:
        """Ask SQLite whether a statement only reads (sqlite.org/c3ref/stmt_readonly.html).

        It compiles it, for the run too. `executemany` refuses what only reads, and with no set of
        parameters it runs nothing. Other errors are those of the statement.
        """
        try:
            Cursor(self).executemany(sql, ())
        except ProgrammingError as error:
            if str(error) == "executemany() can only execute DML statements.":
                return True
            raise
        return False

    def _before_writing(self, *, can_be_undone: bool) -> None:
        if self._mode == "read":
            raise OperationalError(
                "this session was opened with mode='read', and the statement writes; "
                "use mode='auto' or 'write'"
            )
        if can_be_undone and self._level is not None and not self._is_in_transaction():
            self._begin()
        else:
            self._block.take_turn()

    def _run_script(self, script: str) -> None:
        self._block.check()
        for sql in _core._statements(script):
            text = self._before(sql)
            # Nobody sees the rows.
            factory, self.text_factory = self.text_factory, bytes
            try:
                for _ in self._raw(text):
                    pass
            finally:
                self.text_factory = factory
                self._block.settle_turn(self)

    # ---- transactions -----------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """How it was asked for."""
        return self._mode

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        self._block.check_open()
        return self._is_in_transaction()

    @property
    def total_changes(self) -> int:
        """How many rows were changed since the session began."""
        self._block.check_open()
        return Connection.total_changes.__get__(self)  # type: ignore[no-any-return]

    def _is_in_transaction(self) -> bool:
        return Connection.in_transaction.__get__(self)  # type: ignore[no-any-return]

    @property
    def isolation_level(self) -> Any:  # noqa: ANN401 - of a few words
        """None: each statement commits by itself. Any other one changes nothing."""
        self._block.check()
        return self._level

    @isolation_level.setter
    def isolation_level(self, level: Any) -> None:  # noqa: ANN401
        self._block.check()
        if level is None:
            self._level = None
            self.commit()
            return
        if not isinstance(level, str):
            raise TypeError("isolation_level must be str or None")
        if level.upper() not in _LEVELS:
            message = "isolation_level string must be '', 'DEFERRED', 'IMMEDIATE', or 'EXCLUSIVE'"
            raise ValueError(message)
        self._level = level.upper()

    def begin(self) -> None:
        """Begin to write now, if that was not begun: in this session's turn."""
        self._block.check()
        if self._mode == "read":
            raise OperationalError("this session was opened with mode='read' and can't write")
        if not self._is_in_transaction():
            self._begin()

    def _begin(self) -> None:
        # An open read would keep an old snapshot, which could not come to write.
        self._read_all_ahead()
        self._block.begin_immediate(self)

    def _read_all_ahead(self) -> None:
        for result in self._results.all():
            result._read_ahead()

    def commit(self) -> None:
        """Keep what was done, and go on."""
        self._block.check()
        try:
            Connection.commit(self)
        finally:
            self._block.settle_turn(self)

    def rollback(self) -> None:
        """Undo what was done since the last commit, and go on."""
        self._block.check()
        try:
            Connection.rollback(self)
        finally:
            self._block.settle_turn(self)

    def begin_nested(self) -> Savepoint:
        """Begin a part of the transaction that can be undone on its own."""
        self._block.check()
        return Savepoint(self)  # type: ignore[arg-type]

    def _control(self, sql: str) -> None:
        """Make a savepoint, release it or roll back to it."""
        self._block.check()
        try:
            try:
                self._raw(sql)
            except OperationalError as error:
                if not str(error).endswith(_IN_PROGRESS):
                    raise
                # Rows that RETURNING still has to give.
                self._read_all_ahead()
                self._raw(sql)
        except OperationalError as error:
            if str(error).startswith("cannot open savepoint"):
                error.args = (f"{error}; close the BLOB that is open to write",)
            raise
        finally:
            self._block.settle_turn(self)

    def close(self) -> None:
        """Roll back and give the connection up."""
        if self._block.is_open:
            self._block.check()
            self._block.end(self)

    # ---- what no transaction could undo -----------------------------------------------------

    def backup(self, target: Connection, **options: Any) -> None:  # noqa: ANN401
        """Copy the database into another connection's."""
        self._block.check()
        if isinstance(target, _core.Session):
            raise _unfillable("the target of a backup")
        Connection.backup(self, target, **options)

    def deserialize(self, *_arguments: Any, **_keywords: Any) -> None:  # noqa: ANN401
        """Refuse to have another database put in the place of this one."""
        self._block.check()
        raise _unfillable("deserialized into")


def _unfillable(what: str) -> ProgrammingError:
    return ProgrammingError(
        f"a session can't be {what}, which no transaction could undo; use a connection of connect()"
    )


def _make(path: str) -> None:
    """Make the file if it is not there. If that fails, SQLite says what is wrong."""
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _method(name: str) -> Callable[..., Any]:
    """Make a method of the stdlib's one that says by itself that the session is not open."""
    of_stdlib = getattr(Connection, name)

    @functools.wraps(of_stdlib)
    def method(self: Session, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        self._block.check_open()
        return of_stdlib(self, *arguments, **keywords)

    return method


def _refuse_autocommit(self: Session, _value: object) -> None:
    self._block.check()
    raise ProgrammingError(
        "a session controls its transaction itself; use isolation_level = None for autocommit"
    )


for _name, _member in vars(Connection).items():
    if _name == "autocommit":  # since Python 3.12
        setattr(Session, _name, property(_member.__get__, _refuse_autocommit))
    elif isinstance(_member, MethodDescriptorType) and _name not in {*vars(Session), "__call__"}:
        setattr(Session, _name, _method(_name))
