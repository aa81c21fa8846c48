//! What a call asks of its connection, and how a session gives it.

use crate::core::scan::case::Case;
use crate::core::scan::syntax::{Expr, Ranged, are_written_out, ast};

/// The arguments of a call for which a session stands in.
#[derive(Debug)]
pub struct Arguments {
    /// The expression of the path.
    pub path: String,
    /// What is to be said.
    pub note: Option<String>,
    /// Whether several threads may use it.
    pub is_for_threads: bool,
}

/// How long a session waits for other processes, in seconds.
const SESSION_WAITS: f64 = 5.0;

const NAMES: [&str; 8] = [
    "database",
    "timeout",
    "detect_types",
    "isolation_level",
    "check_same_thread",
    "factory",
    "cached_statements",
    "uri",
];

/// Read them, or tell which one a session can't stand in for.
pub fn of(case: &Case<'_, '_>) -> Result<Arguments, String> {
    let given = &case.site.call.arguments;
    let mut arguments = Arguments {
        path: String::new(),
        note: None,
        is_for_threads: false,
    };
    if !are_written_out(given) {
        return Err("its arguments are not written out".to_owned());
    }
    for (name, value) in NAMES.into_iter().zip(&given.args) {
        arguments.take(case, name, value)?;
    }
    for keyword in &given.keywords {
        let name = keyword.arg.as_ref().map_or("", |name| name.as_str());
        arguments.take(case, name, &keyword.value)?;
    }
    match arguments.path.is_empty() {
        true => Err("it names no database".to_owned()),
        false => Ok(arguments),
    }
}

impl Arguments {
    fn take(&mut self, case: &Case<'_, '_>, name: &str, value: &Expr) -> Result<(), String> {
        match name {
            "database" if case.has_comment(value.range()) => {
                return Err("a comment would be lost".to_owned());
            }
            "database" if matches!(case.database.path.as_deref(), Some(":memory:" | "")) => {
                return Err("a database in memory goes with its connection".to_owned());
            }
            // Some copies of SQLite take it for a URI without being told.
            "database"
                if case
                    .database
                    .path
                    .as_deref()
                    .is_some_and(|path| path.starts_with("file:")) =>
            {
                return Err("its database is named by a URI".to_owned());
            }
            "database" => case
                .source()
                .slice(value.range())
                .clone_into(&mut self.path),
            "timeout" => self.note = note_of_timeout(value),
            // What stays in its function stays in its thread.
            "check_same_thread" => {
                let is_checked = matches!(value, Expr::BooleanLiteral(literal) if literal.value);
                self.is_for_threads = !is_checked;
            }
            "cached_statements" => {}
            "isolation_level" if is_text(value, &["", "DEFERRED", "IMMEDIATE"]) => {}
            "detect_types" if is_zero(value) => {}
            "uri" if matches!(value, Expr::BooleanLiteral(literal) if !literal.value) => {}
            _ => return Err(format!("a session has no '{name}'")),
        }
        Ok(())
    }
}

fn note_of_timeout(value: &Expr) -> Option<String> {
    let seconds = match value {
        Expr::NumberLiteral(literal) => match &literal.value {
            ast::Number::Int(seconds) => seconds.as_u64().map(|seconds| seconds as f64),
            ast::Number::Float(seconds) => Some(*seconds),
            ast::Number::Complex { .. } => None,
        },
        _ => None,
    };
    match seconds {
        Some(SESSION_WAITS) => None,
        _ => Some(
            "sessions of this process wait for each other for 30 s (pool_timeout), and for other processes for 5 s \
             (PRAGMA busy_timeout)"
                .to_owned(),
        ),
    }
}

fn is_text(value: &Expr, texts: &[&str]) -> bool {
    matches!(value, Expr::StringLiteral(literal) if texts.iter().any(|text| text.eq_ignore_ascii_case(literal.value.to_str())))
}

fn is_zero(value: &Expr) -> bool {
    matches!(value, Expr::NumberLiteral(literal) if matches!(&literal.value, ast::Number::Int(number) if number.as_u64() == Some(0)))
}
