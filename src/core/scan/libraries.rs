//! The libraries that open SQLite databases, and their functions for it, by their dotted names.

use serde::Serialize;

/// Which library a call opens a database with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The stdlib's module.
    Sqlite3,
    /// Another build of the same interface.
    Pysqlite3,
    /// Its wrapper for asyncio.
    Aiosqlite,
    /// An engine with an SQLite URL.
    Sqlalchemy,
    /// This package's own: a call that was swapped.
    Dbmanager,
}

/// Words of which one stands in every file that opens a database by name.
pub const WORDS: [&str; 2] = ["sqlite", "dbmanager"];

/// The last parts of the names of all functions and classes that open a database.
pub const LAST_NAMES: [&str; 7] = [
    CONNECT,
    CONNECTION,
    "create_engine",
    "create_async_engine",
    "DatabaseManager",
    "at",
    "named",
];

const OURS: [&str; 3] = [
    "dbmanager.connect",
    "dbmanager.sqlite3.connect",
    "dbmanager.sqlite3.dbapi2.connect",
];

/// What gives a manager.
const MANAGERS: [&str; 3] = [
    "dbmanager.DatabaseManager",
    "dbmanager.DatabaseManager.at",
    "dbmanager.DatabaseManager.named",
];

const CONNECT: &str = "connect";
const CONNECTION: &str = "Connection";
const ENGINES: [&str; 8] = [
    "sqlalchemy.create_engine",
    "sqlalchemy.engine.create_engine",
    "sqlalchemy.engine.create.create_engine",
    "sqlalchemy.ext.asyncio.create_async_engine",
    "sqlalchemy.ext.asyncio.engine.create_async_engine",
    "sqlalchemy.future.create_engine",
    "sqlmodel.create_engine",
    "flask_sqlalchemy.sqlalchemy.create_engine",
];

impl Kind {
    /// The kind of a function by its dotted name; that of an engine depends on its URL, too.
    pub fn of_name(name: &str) -> Option<Self> {
        if ENGINES.contains(&name) {
            return Some(Self::Sqlalchemy);
        }
        if OURS.contains(&name) {
            return Some(Self::Dbmanager);
        }
        let (library, opener) = name.rsplit_once('.')?;
        let kind = Self::of_library(library)?;
        exports(library, opener).then_some(kind)
    }

    /// The kind of a library by its dotted name, also as another one passes it on: `peewee.sqlite3`. dbmanager's own is
    /// where the calls go.
    fn of_library(name: &str) -> Option<Self> {
        let (first, _) = name.split_once('.').unwrap_or((name, ""));
        if first == "dbmanager" {
            return None;
        }
        let name = name.strip_suffix(".dbapi2").unwrap_or(name);
        let name = if name == "aiosqlite.core" {
            "aiosqlite"
        } else {
            name
        };
        match name.rsplit('.').next()? {
            "sqlite3" | "_sqlite3" => Some(Self::Sqlite3),
            "pysqlite3" | "pysqlite2" | "sqlean" => Some(Self::Pysqlite3),
            "aiosqlite" => Some(Self::Aiosqlite),
            _ => None,
        }
    }
}

/// Whether a dotted name is that of something that gives a manager.
pub fn gives_manager(name: &str) -> bool {
    MANAGERS.contains(&name)
}

/// Whether a dotted name is that of a library that opens databases.
pub fn is_library(name: &str) -> bool {
    Kind::of_library(name).is_some()
}

/// Whether a library has a function or class of that name which opens a database.
pub fn exports(library: &str, name: &str) -> bool {
    match Kind::of_library(library) {
        // Its class is made of a function that opens one.
        Some(Kind::Aiosqlite) => name == CONNECT,
        Some(_) => matches!(name, CONNECT | CONNECTION),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_by_their_dotted_names() {
        for (name, kind) in [
            ("sqlite3.connect", Some(Kind::Sqlite3)),
            ("sqlite3.dbapi2.connect", Some(Kind::Sqlite3)),
            ("sqlite3.Connection", Some(Kind::Sqlite3)),
            ("_sqlite3.connect", Some(Kind::Sqlite3)),
            ("peewee.sqlite3.connect", Some(Kind::Sqlite3)),
            ("pysqlite3.dbapi2.connect", Some(Kind::Pysqlite3)),
            ("aiosqlite.connect", Some(Kind::Aiosqlite)),
            ("aiosqlite.Connection", None),
            ("sqlalchemy.create_engine", Some(Kind::Sqlalchemy)),
            ("aiosqlite.core.connect", Some(Kind::Aiosqlite)),
            ("dbmanager.connect", Some(Kind::Dbmanager)),
            ("dbmanager.sqlite3.connect", Some(Kind::Dbmanager)),
            ("dbmanager.sqlite3.Connection", None),
            ("sqlite3.Row", None),
            ("mysqlite3.connect", None),
            ("psycopg.connect", None),
        ] {
            assert_eq!(Kind::of_name(name), kind, "{name}");
        }
    }
}
