"""Which modules a list of patterns means."""

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any


class Modules:
    """Patterns of names of modules and packages. Remembers what it was asked."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(patterns)
        self._known: dict[str, bool] = {}

    def name_of(self, module: Mapping[str, Any]) -> str | None:
        """Give the name by which a module, or a package that it is in, is meant.

        `module` are its globals. None if no pattern means it.
        """
        return next((name for name in _names(module) if self._means(name)), None)

    def _means(self, name: str) -> bool:
        known = self._known.get(name)
        if known is None:
            parts = name.split(".")
            names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
            known = self._known[name] = any(
                fnmatch.fnmatchcase(one, pattern) for pattern in self._patterns for one in names
            )
        return known


def _names(module: Mapping[str, Any]) -> list[str]:
    names = [module.get("__name__")]
    if names == ["__main__"]:
        # What `python -m` was told.
        names.append(getattr(module.get("__spec__"), "name", None))
    return [name for name in names if isinstance(name, str)]


def checked(patterns: Iterable[str], name: str, example: str) -> tuple[str, ...]:
    """Give the patterns of an argument.

    Raises:
        TypeError: It is one string, or not of strings.
    """
    given = () if isinstance(patterns, str) else tuple(patterns)
    if isinstance(patterns, str) or not all(isinstance(pattern, str) for pattern in given):
        raise TypeError(f"{name} must be a list of names of modules, such as [{example!r}]")
    return given


def listed(text: str) -> list[str]:
    """Give the patterns of an environment variable, which has commas between them."""
    return [part.strip() for part in text.split(",") if part.strip()]
