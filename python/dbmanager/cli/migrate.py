"""``dbmanager migrate``: direct calls rewritten by the rules."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dbmanager import _core
from dbmanager._config import paths_of_databases, services
from dbmanager.cli import options, progress
from dbmanager.cli.files import diff, journal, work_tree
from dbmanager.cli.files.replacing import Change, ReplacingError, replace
from dbmanager.cli.formats import migration

Told = dict[str, Any]


@click.command(
    epilog="Examples: `dbmanager migrate src --diff` shows what would change. `dbmanager migrate "
    "src --service app.services.billing` rewrites one service; run its tests, commit, go on with "
    "the next. `dbmanager undo` takes the last migration back."
)
@options.paths()
@click.option("--diff", "only_diff", is_flag=True, help="Show the changes, write nothing.")
@click.option(
    "--service",
    "only",
    multiple=True,
    metavar="NAME",
    help="Rewrite this service only, as `scan` names it. May be given several times.",
)
@click.option(
    "--rules",
    metavar="CODES",
    help="Go by these rules only, such as 'DBM001,DBM105'. `dbmanager rules` tells of them.",
)
@click.option(
    "--unsafe",
    is_flag=True,
    help="Go by unsafe rules as well: what they keep hangs on a condition, which is told.",
)
@click.option(
    "--allow-dirty", is_flag=True, help="Rewrite though Git has changes that are not committed."
)
@click.option("--json", "is_json", is_flag=True, help="Tell what was done as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Tell nothing but errors.")
def migrate(
    paths: tuple[Path, ...],
    *,
    only_diff: bool,
    only: tuple[str, ...],
    rules: str | None,
    unsafe: bool,
    allow_dirty: bool,
    is_json: bool,
    quiet: bool,
) -> None:
    """Rewrite direct sqlite3.connect() calls to pooled connections and sessions.

    Only safe rules are used: what was committed before is committed after, what was discarded is
    discarded, on every path. Of the calls that are left it is told why. Everything that is not
    rewritten stays byte for byte. Either all files are written or none.
    """
    options.refuse_both(("--quiet", quiet), ("--json", is_json))
    options.refuse_both(("--diff", only_diff), ("--json", is_json))
    options.refuse_both(("--diff", only_diff), ("--quiet", quiet))
    told, changes, whose = rewritten(paths, only=only, rules=codes(rules), unsafe=unsafe)
    if only_diff:
        show(changes)
        return
    if changes:
        if not allow_dirty:
            refuse_dirty(paths)
        write(changes, whose)
    if is_json:
        click.echo(json.dumps(told, indent=1))
    elif not quiet:
        migration.write(told, sys.stdout)


def rewritten(
    paths: Sequence[Path], *, only: Sequence[str], rules: set[str], unsafe: bool
) -> tuple[Told, list[Change], list[str]]:
    """Rewrite files, unwritten; give what was done, the changes, and the service of each.

    Raises:
        click.UsageError: There is no Python file, or no such service.
        click.ClickException: A file can't be rewritten.
    """
    try:
        configured, databases = services(), paths_of_databases()
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    names = [str(path) for path in paths]
    with progress.shown("rewriting"):
        text, changed = _core._migrate(
            names, configured, rules=rules, only=set(only), with_unsafe=unsafe, databases=databases
        )
    told: Told = json.loads(text)
    if not told["files"]:
        message = f"there are no Python files below {', '.join(names)} (ignored ones do not count)"
        raise click.UsageError(message)
    if told["failures"]:
        lines = [f"{failure['file']}: {failure['reason']}" for failure in told["failures"]]
        raise click.ClickException("nothing was written:\n" + "\n".join(lines))
    _refuse_unknown(only, told, names, configured)
    changes = [Change(path, before, after) for path, _, before, after in changed]
    return told, changes, [service for _, service, _, _ in changed]


def _refuse_unknown(
    only: Sequence[str], told: Told, names: Sequence[str], configured: dict[str, list[str]]
) -> None:
    known = {call["service"] for calls in (told["rewritten"], told["left"]) for call in calls}
    for service in only:
        if service in known or service in configured:
            continue
        scan = json.loads(_core._scan(names, configured))
        there = sorted(one["name"] for one in scan["services"])
        # All that it had is moved.
        if service in there:
            continue
        message = f"there is no service '{service}' with direct calls; there are: "
        raise click.UsageError(message + (", ".join(there) or "none"))


def codes(text: str | None) -> set[str]:
    """Read the codes of rules.

    Raises:
        click.UsageError: There is no such rule.
    """
    wanted = {code.strip().upper() for code in (text or "").split(",") if code.strip()}
    known = {rule["code"] for rule in json.loads(_core._rules())}
    for code in sorted(wanted - known):
        raise click.UsageError(f"there is no rule '{code}'; there are {', '.join(sorted(known))}")
    return wanted


def show(changes: Sequence[Change]) -> None:
    """Write the changes as a difference."""
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for change in changes:
        for line in diff.lines(change):
            is_head = line.startswith(("+++", "---"))
            click.secho(line, nl=False, fg=None if is_head else colours.get(line[0]), bold=is_head)


def refuse_dirty(paths: Sequence[Path]) -> None:
    """Have the way back by Git open.

    Raises:
        click.UsageError: There are changes that are not committed.
    """
    dirty = work_tree.uncommitted(paths)
    if dirty:
        shown = ", ".join(dirty[:3]) + (f" and {len(dirty) - 3} more" if len(dirty) > 3 else "")
        message = (
            f"there are changes that are not committed: {shown}; commit them, or --allow-dirty"
        )
        raise click.UsageError(message)


def write(changes: Sequence[Change], whose: Sequence[str]) -> None:
    """Write the files, each of a service, with a way back.

    Raises:
        click.ClickException: A file can't be written, so none is; or a run was interrupted before.
    """
    root = journal.project_root()
    try:
        for run in journal.runs(root):
            if not run.is_complete:
                message = f"the migration in {run.folder} was interrupted: `dbmanager undo` first"
                raise click.ClickException(message)
        run = journal.begin(root, changes, whose)
    except journal.JournalError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        message = f"nothing was written: the way back can't be kept in {root}: {error.strerror}"
        raise click.ClickException(message) from error
    # If it is killed, what was noted stays: `undo` takes back what was written.
    replace_or_tell(changes, run)
    run.complete()


def replace_or_tell(changes: Sequence[Change], run: journal.Run) -> None:
    """Write the files.

    Raises:
        click.ClickException: A file can't be written.
    """
    try:
        replace(changes)
    except ReplacingError as error:
        if not error.is_undone:
            message = f"some files were written:\n{error}\n`dbmanager undo` takes them back"
            raise click.ClickException(message) from error
        run.forget()
        raise click.ClickException(f"nothing was written:\n{error}") from error
    except KeyboardInterrupt:
        if run.is_without_effect():
            run.forget()
        raise
