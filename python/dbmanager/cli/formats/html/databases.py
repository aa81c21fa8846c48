"""The databases and who uses them: a row a database, a column a service."""

from collections import Counter
from typing import Any

from dbmanager.cli.formats.html.head import counted
from dbmanager.cli.formats.html.markup import Content, Markup, element
from dbmanager.cli.formats.html.origin import Origin
from dbmanager.cli.formats.html.services import with_calls
from dbmanager.cli.formats.html.tables import Cell, Column, table

_UNKNOWN = "unknown"
_MANY = 6
"""With more services than this, their names are written upwards."""
_STEPS = (1, 3, 10)
"""From how many calls on a cell is darker."""


def section(report: dict[str, Any], known: Origin) -> Markup:
    """Make the section."""
    services = [service["name"] for service in with_calls(report)]
    users = _users(report["calls"])
    columns = [Column("database"), *(Column(name, is_number=True) for name in services)]
    columns.append(Column("all", is_number=True))
    rows = [_row(database, users[database], services, known) for database in _ordered(users)]
    content = (
        table(
            columns, rows, label="Databases and the services that open them", class_=_look(services)
        )
        if rows
        else element("p", "No database is opened directly.", class_="none")
    )
    return element(
        "section",
        element("h2", "Databases", id="databases"),
        element("p", _lead(users), class_="lead"),
        content,
        aria_labelledby="databases",
    )


def _look(services: list[str]) -> str:
    return "matrix many" if len(services) > _MANY else "matrix"


def _users(calls: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Count the calls by database and service."""
    users: dict[str, Counter[str]] = {}
    for call in calls:
        users.setdefault(call["database"], Counter())[call["service"]] += 1
    return users


def _ordered(users: dict[str, Counter[str]]) -> list[str]:
    """Put those first that most services have in common."""

    def weight(database: str) -> tuple[bool, int, int, str]:
        services = users[database]
        return database == _UNKNOWN, -len(services), -services.total(), database

    return sorted(users, key=weight)


def _lead(users: dict[str, Counter[str]]) -> str:
    shared = [
        database
        for database, services in users.items()
        if len(services) > 1 and database not in {_UNKNOWN, ":memory:"}
    ]
    order = "How many calls of each service open which database."
    if not shared:
        return order
    verb = "is" if len(shared) == 1 else "are"
    return f"{order} {counted(len(shared), 'database')} {verb} opened by more than one service."


def _row(database: str, users: Counter[str], services: list[str], known: Origin) -> list[Cell]:
    return [
        Cell(name(database, known), key=database),
        *(_count(users[service]) for service in services),
        Cell(str(users.total()), class_="sum"),
    ]


def name(database: str, known: Origin) -> Content:
    """Name a database."""
    if database == _UNKNOWN:
        return element("em", "not known from the code")
    return element("code", known.shown(database))


def _count(count: int) -> Cell:
    if not count:
        return Cell("", key="0")
    return Cell(str(count), class_=f"heat{sum(count >= step for step in _STEPS)}")
