"""Generate the application's data: the same rows for the same seed, on any machine."""

import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from service_app import keys, schema
from service_app.doors import Database
from service_app.memory import pack

SEED = 20_240_229
USERS = 2_000
PRODUCTS = 500
ORDERS_PER_USER = 6
INSTRUMENTS = 120
DAYS = 250
POSITIONS_PER_USER = 3
TRADES_PER_USER = 8
CONVERSATIONS_PER_USER = 1
MESSAGES_PER_CONVERSATION = 8
MEMORIES_PER_USER = 5
DIMENSIONS = 16

FIRST_DAY = date(2023, 1, 2)
NAMES = ("Ada", "Björn", "Chloé", "Dmitri", "Ελένη", "Farid", "Grace", "Håkon", "Inés", "健")
WORDS = ("budget", "dividend", "delivery", "holiday", "risk", "invoice", "Zürich", "café", "東京")

Row = tuple[object, ...]


def generate(folder: Path) -> int:
    """Create the three databases in a folder; give the number of rows."""
    schema.create(folder)
    generator = random.Random(SEED)
    return (
        _fill(folder, Database.APP, _shop(generator))
        + _fill(folder, Database.PORTFOLIO, _portfolio(generator))
        + _fill(folder, Database.AI_MEMORY, _memory(generator))
    )


def _fill(folder: Path, database: Database, tables: Iterable[tuple[str, list[Row]]]) -> int:
    count = 0
    with closing(sqlite3.connect(folder / database)) as connection, connection:
        for table, rows in tables:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            count += len(rows)
    return count


def day(number: int) -> str:
    """Give a day of the generated calendar in ISO form."""
    return (FIRST_DAY + timedelta(days=number)).isoformat()


def vector(generator: random.Random) -> list[float]:
    """Make an embedding of multiples of 1/8, whose products are exact."""
    return [generator.randrange(-8, 9) / 8 for _ in range(DIMENSIONS)]


def sentence(generator: random.Random, words: int = 8) -> str:
    """Make a text of a few words."""
    return " ".join(generator.choices(WORDS, k=words))


def _shop(generator: random.Random) -> Iterator[tuple[str, list[Row]]]:
    yield (
        "users",
        [
            (i, f"user{i}@example.org", f"{NAMES[i % len(NAMES)]} {i}", day(i % DAYS), None)
            for i in range(USERS)
        ],
    )
    prices = [generator.randrange(100, 20_000) for _ in range(PRODUCTS)]
    yield (
        "products",
        [(i, f"SKU-{i:05d}", sentence(generator, 3), prices[i], 10_000) for i in range(PRODUCTS)],
    )
    orders: list[Row] = []
    lines: list[Row] = []
    for user_id in range(USERS):
        for number in range(ORDERS_PER_USER):
            order_id = keys.first(user_id) + number
            own = _order_lines(generator, order_id, prices)
            total = sum(quantity * price for _, _, quantity, price in own)
            status = generator.choice(("open", "paid", "cancelled"))
            orders.append((order_id, user_id, day(generator.randrange(DAYS)), status, total))
            lines += own
    yield "orders", orders
    yield "order_lines", lines


def _order_lines(
    generator: random.Random, order_id: int, prices: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    chosen = sorted(generator.sample(range(PRODUCTS), generator.randrange(1, 4)))
    return [(order_id, p, generator.randrange(1, 5), prices[p]) for p in chosen]


def _portfolio(generator: random.Random) -> Iterator[tuple[str, list[Row]]]:
    yield (
        "instruments",
        [(i, f"SYM{i:03d}", generator.choice(("EUR", "USD", "CHF"))) for i in range(INSTRUMENTS)],
    )
    yield "prices", [row for i in range(INSTRUMENTS) for row in _price_path(generator, i)]
    yield (
        "positions",
        [
            (user_id, instrument_id, generator.randrange(1, 50), generator.randrange(1, 10**6))
            for user_id in range(USERS)
            for instrument_id in sorted(generator.sample(range(INSTRUMENTS), POSITIONS_PER_USER))
        ],
    )
    yield (
        "trades",
        [
            (
                keys.first(user_id) + number,
                user_id,
                generator.randrange(INSTRUMENTS),
                generator.randrange(1, 20),
                generator.randrange(500, 50_000),
                day(generator.randrange(DAYS)),
            )
            for user_id in range(USERS)
            for number in range(TRADES_PER_USER)
        ],
    )


def _price_path(generator: random.Random, instrument_id: int) -> Iterator[Row]:
    close_cents = generator.randrange(1_000, 50_000)
    for number in range(DAYS):
        close_cents = max(100, close_cents + generator.randrange(-300, 301))
        yield instrument_id, day(number), close_cents


def _memory(generator: random.Random) -> Iterator[tuple[str, list[Row]]]:
    conversations = [
        (keys.first(user_id) + number, user_id, sentence(generator, 3), MESSAGES_PER_CONVERSATION)
        for user_id in range(USERS)
        for number in range(CONVERSATIONS_PER_USER)
    ]
    yield "conversations", list(conversations)
    yield (
        "messages",
        [
            (key, position, ("assistant", "user")[position % 2], sentence(generator))
            for key, *_ in conversations
            for position in range(1, MESSAGES_PER_CONVERSATION + 1)
        ],
    )
    memories = [
        (keys.first(user_id) + number, user_id, sentence(generator), 0)
        for user_id in range(USERS)
        for number in range(MEMORIES_PER_USER)
    ]
    yield "memories", list(memories)
    yield "embeddings", [(key, pack(vector(generator))) for key, *_ in memories]
