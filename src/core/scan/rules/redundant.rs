//! DBM201: what a session does anyway.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM201",
    name: "redundant statements",
    what: "Leaves out what a session does anyway: `commit()` right before its end, and pragmas that it has set (foreign_keys=ON, \
           journal_mode=WAL, synchronous=NORMAL, busy_timeout=5000). Works together with the rules for sessions.",
    why: "Less to read, and a pragma that is not repeated costs nothing.",
    example: (
        "connection.execute(\"PRAGMA journal_mode=WAL\")\nconnection.execute(\"DELETE FROM job\")\nconnection.commit()",
        "connection.execute(\"DELETE FROM job\")",
    ),
    safety: "Safe for managers with the default pragmas.",
};
