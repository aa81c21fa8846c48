"""What a project's configuration file says: its databases by name, and its services."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbmanager import _folders

_PREFIX = "sqlite:///"
_TABLES = ("databases", "services")


def databases() -> tuple[str, dict[str, Any]]:
    """Find the nearest file, from the working directory upward, that names databases.

    What stands above the project does not count (`_folders.upward`). Such a file is a
    ``dbmanager.toml`` with ``[databases]``, or a ``pyproject.toml`` with
    ``[tool.dbmanager.databases]``. An entry is a URL, or a table with ``url`` and settings.
    Relative paths are relative to the file's folder.
    """
    for folder, path, tables in _files():
        found = _table(path, tables, "databases")
        if found is not None:
            return str(path), {key: _absolute(entry, folder) for key, entry in found.items()}
    return "", {}


def paths_of_databases() -> list[tuple[str, str]]:
    """Give the files of the databases that are named there, each an absolute path with its name."""
    _, named = databases()
    urls = {
        name: entry.get("url") if isinstance(entry, dict) else entry
        for name, entry in named.items()
    }
    paths = {name: _path(url) for name, url in urls.items() if isinstance(url, str)}
    return [(path, name) for name, path in paths.items() if path is not None]


def _path(url: str) -> str | None:
    if not url.startswith(f"{_PREFIX}/"):
        return None
    return url.removeprefix(_PREFIX).partition("?")[0]


def services() -> dict[str, list[str]]:
    """Find what the nearest such file says in ``[services]``: by name, patterns of modules."""
    for _, path, tables in _files():
        found = _table(path, tables, "services")
        if found is not None:
            return {name: _patterns(path, name, patterns) for name, patterns in found.items()}
    return {}


def _files() -> Iterator[tuple[Path, Path, tuple[str, ...]]]:
    """Give the files there are, each with its folder and the table that all of ours stands in."""
    for folder in _folders.upward():
        for name, tables in (("dbmanager.toml", ()), ("pyproject.toml", ("tool", "dbmanager"))):
            path = folder / name
            if path.is_file():
                yield folder, path, tables


def _table(path: Path, tables: tuple[str, ...], wanted: str) -> dict[str, Any] | None:
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid TOML: {error}") from error
    names = (*tables, wanted)
    for depth, key in enumerate(names):
        if depth == len(tables) and (unknown := [name for name in table if name not in _TABLES]):
            message = f"{path}: '{'.'.join((*tables, unknown[0]))}' is not known; "
            places = [f"[{'.'.join((*tables, name))}]" for name in _TABLES]
            message += f"databases are named in {places[0]}, services in {places[1]}"
            raise ValueError(message)
        table = table.get(key)
        if table is None:
            return None
        if not isinstance(table, dict):
            message = f"{path}: '{'.'.join(names[: depth + 1])}' must be a table"
            raise TypeError(message)
    return dict(table)


def _patterns(path: Path, name: str, patterns: object) -> list[str]:
    listed = [patterns] if isinstance(patterns, str) else patterns
    if not isinstance(listed, list) or not all(isinstance(pattern, str) for pattern in listed):
        raise TypeError(f"{path}: the service '{name}' must be a list of patterns of modules")
    return listed


def _absolute(entry: Any, folder: Path) -> Any:  # noqa: ANN401 - checked by configure()
    if isinstance(entry, dict):
        return {**entry, "url": _absolute(entry["url"], folder)} if "url" in entry else entry
    if not isinstance(entry, str) or not entry.startswith(_PREFIX):
        return entry
    path = entry.removeprefix(_PREFIX)
    if not path or path.startswith(("/", ":memory:", "?")):
        return entry
    if "?" in str(folder):
        raise ValueError(
            f"the relative path in '{entry}' can't be found from a folder with '?' in its name "
            f"({folder}); write an absolute path"
        )
    return f"{_PREFIX}{folder / path}"
