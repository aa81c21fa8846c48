"""The extension module: SQLite in Rust behind the names of the standard library's ``sqlite3``.

Import from ``dbmanager`` and ``dbmanager.sqlite3``, not from here. This stub holds the public
documentation. Everything that the running Python's ``sqlite3`` has behaves as it does there, results,
exception classes and messages included; where Python versions differ, so does this stub. Sources:
PEP 249 for the interface, sqlite.org for the library, CPython's ``sqlite3`` for the rest.

Rules that hold for every call below:

* A connection belongs to the thread that opened it, unless ``check_same_thread=False`` was passed; then
  any number of threads may use it at once, and each call waits for the one before it.
* A call that waits (for a file lock, for another thread's call, for the disk) or that computes long lets
  other Python threads run meanwhile.
* Use after ``close()`` raises `ProgrammingError`.
"""

# The stdlib's names and the values' types are given: `Warning`, `Connection.Error`, rows of Any.
# ruff: noqa: A004, ANN401, N802

import sqlite3
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from pathlib import Path
from sqlite3 import (
    DatabaseError as DatabaseError,
)
from sqlite3 import (
    DataError as DataError,
)
from sqlite3 import (
    Error as Error,
)
from sqlite3 import (
    IntegrityError as IntegrityError,
)
from sqlite3 import (
    InterfaceError as InterfaceError,
)
from sqlite3 import (
    InternalError as InternalError,
)
from sqlite3 import (
    NotSupportedError as NotSupportedError,
)
from sqlite3 import (
    OperationalError as OperationalError,
)
from sqlite3 import (
    PrepareProtocol as PrepareProtocol,
)
from sqlite3 import (
    ProgrammingError as ProgrammingError,
)
from sqlite3 import (
    Warning as Warning,
)
from types import TracebackType
from typing import (
    Any,
    Final,
    Literal,
    NoReturn,
    Protocol,
    Self,
    SupportsIndex,
    TypeAlias,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from _typeshed import MaybeNone, ReadableBuffer, StrOrBytesPath, SupportsLenAndGetItem, Unused
from typing_extensions import disjoint_base

from dbmanager._session import Mappings, Mode, Savepoint, Scalars

_T = TypeVar("_T")
_ConnectionT = TypeVar("_ConnectionT", bound=Connection)
_CursorT = TypeVar("_CursorT", bound=Cursor)

# What SQLite stores, and so what an adapter, a function or an aggregate may give back.
_SqliteData: TypeAlias = str | ReadableBuffer | int | float | None
# A mapping must be a dict (or of a subclass) at run time. The type is the wider one, because a dict's
# invariance would refuse a TypedDict.
_Parameters: TypeAlias = SupportsLenAndGetItem[Any] | Mapping[str, Any]
_RowFactory: TypeAlias = (
    type[Row | sqlite3.Row] | Callable[[Cursor, tuple[Any, ...]], object] | None
)
# As it is read; it may be written in lower case too.
_IsolationLevel: TypeAlias = Literal["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"] | None
_AnyIsolationLevel: TypeAlias = _IsolationLevel | Literal["deferred", "immediate", "exclusive"]
_Authorizer: TypeAlias = Callable[[int, str | None, str | None, str | None, str | None], int]
if sys.version_info >= (3, 12):
    # True, False, or LEGACY_TRANSACTION_CONTROL.
    _Autocommit: TypeAlias = bool | Literal[-1]

# Inside `Connection` the class names are attributes.
_Error: TypeAlias = Error
_Warning: TypeAlias = Warning
_DataError: TypeAlias = DataError
_DatabaseError: TypeAlias = DatabaseError
_IntegrityError: TypeAlias = IntegrityError
_InterfaceError: TypeAlias = InterfaceError
_InternalError: TypeAlias = InternalError
_NotSupportedError: TypeAlias = NotSupportedError
_OperationalError: TypeAlias = OperationalError
_ProgrammingError: TypeAlias = ProgrammingError
# Inside `DatabaseManager` too.
_Session: TypeAlias = Session

# `step` and `inverse` take as many arguments as the SQL function was declared with.
@type_check_only
class _Aggregate(Protocol):
    @property
    def step(self) -> Callable[..., object]: ...
    def finalize(self) -> _SqliteData: ...

@type_check_only
class _WindowAggregate(_Aggregate, Protocol):
    @property
    def inverse(self) -> Callable[..., object]: ...
    def value(self) -> _SqliteData: ...

# What calling a connection gives; it can only be kept.
@final
@type_check_only
class _Statement: ...

# ---- opening ----------------------------------------------------------------------

if sys.version_info >= (3, 12):
    @overload
    def connect(
        database: StrOrBytesPath,
        timeout: float = 5.0,
        detect_types: int = 0,
        isolation_level: _AnyIsolationLevel = "",
        check_same_thread: bool = True,
        *,
        cached_statements: int = 128,
        uri: bool = False,
        autocommit: _Autocommit = -1,
    ) -> Connection:
        """Open a database, and make its file if there is none.

        A file is opened through its pool: the connection may be one that another caller has closed, as good
        as new. It never waits for one to come free. Databases in memory, temporary ones and those with a
        shared cache are not pooled.

        Raises the audit events ``sqlite3.connect`` (with the path) and ``sqlite3.connect/handle`` (with the
        connection). All but `database` should be passed by keyword: Python 3.13 warns otherwise.

        Args:
            database: A path (str, bytes, or path-like); ``":memory:"`` for a database in memory, ``""`` for a
                temporary file.
            timeout: Seconds to wait for a lock of another connection before `OperationalError` ("database is
                locked").
            detect_types: What `register_converter` is used for: 0, `PARSE_DECLTYPES`, `PARSE_COLNAMES`, or
                both with ``|``.
            isolation_level: See `Connection.isolation_level`.
            check_same_thread: Refuse use by other threads than this one. If False, any thread may use the
                connection at any time: it is locked for each call, so a transaction that several threads take
                part in still needs their agreement.
            factory: Called with these arguments instead of `Connection`; usually a subclass.
            cached_statements: How many compiled statements to keep; fewer than 1 for none.
            uri: Read `database` as a ``file:`` URI, with a query such as ``?mode=ro``.
            autocommit: See `Connection.autocommit`. Keyword only.

        Raises:
            OperationalError: The file can't be opened. A file that is no database is noticed at first use
                (`DatabaseError`).

        Source: PEP 249 "connect()"; sqlite.org/uri.html; CPython's ``sqlite3.connect``.

            >>> from dbmanager import connect
            >>> connection = connect("shop.db", timeout=10.0)
            >>> connection.execute("SELECT 1").fetchone()
            (1,)
            >>> connection.close()
        """
    @overload
    def connect(
        database: StrOrBytesPath,
        timeout: float,
        detect_types: int,
        isolation_level: _AnyIsolationLevel,
        check_same_thread: bool,
        factory: Callable[..., _ConnectionT],
        cached_statements: int = 128,
        uri: bool = False,
        *,
        autocommit: _Autocommit = -1,
    ) -> _ConnectionT: ...
    @overload
    def connect(
        database: StrOrBytesPath,
        timeout: float = 5.0,
        detect_types: int = 0,
        isolation_level: _AnyIsolationLevel = "",
        check_same_thread: bool = True,
        *,
        factory: Callable[..., _ConnectionT],
        cached_statements: int = 128,
        uri: bool = False,
        autocommit: _Autocommit = -1,
    ) -> _ConnectionT: ...

else:
    @overload
    def connect(
        database: StrOrBytesPath,
        timeout: float = 5.0,
        detect_types: int = 0,
        isolation_level: _AnyIsolationLevel = "",
        check_same_thread: bool = True,
        *,
        cached_statements: int = 128,
        uri: bool = False,
    ) -> Connection:
        """Open a database, and make its file if there is none.

        A file is opened through its pool: the connection may be one that another caller has closed, as good
        as new. It never waits for one to come free. Databases in memory, temporary ones and those with a
        shared cache are not pooled.

        Raises the audit events ``sqlite3.connect`` (with the path) and ``sqlite3.connect/handle`` (with the
        connection). All but `database` should be passed by keyword: Python 3.13 warns otherwise.

        Args:
            database: A path (str, bytes, or path-like); ``":memory:"`` for a database in memory, ``""`` for a
                temporary file.
            timeout: Seconds to wait for a lock of another connection before `OperationalError` ("database is
                locked").
            detect_types: What `register_converter` is used for: 0, `PARSE_DECLTYPES`, `PARSE_COLNAMES`, or
                both with ``|``.
            isolation_level: See `Connection.isolation_level`.
            check_same_thread: Refuse use by other threads than this one. If False, any thread may use the
                connection at any time: it is locked for each call, so a transaction that several threads take
                part in still needs their agreement.
            factory: Called with these arguments instead of `Connection`; usually a subclass.
            cached_statements: How many compiled statements to keep; fewer than 1 for none.
            uri: Read `database` as a ``file:`` URI, with a query such as ``?mode=ro``.

        Raises:
            OperationalError: The file can't be opened. A file that is no database is noticed at first use
                (`DatabaseError`).

        Source: PEP 249 "connect()"; sqlite.org/uri.html; CPython's ``sqlite3.connect``.

            >>> from dbmanager import connect
            >>> connection = connect("shop.db", timeout=10.0)
            >>> connection.execute("SELECT 1").fetchone()
            (1,)
            >>> connection.close()
        """
    @overload
    def connect(
        database: StrOrBytesPath,
        timeout: float,
        detect_types: int,
        isolation_level: _AnyIsolationLevel,
        check_same_thread: bool,
        factory: Callable[..., _ConnectionT],
        cached_statements: int = 128,
        uri: bool = False,
    ) -> _ConnectionT: ...
    @overload
    def connect(
        database: StrOrBytesPath,
        timeout: float = 5.0,
        detect_types: int = 0,
        isolation_level: _AnyIsolationLevel = "",
        check_same_thread: bool = True,
        *,
        factory: Callable[..., _ConnectionT],
        cached_statements: int = 128,
        uri: bool = False,
    ) -> _ConnectionT: ...

@disjoint_base
class Connection:
    """An open SQLite database. Make one with `connect`, or by calling the class with its arguments.

    As a context manager it commits at the end of the block, or rolls back if the block raised; it does
    NOT close. One that is dropped without `close()` discards what was not committed, and since Python 3.13
    warns (`ResourceWarning`).

    The exception classes of PEP 249 are attributes of every connection.

    Source: PEP 249 "Connection Objects"; CPython's ``sqlite3.Connection``.

        >>> from contextlib import closing
        >>> from dbmanager import sqlite3
        >>> with closing(sqlite3.connect(":memory:")) as connection:
        ...     with connection:  # one transaction
        ...         _ = connection.execute("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT)")
        ...         _ = connection.execute("INSERT INTO user (name) VALUES (?)", ("Ada",))
        ...     connection.execute("SELECT * FROM user").fetchall()
        [(1, 'Ada')]
    """

    @property
    def Error(self) -> type[_Error]:
        """Give the base class of the errors (PEP 249, optional extensions)."""
    @property
    def Warning(self) -> type[_Warning]:
        """Give the class of important warnings; the module never raises it since Python 3.11."""
    @property
    def DataError(self) -> type[_DataError]:
        """Give the class for a value that is too large."""
    @property
    def DatabaseError(self) -> type[_DatabaseError]:
        """Give the class for what went wrong in the database: a file that is none, corruption."""
    @property
    def IntegrityError(self) -> type[_IntegrityError]:
        """Give the class for a constraint that would be broken."""
    @property
    def InterfaceError(self) -> type[_InterfaceError]:
        """Give the class for a misuse of SQLite's interface."""
    @property
    def InternalError(self) -> type[_InternalError]:
        """Give the class for an error inside SQLite."""
    @property
    def NotSupportedError(self) -> type[_NotSupportedError]:
        """Give the class for what the library was built without."""
    @property
    def OperationalError(self) -> type[_OperationalError]:
        """Give the class for what the caller can't rule out: a locked file, a full disk, wrong SQL."""
    @property
    def ProgrammingError(self) -> type[_ProgrammingError]:
        """Give the class for a wrong call: a closed connection, the wrong number of parameters."""

    @property
    def in_transaction(self) -> bool:
        """Tell whether a transaction is open, begun by SQL, by a change, or by `autocommit` False.

        >>> from dbmanager import connect
        >>> connection = connect(":memory:")
        >>> _ = connection.execute("CREATE TABLE t (x)")
        >>> connection.in_transaction
        False
        >>> _ = connection.execute("INSERT INTO t VALUES (1)")
        >>> connection.in_transaction
        True
        >>> connection.close()
        """
    @property
    def total_changes(self) -> int:
        """Count the rows inserted, updated and deleted since the connection was opened.

        Source: sqlite.org/c3ref/total_changes.html.
        """
    @property
    def isolation_level(self) -> _IsolationLevel:
        """Which BEGIN comes before a change when no transaction is open; None for no BEGIN at all.

        Counts only under legacy transaction control (before Python 3.12: always). ``""`` is SQLite's
        default, a deferred transaction. Only INSERT, UPDATE, DELETE and REPLACE begin one. Setting None
        commits what is open.

        Raises:
            TypeError: The value is neither a str nor None.
            ValueError: The str is none of the levels (in upper or lower case).

        Source: CPython's ``sqlite3.Connection.isolation_level``; sqlite.org/lang_transaction.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:", isolation_level="IMMEDIATE")
            >>> connection.isolation_level
            'IMMEDIATE'
            >>> connection.isolation_level = None
            >>> connection.close()
        """
    @isolation_level.setter
    def isolation_level(self, value: _AnyIsolationLevel) -> None: ...

    if sys.version_info >= (3, 12):
        @property
        def autocommit(self) -> _Autocommit:
            """How transactions begin and end.

            * False: as PEP 249 wants it. A transaction is always open; `commit` and `rollback` end it and
              begin the next, `close` rolls back.
            * True: SQLite's own way. Each statement is a transaction unless SQL begins one; `commit` and
              `rollback` do nothing.
            * `LEGACY_TRANSACTION_CONTROL`, the default: `isolation_level` decides.

            Setting False begins a transaction, setting True commits the open one.

            Raises:
                ValueError: The value is none of the three.

            Source: CPython's ``sqlite3.Connection.autocommit`` (3.12).

                >>> from dbmanager import connect
                >>> connection = connect(":memory:", autocommit=False)
                >>> connection.in_transaction
                True
                >>> connection.autocommit = True
                >>> connection.in_transaction
                False
                >>> connection.close()
            """
        @autocommit.setter
        def autocommit(self, value: _Autocommit) -> None: ...

    @property
    def row_factory(self) -> _RowFactory:
        """What makes a row of each tuple, for cursors made from now on; None for the tuple itself.

        A callable ``(cursor, tuple) -> row``, or a class: `Row` (the stdlib's works too, and gives real
        ``sqlite3.Row`` objects), `dict_row`. Those three are built in Rust, without a call for each row.

            >>> from dbmanager import connect, dict_row
            >>> connection = connect(":memory:")
            >>> connection.row_factory = dict_row
            >>> connection.execute("SELECT 1 AS id, 'Ada' AS name").fetchone()
            {'id': 1, 'name': 'Ada'}
            >>> connection.close()
        """
    @row_factory.setter
    def row_factory(self, value: _RowFactory) -> None: ...
    @row_factory.deleter
    def row_factory(self) -> None: ...
    @property
    def text_factory(self) -> Callable[[bytes], Any]:
        r"""What makes an object of a TEXT value's UTF-8: `str` (the default), `bytes`, `bytearray`, any callable.

        `str` raises `OperationalError` for text that is not UTF-8; a callable can be more lenient.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> connection.text_factory = lambda data: data.decode(errors="replace")
            >>> connection.execute("SELECT CAST(x'61ff' AS TEXT)").fetchone()
            ('a\ufffd',)
            >>> connection.close()
        """
    @text_factory.setter
    def text_factory(self, value: Callable[[bytes], Any]) -> None: ...

    if sys.version_info >= (3, 12):
        def __init__(
            self,
            database: StrOrBytesPath,
            timeout: float = 5.0,
            detect_types: int = 0,
            isolation_level: _AnyIsolationLevel = "",
            check_same_thread: bool = True,
            factory: object = ...,
            cached_statements: int = 128,
            uri: bool = False,
            *,
            autocommit: _Autocommit = -1,
        ) -> None: ...
    else:
        def __init__(
            self,
            database: StrOrBytesPath,
            timeout: float = 5.0,
            detect_types: int = 0,
            isolation_level: _AnyIsolationLevel = "",
            check_same_thread: bool = True,
            factory: object = ...,
            cached_statements: int = 128,
            uri: bool = False,
        ) -> None: ...

    def __call__(self, sql: str, /) -> _Statement:
        """Compile one SQL statement and give an opaque object that keeps it. Use `execute` instead."""
    def __enter__(self) -> Self:
        """Give the connection itself; begins nothing."""
    def __exit__(
        self,
        type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]:
        """Commit, or roll back if the block raised or the COMMIT failed. Does not close.

        With `autocommit` True (Python 3.12) it does nothing.
        """
    def close(self) -> None:
        """Close the database, or give its connection back to the pool. Closing twice is fine.

        What was not committed is lost. A database of the pool stays open for the next user, and all that
        was committed is in the file when its last connection is back.

        Cursors and blobs of the connection can't be used any more.

        Raises:
            ProgrammingError: The calling thread may not use the connection.
        """
    def commit(self) -> None:
        """End the open transaction and keep its changes; without one, do nothing.

        Waits up to the connection's `timeout` for other connections that read.

        Raises:
            OperationalError: The file stayed locked, or the disk is full; the transaction is still open.
            IntegrityError: A deferred constraint is broken; the transaction is still open.

        Source: PEP 249 ".commit()".
        """
    def rollback(self) -> None:
        """End the open transaction and undo its changes; without one, do nothing.

        Source: PEP 249 ".rollback()".

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> _ = connection.execute("CREATE TABLE t (x)")
            >>> _ = connection.execute("INSERT INTO t VALUES (1)")
            >>> connection.rollback()
            >>> connection.execute("SELECT count(*) FROM t").fetchone()
            (0,)
            >>> connection.close()
        """
    @overload
    def cursor(self) -> Cursor:
        """Make a cursor.

        `factory` is called with the connection and must give a `Cursor`, or an instance of a subclass.
        The cursor takes the connection's `row_factory` over.

        Raises:
            TypeError: `factory` gave something else.

        Source: PEP 249 ".cursor()".

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> cursor = connection.cursor()
            >>> cursor.execute("SELECT 1").fetchone()
            (1,)
            >>> connection.close()
        """
    @overload
    def cursor(self, factory: Callable[[Connection], _CursorT]) -> _CursorT: ...
    def execute(self, sql: str, parameters: _Parameters = ..., /) -> Cursor:
        """Make a cursor and run one statement with it: see `Cursor.execute`.

        >>> from dbmanager import connect
        >>> connection = connect(":memory:")
        >>> connection.execute("SELECT :a + :b", {"a": 1, "b": 2}).fetchone()
        (3,)
        >>> connection.close()
        """
    def executemany(self, sql: str, parameters: Iterable[_Parameters], /) -> Cursor:
        """Make a cursor and run one statement with each set of parameters: see `Cursor.executemany`."""
    def executescript(self, sql_script: str, /) -> Cursor:
        """Make a cursor and run several statements with it: see `Cursor.executescript`."""
    def interrupt(self) -> None:
        """Make the statement that is running fail; any thread may call this.

        The thread that runs it gets `OperationalError` ("interrupted"). A statement that begins later is
        not touched.

        Source: sqlite.org/c3ref/interrupt.html.
        """
    def blobopen(
        self, table: str, column: str, row: int, /, *, readonly: bool = False, name: str = "main"
    ) -> Blob:
        r"""Open one value for reading and writing in place.

        Args:
            table: The table.
            column: A column that holds a BLOB (or TEXT) in that row.
            row: The row's rowid.
            readonly: Refuse to write.
            name: The schema: ``main``, ``temp``, or the name given to ATTACH.

        Raises:
            OperationalError: There is no such row or column, or its value is neither BLOB nor TEXT.

        Source: sqlite.org/c3ref/blob_open.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> _ = connection.execute("CREATE TABLE file (data BLOB)")
            >>> _ = connection.execute("INSERT INTO file VALUES (zeroblob(4))")
            >>> with connection.blobopen("file", "data", 1) as blob:
            ...     blob.write(b"ab")
            ...     blob[3] = 255
            >>> connection.execute("SELECT data FROM file").fetchone()
            (b'ab\x00\xff',)
            >>> connection.close()
        """
    def backup(
        self,
        target: Connection | sqlite3.Connection,
        *,
        pages: int = -1,
        progress: Callable[[int, int, int], object] | None = None,
        name: str = "main",
        sleep: float = 0.25,
    ) -> None:
        """Copy a database into `target`'s main database, which is overwritten.

        Both connections may be in use. Other threads run meanwhile.

        Args:
            target: A connection of ours, or of the stdlib's (then by way of a temporary file, since two
                copies of SQLite can't share a handle). For the other direction see docs/sqlite3.md.
            pages: How many pages to copy at once; all for 0 and less. `target` and other users of the
                source get their turn between two steps.
            progress: Called after each step with the result code, the pages left, and the pages in all.
            name: The schema of the source to copy.
            sleep: Seconds to wait when a step found a file locked.

        Raises:
            TypeError: `target` is no connection, or `progress` can't be called.
            ValueError: `target` is this connection.
            OperationalError: SQLite could not copy.

        Source: sqlite.org/backup.html; CPython's ``sqlite3.Connection.backup``.

            >>> from dbmanager import connect
            >>> source, copy = connect(":memory:"), connect(":memory:")
            >>> _ = source.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (7);")
            >>> source.backup(copy)
            >>> copy.execute("SELECT x FROM t").fetchone()
            (7,)
            >>> source.close(), copy.close()
            (None, None)
        """
    if sys.version_info >= (3, 13):
        def iterdump(self, *, filter: str | None = None) -> Generator[str]:
            r"""Give the database as SQL text, statement by statement. With Python 3.13, `filter` is a LIKE pattern for names.

            The text is made by the running Python's own ``sqlite3.dump``.

                >>> from dbmanager import connect
                >>> connection = connect(":memory:")
                >>> _ = connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (7);")
                >>> print("\n".join(connection.iterdump()))
                BEGIN TRANSACTION;
                CREATE TABLE t (x);
                INSERT INTO "t" VALUES(7);
                COMMIT;
                >>> connection.close()
            """
    else:
        def iterdump(self) -> Generator[str]:
            r"""Give the database as SQL text, statement by statement. With Python 3.13, `filter` is a LIKE pattern for names.

            The text is made by the running Python's own ``sqlite3.dump``.

                >>> from dbmanager import connect
                >>> connection = connect(":memory:")
                >>> _ = connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (7);")
                >>> print("\n".join(connection.iterdump()))
                BEGIN TRANSACTION;
                CREATE TABLE t (x);
                INSERT INTO "t" VALUES(7);
                COMMIT;
                >>> connection.close()
            """
    def serialize(self, *, name: str = "main") -> bytes:
        """Give a database as the bytes that its file would have.

        Raises:
            OperationalError: There is no such schema.

        Source: sqlite.org/c3ref/serialize.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> _ = connection.execute("CREATE TABLE t (x)")
            >>> connection.serialize()[:15]
            b'SQLite format 3'
            >>> connection.close()
        """
    def deserialize(self, data: ReadableBuffer | str, /, *, name: str = "main") -> None:
        """Turn a schema of this connection into an in-memory database with these bytes.

        The connection lets go of the file that it had. An image in memory can't be in WAL mode: if the
        source was, set bytes 18 and 19 of the image to 1 first, or use `backup`.

        Raises:
            DatabaseError: The bytes are no database; noticed at the first use.
            OperationalError: A transaction or a backup is going on.
            OverflowError: The data is 2^63 bytes or longer.

        Source: sqlite.org/c3ref/deserialize.html.

            >>> from dbmanager import connect
            >>> source, copy = connect(":memory:"), connect(":memory:")
            >>> _ = source.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (7);")
            >>> copy.deserialize(source.serialize())
            >>> copy.execute("SELECT x FROM t").fetchone()
            (7,)
            >>> source.close(), copy.close()
            (None, None)
        """
    def getlimit(self, category: int, /) -> int:
        """Give one of SQLite's run-time limits; `category` is one of the ``SQLITE_LIMIT_`` constants.

        Raises:
            ProgrammingError: There is no such category.
        """
    def setlimit(self, category: int, limit: int, /) -> int:
        """Lower or raise a run-time limit, and give its old value. -1 changes nothing.

        A limit above what the library was compiled with is cut to that.

        Raises:
            ProgrammingError: There is no such category.

        Source: sqlite.org/c3ref/limit.html.

            >>> from dbmanager import sqlite3
            >>> connection = sqlite3.connect(":memory:")
            >>> connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 10)
            250000
            >>> connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
            10
            >>> connection.close()
        """
    if sys.version_info >= (3, 12):
        def getconfig(self, op: int, /) -> bool:
            """Tell whether an option is on; `op` is one of the ``SQLITE_DBCONFIG_`` constants.

            Raises:
                ValueError: There is no such option.
            """
        def setconfig(self, op: int, enable: bool = True, /) -> None:
            """Switch an option on or off.

            Raises:
                ValueError: There is no such option.
                OperationalError: SQLite did not switch it.

            Source: sqlite.org/c3ref/db_config.html.

                >>> from dbmanager import sqlite3
                >>> connection = sqlite3.connect(":memory:")
                >>> connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY)
                >>> connection.getconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY)
                True
                >>> connection.close()
            """

    def enable_load_extension(self, enable: bool, /) -> None:
        """Allow or refuse `load_extension`, and the SQL function of that name. Refused at first.

        Allow it only around loading what you trust: an extension is native code in this process. Raises
        the audit event ``sqlite3.enable_load_extension``.
        """
    def load_extension(self, name: str, /, *, entrypoint: str | None = None) -> None:
        """Load an SQLite extension from a shared library.

        It is loaded into the bundled SQLite, so it must have been built against the loadable-extension
        interface (as all are that the ``sqlite3`` shell can load). `entrypoint` names its init function;
        None derives it from the file's name. Raises the audit event ``sqlite3.load_extension``.

        Raises:
            OperationalError: Loading was not allowed, or failed.

        Source: sqlite.org/loadext.html.
        """
    def create_function(
        self,
        name: str,
        narg: int,
        func: Callable[..., _SqliteData] | None,
        *,
        deterministic: bool = False,
    ) -> None:
        """Make a callable available to SQL as a scalar function.

        An exception makes the statement fail with `OperationalError` ("user-defined function raised
        exception"); see `enable_callback_tracebacks`. Pass `name`, `narg` and `func` by position: Python
        3.13 warns otherwise.

        Args:
            name: Its name in SQL. A function of that name and number of arguments is replaced.
            narg: How many arguments it takes; -1 for any number.
            func: Gets int, float, str, bytes and None, and gives one of these.
            deterministic: It gives the same for the same arguments, so that SQLite may call it less often
                and allow it in indexes.

        Raises:
            OperationalError: SQLite refused the name or the number.

        Source: sqlite.org/appfunc.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> connection.create_function(
            ...     "shout", 1, lambda text: text.upper() + "!", deterministic=True
            ... )
            >>> connection.execute("SELECT shout('hi')").fetchone()
            ('HI!',)
            >>> connection.close()
        """

    def create_aggregate(
        self, name: str, n_arg: int, aggregate_class: Callable[[], _Aggregate]
    ) -> None:
        """Make a class available to SQL as an aggregate function.

        One instance is made for each group; ``step(...)`` gets the arguments of each row, ``finalize()``
        gives the result. Pass all by position: Python 3.13 warns otherwise. `n_arg` is the number of
        arguments, -1 for any.

        Raises:
            OperationalError: SQLite refused the name or the number; or, when it is used, the class or a
                method raised.

        Source: sqlite.org/appfunc.html.

            >>> from dbmanager import connect
            >>> class Longest:
            ...     def __init__(self):
            ...         self.text = ""
            ...     def step(self, text):
            ...         self.text = max(self.text, text, key=len)
            ...     def finalize(self):
            ...         return self.text
            >>> connection = connect(":memory:")
            >>> connection.create_aggregate("longest", 1, Longest)
            >>> connection.execute(
            ...     "SELECT longest(column1) FROM (VALUES ('a'), ('bbb'), ('cc'))"
            ... ).fetchone()
            ('bbb',)
            >>> connection.close()
        """

    def set_authorizer(self, authorizer_callback: _Authorizer | None) -> None:
        """Ask a callable about each action of a statement while it is compiled; None ends that.

        It gets the action (``SQLITE_READ``, ``SQLITE_INSERT``, …), two arguments that depend on it, the
        schema, and the trigger or view that the action comes from, and gives ``SQLITE_OK``,
        ``SQLITE_DENY`` (the statement fails), or ``SQLITE_IGNORE`` (a column reads as NULL). An
        exception, or anything that is no int, denies.

        Source: sqlite.org/c3ref/set_authorizer.html.

            >>> from dbmanager import sqlite3
            >>> def no_deletes(action, *_):
            ...     return (
            ...         sqlite3.SQLITE_DENY
            ...         if action == sqlite3.SQLITE_DELETE
            ...         else sqlite3.SQLITE_OK
            ...     )
            >>> connection = sqlite3.connect(":memory:")
            >>> _ = connection.execute("CREATE TABLE t (x)")
            >>> connection.set_authorizer(no_deletes)
            >>> connection.execute("DELETE FROM t")
            Traceback (most recent call last):
                ...
            sqlite3.DatabaseError: not authorized
            >>> connection.close()
        """

    def set_progress_handler(self, progress_handler: Callable[[], object] | None, n: int) -> None:
        """Call something every `n` steps of SQLite's virtual machine; None ends that.

        Something true as its result, or an exception, makes the statement fail with `OperationalError`
        ("interrupted").

        Source: sqlite.org/c3ref/progress_handler.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> connection.set_progress_handler(lambda: True, 1000)
            >>> endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            >>> connection.execute(endless)
            Traceback (most recent call last):
                ...
            sqlite3.OperationalError: interrupted
            >>> connection.close()
        """

    def set_trace_callback(self, trace_callback: Callable[[str], object] | None) -> None:
        """Call something with the SQL of each statement that runs, values filled in; None ends that.

        Statements that the module itself runs (BEGIN, COMMIT) and those of triggers are shown too.

        Source: sqlite.org/c3ref/trace_v2.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> connection.set_trace_callback(print)
            >>> _ = connection.execute("SELECT ?", ("a",))
            SELECT 'a'
            >>> connection.close()
        """

    def create_window_function(
        self, name: str, num_params: int, aggregate_class: Callable[[], _WindowAggregate] | None, /
    ) -> None:
        """Make a class callable from SQL as an aggregate that can also be used with OVER.

        As `create_aggregate`; the class has two methods more: ``value()`` gives the result of the current
        window, ``inverse(...)`` takes back the oldest row of it. None removes the function.

        Raises:
            ProgrammingError: SQLite refused the name or `num_params`.

        Source: sqlite.org/windowfunctions.html#udfwinfunc.

            >>> from dbmanager import connect
            >>> class Total:
            ...     def __init__(self):
            ...         self.total = 0
            ...     def step(self, x):
            ...         self.total += x
            ...     def inverse(self, x):
            ...         self.total -= x
            ...     def value(self):
            ...         return self.total
            ...     finalize = value
            >>> connection = connect(":memory:")
            >>> connection.create_window_function("total_of", 1, Total)
            >>> _ = connection.executescript(
            ...     "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (4);"
            ... )
            >>> sql = "SELECT total_of(x) OVER (ORDER BY x ROWS 1 PRECEDING) FROM t"
            >>> connection.execute(sql).fetchall()
            [(1,), (3,), (6,)]
            >>> connection.close()
        """
    def create_collation(
        self, name: str, callback: Callable[[str, str], SupportsIndex] | None, /
    ) -> None:
        """Make a callable usable as ``COLLATE name``; None removes it.

        It gets two str and gives a negative number, zero, or a positive one. An exception ends the
        statement and is raised by the call that ran it.

        Raises:
            TypeError: `callback` can't be called.

        Source: sqlite.org/c3ref/create_collation.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> connection.create_collation("by_length", lambda a, b: len(a) - len(b))
            >>> sql = "SELECT column1 FROM (VALUES ('ccc'), ('a'), ('bb')) ORDER BY 1 COLLATE by_length"
            >>> connection.execute(sql).fetchall()
            [('a',), ('bb',), ('ccc',)]
            >>> connection.close()
        """

# ---- statements and rows ------------------------------------------------------------

@disjoint_base
class Cursor:
    """Runs statements and gives their rows. Make one with `Connection.cursor`.

    It is an iterator of the rows that are left, and keeps its connection alive. A callback that uses the
    cursor which is running it gets `ProgrammingError`.

    Source: PEP 249 "Cursor Objects".

        >>> from dbmanager import connect
        >>> connection = connect(":memory:")
        >>> for row in connection.execute("VALUES (1, 'a'), (2, 'b')"):
        ...     print(row)
        (1, 'a')
        (2, 'b')
        >>> connection.close()
    """

    @property
    def connection(self) -> Connection:
        """The connection that the cursor belongs to."""
    # None without a result; `MaybeNone` spares an assertion where the statement is known to have one.
    @property
    def description(self) -> tuple[tuple[str, None, None, None, None, None, None], ...] | MaybeNone:
        """The columns: a 7-tuple each, the name first, the rest None. None if the statement gives no rows.

        Set for a SELECT without rows too.

        Source: PEP 249 ".description".
        """
    @property
    def lastrowid(self) -> int | None:
        """The rowid that the last successful INSERT or REPLACE by `execute` got; None before that.

        `executemany` and `executescript` leave it.

        Source: sqlite.org/c3ref/last_insert_rowid.html.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> _ = connection.execute("CREATE TABLE t (x)")
            >>> connection.execute("INSERT INTO t VALUES ('a')").lastrowid
            1
            >>> connection.close()
        """
    @property
    def rowcount(self) -> int:
        """How many rows the last INSERT, UPDATE, DELETE or REPLACE changed; -1 after anything else.

        `executemany` gives the sum. With RETURNING it is complete once all rows were fetched.

        Source: PEP 249 ".rowcount".
        """
    @property
    def arraysize(self) -> int:
        """How many rows `fetchmany` gives if it is not told. 1 at first."""
    @arraysize.setter
    def arraysize(self, value: int) -> None: ...
    @property
    def row_factory(self) -> _RowFactory:
        """What makes the rows of this cursor; taken over from the connection. See there."""
    @row_factory.setter
    def row_factory(self, value: _RowFactory) -> None: ...
    @row_factory.deleter
    def row_factory(self) -> None: ...
    def __init__(self, connection: Connection, /) -> None: ...
    def execute(self, sql: str, parameters: _Parameters = (), /) -> Self:
        """Run one statement, and give the cursor itself.

        Under legacy transaction control an INSERT, UPDATE, DELETE or REPLACE begins a transaction first
        if none is open. May wait up to the connection's `timeout` for a lock. The statement is compiled
        once and kept in a cache of `cached_statements`.

        Args:
            sql: One statement. A comment or blanks behind it are fine.
            parameters: A sequence for ``?`` placeholders, or a dict for ``:name`` ones. None, int (64 bits),
                float, str and bytes-like objects are stored as they are; others go through
                `register_adapter` or ``__conform__``.

        Raises:
            ProgrammingError: More than one statement; a wrong number of parameters, or one is missing; an
                object of a type that can't be stored.
            OperationalError: SQLite could not run it: wrong SQL, a lock held by another connection, …
            IntegrityError: A constraint would be broken.
            OverflowError: An int does not fit into 64 bits.

        Source: PEP 249 ".execute()"; sqlite.org/lang_expr.html#varparam.

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> cursor = connection.cursor()
            >>> cursor.execute("SELECT ?, ?", (1, "a")).fetchone()
            (1, 'a')
            >>> cursor.execute("SELECT :id", {"id": 1}).fetchone()
            (1,)
            >>> cursor.execute("SELEC 1")
            Traceback (most recent call last):
                ...
            sqlite3.OperationalError: near "SELEC": syntax error
            >>> connection.close()
        """
    def executemany(self, sql: str, seq_of_parameters: Iterable[_Parameters], /) -> Self:
        """Run one INSERT, UPDATE, DELETE or REPLACE with each set of parameters, in one transaction.

        The rows of a generator are taken one by one, so any number of them uses no memory. Other threads
        get their turn every few milliseconds.

        Raises:
            ProgrammingError: The statement is none of those; else as `execute`.

        Source: PEP 249 ".executemany()".

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> _ = connection.execute("CREATE TABLE t (x)")
            >>> connection.executemany(
            ...     "INSERT INTO t VALUES (?)", ((n,) for n in range(1000))
            ... ).rowcount
            1000
            >>> connection.close()
        """
    def executescript(self, sql_script: str, /) -> Self:
        """Run any number of statements, without parameters; rows are dropped.

        Under legacy transaction control what is open is committed first. A statement that fails ends the
        script; what went before stays.

        Raises:
            DataError: The script is longer than ``SQLITE_LIMIT_SQL_LENGTH``.
            ValueError: It holds a NUL character.
        """
    def fetchone(self) -> Any:
        """Give the next row, or None when there is none left.

        Source: PEP 249 ".fetchone()".
        """
    def fetchmany(self, size: int = 1) -> list[Any]:
        """Give the next `size` rows (`arraysize` if not told; all for 0 and less), fewer at the end.

        Source: PEP 249 ".fetchmany()".

            >>> from dbmanager import connect
            >>> connection = connect(":memory:")
            >>> cursor = connection.execute("VALUES (1), (2), (3)")
            >>> cursor.fetchmany(2), cursor.fetchmany(2)
            ([(1,), (2,)], [(3,)])
            >>> connection.close()
        """
    def fetchall(self) -> list[Any]:
        """Give all rows that are left.

        Source: PEP 249 ".fetchall()".
        """
    def close(self) -> None:
        """Let the statement go. The cursor can't be used any more.

        Raises:
            ProgrammingError: The connection is closed already, or belongs to another thread.
        """
    def setinputsizes(self, sizes: Unused, /) -> None:
        """Do nothing; PEP 249 asks for it."""
    def setoutputsize(self, size: Unused, column: Unused = None, /) -> None:
        """Do nothing; PEP 249 asks for it."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...

# At run time the class is registered as a Sequence; it has neither `index` nor `count`, as in the stdlib.
@disjoint_base
class Row(Sequence[Any]):
    """A row with access by position, by column name, and by slice. For `Connection.row_factory`.

    Names are compared without case (ASCII). Two rows are equal, and have one hash, if names and values
    are.

    Raises:
        IndexError: There is no such position or name.

    Source: CPython's ``sqlite3.Row``.

        >>> from dbmanager import sqlite3
        >>> connection = sqlite3.connect(":memory:")
        >>> connection.row_factory = sqlite3.Row
        >>> row = connection.execute("SELECT 1 AS id, 'Ada' AS name").fetchone()
        >>> row["id"], row["NAME"], row[-1], tuple(row), row.keys()
        (1, 'Ada', 'Ada', (1, 'Ada'), ['id', 'name'])
        >>> connection.close()
    """

    def __new__(cls, cursor: Cursor, data: tuple[Any, ...], /) -> Self: ...
    def keys(self) -> list[str]:
        """Give the column names, in order."""
    @overload
    def __getitem__(self, key: int | str, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __hash__(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    # Always NotImplemented: rows have no order.
    def __lt__(self, value: object, /) -> bool: ...
    def __le__(self, value: object, /) -> bool: ...
    def __gt__(self, value: object, /) -> bool: ...
    def __ge__(self, value: object, /) -> bool: ...

def dict_row(cursor: Cursor | sqlite3.Cursor, row: tuple[Any, ...], /) -> dict[str, Any]:
    """Make a dict of a row, keyed by column name. For `row_factory`; ours, not the stdlib's.

    Of several columns with one name the last one wins. The factory works on the stdlib's connections
    too, but only on ours does it cost no call for each row.

        >>> from dbmanager import connect, dict_row
        >>> connection = connect(":memory:")
        >>> connection.row_factory = dict_row
        >>> connection.execute("SELECT 1 AS id, 'Ada' AS name").fetchall()
        [{'id': 1, 'name': 'Ada'}]
        >>> connection.close()
    """

@final
class Blob:
    r"""One value, open for reading and writing in place: like a file, and like a bytearray of fixed length.

    Made by `Connection.blobopen`. As a context manager it closes at the end of the block. It expires when
    its row is changed by other means: then reading and writing raise `OperationalError`.

    Source: sqlite.org/c3ref/blob_open.html; CPython's ``sqlite3.Blob``.

        >>> from dbmanager import connect
        >>> connection = connect(":memory:")
        >>> _ = connection.execute("CREATE TABLE file (data BLOB)")
        >>> _ = connection.execute("INSERT INTO file VALUES (x'00010203')")
        >>> with connection.blobopen("file", "data", 1) as blob:
        ...     len(blob), blob[1], blob[1:3], blob.read(2), blob.tell()
        ...     blob[0:2] = b"ab"
        (4, 1, b'\x01\x02', b'\x00\x01', 2)
        >>> connection.close()
    """

    def __new__(cls) -> NoReturn:
        """Raise TypeError: only `Connection.blobopen` makes blobs."""
    def read(self, length: int = ..., /) -> bytes:
        """Read `length` bytes from the current position; all that are left for -1, the default."""
    def write(self, data: ReadableBuffer, /) -> None:
        """Write at the current position. The length of the value can't change.

        Raises:
            ValueError: The data goes beyond the end.
            OperationalError: The blob is read-only, or expired.
        """
    def seek(self, offset: int, origin: int = 0, /) -> None:
        """Move the position to `offset` bytes from the start (0), the position (1), or the end (2).

        Raises:
            ValueError: That is outside of the value, or `origin` is none of the three.
            OverflowError: The sum does not fit into a C int.
        """
    def tell(self) -> int:
        """Give the current position, in bytes from the start."""
    def close(self) -> None:
        """Close the blob. Closing twice is fine."""
    def __enter__(self) -> Self: ...
    def __exit__(self, type: object, val: object, tb: object, /) -> Literal[False]: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    @overload
    def __setitem__(self, key: SupportsIndex, value: int, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: ReadableBuffer, /) -> None: ...

# ---- the pool -----------------------------------------------------------------------

class MixedOpenWarning(RuntimeWarning):
    """A file is open with two copies of SQLite in one process, and their locks can't be kept apart.

    It comes only where the system or the file system has no locks of open files; on Linux nearly all have.
    See `set_mixed_opens`.
    """

class PoolTimeout(OperationalError):
    """No connection came free for a session, or no turn to write, within `pool_timeout` (seconds).

    The text tells how many are in use and how many wait, and, with `leak_detection_threshold`, where the
    sessions that are waited for were opened. It has no `sqlite_errorcode`: SQLite was not asked. A wait for a
    connection that would never end, because all are the thread's own or those who have them wait for it, is
    refused at once.

        >>> from dbmanager import DatabaseManager, PoolTimeout
        >>> db = DatabaseManager("sqlite:///one.db", pool_size=1, max_overflow=0, pool_timeout=0.05)
        >>> with db.session():
        ...     with db.session():
        ...         pass
        Traceback (most recent call last):
            ...
        dbmanager.PoolTimeout: this thread has all 1 session(s) that the pool '...one.db' can give ...
        >>> db.close()
    """

class NoResultFound(ProgrammingError):
    """`Result.one` or `Result.scalar_one` found no row."""

class MultipleResultsFound(ProgrammingError):
    """A `Result` that had to have one row at most had more."""

# `DatabaseManager.session` without the choice to join.
@type_check_only
class _SessionFactory(Protocol):
    def __call__(self, mode: Mode = "auto") -> Session: ...

@final
class DatabaseManager:
    """The pool of one database: one object for each process and database.

    Calling the class again with the same URL, or with another spelling of the same file, gives the same
    object, so there is nothing to hand around. Any thread may use it, also to ask first. Nothing is opened
    before the first session.

    The settings may also stand in the URL (``sqlite:///shop.db?pool_size=5&pragma.synchronous=FULL``); an
    argument counts more. Asking again without settings gives what there is; asking with settings, what is
    not told means the default. docs/settings.md tells of each one when to change it.

    Args:
        url: ``sqlite:///relative/path.db``, ``sqlite:////absolute/path.db``, or ``sqlite://`` for a database
            in memory. None means the environment variable ``DATABASE_URL``, else ``sqlite:///app.db``. A
            relative path, and the environment, are looked at when the URL is used first.
        pool_size: Connections that are kept open.
        max_overflow: Sessions beyond `pool_size` that may be open at a time; None or -1 for any number.
        pool_timeout: Seconds that a session waits for a connection, or for its turn to write.
        pool_recycle: Seconds after which a connection is replaced; None or -1 for never.
        pool_recycle_jitter: By which part of `pool_recycle` (0 to 1), at most, a life is shortened at random.
        pool_pre_ping: Look, before a connection is lent, whether its file is still the one at that path.
        pool_pre_ping_after_ms: Skip that look for this many milliseconds after the last one.
        pool_idle_timeout: Seconds after which a connection that nobody uses is closed; None for never.
        cached_statements: Compiled statements that each connection keeps.
        leak_detection_threshold: Seconds after which an open session is reported in the log; None for never.
        optimize_on_close: Run ``PRAGMA optimize`` before a connection that has written is closed.
        checkpoint_after: Seconds after the last session when what was committed is brought from the ``-wal`` file
            into the database file, or up to a second later; 0 for before that session ends; None for never.
        defensive: Trust neither the schema nor the SQL: views and triggers may use harmless functions only, and
            no statement may damage the file.
        pragmas: A dict of names and values for ``PRAGMA name = value`` on each new connection. They come on
            top of ``busy_timeout=5000, journal_mode=WAL, synchronous=NORMAL, foreign_keys=ON``.

    Raises:
        ValueError: The URL has another scheme or a host; a setting has a wrong value; or there is a manager
            of this database with other settings (the text names both).
        TypeError: There is no such setting, or its value is of a wrong type.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///shop.db")
        >>> db is DatabaseManager("sqlite:///./shop.db")
        True
        >>> with db.session() as session:
        ...     _ = session.execute("CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT)")
        ...     _ = session.execute("INSERT INTO user (name) VALUES (?)", ("Ada",))
        >>> with db.session() as session:
        ...     session.execute("SELECT name FROM user").all()
        [('Ada',)]
        >>> DatabaseManager("sqlite:///shop.db", pool_size=5)
        Traceback (most recent call last):
            ...
        ValueError: there is a DatabaseManager for 'sqlite:///shop.db' already, with other settings than are asked for with 'sqlite:///shop.db': pool_size: 10 and 5
        >>> db.close()
    """

    # `pragmas` must be a dict (or of a subclass) at run time; see `_Parameters`.
    def __new__(
        cls,
        url: str | None = None,
        *,
        pool_size: int = 10,
        max_overflow: int | None = 10,
        pool_timeout: float = 30.0,
        pool_recycle: float | None = None,
        pool_recycle_jitter: float = 0.1,
        pool_pre_ping: bool = True,
        pool_pre_ping_after_ms: float = 0.0,
        pool_idle_timeout: float | None = 600.0,
        cached_statements: int = 128,
        leak_detection_threshold: float | None = None,
        optimize_on_close: bool = True,
        checkpoint_after: float | None = 1.0,
        defensive: bool = False,
        pragmas: Mapping[str, str | float] = ...,
    ) -> Self: ...
    @staticmethod
    def configure(databases: Mapping[str, str | Mapping[str, Any]], /) -> None:
        """Name databases, for `named`. Opens nothing; may be called again to add names.

        Args:
            databases: A dict of names and URLs, or of names and dicts with ``url`` and settings.

        Raises:
            ValueError: A URL is missing or wrong, a setting has a wrong value, or a name would come to mean
                another database or other settings after it was asked for. No name is then set.
            TypeError: There is no such setting, or an entry is neither a str nor a dict.

            >>> from dbmanager import DatabaseManager
            >>> DatabaseManager.configure(
            ...     {
            ...         "app": "sqlite:///app.db",
            ...         "portfolio": {"url": "sqlite:///portfolio.db", "pool_size": 5},
            ...     }
            ... )
            >>> DatabaseManager.named("portfolio").settings["pool_size"]
            5
            >>> DatabaseManager.reset()
        """
    @staticmethod
    def named(name: str, /) -> DatabaseManager:
        r"""Give the manager of a database that `configure`, or a file, has named.

        A name that `configure` does not know is looked up in the nearest ``dbmanager.toml``
        (``[databases]``) or ``pyproject.toml`` (``[tool.dbmanager.databases]``), from the working directory
        upward to the top of its Git repository, or to the home folder if there is none. Relative paths in a
        file are relative to its folder.

        Raises:
            ValueError: There is no such name; the text lists those there are. Or the database has a manager
                with other settings.

            >>> from pathlib import Path
            >>> from dbmanager import DatabaseManager
            >>> _ = Path("dbmanager.toml").write_text('[databases]\njobs = "sqlite:///jobs.db"')
            >>> DatabaseManager.named("jobs").url.endswith("/jobs.db")
            True
            >>> DatabaseManager.reset()
        """
    @staticmethod
    def at(path: StrOrBytesPath, /) -> DatabaseManager:
        r"""Give the manager of a database file by its path, as `connect` takes it.

        There is one for each file, whatever the path's spelling, and the same as by its URL. Nothing in the
        path is read as an option. It is looked at anew at each call: a relative path means what it means in
        the working directory then. ``":memory:"`` and ``""`` give a manager of their own each time.

        Raises:
            TypeError: The path is no str, bytes or os.PathLike.
            ValueError: It contains a null character.

            >>> from pathlib import Path
            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager.at(Path("shop?.db"))
            >>> db is DatabaseManager.at("./shop?.db")
            True
            >>> with DatabaseManager.at(":memory:").session() as session:
            ...     session.scalar("SELECT count(*) FROM sqlite_schema")
            0
            >>> db.close()
        """
    @property
    def url(self) -> str:
        """The URL that the manager was made for, as it was written."""
    @property
    def settings(self) -> dict[str, Any]:
        """The settings as they are now, by name; a new dict each time.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager(
        ...     "sqlite:///settings.db?pool_size=5", pragmas={"cache_size": -64000}
        ... )
        >>> db.settings["pool_size"], db.settings["pragmas"]["cache_size"]
        (5, '-64000')
        >>> db.close()
        """
    @overload
    def session(self, mode: Mode = "auto", *, join: Literal[False] = False) -> _Session:
        """Give a session: enter it with ``with`` to lease a connection. Opens and waits for nothing yet.

        Args:
            mode: What the block does.

                * ``"auto"``: reads in autocommit; the first write begins a transaction with BEGIN IMMEDIATE.
                * ``"read"``: one snapshot, from the first statement on; a write raises `OperationalError`.
                * ``"write"``: begins the transaction at entry. Needed where what is written depends on what
                  was read.
            join: If this thread has a session of this database open, give that one, with a savepoint for
                the block, instead of leasing another connection. `mode` then counts only if there is none.

        Raises:
            ValueError: `mode` is none of the three.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///account.db")
            >>> with db.session() as session:
            ...     _ = session.execute("CREATE TABLE account (cents INTEGER)")
            ...     _ = session.execute("INSERT INTO account VALUES (500)")
            >>> with db.session("write") as session:
            ...     cents = session.scalar("SELECT cents FROM account")
            ...     _ = session.execute("UPDATE account SET cents = ?", (cents - 100,))
            >>> with db.session() as outer:
            ...     with db.session(join=True) as inner:
            ...         inner is outer
            True
            >>> db.close()
        """
    @overload
    def session(
        self, mode: Mode = "auto", *, join: Literal[True]
    ) -> AbstractContextManager[_Session, None]: ...
    @overload
    def session(
        self, mode: Mode = "auto", *, join: bool
    ) -> _Session | AbstractContextManager[_Session, None]: ...
    @property
    def Session(self) -> _SessionFactory:
        """`session`, for frameworks that are handed a class or a factory and call it.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///factory.db")
        >>> factory = db.Session
        >>> with factory() as session:
        ...     session.scalar("SELECT 1")
        1
        >>> db.close()
        """
    def current_session(self) -> _Session | None:
        """Give this thread's session of this database, the innermost that is open; None if there is none.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///current.db")
        >>> with db.session() as session:
        ...     db.current_session() is session
        True
        >>> db.current_session() is None
        True
        >>> db.close()
        """
    @property
    def _path(self) -> Path | None: ...
    def _block(self) -> _Block: ...
    def run(
        self,
        function: Callable[[_Session], _T],
        /,
        *,
        retries: int = 3,
        mode: Mode = "write",
        join: bool = False,
    ) -> _T:
        """Call a function with a session, and again with a new one if the database was busy.

        Each attempt is a transaction of its own, rolled back before the next one; so `function` must have no
        effects beside those in the database. Before a repetition the thread sleeps, at most 5 ms before the
        first and twice as long before each further one, up to a second.

        Args:
            function: Gets the session; its result is given back after the commit.
            retries: How often to repeat it, after the first attempt.
            mode: As for `session`.
            join: Within a session of this thread, run it there, as a savepoint, and once.

        Raises:
            TypeError: `function` can't be called, or gave a coroutine or a generator, which would run after the
                session.
            OperationalError: The database was busy each time (``SQLITE_BUSY`` and its kin). All other
                exceptions, `PoolTimeout` among them, go on at once.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///run.db")
            >>> db.run(lambda session: session.scalar("SELECT 7"))
            7
            >>> db.close()
        """
    def get_stats(self) -> dict[str, int]:
        """Give the pool's figures at this moment. docs/manager.md tells what each name means.

        Those that end in ``_total`` only grow, those in ``_ms`` are sums of milliseconds. They are of the
        pool of the file: `connect` counts too, and all begin at 0 for a file that took another one's place.

        Raises:
            ProgrammingError: The manager is closed.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///stats.db")
            >>> with db.session() as session:
            ...     db.get_stats()["pool_in_use"]
            1
            >>> db.get_stats()["pool_in_use"], db.get_stats()["acquired_total"]
            (0, 1)
            >>> db.close()
        """
    def resize(self, *, pool_size: int | None = None, max_overflow: int | None = None) -> None:
        """Keep another number of connections, or let another number of sessions in; None leaves it as it is.

        Sessions that wait and now have room get in at once; open ones stay as they are. Here -1 is the way
        to write "any number" for `max_overflow`.

        Raises:
            ValueError: A value is wrong, or both are 0.
            ProgrammingError: The manager is closed.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///resize.db")
            >>> db.resize(pool_size=3)
            >>> db.settings["pool_size"], db.settings["max_overflow"]
            (3, 10)
            >>> db.close()
        """
    def close_idle(self) -> int:
        """Close the connections that nobody uses, and give their number. Sessions open new ones as needed."""
    def drain(self) -> None:
        """Close all connections: the idle ones now, those in use when they come back.

        The manager stays open. For what must be set anew on each connection, and before a file is replaced.
        """
    def close(self) -> None:
        """Close the idle connections, and refuse further sessions; leased ones close when they come back.

        The next call of the class with that URL makes a new manager. Closing twice is fine.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///closed.db")
            >>> db.close()
            >>> db is DatabaseManager("sqlite:///closed.db")
            False
        """
    @staticmethod
    def reset() -> None:
        """Close and forget all managers of the process, and the names of databases. For tests."""

@final
class Session(Connection):
    """A leased connection for one ``with`` block. Made by `DatabaseManager.session`.

    Entering it leases a connection. The end of the block commits, or rolls back if the block raised
    anything, and gives the connection back clean: the next lease sees nothing of this one. Inside the
    block it is a `Connection` for the thread that entered it; before and behind the block every call
    raises `ProgrammingError`.

    Its cursors are `Result` objects. ``CREATE`` and other DDL begin the transaction as INSERT does, and
    `executescript` does not commit. `commit` and `rollback` end the transaction, the block goes on, and the
    next write begins another one; `close` ends the session without a commit. Leave `isolation_level` and
    `autocommit` as they are.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///session.db")
        >>> with db.session() as session:
        ...     _ = session.execute("CREATE TABLE t (x)")
        >>> with db.session() as session:
        ...     _ = session.execute("INSERT INTO t VALUES (1)")
        ...     raise RuntimeError("changed my mind")
        Traceback (most recent call last):
            ...
        RuntimeError: changed my mind
        >>> with db.session() as session:
        ...     session.scalar("SELECT count(*) FROM t")
        0
        >>> db.close()
    """

    def __new__(cls, *args: object, **kwargs: object) -> NoReturn:
        """Raise TypeError: only `DatabaseManager.session` makes sessions."""
    @property
    def mode(self) -> Mode:
        """What the session was asked for: ``"auto"``, ``"read"`` or ``"write"``."""
    def __enter__(self) -> Self:
        """Lease a connection, and with mode ``"write"`` begin the transaction.

        An open session can be entered again, as a connection can: see ``__exit__``.

        Waits up to `pool_timeout` for a connection, first come, first served, and as long again for the turn
        to write. Ctrl-C ends the wait.

        Raises:
            PoolTimeout: No connection came free, or it did not become this one's turn to write.
            OperationalError: The file can't be opened; or another session of this thread is writing.
            ProgrammingError: The session has ended, or its manager is closed.
        """
    def __exit__(
        self,
        type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Literal[False]:
        """Commit, or roll back if the block raised or the COMMIT failed, and give the connection back.

        After ``close()`` inside the block there is nothing left to do. The end of an inner ``with session:``
        commits or rolls back as `Connection.__exit__`, and the session stays open.

        Raises:
            OperationalError: The COMMIT failed; everything is rolled back.
            IntegrityError: A deferred constraint is broken; everything is rolled back.
        """
    @overload
    def cursor(self) -> Result:
        """Make a cursor: a `Result`, or what `factory` makes. See `Connection.cursor`."""
    @overload
    def cursor(self, factory: Callable[[Connection], _CursorT]) -> _CursorT: ...
    def execute(self, sql: str, parameters: _Parameters = ..., /) -> Result:
        """Run one statement and give its `Result`. See `Cursor.execute`.

        The first statement that writes begins the transaction with BEGIN IMMEDIATE: it waits for its turn
        among the sessions of this process, then for other processes. Before that, cursors that are in the
        midst of their rows are read to their end: up to 10,000 rows or 8 MB of each into memory, the
        rest into a temporary file.

        Raises:
            PoolTimeout: It was not this session's turn to write within `pool_timeout`.
            OperationalError: As `Cursor.execute`; or the session was opened to read; or the rows of an
                open cursor could not be read to their end or set aside.
        """
    def executemany(self, sql: str, parameters: Iterable[_Parameters], /) -> Result:
        """Run one statement with each set of parameters. See `Cursor.executemany`."""
    def executescript(self, sql_script: str, /) -> Result:
        """Run several statements, within the session's transaction: nothing is committed before.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///script.db")
        >>> with db.session() as session:
        ...     _ = session.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        ...     session.rollback()
        ...     session.scalar("SELECT count(*) FROM sqlite_schema")
        0
        >>> db.close()
        """
    def scalar(self, sql: str, parameters: _Parameters = (), /) -> Any:
        """Run a statement, and give the first column of its first row; None if there is no row.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///scalar.db")
        >>> with db.session() as session:
        ...     session.scalar("SELECT :a + 1", {"a": 2}), session.scalar("SELECT 1 WHERE 0")
        (3, None)
        >>> db.close()
        """
    def begin(self) -> None:
        """Begin the transaction now, with BEGIN IMMEDIATE and in turn; if one is open, do nothing.

        Raises:
            OperationalError: The session was opened to read; or as the first write, see `execute`.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///begin.db")
            >>> with db.session() as session:
            ...     session.begin()
            ...     session.in_transaction
            True
            >>> db.close()
        """
    def _control(self, sql: str, /) -> None: ...
    def begin_nested(self) -> Savepoint:
        """Begin a savepoint, for a ``with`` block: its end keeps what was done, an exception undoes it.

        The exception goes on, the session too. It begins the session's transaction, except with mode
        ``"read"``. ``rollback()`` of what it gives undoes what was done so far, and the savepoint stays;
        ``commit()`` ends it without a block.

        Source: sqlite.org/lang_savepoint.html.

            >>> from dbmanager import DatabaseManager
            >>> db = DatabaseManager("sqlite:///nested.db")
            >>> with db.session() as session:
            ...     _ = session.execute("CREATE TABLE t (x)")
            ...     try:
            ...         with session.begin_nested():
            ...             _ = session.execute("INSERT INTO t VALUES (1)")
            ...             raise KeyError("a")
            ...     except KeyError:
            ...         pass
            ...     session.scalar("SELECT count(*) FROM t")
            0
            >>> db.close()
        """

@final
class Result(Cursor):
    """The cursor of a session, with SQLAlchemy's ways to read it. Made by `Session.execute` and its like.

    Rows are tuples, or what the `row_factory` makes. The methods of `Cursor` work too, and both kinds go on
    where the other stopped. A result ends with its session: read within the block.

        >>> from dbmanager import DatabaseManager
        >>> db = DatabaseManager("sqlite:///result.db")
        >>> sql = "SELECT column1 AS id, column2 AS name FROM (VALUES (1, 'Ada'), (2, 'Grace'))"
        >>> with db.session() as session:
        ...     session.execute(sql).all()
        ...     session.execute(sql).first()
        ...     session.execute(sql).scalars().all()
        ...     session.execute(sql).mappings().first()
        ...     session.execute(sql + " WHERE id = ?", (2,)).one()
        [(1, 'Ada'), (2, 'Grace')]
        (1, 'Ada')
        [1, 2]
        {'id': 1, 'name': 'Ada'}
        (2, 'Grace')
        >>> db.close()
    """

    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def all(self) -> list[Any]:
        """Give all rows that are left; the same as `fetchall`."""
    def first(self) -> Any:
        """Give the first row, None if there is none, and let the others go."""
    def one(self) -> Any:
        """Give the only row.

        Raises:
            NoResultFound: There is none.
            MultipleResultsFound: There are more.
        """
    def one_or_none(self) -> Any:
        """Give the only row, None if there is none.

        Raises:
            MultipleResultsFound: There are more than one.
        """
    def scalar(self) -> Any:
        """Give the first column of the first row, None if there is no row, and let the others go."""
    def scalar_one(self) -> Any:
        """Give the first column of the only row.

        Raises:
            NoResultFound: There is no row.
            MultipleResultsFound: There are more than one.
        """
    def scalar_one_or_none(self) -> Any:
        """Give the first column of the only row, None if there is no row.

        Raises:
            MultipleResultsFound: There are more than one.
        """
    def scalars(self) -> Scalars:
        """Give a view of the first column of each row, to iterate or to read in the same ways.

        It has ``all``, ``fetchmany``, ``first``, ``one`` and ``one_or_none``.
        """
    def mappings(self) -> Mappings:
        """Give a view of each row as a dict, to iterate or to read in the same ways as `scalars`.

        Of several columns with one name the last one wins.
        """
    def keys(self) -> list[str]:
        """Give the names of the columns; an empty list if the statement gives no rows."""

def set_max_idle_connections(count: int, /) -> None:
    """Keep at most so many idle connections in the process, over all databases.

    At first 256, or as many as take a quarter of the files that the process may open. Each has up to
    five open files. Those that are too many are closed at once, of databases first that were
    not used lately; later ones when they come back.

    Raises:
        ValueError: `count` is negative, or more than 32 bits can tell.

    Example:
        >>> from dbmanager import set_max_idle_connections
        >>> set_max_idle_connections(256)
    """

def set_lingering_locks(enabled: bool, /) -> None:
    """Let connections keep the lock of their last read for up to 10 milliseconds, or not.

    It is on at first: a connection to a database in WAL mode that reads again and again then asks the
    system for nothing at most of its reads. Reads see what was committed before they began, as without.
    Another process that wants to restart or truncate the WAL (``PRAGMA wal_checkpoint(TRUNCATE)``)
    waits that much longer for it, or is told busy if it does not wait. Counts for the whole process,
    at once.

    Example:
        >>> from dbmanager import set_lingering_locks
        >>> set_lingering_locks(True)
    """

def set_mixed_opens(policy: Literal["warn", "refuse", "ignore"], /) -> str:
    """Say what is done when a file is opened both with the stdlib's ``sqlite3`` and with dbmanager in this process.

    On Linux that is safe, and this has no effect: dbmanager takes locks that the other copy of SQLite can
    neither overlook nor drop. On other systems, and on file systems without such locks, commits can be lost.
    Opens of the stdlib's are heard of by its audit event, from the first such file that dbmanager opens.

    Args:
        policy: ``"warn"`` (at first) gives a `MixedOpenWarning` at the line of whoever comes second;
            ``"refuse"`` raises `OperationalError` there; ``"ignore"`` does nothing.

    Returns:
        What was set before.

    Raises:
        ValueError: There is no such policy.

    Example:
        >>> from dbmanager import set_mixed_opens
        >>> set_mixed_opens("refuse")
        'warn'
        >>> set_mixed_opens("warn")
        'refuse'
    """

def _listen_to_connects(listener: Callable[[object], None] | None, /) -> None:
    """Have a function called with each database that another SQLite is about to open, or none any more."""

def _scan(paths: Sequence[str], services: Mapping[str, Sequence[str]], /) -> str:
    """Scan Python files for calls that open a database directly; give the result as JSON."""

def _migrate(
    paths: Sequence[str],
    services: Mapping[str, Sequence[str]],
    /,
    *,
    rules: AbstractSet[str],
    only: AbstractSet[str],
    with_unsafe: bool,
    databases: Sequence[tuple[str, str]],
) -> tuple[str, list[tuple[Path, str, bytes, bytes]]]:
    """Rewrite the calls of Python files; give what was done as JSON, and of each file its service, old and new content."""

def _rules() -> str:
    """Give the rules in their own words, as JSON."""

def _services_of_files(
    paths: Sequence[str], services: Mapping[str, Sequence[str]], /
) -> dict[str, str]:
    """Give the service of each Python file that a scan of these paths looks at."""

@final
class _Block:
    """The block of a bypassed module's session, which is on a connection of the stdlib's."""

    def __new__(cls, *args: object, **kwargs: object) -> NoReturn: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def has_turn(self) -> bool: ...
    def open(self, session: sqlite3.Connection, /, *args: Any, **kwargs: Any) -> None:
        """Open the connection of the stdlib's that the session is."""

    def check(self) -> None:
        """Refuse what comes from another thread, or outside of the block."""

    def check_open(self) -> None:
        """Refuse what comes outside of the block."""

    def take_turn(self) -> None:
        """Wait for the turn to write, unless the session has it."""

    def settle_turn(self, session: sqlite3.Connection) -> None:
        """Let the next one write, if the transaction has ended."""

    def begin_immediate(self, session: sqlite3.Connection) -> None:
        """BEGIN IMMEDIATE, in turn."""

    def end(self, session: sqlite3.Connection) -> None:
        """Roll back what is open, and close the connection."""

# Methods of a session with a `_block`.
_enter: Any
_exit: Any
_delete: Any

@final
class _Text:
    """What the text of a statement tells."""

    def __new__(cls, sql: str, /) -> Self: ...
    @property
    def reads(self) -> bool: ...
    @property
    def attaches(self) -> bool: ...
    @property
    def can_be_undone(self) -> bool: ...
    @property
    def wants_file_alone(self) -> bool: ...
    def writes(self, is_readonly: bool, /) -> bool:
        """Tell whether it writes, if SQLite says of it that it reads only, or does not."""

def _statements(script: str, /) -> list[str]:
    """Give the statements of a script."""

def _parts_of_attach(sql: str, /) -> tuple[str, str, str] | None:
    """Cut an ATTACH around the expression that gives the name of its file; None if it can't be."""

@final
class _StandIn:
    """Stands in the place of the stdlib's `connect` while direct calls are routed."""

    def __new__(cls, decide: Callable[[tuple[Any, ...], dict[str, Any]], bool | None]) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """Connect as `decide` says of the arguments: by us, by the stdlib, or by the stdlib unnoted (None)."""

    @property
    def __wrapped__(self) -> Callable[..., sqlite3.Connection]: ...
    @property
    def __name__(self) -> str: ...
    @property
    def __qualname__(self) -> str: ...

def _set_bypass(is_bypassed: Callable[[dict[str, Any]], bool] | None, /) -> None:
    """Have a function tell which modules' `connect` is the stdlib's, by their globals; None: no module's."""

def _leases() -> list[tuple[Path, int]]:
    """Tell how many connections of ours are open, by the path of their file."""

def _name_of(path: str, /) -> str | None:
    """Give the name of the database at a path, if `DatabaseManager.configure` gave it one."""

def close_all_pools() -> None:
    """Close all idle connections of the process. Runs by itself at its end (`atexit`).

    Blocks while they are closed. Pools go on: who wants a connection gets a new one.
    """

# ---- adapters and converters ----------------------------------------------------------

# Both are the stdlib's own dictionaries: what is registered there counts here, and the reverse.
adapters: dict[tuple[type[Any], type[Any]], Callable[[Any], _SqliteData]]
converters: dict[str, Callable[[bytes], Any]]

def register_adapter(type: type[_T], adapter: Callable[[_T], _SqliteData], /) -> None:
    """Tell how objects of a type are stored: `adapter` gets one and gives an int, float, str, bytes or None.

    It counts for exactly that type, not for its subclasses, in the whole process, and for the stdlib's
    ``sqlite3`` too.

    Source: CPython's ``sqlite3.register_adapter``.

        >>> from fractions import Fraction
        >>> from dbmanager import sqlite3
        >>> sqlite3.register_adapter(Fraction, str)
        >>> connection = sqlite3.connect(":memory:")
        >>> connection.execute("SELECT ?", (Fraction(1, 3),)).fetchone()
        ('1/3',)
        >>> connection.close()
    """

def register_converter(typename: str, converter: Callable[[bytes], Any], /) -> None:
    """Tell how values of a column type are read: `converter` gets the value's bytes.

    Used on connections with `detect_types`. `typename` is compared without case with the first word of a
    column's declared type, or with what stands in brackets behind a column's name. NULL is not converted.

    Source: CPython's ``sqlite3.register_converter``.

        >>> from fractions import Fraction
        >>> from dbmanager import sqlite3
        >>> sqlite3.register_converter("fraction", lambda data: Fraction(data.decode()))
        >>> connection = sqlite3.connect(":memory:", detect_types=sqlite3.PARSE_COLNAMES)
        >>> connection.execute("SELECT '1/3' AS 'part [fraction]'").fetchone()
        (Fraction(1, 3),)
        >>> connection.close()
    """

@overload
def adapt(obj: Any, proto: Any = ..., /) -> Any:
    """Give what an object is stored as: by its adapter, ``proto.__adapt__``, or ``obj.__conform__``.

    `proto` is `PrepareProtocol` if not told. `alt` is given back when nothing fits.

    Raises:
        ProgrammingError: Nothing fits, and there is no `alt`.

    Source: PEP 246 as CPython has it.

        >>> from dbmanager import sqlite3
        >>> class Point:
        ...     def __conform__(self, protocol):
        ...         return "1;2"
        >>> sqlite3.adapt(Point())
        '1;2'
        >>> sqlite3.adapt(object(), sqlite3.PrepareProtocol, "else")
        'else'
    """

@overload
def adapt(obj: Any, proto: Any, alt: _T, /) -> Any | _T: ...

# ---- the library ------------------------------------------------------------------------

def complete_statement(statement: str) -> bool:
    """Tell whether a text ends with a complete statement: a semicolon outside of strings and comments.

    Nothing else is looked at; the SQL may be wrong.

    Source: sqlite.org/c3ref/complete.html.

        >>> from dbmanager import sqlite3
        >>> sqlite3.complete_statement("SELECT 1"), sqlite3.complete_statement("SELECT 1;")
        (False, True)
    """

def enable_callback_tracebacks(enable: bool, /) -> None:
    """Report exceptions raised in functions, aggregates, authorizers, progress and trace callbacks.

    SQLite can't pass them on: the statement fails with a general message, or the answer counts as "no".
    Switched on, each goes to `sys.unraisablehook`. For the whole process; off at first.

    Source: CPython's ``sqlite3.enable_callback_tracebacks``.
    """

if sys.version_info < (3, 12):
    def enable_shared_cache(do_enable: int) -> None:
        """Switch shared-cache mode for connections opened from now on; Python 3.12 removed this."""

def compile_options() -> list[str]:
    """Give the bundled SQLite's compile-time options, without ``SQLITE_``. Ours, not the stdlib's.

    Source: sqlite.org/compile.html; the same as ``PRAGMA compile_options``.

        >>> from dbmanager._core import compile_options
        >>> "ENABLE_FTS5" in compile_options()
        True
    """

# ---- constants --------------------------------------------------------------------

# For `detect_types`: convert by declared column type; by `[type]` behind a column's name.
PARSE_DECLTYPES: Final = 1
PARSE_COLNAMES: Final = 2

# PEP 249: threads may share the module and its connections.
threadsafety: Final[Literal[0, 1, 3]]
# The bundled library's version, "3.x.y".
sqlite_version: Final[str]

# What an authorizer answers (beside SQLITE_OK), then the actions that it is asked about:
# sqlite.org/c3ref/c_alter_table.html.
SQLITE_DENY: Final = 1
SQLITE_IGNORE: Final = 2
SQLITE_CREATE_INDEX: Final = 1
SQLITE_CREATE_TABLE: Final = 2
SQLITE_CREATE_TEMP_INDEX: Final = 3
SQLITE_CREATE_TEMP_TABLE: Final = 4
SQLITE_CREATE_TEMP_TRIGGER: Final = 5
SQLITE_CREATE_TEMP_VIEW: Final = 6
SQLITE_CREATE_TRIGGER: Final = 7
SQLITE_CREATE_VIEW: Final = 8
SQLITE_DELETE: Final = 9
SQLITE_DROP_INDEX: Final = 10
SQLITE_DROP_TABLE: Final = 11
SQLITE_DROP_TEMP_INDEX: Final = 12
SQLITE_DROP_TEMP_TABLE: Final = 13
SQLITE_DROP_TEMP_TRIGGER: Final = 14
SQLITE_DROP_TEMP_VIEW: Final = 15
SQLITE_DROP_TRIGGER: Final = 16
SQLITE_DROP_VIEW: Final = 17
SQLITE_INSERT: Final = 18
SQLITE_PRAGMA: Final = 19
SQLITE_READ: Final = 20
SQLITE_SELECT: Final = 21
SQLITE_TRANSACTION: Final = 22
SQLITE_UPDATE: Final = 23
SQLITE_ATTACH: Final = 24
SQLITE_DETACH: Final = 25
SQLITE_ALTER_TABLE: Final = 26
SQLITE_REINDEX: Final = 27
SQLITE_ANALYZE: Final = 28
SQLITE_CREATE_VTABLE: Final = 29
SQLITE_DROP_VTABLE: Final = 30
SQLITE_FUNCTION: Final = 31
SQLITE_SAVEPOINT: Final = 32
SQLITE_RECURSIVE: Final = 33

# Categories of `getlimit` and `setlimit`: sqlite.org/c3ref/c_limit_attached.html.
SQLITE_LIMIT_LENGTH: Final = 0
SQLITE_LIMIT_SQL_LENGTH: Final = 1
SQLITE_LIMIT_COLUMN: Final = 2
SQLITE_LIMIT_EXPR_DEPTH: Final = 3
SQLITE_LIMIT_COMPOUND_SELECT: Final = 4
SQLITE_LIMIT_VDBE_OP: Final = 5
SQLITE_LIMIT_FUNCTION_ARG: Final = 6
SQLITE_LIMIT_ATTACHED: Final = 7
SQLITE_LIMIT_LIKE_PATTERN_LENGTH: Final = 8
SQLITE_LIMIT_VARIABLE_NUMBER: Final = 9
SQLITE_LIMIT_TRIGGER_DEPTH: Final = 10
SQLITE_LIMIT_WORKER_THREADS: Final = 11

if sys.version_info >= (3, 12):
    # `autocommit`: transactions by `isolation_level`.
    LEGACY_TRANSACTION_CONTROL: Final = -1

    # Options of `getconfig` and `setconfig`: sqlite.org/c3ref/c_dbconfig_defensive.html.
    SQLITE_DBCONFIG_ENABLE_FKEY: Final = 1002
    SQLITE_DBCONFIG_ENABLE_TRIGGER: Final = 1003
    SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER: Final = 1004
    SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: Final = 1005
    SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE: Final = 1006
    SQLITE_DBCONFIG_ENABLE_QPSG: Final = 1007
    SQLITE_DBCONFIG_TRIGGER_EQP: Final = 1008
    SQLITE_DBCONFIG_RESET_DATABASE: Final = 1009
    SQLITE_DBCONFIG_DEFENSIVE: Final = 1010
    SQLITE_DBCONFIG_WRITABLE_SCHEMA: Final = 1011
    SQLITE_DBCONFIG_LEGACY_ALTER_TABLE: Final = 1012
    SQLITE_DBCONFIG_DQS_DML: Final = 1013
    SQLITE_DBCONFIG_DQS_DDL: Final = 1014
    SQLITE_DBCONFIG_ENABLE_VIEW: Final = 1015
    SQLITE_DBCONFIG_LEGACY_FILE_FORMAT: Final = 1016
    SQLITE_DBCONFIG_TRUSTED_SCHEMA: Final = 1017

# Primary result codes: `sqlite_errorcode` has them, `sqlite_errorname` their names.
# sqlite.org/rescode.html
SQLITE_ABORT: Final = 4
SQLITE_AUTH: Final = 23
SQLITE_BUSY: Final = 5
SQLITE_CANTOPEN: Final = 14
SQLITE_CONSTRAINT: Final = 19
SQLITE_CORRUPT: Final = 11
SQLITE_DONE: Final = 101
SQLITE_EMPTY: Final = 16
SQLITE_ERROR: Final = 1
SQLITE_FORMAT: Final = 24
SQLITE_FULL: Final = 13
SQLITE_INTERNAL: Final = 2
SQLITE_INTERRUPT: Final = 9
SQLITE_IOERR: Final = 10
SQLITE_LOCKED: Final = 6
SQLITE_MISMATCH: Final = 20
SQLITE_MISUSE: Final = 21
SQLITE_NOLFS: Final = 22
SQLITE_NOMEM: Final = 7
SQLITE_NOTADB: Final = 26
SQLITE_NOTFOUND: Final = 12
SQLITE_OK: Final = 0
SQLITE_PERM: Final = 3
SQLITE_PROTOCOL: Final = 15
SQLITE_RANGE: Final = 25
SQLITE_READONLY: Final = 8
SQLITE_ROW: Final = 100
SQLITE_SCHEMA: Final = 17
SQLITE_TOOBIG: Final = 18
SQLITE_NOTICE: Final = 27
SQLITE_WARNING: Final = 28

# Extended result codes: the low byte is the primary one.
SQLITE_ABORT_ROLLBACK: Final = 516
SQLITE_AUTH_USER: Final = 279
SQLITE_BUSY_RECOVERY: Final = 261
SQLITE_BUSY_SNAPSHOT: Final = 517
SQLITE_BUSY_TIMEOUT: Final = 773
SQLITE_CANTOPEN_CONVPATH: Final = 1038
SQLITE_CANTOPEN_DIRTYWAL: Final = 1294
SQLITE_CANTOPEN_FULLPATH: Final = 782
SQLITE_CANTOPEN_ISDIR: Final = 526
SQLITE_CANTOPEN_NOTEMPDIR: Final = 270
SQLITE_CANTOPEN_SYMLINK: Final = 1550
SQLITE_CONSTRAINT_CHECK: Final = 275
SQLITE_CONSTRAINT_COMMITHOOK: Final = 531
SQLITE_CONSTRAINT_FOREIGNKEY: Final = 787
SQLITE_CONSTRAINT_FUNCTION: Final = 1043
SQLITE_CONSTRAINT_NOTNULL: Final = 1299
SQLITE_CONSTRAINT_PINNED: Final = 2835
SQLITE_CONSTRAINT_PRIMARYKEY: Final = 1555
SQLITE_CONSTRAINT_ROWID: Final = 2579
SQLITE_CONSTRAINT_TRIGGER: Final = 1811
SQLITE_CONSTRAINT_UNIQUE: Final = 2067
SQLITE_CONSTRAINT_VTAB: Final = 2323
SQLITE_CORRUPT_INDEX: Final = 779
SQLITE_CORRUPT_SEQUENCE: Final = 523
SQLITE_CORRUPT_VTAB: Final = 267
SQLITE_ERROR_MISSING_COLLSEQ: Final = 257
SQLITE_ERROR_RETRY: Final = 513
SQLITE_ERROR_SNAPSHOT: Final = 769
SQLITE_IOERR_ACCESS: Final = 3338
SQLITE_IOERR_AUTH: Final = 7178
SQLITE_IOERR_BEGIN_ATOMIC: Final = 7434
SQLITE_IOERR_BLOCKED: Final = 2826
SQLITE_IOERR_CHECKRESERVEDLOCK: Final = 3594
SQLITE_IOERR_CLOSE: Final = 4106
SQLITE_IOERR_COMMIT_ATOMIC: Final = 7690
SQLITE_IOERR_CONVPATH: Final = 6666
SQLITE_IOERR_CORRUPTFS: Final = 8458
SQLITE_IOERR_DATA: Final = 8202
SQLITE_IOERR_DELETE: Final = 2570
SQLITE_IOERR_DELETE_NOENT: Final = 5898
SQLITE_IOERR_DIR_CLOSE: Final = 4362
SQLITE_IOERR_DIR_FSYNC: Final = 1290
SQLITE_IOERR_FSTAT: Final = 1802
SQLITE_IOERR_FSYNC: Final = 1034
SQLITE_IOERR_GETTEMPPATH: Final = 6410
SQLITE_IOERR_LOCK: Final = 3850
SQLITE_IOERR_MMAP: Final = 6154
SQLITE_IOERR_NOMEM: Final = 3082
SQLITE_IOERR_RDLOCK: Final = 2314
SQLITE_IOERR_READ: Final = 266
SQLITE_IOERR_ROLLBACK_ATOMIC: Final = 7946
SQLITE_IOERR_SEEK: Final = 5642
SQLITE_IOERR_SHMLOCK: Final = 5130
SQLITE_IOERR_SHMMAP: Final = 5386
SQLITE_IOERR_SHMOPEN: Final = 4618
SQLITE_IOERR_SHMSIZE: Final = 4874
SQLITE_IOERR_SHORT_READ: Final = 522
SQLITE_IOERR_TRUNCATE: Final = 1546
SQLITE_IOERR_UNLOCK: Final = 2058
SQLITE_IOERR_VNODE: Final = 6922
SQLITE_IOERR_WRITE: Final = 778
SQLITE_LOCKED_SHAREDCACHE: Final = 262
SQLITE_LOCKED_VTAB: Final = 518
SQLITE_NOTICE_RECOVER_ROLLBACK: Final = 539
SQLITE_NOTICE_RECOVER_WAL: Final = 283
SQLITE_OK_LOAD_PERMANENTLY: Final = 256
SQLITE_OK_SYMLINK: Final = 512
SQLITE_READONLY_CANTINIT: Final = 1288
SQLITE_READONLY_CANTLOCK: Final = 520
SQLITE_READONLY_DBMOVED: Final = 1032
SQLITE_READONLY_DIRECTORY: Final = 1544
SQLITE_READONLY_RECOVERY: Final = 264
SQLITE_READONLY_ROLLBACK: Final = 776
SQLITE_WARNING_AUTOINDEX: Final = 284
