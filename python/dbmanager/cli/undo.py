"""``dbmanager undo``: the last migration taken back."""

from pathlib import Path

import click

from dbmanager.cli.files import journal
from dbmanager.cli.files.replacing import ReplacingError, replace


@click.command(
    epilog="Examples: `dbmanager undo` takes the last migration back, `dbmanager undo --service "
    "app.services.billing` the last one of this service."
)
@click.option("--service", metavar="NAME", help="Take the last migration of this service back.")
@click.option("--list", "only_list", is_flag=True, help="Show what can be taken back.")
@click.option("-q", "--quiet", is_flag=True, help="Tell nothing but errors.")
def undo(service: str | None, only_list: bool, quiet: bool) -> None:
    """Take the last migration back exactly.

    Every file gets the content that it had before. If one was changed since, nothing is written.
    """
    root = journal.project_root()
    try:
        runs = journal.runs(root)
        if only_list:
            for run in runs:
                _list(run)
            return
        run, files = _last(runs, service)
        changes, foreign = journal.changes_back(files)
    except journal.JournalError as error:
        raise click.ClickException(str(error)) from error
    if foreign:
        shown = ", ".join(_shown(path, root) for path in foreign)
        message = f"nothing was written: changed since the migration: {shown}"
        raise click.ClickException(message)
    try:
        replace(changes)
    except ReplacingError as error:
        raise click.ClickException("not taken back:\n" + "\n".join(error.args)) from error
    run.forget(service)
    if not quiet:
        for change in changes:
            click.echo(f"{_shown(change.path, root)} is as it was before")


def _last(runs: list[journal.Run], service: str | None) -> tuple[journal.Run, list[journal.File]]:
    for run in reversed(runs):
        if files := run.files(service):
            return run, files
    if service is None:
        raise click.UsageError("there is no migration to take back")
    known = sorted({name for run in runs for name in run.services})
    there = f"; there are migrations of {', '.join(known)}" if known else ""
    raise click.UsageError(f"there is no migration of '{service}' to take back{there}")


def _list(run: journal.Run) -> None:
    note = "" if run.is_complete else " (interrupted)"
    for service in sorted(run.services):
        count = len(run.files(service))
        files = "1 file" if count == 1 else f"{count} files"
        click.echo(f"{run.folder.name}  {run.begun}  {service}  {files}{note}")


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
