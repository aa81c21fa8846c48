//! What must be known of an SQL text before SQLite has seen it: its first word, whether a rest is
//! blank, and what it leaves behind on its connection (`effect`).

pub mod effect;
pub mod script;
mod terminated;

pub use effect::Effect;
pub use terminated::Terminated;

/// The class of a statement's first word, as far as behaviour hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    /// INSERT, UPDATE, DELETE, REPLACE: the stdlib begins a transaction before these only.
    Dml,
    /// SELECT, VALUES, WITH
    Query,
    /// EXPLAIN, even of a PRAGMA, which takes effect all the same
    Explain,
    /// BEGIN, SAVEPOINT
    Begin,
    /// COMMIT, END, ROLLBACK, RELEASE
    End,
    /// ATTACH
    Attach,
    /// CREATE, DROP, ALTER, REINDEX, ANALYZE
    Schema,
    /// Everything else: PRAGMA, VACUUM, DETACH, …
    Other,
}

const KEYWORDS: [(&str, Keyword); 20] = [
    ("select", Keyword::Query),
    ("insert", Keyword::Dml),
    ("update", Keyword::Dml),
    ("delete", Keyword::Dml),
    ("replace", Keyword::Dml),
    ("with", Keyword::Query),
    ("values", Keyword::Query),
    ("explain", Keyword::Explain),
    ("begin", Keyword::Begin),
    ("savepoint", Keyword::Begin),
    ("commit", Keyword::End),
    ("end", Keyword::End),
    ("rollback", Keyword::End),
    ("release", Keyword::End),
    ("attach", Keyword::Attach),
    ("create", Keyword::Schema),
    ("drop", Keyword::Schema),
    ("alter", Keyword::Schema),
    ("reindex", Keyword::Schema),
    ("analyze", Keyword::Schema),
];

/// Classify the first word after blanks and comments. Like the stdlib it compares a prefix, so that
/// `insertion` would count as `insert`; SQLite refuses such a text anyway.
pub fn leading_keyword(sql: &str) -> Keyword {
    let rest = skip_blanks_and_comments(sql).as_bytes();
    for (word, keyword) in KEYWORDS {
        if rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes()) {
            return keyword;
        }
    }
    Keyword::Other
}

/// Whether nothing is left but blanks, comments and semicolons' remains (an unfinished `/*` is blank too).
pub fn is_blank(sql: &str) -> bool {
    skip_blanks_and_comments(sql).is_empty()
}

/// Whether SQLite finds nothing in the rest of a script: a `/*` at the very end is a slash and a star to it.
pub fn is_end_of_script(sql: &str) -> bool {
    is_blank(sql) && !sql.ends_with("/*")
}

/// The text from its first character that is neither blank nor within a comment.
pub fn skip_blanks_and_comments(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        let after = rest.trim_start_matches([' ', '\t', '\x0c', '\n', '\r']);
        rest = match after.len() < rest.len() {
            // A vertical tab is a blank to SQLite behind another one.
            true => after.trim_start_matches([' ', '\t', '\x0b', '\x0c', '\n', '\r']),
            false => after,
        };
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end + 1..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
        } else {
            return rest;
        }
    }
}

/// Whether a statement may be a single long operation of SQLite's virtual machine, in the midst of which nothing
/// ticks: the count of a whole table, or its deletion. Guessed from the words, so better too often than not.
pub fn may_be_one_long_operation(sql: &str) -> bool {
    let has = |word: &str| {
        sql.as_bytes()
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    match leading_keyword(sql) {
        // With a condition SQLite counts row by row.
        Keyword::Query | Keyword::Explain => has("count") && !has("where"),
        Keyword::Dml => has("delete") && !has("where"),
        _ => false,
    }
}

/// Appended to SQLite's syntax error at an ORDER BY or LIMIT of an UPDATE or DELETE, for which the bundled
/// library was generated without a grammar. Debian's library has it.
pub const LIMITED_CHANGE: &str = " (this SQLite has no ORDER BY and LIMIT on UPDATE and DELETE; write \
    … WHERE rowid IN (SELECT rowid FROM … ORDER BY … LIMIT …) instead)";

/// Whether the syntax error at `offset` is the ORDER BY or LIMIT of an UPDATE or DELETE.
pub fn limits_a_change(sql: &str, offset: usize) -> bool {
    let (Some(before), Some(at)) = (sql.get(..offset), sql.get(offset..)) else {
        return false;
    };
    let mut words = skip_blanks_and_comments(before).split_whitespace();
    let first = words.next().unwrap_or("");
    let previous = words.next_back().unwrap_or("");
    let mut following = at.split_whitespace();
    let word = following.next().unwrap_or("");
    let next = following.next().unwrap_or("");
    let is = |word: &str, what: &str| word.eq_ignore_ascii_case(what);
    let names_a_table = ["from", "update", "into", "or"]
        .iter()
        .any(|what| is(previous, what));
    (is(first, "update") || is(first, "delete") || is(first, "with"))
        && !names_a_table
        && !previous.is_empty()
        && (is(word, "limit") || (is(word, "order") && is(next, "by")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_found_behind_comments() {
        assert_eq!(
            leading_keyword("/* a */ -- b\n INSERT into t"),
            Keyword::Dml
        );
        assert_eq!(leading_keyword("  select 1"), Keyword::Query);
        assert_eq!(leading_keyword(" \x0b\ndelete from t"), Keyword::Dml);
        assert_eq!(leading_keyword("\x0bdelete from t"), Keyword::Other);
        assert_eq!(leading_keyword("create table t(x)"), Keyword::Schema);
        assert_eq!(leading_keyword(""), Keyword::Other);
    }

    #[test]
    fn a_limit_on_a_change_is_told_from_a_table_of_that_name() {
        let limits = |sql: &str, at: &str| limits_a_change(sql, sql.find(at).unwrap());
        assert!(limits("DELETE FROM t LIMIT 1", "LIMIT"));
        assert!(limits(
            "update t set a = 1 where b order by c limit 2",
            "order"
        ));
        assert!(!limits("delete from order", "order"));
        assert!(!limits("select * from t limit limit", "limit"));
        assert!(!limits("update limit set a = 1", "limit"));
    }

    #[test]
    fn counting_and_deleting_whole_tables_may_be_one_operation() {
        assert!(may_be_one_long_operation("SELECT Count(*) FROM t"));
        assert!(may_be_one_long_operation("delete from t"));
        assert!(!may_be_one_long_operation("select count(*) from t where a"));
        assert!(!may_be_one_long_operation("DELETE FROM t WHERE a = 1"));
        assert!(!may_be_one_long_operation("select a from t"));
        assert!(!may_be_one_long_operation("insert into t values (1)"));
    }

    #[test]
    fn comments_without_an_end_are_blank() {
        assert!(is_blank(" -- no newline"));
        assert!(is_blank("/* no end"));
        assert!(is_blank("/* a */ \n"));
        assert!(is_end_of_script("/* no end"));
        assert!(!is_end_of_script("-- a\n/*"));
        assert!(!is_blank("; select 2"));
        assert!(!is_blank("- 1"));
    }
}
