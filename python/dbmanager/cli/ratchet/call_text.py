"""A call's source in a form that formatters do not change.

Read by characters and not by Python's own tokens: these differ between Python's versions, and a
baseline has to be the same on each.
"""

import re
from collections.abc import Iterator

_PIECE = re.compile(
    r"""
    (?P<text> (?P<prefix> (?i: [bfrtu] | [bft]r | r[bft] )? )
              (?: (?P<marks>\"{3}|'{3}) (?P<long> (?: \\. | (?!(?P=marks))[^\\] )* ) (?P=marks)
                | (?P<mark>["']) (?P<short> (?: \\. | (?!(?P=mark))[^\\\n] )* ) (?P=mark) ) )
    | (?P<blank> (?: \s | \\\n | \#[^\n]* )+ )
    | (?P<other> \w+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTE = re.compile(r"\\(?P<escaped>.)|'", re.DOTALL)
_PAIR = re.compile(r"\\.", re.DOTALL)
_CLOSING = frozenset(")]}")


def normalised(source: str) -> str:
    r"""Leave out what formatters change: line ends, comments, needless blanks, commas, quotes.

    What is normalised already stays as it is. It need not be Python on each version: where quotes
    stand within an f-string, their kind is left out, too.

    >>> from dbmanager.cli.ratchet.call_text import normalised
    >>> normalised('sqlite3.connect(\n    DB / "a b",  # here\n    timeout = 5,\n)')
    "sqlite3.connect(DB/'a b', timeout=5)"
    """
    pieces: list[str] = []
    for piece, is_after_blank in _pieces(source.replace("\r\n", "\n").strip()):
        if pieces and pieces[-1] == "," and piece in _CLOSING:
            pieces.pop()
        elif pieces and _are_apart(pieces[-1], piece, is_after_blank=is_after_blank):
            pieces.append(" ")
        pieces.append(piece)
    return "".join(pieces)


def _pieces(source: str) -> Iterator[tuple[str, bool]]:
    """Give the pieces that count, and whether there is a blank before each."""
    is_after_blank = False
    for found in _PIECE.finditer(source):
        if found["blank"] is None:
            yield _requoted(found) if found["text"] else found[0], is_after_blank
        is_after_blank = found["blank"] is not None


def _requoted(found: re.Match[str]) -> str:
    """Give a text in single quotes, its prefix in small letters."""
    prefix = found["prefix"].lower().replace("u", "")
    marks, body = (found["mark"], found["short"]) if found["mark"] else found.group("marks", "long")
    if "r" in prefix:
        # Nothing can be escaped in it: where a quote would end it, it has to stay as it is.
        single, bare = "'" * len(marks), _PAIR.sub("", body)
        marks = marks if single in bare or bare.endswith("'") else single
        return f"{prefix}{marks}{body}{marks}"
    if prefix in {"f", "t"}:
        body = body.replace('"', "'")
    marks = "'" * len(marks)
    return f"{prefix}{marks}{_QUOTE.sub(_escaped, body)}{marks}"


def _escaped(found: re.Match[str]) -> str:
    """Have single quotes escaped, and no double ones."""
    if found["escaped"] == '"':
        return '"'
    return r"\'" if found["escaped"] in {None, "'"} else found[0]


def _are_apart(before: str, after: str, *, is_after_blank: bool) -> bool:
    if before == "," or (_is_text(before) and _is_text(after)):
        return True
    return is_after_blank and _is_wordy(before[-1]) and _is_wordy(after[0])


def _is_text(piece: str) -> bool:
    return piece[-1] in "'\""


def _is_wordy(character: str) -> bool:
    return character in "_'\"" or character.isalnum()
