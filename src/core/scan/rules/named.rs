//! DBM108: a path that the configuration has a name for.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM108",
    name: "named database",
    what: "Names the database as `dbmanager.toml` or `pyproject.toml` does, where a session's path is certain to be the same file: \
           a constant, `str(Path(…))`, an attribute. Works together with the rules for sessions.",
    why: "Where a database lies, and how its pool is set, then stands in one place.",
    example: (
        "with sqlite3.connect(str(BASE / \"app.db\")) as connection:",
        "with DatabaseManager.named(\"app\").session() as connection:",
    ),
    safety: "Safe for a path that hangs on nothing but the file's own place. A relative path is the same one only in the working directory \
             that the configuration stands in: unsafe.",
};
