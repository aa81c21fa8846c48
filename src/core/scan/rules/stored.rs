//! DBM107: a connection that is stored on `self`.

use super::Rule;

pub const RULE: Rule = Rule {
    code: "DBM107",
    name: "stored connection",
    what: "Has a class keep a manager in the place of a connection; each method opens a session around what it does, and closing \
           has nothing to do any more.",
    why: "A connection that lives as long as its object blocks the others for as long as a transaction stays open, and belongs to \
          one thread. A manager has neither.",
    example: (
        "class Store:\n    def __init__(self, path):\n        self.connection = sqlite3.connect(path)\n\n    def add(self, name):\n        \
         self.connection.execute(\"INSERT INTO user (name) VALUES (?)\", (name,))\n        self.connection.commit()",
        "class Store:\n    def __init__(self, path):\n        self.manager = DatabaseManager.at(path)\n\n    def add(self, name):\n        \
         with self.manager.session() as session:\n            session.execute(\"INSERT INTO user (name) VALUES (?)\", (name,))\n            \
         session.commit()",
    ),
    safety: "Unsafe: it hangs on nobody else using the attribute. Methods that leave something uncommitted for others, or that call \
             each other while they use it, are left.",
};
