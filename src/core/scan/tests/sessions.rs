//! Functions before and after a session came into them, as `sessions.txt` has them: a title, the function, a line with the
//! rule, how safe it is and why, and the function afterwards.

use super::super::migration::{Migration, Options};
use super::rewriting::migration;
use std::fmt::Write;

const HEAD: &str = "import sqlite3\nfrom contextlib import closing\n\n\n";

fn options(with_unsafe: bool) -> Options {
    let mut options = Options::default();
    options.choice.with_unsafe = with_unsafe;
    options
}

fn migrated(text: &str, with_unsafe: bool) -> (Migration, String) {
    let migration = migration(&[("root/a.py", text)], &options(with_unsafe));
    assert!(migration.failures.is_empty(), "{:?}", migration.failures);
    let after = migration
        .changes
        .first()
        .map(|change| String::from_utf8(change.after.clone()).unwrap());
    (migration, after.unwrap_or_else(|| text.to_owned()))
}

/// What a migration makes of a function: with its imports left out, and what was said of each call.
fn told(function: &str) -> String {
    let text = format!("{HEAD}{function}");
    let (safe, after) = migrated(&text, false);
    let mut told = String::new();
    for call in &safe.rewritten {
        let also: String = call.also.iter().map(|rule| format!(" {rule}")).collect();
        writeln!(told, "# {}{also}: {}", call.rule, call.reason).unwrap();
    }
    for call in &safe.left {
        writeln!(told, "# left: {}", call.reason).unwrap();
    }
    let body = |text: &str| {
        let lines = text
            .lines()
            .skip_while(|line| line.is_empty() || line.contains("import"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    told += &body(&after);
    assert_eq!(
        migrated(&after, false).1,
        after,
        "a second migration changes something"
    );
    let (unsafe_one, after) = migrated(&text, true);
    for call in unsafe_one
        .rewritten
        .iter()
        .filter(|call| call.verdict == super::super::rules::Verdict::Unsafe)
    {
        writeln!(told, "# unsafe, {}:\n{}", call.rule, body(&after)).unwrap();
    }
    told.trim_end().to_owned() + "\n"
}

#[test]
fn functions_become_what_is_written_here() {
    let text = include_str!("sessions.txt");
    let mut found = String::new();
    for case in text.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (before, _) = rest.split_once("---\n").unwrap_or((rest, ""));
        write!(found, "=== {title}\n{before}---\n{}", told(before)).unwrap();
    }
    if std::env::var_os("WRITE_SESSIONS").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/core/scan/tests/sessions.txt"
        );
        std::fs::write(path, &found).unwrap();
    }
    for (found, wanted) in found.split("=== ").zip(text.split("=== ")) {
        assert_eq!(found, wanted);
    }
}
