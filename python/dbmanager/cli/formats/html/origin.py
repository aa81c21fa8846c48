"""Where a report comes from: when it was made and by what, and what the project says is done."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePath

import click

from dbmanager.cli.ratchet import baseline

BASELINE = Path("dbmanager-baseline.toml")


@dataclass(frozen=True)
class Origin:
    """What a page tells besides the scan."""

    made: datetime
    version: str
    folder: Path
    """Databases below it are named from it."""
    done: frozenset[str] | None
    """The services marked done; None where there is no baseline that would say so."""

    def shown(self, database: str) -> str:
        """Name a database of the project's from its folder, and any other as it is."""
        path = PurePath(database)
        is_ours = path.is_absolute() and path.is_relative_to(self.folder)
        return path.relative_to(self.folder).as_posix() if is_ours else database


def read() -> Origin:
    """Read it from the surroundings.

    Raises:
        click.UsageError: The time that SOURCE_DATE_EPOCH asks for, or the baseline, is wrong.
    """
    return Origin(_made(), version("dbmanager"), Path.cwd(), _done())


def _made() -> datetime:
    """Give the time, or the one that is asked for: https://reproducible-builds.org/specs/."""
    asked = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not asked:
        return datetime.now(UTC)
    try:
        return datetime.fromtimestamp(int(asked), UTC)
    except (ValueError, OverflowError, OSError) as error:
        message = f"SOURCE_DATE_EPOCH must be a number of seconds since 1970, not '{asked}'"
        raise click.UsageError(message) from error


def _done() -> frozenset[str] | None:
    if not BASELINE.exists():
        return None
    try:
        return frozenset(baseline.read(BASELINE, after_merge=False).services_done)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
