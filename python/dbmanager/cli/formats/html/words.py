"""What the words on the page mean: verdicts, what may go wrong, and the rules that are named."""

from typing import Any

from dbmanager.cli.formats.html.bars import badge
from dbmanager.cli.formats.html.markup import Content, Markup, element
from dbmanager.cli.formats.table import HAZARDS
from dbmanager.cli.rules import all_rules

_VERDICTS = {
    "safe": "dbmanager migrate rewrites it, and what the code does is kept on every path",
    "unsafe": "dbmanager migrate --unsafe rewrites it; what is kept hangs on the condition that is "
    "told",
    "by hand": "no rule rewrites it; why is told",
}
_HAZARDS = {
    "write_not_committed": "on some path nothing commits a write, so it is lost",
    "open_after_return": "on some path the function ends, or its name gets another connection, "
    "with this one open",
    "open_after_exception": "if a line before the close() raises, the connection stays open",
    "never_closed": "nothing closes the connection; a block with it commits and does not close",
    "nested_open": "the same database is opened again in the block of this connection, or while it "
    "writes",
}


def section(report: dict[str, Any]) -> Markup:
    """Make the section; only what is on the page is told of."""
    calls = report["calls"]
    verdicts = {call["verdict"] for call in calls}
    hazards = {hazard for call in calls for hazard in call["hazards"]}
    told = [
        *((badge(verdict), text) for verdict, text in _VERDICTS.items() if verdict in verdicts),
        *((HAZARDS[name], text) for name, text in _HAZARDS.items() if name in hazards),
        *_rules(calls),
    ]
    content = (
        element("dl", [_told(*one) for one in told], class_="words")
        if told
        else element("p", "There is nothing to explain.", class_="none")
    )
    return element("section", element("h2", "Words", id="words"), content, aria_labelledby="words")


def _rules(calls: list[dict[str, Any]]) -> list[tuple[Content, Content]]:
    text = "\n".join(f"{call['rule']} {call['reason']}" for call in calls)
    return [
        (
            [element("b", rule["code"]), f" {rule['name']}"],
            _with_code(f"{rule['what']} {rule['safety']}"),
        )
        for rule in all_rules()
        if rule["code"] in text
    ]


def _with_code(words: str) -> list[Content]:
    """Show what stands between backticks as code."""
    return [element("code", part) if at % 2 else part for at, part in enumerate(words.split("`"))]


def _told(term: Content, meaning: Content) -> Markup:
    return element("div", element("dt", term), element("dd", meaning))
