"""The baseline: the direct calls that a project allows, as they stand in its file.

https://toml.io/en/v1.0.0. The parser of the standard library tells no lines, so they are looked up
in the text: there is a row a line, as `layout` writes it.
"""

import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dbmanager.cli.ratchet import conflicts
from dbmanager.cli.ratchet.call_text import normalised

VERSION = 1
SECTIONS = {
    "calls": ("file", "scope", "call"),
    "unparsable": ("file",),
    "run_time": ("file", "scope", "source"),
}
"""The lists of rows, and what tells a row of each from others."""
COUNTED = ("calls", "unparsable")
_TITLE = re.compile(r"  # (\S.*)")
_KEYS = ("version", "paths", "all_kinds", "services_done", *SECTIONS)


@dataclass(frozen=True, order=True)
class Row:
    """A direct call by its content: it stays the same when lines above it come and go."""

    section: str
    file: str
    """As a POSIX path, from the baseline's folder."""
    scope: str = ""
    text: str = ""


@dataclass
class Baseline:
    """What is allowed."""

    path: Path
    paths: list[str]
    """What it was made from, relative to its folder."""
    all_kinds: bool = False
    services_done: list[str] = field(default_factory=list)
    rows: dict[Row, int] = field(default_factory=dict)
    """How often each call is allowed."""
    lines: dict[Row, int] = field(default_factory=dict)
    """Where each row stands in the file."""
    titles: set[str] = field(default_factory=set)
    """The files that have a title in it, with rows or without."""

    @property
    def folder(self) -> Path:
        """The folder that all paths in it are relative to."""
        return self.path.absolute().parent


class _File:
    """A file's text, and how to tell what is wrong with it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        # TOML's lines end with nothing else.
        self.lines = text.rstrip("\n").split("\n")

    def error(self, line: int, message: str) -> ValueError:
        return ValueError(f"{self.path}:{line}: {message}")

    def line_of(self, key: str) -> int:
        pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[]=.]""")
        found = (number for number, line in enumerate(self.lines, 1) if pattern.match(line))
        return next(found, 1)

    def line_of_service(self, service: str) -> int:
        first = self.line_of("services_done")
        rest = enumerate(self.lines[first - 1 :], first)
        return next((number for number, line in rest if f'"{service}"' in line), first)

    def lines_of_rows(self, section: str, count: int) -> list[int]:
        """Give the lines of a list's rows; the list's own if they do not stand in a line each."""
        first = self.line_of(section)
        rows = []
        for number, line in enumerate(self.lines[first:], first + 1):
            if line.startswith("]"):
                break
            rows += [number] if line.lstrip().startswith("{") else []
        return rows if len(rows) == count else [first] * count


def read(path: Path, *, after_merge: bool) -> Baseline:
    """Read a baseline; `after_merge` takes the lines of both sides where a merge left a conflict.

    Raises:
        ValueError: It is none; the text says where and why.
        OSError: The file can't be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error
    if after_merge:
        text = conflicts.of_both_sides(text)
    file = _File(path, text)
    content = _parsed(file, text)
    _check_keys(file, content)
    baseline = Baseline(
        path,
        _texts(file, content, "paths"),
        all_kinds=_flag(file, content, "all_kinds"),
        services_done=_texts(file, content, "services_done"),
        titles={found[1] for line in file.lines if (found := _TITLE.fullmatch(line))},
    )
    for service in baseline.services_done:
        baseline.lines[Row("services_done", service)] = file.line_of_service(service)
    if not baseline.paths:
        raise file.error(file.line_of("paths"), "'paths' must name what the baseline is made from")
    for section in SECTIONS:
        _read_rows(file, content.get(section, []), section, baseline)
    return baseline


def _parsed(file: _File, text: str) -> dict[str, Any]:
    if line := conflicts.first(file.lines):
        raise file.error(line, "a merge left a conflict here: --update takes what both sides need")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"at line (\d+)", str(error))
        at = int(where[1]) if where else max(len(file.lines), 1)
        raise file.error(at, f"this is no valid TOML: {error}") from error


def _check_keys(file: _File, content: dict[str, Any]) -> None:
    for key in content:
        if key not in _KEYS:
            message = f"'{key}' is not known; known are {', '.join(_KEYS)}"
            raise file.error(file.line_of(key), message)
    if "version" not in content:
        raise file.error(1, f"'version' is missing; this dbmanager writes version = {VERSION}")
    version = content["version"]
    if type(version) is not int or version != VERSION:
        message = f"version {version!r} is not known, only {VERSION}: use the dbmanager it is from"
        raise file.error(file.line_of("version"), message)


def _texts(file: _File, content: dict[str, Any], key: str) -> list[str]:
    texts = content.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise file.error(file.line_of(key), f"'{key}' must be a list of texts")
    return sorted(set(texts))


def _flag(file: _File, content: dict[str, Any], key: str) -> bool:
    flag = content.get(key, False)
    if not isinstance(flag, bool):
        raise file.error(file.line_of(key), f"'{key}' must be true or false")
    return flag


def _read_rows(file: _File, rows: object, section: str, baseline: Baseline) -> None:
    if not isinstance(rows, list):
        raise file.error(file.line_of(section), f"'{section}' must be a list of rows")
    lines = file.lines_of_rows(section, len(rows))
    written: dict[Row, int] = {}
    for line, content in zip(lines, rows, strict=True):
        row, count = _row(file, line, section, content)
        # A merge that takes the lines of both sides may leave a row twice, with two counts.
        written[row] = max(count, written.get(row, 0))
        baseline.lines.setdefault(_normalised(row), line)
    for row, count in written.items():
        # Rows of an older dbmanager differ where only the quotes of the calls do.
        known = _normalised(row)
        baseline.rows[known] = baseline.rows.get(known, 0) + count


def _normalised(row: Row) -> Row:
    return replace(row, text=normalised(row.text)) if row.section == "calls" else row


def _row(file: _File, line: int, section: str, content: object) -> tuple[Row, int]:
    names = SECTIONS[section]
    if not isinstance(content, dict):
        raise file.error(line, f"a row of '{section}' must be a table: {{ {', '.join(names)} }}")
    known = {*names, "count"} if section in COUNTED else set(names)
    for key in content:
        if key not in known:
            message = f"'{key}' is not known in a row of '{section}'; known are {_listed(known)}"
            raise file.error(line, message)
    for name in names:
        if not isinstance(content.get(name), str):
            raise file.error(line, f"a row of '{section}' must have a text '{name}'")
    count = content.get("count", 1)
    if type(count) is not int or count < 1:
        raise file.error(line, f"'count' must be a number from 1, not {count!r}")
    return Row(section, *(content[name] for name in names)), count


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
