"""The databases that a project's configuration file names."""

import tomllib
from pathlib import Path
from typing import Any

_PREFIX = "sqlite:///"


def databases() -> tuple[str, dict[str, Any]]:
    """Find the nearest file, from the working directory upward, that names databases.

    That is a ``dbmanager.toml`` with ``[databases]``, or a ``pyproject.toml`` with
    ``[tool.dbmanager.databases]``. An entry is a URL, or a table with ``url`` and
    settings. Relative paths are relative to the file's folder.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        for name, keys in (("dbmanager.toml", ()), ("pyproject.toml", ("tool", "dbmanager"))):
            path = folder / name
            if path.is_file():
                found = _databases(path, keys)
                if found is not None:
                    return str(path), {
                        key: _absolute(entry, folder) for key, entry in found.items()
                    }
    return "", {}


def _databases(path: Path, keys: tuple[str, ...]) -> dict[str, Any] | None:
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no valid TOML: {error}") from error
    names = (*keys, "databases")
    for depth, key in enumerate(names):
        if depth == len(keys) and (unknown := [name for name in table if name != key]):
            message = f"{path}: '{'.'.join((*keys, unknown[0]))}' is not known; "
            raise ValueError(f"{message}databases are named in [{'.'.join(names)}]")
        table = table.get(key)
        if table is None:
            return None
        if not isinstance(table, dict):
            message = f"{path}: '{'.'.join(names[: depth + 1])}' must be a table"
            raise TypeError(message)
    return dict(table)


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
