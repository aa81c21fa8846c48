"""Runs CPython's own `test.test_sqlite3` on our module.

`swap` puts our module in the place of the stdlib's, `child` runs one test file in
a process of its own, `suite` finds the files and starts those processes, `verdict`
compares what they reported with the stdlib's own run, and `__main__` prints it.
"""
