//! What running a statement leaves behind on its connection, as far as its text tells.
//!
//! A pool must know it: data in the file is everybody's, but a setting, a temporary table or an attached database
//! belongs to one connection, and its next user must not see it. Where the text does not tell, the answer is the
//! worse one: a connection that is closed for nothing costs a little time only.

use super::{Keyword, skip_blanks_and_comments};

/// What was left behind, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Effect(u16);

impl Effect {
    /// Nothing, or nothing but data that was read.
    pub const NONE: Self = Self(0);
    /// The file may have been written.
    pub const WROTE: Self = Self(1);
    /// Something that a pool can't undo.
    pub const LASTING: Self = Self(1 << 1);
    /// `PRAGMA foreign_keys`
    pub const FOREIGN_KEYS: Self = Self(1 << 2);
    /// `PRAGMA synchronous`
    pub const SYNCHRONOUS: Self = Self(1 << 3);
    /// `PRAGMA busy_timeout`
    pub const BUSY_TIMEOUT: Self = Self(1 << 4);
    /// `PRAGMA cache_size`
    pub const CACHE_SIZE: Self = Self(1 << 5);
    /// `PRAGMA mmap_size`
    pub const MMAP_SIZE: Self = Self(1 << 6);
    /// `PRAGMA recursive_triggers`
    pub const RECURSIVE_TRIGGERS: Self = Self(1 << 7);
    /// `PRAGMA wal_autocheckpoint`
    pub const WAL_AUTOCHECKPOINT: Self = Self(1 << 8);

    /// `PRAGMA temp_store`
    pub const TEMP_STORE: Self = Self(1 << 9);
    /// `PRAGMA case_sensitive_like`
    pub const CASE_SENSITIVE_LIKE: Self = Self(1 << 10);
    /// An authorizer, a progress handler or a trace
    pub const HOOKS: Self = Self(1 << 11);
    /// Functions and collations
    pub const REGISTERED: Self = Self(1 << 12);
    /// Limits
    pub const LIMITS: Self = Self(1 << 13);

    /// Both together.
    #[inline]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is in it.
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Without `other`.
    #[inline]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What a text leaves behind on its connection, apart from data.
    pub fn of(sql: &str, keyword: Keyword) -> Self {
        match keyword {
            Keyword::Dml | Keyword::Query | Keyword::Begin | Keyword::End => Self::NONE,
            // A pragma that is explained takes effect all the same.
            Keyword::Explain if contains(sql, "pragma") => Self::LASTING,
            Keyword::Explain => Self::NONE,
            Keyword::Attach => Self::LASTING,
            Keyword::Schema | Keyword::Other => other(skip_blanks_and_comments(sql)),
        }
    }
}

/// Settings that a pool sets back, by `PRAGMA name`.
pub const RESTORABLE: [(&str, Effect); 9] = [
    ("foreign_keys", Effect::FOREIGN_KEYS),
    ("synchronous", Effect::SYNCHRONOUS),
    ("busy_timeout", Effect::BUSY_TIMEOUT),
    ("cache_size", Effect::CACHE_SIZE),
    ("mmap_size", Effect::MMAP_SIZE),
    ("recursive_triggers", Effect::RECURSIVE_TRIGGERS),
    ("wal_autocheckpoint", Effect::WAL_AUTOCHECKPOINT),
    ("temp_store", Effect::TEMP_STORE),
    ("case_sensitive_like", Effect::CASE_SENSITIVE_LIKE),
];

/// Pragmas whose argument says what to look at, or that change the file and nothing else.
const HARMLESS: [&str; 17] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "optimize",
    "wal_checkpoint",
    "incremental_vacuum",
    "user_version",
    "application_id",
    "shrink_memory",
    "schema_version",
];

fn contains(text: &str, word: &str) -> bool {
    text.as_bytes()
        .windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

fn other(sql: &str) -> Effect {
    let (word, rest) = identifier(sql);
    let is = |what: &str| word.eq_ignore_ascii_case(what);
    if word.is_empty() && skip_blanks_and_comments(rest).is_empty() {
        return Effect::NONE;
    }
    if is("pragma") {
        return pragma(rest);
    }
    // Schema is data, unless it is temporary; "temp" anywhere in the text is suspicion enough.
    let schema = ["create", "drop", "alter", "reindex", "analyze", "vacuum"];
    if schema.iter().any(|what| is(what)) && !contains(sql, "temp") {
        return Effect::NONE;
    }
    Effect::LASTING
}

/// Whether a PRAGMA asks for the journal mode and does not set it. SQLite takes both for writing.
pub fn asks_journal_mode(sql: &str) -> bool {
    let (word, rest) = identifier(sql);
    let Pragma { name, value, .. } = Pragma::of(rest);
    word.eq_ignore_ascii_case("pragma")
        && name.eq_ignore_ascii_case("journal_mode")
        && value.is_empty()
}

/// Files that a statement wants alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alone {
    /// That of a schema.
    Schema(Box<str>),
    /// Those of all schemas, attached ones too.
    All,
}

