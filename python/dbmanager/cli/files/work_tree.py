"""Whether Git has all that a command is about to change."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def uncommitted(paths: Iterable[Path]) -> list[str]:
    """Give the files with changes that are not committed, of the work trees that paths are in.

    Files that Git does not follow do not count, and without Git there is nothing to tell.
    """
    git = shutil.which("git")
    if git is None:
        return []
    folders = {path if path.is_dir() else path.parent for path in (p.resolve() for p in paths)}
    found: set[str] = set()
    for folder in folders:
        command = [git, "-C", str(folder), "status", "--porcelain", "-z", "--untracked-files=no"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if ended.returncode == 0:
            found |= set(_paths(ended.stdout))
    return sorted(found)


def _paths(status: str) -> Iterable[str]:
    entries = iter(status.split("\0"))
    for entry in entries:
        if entry:
            yield entry[3:]
        if entry[:1] in {"R", "C"}:
            # The old name comes in an entry of its own.
            next(entries, None)
