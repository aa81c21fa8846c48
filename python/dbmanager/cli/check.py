"""``dbmanager check``: no new direct calls, and ever fewer of them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import click

from dbmanager.cli import options
from dbmanager.cli.output import opened
from dbmanager.cli.ratchet import annotations, outcome, sarif, table
from dbmanager.cli.ratchet.checking import Wanted, checked
from dbmanager.cli.ratchet.outcome import Outcome

_FORMATS: dict[str, Callable[[Outcome, IO[str]], None]] = {
    "table": table.write,
    "json": outcome.write_json,
    "github": annotations.write,
    "sarif": sarif.write,
}


@click.command(
    epilog="Examples: `dbmanager check --update src` makes the baseline. `dbmanager check` in the "
    "checks of a project fails when a call is new. `dbmanager check --update` takes out what is "
    "gone. `dbmanager check --done app.services.billing` keeps a service free of direct calls.\n\n"
    "Exit codes: 0 nothing was found; 1 there are findings; 2 it could not be checked."
)
@click.argument(
    "paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[PATH]..."
)
@click.option(
    "--baseline",
    "file",
    type=options.FILE,
    default=Path("dbmanager-baseline.toml"),
    show_default=True,
    help="The file that says which calls are allowed.",
)
@click.option(
    "--update",
    is_flag=True,
    help="Take out the rows that are not needed any more, or make the file.",
)
@click.option("--allow-new", is_flag=True, help="With --update: allow the new calls, too.")
@click.option(
    "--done", multiple=True, metavar="SERVICE", help="Mark a service that has no calls as done."
)
@click.option("--not-done", multiple=True, metavar="SERVICE", help="Take such a mark back.")
@click.option(
    "--all-kinds/--no-all-kinds",
    default=None,
    help="Count calls of aiosqlite and SQLAlchemy, too. --update keeps it in the baseline.",
)
@click.option(
    "--inventory",
    "inventories",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What the shim saw at run time; may be given several times. If it is not given, "
    "dbmanager-inventory.json beside the baseline, if that is there.",
)
@options.form(_FORMATS)
@options.as_json()
@options.output()
@options.quiet("findings")
def check(
    *,
    format_: str,
    is_json: bool,
    output: Path | None,
    quiet: bool,
    paths: tuple[Path, ...],
    file: Path,
    inventories: tuple[Path, ...],
    update: bool,
    allow_new: bool,
    done: tuple[str, ...],
    not_done: tuple[str, ...],
    all_kinds: bool | None,
) -> None:
    """Fail on direct calls that are new.

    The baseline says which calls of sqlite3.connect() are allowed. A call that it does not allow is
    a finding, and so is a call in a service that is marked done, and a row that no call needs any
    more. Without PATH, all that the baseline is made from is checked.
    """
    form = options.chosen_form(format_, is_json=is_json, quiet=quiet, output=output)
    wanted = Wanted(
        file,
        paths,
        inventories,
        update=update,
        allow_new=allow_new,
        done=done,
        not_done=not_done,
        all_kinds=all_kinds,
    )
    result, told = checked(wanted)
    for line in () if quiet else told:
        click.echo(line, err=True)
    if quiet and output is None:
        click.echo(len(result.findings))
    else:
        with opened(output) as to:
            _FORMATS[form](result, to)
    sys.exit(1 if result.findings else 0)
