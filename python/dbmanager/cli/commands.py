"""The commands that are built with click."""

import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from dbmanager.cli import run
from dbmanager.cli.check import check
from dbmanager.cli.migrate import migrate
from dbmanager.cli.rules import rules
from dbmanager.cli.scan import scan
from dbmanager.cli.undo import undo


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dbmanager")
def commands() -> None:
    """One pooled SQLite for a Python application, and the way there."""


# Whoever names it first does not come by here; it is listed, and works behind options as well.
@commands.command(
    "run",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_(arguments: tuple[str, ...]) -> NoReturn:
    """Run a program and see its direct calls."""
    sys.exit(run.main(arguments))


for command in (check, scan, migrate, undo, rules):
    commands.add_command(command)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a command, and end the process with its exit code."""
    commands.main(list(arguments), prog_name="dbmanager")
