"""Progress of work that may take long: on a terminal only, and not in what is written."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Show that something is being done, and for how long, until the block ends.

    It goes to standard error, and leaves nothing there. With ``--quiet`` or ``--json`` there is
    none.
    """
    console = Console(stderr=True)
    if _is_for_programs() or not console.is_terminal:
        yield
        return
    # What it names may have brackets.
    text = TextColumn("{task.description}", markup=False)
    columns = SpinnerColumn(), text, TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield


def _is_for_programs() -> bool:
    context = click.get_current_context(silent=True)
    params = context.params if context is not None else {}
    return bool(params.get("quiet") or params.get("is_json"))
