"""The traffic: what users ask of the services, the same for every door.

Four phases of requests. A user is served by one thread, and what users share (stock,
prices) changes only by sums and constants, so the state at the end does not depend on
how the threads interleave. Each request also gives an answer; the answers of a user
are part of what the doors must agree on.
"""

import random
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from service_app import memory, orders, portfolio, seed, users
from service_app.doors import Door

# Nothing in the generated data has this id.
NO_PRODUCT = 10**9

Request = Callable[[Door, int, random.Random], object]


@dataclass(frozen=True)
class Phase:
    """A kind of request, and how many of them each visiting user makes."""

    name: str
    request: Request
    repeat: int
    visitors: int


def serve(door: Door, phase: Phase, user_ids: Iterable[int]) -> int:
    """Make a phase's requests for some users; give a checksum of the answers.

    The checksum is a sum over the users, so that those of several threads add up to
    the same number however the users were divided.
    """
    checksum = 0
    for user_id in user_ids:
        # A text seeds by its content; a hash of it would change from run to run.
        generator = random.Random(f"{seed.SEED}/{phase.name}/{user_id}")
        answers = [phase.request(door, user_id, generator) for _ in range(phase.repeat)]
        checksum += zlib.crc32(repr((user_id, answers)).encode())
    return checksum


def browse(door: Door, user_id: int, generator: random.Random) -> object:
    """Look at a page: the user, the orders, a price."""
    user = users.get(door, user_id)
    return (
        user.name,
        users.find(door, user.email) is not None,
        orders.of_user(door, user_id),
        portfolio.last_price(door, generator.randrange(seed.INSTRUMENTS)),
    )


def shop(door: Door, user_id: int, generator: random.Random) -> object:
    """Order something and pay or cancel; now and then order what does not exist."""
    chosen = generator.sample(range(seed.PRODUCTS), generator.randrange(1, 4))
    quantities = {product_id: generator.randrange(1, 4) for product_id in chosen}
    at = seed.day(seed.DAYS + generator.randrange(30))
    users.note_visit(door, user_id, at)
    if generator.random() < 0.2:
        # The goods taken before the unknown product is met must come back.
        with suppress(orders.UnknownProductError):
            orders.place(door, user_id, {**quantities, NO_PRODUCT: 1}, at)
    order_id = orders.place(door, user_id, quantities, at)
    settle = generator.choice((orders.pay, orders.cancel))
    return order_id, settle(door, order_id), settle(door, order_id)


def trade(door: Door, user_id: int, generator: random.Random) -> object:
    """Trade at the last price and value the portfolio."""
    instrument_id = generator.randrange(seed.INSTRUMENTS)
    price_cents = portfolio.last_price(door, instrument_id)
    assert price_cents is not None
    at = seed.day(seed.DAYS + generator.randrange(30))
    order = portfolio.Trade(instrument_id, generator.randrange(-5, 10), price_cents, at)
    trade_id = portfolio.record(door, user_id, order)
    value_cents = sum(holding.value_cents for holding in portfolio.holdings(door, user_id))
    return trade_id, value_cents


def converse(door: Door, user_id: int, generator: random.Random) -> object:
    """Ask the assistant, who recalls, answers and remembers."""
    (conversation_id, *_) = memory.conversations(door, user_id)
    memory.say(door, conversation_id, "user", seed.sentence(generator))
    recalled = memory.recall(door, user_id, seed.vector(generator))
    memory.say(door, conversation_id, "assistant", "; ".join(m.content for m in recalled))
    key = memory.remember(door, user_id, seed.sentence(generator), seed.vector(generator))
    return key, [(m.id, m.likeness) for m in recalled], memory.history(door, conversation_id)


PHASES = (
    Phase("browse", browse, repeat=5, visitors=400),
    Phase("shop", shop, repeat=3, visitors=200),
    Phase("trade", trade, repeat=3, visitors=250),
    Phase("converse", converse, repeat=2, visitors=200),
)
