"""What a command says that Ctrl-C ended, and its exit code."""

import sys

_EXIT_CODE = 130
"""As shells have it: 128, and the number of the signal."""


def told() -> int:
    """Say that it was interrupted; give the exit code."""
    sys.stderr.write("dbmanager: interrupted\n")
    return _EXIT_CODE
