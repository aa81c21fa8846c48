"""Which modules a list of patterns means."""

import fnmatch
from collections.abc import Iterable


class Modules:
    """Patterns of names of modules and packages. Remembers what it was asked."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[str, bool] = {}

    def __call__(self, name: str) -> bool:
        """Tell whether a module, or a package that it is in, has a name of a pattern."""
        known = self._known.get(name)
        if known is None:
            parts = name.split(".")
            names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
            known = self._known[name] = any(
                fnmatch.fnmatchcase(one, pattern) for pattern in self._patterns for one in names
            )
        return known


def checked(patterns: Iterable[str], name: str, example: str) -> tuple[str, ...]:
    """Give the patterns of an argument.

    Raises:
        TypeError: It is one string, or not of strings.
    """
    given = () if isinstance(patterns, str) else tuple(patterns)
    if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in given):
        raise TypeError(f"{name} must be a list of names of modules, such as [{example!r}]")
    return given
