"""The schemas of the three databases, in WAL mode."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from service_app.doors import Database

SCHEMAS: Mapping[Database, str] = {
    Database.APP: """
        CREATE TABLE users (
            id INTEGER PRIMARY KEY,
            email TEXT NOT NULL UNIQUE,
            name TEXT NOT NULL,
            created_at TEXT NOT NULL,
            last_seen_at TEXT
        );
        CREATE TABLE products (
            id INTEGER PRIMARY KEY,
            sku TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL,
            price_cents INTEGER NOT NULL CHECK (price_cents > 0),
            stock INTEGER NOT NULL
        );
        CREATE TABLE orders (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES users (id),
            placed_at TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('open', 'paid', 'cancelled')),
            total_cents INTEGER NOT NULL
        );
        CREATE INDEX orders_by_user ON orders (user_id, placed_at);
        CREATE TABLE order_lines (
            order_id INTEGER NOT NULL REFERENCES orders (id),
            product_id INTEGER NOT NULL REFERENCES products (id),
            quantity INTEGER NOT NULL,
            price_cents INTEGER NOT NULL,
            PRIMARY KEY (order_id, product_id)
        ) WITHOUT ROWID;
        CREATE INDEX order_lines_by_product ON order_lines (product_id);
    """,
    Database.PORTFOLIO: """
        CREATE TABLE instruments (
            id INTEGER PRIMARY KEY,
            symbol TEXT NOT NULL UNIQUE,
            currency TEXT NOT NULL
        );
        CREATE TABLE prices (
            instrument_id INTEGER NOT NULL REFERENCES instruments (id),
            day TEXT NOT NULL,
            close_cents INTEGER NOT NULL,
            PRIMARY KEY (instrument_id, day)
        ) WITHOUT ROWID;
        CREATE TABLE positions (
            user_id INTEGER NOT NULL,
            instrument_id INTEGER NOT NULL REFERENCES instruments (id),
            quantity INTEGER NOT NULL,
            cost_cents INTEGER NOT NULL,
            PRIMARY KEY (user_id, instrument_id)
        ) WITHOUT ROWID;
        CREATE TABLE trades (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL,
            instrument_id INTEGER NOT NULL REFERENCES instruments (id),
            quantity INTEGER NOT NULL,
            price_cents INTEGER NOT NULL,
            traded_at TEXT NOT NULL
        );
        CREATE INDEX trades_by_user ON trades (user_id, traded_at);
    """,
    Database.AI_MEMORY: """
        CREATE TABLE conversations (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL,
            title TEXT NOT NULL,
            message_count INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX conversations_by_user ON conversations (user_id);
        CREATE TABLE messages (
            conversation_id INTEGER NOT NULL REFERENCES conversations (id),
            position INTEGER NOT NULL,
            role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
            content TEXT NOT NULL,
            PRIMARY KEY (conversation_id, position)
        ) WITHOUT ROWID;
        CREATE TABLE memories (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL,
            content TEXT NOT NULL,
            recalled_total INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX memories_by_user ON memories (user_id);
        CREATE TABLE embeddings (
            memory_id INTEGER PRIMARY KEY REFERENCES memories (id),
            vector BLOB NOT NULL
        );
    """,
}


def create(folder: Path) -> None:
    """Create the three empty databases in a folder."""
    for database, script in SCHEMAS.items():
        with closing(sqlite3.connect(folder / database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(script)
