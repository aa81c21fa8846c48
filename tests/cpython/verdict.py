"""Judge a run of the suite: against the stdlib's own run, and against the exclusions.

An exclusion is a test that fails on our module with a reason that we accept. It is
run all the same, so that one that has become superfluous is noticed.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from .suite import FileRun

EXCLUSIONS_FILE = Path(__file__).with_name("exclusions.toml")
MOST_EXCLUSIONS = 3


@dataclass(frozen=True)
class Exclusion:
    """One test that may fail, on the Python versions named."""

    test: str
    python: tuple[str, ...]
    reason: str


def read_exclusions(path: Path = EXCLUSIONS_FILE) -> list[Exclusion]:
    """Read the file of exclusions.

    Raises:
        ValueError: There are more than three, or one is without a reason.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("exclusion", [])
    exclusions = [Exclusion(e["test"], tuple(e["python"]), e["reason"].strip()) for e in entries]
    if len(exclusions) > MOST_EXCLUSIONS:
        raise ValueError(f"{path.name} names {len(exclusions)} tests: {MOST_EXCLUSIONS} at most")
    if nameless := [e.test for e in exclusions if not e.reason]:
        raise ValueError(f"{path.name} gives no reason for {', '.join(nameless)}")
    return exclusions


def judge(
    ours: FileRun, oracle: FileRun | None, excluded: set[str], *, whole_file: bool = True
) -> list[str]:
    """Say what is wrong with one file's run; nothing if it is as good as the stdlib's.

    `excluded` are the tests that may fail on this Python, of any file. `oracle` is
    None where the comparison isn't wanted, and `whole_file` is false where only
    some tests of the file were run.
    """
    here = {test for test in excluded if test.partition(".")[0] == ours.file}
    good = ours.passed - set(ours.faults)
    problems = [f"{test} fails" for test in sorted(set(ours.faults) - excluded)]
    problems += [f"{test} is excluded and passes" for test in sorted(here & good)]
    problems += [f"{test} is excluded and skipped" for test in sorted(here & set(ours.skipped))]
    if ours.broken:
        # What comes after the break is missing for that one reason.
        return [f"{ours.file} broke off: {ours.broken}", *problems]
    if whole_file:
        problems += [f"{test} is excluded and does not exist" for test in sorted(here - ours.tests)]
        if not ours.tests:
            problems.append(f"{ours.file} ran no test")
    if oracle is not None:
        problems += _compare(ours, oracle)
    return problems


def _compare(ours: FileRun, oracle: FileRun) -> list[str]:
    """The same tests must have run, and none be skipped that the stdlib's module runs."""
    problems = []
    if oracle.broken:
        problems.append(f"{ours.file} broke off on {oracle.module} too: {oracle.broken}")
    problems += [f"{t} runs on {oracle.module} only" for t in sorted(oracle.tests - ours.tests)]
    problems += [f"{t} does not run on {oracle.module}" for t in sorted(ours.tests - oracle.tests)]
    more = set(ours.skipped) - set(oracle.skipped)
    problems += [f"{t} is skipped, unlike on {oracle.module}" for t in sorted(more & oracle.tests)]
    return problems
