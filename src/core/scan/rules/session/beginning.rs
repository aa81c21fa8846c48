//! Where a session begins that has to keep others from writing. That may fail ("database is locked"), and a handler that
//! would have caught it from a statement has to catch it still.

use super::region::Region;
use crate::core::scan::case::Case;
use crate::core::scan::flow::managers;
use crate::core::scan::names::ScopeId;
use crate::core::scan::suites::{suites_of, suites_of_try};
use crate::core::scan::syntax::{ExceptHandler, Expr, Ranged, Stmt, TextRange, TextSize, ast};

/// See the head of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// With the session.
    Entry,
    /// Above a statement, where all handlers are around it that would have caught what it raises.
    Above(TextRange),
    /// No one place has them all.
    Nowhere,
}

/// Exceptions of `sqlite3` other than those of a lock that others have.
const OTHER_ERRORS: [&str; 7] = [
    "DataError",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "ProgrammingError",
    "Warning",
];

impl Beginning {
    /// That of a session whose statements run at `runs`.
    pub fn of(case: &Case<'_, '_>, region: &Region<'_>, runs: &[TextRange]) -> Self {
        let finder = Finder {
            case,
            home: region.home,
            runs,
        };
        let kept = || region.kept.iter().copied();
        match kept().any(|statement| finder.catches_within(statement)) {
            true => finder.below(kept()),
            false => Self::Entry,
        }
    }
}

struct Finder<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    home: ScopeId,
    runs: &'c [TextRange],
}

impl Finder<'_, '_, '_> {
    fn runs_within(&self, range: TextRange) -> bool {
        self.runs.iter().any(|run| range.contains_range(*run))
    }

    /// Look for the place among the statements of a suite, and of those that stand in one of them.
    fn below<'s>(&self, suite: impl Iterator<Item = &'s Stmt>) -> Beginning {
        let mut running = suite.filter(|statement| self.runs_within(statement.range()));
        let Some(first) = running.next() else {
            return Beginning::Entry;
        };
        let mut rest = running.peekable();
        let deeper = match first {
            Stmt::Try(attempt) if !self.runs_behind(attempt) => Some(&attempt.body),
            Stmt::With(with) if !with.items.iter().any(|item| self.runs_within(item.range())) => {
                Some(&with.body)
            }
            _ => None,
        };
        if let Some(body) = deeper.filter(|_| rest.peek().is_none()) {
            return self.below(body.iter());
        }
        let mut here = std::iter::once(first).chain(rest);
        let source = self.case.source();
        match here.any(|statement| self.catches_within(statement)) {
            false if source.is_alone_on_its_lines(first.range()) => {
                Beginning::Above(self.with_comments(first.range()))
            }
            _ => Beginning::Nowhere,
        }
    }

    /// A statement with the comments right above it.
    fn with_comments(&self, statement: TextRange) -> TextRange {
        let source = self.case.source();
        let mut start = statement.start();
        while let Some(above) = source.line_start(start).checked_sub(TextSize::new(1))
            && source.is_comment_line(source.line_start(above))
            && source.indentation(above) == source.indentation(start)
        {
            start = source.line_start(above) + TextSize::of(source.indentation(above));
        }
        TextRange::new(start, statement.end())
    }

    /// Whether a `try` runs something in its handlers, or behind its body.
    fn runs_behind(&self, attempt: &ast::StmtTry) -> bool {
        let suites = suites_of_try(attempt);
        let mut statements = suites.into_iter().skip(1).flatten();
        statements.any(|statement| self.runs_within(statement.range()))
    }

    /// Whether something in a statement would catch what a statement of the connection raises in it.
    fn catches_within(&self, statement: &Stmt) -> bool {
        if !self.runs_within(statement.range()) {
            return false;
        }
        let catches = match statement {
            Stmt::Try(attempt) => {
                let mut body = attempt.body.iter();
                body.any(|statement| self.runs_within(statement.range()))
                    && attempt.handlers.iter().any(|handler| self.catches(handler))
            }
            Stmt::With(with) => {
                managers::may_swallow(&self.case.connection, self.home, with)
                    && with
                        .body
                        .iter()
                        .any(|statement| self.runs_within(statement.range()))
            }
            _ => false,
        };
        catches
            || suites_of(statement)
                .into_iter()
                .flatten()
                .any(|statement| self.catches_within(statement))
    }

    /// Whether a handler may catch that the database is locked, and does more than to let it through.
    fn catches(&self, handler: &ExceptHandler) -> bool {
        let ExceptHandler::ExceptHandler(handler) = handler;
        let is_of_others = match handler.type_.as_deref() {
            None => false,
            Some(Expr::Tuple(types)) => types.elts.iter().all(|name| self.is_of_others(name)),
            Some(name) => self.is_of_others(name),
        };
        !is_of_others && !self.lets_through(handler)
    }

    /// Whether a name is that of an exception that has nothing to do with locks.
    fn is_of_others(&self, name: &Expr) -> bool {
        let project = self.case.project;
        let named = project.named(self.case.site.file, self.home, name);
        named
            .certain()
            .is_some_and(|name| match name.rsplit_once('.') {
                Some(("builtins", name)) => !matches!(name, "Exception" | "BaseException"),
                Some(("sqlite3" | "sqlite3.dbapi2", name)) => OTHER_ERRORS.contains(&name),
                _ => false,
            })
    }

    /// Whether a handler rolls back at most, and raises the same anew.
    fn lets_through(&self, handler: &ast::ExceptHandlerExceptHandler) -> bool {
        let Some((Stmt::Raise(raise), before)) = handler.body.split_last() else {
            return false;
        };
        let rolls_back = |statement: &Stmt| match statement {
            Stmt::Expr(expression) => match &*expression.value {
                Expr::Call(call) => {
                    self.case.connection.method(self.home, call) == Some("rollback")
                }
                _ => false,
            },
            _ => false,
        };
        raise.exc.is_none() && before.iter().all(rolls_back)
    }
}
