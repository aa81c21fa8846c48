"""The difference of two texts as `git apply` and `patch` read it."""

import difflib
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from dbmanager.cli.files.replacing import Change


def lines(change: Change) -> Iterator[str]:
    """Give the lines of the difference, with their ends."""
    before, after = (_lines(content) for content in (change.before, change.after))
    name = Path(change.path).as_posix().lstrip("/")
    for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}"):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(content: bytes) -> list[str]:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    text = content.decode(encoding, "surrogateescape")
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [text.rpartition("\n")[2]] * (
        not text.endswith("\n") and bool(text)
    )
