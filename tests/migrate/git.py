"""Git, in a folder of a test."""

import subprocess
from pathlib import Path

GIT = ("git", "-c", "user.email=a@example.org", "-c", "user.name=a")


def git(*arguments: str, folder: Path) -> str:
    ended = subprocess.run(
        [*GIT, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return ended.stdout
