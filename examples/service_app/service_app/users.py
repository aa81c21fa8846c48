"""Users: look up, register, note a visit (``app.db``)."""

from dataclasses import dataclass

from service_app.doors import Database, Door


@dataclass(frozen=True)
class User:
    """A registered user."""

    id: int
    email: str
    name: str
    last_seen_at: str | None


class UnknownUserError(LookupError):
    """No user has this id or address."""


def get(door: Door, user_id: int) -> User:
    """Look a user up by id."""
    with door.open(Database.APP) as connection:
        row = connection.execute(
            "SELECT id, email, name, last_seen_at FROM users WHERE id = ?", (user_id,)
        ).fetchone()
    if row is None:
        raise UnknownUserError(f"no user has the id {user_id}")
    return User(*row)


def find(door: Door, email: str) -> User | None:
    """Look a user up by address."""
    with door.open(Database.APP) as connection:
        row = connection.execute(
            "SELECT id, email, name, last_seen_at FROM users WHERE email = :email",
            {"email": email},
        ).fetchone()
    return None if row is None else User(*row)


def rename(door: Door, user_id: int, name: str) -> None:
    """Change a user's name."""
    with door.open(Database.APP) as connection:
        changed = connection.execute("UPDATE users SET name = ? WHERE id = ?", (name, user_id))
        if changed.rowcount != 1:
            raise UnknownUserError(f"no user has the id {user_id}")


def note_visit(door: Door, user_id: int, at: str) -> None:
    """Remember when a user was last seen; visits may be noted in any order."""
    with door.open(Database.APP) as connection:
        connection.execute(
            "UPDATE users SET last_seen_at = max(coalesce(last_seen_at, ''), ?) WHERE id = ?",
            (at, user_id),
        )
