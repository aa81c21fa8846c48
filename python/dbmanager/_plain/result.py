"""The cursor of a bypassed module's session: the stdlib's, read as `dbmanager.Result` is.

The session judges its statements. The stdlib's methods are called by their class, past those here.
"""

import operator
from _sqlite3 import Cursor
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dbmanager import _core
from dbmanager._core import MultipleResultsFound, NoResultFound
from dbmanager._session import Mappings, Scalars, _first

if TYPE_CHECKING:
    from dbmanager._plain.session import Session

# There is no further row. (None may be one.)
_NO_ROW: Any = object()
# `fetchmany` was given no number.
_ARRAYSIZE: Any = object()


class Result(Cursor):
    """See the head of this file. Made by a session's `cursor`, `execute` and the like."""

    __module__ = "dbmanager"
    # What asks `isinstance(…, dbmanager.Result)` may have either.
    __class__: ClassVar[Any] = property(lambda _self: _core.Result)

    if TYPE_CHECKING:
        connection: Session

    # Raw rows that were read ahead, and why there are no more of them.
    _ahead: "deque[Any] | None" = None
    _failure: Exception | None = None
    # Description and row count of a statement that was let go of.
    _told: "tuple[Any, int] | None" = None

    # ---- statements -------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Any = (), /) -> Self:  # noqa: ANN401 - as the stdlib
        """Run one statement."""
        return self._run(sql, lambda text: Cursor.execute(self, text, parameters))

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
        """Run one statement with each of many sets of parameters."""
        return self._run(sql, lambda text: Cursor.executemany(self, text, parameters))

    def executescript(self, sql_script: str, /) -> Self:
        """Run the statements of a script, within the session's transaction."""
        self.connection._run_script(sql_script)
        return self

    def _run(self, sql: str, body: Callable[[str], object]) -> Self:
        session = self.connection
        text = session._before(sql)
        # Not before: a transaction that begins there reads what is open, these last rows too.
        self._ahead = self._failure = self._told = None
        try:
            body(text)
        finally:
            session._block.settle_turn(session)
        return self

    def close(self) -> None:
        """Let go of the rows, and of the session."""
        self.connection._block.check()
        Cursor.close(self)
        self._ahead = None

    @property
    def description(self) -> Any:  # noqa: ANN401
        """What the columns are called."""
        return Cursor.description.__get__(self) if self._told is None else self._told[0]

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return Cursor.rowcount.__get__(self) if self._told is None else self._told[1]

    # ---- rows -------------------------------------------------------------------------------

    def _read_ahead(self) -> None:
        """Read to the end what is being read, which nothing then keeps open.

        What fails there is raised now, and once more behind the rows before it.
        """
        if self._ahead is not None or self.description is None:
            return
        rows: deque[Any] = deque()
        factory, self.row_factory = self.row_factory, None
        try:
            while True:
                rows.append(Cursor.__next__(self))
        except StopIteration:
            pass
        except Exception as error:
            self._failure = error
            raise
        finally:
            self.row_factory = factory
            self._ahead = rows

    def _let_go(self) -> None:
        """End the statement, whose other rows nobody wants."""
        if self._ahead is not None:
            self._ahead = deque()
        elif self.description is not None:
            told = self.description, self.rowcount
            # Of an empty text there is nothing to run; what ran before is reset.
            Cursor.execute(self, "")
            self._told = told

    def __next__(self) -> Any:  # noqa: ANN401 - whatever the row factory made
        self.connection._block.check()
        if self._ahead is None:
            return Cursor.__next__(self)
        if not self._ahead:
            failure, self._failure = self._failure, None
            raise StopIteration if failure is None else failure
        row = self._ahead.popleft()
        factory: Any = self.row_factory
        return row if factory is None else factory(self, row)

    def fetchone(self) -> Any:  # noqa: ANN401
        """Give the next row, None if there is none."""
        return next(self, None)

    def fetchmany(self, size: int | None = _ARRAYSIZE) -> list[Any]:
        """Give some rows; all that are left if the number is not above 0."""
        size = self.arraysize if size is _ARRAYSIZE else size
        self.connection._block.check()
        if self._ahead is None:
            return Cursor.fetchmany(self, size)
        count = operator.index(size)  # type: ignore[arg-type]
        rows = []
        for row in self:
            rows.append(row)
            if len(rows) == count:
                break
        return rows

    def fetchall(self) -> list[Any]:
        """Give all rows that are left."""
        self.connection._block.check()
        return Cursor.fetchall(self) if self._ahead is None else list(self)

    def all(self) -> list[Any]:
        """Give all rows that are left."""
        return self.fetchall()

    def first(self) -> Any:  # noqa: ANN401
        """Give the first row, None if there is none, and let the others go."""
        return self._or_none(self._first_row())

    def one_or_none(self) -> Any:  # noqa: ANN401
        """Give the only row, None if there is none. Raises MultipleResultsFound."""
        return self._or_none(self._only_row())

    def one(self) -> Any:  # noqa: ANN401
        """Give the only row. Raises NoResultFound or MultipleResultsFound."""
        row = self._only_row()
        if row is _NO_ROW:
            raise NoResultFound("no row was found when one was required")
        return row

    def scalar(self) -> Any:  # noqa: ANN401
        """Give the first value of the first row, None if there is none."""
        row = self._first_row()
        return None if row is _NO_ROW else _first(row)

    def scalar_one(self) -> Any:  # noqa: ANN401
        """Give the first value of the only row."""
        return _first(self.one())

    def scalar_one_or_none(self) -> Any:  # noqa: ANN401
        """Give the first value of the only row, None if there is none."""
        row = self._only_row()
        return None if row is _NO_ROW else _first(row)

    def scalars(self) -> Scalars:
        """Give the first value of each row."""
        return Scalars(self)  # type: ignore[arg-type]

    def mappings(self) -> Mappings:
        """Give each row as a dict."""
        return Mappings(self)  # type: ignore[arg-type]

    def keys(self) -> list[str]:
        """Give the names of the columns."""
        return [column[0] for column in self.description or ()]

    @staticmethod
    def _or_none(row: Any) -> Any:  # noqa: ANN401
        return None if row is _NO_ROW else row

    def _first_row(self) -> Any:  # noqa: ANN401
        row = next(self, _NO_ROW)
        self._let_go()
        return row

    def _only_row(self) -> Any:  # noqa: ANN401
        row = next(self, _NO_ROW)
        if row is not _NO_ROW and next(self, _NO_ROW) is not _NO_ROW:
            self._let_go()
            raise MultipleResultsFound("more than one row was found when exactly one was required")
        return row
