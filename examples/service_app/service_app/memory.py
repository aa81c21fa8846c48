"""The assistant's memory: remember, recall, converse (``ai_memory.db``).

Embeddings are blobs of 32-bit floats; a user has few enough memories to compare them
all with the question.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from service_app import keys
from service_app.doors import Database, Door


@dataclass(frozen=True)
class Memory:
    """A remembered text with its likeness to a question."""

    id: int
    content: str
    likeness: float


def pack(vector: Sequence[float]) -> bytes:
    """Encode an embedding."""
    return array("f", vector).tobytes()


def unpack(blob: bytes) -> "array[float]":
    """Decode an embedding."""
    vector: array[float] = array("f")
    vector.frombytes(blob)
    return vector


def remember(door: Door, user_id: int, content: str, vector: Sequence[float]) -> int:
    """Store a text and its embedding; give the id of the memory."""
    with door.open(Database.AI_MEMORY) as connection:
        # One statement finds the key and writes, so that nobody writes in between.
        (memory_id,) = connection.execute(
            "INSERT INTO memories (id, user_id, content) VALUES ("
            "  coalesce((SELECT max(id) + 1 FROM memories WHERE id >= :first AND id < :end),"
            "           :first), :user, :content) RETURNING id",
            {
                "first": keys.first(user_id),
                "end": keys.first(user_id + 1),
                "user": user_id,
                "content": content,
            },
        ).fetchone()
        connection.execute(
            "INSERT INTO embeddings (memory_id, vector) VALUES (?, ?)", (memory_id, pack(vector))
        )
    return int(memory_id)


def recall(door: Door, user_id: int, question: Sequence[float], count: int = 3) -> list[Memory]:
    """Find the memories most like a question, and count that they were recalled."""
    with door.open(Database.AI_MEMORY) as connection:
        rows = connection.execute(
            "SELECT m.id, m.content, e.vector FROM memories AS m "
            "JOIN embeddings AS e ON e.memory_id = m.id WHERE m.user_id = ?",
            (user_id,),
        ).fetchall()
    memories = [Memory(key, content, _likeness(blob, question)) for key, content, blob in rows]
    best = sorted(memories, key=lambda memory: (-memory.likeness, memory.id))[:count]
    with door.open(Database.AI_MEMORY) as connection:
        connection.executemany(
            "UPDATE memories SET recalled_total = recalled_total + 1 WHERE id = ?",
            [(memory.id,) for memory in best],
        )
    return best


def _likeness(blob: bytes, question: Sequence[float]) -> float:
    return float(sum(map(mul, unpack(blob), question)))


def say(door: Door, conversation_id: int, role: str, content: str) -> int:
    """Append a message to a conversation; give its position."""
    with door.open(Database.AI_MEMORY) as connection:
        row = connection.execute(
            "UPDATE conversations SET message_count = message_count + 1 WHERE id = ? "
            "RETURNING message_count",
            (conversation_id,),
        ).fetchone()
        if row is None:
            raise LookupError(f"no conversation has the id {conversation_id}")
        position = int(row[0])
        connection.execute(
            "INSERT INTO messages (conversation_id, position, role, content) VALUES (?, ?, ?, ?)",
            (conversation_id, position, role, content),
        )
    return position


def conversations(door: Door, user_id: int) -> list[int]:
    """List the ids of a user's conversations."""
    with door.open(Database.AI_MEMORY) as connection:
        rows = connection.execute(
            "SELECT id FROM conversations WHERE user_id = ? ORDER BY id", (user_id,)
        ).fetchall()
    return [int(row[0]) for row in rows]


def history(door: Door, conversation_id: int, limit: int = 10) -> list[tuple[str, str]]:
    """Give the last messages of a conversation, the oldest first."""
    with door.open(Database.AI_MEMORY) as connection:
        rows = connection.execute(
            "SELECT role, content FROM messages WHERE conversation_id = ? "
            "ORDER BY position DESC LIMIT ?",
            (conversation_id, limit),
        ).fetchall()
    return [(role, content) for role, content in reversed(rows)]
