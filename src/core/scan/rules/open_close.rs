//! DBM101: a connection that is opened and closed in one function, or never closed.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM101",
    name: "open and close in one scope",
    what: "Puts what stands between `connect()` and `close()` into the block of a session. Of a connection that nothing closes, the \
           block ends with its last use.",
    why: "Whatever happens in between, an exception or an early return, the connection goes back. Nearly half of the direct calls \
          that were looked at leave theirs open then.",
    example: (
        "connection = sqlite3.connect(path)\nrows = connection.execute(\"SELECT name FROM user\").fetchall()\nconnection.close()\nreturn rows",
        "with DatabaseManager.at(path).session() as connection:\n    rows = connection.execute(\"SELECT name FROM user\").fetchall()\nreturn rows",
    ),
    safety: "Safe if each path commits what it has written, or raises: a session commits at its end what closing would have \
             discarded. A write that nothing commits is left, as a suspected bug. Statements whose text is not known, and functions that \
             are given the connection, make it unsafe.",
};
