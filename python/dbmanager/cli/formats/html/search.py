"""What a search by text finds, what each place is, and the files that could not be looked at."""

from typing import Any

from dbmanager.cli.formats.html.head import counted
from dbmanager.cli.formats.html.markup import Markup, element
from dbmanager.cli.formats.html.tables import Cell, Column, table

_KINDS = {
    "call": "a direct call",
    "reference": "the function, named without a call: passed on, or bound to a name",
    "string": "in a text, such as a docstring",
    "comment": "in a comment",
    "other": "in code, and something else: a part of a longer name, or a name of its own",
    "unparsable": "in a file that is no Python",
}


def section(report: dict[str, Any]) -> Markup:
    """Make the section."""
    found = sum(report["hits"].values())
    lead = (
        f"A search for sqlite3.connect in the text finds {counted(found, 'place')}, and this is "
        "what they are. Calls under other names come on top."
    )
    return element(
        "section",
        element("h2", "Search", id="search"),
        element("p", lead, class_="lead"),
        _hits(report["hits"]),
        _unparsable(report["unparsable"]),
        _unreadable(report["unreadable"]),
        aria_labelledby="search",
    )


def _hits(hits: dict[str, int]) -> Markup:
    columns = [Column("kind"), Column("places", is_number=True), Column("what it is")]
    rows = [
        [
            Cell(kind),
            Cell(f"{count:,}", class_="" if count else "zero"),
            Cell(_KINDS.get(kind, "")),
        ]
        for kind, count in sorted(hits.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table(columns, rows, label="What a search by text finds, by kind", class_="hits")


def _unparsable(files: list[dict[str, Any]]) -> list[Markup]:
    columns = [Column("file"), Column("why"), Column("found by text", is_number=True)]
    rows = [
        [
            Cell(element("code", f"{file['file']}:{file['line']}")),
            Cell(file["reason"]),
            Cell(str(file["hits"])),
        ]
        for file in files
    ]
    return _listed("Files that are no Python", columns, rows)


def _unreadable(files: list[dict[str, Any]]) -> list[Markup]:
    columns = [Column("file or folder"), Column("why")]
    rows = [[Cell(element("code", file["file"])), Cell(file["reason"])] for file in files]
    return _listed("Files that can't be read", columns, rows)


def _listed(title: str, columns: list[Column], rows: list[list[Cell]]) -> list[Markup]:
    return [element("h3", title), table(columns, rows, label=title)] if rows else []
