//! Which statements may raise while a connection is open. What practically never does is left out: a call that closes
//! something, a logger's, one that asks for names.

use super::Flow;
use crate::core::scan::names::{Binding, Bound};
use crate::core::scan::syntax::{Expr, ExprCall, Ranged, Stmt, Visitor, ast, visitor};

/// Methods of cursors and connections, and of loggers, that do not raise.
const RAISES_NOT: [&str; 10] = [
    "close",
    "cursor",
    "rollback",
    "debug",
    "info",
    "warning",
    "error",
    "exception",
    "critical",
    "log",
];

const FUNCTIONS_RAISE_NOT: [&str; 5] = [
    "builtins.globals",
    "builtins.isinstance",
    "builtins.locals",
    "builtins.print",
    "builtins.vars",
];

impl Flow<'_, '_, '_> {
    /// Whether a statement without others in it may raise, with the connection open.
    pub(super) fn may_raise(&self, statement: &Stmt) -> bool {
        let mut raises = Raises {
            flow: self,
            is_found: statement.is_assert_stmt(),
        };
        visitor::walk_stmt(&mut raises, statement);
        raises.is_found
    }

    /// Whether an expression may raise; a test of something that is not known may, too.
    pub(super) fn expression_may_raise(&self, expression: &Expr, is_test: bool) -> bool {
        let mut raises = Raises {
            flow: self,
            is_found: is_test && !self.is_connection(expression) && self.is_object(expression),
        };
        raises.visit_expr(expression);
        raises.is_found
    }

    /// Whether a name may be an object with a truth of its own, which may raise as an array's does.
    fn is_object(&self, expression: &Expr) -> bool {
        let Expr::Name(name) = expression else {
            return false;
        };
        let is_plain = |value: &Expr| match value {
            Expr::BooleanLiteral(_) | Expr::NoneLiteral(_) | Expr::NumberLiteral(_) => true,
            Expr::Compare(_) => true,
            Expr::UnaryOp(operation) => operation.op == ast::UnaryOp::Not,
            _ => false,
        };
        let bindings = self
            .connection
            .names()
            .bound_in(self.scope, name.id.as_str());
        let is_known = |binding: &Binding<'_>| match binding.bound {
            Bound::Value(value) | Bound::Parameter(Some(value)) => is_plain(value),
            Bound::Extended => true,
            _ => false,
        };
        bindings.is_empty() || !bindings.iter().all(is_known)
    }
}

struct Raises<'a, 'p, 'c, 'f> {
    flow: &'f Flow<'a, 'p, 'c>,
    is_found: bool,
}

impl Raises<'_, '_, '_, '_> {
    fn call_raises(&self, call: &ExprCall) -> bool {
        let (connection, scope) = (self.flow.connection, self.flow.scope);
        if connection.is_opened_by(call.range()) {
            return false;
        }
        match &*call.func {
            Expr::Attribute(method) if RAISES_NOT.contains(&method.attr.as_str()) => false,
            function => {
                let named = connection
                    .project()
                    .named(connection.file(), scope, function);
                let raises = !named
                    .certain()
                    .is_some_and(|name| FUNCTIONS_RAISE_NOT.contains(&name));
                raises && !self.flow.is_closing(call) && !self.flow.is_closed_later(call)
            }
        }
    }
}

impl<'e> Visitor<'e> for Raises<'_, '_, '_, '_> {
    fn visit_expr(&mut self, expression: &'e Expr) {
        self.is_found |= match expression {
            Expr::Lambda(_) => return,
            Expr::Call(call) => self.call_raises(call),
            Expr::Compare(compare) => {
                let is_plain =
                    |operator: &ast::CmpOp| matches!(operator, ast::CmpOp::Is | ast::CmpOp::IsNot);
                // `"connection" in locals()`, `mode == 3`
                let is_plain = |operator: &ast::CmpOp| {
                    is_plain(operator)
                        || matches!(operator, ast::CmpOp::Eq | ast::CmpOp::NotEq)
                            && compare.comparators.iter().all(Expr::is_literal_expr)
                };
                let names = matches!(&*compare.left, Expr::StringLiteral(_));
                !compare.ops.iter().all(is_plain) && !names
            }
            Expr::Subscript(subscript) => subscript.ctx.is_load(),
            Expr::BinOp(_)
            | Expr::Await(_)
            | Expr::Yield(_)
            | Expr::YieldFrom(_)
            | Expr::ListComp(_)
            | Expr::SetComp(_)
            | Expr::DictComp(_) => true,
            _ => false,
        };
        visitor::walk_expr(self, expression);
    }
}
