"""A stand-in for the stdlib's `connect`, in its modules and in the globals that hold it."""

import sqlite3
import sys

# The module of C: what `sqlite3` has may be somebody's patch.
from _sqlite3 import connect as ORIGINAL  # noqa: N812 - it is not to be taken for ours
from collections.abc import Callable
from typing import Any

from dbmanager import _core

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


def can_route(arguments: Arguments, keywords: Keywords) -> bool:
    """Tell whether a call means something to our `connect`: not with a factory of the stdlib's."""
    factory = keywords.get("factory", arguments[5] if len(arguments) > 5 else None)
    return not (isinstance(factory, type) and issubclass(factory, sqlite3.Connection))


class Routes:
    """The places where `connect` is replaced."""

    def __init__(self, decide: Callable[[Arguments, Keywords], bool | None]) -> None:
        self._stand_in = _core._StandIn(decide)

    def lay(self) -> None:
        """Put the stand-in wherever a module holds the stdlib's function."""
        _replace(ORIGINAL, self._stand_in)

    def lift(self) -> None:
        """Put the stdlib's function back, in modules that were imported since, too."""
        _replace(self._stand_in, ORIGINAL)


def _replace(before: object, after: object) -> None:
    for names in _globals_of_others():
        for name, value in list(names.items()):
            if value is before:
                names[name] = after


def _globals_of_others() -> list[dict[str, Any]]:
    """Give the globals of all modules but ours."""
    found = []
    for name, module in list(sys.modules.items()):
        try:
            # Not by the module's own attribute, which imports a module that is lazy.
            names = object.__getattribute__(module, "__dict__")
        except AttributeError:
            # What is in `sys.modules` may be anything.
            continue
        if name.partition(".")[0] != "dbmanager" and type(names) is dict:
            found.append(names)
    return found
