"""Arguments and options that several commands have."""

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]

FILE = click.Path(dir_okay=False, path_type=Path)


def paths() -> _Decorator[Any]:
    """Take files and folders that are there."""
    kind = click.Path(exists=True, path_type=Path)
    return click.argument("paths", nargs=-1, required=True, type=kind, metavar="PATH...")


def form(names: Iterable[str], more: str = "") -> _Decorator[Any]:
    """Take the form in which something is written."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(list(names)),
        default="table",
        show_default=True,
        help=f"How to write it. 'github' makes annotations of GitHub Actions{more}.",
    )


def as_json() -> _Decorator[Any]:
    """Take the short way to ask for JSON."""
    return click.option("--json", "is_json", is_flag=True, help="The same as --format json.")


def output() -> _Decorator[Any]:
    """Take a file to write to."""
    return click.option(
        "-o",
        "--output",
        type=FILE,
        callback=_with_folder,
        help="Write to a file; - is standard output.",
    )


def _with_folder(
    context: click.Context, _parameter: click.Parameter, path: Path | None
) -> Path | None:
    """Have it told before the work is done that it can't be written."""
    if path == Path("-"):
        return None
    if path is not None and not path.parent.is_dir():
        raise click.UsageError(f"{path} can't be written: {os.strerror(errno.ENOENT)}", context)
    return path


def quiet(number_of: str) -> _Decorator[Any]:
    """Take the wish to be told a number only, or nothing if a file is written."""
    told = f"Write nothing but the number of {number_of}; with --output nothing but the file."
    return click.option("-q", "--quiet", is_flag=True, help=told)


def chosen_form(format_: str, *, is_json: bool, quiet: bool, output: Path | None) -> str:
    """Give the form in which a result is to be written.

    Raises:
        click.UsageError: Two forms are asked for, or one and no result.
    """
    source = click.get_current_context().get_parameter_source("format_")
    is_named = source is not ParameterSource.DEFAULT
    named = f"--format {format_}"
    if format_ != "json":
        refuse_both(("--json", is_json), (named, is_named))
    if output is None:
        form = ("--json", True) if is_json else (named, is_named)
        refuse_both(("--quiet", quiet), form, unless="--output names a file")
    return "json" if is_json else format_


def refuse_both(one: tuple[str, object], other: tuple[str, object], *, unless: str = "") -> None:
    """Have no two options given that contradict each other; each comes with its value.

    Raises:
        click.UsageError: Both are given.
    """
    if one[1] and other[1]:
        message = f"{one[0]} and {other[0]} exclude each other"
        raise click.UsageError(message + (f", unless {unless}" if unless else ""))
