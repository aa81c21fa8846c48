"""``dbmanager scan``: every direct call in some code, and what is to be done with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from dbmanager import _core
from dbmanager._config import services
from dbmanager.cli import options, progress
from dbmanager.cli.formats import github, html, rows, sarif, table
from dbmanager.cli.output import opened

Report = dict[str, Any]
Writer = Callable[[Report, IO[str]], None]

_FORMATS: dict[str, Callable[[], Writer]] = {
    "table": lambda: table.write,
    "json": lambda: lambda report, to: json.dump(report, to, indent=1),
    "sarif": lambda: sarif.write,
    "github": lambda: github.write,
    "csv": lambda: rows.write,
    "html": html.writer,
}
"""What gives the writer of each form: what is wrong besides the code is told before the scan."""


def scanned(paths: tuple[Path, ...]) -> Report:
    """Scan files and folders.

    Raises:
        click.UsageError: There is no Python file, or a path can't be read.
    """
    try:
        configured = services()
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    with progress.shown("scanning"):
        report: Report = json.loads(_core._scan([str(path) for path in paths], configured))
    if not report["summary"]["files"]:
        for unreadable in report["unreadable"]:
            raise click.UsageError(f"{unreadable['file']} can't be read: {unreadable['reason']}")
        names = ", ".join(str(path) for path in paths)
        message = f"there are no Python files below {names} (ignored ones do not count)"
        raise click.UsageError(message)
    return report


@click.command(
    epilog="Examples: `dbmanager scan src` lists the calls below src, with totals and an order in "
    "which to move the services. `dbmanager scan . --format sarif -o calls.sarif` writes them for "
    "a code scanning service."
)
@options.paths()
@options.form(_FORMATS, ", 'html' a page to look at")
@options.as_json()
@options.output()
@options.quiet("calls")
def scan(
    paths: tuple[Path, ...], format_: str, is_json: bool, output: Path | None, quiet: bool
) -> None:
    """Find every direct sqlite3.connect() in files and folders.

    Each is shown with how its connection is held and closed, which database it opens as far as the
    code tells, and whether it can be rewritten. Files that .gitignore names, hidden folders and
    environments are left out, unless PATH names them.

    The service of a call is the package that it is in, or as the table
    [tool.dbmanager.services] of pyproject.toml says.
    """
    form = options.chosen_form(format_, is_json=is_json, quiet=quiet, output=output)
    write = _FORMATS[form]()
    report = scanned(paths)
    if quiet and output is None:
        click.echo(report["summary"]["calls"])
        return
    with opened(output) as to:
        write(report, to)
