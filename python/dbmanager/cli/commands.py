"""The commands that are built with click."""

import difflib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from dbmanager.cli import interruption, run
from dbmanager.cli.check import check
from dbmanager.cli.completion import completion
from dbmanager.cli.doctor import doctor
from dbmanager.cli.migrate import migrate
from dbmanager.cli.rules import rules
from dbmanager.cli.scan import scan
from dbmanager.cli.undo import undo


class _Commands(click.Group):
    """Commands of which a wrong one is told with the one that may be meant."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; click itself would say of Ctrl-C no more than "Aborted!"."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(interruption.told())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0].startswith("-") or self.get_command(ctx, args[0]) is not None:
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
        meant = f"; did you mean '{near[0]}'?" if near else f" (see {ctx.command_path} --help)"
        raise click.UsageError(f"there is no command '{args[0]}'{meant}", ctx)


def _program(
    _context: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Have the shell complete names of files."""
    return [CompletionItem(incomplete, type="file")]


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Examples: `dbmanager scan .` shows where you are, `dbmanager run app.py` what happens "
    "at run time, and `dbmanager check` keeps what was reached. `dbmanager COMMAND -h` tells more.",
)
@click.version_option(package_name="dbmanager")
def commands() -> None:
    """One pooled SQLite for a Python application, and the way there."""


# Whoever names it first does not come by here; it is listed, and works behind options as well.
@commands.command(
    "run",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, shell_complete=_program)
def run_(arguments: tuple[str, ...]) -> NoReturn:
    """Run a program and see its direct calls."""
    sys.exit(run.main(arguments))


for command in (check, completion, doctor, migrate, rules, scan, undo):
    commands.add_command(command)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a command, and end the process with its exit code."""
    # What the terminal's encoding lacks is shown by its number.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        commands.main(list(arguments), prog_name="dbmanager")
    except OSError as error:
        # A full disk, a configuration that can't be read, a folder that is gone.
        where = f": {error.filename}" if error.filename else ""
        sys.stderr.write(f"dbmanager: {error.strerror or error}{where}\n")
        sys.exit(2)
