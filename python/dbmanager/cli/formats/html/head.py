"""The head of the page: the numbers of the whole, and the verdicts as a bar."""

from typing import Any

from dbmanager.cli.formats.html.bars import VERDICTS, bar
from dbmanager.cli.formats.html.markup import Markup, element
from dbmanager.cli.formats.html.origin import Origin

_SECTIONS = {
    "services": "Services",
    "databases": "Databases",
    "calls": "Calls",
    "search": "Search",
    "words": "Words",
}


def header(report: dict[str, Any], known: Origin) -> Markup:
    """Make the head."""
    summary = report["summary"]
    return element(
        "header",
        element("p", "dbmanager scan", class_="brand"),
        element("h1", "Direct SQLite calls"),
        element("p", _made(report, known), class_="lead"),
        element("dl", _numbers(report), class_="numbers"),
        _verdicts(summary["verdicts"]) if report["calls"] else [],
        _contents(),
        class_="top",
    )


def footer(known: Origin) -> Markup:
    """Make the foot."""
    told = f"Made by dbmanager {known.version}. A scan reads the code and runs none of it."
    return element("footer", element("p", told))


def _made(report: dict[str, Any], known: Origin) -> list[str]:
    at = known.made.strftime("%Y-%m-%d %H:%M UTC")
    files = counted(report["summary"]["files"], "Python file")
    time = element("time", at, datetime=known.made.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return [f"What is in {files}, as of ", time, f", by dbmanager {known.version}."]


def counted(count: int, noun: str) -> str:
    """Say how many there are of something.

    >>> from dbmanager.cli.formats.html.head import counted
    >>> counted(1, "call"), counted(2000, "call")
    ('1 call', '2,000 calls')
    """
    return f"{count:,} {plural(noun, count)}"


def plural(noun: str, count: int) -> str:
    """Give the form of a noun for a number."""
    return noun if count == 1 else f"{noun}s"


def _numbers(report: dict[str, Any]) -> list[Markup]:
    summary = report["summary"]
    verdicts = [
        (verdict, summary["verdicts"].get(verdict, 0), class_)
        for verdict, class_ in VERDICTS.items()
    ]
    known = len(summary["databases"].keys() - {"unknown"})
    numbers = [
        (plural("call", summary["calls"]), summary["calls"], ""),
        *verdicts,
        (plural("service", len(report["services"])), len(report["services"]), ""),
        (plural("database", known), known, ""),
    ]
    return [_number(*number) for number in numbers]


def _number(name: str, number: int, class_: str) -> Markup:
    parts = element("dt", name), element("dd", f"{number:,}")
    return element("div", *parts, class_=class_ or False)


def _verdicts(verdicts: dict[str, int]) -> Markup:
    shares = [(class_, verdicts.get(verdict, 0)) for verdict, class_ in VERDICTS.items()]
    total = sum(count for _, count in shares)
    words = [
        f"{percent(verdicts.get(verdict, 0), total)} {meaning}"
        for verdict, meaning in (
            ("safe", "can be rewritten safely"),
            ("unsafe", "on a condition"),
            ("by hand", "by hand only"),
        )
    ]
    legend = [
        element("li", element("i", class_=f"dot {class_}", aria_hidden="true"), word)
        for class_, word in zip(VERDICTS.values(), words, strict=True)
    ]
    label = "Verdicts: " + ", ".join(words)
    return element("div", bar(shares, label), element("ul", legend, class_="legend"), class_="all")


def percent(part: int, total: int) -> str:
    """Say a share, which is only all or nothing if it is just that.

    >>> from dbmanager.cli.formats.html.head import percent
    >>> percent(1, 2000), percent(1999, 2000), percent(2, 3)
    ('1 %', '99 %', '67 %')
    """
    if part in {0, total}:
        return "100 %" if part else "0 %"
    return f"{min(max(round(100 * part / total), 1), 99)} %"


def _contents() -> Markup:
    links = [
        element("li", element("a", title, href=f"#{name}")) for name, title in _SECTIONS.items()
    ]
    return element("nav", element("ul", links), aria_label="Sections")
