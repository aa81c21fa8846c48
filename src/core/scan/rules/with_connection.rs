//! DBM103: a connection that is entered by `with`.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM103",
    name: "with connect()",
    what: "Has `with sqlite3.connect(…) as connection:`, or `with connection:` around all that is done with one, open a session.",
    why: "The stdlib's block commits or rolls back, and does not close: each call leaves a connection open.",
    example: (
        "with sqlite3.connect(path) as connection:\n    connection.execute(\"DELETE FROM job\")",
        "with DatabaseManager.at(path).session() as connection:\n    connection.execute(\"DELETE FROM job\")",
    ),
    safety: "Safe: both commit at the block's end and roll back if it raises. Behind a change of the schema, which the stdlib commits \
             by itself, a `commit()` is put.",
};
