"""The commands: one file each.

`run` stands in for Python itself, so it is quick to start and needs no other package. The others
are built with click and rich, which the extra `dbmanager[cli]` installs.
"""

import sys
from collections.abc import Sequence

from dbmanager.cli import run
from dbmanager.cli.interruption import told


def main(arguments: Sequence[str]) -> int:
    """Run a command; give the exit code of the process."""
    if arguments[:1] == ["run"]:
        return run.main(arguments[1:])
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        return told()


def _main(arguments: Sequence[str]) -> int:
    try:
        from dbmanager.cli import commands
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.stderr.write(
            f"dbmanager: this command needs {error.name}, which is not installed: "
            "pip install 'dbmanager[cli]' (only `dbmanager run` works without)\n"
        )
        return 2
    return commands.main(arguments)
