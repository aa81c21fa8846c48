"""What a session gives out beside its results: views of the rows, and savepoints."""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, CoroutineType, GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar

from dbmanager._core import (
    SQLITE_BUSY,
    DatabaseManager,
    OperationalError,
    ProgrammingError,
    Result,
    Session,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

T = TypeVar("T")

_savepoints = itertools.count(1)


class _View(Generic[T]):
    """Rows of a result in another form, read in the same ways."""

    __slots__ = ("_form", "_result")

    def __init__(self, result: Result, form: Callable[[Any], T]) -> None:
        self._result = result
        self._form = form

    def __iter__(self) -> Iterator[T]:
        return map(self._form, self._result)

    def all(self) -> list[T]:
        """Give all that are left."""
        return [self._form(row) for row in self._result.fetchall()]

    def fetchmany(self, size: int) -> list[T]:
        """Give some."""
        return [self._form(row) for row in self._result.fetchmany(size)]

    def first(self) -> T | None:
        """Give the first, None if there is none, and let the others go."""
        row = self._result.first()
        return None if row is None else self._form(row)

    def one_or_none(self) -> T | None:
        """Give the only one, None if there is none. Raises MultipleResultsFound."""
        row = self._result.one_or_none()
        return None if row is None else self._form(row)

    def one(self) -> T:
        """Give the only one. Raises NoResultFound or MultipleResultsFound."""
        return self._form(self._result.one())


class Scalars(_View[Any]):
    """The first column of each row."""

    __slots__ = ()

    def __init__(self, result: Result) -> None:
        super().__init__(result, _first)


class Mappings(_View[dict[str, Any]]):
    """Each row as a dict."""

    __slots__ = ()

    def __init__(self, result: Result) -> None:
        names = result.keys()

        def form(row: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the row factory made
            return row if isinstance(row, dict) else dict(zip(names, row, strict=True))

        super().__init__(result, form)


def _first(row: Any) -> Any:  # noqa: ANN401 - whatever the row factory made
    return next(iter(row.values())) if isinstance(row, dict) else row[0]


def _in_transaction(session: Session) -> bool:
    """Tell whether a session is open, and in a transaction."""
    try:
        return session.in_transaction
    except ProgrammingError:
        return False  # closed within the block


class Savepoint:
    """A part of a session's transaction that can be undone on its own. Begun when it is made."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = f"dbmanager_{next(_savepoints)}"
        self._is_used = self._is_over = False
        # A session without transaction control has none that this could be a part of.
        writes = session.mode != "read"
        self._is_whole = writes and session.isolation_level is None and not session.in_transaction
        if writes:
            session.begin()
        session._control(f"SAVEPOINT {self._name}")

    def __enter__(self) -> Self:
        if self._is_used:
            message = "this savepoint was used already; ask the session for another one"
            raise ProgrammingError(message)
        self._is_used = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_over or not _in_transaction(self._session):
            return  # ended within the block, by itself or with the transaction
        if kind is not None and not self._undo():
            return
        self._end()

    def commit(self) -> None:
        """Keep what was done since, as a part of the session's transaction, and end the savepoint.

        The end of the block does it by itself. Raises ProgrammingError when the savepoint is no
        more, as `rollback`.
        """
        if self._is_over or not _in_transaction(self._session) or not self._end():
            raise self._no_more()
        self._is_used = True

    def rollback(self) -> None:
        """Undo what was done since the savepoint, which stays: the block goes on.

        Raises ProgrammingError when the savepoint is no more: after its block or its commit, or
        when the session's transaction was ended within the block.
        """
        if self._is_over or not _in_transaction(self._session) or not self._undo():
            raise self._no_more()

    def _undo(self) -> bool:
        return self._run(f"ROLLBACK TO {self._name}")

    def _end(self) -> bool:
        """Release it, and commit if it is the whole transaction. False if it is no more."""
        self._is_over = True
        if not self._run(f"RELEASE {self._name}"):
            return False
        if self._is_whole:
            try:
                self._session._control("COMMIT")
            except BaseException:
                if _in_transaction(self._session):
                    self._session._control("ROLLBACK")
                raise
        return True

    def _run(self, sql: str) -> bool:
        """Run ROLLBACK TO or RELEASE. False if there is no such savepoint (any more).

        It went with its transaction if that was ended; another one may have been begun since,
        which the session's end commits.
        """
        try:
            self._session._control(sql)
        except OperationalError as failure:
            if "no such savepoint" in str(failure):
                return False
            # A BLOB is open to write: the savepoint goes with the transaction.
            if "cannot release savepoint" not in str(failure):
                raise
        return True

    def _no_more(self) -> ProgrammingError:
        return ProgrammingError(
            "this savepoint is no more: it was committed, its block has ended, or the session's "
            "transaction was committed or rolled back within it"
        )


class _Guest:
    """A part of a session that only means to read, and begins no transaction.

    If it writes all the same, the transaction that it began is its own to undo.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and _in_transaction(self._session):
            self._session.rollback()


Mode = Literal["auto", "read", "write"]


def _opened(
    manager: DatabaseManager, mode: Mode, *, join: bool, plain: bool
) -> "AbstractContextManager[Session]":
    """Give a new session, or what joins one. `plain`: for a module that is bypassed."""
    if join:
        return Joined(manager, mode, plain)
    if not plain:
        return manager.session(mode)
    from dbmanager import _plain

    session: Any = _plain.session(manager, mode)
    return session  # type: ignore[no-any-return]


class Joined:
    """The thread's open session with a savepoint, or a session of its own if there is none."""

    def __init__(self, manager: DatabaseManager, mode: Mode, plain: bool) -> None:
        self._manager = manager
        self._mode = mode
        self._plain = plain
        self._is_used = False
        self._inner: AbstractContextManager[object] | None = None

    def __enter__(self) -> Session:
        if self._is_used:
            raise ProgrammingError(
                "this session was used already; ask the DatabaseManager for another one"
            )
        self._is_used = True
        outer = self._manager.current_session()
        if outer is None:
            own = _opened(self._manager, self._mode, join=False, plain=self._plain)
            session = own.__enter__()
            self._inner = own
            return session
        reads = self._mode == "read" and not outer.in_transaction
        self._inner = _Guest(outer) if reads else Savepoint(outer)
        self._inner.__enter__()
        return outer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.__exit__(kind, error, traceback)


# The pause before the first repetition, in seconds; each further one may take twice as long, up to
# the longest.
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 1.0


def run(  # noqa: PLR0917 - called by the extension
    manager: DatabaseManager,
    function: Callable[[Session], T],
    retries: int,
    mode: Mode,
    join: bool,
    plain: bool,
) -> T:
    """Run a function with a session, and again with a new one if the database was busy.

    `plain`: for a module that is bypassed.
    """
    for attempt in itertools.count():
        # What joins is repeated, if at all, by the one who has the transaction.
        is_guest = join and manager.current_session() is not None
        try:
            with _opened(manager, mode, join=join, plain=plain) as session:
                result = function(session)
                if isinstance(result, CoroutineType | GeneratorType | AsyncGeneratorType):
                    if not isinstance(result, AsyncGeneratorType):
                        result.close()  # or it warns that nobody awaited it
                    raise TypeError(
                        f"run() calls plain functions, and {function!r} gave a "
                        f"{type(result).__name__}, whose code would run after the session"
                    )
                return result
        except OperationalError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if is_guest or attempt >= retries or code is None or code & 0xFF != SQLITE_BUSY:
                raise
        pause = min(_FIRST_PAUSE * 2 ** min(attempt, 30), _LONGEST_PAUSE)
        # Not for security: processes that collided shall not do so again at once.
        time.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311
    raise AssertionError("itertools.count() does not end")
