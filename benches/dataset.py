"""The data of the workloads, made with a fixed seed, and the files that hold it.

Every file is built by the stdlib and left in WAL mode without a ``-wal`` file, so
that copying it copies the whole database.
"""

import random
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

SEED = 20_240_229

MixedRow = tuple[int, float, str, bytes, str | None]
WideRow = tuple[int, float, str, str, str, bytes | None]

_CITIES = ("Zürich", "Málaga", "東京", "Łódź", "Αθήνα", "São Paulo", "København", "Київ")
_WORDS = [
    "ledger",
    "amount",
    "pending",
    "settled",
    "invoice",
    "transfer",
    "balance",
    "account",
    "review",
    "note",
]


def write(path: Path, statements: Iterable[str], rows: Iterable[Sequence[object]] = ()) -> None:
    """Create a database: run the statements, then feed the rows to the last of them."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN")
    *ahead, last = statements
    for statement in ahead:
        connection.execute(statement)
    connection.executemany(last, rows)
    connection.execute("COMMIT")
    connection.close()


def mixed_rows(count: int) -> list[MixedRow]:
    """Make rows of five types: integer, float, text, blob, and text or NULL."""
    generator = random.Random(SEED)
    return [
        (
            generator.randrange(1 << 40),
            generator.random() * 1000,
            f"customer-{number:07d}",
            generator.randbytes(16),
            None if number % 4 == 0 else generator.choice(_CITIES),
        )
        for number in range(count)
    ]


def wide_rows(count: int) -> list[WideRow]:
    """Make rows as an application reads them: short, long and non-ASCII text, blob or NULL."""
    generator = random.Random(SEED)
    return [
        (
            number,
            generator.random() * 1000,
            f"ref-{number:06d}",
            f"{generator.choice(_CITIES)} {number % 97}",
            " ".join(generator.choices(_WORDS, k=10)),
            None if number % 3 == 0 else generator.randbytes(24),
        )
        for number in range(count)
    ]


def build_lookup(path: Path) -> None:
    """Write a table of 10,000 rows to look up by primary key."""
    write(
        path,
        (
            "CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT, balance REAL, note TEXT)",
            "INSERT INTO account VALUES (?, ?, ?, ?)",
        ),
        [(i, f"owner-{i}", i * 1.5, _CITIES[i % len(_CITIES)]) for i in range(10_000)],
    )


def build_application(path: Path) -> None:
    """Write a schema of 40 tables and 30 indexes, with rows in the one that is read."""
    tables = [
        f"CREATE TABLE part_{n} (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL, "
        "kind TEXT NOT NULL DEFAULT 'none', amount REAL, created_at TEXT, payload BLOB)"
        for n in range(39)
    ]
    indexes = [f"CREATE INDEX part_{n}_owner ON part_{n} (owner_id, kind)" for n in range(30)]
    write(
        path,
        (
            "CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT, balance REAL, note TEXT)",
            *tables,
            *indexes,
            "INSERT INTO account VALUES (?, ?, ?, ?)",
        ),
        [(i, f"owner-{i}", i * 1.5, "") for i in range(1_000)],
    )


def build_mixed(path: Path) -> None:
    """Write the empty table of the insert workloads."""
    write(
        path,
        (
            "CREATE TABLE mixed (number INTEGER, ratio REAL, name TEXT, token BLOB, city TEXT)",
            "INSERT INTO mixed VALUES (?, ?, ?, ?, ?)",
        ),
    )


def build_wide(path: Path, count: int) -> None:
    """Write the table of the result-set workloads."""
    write(
        path,
        (
            (
                "CREATE TABLE wide (id INTEGER PRIMARY KEY, amount REAL, reference TEXT, "
                "place TEXT, remark TEXT, token BLOB)"
            ),
            "INSERT INTO wide VALUES (?, ?, ?, ?, ?, ?)",
        ),
        wide_rows(count),
    )


def build_groups(path: Path, count: int) -> None:
    """Write the table of the aggregation workload: 100 groups, no index on them."""
    generator = random.Random(SEED)
    write(
        path,
        (
            (
                "CREATE TABLE trade (id INTEGER PRIMARY KEY, book INTEGER, quantity INTEGER, "
                "price REAL)"
            ),
            "INSERT INTO trade VALUES (?, ?, ?, ?)",
        ),
        (
            (i, generator.randrange(100), generator.randrange(1000), generator.randrange(4000) / 8)
            for i in range(count)
        ),
    )


def build_numbers(path: Path, count: int) -> None:
    """Write a table of integers."""
    write(
        path,
        ("CREATE TABLE number (value INTEGER)", "INSERT INTO number VALUES (?)"),
        ((i,) for i in range(count)),
    )
