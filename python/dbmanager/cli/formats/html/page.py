"""The page as a whole: its sections, and the policy that lets nothing run but its own script.

https://www.w3.org/TR/CSP3/: the style and the script are allowed by their hashes.
"""

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import IO, Any

from dbmanager.cli.formats.html import calls, databases, head, origin, search, services, words
from dbmanager.cli.formats.html.markup import Markup, element
from dbmanager.cli.formats.html.origin import Origin

Report = dict[str, Any]


def writer() -> Callable[[Report, IO[str]], None]:
    """Give what writes a page; what that tells besides the report is read now.

    Raises:
        click.UsageError: That can't be read.
    """
    known = origin.read()
    return lambda report, to: to.writelines(["<!DOCTYPE html>\n", page(report, known), "\n"])


def page(report: Report, known: Origin) -> Markup:
    """Make the page of a report."""
    style, script = _part("page.css"), _part("page.js")
    return element("html", _head(style, script), "\n", _body(report, known, script), lang="en")


def _part(name: str) -> Markup:
    return Markup(files(__package__).joinpath(name).read_text(encoding="ascii"))


def _head(style: Markup, script: Markup) -> Markup:
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "SQLite calls: dbmanager scan"),
        element("style", style),
    )


def _hash(part: str) -> str:
    digest = hashlib.sha256(part.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _body(report: Report, known: Origin, script: Markup) -> Markup:
    sections = [
        services.section(report, known),
        databases.section(report, known),
        calls.section(report, known),
        search.section(report),
        words.section(report),
    ]
    return element(
        "body",
        element("a", "Skip to the calls", class_="skip", href="#calls"),
        head.header(report, known),
        element("main", [["\n", section] for section in sections]),
        head.footer(known),
        element("script", script),
    )
