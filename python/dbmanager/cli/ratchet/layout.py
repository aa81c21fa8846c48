"""The baseline as a file that is merged well: sorted, a row a line, one form for one content."""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from dbmanager.cli.ratchet.baseline import COUNTED, SECTIONS, VERSION, Baseline, Row

_HEAD = """\
# Direct calls that open SQLite databases, as `dbmanager check` allows them. No others may come.
# Made by `dbmanager check --update`, which takes out what is gone: run it, do not edit the rows.
# It ends conflicts of a merge here, too. A file's title stays without rows: it keeps merges apart.
"""


def text_of(baseline: Baseline) -> str:
    """Write a baseline as TOML."""
    parts = [_HEAD, f"version = {VERSION}\n", _list_of_texts("paths", baseline.paths)]
    if baseline.all_kinds:
        parts.append("all_kinds = true\n")
    parts.append(_list_of_texts("services_done", baseline.services_done))
    for section in SECTIONS:
        rows = sorted(row for row in baseline.rows if row.section == section)
        titles = _titles(baseline, rows) if section == "calls" else set()
        if rows or section == "calls":
            parts.append(_list_of_rows(section, rows, titles, baseline.rows))
    return "".join(parts)


def write(baseline: Baseline) -> bool:
    """Write it to its file, which is whole at any moment. Tells whether anything is new in it.

    Raises:
        OSError: The file can't be written.
    """
    text = text_of(baseline).encode()
    path = Path(os.path.realpath(baseline.path))
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == text:
            return False
    _replace(path, text)
    return True


def _replace(path: Path, text: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(text)
        new.chmod(_mode(path))
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """Give the permissions that the file has, or that a new one gets."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _list_of_texts(key: str, texts: list[str]) -> str:
    lines = "".join(f"  {_quoted(text)},\n" for text in sorted(set(texts)))
    return f"\n{key} = [\n{lines}]\n"


def _titles(baseline: Baseline, rows: list[Row]) -> set[str]:
    """Give the files to have a title: those with rows, and those that had some and are there.

    A merge can't tell apart changes of lines that touch. So two branches that free two files of
    calls need a line between these that neither of them changes.
    """
    if not rows:
        return set()
    there = {file for file in baseline.titles if (baseline.folder / file).exists()}
    return {file for file in there | {row.file for row in rows} if file.isprintable()}


def _list_of_rows(section: str, rows: list[Row], titles: set[str], counts: dict[Row, int]) -> str:
    lines: dict[tuple[str, ...], str] = {(file,): f"  # {file}\n" for file in titles}
    lines |= {(row.file, row.scope, row.text): _line(row, counts[row]) for row in rows}
    return f"\n{section} = [\n" + "".join(lines[key] for key in sorted(lines)) + "]\n"


def _line(row: Row, count: int) -> str:
    names = SECTIONS[row.section]
    values = zip(names, (row.file, row.scope, row.text), strict=False)
    fields = [f"{name} = {_quoted(value)}" for name, value in values]
    if row.section in COUNTED and count > 1:
        fields.append(f"count = {count}")
    return f"  {{ {', '.join(fields)} }},\n"


def _quoted(text: str) -> str:
    """Quote a text, so that it can be read if that is possible."""
    if ('"' in text or "\\" in text) and "'" not in text and text.isprintable():
        return f"'{text}'"
    # TOML's escapes are JSON's; it has one character more that must be escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
