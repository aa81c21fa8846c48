//! What must be known of an SQL text before SQLite has seen it: its first word, and whether a rest is blank.

/// The class of a statement's first word, as far as behaviour hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    /// INSERT, UPDATE, DELETE, REPLACE: the stdlib begins a transaction before these only.
    Dml,
    /// SELECT, VALUES, WITH, EXPLAIN
    Query,
    /// BEGIN, SAVEPOINT
    Begin,
    /// COMMIT, END, ROLLBACK, RELEASE
    End,
    /// ATTACH
    Attach,
    /// Everything else: PRAGMA, DDL, VACUUM, …
    Other,
}

const KEYWORDS: [(&str, Keyword); 15] = [
    ("select", Keyword::Query),
    ("insert", Keyword::Dml),
    ("update", Keyword::Dml),
    ("delete", Keyword::Dml),
    ("replace", Keyword::Dml),
    ("with", Keyword::Query),
    ("values", Keyword::Query),
    ("explain", Keyword::Query),
    ("begin", Keyword::Begin),
    ("savepoint", Keyword::Begin),
    ("commit", Keyword::End),
    ("end", Keyword::End),
    ("rollback", Keyword::End),
    ("release", Keyword::End),
    ("attach", Keyword::Attach),
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

/// The text from its first character that is neither blank nor within a comment.
pub fn skip_blanks_and_comments(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\x0c', '\n', '\r']);
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end + 1..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.find("*/").map_or("", |end| &comment[end + 2..]);
        } else {
            return rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_found_behind_comments() {
        assert_eq!(leading_keyword("/* a */ -- b\n INSERT into t"), Keyword::Dml);
        assert_eq!(leading_keyword("  select 1"), Keyword::Query);
        assert_eq!(leading_keyword("create table t(x)"), Keyword::Other);
        assert_eq!(leading_keyword(""), Keyword::Other);
    }

    #[test]
    fn comments_without_an_end_are_blank() {
        assert!(is_blank(" -- no newline"));
        assert!(is_blank("/* no end"));
        assert!(is_blank("/* a */ \n"));
        assert!(!is_blank("; select 2"));
        assert!(!is_blank("- 1"));
    }
}
