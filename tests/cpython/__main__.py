"""`python -m tests.cpython`: run CPython's sqlite3 tests and print what came out.

The exit status is 0 if our module does as well as the stdlib's on this Python.
"""

import argparse
import fnmatch
import platform
import re
import sys

from .suite import OURS, STDLIB, FileRun, SuiteMissingError, find_files, run_file
from .verdict import judge, read_exclusions

STATUS_FAILED = 1
STATUS_UNUSABLE = 2
EXCEPTION_LINE = re.compile(r"[\w.]+(Error|Exception|Warning|Exit|Interrupt|Timeout)\b")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cpython", description=__doc__)
    parser.add_argument("files", nargs="*", help="patterns of file names: dbapi, test_h*")
    parser.add_argument("-k", dest="patterns", action="append", default=[], help="as unittest's -k")
    parser.add_argument("-v", "--verbose", action="store_true", help="print whole tracebacks")
    parser.add_argument(
        "--module", default=OURS, help=f"what to swap in; {STDLIB} swaps nothing ({OURS})"
    )
    parser.add_argument("--no-oracle", action="store_true", help="don't compare with the stdlib")
    return parser.parse_args()


def choose(files: list[str], patterns: list[str]) -> list[str]:
    """Keep the files that some pattern fits, with or without "test_"."""
    wanted = {f"test_{p.removeprefix('test_').removesuffix('.py')}" for p in patterns} or {"*"}
    return [f for f in files if any(fnmatch.fnmatchcase(f, p) for p in wanted)]


def last_line(trace: str) -> str:
    """Give the line that names the exception, else the last: a diff may follow it."""
    lines = trace.strip().splitlines() or [""]
    return next((line for line in reversed(lines) if EXCEPTION_LINE.match(line)), lines[-1])


def print_run(run: FileRun, *, verbose: bool) -> None:
    print(
        f"{run.file:22} run {len(run.tests):4}  failures {len(run.failed):3}  "
        f"errors {len(run.errors):3}  skipped {len(run.skipped):3}",
        flush=True,
    )
    for kind, faults in (("FAIL", run.failed), ("ERROR", run.errors)):
        for test, trace in faults.items():
            print(f"  {kind} {test}\n      {last_line(trace)}")
            if verbose:
                print("".join(f"      | {line}\n" for line in trace.splitlines()))
    if run.broken:
        print(f"  BROKE OFF: {run.broken}")
        print("".join(f"      | {line}\n" for line in run.output.splitlines()[-40:]))


def print_total(runs: list[FileRun], problems: list[str]) -> None:
    failed = sum(len(r.faults) for r in runs)
    skipped = sum(len(r.skipped.keys() - r.faults.keys()) for r in runs)
    passed = sum(len(r.tests) for r in runs) - failed - skipped
    for problem in problems:
        print(f"problem: {problem}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")


def run_files(arguments: argparse.Namespace, files: list[str], excluded: set[str]) -> int:
    """Run the files and print what comes out; give the exit status."""
    patterns = tuple(arguments.patterns)
    compared = arguments.module != STDLIB and not arguments.no_oracle
    runs, problems = [], []
    for file in files:
        run = run_file(file, arguments.module, patterns)
        print_run(run, verbose=arguments.verbose)
        oracle = run_file(file, STDLIB, patterns) if compared else None
        problems += judge(run, oracle, excluded, whole_file=not patterns)
        runs.append(run)
    if not any(run.tests for run in runs):
        problems.append("no test was run")
    print_total(runs, problems)
    return STATUS_FAILED if problems else 0


def main() -> int:
    arguments = parse_arguments()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        every_file = find_files()
        exclusions = read_exclusions()
    except (SuiteMissingError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return STATUS_UNUSABLE
    excluded = {e.test for e in exclusions if arguments.module != STDLIB and version in e.python}
    if nowhere := {test for test in excluded if test.partition(".")[0] not in every_file}:
        print(f"error: excluded, but not in the suite: {', '.join(nowhere)}", file=sys.stderr)
        return STATUS_UNUSABLE
    files = choose(every_file, arguments.files)
    if not files:
        print(f"error: no test file fits {' '.join(arguments.files)}", file=sys.stderr)
        return STATUS_UNUSABLE

    print(f"CPython {platform.python_version()}: test.test_sqlite3 on {arguments.module}")
    return run_files(arguments, files, excluded)


if __name__ == "__main__":
    sys.exit(main())
