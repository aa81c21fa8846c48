"""``dbmanager doctor``: what is wrong with a database, and what to do about it."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from dbmanager import set_max_idle_connections
from dbmanager._config import databases
from dbmanager.cli import options, progress
from dbmanager.cli.formats import diagnosis
from dbmanager.doctor import copies, environment, examination
from dbmanager.doctor.examination import Examination
from dbmanager.doctor.findings import CODES, ORDER, Finding, Severity
from dbmanager.doctor.integrity import Check

_URL = "sqlite:///"


def configured() -> list[Path]:
    """Give the files of the databases that the project's configuration names.

    Raises:
        click.UsageError: It is not valid, or it names no file.
    """
    try:
        source, entries = databases()
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    urls = [entry.get("url") if isinstance(entry, dict) else entry for entry in entries.values()]
    paths = [str(url).removeprefix(_URL).partition("?")[0] for url in urls if _is_file(url)]
    if not paths:
        where = f"{source} names no file" if source else "no configuration names one"
        raise click.UsageError(f"name a database: {where} ([tool.dbmanager.databases])")
    return [Path(path) for path in paths]


def _is_file(url: object) -> bool:
    return isinstance(url, str) and url.removeprefix(_URL) not in {url, "", ":memory:"}


def diagnosed(paths: list[Path], check: Check, seconds: float | None) -> dict[str, Any]:
    """Look at databases and at the environment; give the report."""
    examined = [_examined(path, check, _of(index, paths)) for index, path in enumerate(paths, 1)]
    found = [finding for one in examined for finding in one.findings]
    report: dict[str, Any] = {"version": 1, "environment": None}
    if seconds is not None:
        with progress.shown("searching for copies of SQLite"):
            here = copies.look(seconds)
        traits = {trait for one in examined for trait in one.traits()}
        found += environment.findings(here, traits=traits)
        report["environment"] = {"python": sys.version.partition(" ")[0], **here.facts()}
    report["databases"] = [{"path": one.path, **one.facts} for one in examined]
    found.sort(key=lambda finding: ORDER.index(finding.severity))
    return report | {"findings": found}


def _examined(path: Path, check: Check, of_all: str) -> Examination:
    doing = "looking at" if check is Check.NONE else "checking"
    with progress.shown(f"{doing} {path}{of_all}"):
        return examination.examine(path, check)


def _of(index: int, paths: list[Path]) -> str:
    return f" ({index} of {len(paths)})" if len(paths) > 1 else ""


def _known(
    context: click.Context, parameter: click.Parameter, codes: tuple[str, ...]
) -> tuple[str, ...]:
    if unknown := [code for code in codes if code not in CODES]:
        message = f"'{unknown[0]}' is no code of a finding; they are: {', '.join(sorted(CODES))}"
        raise click.BadParameter(message, context, parameter)
    return codes


def _json(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": str(finding.severity),
        "database": finding.database or None,
        "found": finding.found,
        "details": list(finding.details),
        "advice": finding.advice,
    }


@click.command(
    epilog="Examples: `dbmanager doctor shop.db` looks at one database, `dbmanager doctor` at all "
    "that pyproject.toml names. `dbmanager doctor --full --json shop.db` is for a nightly job: the "
    "exit code is 1 if there is anything to do."
)
@click.argument(
    "databases_",
    nargs=-1,
    type=click.Path(exists=True, dir_okay=False, readable=False, path_type=Path),
    metavar="[DB]...",
)
@click.option("--full", is_flag=True, help="Check indexes against their tables, too: slower.")
@click.option("--no-check", is_flag=True, help="Read no rows: for large databases in use.")
@click.option(
    "--ignore",
    multiple=True,
    metavar="CODE",
    callback=_known,
    help="Leave out findings of this code; repeatable.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=copies.SECONDS,
    show_default=True,
    help="Time to search the environment for copies of SQLite.",
)
@click.option("--no-environment", is_flag=True, help="Look at the databases only.")
@click.option("--json", "is_json", is_flag=True, help="Write JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Write nothing but the findings.")
def doctor(  # noqa: PLR0917 - click passes one for each option
    databases_: tuple[Path, ...],
    full: bool,
    no_check: bool,
    ignore: tuple[str, ...],
    seconds: float,
    no_environment: bool,
    is_json: bool,
    quiet: bool,
) -> None:
    """Find what is wrong with databases, and what to do about it.

    Nothing is changed, and a database may be in use. Without DB it looks at those that
    [tool.dbmanager.databases] of pyproject.toml names.

    The exit code is 1 if there are errors or warnings, 2 if something is wrong with the command.
    """
    options.refuse_both(("--full", full), ("--no-check", no_check))
    source = click.get_current_context().get_parameter_source("seconds")
    is_timed = source is click.core.ParameterSource.COMMANDLINE
    options.refuse_both(("--seconds", is_timed), ("--no-environment", no_environment))
    options.refuse_both(("--quiet", quiet), ("--json", is_json))
    # What is closed shall be closed: it belongs to somebody else.
    set_max_idle_connections(0)
    check = Check.FULL if full else Check.NONE if no_check else Check.QUICK
    paths = list(dict.fromkeys(databases_)) or configured()
    report = diagnosed(paths, check, None if no_environment else seconds)
    found = [finding for finding in report["findings"] if finding.code not in ignore]
    if is_json:
        json.dump(
            report | {"findings": [_json(finding) for finding in found]}, sys.stdout, indent=1
        )
        sys.stdout.write("\n")
    else:
        diagnosis.write(report, found, sys.stdout, is_quiet=quiet)
    is_well = all(finding.severity is Severity.NOTE for finding in found)
    sys.exit(0 if is_well else 1)
