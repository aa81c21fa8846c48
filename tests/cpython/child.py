"""Run one test file of `test.test_sqlite3` and write what happens, as it happens.

    python child.py EVENTS MODULE SWAP [PATTERN ...]

Each event is one line of JSON in the file EVENTS, written before the next thing is
done, so that the parent can name the test in which an interpreter died. SWAP names
the module that must have been swapped in, or is "sqlite3".

Stands alone, as `swap` does: nothing of this repository may be imported beside the
module under test.
"""

import json
import sys
import unittest


class EventResult(unittest.TestResult):
    """Writes one event for each test that starts and for each that ends."""

    def __init__(self, stream):
        super().__init__()
        self._stream = stream

    def write(self, event, test, **details):
        self._stream.write(json.dumps({"event": event, "test": test.id(), **details}) + "\n")
        self._stream.flush()

    def startTest(self, test):
        super().startTest(test)
        self.write("start", test)

    def stopTest(self, test):
        super().stopTest(test)
        self.write("stop", test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.write("passed", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.write("failed", test, trace=self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.write("error", test, trace=self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            kind = "failed" if issubclass(err[0], test.failureException) else "error"
            kept = self.failures if kind == "failed" else self.errors
            trace = f"{subtest._subDescription()}\n{kept[-1][1]}"
            self.write(kind, test, trace=trace)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.write("skipped", test, reason=reason)

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.write("passed", test)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.write("failed", test, trace="the test is marked as an expected failure, and passed")


def check_swapped(name):
    """End the process unless `sqlite3` is the module that it should be."""
    import sqlite3

    if sqlite3.__name__ != name:
        sys.exit(f"sqlite3 is {sqlite3.__name__} here, and should be {name}")


def main(events, module, swapped, *patterns):
    # The directory of this file: the tests must not find its modules.
    sys.path.pop(0)
    check_swapped(swapped)
    loader = unittest.TestLoader()
    if patterns:
        loader.testNamePatterns = [p if "*" in p else f"*{p}*" for p in patterns]
    with open(events, "w", encoding="utf-8", errors="backslashreplace") as stream:
        loader.loadTestsFromName(module).run(EventResult(stream))
        stream.write('{"event": "end"}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
