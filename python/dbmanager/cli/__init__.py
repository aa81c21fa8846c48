"""The commands: one file each."""

import argparse
from collections.abc import Sequence

from dbmanager.cli import run


def main(arguments: Sequence[str]) -> int:
    """Run a command; give the exit code of the process."""
    parser = argparse.ArgumentParser(
        prog="dbmanager", description="One pooled SQLite for a Python application."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run.add_to(commands)
    options = parser.parse_args(arguments)
    code: int = options.command(options)
    return code
