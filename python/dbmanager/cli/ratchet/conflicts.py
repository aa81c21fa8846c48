"""What a merge leaves in a file where both sides have changed the same lines.

https://git-scm.com/docs/git-merge#_how_conflicts_are_presented
"""

import io
from collections.abc import Sequence

_OURS, _BASE, _THEIRS, _END = "<<<<<<<", "|||||||", "=======", ">>>>>>>"
_LENGTH = len(_OURS)


def first(lines: Sequence[str]) -> int:
    """Give the first line of a conflict, 0 if there is none."""
    marked = (number for number, line in enumerate(lines, 1) if _mark(line) in {_OURS, _END})
    return next(marked, 0)


def of_both_sides(text: str) -> str:
    """Take the lines of both sides, and none of what was there before."""
    kept = []
    is_base = False
    for line in io.StringIO(text):
        mark = _mark(line)
        is_base = mark == _BASE or (is_base and mark != _THEIRS)
        if not mark and not is_base:
            kept.append(line)
    return "".join(kept)


def _mark(line: str) -> str:
    mark, rest = line[:_LENGTH], line[_LENGTH:].rstrip()
    is_mark = mark in {_OURS, _BASE, _THEIRS, _END} and (not rest or rest.startswith(" "))
    return mark if is_mark else ""
