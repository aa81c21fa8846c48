"""Our `connect` in the place of the stdlib's: in its modules, and in the globals that hold it."""

import functools
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

from dbmanager import _core

Connect = Callable[..., Any]
Arguments = tuple[Any, ...]
Keywords = dict[str, Any]

ORIGINAL: Connect = sqlite3.connect
"""The stdlib's own, before anybody put something in its place."""


def can_route(arguments: Arguments, keywords: Keywords) -> bool:
    """Tell whether a call means something to our `connect`: not with a factory of the stdlib's."""
    factory = keywords.get("factory", arguments[5] if len(arguments) > 5 else None)
    return not (isinstance(factory, type) and issubclass(factory, sqlite3.Connection))


class Routes:
    """The places where `connect` was replaced."""

    def __init__(self) -> None:
        self._places: list[tuple[dict[str, Any], str]] = []
        self._stand_in: Connect | None = None

    def lay(self, call: Callable[[Arguments, Keywords], object]) -> None:
        """Put a function in the place of the stdlib's `connect`, wherever a module holds it.

        `call` gets the positional and the keyword arguments.
        """

        @functools.wraps(ORIGINAL)
        def connect(*arguments: object, **keywords: object) -> object:
            return call(arguments, keywords)

        self._stand_in = connect
        for names in _globals_of_others():
            self._replace(names, connect)

    def _replace(self, names: dict[str, Any], connect: Connect) -> None:
        for name, value in list(names.items()):
            if value is ORIGINAL:
                names[name] = connect
                self._places.append((names, name))

    def lift(self) -> None:
        """Put the stdlib's `connect` back, where nobody has put another one since."""
        for names, name in self._places:
            if names.get(name) is self._stand_in:
                names[name] = ORIGINAL
        # Modules imported since have it from there.
        for names in _globals_of_others():
            for name, value in list(names.items()):
                if self._stand_in is not None and value is self._stand_in:
                    names[name] = ORIGINAL
        self._places.clear()
        self._stand_in = None


def _globals_of_others() -> list[dict[str, Any]]:
    """Give the globals of all modules but ours. What is in `sys.modules` may be anything."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] != "dbmanager"
    ]
    return [names for names in (getattr(one, "__dict__", None) for one in modules) if names]


def route(arguments: Arguments, keywords: Keywords) -> object:
    """Open a connection of ours as the stdlib's `connect` would open one of its own."""
    return _core.connect(*arguments, **keywords)
