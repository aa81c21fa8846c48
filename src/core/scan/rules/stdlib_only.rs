//! What takes the stdlib's own classes only, so that not even the drop-in can stand in.

use crate::core::scan::case::Case;
use crate::core::scan::names::{Names, ScopeId};
use crate::core::scan::project::{FileId, Project};
use crate::core::scan::syntax::{Expr, Stmt, Visitor};
use crate::core::scan::walk::{Scoped, walk_expr, walk_stmt};

/// Why a call's file needs connections of the stdlib's, if it does.
pub fn reason(case: &Case<'_, '_>) -> Option<&'static str> {
    if case.usage.sets.contains("cursor class") {
        return Some("its cursors are of a class of their own");
    }
    if case.usage.sets.contains("LIMIT of a change") {
        return Some("it has UPDATE or DELETE with LIMIT, which this SQLite has not");
    }
    let file = case.file();
    let text = &file.parsed.source.text;
    // Most files need no closer look.
    if !["Row(", "Cursor(", "Row)", "Cursor)", "Row,", "Cursor,"]
        .iter()
        .any(|part| text.contains(part))
    {
        return None;
    }
    let mut finder = Finder {
        project: case.project,
        file: case.site.file,
        names: &file.names,
        scope: ScopeId::MODULE,
        is_found: false,
    };
    finder.visit_body(&file.parsed.module.body);
    let told = "its module makes rows or cursors of sqlite3.Row or sqlite3.Cursor, which take the stdlib's only";
    finder.is_found.then_some(told)
}

struct Finder<'a, 'p> {
    project: &'p Project<'a>,
    file: FileId,
    names: &'p Names<'a>,
    scope: ScopeId,
    is_found: bool,
}

impl<'a> Finder<'a, '_> {
    fn is_class(&self, expression: &Expr) -> bool {
        let last = match expression {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return false,
        };
        if !matches!(last, "Row" | "Cursor") {
            return false;
        }
        let named = self.project.named(self.file, self.scope, expression);
        matches!(
            named.certain(),
            Some("sqlite3.Row" | "sqlite3.Cursor" | "sqlite3.dbapi2.Row" | "sqlite3.dbapi2.Cursor")
        )
    }
}

impl<'a> Scoped<'a> for Finder<'a, '_> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Visitor<'a> for Finder<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::ClassDef(class) = statement {
            self.is_found |= class.bases().iter().any(|base| self.is_class(base));
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression {
            self.is_found |= self.is_class(&call.func);
        }
        walk_expr(self, expression);
    }
}
