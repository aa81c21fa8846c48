"""The way back: which modules' `connect` is the stdlib's again."""

import os
from collections.abc import Iterable

from dbmanager import _core
from dbmanager._shim.patterns import Modules, checked

VARIABLE = "DBMANAGER_BYPASS"


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
    patterns = checked(bypass, "bypass", "services.billing")
    _core._set_bypass(Modules(patterns) if patterns else None)


def from_environment() -> None:
    """Bypass the modules that DBMANAGER_BYPASS names."""
    parts = (part.strip() for part in os.environ.get(VARIABLE, "").split(","))
    configure(bypass=[part for part in parts if part])
