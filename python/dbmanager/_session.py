"""What a session gives out beside its results: views of the rows, and savepoints."""

import itertools
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from dbmanager._core import MultipleResultsFound, NoResultFound, Result, Session

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

        def form(row: Any) -> dict[str, Any]:
            return row if isinstance(row, dict) else dict(zip(names, row, strict=True))

        super().__init__(result, form)


def _first(row: Any) -> Any:
    return next(iter(row.values())) if isinstance(row, dict) else row[0]


class Savepoint:
    """A part of a session's transaction that can be undone on its own."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._name = f"dbmanager_{next(_savepoints)}"

    def __enter__(self) -> "Savepoint":
        if self._session.mode != "read":
            self._session.begin()
        self._session.execute(f"SAVEPOINT {self._name}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._session.in_transaction:
            return  # ended within the block, and the savepoint with it
        if kind is not None:
            self.rollback()
        self._session.execute(f"RELEASE {self._name}")

    def rollback(self) -> None:
        """Undo what was done since the savepoint; the block goes on."""
        self._session.execute(f"ROLLBACK TO {self._name}")


__all__ = ["Mappings", "MultipleResultsFound", "NoResultFound", "Savepoint", "Scalars"]
