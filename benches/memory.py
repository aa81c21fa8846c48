"""Does iterating over a large result keep memory flat?

Each contestant iterates in a process of its own, which reports how much its peak
resident size grew between the first thousand rows and the last one.
"""

import argparse
import importlib
import itertools
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benches.contestants import Contestant
from benches.dataset import build_wide

SELECT = "SELECT id, amount, reference, place, remark, token FROM wide"
# A result of 1M rows is several hundred MB as Python objects; a batch is below this.
LIMIT_KB = 4096
CONTESTANTS = (Contestant.STDLIB, Contestant.DBMANAGER, Contestant.APSW)


@dataclass(frozen=True)
class Growth:
    """Growth of the peak resident size by contestant, in KB."""

    rows: int
    growth_kb: Mapping[Contestant, int]

    @property
    def met(self) -> bool:
        """Tell whether ours stayed flat."""
        return self.growth_kb[Contestant.DBMANAGER] <= LIMIT_KB


def measure(rows: int, folder: Path) -> Growth:
    """Run the contestants that are present, each in a process of its own."""
    path = folder / "memory.db"
    build_wide(path, rows)
    present = [contestant for contestant in CONTESTANTS if contestant.load() is not None]
    return Growth(rows, {contestant: _child(contestant, path) for contestant in present})


def _child(contestant: Contestant, path: Path) -> int:
    command = [sys.executable, "-m", "benches.memory", contestant.package, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _iterate(package: str, path: str) -> int:
    module = importlib.import_module(package)
    opener = module.Connection if package == "apsw" else module.connect
    cursor = opener(path).execute(SELECT)
    for _ in itertools.islice(cursor, 1000):
        pass
    before_kb = _peak_kb()
    for _ in cursor:
        pass
    return _peak_kb() - before_kb


def _peak_kb() -> int:
    # On Linux, ru_maxrss survives exec: a child would begin with its parent's peak and
    # hide its own. VmHWM belongs to the address space, which is new.
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the growth in KB of one contestant.")
    parser.add_argument("package")
    parser.add_argument("path")
    arguments = parser.parse_args()
    print(_iterate(arguments.package, arguments.path))
