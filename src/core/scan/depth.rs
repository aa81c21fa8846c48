//! How deep a file's expressions and statements are nested: what goes through them is recursive.

use super::syntax::{Expr, Module, Stmt, Visitor, visitor};

/// CPython refuses files not much deeper.
pub const DEEPEST: usize = 1000;

/// The room that a thread needs to read a file that is nested far too deeply, and to tell so.
pub const STACK_BYTES: usize = 1 << 30;

/// Whether a module is nested deeper than can be gone through.
pub fn is_too_deep(module: &Module) -> bool {
    let mut finder = Finder {
        depth: 0,
        is_found: false,
    };
    finder.visit_body(&module.body);
    finder.is_found
}

struct Finder {
    depth: usize,
    is_found: bool,
}

impl Finder {
    fn within(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.is_found |= self.depth > DEEPEST;
        if !self.is_found {
            visit(self);
        }
        self.depth -= 1;
    }
}

impl<'a> Visitor<'a> for Finder {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.within(|finder| visitor::walk_stmt(finder, statement));
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        self.within(|finder| visitor::walk_expr(finder, expression));
    }
}
