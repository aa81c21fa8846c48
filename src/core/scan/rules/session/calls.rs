//! The mode of a session: whether it has to keep others from writing from its begin.

use super::region::Region;
use crate::core::scan::case::Case;
use crate::core::scan::dependence::writes_what_it_read;
use crate::core::scan::importing::is_stdlib;
use crate::core::scan::syntax::{Expr, ExprCall, Visitor, visitor};

/// A session's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It begins with the first write.
    Auto,
    /// It begins at once: what it reads is still so when it writes.
    Write,
    /// It should begin at once, and can't: a function that is called may open the database, too.
    AutoForOthers,
}

impl Mode {
    /// The argument of `session`.
    pub fn argument(self) -> &'static str {
        match self {
            Self::Write => "mode=\"write\"",
            Self::Auto | Self::AutoForOthers => "",
        }
    }

    /// What is to be said of it.
    pub fn note(self) -> Option<String> {
        let note = match self {
            Self::Auto => return None,
            Self::Write => {
                "it writes what hangs on what it read, so nobody else may write in between"
            }
            Self::AutoForOthers => {
                "it writes what hangs on what it read, but calls functions that may open the database as well: see whether \
                 mode=\"write\" is possible"
            }
        };
        Some(note.to_owned())
    }
}

/// Methods of the stdlib's values and loggers.
const KNOWN_METHODS: [&str; 62] = [
    "add",
    "append",
    "astimezone",
    "capitalize",
    "clear",
    "copy",
    "count",
    "critical",
    "date",
    "debug",
    "decode",
    "difference",
    "discard",
    "encode",
    "endswith",
    "error",
    "exception",
    "exists",
    "extend",
    "find",
    "format",
    "get",
    "group",
    "hex",
    "hexdigest",
    "index",
    "info",
    "insert",
    "intersection",
    "isdigit",
    "isoformat",
    "items",
    "join",
    "keys",
    "log",
    "lower",
    "lstrip",
    "match",
    "most_common",
    "pop",
    "popitem",
    "remove",
    "replace",
    "reverse",
    "rstrip",
    "search",
    "setdefault",
    "sort",
    "split",
    "splitlines",
    "startswith",
    "strftime",
    "strip",
    "sub",
    "timestamp",
    "title",
    "total_seconds",
    "union",
    "update",
    "upper",
    "values",
    "warning",
];

/// Which mode a session of some statements needs.
pub fn mode<'a>(case: &Case<'a, '_>, region: &Region<'a>) -> Mode {
    if !writes_what_it_read(&case.connection, region.home, &region.kept) {
        return Mode::Auto;
    }
    let mut finder = Others {
        case,
        region,
        are_called: false,
    };
    for statement in &region.kept {
        finder.visit_stmt(statement);
    }
    match finder.are_called {
        true => Mode::AutoForOthers,
        false => Mode::Write,
    }
}

struct Others<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    region: &'c Region<'a>,
    are_called: bool,
}

impl Others<'_, '_, '_> {
    /// Whether a call is of a function that can't open the database.
    fn is_harmless(&self, call: &ExprCall) -> bool {
        let (connection, scope) = (&self.case.connection, self.region.home);
        if connection.method(scope, call).is_some() {
            return true;
        }
        let named = self
            .case
            .project
            .named(self.case.site.file, scope, &call.func);
        let is_known = !named.or_other
            && named
                .names
                .iter()
                .all(|name| is_stdlib(name) && !name.starts_with("sqlite3."));
        let is_method = matches!(&*call.func, Expr::Attribute(method) if KNOWN_METHODS.contains(&method.attr.as_str()));
        is_known || is_method
    }
}

impl<'a> Visitor<'a> for Others<'a, '_, '_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression {
            self.are_called |= !self.is_harmless(call);
        }
        visitor::walk_expr(self, expression);
    }
}
