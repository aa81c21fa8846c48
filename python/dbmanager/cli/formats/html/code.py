"""Lines of Python with their colours, and the call within them marked."""

import io
import keyword
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

from dbmanager.cli.formats.html.markup import Markup, element, joined, text

Position = tuple[int, int]
"""A line, from 0, and a character in it, from 0."""

_CLASSES = {tokenize.STRING: "s", tokenize.NUMBER: "n", tokenize.COMMENT: "c"}


class _Span(NamedTuple):
    start: Position
    end: Position
    class_: str


class Call(NamedTuple):
    """Where a call stands in some lines."""

    column: int
    """From 0, in the first of them."""
    source: str


def coloured(code: str, call: Call | None = None) -> Markup:
    """Colour lines as far as Python's tokens go, without the indentation that they share."""
    lines = _lines(code)
    indent = min((len(_indentation(line)) for line in lines if line.strip()), default=0)
    lines = [line[indent:] for line in lines]
    marked = _marked(call, indent) if call else None
    spans = list(_spans(lines))
    parts = (_line(number, line, spans, marked) for number, line in enumerate(lines))
    return Markup("\n".join(parts))


def _lines(code: str) -> list[str]:
    return code.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


def _indentation(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _marked(call: Call, indent: int) -> _Span:
    lines = _lines(call.source)
    start = call.column - indent
    end = start + len(lines[0]) if len(lines) == 1 else len(lines[-1]) - indent
    return _Span((0, start), (len(lines) - 1, end), "")


def _spans(lines: list[str]) -> Iterator[_Span]:
    """Give what has a colour.

    Lines that are a part of a statement need not have an end: the rest stays as it is. Python
    writes an f-string in parts since 3.12; here it is one text in each version.
    """
    depth, start = 0, (0, 0)
    for token in _tokens(lines):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            start = start if depth else token.start
            depth += 1
        elif name.endswith("STRING_END"):
            depth -= 1
            if not depth:
                yield _span(start, token.end, "s")
        elif not depth and (class_ := _class(token)):
            yield _span(token.start, token.end, class_)


def _tokens(lines: list[str]) -> Iterator[tokenize.TokenInfo]:
    readline = io.StringIO("\n".join(lines)).readline
    try:
        yield from tokenize.generate_tokens(readline)
    except (tokenize.TokenError, SyntaxError, UnicodeEncodeError):
        return


def _class(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME and keyword.iskeyword(token.string):
        return "k"
    return _CLASSES.get(token.type, "")


def _span(start: Position, end: Position, class_: str) -> _Span:
    """Count lines from 0, as tokens do not."""
    return _Span((start[0] - 1, start[1]), (end[0] - 1, end[1]), class_)


def _line(number: int, line: str, spans: list[_Span], marked: _Span | None) -> Markup:
    """Write a line; the mark goes around what has a colour."""
    own = _of_line(spans, number, line)
    if marked is None or (within := _within(marked, number, line)) is None:
        return _pieces(line, 0, len(line), own)
    start, end = max(within[0], len(_indentation(line))), within[1]
    before, call, after = (
        _pieces(line, *part, own) for part in ((0, start), (start, end), (end, len(line)))
    )
    return joined([before, element("mark", call), after])


def _of_line(spans: list[_Span], number: int, line: str) -> list[tuple[int, int, str]]:
    found = ((_within(span, number, line), span.class_) for span in spans)
    return [(*within, class_) for within, class_ in found if within]


def _within(span: _Span, number: int, line: str) -> tuple[int, int] | None:
    """Give the part of a line that a span has, if it has one."""
    if not span.start[0] <= number <= span.end[0]:
        return None
    start = span.start[1] if number == span.start[0] else 0
    end = span.end[1] if number == span.end[0] else len(line)
    return (start, end) if start < end else None


def _pieces(line: str, start: int, end: int, spans: list[tuple[int, int, str]]) -> Markup:
    parts, at = [], start
    for span_start, span_end, class_ in spans:
        first, last = max(span_start, at), min(span_end, end)
        if first < last:
            parts += [text(line[at:first]), element("span", line[first:last], class_=class_)]
            at = last
    return joined([*parts, text(line[at:end])])
