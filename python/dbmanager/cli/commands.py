"""The commands that are built with click."""

from collections.abc import Sequence
from typing import NoReturn

import click

from dbmanager.cli.scan import scan


class _Commands(click.Group):
    """Lists `run` as well, which is none of click's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "run"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "run":
            return click.Command("run", help="Run a program and see its direct calls.")
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="dbmanager")
def commands() -> None:
    """One pooled SQLite for a Python application, and the way there."""


commands.add_command(scan)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a command, and end the process with its exit code."""
    commands.main(list(arguments), prog_name="dbmanager")