/// Which files a statement wants no other connection to have open, as far as that is up to us: it leaves WAL mode, locks
/// them for good, or builds one anew.
pub fn wants_alone(sql: &str) -> Option<Alone> {
    let (word, rest) = identifier(skip_blanks_and_comments(sql));
    if word.eq_ignore_ascii_case("vacuum") {
        let (schema, _) = quoted_or_not(rest);
        let is_main = schema.is_empty() || schema.eq_ignore_ascii_case("into");
        return Some(Alone::Schema(if is_main { "main" } else { schema }.into()));
    }
    let Pragma {
        schema,
        name,
        value,
    } = Pragma::of(rest);
    let is_one = |known: &&str| name.eq_ignore_ascii_case(known);
    let wants = word.eq_ignore_ascii_case("pragma")
        && ["journal_mode", "locking_mode"].iter().any(is_one)
        && !value.is_empty()
        && !value
            .split(';')
            .next()
            .is_some_and(|value| contains(value, "wal"));
    wants.then(|| match schema {
        "" => Alone::All,
        schema => Alone::Schema(schema.into()),
    })
}

/// The name of the database that a text attaches, if it is written there as one literal.
pub fn attached(sql: &str) -> Option<String> {
    let (word, rest) = identifier(skip_blanks_and_comments(sql));
    if !word.eq_ignore_ascii_case("attach") {
        return None;
    }
    let (word, after) = identifier(rest);
    let rest = match word.eq_ignore_ascii_case("database") {
        true => after,
        false => rest,
    };
    let mut signs = skip_blanks_and_comments(rest).chars().peekable();
    let quote = signs.next().filter(|sign| matches!(sign, '\'' | '"'))?;
    let mut name = String::new();
    while let Some(sign) = signs.next() {
        if sign == quote && signs.next_if_eq(&quote).is_none() {
            // Else it is part of an expression.
            let rest = String::from_iter(signs);
            return identifier(&rest)
                .0
                .eq_ignore_ascii_case("as")
                .then_some(name);
        }
        name.push(sign);
    }
    None
}

/// Pragmas that write into the database, and are undone with a transaction.
const TRANSACTIONAL: [&str; 3] = ["user_version", "application_id", "optimize"];

/// Whether it is a PRAGMA that runs ANALYZE. SQLite takes it for reading.
pub fn optimizes(sql: &str) -> bool {
    let (word, rest) = identifier(sql);
    word.eq_ignore_ascii_case("pragma") && Pragma::of(rest).name.eq_ignore_ascii_case("optimize")
}

/// A statement without what may stand before its first word: blanks, comments, semicolons, a byte-order mark.
pub fn from_first_word(sql: &str) -> &str {
    let mut rest = sql.trim_start_matches('\u{feff}');
    loop {
        let next = skip_blanks_and_comments(rest).trim_start_matches([';', '\u{feff}']);
        if next.len() == rest.len() {
            return rest;
        }
        rest = next;
    }
}

/// Whether a statement that writes changes data or schema, which a transaction can undo: whatever stands before its first
/// word, and be it a PRAGMA.
pub fn can_be_undone(sql: &str) -> bool {
    let rest = from_first_word(sql);
    let (word, after) = identifier(rest);
    match super::leading_keyword(rest) {
        Keyword::Dml | Keyword::Schema | Keyword::Query => true,
        _ if word.eq_ignore_ascii_case("pragma") => {
            let name = Pragma::of(after).name;
            TRANSACTIONAL
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known))
        }
        _ => false,
    }
}

/// The parts of a PRAGMA.
struct Pragma<'a> {
    /// Empty if none is named.
    schema: &'a str,
    name: &'a str,
    /// What follows the name, with its sign or bracket; empty if the PRAGMA only asks.
    value: &'a str,
}

