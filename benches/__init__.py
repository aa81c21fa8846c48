"""Benchmarks: the workloads of the project's performance targets, side by side.

``python -m benches [W1 W2 ...] [--quick] [--json FILE]`` measures ``dbmanager``
against the stdlib's ``sqlite3``, apsw, SQLAlchemy and peewee in one process, in
interleaved rounds, and prints ratios to the stdlib. Absolute times of two runs are
never compared, and nothing here is part of the tests.

A workload is one module that gives its variants (see ``arena.Variant``); the arena
times them, the report prints them. Workloads know nothing about either.
"""
