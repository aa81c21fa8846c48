"""The command line: ``dbmanager``, ``python -m dbmanager``."""

import sys

from dbmanager.cli import main


def run() -> None:
    """Run the command that the process was started with."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
