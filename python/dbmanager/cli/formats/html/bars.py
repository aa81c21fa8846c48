"""Bars of shares, drawn as SVG: a page whose policy forbids style attributes can't set a width."""

from collections.abc import Sequence

from dbmanager.cli.formats.html.markup import Markup, element

VERDICTS = {"safe": "safe", "unsafe": "unsafe", "by hand": "hand"}
"""The verdicts as the scan calls them, and their classes."""

_WIDTH = 1000


def bar(shares: Sequence[tuple[str, int]], label: str) -> Markup:
    """Draw a bar of one part for each class and number; the label says the same in words."""
    total = sum(share for _, share in shares)
    parts, at = [], 0
    for class_, share in shares:
        end = at + share
        start_x, end_x = (round(_WIDTH * edge / total) if total else 0 for edge in (at, end))
        if share:
            parts.append(_part(class_, start_x, end_x - start_x))
        at = end
    return element(
        "svg",
        parts,
        class_="bar",
        viewBox=f"0 0 {_WIDTH} 10",
        preserveAspectRatio="none",
        role="img",
        aria_label=label,
    )


def _part(class_: str, x: int, width: int) -> Markup:
    return element("rect", class_=class_, x=str(x), width=str(width), height="10")


def badge(verdict: str) -> Markup:
    """Show a verdict as a word on its colour."""
    return element("span", verdict, class_=f"badge {VERDICTS[verdict]}")
