"""The project that a baseline is for: its files, their services, and what a scan of them gives."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import click

from dbmanager import _core
from dbmanager._config import services
from dbmanager.cli.scan import scanned


@dataclass
class Project:
    """The files below the paths of a baseline. They are named relative to its folder."""

    folder: Path
    paths: list[str]
    _lines: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @property
    def _roots(self) -> tuple[Path, ...]:
        return tuple(Path(os.path.normpath(self.folder / path)) for path in self.paths)

    def check_paths(self) -> None:
        """Have every path be there.

        Raises:
            click.UsageError: One is not.
        """
        for path, root in zip(self.paths, self._roots, strict=True):
            if not root.exists():
                message = (
                    f"'{path}', which the baseline is made from, is not there: correct 'paths'"
                )
                raise click.UsageError(message)

    def scan(self) -> dict[str, Any]:
        """Scan the files; name them, and the databases there, relative to the folder."""
        report = scanned(self._roots)
        for name in ("calls", "references", "unparsable", "unreadable"):
            for entry in report[name]:
                entry["file"] = self.named(entry["file"])
        for call in report["calls"]:
            call["database"] = self.shown_database(call["database"])
        return report

    def named(self, file: str | Path) -> str:
        """Name a file as the rows do."""
        return PurePath(os.path.relpath(file, self.folder)).as_posix()

    def shown(self, file: str) -> str:
        """Name a file for those who look from the working directory."""
        return PurePath(os.path.relpath(self.folder / file)).as_posix()

    def shown_database(self, database: str) -> str:
        """Name a database of the project's from its folder, and any other as it is."""
        is_ours = database.startswith("/") and PurePath(database).is_relative_to(self.folder)
        return PurePath(database).relative_to(self.folder).as_posix() if is_ours else database

    @cached_property
    def services(self) -> dict[str, str]:
        """The service of each file that a scan looks at."""
        roots = [str(root) for root in self._roots]
        files = _core._services_of_files(roots, services())
        return {self.named(file): service for file, service in files.items()}

    @cached_property
    def real_files(self) -> dict[str, str]:
        """The names of these files by where they really are, links followed."""
        return {os.path.realpath(self.folder / file): file for file in self.services}

    def lines_of(self, file: str) -> list[str]:
        """Read a file's lines; none if there is no such file."""
        if file not in self._lines:
            path = self.folder / file
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            self._lines[file] = text.split("\n")
        return self._lines[file]


def is_below(file: str, paths: list[str]) -> bool:
    """Tell whether a file is one of some paths, or in one of them."""
    is_outside = file == ".." or file.startswith("../")
    return any(
        not is_outside if path == "." else PurePath(file).is_relative_to(path) for path in paths
    )
