//! Where a statement of a script ends, for those that another copy of SQLite runs: it tells only as a whole whether a text
//! is complete (sqlite.org/c3ref/complete.html), which for each semicolon anew takes quadratic time.

use super::skip_blanks_and_comments;

/// What a text consists of, as far as the end of a statement and the parts of an ATTACH hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Blank,
    Semicolon,
    Opening,
    Closing,
    Word,
    /// A quoted name or text, a number, a sign.
    Other,
}

/// The token at the start of a text, and its length in bytes. The text is not empty.
fn first(text: &str) -> (Token, usize) {
    let rest = skip_blanks_and_comments(text);
    if rest.len() < text.len() {
        return (Token::Blank, text.len() - rest.len());
    }
    let Some(sign) = text.chars().next() else {
        return (Token::Blank, 0);
    };
    let quoted_until = |closing: char| text[1..].find(closing).map_or(text.len(), |end| end + 2);
    match sign {
        ';' => (Token::Semicolon, 1),
        '(' => (Token::Opening, 1),
        ')' => (Token::Closing, 1),
        // A doubled quote within is one that ends and another one that begins.
        '\'' | '"' | '`' => (Token::Other, quoted_until(sign)),
        '[' => (Token::Other, quoted_until(']')),
        _ if is_of_word(sign) => {
            let end = text.find(|sign| !is_of_word(sign));
            (Token::Word, end.unwrap_or(text.len()))
        }
        _ => (Token::Other, sign.len_utf8()),
    }
}

fn is_of_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_' || sign == '$' || !sign.is_ascii()
}

/// How far a statement is read: the states of `sqlite3_complete`, which looks for the END of a CREATE TRIGGER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Normal,
    Explain,
    Create,
    Trigger,
    /// A semicolon within a trigger.
    Semicolon,
    /// END behind such a semicolon.
    End,
}

impl State {
    fn after_word(self, word: &str) -> Self {
        let is = |what: &str| word.eq_ignore_ascii_case(what);
        match self {
            Self::Start if is("explain") => Self::Explain,
            Self::Start | Self::Explain if is("create") => Self::Create,
            Self::Explain if is("query") || is("plan") => Self::Explain,
            Self::Create if is("temp") || is("temporary") => Self::Create,
            Self::Create if is("trigger") => Self::Trigger,
            Self::Semicolon if is("end") => Self::End,
            _ => self.after_other(),
        }
    }

    fn after_other(self) -> Self {
        match self {
            Self::Trigger | Self::Semicolon | Self::End => Self::Trigger,
            _ => Self::Normal,
        }
    }
}

/// The length of a script's first statement, with its semicolon.
fn length_of_first(script: &str) -> usize {
    let mut state = State::Start;
    let mut at = 0;
    while at < script.len() {
        let (token, length) = first(&script[at..]);
        let word = &script[at..at + length];
        at += length;
        state = match (token, state) {
            (Token::Blank, _) => state,
            (Token::Semicolon, State::Trigger | State::Semicolon) => State::Semicolon,
            (Token::Semicolon, _) => return at,
            (Token::Word, _) => state.after_word(word),
            _ => state.after_other(),
        };
    }
    at
}

/// The statements of a script, without those in which there is nothing.
pub fn statements(script: &str) -> Vec<&str> {
    let mut rest = script;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let (statement, after) = rest.split_at(length_of_first(rest));
        if !matches!(skip_blanks_and_comments(statement), "" | ";") {
            all.push(statement);
        }
        rest = after;
    }
    all
}

/// An ATTACH, cut around the expression that gives the name of the file.
pub fn parts_of_attach(sql: &str) -> Option<(&str, &str, &str)> {
    let mut words = 0;
    let mut depth = 0_usize;
    let mut begin = None;
    let mut end = None;
    let mut at = 0;
    while at < sql.len() {
        let (token, length) = first(&sql[at..]);
        let is =
            |what: &str| token == Token::Word && sql[at..at + length].eq_ignore_ascii_case(what);
        match token {
            Token::Blank => {}
            Token::Semicolon if begin.is_none() => {}
            Token::Semicolon => break,
            _ if begin.is_none() => {
                words += 1;
                if !(words == 1 && is("attach") || words == 2 && is("database")) {
                    begin = Some(at);
                }
            }
            Token::Opening => depth += 1,
            Token::Closing => depth = depth.saturating_sub(1),
            _ if depth == 0 && is("as") => end = Some(at),
            _ => {}
        }
        if token == Token::Opening && begin == Some(at) {
            depth += 1;
        }
        at += length;
    }
    let (begin, end) = (begin?, end?);
    (words > 1 && begin < end).then(|| (&sql[..begin], sql[begin..end].trim_end(), &sql[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_their_semicolons() {
        let script =
            "select ';' ; -- ;\n;/*;*/insert into [a;b] values (\";\", 'it''s;')\n; select `;`";
        assert_eq!(
            statements(script),
            [
                "select ';' ;",
                "/*;*/insert into [a;b] values (\";\", 'it''s;')\n;",
                " select `;`"
            ]
        );
        assert!(statements(" ; -- a\n /* b").is_empty());
        assert_eq!(
            statements("select 'no end; of it"),
            ["select 'no end; of it"]
        );
    }

    #[test]
    fn triggers_end_with_their_end() {
        let trigger = "create temp trigger g after insert on t begin select 1; delete from t; end;";
        assert_eq!(
            statements(&format!("{trigger}select 2")),
            [trigger, "select 2"]
        );
        assert_eq!(
            statements(&format!("explain query plan {trigger} select 2")).len(),
            2
        );
        assert_eq!(statements("create table trigger_ (x); select 2").len(), 2);
    }

    #[test]
    fn an_attach_is_cut_around_its_file() {
        for (sql, file) in [
            ("ATTACH 'a as b' AS c", "'a as b'"),
            ("/* a */; attach database ? as c", "?"),
            (
                "attach cast(:a as text) || 'x' /**/ as \"c\"",
                "cast(:a as text) || 'x' /**/",
            ),
            ("attach (select 'a' as b) as c", "(select 'a' as b)"),
            ("ATTACH database AS c", "AS c"),
        ] {
            let parts = parts_of_attach(sql);
            match sql.contains("database AS") {
                true => assert_eq!(parts, None),
                false => assert_eq!(parts.map(|(_, file, _)| file), Some(file), "{sql}"),
            }
        }
    }
}
