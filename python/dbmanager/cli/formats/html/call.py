"""One call: its code, what is known of it, and what is to be done."""

from typing import Any

from dbmanager.cli.formats.html import code, databases
from dbmanager.cli.formats.html.bars import badge
from dbmanager.cli.formats.html.head import counted
from dbmanager.cli.formats.html.markup import Content, Markup, element, listed
from dbmanager.cli.formats.html.origin import Origin
from dbmanager.cli.formats.table import HAZARDS, HELD

_RUNS = {
    "reads": "read",
    "writes": "write",
    "schema": "schema change",
    "unknown": "unknown statement",
    "commits": "commit",
    "rollbacks": "rollback",
}


def article(number: int, call: dict[str, Any], known: Origin) -> Markup:
    """Show a call; the script filters and orders by what is in its attributes."""
    name = f"call-{number}"
    return element(
        "article",
        _head(call, name),
        element("pre", _code(call)),
        element("dl", _facts(call, known)),
        element("p", _why(call), class_="why"),
        _proposed(call.get("proposed", "")),
        class_="call",
        id=name,
        data_verdict=call["verdict"],
        data_hazards=str(len(call["hazards"])),
        data_database=call["database"],
    )


def _head(call: dict[str, Any], name: str) -> Markup:
    place = element("code", f"{call['file']}:{call['line']}")
    parts = (
        element("a", place, href=f"#{name}"),
        element("span", _scope(call), class_="scope"),
        badge(call["verdict"]),
    )
    return element("h4", [[part, " "] for part in parts])


def _scope(call: dict[str, Any]) -> Content:
    if call["scope"] == "<module>":
        return "at the module's level"
    return [f"in the {call['scope_kind']} ", element("code", call["scope"])]


def _code(call: dict[str, Any]) -> Markup:
    return element("code", code.coloured(call["code"], code.Call(call["column"] - 1, call["call"])))


def _facts(call: dict[str, Any], known: Origin) -> list[Markup]:
    facts: list[tuple[str, Content]] = [
        ("Connection", HELD[call["held"]]),
        ("Database", _database(call, known)),
        ("Runs", _runs(call["usage"])),
        ("Sets", listed([element("code", name) for name in call["usage"]["sets"]])),
        ("May go wrong", ", ".join(HAZARDS[hazard] for hazard in call["hazards"])),
    ]
    if call["kind"] != "sqlite3":
        facts.insert(0, ("Library", call["kind"]))
    return [
        element("div", element("dt", title), element("dd", fact), class_=_class(title))
        for title, fact in facts
        if fact
    ]


def _class(title: str) -> str | bool:
    return "hazards" if title == "May go wrong" else False


def _database(call: dict[str, Any], known: Origin) -> Content:
    if call["database"] != "unknown" or not call["database_expression"]:
        return databases.name(call["database"], known)
    return [element("code", call["database_expression"]), ", not known from the code"]


def _runs(usage: dict[str, Any]) -> str:
    return ", ".join(counted(usage[key], noun) for key, noun in _RUNS.items() if usage[key])


def _why(call: dict[str, Any]) -> Content:
    return [element("b", call["rule"] or call["verdict"]), ": ", call["reason"]]


def _proposed(proposed: str) -> Content:
    if not proposed:
        return []
    return [
        element("p", "Proposed", class_="label"),
        element("pre", element("code", code.coloured(proposed)), class_="proposed"),
    ]
