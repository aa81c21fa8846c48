"""Arguments and options that several commands have."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

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
    return click.option("-o", "--output", type=FILE, help="Write to a file.")


def refuse_both(one: tuple[str, object], other: tuple[str, object], *, unless: str = "") -> None:
    """Have no two options given that contradict each other; each comes with its value.

    Raises:
        click.UsageError: Both are given.
    """
    if one[1] and other[1]:
        message = f"{one[0]} and {other[0]} exclude each other"
        raise click.UsageError(message + (f", unless {unless}" if unless else ""))
