"""HTML as it is put together: what is no `Markup` is text, and is escaped.

The result is ASCII, so that it is the same page in whatever encoding standard output has. It knows
nothing of reports.
"""

import html
import re
from collections.abc import Iterable

# Controls, lone surrogates and what is no character are errors in HTML. Marks that turn the
# direction of writing, or have no width, would show a text other than it is.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
    "|["
    + "".join(chr(plane << 16 | end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF))
    + "]"
)
_VOID = frozenset({"meta", "input", "br"})


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


Content = str | Iterable["Content"]
"""Markup, text to be escaped, or several of them."""


def text(content: str) -> Markup:
    r"""Escape a text; what would not be seen is shown by its number.

    >>> from dbmanager.cli.formats.html.markup import text
    >>> print(text("<b> \u202e"))
    &lt;b&gt; <span class="unseen">U+202E</span>
    """
    escaped = _UNSEEN.sub(_shown, html.escape(content, quote=False))
    return Markup(_ascii(escaped))


def value(content: str) -> str:
    """Escape the value of an attribute."""
    return _ascii(html.escape(_UNSEEN.sub(_number, content)))


def element(name: str, /, *content: Content, **attributes: str | bool) -> Markup:
    """Make an element. A trailing `_` of an attribute's name is dropped, others become `-`."""
    opened = f"<{name}{''.join(_attributes(attributes))}>"
    if name in _VOID:
        return Markup(opened)
    return Markup(f"{opened}{joined(content)}</{name}>")


def joined(content: Content) -> Markup:
    """Make one of several."""
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return text(content)
    return Markup("".join(joined(part) for part in content))


def listed(parts: list[Markup]) -> Markup:
    """Put commas between several."""
    return Markup(", ".join(parts))


def _attributes(attributes: dict[str, str | bool]) -> Iterable[str]:
    for name, content in attributes.items():
        written = name.rstrip("_").replace("_", "-")
        if content is True:
            yield f" {written}"
        elif content is not False:
            yield f' {written}="{value(content)}"'


def _shown(found: re.Match[str]) -> str:
    return f'<span class="unseen">{_number(found)}</span>'


def _number(found: re.Match[str]) -> str:
    return f"U+{ord(found[0]):04X}"


def _ascii(escaped: str) -> str:
    return escaped.encode("ascii", "xmlcharrefreplace").decode("ascii")