impl<'a> Pragma<'a> {
    /// Those of a text behind the word.
    fn of(text: &'a str) -> Self {
        let (mut name, mut rest) = quoted_or_not(text);
        let mut schema = "";
        if let Some(after) = skip_blanks_and_comments(rest).strip_prefix('.') {
            schema = name;
            (name, rest) = quoted_or_not(after);
        }
        let value = skip_blanks_and_comments(rest).trim_start_matches([';', ' ', '\t', '\n', '\r']);
        Self {
            schema,
            name,
            value,
        }
    }
}

fn pragma(rest: &str) -> Effect {
    let Pragma {
        schema,
        name,
        value,
    } = Pragma::of(rest);
    if !schema.is_empty() && !schema.eq_ignore_ascii_case("main") {
        return Effect::LASTING;
    }
    if name.is_empty() {
        return Effect::LASTING;
    }
    let is = |what: &&str| name.eq_ignore_ascii_case(what);
    if value.is_empty() || HARMLESS.iter().any(is) {
        return Effect::NONE;
    }
    if is(&"journal_mode") {
        // WAL is a property of the file; all other modes are the connection's.
        let (mode, _) = identifier(value.trim_start_matches(['=', '(', ' ', '\'', '"']));
        return match mode.eq_ignore_ascii_case("wal") {
            true => Effect::NONE,
            false => Effect::LASTING,
        };
    }
    RESTORABLE
        .iter()
        .find(|(what, _)| is(what))
        .map_or(Effect::LASTING, |(_, effect)| *effect)
}

/// The name at the start of a text, in quotes of any kind or in none, and what follows.
fn quoted_or_not(text: &str) -> (&str, &str) {
    let text = skip_blanks_and_comments(text);
    let mut signs = text.chars();
    let closing = match signs.next() {
        Some('[') => ']',
        Some(quote @ ('"' | '\'' | '`')) => quote,
        _ => return identifier(text),
    };
    signs.as_str().split_once(closing).unwrap_or(("", ""))
}

