//! What a statement does to a transaction, with the stdlib and in a session, as far as its text tells.

use crate::core::text::script::statements;
use crate::core::text::{Keyword, leading_keyword, skip_blanks_and_comments};

/// A statement in the eyes of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sql {
    /// It reads, and changes nothing.
    Reads,
    /// It changes rows: both begin a transaction before it.
    Writes,
    /// It changes the schema, which the stdlib does outside of a transaction that is not there already, and a session within
    /// one.
    Schema,
    /// It sets something that a session has so anyway.
    Redundant,
    /// It sets something of the connection, which ends with it.
    Sets,
    /// It begins or ends a transaction.
    Controls,
    /// It does what a session does otherwise: why it is no case for a rule.
    Refused(&'static str),
    /// The text is not known.
    Unknown,
}

impl Sql {
    /// Classify a statement by its text, of which the end may not be known.
    pub fn of(text: &str, is_whole: bool) -> Self {
        match leading_keyword(text) {
            Keyword::Query if !begins_with(text, "with") => Self::Reads,
            Keyword::Query if !is_whole => Self::Unknown,
            // Before such a one the stdlib begins no transaction.
            Keyword::Query if changes_rows(text) => Self::Refused("it writes behind WITH"),
            Keyword::Query | Keyword::Explain => Self::Reads,
            Keyword::Dml if is_limited(text) => {
                Self::Refused("this SQLite has no ORDER BY and LIMIT on UPDATE and DELETE")
            }
            Keyword::Dml => Self::Writes,
            Keyword::Schema => Self::Schema,
            Keyword::Begin | Keyword::End => Self::Controls,
            Keyword::Attach => Self::Refused("it attaches a database"),
            Keyword::Other if begins_with(text, "pragma") => match is_whole {
                true => of_pragma(text),
                false => Self::Unknown,
            },
            Keyword::Other if skip_blanks_and_comments(text).is_empty() => Self::Unknown,
            Keyword::Other if begins_with(text, "vacuum") => {
                Self::Refused("VACUUM can't run in a transaction")
            }
            Keyword::Other => Self::Refused("its statement is none that the rules know"),
        }
    }

    /// A statement that is one of two.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Reads, Self::Writes) | (Self::Writes, Self::Reads) => Self::Writes,
            (refused @ Self::Refused(_), _) | (_, refused @ Self::Refused(_)) => refused,
            _ => Self::Unknown,
        }
    }

    /// Classify a script: what its only statement is.
    pub fn of_script(text: &str, is_whole: bool) -> Self {
        let is_blank = |statement: &&str| skip_blanks_and_comments(statement).is_empty();
        let all = statements(text);
        match all.iter().filter(|statement| !is_blank(statement)).count() {
            1 if is_whole => Self::of(text, is_whole),
            _ => Self::Unknown,
        }
    }
}

fn begins_with(text: &str, word: &str) -> bool {
    let text = skip_blanks_and_comments(text).as_bytes();
    text.len() >= word.len() && text[..word.len()].eq_ignore_ascii_case(word.as_bytes())
}

/// Whether a statement changes a table that goes with its connection: one of the schema `temp`, or one that some text in
/// its file makes as a temporary one.
pub fn changes_temporary(text: &str, file: &str) -> bool {
    let Some((schema, table)) = changed_table(text) else {
        return false;
    };
    match schema {
        Some(schema) => schema.eq_ignore_ascii_case("temp"),
        None => makes_temporary(file, table),
    }
}

/// The table that an INSERT, REPLACE, UPDATE or DELETE changes, and its schema if it is named.
fn changed_table(text: &str) -> Option<(Option<&str>, &str)> {
    let mut words = words_of(skip_blanks_and_comments(text));
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let first = words.next()?;
    let name = match is(first, "update") {
        true => match words.next()? {
            word if is(word, "or") => words.nth(1)?,
            name => name,
        },
        false => {
            let mut behind = words.skip_while(|word| !is(word, "into") && !is(word, "from"));
            behind.nth(1)?
        }
    };
    Some(match name.split_once('.') {
        Some((schema, table)) => (Some(unquoted(schema)), unquoted(table)),
        None => (None, unquoted(name)),
    })
}

