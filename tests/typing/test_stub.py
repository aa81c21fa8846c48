"""The stub itself: the branches for different Python versions tell the same."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STUB = Path(__file__).parents[2] / "python" / "dbmanager" / "_core.pyi"


def twice_defined() -> Iterator[tuple[str, str | None, str | None]]:
    """Give name and docstrings of each function that both branches of an `if` define."""
    for node in ast.walk(ast.parse(STUB.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If):
            newer, older = (docstrings(branch) for branch in (node.body, node.orelse))
            for name in newer.keys() & older.keys():
                yield name, newer[name], older[name]


def docstrings(branch: list[ast.stmt]) -> dict[str, str | None]:
    """Map function names to docstrings; of overloads the first has it."""
    functions = [node for node in branch if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) for node in reversed(functions)}


# Python 3.12 added a parameter, and with it a paragraph.
DIFFERENT = {"connect", "__init__"}


@pytest.mark.parametrize(("name", "newer", "older"), list(twice_defined()))
def test_branches_by_version_have_one_docstring(
    name: str, newer: str | None, older: str | None
) -> None:
    if name not in DIFFERENT:
        assert newer is not None
        assert newer == older
