"""Which files this process has open."""

import os
from contextlib import suppress
from pathlib import Path


def open_files(folder: Path) -> list[str]:
    """Give the process's open files that are, or were, in a folder, one for each descriptor."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The one of the listing itself is gone by now.
        with suppress(OSError):
            target = os.readlink(descriptor)
            if target.startswith(f"{folder}/"):
                names.append(target)
    return sorted(names)