/// The identifier at the start of a text, behind blanks and comments, and what follows. Empty if it is quoted.
fn identifier(text: &str) -> (&str, &str) {
    let text = skip_blanks_and_comments(text);
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::super::leading_keyword;
    use super::*;

    fn effect(sql: &str) -> Effect {
        Effect::of(sql, leading_keyword(sql))
    }

    #[test]
    fn pragmas_are_known_by_quoted_names_too() {
        for name in [
            "user_version",
            "\"user_version\"",
            "'User_Version'",
            "[user_version]",
            "`user_version`",
        ] {
            for schema in ["", "main.", "\"main\" . "] {
                assert!(
                    can_be_undone(&format!("PRAGMA {schema}{name} = 5")),
                    "{schema}{name}"
                );
            }
        }
        assert_eq!(
            wants_alone("PRAGMA \"journal_mode\" = delete"),
            Some(Alone::All)
        );
        assert_eq!(effect("PRAGMA \"foreign_keys\" = 0"), Effect::FOREIGN_KEYS);
        assert_eq!(effect("PRAGMA \"foreign_keys = 0"), Effect::LASTING);
    }

    #[test]
    fn statements_that_want_a_file_alone_are_known() {
        for (schema, sql) in [
            ("", "PRAGMA journal_mode=delete"),
            ("main", " -- x\npragma main.journal_mode('OFF')"),
            ("", "PRAGMA locking_mode = EXCLUSIVE;"),
            ("b", "PRAGMA b . locking_mode = EXCLUSIVE;"),
            ("c d", "pragma [c d].journal_mode=delete"),
            ("main", "VACUUM"),
            ("main", "vacuum main"),
            ("b", "VACUUM \"b\";"),
            ("main", "VACUUM INTO 'b'"),
            ("b", "VACUUM b INTO 'b'"),
            ("", "PRAGMA journal_mode=delete; SELECT 'wal'"),
        ] {
            let wanted = match schema {
                "" => Alone::All,
                schema => Alone::Schema(schema.into()),
            };
            assert_eq!(wants_alone(sql), Some(wanted), "{sql}");
        }
        for sql in [
            "PRAGMA journal_mode",
            "PRAGMA journal_mode;",
            "PRAGMA journal_mode = 'WAL'",
            "SELECT 'vacuum'",
            "PRAGMA user_version = 1",
        ] {
            assert_eq!(wants_alone(sql), None, "{sql}");
        }
    }

    #[test]
    fn what_is_attached_is_read_from_its_literal() {
        for (name, sql) in [
            ("a.db", "attach 'a.db' as b"),
            ("it's", "-- x\nATTACH DATABASE 'it''s' AS b;"),
            ("file:a?mode=ro", "Attach/**/\"file:a?mode=ro\" as b"),
            ("", "attach '' as b"),
        ] {
            assert_eq!(attached(sql).as_deref(), Some(name), "{sql}");
        }
        for sql in [
            "attach ? as b",
            "attach 'a' || '.db' as b",
            "attach 'a",
            "select 'a'",
            "",
        ] {
            assert_eq!(attached(sql), None, "{sql}");
        }
    }

    #[test]
    fn reading_leaves_nothing_behind() {
        for sql in [
            "select 1",
            "PRAGMA foreign_keys",
            "pragma foreign_keys;",
            "pragma table_info(t)",
            "PRAGMA main.table_info('t')",
            "PRAGMA /* ? */ user_version = 3",
            "explain query plan select 1",
            "-- nothing",
            "",
        ] {
            assert_eq!(effect(sql), Effect::NONE, "{sql}");
        }
    }

    #[test]
    fn the_journal_mode_is_asked_for_without_a_value() {
        for sql in [
            "PRAGMA journal_mode",
            "pragma main.journal_mode;",
            "-- so\n Pragma /* ? */ Journal_Mode -- or so",
        ] {
            assert!(asks_journal_mode(sql), "{sql}");
        }
        for sql in [
            "PRAGMA journal_mode=WAL",
            "pragma main.journal_mode (delete);",
            "PRAGMA journal_mode /* */ = off",
            "PRAGMA user_version",
            "PRAGMA journal_size_limit",
            "select journal_mode",
            "",
        ] {
            assert!(!asks_journal_mode(sql), "{sql}");
        }
    }

    #[test]
    fn optimizing_is_writing() {
        for sql in ["PRAGMA optimize", "pragma main.Optimize(0x10002);"] {
            assert!(optimizes(sql) && can_be_undone(sql), "{sql}");
        }
        assert!(!optimizes("PRAGMA user_version") && !optimizes("select optimize"));
    }

    #[test]
    fn what_a_transaction_can_undo_is_known_behind_anything() {
        for sql in [
            "insert into t values (1)",
            "; insert into t values (1)",
            "\u{feff}delete from t",
            " ;; /* a */ ; -- b\n update t set a = 1",
            "create table t (a)",
            "with a as (select 1) insert into t select * from a",
            "PRAGMA user_version = 3",
            ";pragma main.application_id(3)",
        ] {
            assert!(can_be_undone(sql), "{sql}");
        }
        for sql in [
            "VACUUM",
            ";vacuum",
            "PRAGMA journal_mode = WAL",
            "PRAGMA wal_checkpoint",
            "begin",
            "; commit",
            "attach 'a' as b",
            "",
            ";",
        ] {
            assert!(!can_be_undone(sql), "{sql}");
        }
    }

    #[test]
    fn schema_is_data_unless_it_is_temporary() {
        for sql in [
            "create table t (a)",
            "drop index i",
            "alter table t add b",
            "vacuum",
            "analyze",
        ] {
            assert_eq!(effect(sql), Effect::NONE, "{sql}");
        }
        for sql in [
            "create temp table t (a)",
            "create table temp.t (a)",
            "CREATE TEMPORARY VIEW v AS SELECT 1",
            "create table \"TEMP\".t (a)",
        ] {
            assert_eq!(effect(sql), Effect::LASTING, "{sql}");
        }
    }

    #[test]
    fn common_settings_can_be_set_back() {
        assert_eq!(effect("PRAGMA foreign_keys = ON"), Effect::FOREIGN_KEYS);
        assert_eq!(effect("pragma foreign_keys(1)"), Effect::FOREIGN_KEYS);
        assert_eq!(effect("pragma main.synchronous=off"), Effect::SYNCHRONOUS);
        assert_eq!(effect("PRAGMA cache_size=-64000;"), Effect::CACHE_SIZE);
        assert_eq!(effect("PRAGMA journal_mode=WAL"), Effect::NONE);
        assert_eq!(effect("PRAGMA journal_mode = 'wal'"), Effect::NONE);
    }

    #[test]
    fn everything_else_lasts() {
        for sql in [
            "pragma query_only = 1",
            "pragma journal_mode = memory",
            "pragma temp.cache_size = 3",
            "attach 'x' as y",
            "detach y",
            "explain pragma foreign_keys = 1",
        ] {
            assert_eq!(effect(sql), Effect::LASTING, "{sql}");
        }
    }
}
