"""The services in the proposed order, and how far each has come."""

from collections import Counter
from typing import Any

from dbmanager.cli.formats.html.bars import VERDICTS, bar
from dbmanager.cli.formats.html.head import counted, percent
from dbmanager.cli.formats.html.markup import Content, Markup, element
from dbmanager.cli.formats.html.origin import BASELINE, Origin
from dbmanager.cli.formats.html.tables import Cell, Column, table

_COLUMNS = [
    Column("order", is_number=True),
    Column("service"),
    Column("progress"),
    Column("calls", is_number=True),
    *(Column(verdict, is_number=True) for verdict in VERDICTS),
    Column("files", is_number=True),
]


def section(report: dict[str, Any], known: Origin) -> Markup:
    """Make the section."""
    verdicts = verdicts_by_service(report["calls"])
    rows = [_row(one, verdicts[one["name"]], known) for one in with_calls(report)]
    rows += [_done_row(name) for name in _without_calls(report, known)]
    content = (
        table(_COLUMNS, rows, label="Services in the proposed order", class_="ordered")
        if rows
        else element("p", "There is no service with a direct call.", class_="none")
    )
    return element(
        "section",
        element("h2", "Services", id="services"),
        element("p", _lead(report, known), class_="lead"),
        _overall(report, known),
        content,
        aria_labelledby="services",
    )


def verdicts_by_service(calls: list[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Count the verdicts of each service's calls."""
    verdicts: dict[str, Counter[str]] = {}
    for call in calls:
        verdicts.setdefault(call["service"], Counter())[call["verdict"]] += 1
    return verdicts


def with_calls(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the services that have direct calls left."""
    return [service for service in report["services"] if service["calls"]]


def progress(service: dict[str, Any], verdicts: Counter[str], known: Origin) -> str:
    """Say in words how far a service has come."""
    total, safe, moved = verdicts.total(), verdicts["safe"], service["pooled"]
    if known.done is not None and service["name"] in known.done:
        return f"marked done, but {counted(total, 'call')} left"
    at_hand = f"{safe:,} of {total:,} at hand" if safe else "none at hand"
    return f"{moved:,} moved, {at_hand}" if moved else at_hand


def progress_bar(service: dict[str, Any], verdicts: Counter[str], known: Origin) -> Markup:
    """Draw what is moved of a service, and the verdicts of the calls that are left."""
    left = [(class_, verdicts[verdict]) for verdict, class_ in VERDICTS.items()]
    shares = [("done", service["pooled"]), *left]
    words = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS)
    return bar(shares, f"{progress(service, verdicts, known)}: {words}")


def _lead(report: dict[str, Any], known: Origin) -> Content:
    first = "In the order in which to move them: first those that can do least harm and take "
    order = [
        f"{first}least work. A call is at hand if ",
        element("code", "dbmanager migrate"),
        " rewrites it safely.",
    ]
    if known.done is not None:
        return [order, " Which are done is taken from ", element("code", str(BASELINE)), "."]
    if report["services"]:
        told = " here that would tell which services are done."
        return [order, " There is no ", element("code", str(BASELINE)), told]
    return order


def _overall(report: dict[str, Any], known: Origin) -> Markup:
    """Show how far all of them have come: the services done, or else the calls at hand."""
    total = report["summary"]["calls"]
    at_hand = report["summary"]["verdicts"].get("safe", 0)
    moved = sum(service["pooled"] for service in report["services"])
    if known.done is None and moved:
        shares = (moved, moved + total)
        told = f"{moved:,} of {counted(moved + total, 'call')} moved, {at_hand:,} more at hand"
    elif known.done is None:
        shares, told = (at_hand, total), f"{at_hand:,} of {counted(total, 'call')} at hand"
    else:
        every = known.done | {service["name"] for service in report["services"]}
        done = len(_without_calls(report, known))
        shares, told = (done, len(every)), f"{done} of {counted(len(every), 'service')} done"
    part, whole = shares
    if not whole:
        return Markup()
    class_ = "safe" if known.done is None and not moved else "done"
    line = bar([(class_, part), ("rest", whole - part)], f"{told}, {percent(part, whole)}")
    return element("div", element("p", element("b", told)), line, class_="overall")


def _without_calls(report: dict[str, Any], known: Origin) -> list[str]:
    left = {service["name"] for service in with_calls(report)}
    every = (known.done or frozenset()) | {service["name"] for service in report["services"]}
    return sorted(every - left)


def _row(service: dict[str, Any], verdicts: Counter[str], known: Origin) -> list[Cell]:
    name = service["name"]
    told = element("span", progress(service, verdicts, known), class_="told")
    bar_ = progress_bar(service, verdicts, known)
    link = element("a", element("code", name), href=f"#service-{service['order']}")
    return [
        Cell(str(service["order"])),
        Cell(link, key=name),
        Cell([bar_, told], key=f"{verdicts['safe'] / verdicts.total():.4f}"),
        Cell(str(service["calls"])),
        *(_count(verdicts[verdict]) for verdict in VERDICTS),
        Cell(str(service["files"])),
    ]


def _count(count: int) -> Cell:
    return Cell(str(count), class_="" if count else "zero")


def _done_row(name: str) -> list[Cell]:
    line = bar([("done", 1)], "done: no direct call is left")
    told = element("span", "done", class_="told")
    zeros = [_count(0) for _ in range(len(_COLUMNS) - 3)]
    return [Cell(""), Cell(element("code", name), key=name), Cell([line, told], key="2"), *zeros]
