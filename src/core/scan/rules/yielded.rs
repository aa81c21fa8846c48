//! DBM106: a generator that opens a connection, yields it, and closes it.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM106",
    name: "yielded connection",
    what: "Has a context manager, a fixture or a dependency that yields a connection yield a session.",
    why: "All who use it get pooled sessions by one change.",
    example: (
        "@contextmanager\ndef connection():\n    opened = sqlite3.connect(PATH)\n    try:\n        yield opened\n        opened.commit()\n    finally:\n        opened.close()",
        "@contextmanager\ndef connection():\n    with DatabaseManager.at(PATH).session() as opened:\n        yield opened",
    ),
    safety: "Unsafe: it hangs on what its users do. One that changes the schema and then raises kept the change with the stdlib; and if \
             nothing commits behind the `yield`, users that do not commit what they write lost it so far. A connection for several threads \
             (`check_same_thread=False`), as web frameworks need one for dependencies that run in a pool of threads, is swapped (DBM001).",
};
