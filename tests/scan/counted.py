"""Direct calls counted by CPython's own parser, by the names alone."""

import ast
import re
import tokenize
from pathlib import Path

LEFT_OUT = {"__pycache__", "node_modules", "site-packages"}
SEARCHED = re.compile(rb"sqlite3\.connect|sqlite3\.dbapi2\.connect|aiosqlite\.connect")
LIBRARIES = {"sqlite3", "_sqlite3", "pysqlite3", "pysqlite2", "aiosqlite"}

Place = tuple[str, int, int]


def counted_by_ast(root: Path) -> tuple[set[Place], set[str], int]:
    """Give the places of calls, the files that are no Python, and how often the text is there."""
    places: set[Place] = set()
    unparsable: set[str] = set()
    hits = 0
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if LEFT_OUT & set(parts) or any(part.startswith(".") for part in parts):
            continue
        content = path.read_bytes()
        if b"sqlite" not in content:
            continue
        hits += len(SEARCHED.findall(content))
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            unparsable.add(str(path))
            continue
        with tokenize.open(path) as file:
            lines = file.read().split("\n")
        for line, offset in _calls(tree):
            before = lines[line - 1].encode()[:offset].decode()
            places.add((str(path), line, len(before) + 1))
    return places, unparsable, hits


def _calls(tree: ast.AST) -> list[tuple[int, int]]:
    imported: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                imported.setdefault(name, set()).add(alias.name if alias.asname else name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names = imported.setdefault(alias.asname or alias.name, set())
                names.add(f"{node.module or ''}.{alias.name}")

    def dotted(node: ast.expr) -> set[str]:
        if isinstance(node, ast.Name):
            return imported.get(node.id, {node.id})
        if isinstance(node, ast.Attribute):
            return {f"{name}.{node.attr}" for name in dotted(node.value)}
        return set()

    return [
        (node.lineno, node.col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and any(_opens(name) for name in dotted(node.func))
    ]


def _opens(name: str) -> bool:
    *modules, function = name.split(".")
    return function in {"connect", "Connection"} and bool(LIBRARIES & set(modules))
