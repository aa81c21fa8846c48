//! DBM102: a connection that a `finally` closes.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM102",
    name: "close in a finally",
    what: "Puts the body of a `try` whose `finally` closes the connection into the block of a session; handlers stay.",
    why: "One line says what six did.",
    example: (
        "connection = sqlite3.connect(path)\ntry:\n    connection.execute(\"DELETE FROM job\")\n    connection.commit()\nfinally:\n    connection.close()",
        "with DatabaseManager.at(path).session() as connection:\n    connection.execute(\"DELETE FROM job\")",
    ),
    safety: "Safe if each path commits what it has written, or raises. A handler that goes on with something uncommitted is given \
             the rollback that closing was.",
};
