//! Where a project declares foreign keys: in the texts of its code, and in files of SQL.

use super::files;
use super::project::Parsed;
use super::source::Source;
use super::syntax::{Quoted, TextSize};
use std::path::Path;

/// The place in a Python file, as `file:line`.
pub fn in_python(parsed: &Parsed) -> Option<String> {
    let Parsed { source, module } = parsed;
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

/// Where a text that makes or changes tables has the word REFERENCES.
fn in_text(text: &str) -> Option<usize> {
    // Uppercase of ASCII keeps every offset.
    let text = text.to_ascii_uppercase();
    let at = text.find("REFERENCES")?;
    let is_of_table = ["TABLE", "FOREIGN KEY"]
        .iter()
        .any(|word| text.contains(word));
    is_of_table.then_some(at)
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
        assert_eq!(place("x = 'see the references'\n"), None);
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
