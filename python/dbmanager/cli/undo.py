"""``dbmanager undo``: the last migration taken back."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from dbmanager.cli import options
from dbmanager.cli.files import journal
from dbmanager.cli.files.replacing import ReplacingError, replace

_VERSION = 1
_CHANGED = "changed since the migration"
_Entry = dict[str, str]


@dataclass
class Outcome:
    """What became of a migration, with the files by what became of each."""

    run: str
    begun: str | None
    """None if its journal can't be read."""
    taken_back: list[_Entry] = field(default_factory=list)
    refused: list[_Entry] = field(default_factory=list)
    """Each with a reason."""
    forgotten: list[_Entry] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """Give all of it, for JSON."""
        return {"version": _VERSION, **vars(self)}

    def lines(self) -> Iterator[str]:
        """Tell what was done."""
        for entry in self.taken_back:
            yield f"{entry['file']} is as it was before"
        for entry in self.forgotten:
            yield f"{entry['file']} stays as it is"
        if not self.taken_back and not self.refused:
            yield f"migration {self.run} is forgotten"


@click.command(
    epilog="Examples: `dbmanager undo` takes the last migration back, `dbmanager undo --service "
    "app.services.billing` the last one of this service. `dbmanager undo --list` shows them with "
    "their numbers; `dbmanager undo --forget 3` keeps what number 3 did, with all that was changed "
    "since."
)
@click.option("--service", metavar="NAME", help="Only what was done for this service.")
@click.option("--list", "only_list", is_flag=True, help="Show what can be taken back.")
@click.option(
    "--forget",
    metavar="RUN",
    help="Forget the migration of this number, of which all files stay as they are: it can't be "
    "taken back any more.",
)
@click.option("--json", "is_json", is_flag=True, help="Tell what was done as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Tell nothing but errors.")
def undo(
    *, service: str | None, only_list: bool, forget: str | None, is_json: bool, quiet: bool
) -> None:
    """Take the last migration back exactly.

    Every file gets the content that it had before. If one was changed since, nothing is written.
    """
    options.refuse_both(("--quiet", quiet), ("--json", is_json))
    options.refuse_both(("--list", only_list), ("--quiet", quiet))
    options.refuse_both(("--list", only_list), ("--forget", forget is not None))
    root = journal.project_root()
    try:
        if only_list:
            _list(journal.runs(root), service, root, is_json=is_json)
            return
        if forget is None:
            outcome = _taken_back(root, service)
        else:
            outcome = _forgotten(root, forget, service)
    except journal.JournalError as error:
        raise click.ClickException(str(error)) from error
    if is_json:
        click.echo(json.dumps(outcome.content(), indent=1))
    elif not quiet:
        for line in outcome.lines():
            click.echo(line)
    if outcome.refused:
        raise click.ClickException(_of_refused(outcome, service))


def _taken_back(root: Path, service: str | None) -> Outcome:
    run, files = _last(root, service)
    outcome = Outcome(run.name, run.begun)
    services = {file.path: file.service for file in files}
    changes, foreign = journal.changes_back(files)
    if foreign:
        reasons = dict.fromkeys(foreign, _CHANGED)
    else:
        reasons = {}
        try:
            replace(changes)
        except ReplacingError as error:
            reasons = {failure.path: failure.reason for failure in error.failures}
    if reasons:
        outcome.refused = [
            _entry(path, services[path], root) | {"reason": reason}
            for path, reason in reasons.items()
        ]
        return outcome
    outcome.taken_back = [_entry(one.path, services[one.path], root) for one in changes]
    run.forget(service)
    return outcome


def _last(root: Path, service: str | None) -> tuple[journal.Run, list[journal.File]]:
    runs = journal.runs(root)
    for run in reversed(runs):
        if files := run.files(service):
            return run, files
    if service is None:
        raise click.UsageError(f"there is no migration to take back in {root}")
    known = sorted({name for run in runs for name in run.services})
    there = f"; there are migrations of {', '.join(known)}" if known else f" in {root}"
    raise click.UsageError(f"there is no migration of '{service}' to take back{there}")


def _forgotten(root: Path, name: str, service: str | None) -> Outcome:
    folder = journal.folder_of(root, name)
    if folder is None:
        message = f"there is no migration '{name}' in {root}; `dbmanager undo --list` shows them"
        raise click.UsageError(message)
    try:
        run = journal.Run(folder)
    except journal.JournalError:
        if service is not None:
            raise
        journal.drop(folder)
        return Outcome(folder.name, None)
    entries = _entries(run, service, root)
    if not entries:
        raise click.UsageError(f"there is no migration of '{service}' in {run.name}")
    run.forget(service)
    return Outcome(run.name, run.begun, forgotten=entries)


def _of_refused(outcome: Outcome, service: str | None) -> str:
    lines = [f"{entry['file']}: {entry['reason']}" for entry in outcome.refused]
    if any(entry["reason"] == _CHANGED for entry in outcome.refused):
        only = f" --service {service}" if service is not None else ""
        way_out = f"`dbmanager undo --forget {outcome.run}{only}`"
        lines.append(f"to keep the files as they are: {way_out}")
    return "\n".join(["not taken back:", *lines])


def _list(runs: Sequence[journal.Run], service: str | None, root: Path, *, is_json: bool) -> None:
    if is_json:
        migrations = [
            {
                "run": run.name,
                "begun": run.begun,
                "is_complete": run.is_complete,
                "files": entries,
            }
            for run in runs
            if (entries := _entries(run, service, root))
        ]
        click.echo(json.dumps({"version": _VERSION, "migrations": migrations}, indent=1))
        return
    for run in runs:
        note = "" if run.is_complete else " (interrupted)"
        for name in sorted(run.services & ({service} if service is not None else run.services)):
            count = len(run.paths(name))
            files = "1 file" if count == 1 else f"{count} files"
            click.echo(f"{run.name}  {run.begun}  {name}  {files}{note}")


def _entries(run: journal.Run, service: str | None, root: Path) -> list[_Entry]:
    return [_entry(path, name, root) for path, name in run.paths(service)]


def _entry(path: Path, service: str, root: Path) -> _Entry:
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return {"file": str(shown), "service": service}
