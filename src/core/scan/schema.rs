//! Where a project declares foreign keys: in the texts of its code, and in files of SQL.

use super::files;
use super::project::Parsed;
use super::source::Source;
use super::syntax::{Quoted, TextSize};
use aho_corasick::AhoCorasick;
use std::path::Path;

/// The place in a Python file, as `file:line`.
pub fn in_python(parsed: &Parsed) -> Option<String> {
    let Parsed { source, module } = parsed;
    let mention = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build([WORD]);
    if mention.is_ok_and(|mention| !mention.is_match(&source.text)) {
        return None;
    }
    let whole = source.whole();
    let mut texts = module
        .quoted_in(whole)
        .filter(|(_, what)| *what == Quoted::Text);
    let (range, at) = texts.find_map(|(range, _)| Some((range, in_text(source.slice(range))?)))?;
    Some(told(source, range.start() + TextSize::try_from(at).ok()?))
}

/// The place in a file of SQL.
pub fn in_sql(path: &Path) -> Option<String> {
    let content = std::fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&content);
    let at = in_text(&text)?;
    let line = text[..at].matches('\n').count() + 1;
    Some(format!("{}:{line}", files::shown(path)))
}

fn told(source: &Source, at: TextSize) -> String {
    format!(
        "{}:{}",
        files::shown(&source.path),
        source.position(at).line
    )
}

/// Where a text has REFERENCES with a table behind it; in small letters, it may be prose without a column.
fn in_text(text: &str) -> Option<usize> {
    let mut from = 0;
    // Uppercase of ASCII keeps every offset.
    let upper = text.to_ascii_uppercase();
    while let Some(found) = upper[from..].find(WORD) {
        let at = from + found;
        from = at + WORD.len();
        let rest = text[from..].trim_start_matches([' ', '\t', '\n', '\r']);
        let table = rest.trim_start_matches(is_of_name);
        let is_table = rest.len() > table.len() && rest.len() < text.len() - from;
        let is_written_large = text[at..].starts_with(WORD);
        let has_column = table.trim_start().starts_with('(');
        let is_of_table = upper.contains("TABLE") || upper.contains("FOREIGN KEY");
        if is_table && (is_written_large || has_column || is_of_table) {
            return Some(at);
        }
    }
    None
}

const WORD: &str = "REFERENCES";

fn is_of_name(sign: char) -> bool {
    sign.is_alphanumeric() || matches!(sign, '_' | '"' | '\'' | '`' | '[' | ']' | '.')
}

#[cfg(test)]
mod tests {
    use super::super::project::of_texts::parsed;
    use super::*;

    #[test]
    fn foreign_keys_are_found_in_statements_that_make_tables() {
        let place = |text: &str| in_python(&parsed(&[("a.py", text)])[0]);
        let text = "x = '''\ncreate table t (\n  a references u)'''\n";
        assert_eq!(place(text).unwrap(), "a.py:3");
        assert_eq!(
            place("x = 'FOREIGN KEY (a) REFERENCES u'\n").unwrap(),
            "a.py:1"
        );
        assert_eq!(place("# CREATE TABLE t (a REFERENCES u)\n"), None);
        assert!(place("x = f'CREATE TABLE {n} (a INT REFERENCES t(id))'\n").is_some());
        assert!(place("x = {'p': 'INTEGER references t (id)'}\n").is_some());
        assert_eq!(place("x = 'see the references'\n"), None);
        assert_eq!(place("x = 'it references names'\n"), None);
    }

    #[test]
    fn foreign_keys_are_found_in_files_of_sql() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sql");
        std::fs::write(&path, "CREATE TABLE t (\n a INT REFERENCES u);").unwrap();
        assert!(in_sql(&path).unwrap().ends_with("a.sql:2"));
        std::fs::write(&path, "CREATE TABLE t (a INT);").unwrap();
        assert_eq!(in_sql(&path), None);
    }
}
