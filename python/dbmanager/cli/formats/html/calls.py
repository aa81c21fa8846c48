"""The calls by service, with the reasons for its place, and the controls of the script."""

from collections import Counter
from typing import Any

from dbmanager.cli.formats.html.bars import VERDICTS, badge
from dbmanager.cli.formats.html.call import article
from dbmanager.cli.formats.html.markup import Markup, element, listed
from dbmanager.cli.formats.html.origin import Origin
from dbmanager.cli.formats.html.services import (
    progress,
    progress_bar,
    verdicts_by_service,
    with_calls,
)

_ORDERS = {
    "place": "place",
    "verdict": "verdict",
    "hazards": "what may go wrong",
    "database": "database",
}


def section(report: dict[str, Any], known: Origin) -> Markup:
    """Make the section."""
    verdicts = verdicts_by_service(report["calls"])
    articles: dict[str, list[Markup]] = {}
    for number, call in enumerate(report["calls"], 1):
        articles.setdefault(call["service"], []).append(article(number, call, known))
    services = [
        _service(service, verdicts[service["name"]], articles[service["name"]], known)
        for service in with_calls(report)
    ]
    return element(
        "section",
        element("h2", "Calls", id="calls", tabindex="-1"),
        _tools() if services else element("p", "There is no direct call.", class_="none"),
        services,
        aria_labelledby="calls",
    )


def _tools() -> Markup:
    """Make the controls. They do nothing without the script, so that is what shows them."""
    orders = [element("option", words, value=name) for name, words in _ORDERS.items()]
    return element(
        "form",
        element("label", "Text", element("input", type="search", id="text")),
        element("fieldset", element("legend", "Verdict"), [_choice(one) for one in VERDICTS]),
        element("label", "Order", element("select", orders, id="order")),
        element("button", "Fold all", type="button", id="fold"),
        element("output", id="shown", for_="text order"),
        class_="tools",
        id="tools",
        autocomplete="off",
        aria_label="Filter and order of the calls",
        hidden=True,
    )


def _choice(verdict: str) -> Markup:
    box = element("input", type="checkbox", name="verdict", value=verdict, checked=True)
    return element("label", box, badge(verdict))


def _service(
    service: dict[str, Any], verdicts: Counter[str], calls: list[Markup], known: Origin
) -> Markup:
    reasons = [element("li", reason) for reason in service["reasons"]]
    return element(
        "details",
        _summary(service, verdicts, known),
        element("ul", reasons, class_="reasons"),
        _neighbours(service),
        element("div", [["\n", call] for call in calls], class_="list"),
        class_="service",
        id=f"service-{service['order']}",
        open=True,
    )


def _summary(service: dict[str, Any], verdicts: Counter[str], known: Origin) -> Markup:
    name, order = service["name"], element("span", f"{service['order']}.", class_="order")
    return element(
        "summary",
        element("h3", order, " ", name),
        element("span", progress(service, verdicts, known), class_="told"),
        progress_bar(service, verdicts, known),
    )


def _neighbours(service: dict[str, Any]) -> list[Markup]:
    """Name the services that import a service, and its tests."""
    lists = {"Imported by": service["imported_by"], "Tests": service["tests"]}
    return [
        element("p", f"{title}: ", listed([element("code", name) for name in names]))
        for title, names in lists.items()
        if names
    ]
