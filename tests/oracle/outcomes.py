"""Outcomes: what a step gave, in a form that two modules' outcomes can be compared in.

Nothing is compared loosely here: a value by its exact type and all of its bits, an error
by its class, arguments, SQLite codes and chain. Where two SQLite versions word a message
differently, choose another scenario.
"""

import array
import re
import struct
from collections.abc import Callable, Generator
from typing import Any

Outcome = tuple[Any, ...]

# The only text that must differ: where an object is, and the module of a class that can't
# be the stdlib's own (see docs/limits.md).
_ADDRESS = re.compile(r"<[\w.]*?(\w+) object at 0x[0-9a-f]+>")

# Each run has threads of its own.
_THREAD = re.compile(r"\bthread id \d+")

_OWN_CLASSES = frozenset({"Row", "Connection", "Cursor", "Blob", "Statement"})


def outcome_of(step: Callable[..., object], *arguments: object, **keywords: object) -> Outcome:
    """Run a step and give what came of it."""
    return attempt(step, *arguments, **keywords)[1]


def attempt(
    step: Callable[..., object], *arguments: object, **keywords: object
) -> tuple[Any, Outcome]:
    """Run a step; give its value (None for an error) and its outcome."""
    try:
        value = step(*arguments, **keywords)
    except Exception as error:  # noqa: BLE001 - any exception is an outcome
        return None, error_outcome(error)
    return value, ("value", normal(value))


def error_outcome(error: BaseException, depth: int = 3) -> Outcome:
    """Describe an error: class, arguments, SQLite codes, and the errors behind it."""
    behind: list[Outcome | None] = [None, None]
    if depth:
        behind = [
            error_outcome(other, depth - 1) if other else None
            for other in (error.__cause__, error.__context__)
        ]
    return (
        "error",
        identity(type(error)),
        _arguments_of(error),
        getattr(error, "sqlite_errorcode", "no code"),
        getattr(error, "sqlite_errorname", "no name"),
        {"cause": behind[0], "context": behind[1]},
    )


# The wording of wrong counts and unknown names of arguments differs even between C functions:
# docs/limits.md.
_WRONG_ARGUMENTS = re.compile(
    r"expected (at (least|most) |exactly )?\d+ arguments?, got|takes (exactly|no|at most|from)\b|"
    r"takes \d+ positional arguments?|missing \d+ required positional|missing required argument|"
    r"unexpected keyword argument|invalid keyword argument|"
    r"positional-only arguments passed as keyword"
)


def _arguments_of(error: BaseException) -> object:
    if type(error) is TypeError and _WRONG_ARGUMENTS.search(str(error)):
        return "wrong arguments"
    return normal(error.args)


def identity(kind: type) -> object:
    """Give what must be the same about a class: exceptions are the stdlib's own."""
    return kind


def normal(value: Any) -> Any:  # noqa: C901, PLR0911 - one line a type
    """Give a value in comparable form; an unknown type is an error, never a guess."""
    kind = type(value)
    if value is None or kind in {bool, int, bytes}:
        return kind.__name__, value
    if kind is float:
        return "float", "nan" if value != value else struct.pack("<d", value).hex()  # noqa: PLR0124
    if kind is str:
        return "str", plain_text(value)
    if kind in {tuple, list}:
        return kind.__name__, tuple(map(normal, value))
    if kind in {bytearray, memoryview}:
        return kind.__name__, bytes(value)
    if kind is array.array:
        return "array", value.typecode, value.tobytes()
    if kind in {set, frozenset}:
        return kind.__name__, frozenset(map(normal, value))
    if kind is dict:
        return "dict", tuple((normal(k), normal(v)) for k, v in value.items())
    if isinstance(value, BaseException):
        return error_outcome(value)
    if isinstance(value, type):
        return "class", _class(value)
    if isinstance(value, Generator):
        return ("generator",)
    return _object(value)


def plain_text(text: str) -> str:
    """Remove addresses and the numbers of threads from a text."""
    return _THREAD.sub("thread id", _ADDRESS.sub(r"<\1>", text))


def _class(kind: type) -> object:
    if kind.__name__ in _OWN_CLASSES:
        return kind.__name__
    # A class that the scenario defines is another one in each run.
    return kind.__qualname__ if "<locals>" in kind.__qualname__ else identity(kind)


def _object(value: Any) -> Any:
    for kind in type(value).__mro__:
        if kind.__name__ == "Row":
            names = tuple(value.keys()) if len(value) else ()
            return "row", _class(kind), names, normal(tuple(value))
        if kind.__name__ in _OWN_CLASSES:
            return "object", type(value).__name__, kind.__name__
        if kind in {int, float, str, bytes, tuple, list, dict}:
            return "subclass", type(value).__name__, normal(kind(value))
    if callable(value) and hasattr(value, "__qualname__"):
        return "callable", value.__qualname__
    if hasattr(value, "comparable"):
        return "own", type(value).__name__, normal(value.comparable())
    raise TypeError(f"no comparable form for {type(value)!r}")
