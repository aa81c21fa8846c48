"""Tables that stay tables to a screen reader where a narrow screen shows them as lists."""

from collections.abc import Iterable
from dataclasses import dataclass

from dbmanager.cli.formats.html.markup import Content, Markup, element, text


@dataclass(frozen=True)
class Column:
    """A column: its title, and whether it has numbers."""

    title: str
    is_number: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell, what it is sorted by if not by its text, and its look."""

    content: Content
    key: str = ""
    class_: str = ""


def table(
    columns: list[Column], rows: Iterable[list[Cell]], *, label: str, class_: str = ""
) -> Markup:
    """Make a table. The first cell of a row is its head; the second one if `class_` is `ordered`.

    It scrolls by itself where it is too wide, and can then be reached by the keyboard.
    """
    head = element("tr", [_head(column) for column in columns], role="row")
    of_row = 1 if class_ == "ordered" else 0
    body = [element("tr", _cells(columns, row, of_row), role="row") for row in rows]
    content = element(
        "table",
        element("thead", head, role="rowgroup"),
        element("tbody", body, role="rowgroup"),
        role="table",
        aria_label=label,
        class_=class_ or False,
    )
    return element("div", content, class_="wide", role="region", aria_label=label, tabindex="0")


def _head(column: Column) -> Markup:
    attributes: dict[str, str | bool] = {"class_": "number"} if column.is_number else {}
    # A dotted name may go on in the next line.
    title = Markup(".<wbr>").join(text(part) for part in column.title.split("."))
    return element("th", Markup(title), scope="col", role="columnheader", **attributes)


def _cells(columns: list[Column], row: list[Cell], head: int) -> list[Markup]:
    pairs = enumerate(zip(columns, row, strict=True))
    return [_cell(column, cell, is_head=at == head) for at, (column, cell) in pairs]


def _cell(column: Column, cell: Cell, *, is_head: bool) -> Markup:
    classes = " ".join(word for word in ("number" * column.is_number, cell.class_) if word)
    role = {"scope": "row", "role": "rowheader"} if is_head else {"role": "cell"}
    return element(
        "th" if is_head else "td",
        cell.content,
        **role,
        class_=classes or False,
        data_label=False if is_head or not cell.content else column.title,
        data_key=cell.key or False,
    )
