"""CPython's own tests on our module, one pytest test for each of its files."""

import sys

import pytest

from .suite import FILE_TIMEOUT_S, STDLIB, SuiteMissingError, find_files, run_file
from .verdict import judge, read_exclusions

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def files() -> list[str]:
    """Name the files; where there is none, one that fails: the suite never skips."""
    try:
        return find_files()
    except SuiteMissingError:
        return ["missing"]


@pytest.mark.timeout(2 * FILE_TIMEOUT_S + 60)
@pytest.mark.parametrize("file", files())
def test_file_passes_as_on_the_stdlib(file):
    if file == "missing":
        find_files()
    excluded = {e.test for e in read_exclusions() if VERSION in e.python}

    run = run_file(file)
    problems = judge(run, run_file(file, STDLIB), excluded)

    details = [f"{test}\n{trace}" for test, trace in run.faults.items() if test not in excluded]
    if run.broken:
        details.append(run.output)
    assert not problems, "\n".join([*problems, "", *details])
