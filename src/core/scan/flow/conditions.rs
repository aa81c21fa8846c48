//! What the branches of a test tell: a test of the connection, whether it was opened; one of what it changed, whether there is
//! something to commit. A proof does not go by them.

use super::{Flow, Purpose, States};
use crate::core::scan::names::Bound;
use crate::core::scan::syntax::{Expr, ast};

impl Flow<'_, '_, '_> {
    /// The states in which a test holds, and those in which it does not. One of the connection tells whether it was opened.
    pub(super) fn by_test(&self, test: &Expr, states: States) -> (States, States) {
        if self.purpose == Purpose::Proof {
            return (states, states);
        }
        match test {
            Expr::UnaryOp(operation) if operation.op == ast::UnaryOp::Not => {
                let (then, otherwise) = self.by_test(&operation.operand, states);
                (otherwise, then)
            }
            Expr::BoolOp(operation) => self.by_tests(operation, states),
            _ if self.is_connection(test) => (states, states.only(States::BEFORE)),
            Expr::Compare(compare) => self.by_comparison(compare, states),
            _ if self.counts_changes(test) => {
                let unchanged = states.turn(States::DIRTY | States::CAUGHT, States::CLEAN);
                (states, unchanged)
            }
            Expr::Name(name) if self.is_flag(name.id.as_str()) => {
                (states, states.turn(States::DIRTY, States::CLEAN))
            }
            _ => (states, states),
        }
    }

    fn by_tests(&self, operation: &ast::ExprBoolOp, states: States) -> (States, States) {
        let is_and = operation.op == ast::BoolOp::And;
        let (mut on, mut done) = (states, States::NONE);
        for value in &operation.values {
            let (then, otherwise) = self.by_test(value, on);
            let (next, left) = match is_and {
                true => (then, otherwise),
                false => (otherwise, then),
            };
            on = next;
            done |= left;
        }
        match is_and {
            true => (on, done),
            false => (done, on),
        }
    }

    fn by_comparison(&self, compare: &ast::ExprCompare, states: States) -> (States, States) {
        let ([operator], [right]) = (&*compare.ops, &*compare.comparators) else {
            return (states, states);
        };
        let left = &*compare.left;
        let before = states.only(States::BEFORE);
        let unchanged = states.turn(States::DIRTY | States::CAUGHT, States::CLEAN);
        let is_none = right.is_none_literal_expr() && self.is_connection(left);
        // `"connection" in locals()`
        let is_name = matches!(left, Expr::StringLiteral(name) if self.connection.is_named(name.value.to_str()));
        match operator {
            ast::CmpOp::Is | ast::CmpOp::Eq if is_none => (before, states),
            ast::CmpOp::IsNot | ast::CmpOp::NotEq if is_none => (states, before),
            ast::CmpOp::In if is_name && right.is_call_expr() => (states, before),
            ast::CmpOp::NotIn if is_name && right.is_call_expr() => (before, states),
            ast::CmpOp::Eq | ast::CmpOp::Lt | ast::CmpOp::LtE if self.counts_changes(left) => {
                (unchanged, states)
            }
            _ if self.counts_changes(left) => (states, unchanged),
            _ => (states, states),
        }
    }

    pub(super) fn is_connection(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Named(named) => self.is_connection(&named.target),
            Expr::Name(_) => self.connection.is(self.scope, expression),
            _ => false,
        }
    }

    /// `cursor.rowcount`, `connection.total_changes`, `connection.in_transaction`
    fn counts_changes(&self, expression: &Expr) -> bool {
        let Expr::Attribute(attribute) = expression else {
            return false;
        };
        let is_count = ["rowcount", "total_changes", "in_transaction"];
        is_count.contains(&attribute.attr.as_str())
            && self
                .connection
                .is_it_or_cursor(self.scope, &attribute.value)
    }

    /// Whether a name is set to `True`, or counted up, by the function: it may tell whether something was written.
    fn is_flag(&self, name: &str) -> bool {
        let bindings = self.connection.names().bound_in(self.scope, name);
        bindings.iter().any(|binding| match binding.bound {
            Bound::Value(Expr::BooleanLiteral(literal)) => literal.value,
            Bound::Extended => true,
            _ => false,
        })
    }
}
