"""Find the `>>>` examples in the docstrings of stubs and modules, without importing them."""

import ast
import doctest
import operator
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
COMPARISONS = {ast.GtE: operator.ge, ast.Lt: operator.lt}


def read_examples(path: Path, name: str) -> list[doctest.DocTest]:
    """Give one doctest for each docstring of a file that holds examples.

    `name` is the file's name in the tests' ids and in reports.
    """
    parser = doctest.DocTestParser()
    tests = []
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for qualified, node in _walk(tree, ""):
        docstring = ast.get_docstring(node, clean=False)
        if docstring is None:
            continue
        line = node.body[0].lineno - 1
        test = parser.get_doctest(docstring, {}, f"{name}::{qualified}", str(path), line)
        if test.examples:
            tests.append(test)
    return tests


def _walk(node: ast.AST, qualified: str) -> Iterator[tuple[str, DOCUMENTED]]:
    """Visit what can have a docstring, and of `if` branches by version those of this Python."""
    if isinstance(node, DOCUMENTED):
        yield qualified or "module", node
    for child in _children(node):
        name = getattr(child, "name", None) if isinstance(child, DOCUMENTED) else None
        yield from _walk(child, ".".join(filter(None, (qualified, name))))


def _children(node: ast.AST) -> Iterable[ast.AST]:
    if isinstance(node, ast.If) and (holds := _holds(node.test)) is not None:
        return node.body if holds else node.orelse
    return ast.iter_child_nodes(node)


def _holds(test: ast.expr) -> bool | None:
    """Whether `sys.version_info >= (3, 12)` or its like is true; None for any other condition."""
    match test:
        case ast.Compare(left=left, ops=[operation], comparators=[version]) if (
            ast.unparse(left) == "sys.version_info"
        ):
            return COMPARISONS[type(operation)](sys.version_info, ast.literal_eval(version))
    return None
