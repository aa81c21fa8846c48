"""Find the `>>>` examples in the docstrings of stubs and modules, without importing them."""

import ast
import doctest
from collections.abc import Iterator
from pathlib import Path

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


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
    """Visit what can have a docstring, `if` branches of a stub included."""
    if isinstance(node, DOCUMENTED):
        yield qualified or "module", node
    for child in ast.iter_child_nodes(node):
        name = getattr(child, "name", None) if isinstance(child, DOCUMENTED) else None
        yield from _walk(child, ".".join(filter(None, (qualified, name))))
