//! What stands in some statements that matters to a session: where they wait, catch, and leave.

use crate::core::scan::syntax::{
    ExceptHandler, Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast, visitor,
};

pub struct Handlers<'a>(pub Vec<&'a ast::ExceptHandlerExceptHandler>);

impl<'a> Visitor<'a> for Handlers<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if !matches!(statement, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
            visitor::walk_stmt(self, statement);
        }
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(caught) = handler;
        self.0.push(caught);
        visitor::walk_except_handler(self, handler);
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

pub struct Suspended {
    pub yielded: Option<TextRange>,
    pub reason: Option<&'static str>,
}

impl<'a> Visitor<'a> for Suspended {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            Stmt::For(each) if each.is_async => self.reason = Some(AWAITS),
            Stmt::With(with) if with.is_async => self.reason = Some(AWAITS),
            // It would be entered again and again.
            Stmt::For(_) | Stmt::While(_) if self.yields_within(statement.range()) => {
                self.reason = Some("it is yielded in a loop");
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Await(_) => self.reason = Some(AWAITS),
            Expr::Yield(_) if self.yields_within(expression.range()) => {}
            Expr::Yield(_) | Expr::YieldFrom(_) => {
                self.reason = Some("its function yields in between");
            }
            Expr::Lambda(_) => {}
            Expr::Call(call) if is_of_all_names(call) => {
                self.reason = Some("its function hands on all of its names");
            }
            _ => visitor::walk_expr(self, expression),
        }
    }
}

/// `locals()`, `vars()`, `eval(…)`, `exec(…)`
pub fn is_of_all_names(call: &ExprCall) -> bool {
    match &*call.func {
        Expr::Name(name) => match name.id.as_str() {
            "locals" | "vars" => call.arguments.is_empty(),
            "eval" | "exec" => true,
            _ => false,
        },
        _ => false,
    }
}

impl Suspended {
    fn yields_within(&self, range: TextRange) -> bool {
        self.yielded
            .is_some_and(|yielded| range.contains_range(yielded))
    }
}

pub const AWAITS: &str = "its function awaits in between";
