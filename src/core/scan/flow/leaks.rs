//! Where a connection stays open for good: its name goes to something else, or the process ends.
//!
//! Nothing but `close()` closes one. A connection of the stdlib is in a cycle with its cache of statements, so neither `del`
//! nor another value of its name nor the end of the function closes it: the collector of cycles does some time later, with a
//! ResourceWarning since 3.13.

use super::{Flow, Purpose, States};
use crate::core::scan::syntax::{Expr, ExprCall, Stmt, Visitor, ast, visitor};
use crate::core::scan::walk::Around;

impl<'a> Flow<'a, '_, '_> {
    /// Whether it is opened only where some test holds.
    pub(super) fn is_opened_on_condition(&self) -> bool {
        let around = self.connection.site().map_or(&[][..], |site| &site.around);
        let mut within = around.iter().rev().take_while(|around| {
            !matches!(
                around,
                Around::Statement(Stmt::FunctionDef(_) | Stmt::ClassDef(_))
            )
        });
        self.purpose == Purpose::Leaks
            && within.any(|around| {
                matches!(
                    around,
                    Around::Statement(Stmt::If(_) | Stmt::Match(_))
                        | Around::Expression(Expr::If(_) | Expr::BoolOp(_))
                )
            })
    }

    /// The states behind `if test:` where it does not hold. If its body closes what was opened on a condition, the test is
    /// taken to be the same.
    pub(super) fn as_if_closed(&mut self, choice: &'a ast::StmtIf, states: States) -> States {
        // What goes wrong there was noted already.
        let noted = self.hazards.clone();
        let closed = self.suite(&choice.body, states.only(States::OPEN));
        self.hazards = noted;
        let is_closed = closed.next.has(States::CLOSED) && !closed.next.has(States::OPEN);
        match is_closed && self.is_opened_on_condition() {
            true => states.turn(States::OPEN, States::CLOSED),
            false => states,
        }
    }

    /// The states behind a statement that gives the connection's name another value, or none.
    pub(super) fn behind_binding(&mut self, statement: &Stmt, states: States) -> States {
        if self.purpose == Purpose::Proof || !self.binds_otherwise(statement) {
            return states;
        }
        self.lose(states);
        states.turn(States::OPEN | States::CLOSED, States::BEFORE)
    }

    /// The states behind `with value as target`.
    pub(super) fn behind_target(&mut self, target: &Expr, value: &Expr, states: States) -> States {
        let is_it = target.is_name_expr() && self.connection.is(self.scope, target);
        if self.purpose == Purpose::Proof || !is_it || self.mentions(value) {
            return states;
        }
        self.lose(states);
        states.turn(States::OPEN | States::CLOSED, States::BEFORE)
    }

    /// Note that nothing can close it, or commit what it wrote, any more.
    pub(super) fn lose(&mut self, states: States) {
        self.note_discarded(states);
        self.hazards.ends_open |= states.has(States::OPEN);
    }

    fn binds_otherwise(&self, statement: &Stmt) -> bool {
        let is_it = |target: &Expr| {
            matches!(target, Expr::Name(_)) && self.connection.is(self.scope, target)
        };
        let is_other = |value: &Expr| !self.mentions(value);
        match statement {
            Stmt::Assign(assign) => assign.targets.iter().any(is_it) && is_other(&assign.value),
            Stmt::AnnAssign(assign) => {
                is_it(&assign.target) && assign.value.as_deref().is_some_and(is_other)
            }
            Stmt::Delete(delete) => delete.targets.iter().any(is_it),
            _ => false,
        }
    }

    /// Whether an expression opens the connection, or names it.
    fn mentions(&self, expression: &Expr) -> bool {
        struct Mentions<'a, 'p, 'c, 'f>(&'f Flow<'a, 'p, 'c>, bool);
        impl<'e> Visitor<'e> for Mentions<'_, '_, '_, '_> {
            fn visit_expr(&mut self, expression: &'e Expr) {
                self.1 |= self.0.connection.is(self.0.scope, expression);
                visitor::walk_expr(self, expression);
            }
        }
        let mut mentions = Mentions(self, false);
        mentions.visit_expr(expression);
        mentions.1
    }

    /// `sys.exit()`, and whether it ends the process as usual.
    pub(super) fn exit(&self, statement: &Stmt) -> Option<bool> {
        let Stmt::Expr(ast::StmtExpr { value, .. }) = statement else {
            return None;
        };
        let Expr::Call(ExprCall {
            func, arguments, ..
        }) = &**value
        else {
            return None;
        };
        let connection = self.connection;
        let named = connection
            .project()
            .named(connection.file(), self.scope, func);
        let is_exit = matches!(
            named.certain(),
            Some("sys.exit" | "builtins.exit" | "builtins.quit")
        );
        let is_zero = |status: &Expr| match status {
            Expr::NoneLiteral(_) => true,
            Expr::NumberLiteral(number) => {
                matches!(&number.value, ast::Number::Int(number) if *number == ast::Int::ZERO)
            }
            _ => false,
        };
        is_exit.then(|| arguments.args.iter().all(is_zero))
    }
}