fn unquoted(name: &str) -> &str {
    name.trim_matches(['"', '`', '[', ']', '\''])
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let is_between = |sign: char| sign.is_whitespace() || matches!(sign, '(' | ')' | ',' | ';');
    text.split(is_between).filter(|word| !word.is_empty())
}

/// Whether a text has a `CREATE TEMP TABLE` of a name in it.
fn makes_temporary(text: &str, table: &str) -> bool {
    let is_one_of = |word: &str, others: &[&str]| {
        let mut others = others.iter();
        others.any(|other| word.eq_ignore_ascii_case(other))
    };
    let mut words = words_of(text).peekable();
    while let Some(word) = words.next() {
        let is_made = is_one_of(word, &["temp", "temporary"])
            && words.next_if(|next| is_one_of(next, &["table"])).is_some();
        if is_made {
            while words
                .next_if(|next| is_one_of(next, &["if", "not", "exists"]))
                .is_some()
            {}
            if words
                .peek()
                .is_some_and(|name| unquoted(name).eq_ignore_ascii_case(table))
            {
                return true;
            }
        }
    }
    false
}

/// Whether an UPDATE or DELETE has a LIMIT that is not one of a query within it.
pub fn is_limited(text: &str) -> bool {
    let last = text.rsplit(')').next().unwrap_or(text).to_ascii_lowercase();
    let is_change = begins_with(text, "update") || begins_with(text, "delete");
    is_change && last.split_whitespace().any(|word| word == "limit")
}

/// Whether a text holds a word that changes rows; better too often than not.
fn changes_rows(text: &str) -> bool {
    let is_sign = |sign: char| !sign.is_ascii_alphanumeric() && sign != '_';
    let changes = |word: &str| {
        ["insert", "update", "delete", "replace"]
            .iter()
            .any(|change| word.eq_ignore_ascii_case(change))
    };
    text.split(is_sign).any(changes)
}

