"""How long a scan of a large tree takes (W12), beside what only reads the files.

The tree is made of the stdlib's files and of those that are installed, again and again, until it
has as many as the target says. A search by text reads as much and knows nothing of Python;
CPython's own parser, over the files that mention SQLite, is what a tool in Python would begin with.
"""

import ast
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median

from benches.arena import Scale
from dbmanager import _core

FILES = 45_000
BYTES = 700_000_000
FILES_IN_A_FOLDER = 300
TARGET_S = 2.0


@dataclass(frozen=True)
class Scan:
    """The rounds of one tree."""

    files: int
    bytes: int
    calls: int
    scan_s: Sequence[float]
    search_s: Sequence[float]
    parse_s: Sequence[float]

    @property
    def met(self) -> bool:
        """Tell whether the whole tree was scanned within the target."""
        return median(self.scan_s) < TARGET_S * self.files / FILES


def measure(scale: Scale, folder: Path) -> Scan:
    """Make the tree, warm it, and time each on it in turn."""
    files = FILES // 10 if scale.rounds < Scale().rounds else FILES
    size = _make(folder, files)
    names = [str(folder)]
    contestants: list[Callable[[], object]] = [
        lambda: _core._scan(names, {}),
        lambda: _search(folder),
        lambda: _parse(folder),
    ]
    rounds: list[list[float]] = [[] for _ in contestants]
    for round_ in range(scale.rounds + 1):
        for seconds, contestant in zip(rounds, contestants, strict=True):
            begin = time.perf_counter()
            contestant()
            # The first round warms.
            if round_:
                seconds.append(time.perf_counter() - begin)
    calls = _core._scan(names, {}).count('"line":')
    return Scan(files, size, calls, *rounds)


def _make(folder: Path, files: int) -> int:
    size = 0
    mean = BYTES // FILES
    for index, source in zip(range(files), _sources(mean), strict=False):
        part = folder / f"part{index // FILES_IN_A_FOLDER}"
        part.mkdir(exist_ok=True)
        shutil.copyfile(source, part / f"module{index}.py")
        size += source.stat().st_size
    return size


def _sources(mean: int) -> Iterator[Path]:
    """Give files again and again, of about this mean size."""
    paths = sysconfig.get_paths()
    roots = {Path(paths["stdlib"]), Path(paths["purelib"])}
    found = sorted({path for root in roots for path in root.rglob("*.py")})
    given = taken = 0
    for path in cycle(found):
        size = path.stat().st_size
        # The average of what is installed is smaller: leave out small files now and then.
        if taken + size < mean * (given + 1) * 0.98 and size < mean / 2 and given:
            continue
        given, taken = given + 1, taken + size
        yield path


def _search(folder: Path) -> None:
    command = ["grep", "-rlF", "--include=*.py", "sqlite", str(folder)]
    subprocess.run(command, capture_output=True, check=True)


def _parse(folder: Path) -> None:
    for path in folder.rglob("*.py"):
        content = path.read_bytes()
        if b"sqlite" in content:
            try:
                ast.parse(content)
            except (SyntaxError, ValueError):
                continue
