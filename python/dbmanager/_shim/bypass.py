"""The way back: which modules' `connect` is the stdlib's again."""

import fnmatch
import os
from collections.abc import Iterable

from dbmanager import _core

VARIABLE = "DBMANAGER_BYPASS"


class Bypass:
    """Patterns of module names, and the names that were asked for."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._known: dict[str, bool] = {}

    def __call__(self, name: str) -> bool:
        """Tell whether a module, or a package that it is in, has a name of a pattern."""
        known = self._known.get(name)
        if known is None:
            parts = name.split(".")
            names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
            known = self._known[name] = any(
                fnmatch.fnmatchcase(one, pattern) for pattern in self.patterns for one in names
            )
        return known


def configure(*, bypass: Iterable[str]) -> None:
    """Say which modules go back to the stdlib's ``sqlite3``, for this process and at once.

    In these modules ``dbmanager.connect(…)`` and ``dbmanager.sqlite3.connect(…)`` give connections
    of the stdlib's. What they have open stays as it is. It is safe beside the others' connections
    (docs/safety.md). The environment variable DBMANAGER_BYPASS does the same without a change to
    the code: ``DBMANAGER_BYPASS=services.billing,services.legacy.*``.

    A call with ``factory=`` a class of ours can't be bypassed and stays as it is.

    Args:
        bypass: Names of modules or packages, or patterns of them; none ends it for all.

    Raises:
        TypeError: `bypass` is one string, or not of strings.

    Example:
        >>> import dbmanager
        >>> dbmanager.configure(bypass=["services.billing", "services.legacy.*"])
        >>> dbmanager.configure(bypass=[])
    """
    patterns = () if isinstance(bypass, str) else tuple(bypass)
    if isinstance(bypass, str) or not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError("bypass must be a list of names of modules, such as ['services.billing']")
    _core._set_bypass(Bypass(patterns) if patterns else None)


def from_environment() -> None:
    """Bypass the modules that DBMANAGER_BYPASS names."""
    parts = (part.strip() for part in os.environ.get(VARIABLE, "").split(","))
    configure(bypass=[part for part in parts if part])