/// `PRAGMA name`, `PRAGMA name = value`, `PRAGMA name(value)`.
fn of_pragma(text: &str) -> Sql {
    let rest = &skip_blanks_and_comments(text)["pragma".len()..];
    let rest = rest.trim().trim_end_matches(';').to_ascii_lowercase();
    let (name, value) = match rest.split_once(['=', '(']) {
        Some((name, value)) => (name, Some(value.trim_end_matches(')').trim())),
        None => (&rest[..], None),
    };
    let name = name.trim();
    let name = name.strip_prefix("main.").unwrap_or(name);
    let value = value.map(|value| value.trim_matches(['\'', '"']));
    match (name, value) {
        ("foreign_keys", Some("on" | "1" | "true" | "yes")) => Sql::Redundant,
        ("journal_mode", Some("wal")) => Sql::Redundant,
        ("synchronous", Some("normal" | "1")) => Sql::Redundant,
        ("busy_timeout", Some("5000")) => Sql::Redundant,
        ("foreign_keys" | "journal_mode" | "synchronous" | "busy_timeout", None) => {
            Sql::Refused("it asks for a setting that a session has otherwise")
        }
        (
            "cache_size"
            | "temp_store"
            | "mmap_size"
            | "busy_timeout"
            | "synchronous"
            | "foreign_keys"
            | "recursive_triggers"
            | "case_sensitive_like"
            | "cell_size_check",
            _,
        ) => Sql::Sets,
        (
            "user_version" | "application_id" | "page_size" | "page_count" | "freelist_count"
            | "encoding" | "auto_vacuum" | "compile_options" | "database_list" | "table_list"
            | "collation_list" | "function_list" | "schema_version" | "data_version",
            None,
        ) => Sql::Reads,
        (
            "table_info" | "table_xinfo" | "index_info" | "index_xinfo" | "index_list"
            | "foreign_key_list" | "foreign_key_check" | "integrity_check" | "quick_check",
            _,
        ) => Sql::Reads,
        _ => Sql::Refused("its PRAGMA changes the file, or is none that the rules know"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_told_by_what_they_do_to_a_transaction() {
        for (text, sql) in [
            ("SELECT 1", Sql::Reads),
            (" -- all\n/* x */ select 1", Sql::Reads),
            ("WITH x AS (SELECT 1) SELECT * FROM x", Sql::Reads),
            (
                "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
                Sql::Refused("it writes behind WITH"),
            ),
            ("INSERT INTO t VALUES (1)", Sql::Writes),
            ("replace into t values (1)", Sql::Writes),
            ("CREATE TABLE t (a)", Sql::Schema),
            ("ANALYZE", Sql::Schema),
            ("BEGIN", Sql::Controls),
            ("PRAGMA foreign_keys = ON;", Sql::Redundant),
            ("PRAGMA foreign_keys(1)", Sql::Redundant),
            ("PRAGMA foreign_keys = OFF", Sql::Sets),
            ("pragma journal_mode='wal'", Sql::Redundant),
            ("PRAGMA busy_timeout = 5000", Sql::Redundant),
            ("PRAGMA busy_timeout = 30000", Sql::Sets),
            ("PRAGMA user_version", Sql::Reads),
            ("PRAGMA main.table_info(t)", Sql::Reads),
            ("", Sql::Unknown),
        ] {
            assert_eq!(Sql::of(text, true), sql, "{text}");
        }
        for text in [
            "PRAGMA user_version = 3",
            "DELETE FROM t ORDER BY a LIMIT 3",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA journal_mode",
            "PRAGMA foreign_keys;",
            "VACUUM",
            "DETACH x",
            "ATTACH 'a' AS b",
            "nonsense",
        ] {
            assert!(matches!(Sql::of(text, true), Sql::Refused(_)), "{text}");
        }
    }

    #[test]
    fn of_a_text_whose_end_is_not_known_its_beginning_counts() {
        assert_eq!(Sql::of("SELECT * FROM ", false), Sql::Reads);
        assert_eq!(Sql::of("INSERT INTO ", false), Sql::Writes);
        assert_eq!(Sql::of("PRAGMA ", false), Sql::Unknown);
        assert_eq!(Sql::of("WITH x AS (", false), Sql::Unknown);
    }

    #[test]
    fn tables_that_go_with_their_connection_are_told_by_their_schema_or_by_how_they_are_made() {
        let file = "db.execute(\"CREATE TEMP TABLE IF NOT EXISTS `found`(a)\")";
        for text in [
            "INSERT INTO temp.x SELECT 1",
            "insert or ignore into Found(a) values (?)",
            "UPDATE OR IGNORE [found] SET a = 1",
            "UPDATE found SET a = 1",
            "DELETE FROM `found`;",
            "REPLACE INTO TEMP.\"x\"(a) VALUES (1)",
        ] {
            assert!(changes_temporary(text, file), "{text}");
        }
        for text in [
            "INSERT INTO t SELECT * FROM found",
            "INSERT INTO main.found VALUES (1)",
            "DELETE FROM",
            "UPDATE t SET a = 'temp.x'",
            "INSERT",
        ] {
            assert!(!changes_temporary(text, file), "{text}");
        }
    }

    #[test]
    fn a_script_is_known_if_it_is_one_statement() {
        assert_eq!(
            Sql::of_script("CREATE TABLE t (a);\n-- end\n", true),
            Sql::Schema
        );
        assert_eq!(
            Sql::of_script("CREATE TABLE t (a); CREATE TABLE u (a)", true),
            Sql::Unknown
        );
        assert_eq!(Sql::of_script("CREATE TABLE t (a)", false), Sql::Unknown);
    }
}
