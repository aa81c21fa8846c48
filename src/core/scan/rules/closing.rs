//! DBM104: a connection within `contextlib.closing`.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM104",
    name: "closing()",
    what: "Has `with closing(sqlite3.connect(…)) as connection:` open a session.",
    why: "A session needs no import to be closed, and is open already.",
    example: (
        "with closing(sqlite3.connect(path)) as connection:\n    return connection.execute(\"SELECT count(*) FROM job\").fetchone()[0]",
        "with DatabaseManager.at(path).session() as connection:\n    return connection.execute(\"SELECT count(*) FROM job\").fetchone()[0]",
    ),
    safety: "Safe if each path commits what it has written, or raises, as for DBM101.",
};
