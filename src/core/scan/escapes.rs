//! Where a connection gets out of sight of the function or module that opens it: it is kept by something else, or used by a
//! function within.

use super::connection::Connection;
use super::names::{Names, ScopeId, ScopeKind};
use super::syntax::{Expr, ExprCall, Ranged, Stmt, Visitor, ast};
use super::walk::{
    Around, Scoped, Surrounded, walk_expr_within, walk_item_within, walk_stmt_within,
};

/// What others may do, that no path through the function tells.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Escapes {
    /// Close it.
    pub may_close: bool,
    /// Commit what was written.
    pub may_commit: bool,
}

/// Methods that keep what they are given.
const KEEPS: [&str; 12] = [
    "add",
    "append",
    "extend",
    "insert",
    "put",
    "put_nowait",
    "setdefault",
    "submit",
    "push",
    "set",
    "setattr",
    "partial",
];

/// What a function within may do with it and have no part in how it ends.
const ONLY_RUNS: [&str; 9] = [
    "execute",
    "executemany",
    "cursor",
    "row_factory",
    "text_factory",
    "total_changes",
    "in_transaction",
    "create_function",
    "interrupt",
];

/// Look through the body that binds the connection's name.
pub fn escapes<'a>(connection: &Connection<'a, '_>, home: ScopeId, body: &'a [Stmt]) -> Escapes {
    let mut finder = Finder {
        names: connection.names(),
        connection,
        home,
        scope: home,
        around: Vec::new(),
        found: Escapes::default(),
    };
    finder.visit_body(body);
    finder.found
}

struct Finder<'a, 'p, 'c> {
    names: &'p Names<'a>,
    connection: &'c Connection<'a, 'p>,
    home: ScopeId,
    scope: ScopeId,
    around: Vec<Around<'a>>,
    found: Escapes,
}

impl<'a> Finder<'a, '_, '_> {
    fn look(&mut self, expression: &'a Expr) {
        let is_loaded = match expression {
            Expr::Name(name) => name.ctx.is_load(),
            Expr::Attribute(attribute) => attribute.ctx.is_load(),
            _ => return,
        };
        if !self.connection.is(self.scope, expression) {
            return;
        }
        let escapes = match (is_loaded, self.is_within_another_function()) {
            (true, false) => self.of(expression),
            (true, true) => self.of_inner(),
            (false, true) => UNKNOWN,
            (false, false) => Escapes::default(),
        };
        self.found.may_close |= escapes.may_close;
        self.found.may_commit |= escapes.may_commit;
    }

    fn parent(&self, steps: usize) -> Option<Around<'a>> {
        self.around.iter().rev().nth(steps).copied()
    }

    /// By what it stands in, in the function itself.
    fn of(&self, expression: &Expr) -> Escapes {
        match self.parent(0) {
            Some(Around::Expression(Expr::Attribute(method))) => self.of_method(method),
            Some(Around::Expression(Expr::Call(call))) => self.of_argument(call),
            Some(Around::Expression(
                Expr::Compare(_) | Expr::UnaryOp(_) | Expr::Await(_) | Expr::FString(_),
            )) => Escapes::default(),
            // `connection and connection.close()`
            Some(Around::Expression(Expr::BoolOp(operation))) => {
                let is_last = operation
                    .values
                    .last()
                    .is_some_and(|last| last.range() == expression.range());
                match is_last {
                    true => UNKNOWN,
                    false => Escapes::default(),
                }
            }
            Some(Around::Expression(Expr::If(either)))
                if either.test.range() == expression.range() =>
            {
                Escapes::default()
            }
            Some(Around::Expression(Expr::Yield(_))) => Escapes::default(),
            Some(Around::Item(_)) => Escapes::default(),
            Some(Around::Statement(
                Stmt::If(_) | Stmt::While(_) | Stmt::Assert(_) | Stmt::Expr(_),
            )) => Escapes::default(),
            _ => UNKNOWN,
        }
    }

    fn of_method(&self, method: &ast::ExprAttribute) -> Escapes {
        let is_called = matches!(self.parent(1), Some(Around::Expression(Expr::Call(call))) if call.func.range() == method.range());
        match method.attr.as_str() {
            "__exit__" | "__aexit__" if is_called => ENDS,
            _ if is_called => Escapes::default(),
            "close" | "__exit__" => Escapes {
                may_close: !self.is_registered(),
                may_commit: false,
            },
            "commit" => ENDS,
            _ => Escapes::default(),
        }
    }

    /// Whether the bound method is given to a call, which the paths tell of.
    fn is_registered(&self) -> bool {
        matches!(self.parent(1), Some(Around::Expression(Expr::Call(_))))
    }

    fn of_argument(&self, call: &ExprCall) -> Escapes {
        let last = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return UNKNOWN,
        };
        // A class.
        let is_class = last
            .trim_start_matches('_')
            .starts_with(|first: char| first.is_uppercase());
        if matches!(last, "enter_context" | "enter_async_context") {
            return ENDS;
        }
        match is_class || KEEPS.contains(&last) {
            true => UNKNOWN,
            false => Escapes::default(),
        }
    }

    fn of_inner(&self) -> Escapes {
        match self.parent(0) {
            Some(Around::Expression(Expr::Attribute(method)))
                if ONLY_RUNS.contains(&method.attr.as_str()) =>
            {
                Escapes::default()
            }
            _ => UNKNOWN,
        }
    }

    fn is_within_another_function(&self) -> bool {
        let mut scope = self.scope;
        while scope != self.home {
            let around = self.names.scope(scope);
            match (around.kind, around.parent) {
                (ScopeKind::Comprehension, Some(parent)) => scope = parent,
                _ => return true,
            }
        }
        false
    }
}

/// It is entered or left by a call, which ends its transaction.
const ENDS: Escapes = Escapes {
    may_close: false,
    may_commit: true,
};

const UNKNOWN: Escapes = Escapes {
    may_close: true,
    may_commit: true,
};

impl<'a> Scoped<'a> for Finder<'a, '_, '_> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Surrounded<'a> for Finder<'a, '_, '_> {
    fn around(&mut self) -> &mut Vec<Around<'a>> {
        &mut self.around
    }
}

impl<'a> Visitor<'a> for Finder<'a, '_, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        walk_stmt_within(self, statement);
    }

    fn visit_with_item(&mut self, item: &'a ast::WithItem) {
        walk_item_within(self, item);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        self.look(expression);
        walk_expr_within(self, expression);
    }
}
