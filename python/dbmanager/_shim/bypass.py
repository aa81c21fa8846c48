"""The way back: which modules' `connect` is the stdlib's again."""

import logging
import os
from collections.abc import Iterable
from typing import Any

from dbmanager import _core
from dbmanager._shim.patterns import Modules, checked, listed

VARIABLE = "DBMANAGER_BYPASS"

_LOG = logging.getLogger("dbmanager.bypass")


class _Bypassed:
    """Tells whether a module is bypassed, and says so once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._modules = Modules(patterns)
        self._told: set[str] = set()

    def __call__(self, module: dict[str, Any]) -> bool:
        name = self._modules.name_of(module)
        if name is not None and name not in self._told:
            self._told.add(name)
            _LOG.info("%s is bypassed: its connections are the stdlib's", name)
        return name is not None


def configure(*, bypass: Iterable[str]) -> None:
    """Say which modules go back to the stdlib's ``sqlite3``, for this process and at once.

    In these modules ``dbmanager.connect(…)`` and ``dbmanager.sqlite3.connect(…)`` give connections
    of the stdlib's. What they have open stays as it is. It is safe beside the others' connections
    (docs/safety.md). The environment variable DBMANAGER_BYPASS does the same without a change to
    the code: ``DBMANAGER_BYPASS=services.billing,services.legacy.*``. The log ``dbmanager.bypass``
    tells at the level INFO which modules were found to be meant, each at its first call.

    A call with ``factory=`` a class of ours can't be bypassed and stays as it is.

    Args:
        bypass: Names of modules or packages, or patterns of them; none ends it for all. A module
            that is run by ``python -m`` has its own name, a file that is run ``__main__``.

    Raises:
        TypeError: `bypass` is one string, or not of strings.

    Example:
        >>> import dbmanager
        >>> dbmanager.configure(bypass=["services.billing", "services.legacy.*"])
        >>> dbmanager.configure(bypass=[])
    """
    patterns = checked(bypass, "bypass", "services.billing")
    _core._set_bypass(_Bypassed(patterns) if patterns else None)


def from_environment() -> None:
    """Bypass the modules that DBMANAGER_BYPASS names."""
    configure(bypass=listed(os.environ.get(VARIABLE, "")))
