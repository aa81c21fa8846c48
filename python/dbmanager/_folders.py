"""The folders in which the files of a project are looked for, and where these end.

What stands above belongs to somebody else: another project, all projects of a user, other users.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path


def upward() -> Iterator[Path]:
    """Give the working directory and the folders above it, as far as its project may reach.

    The last one is the top of the Git repository, or the user's home folder, or the top of the file
    system. A folder in which all users have their files, such as ``/tmp``, is the last one only if
    it is the working directory itself.
    """
    here, home = Path.cwd(), home_folder()
    for folder in (here, *here.parents):
        if folder != here and folder.stat().st_mode & stat.S_ISVTX:
            return
        yield folder
        if folder == home or (folder / ".git").exists():
            return


def home_folder() -> Path:
    """Give the user's home folder, its links followed as in the working directory's name."""
    return Path(os.path.realpath(os.path.expanduser("~")))  # noqa: PTH111 - without one it stays
