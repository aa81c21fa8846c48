"""Run the Python blocks of one Markdown file, in order, in one namespace.

    python markdown.py FILE

A block is a fence marked `python`; one that stands right under the comment
`<!-- no-run: reason -->` is not run. Run by `test_examples` in an interpreter of its
own for each file, since examples make process-wide objects and `__main__` guards.
"""

import gc
import re
import sys
import textwrap
import types
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
NO_RUN = re.compile(r"^\s*<!--\s*no-run(?P<reason>.*?)-->\s*$")


@dataclass(frozen=True)
class Block:
    """One Python example: its code, the line that it begins at, and whether it runs."""

    code: str
    line: int
    runs: bool


def read_blocks(text: str, name: str) -> list[Block]:
    """Find the Python blocks of a document.

    Raises:
        ValueError: A fence isn't closed, or a `no-run` gives no reason.
    """
    blocks = []
    lines = text.splitlines()
    previous, number = "", 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence is None:
            previous = lines[number] if lines[number].strip() else previous
            number += 1
            continue
        start, number = number + 1, _end_of_block(lines, number, fence["fence"], name)
        if fence["language"] == "python":
            code = textwrap.dedent("\n".join(lines[start:number])) + "\n"
            blocks.append(Block(code, start + 1, _runs(previous, f"{name}:{start}")))
        previous = ""
        number += 1
    return blocks


def _end_of_block(lines: list[str], opening: int, fence: str, name: str) -> int:
    for number in range(opening + 1, len(lines)):
        line = lines[number].strip()
        if line.startswith(fence) and not line.strip(fence[0]):
            return number
    raise ValueError(f"{name}:{opening + 1}: the block is not closed")


def _runs(previous: str, place: str) -> bool:
    comment = NO_RUN.match(previous)
    if comment is None:
        return True
    if not comment["reason"].lstrip(":").strip():
        raise ValueError(f"{place}: write the reason: <!-- no-run: reason -->")
    return False


def run_blocks(blocks: list[Block], name: str) -> None:
    """Run the blocks as one `__main__`, with tracebacks that name the document's lines."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    for block in blocks:
        if block.runs:
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, name, "exec"), module.__dict__)


def main(file: str) -> int:
    """Run one document; what it leaves open (a ResourceWarning) fails it too."""
    unraisable = []
    sys.unraisablehook = lambda args: unraisable.append(args.exc_value)
    run_blocks(read_blocks(Path(file).read_text(encoding="utf-8"), file), file)
    sys.modules.pop("__main__")
    gc.collect()
    for error in unraisable:
        print(f"{file}: {error!r}", file=sys.stderr)
    return 1 if unraisable else 0


if __name__ == "__main__":
    sys.path.pop(0)
    sys.exit(main(*sys.argv[1:]))
