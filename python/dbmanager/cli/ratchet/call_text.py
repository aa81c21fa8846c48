"""A call's source in a form that formatters do not change.

Read by characters and not by Python's own tokens: these differ between Python's versions, and a
baseline has to be the same on each.
"""

import re
from collections.abc import Iterator

_PIECE = re.compile(
    r"""
    (?P<text> (?P<quotes>\"{3}|'{3}) (?:\\.|(?!(?P=quotes)).)* (?P=quotes)
            | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    | (?P<blank> (?: \s | \\\n | \#[^\n]* )+ )
    | (?P<other> \w+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = frozenset(")]}")


def normalised(source: str) -> str:
    r"""Leave out what formatters change: line ends, comments, needless blanks and commas.

    >>> from dbmanager.cli.ratchet.call_text import normalised
    >>> normalised("sqlite3.connect(\n    DB / 'a b',  # here\n    timeout = 5,\n)")
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
            yield found[0], is_after_blank
        is_after_blank = found["blank"] is not None


def _are_apart(before: str, after: str, *, is_after_blank: bool) -> bool:
    return before == "," or (is_after_blank and _is_wordy(before[-1]) and _is_wordy(after[0]))


def _is_wordy(character: str) -> bool:
    return character in "_'\"" or character.isalnum()
