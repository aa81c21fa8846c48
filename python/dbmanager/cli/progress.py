"""Progress of work that may take long: on a terminal only, and not in what is written."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Show that something is being done, and for how long, until the block ends.

    It goes to standard error, and leaves nothing there. With ``--quiet`` there is none.
    """
    context = click.get_current_context(silent=True)
    is_quiet = context is not None and context.params.get("quiet", False)
    console = Console(stderr=True)
    if is_quiet or not console.is_terminal:
        yield
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(what, total=None)
        yield
