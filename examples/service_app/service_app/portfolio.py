"""Portfolio: trade, positions, valuation, prices (``portfolio.db``)."""

from collections.abc import Iterable
from dataclasses import dataclass

from service_app import keys
from service_app.doors import Database, Door


@dataclass(frozen=True)
class Holding:
    """A position with its value at the last known price."""

    symbol: str
    quantity: int
    cost_cents: int
    value_cents: int


@dataclass(frozen=True)
class Trade:
    """A purchase, or a sale when the quantity is negative."""

    instrument_id: int
    quantity: int
    price_cents: int
    at: str


def record(door: Door, user_id: int, trade: Trade) -> int:
    """Record a trade and move the position; give the trade's id."""
    with door.open(Database.PORTFOLIO) as connection:
        connection.execute(
            "INSERT INTO positions (user_id, instrument_id, quantity, cost_cents) "
            "VALUES (:user, :instrument, :quantity, :cost) "
            "ON CONFLICT (user_id, instrument_id) DO UPDATE SET "
            "quantity = quantity + excluded.quantity, "
            "cost_cents = cost_cents + excluded.cost_cents",
            {
                "user": user_id,
                "instrument": trade.instrument_id,
                "quantity": trade.quantity,
                "cost": trade.quantity * trade.price_cents,
            },
        )
        (highest,) = connection.execute(
            "SELECT max(id) FROM trades WHERE id >= ? AND id < ?",
            (keys.first(user_id), keys.first(user_id + 1)),
        ).fetchone()
        trade_id = keys.after(user_id, highest)
        connection.execute(
            "INSERT INTO trades (id, user_id, instrument_id, quantity, price_cents, traded_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                trade_id,
                user_id,
                trade.instrument_id,
                trade.quantity,
                trade.price_cents,
                trade.at,
            ),
        )
    return trade_id


def last_price(door: Door, instrument_id: int) -> int | None:
    """Give the last known price of an instrument, in cents."""
    with door.open(Database.PORTFOLIO) as connection:
        row = connection.execute(
            "SELECT close_cents FROM prices WHERE instrument_id = ? ORDER BY day DESC LIMIT 1",
            (instrument_id,),
        ).fetchone()
    return None if row is None else int(row[0])


def holdings(door: Door, user_id: int) -> list[Holding]:
    """Value a user's positions at the last known prices."""
    with door.open(Database.PORTFOLIO) as connection:
        rows = connection.execute(
            "SELECT i.symbol, p.quantity, p.cost_cents, p.quantity * ("
            "  SELECT close_cents FROM prices WHERE instrument_id = p.instrument_id"
            "  ORDER BY day DESC LIMIT 1) "
            "FROM positions AS p JOIN instruments AS i ON i.id = p.instrument_id "
            "WHERE p.user_id = ? AND p.quantity <> 0 ORDER BY i.symbol",
            (user_id,),
        ).fetchall()
    return [Holding(*row) for row in rows]


def import_prices(door: Door, day: str, closes: Iterable[tuple[int, int]]) -> None:
    """Store the closing prices of a day: pairs of instrument and cents."""
    with door.open(Database.PORTFOLIO) as connection:
        connection.executemany(
            "INSERT INTO prices (instrument_id, day, close_cents) VALUES (?, ?, ?) "
            "ON CONFLICT (instrument_id, day) DO UPDATE SET close_cents = excluded.close_cents",
            [(instrument_id, day, close_cents) for instrument_id, close_cents in closes],
        )
