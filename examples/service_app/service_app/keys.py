"""Keys that an owner numbers by itself.

A row that belongs to a user has the key ``user_id * OWNED_MAX + number``. Each user's
numbers follow each other whatever other users do meanwhile, so the same requests
leave the same keys behind in whatever order threads serve them.
"""

OWNED_MAX = 1_000_000


def first(user_id: int) -> int:
    """Give the lowest key that a user's rows can have."""
    return user_id * OWNED_MAX


def after(user_id: int, highest: int | None) -> int:
    """Give the key after the highest one of a user, or the first one."""
    return first(user_id) if highest is None else highest + 1
