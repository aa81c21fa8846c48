"""Orders: place, pay, cancel, list (``app.db``).

Each function that writes begins with its write, so that two of them queue for the
write lock instead of failing on a snapshot that the other one made old.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from service_app import keys
from service_app.doors import Connection, Database, Door


@dataclass(frozen=True)
class OrderSummary:
    """An order as the list of a user's orders shows it."""

    id: int
    status: str
    total_cents: int
    lines: int


class UnknownProductError(LookupError):
    """An order names a product that does not exist; nothing of it is kept."""


def place(door: Door, user_id: int, quantities: Mapping[int, int], at: str) -> int:
    """Place an order of product ids and quantities; give its id."""
    with door.open(Database.APP) as connection:
        # Taking the goods first takes the write lock first.
        for product_id, quantity in sorted(quantities.items()):
            _take(connection, product_id, quantity)
        order_id = _next_id(connection, user_id)
        prices = {product_id: _price(connection, product_id) for product_id in quantities}
        total = sum(prices[product_id] * number for product_id, number in quantities.items())
        connection.execute(
            "INSERT INTO orders (id, user_id, placed_at, status, total_cents) "
            "VALUES (?, ?, ?, 'open', ?)",
            (order_id, user_id, at, total),
        )
        connection.executemany(
            "INSERT INTO order_lines (order_id, product_id, quantity, price_cents) "
            "VALUES (?, ?, ?, ?)",
            [(order_id, p, number, prices[p]) for p, number in quantities.items()],
        )
    return order_id


def _take(connection: Connection, product_id: int, quantity: int) -> None:
    taken = connection.execute(
        "UPDATE products SET stock = stock - ? WHERE id = ?", (quantity, product_id)
    )
    if taken.rowcount != 1:
        raise UnknownProductError(f"no product has the id {product_id}")


def _next_id(connection: Connection, user_id: int) -> int:
    (highest,) = connection.execute(
        "SELECT max(id) FROM orders WHERE id >= ? AND id < ?",
        (keys.first(user_id), keys.first(user_id + 1)),
    ).fetchone()
    return keys.after(user_id, highest)


def _price(connection: Connection, product_id: int) -> int:
    (price_cents,) = connection.execute(
        "SELECT price_cents FROM products WHERE id = ?", (product_id,)
    ).fetchone()
    return int(price_cents)


def pay(door: Door, order_id: int) -> bool:
    """Mark an open order as paid; tell whether it was open."""
    with door.open(Database.APP) as connection:
        paid = connection.execute(
            "UPDATE orders SET status = 'paid' WHERE id = ? AND status = 'open'", (order_id,)
        )
        return bool(paid.rowcount)


def cancel(door: Door, order_id: int) -> bool:
    """Cancel an open order and put its goods back; tell whether it was open."""
    with door.open(Database.APP) as connection:
        cancelled = connection.execute(
            "UPDATE orders SET status = 'cancelled' WHERE id = ? AND status = 'open'",
            (order_id,),
        )
        if not cancelled.rowcount:
            return False
        connection.execute(
            "UPDATE products SET stock = stock + line.quantity FROM "
            "(SELECT product_id, quantity FROM order_lines WHERE order_id = ?) AS line "
            "WHERE products.id = line.product_id",
            (order_id,),
        )
        return True


def of_user(door: Door, user_id: int, limit: int = 20) -> list[OrderSummary]:
    """List a user's latest orders."""
    with door.open(Database.APP) as connection:
        rows = connection.execute(
            "SELECT o.id, o.status, o.total_cents, count(*) "
            "FROM orders AS o JOIN order_lines AS l ON l.order_id = o.id "
            "WHERE o.user_id = ? GROUP BY o.id ORDER BY o.placed_at DESC, o.id DESC LIMIT ?",
            (user_id, limit),
        ).fetchall()
    return [OrderSummary(*row) for row in rows]
