"""What a session has made and somebody still has.

Not a `WeakSet`: it is told of each end by a function in Python, and a signal's exception that comes
there is lost.
"""

from typing import Generic, TypeVar
from weakref import ref

T = TypeVar("T")


class Alive(Generic[T]):
    """Some objects, as long as they are alive. Those that are not are let go of now and then."""

    __slots__ = ("_known", "_most")

    def __init__(self) -> None:
        self._known: list[ref[T]] = []
        self._most = 32

    def add(self, one: T) -> None:
        """Note one more."""
        if len(self._known) >= self._most:
            self._known = [known for known in self._known if known() is not None]
            self._most = 2 * len(self._known) + 32
        self._known.append(ref(one))

    def all(self) -> list[T]:
        """Give those that are alive."""
        return [one for known in self._known if (one := known()) is not None]
