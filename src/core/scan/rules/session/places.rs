//! The places that name a connection, and which statements do nothing but end it.

use crate::core::scan::case::Case;
use crate::core::scan::names::ScopeId;
use crate::core::scan::syntax::{Expr, Ranged, Stmt, TextRange};
use crate::core::scan::uses::{self, Named, Use};

/// See the head of this file.
#[derive(Debug)]
pub struct Places(Vec<Named>);

impl Places {
    /// Those of a call's connection.
    pub fn of(case: &Case<'_, '_>, home: ScopeId) -> Self {
        Self(uses::uses(case.project, &case.connection, home))
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Named> {
        self.0.iter()
    }

    /// Where they are.
    pub fn ranges(&self) -> impl Iterator<Item = TextRange> {
        self.0.iter().map(|place| place.range)
    }

    /// Those within a range.
    pub fn within(&self, range: TextRange) -> impl Iterator<Item = &Named> {
        let is_within = move |place: &&Named| range.contains_range(place.range);
        self.0.iter().filter(is_within)
    }

    /// Whether a statement closes the connection or a cursor of it, and does nothing else.
    pub fn is_closer(&self, statement: &Stmt) -> bool {
        self.is_end(statement, "close")
    }

    /// Whether a statement rolls back, and does nothing else.
    pub fn is_rollback(&self, statement: &Stmt) -> bool {
        self.is_end(statement, "rollback")
    }

    /// Whether statements close the connection, and do nothing else.
    pub fn are_closers(&self, suite: &[Stmt]) -> bool {
        let closes_it = |statement: &Stmt| {
            let mut places = self.within(statement.range());
            places.any(|place| place.what == Use::Closed)
        };
        suite.iter().all(|statement| self.is_closer(statement)) && suite.iter().any(closes_it)
    }

    /// `connection.method()`, or `if connection:` with nothing else in it.
    fn is_end(&self, statement: &Stmt, method: &str) -> bool {
        match statement {
            Stmt::Expr(expression) => match &*expression.value {
                Expr::Call(call) if call.arguments.is_empty() => match &*call.func {
                    Expr::Attribute(called) => {
                        called.attr.as_str() == method && self.is_named_by(&called.value)
                    }
                    _ => false,
                },
                _ => false,
            },
            Stmt::If(choice) => {
                let mut tested = self.within(choice.test.range());
                choice.elif_else_clauses.is_empty()
                    && is_plain_test(&choice.test)
                    && tested.all(|place| place.what == Use::Tested)
                    && self.within(choice.test.range()).next().is_some()
                    && choice
                        .body
                        .iter()
                        .all(|statement| self.is_end(statement, method))
            }
            _ => false,
        }
    }

    fn is_named_by(&self, expression: &Expr) -> bool {
        matches!(expression, Expr::Name(_) | Expr::Attribute(_))
            && self.ranges().any(|range| range == expression.range())
    }
}

/// `connection`, `connection is not None`
fn is_plain_test(test: &Expr) -> bool {
    matches!(test, Expr::Name(_) | Expr::Attribute(_) | Expr::Compare(_))
}
