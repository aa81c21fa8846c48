"""Where a result is written to."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click


@contextmanager
def opened(path: Path | None) -> Iterator[IO[str]]:
    """Open a file to write a result into; without a path that is standard output.

    Raises:
        click.UsageError: It can't be opened.
    """
    if path is None:
        yield sys.stdout
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{path} can't be written: {error.strerror}") from error
    with file:
        yield file
