//! What may go wrong with a connection that a class keeps on `self`: a write that no method commits, and that nothing closes it.
//! It is told only where it is certain: of a class that stands alone, and of an attribute of its own that nothing else touches.

use super::connection::Connection;
use super::escapes::escapes;
use super::hazards::{Hazard, begins_by_itself};
use super::names::{Bound, Names, ScopeId, ScopeKind};
use super::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast};
use super::usage::Usage;
use super::walk::{Scoped, walk_expr, walk_stmt};
use memchr::memmem;

/// Tell it of the connection in an attribute of a class.
pub fn hazards(
    connection: &Connection<'_, '_>,
    usage: &Usage,
    class: ScopeId,
    attribute: &str,
    in_memory: bool,
) -> Vec<Hazard> {
    let ScopeKind::Class(node) = connection.names().scope(class).kind else {
        return Vec::new();
    };
    let source = &connection.project().file(connection.file()).parsed.source;
    let text = source.slice(node.range).to_ascii_lowercase();
    let has = |word: &str| text.contains(word);
    if !is_own(connection, node, attribute) || has("getattr") || has("__dict__") {
        return Vec::new();
    }
    if !is_bound_once(connection, class, attribute) || is_given_away(connection, class) {
        return Vec::new();
    }
    let mut found = Vec::new();
    // Whoever closes it says so, and a class that is entered may close what it has.
    if !["close", "__exit__", "__aexit__", "__del__"]
        .iter()
        .any(|word| has(word))
    {
        found.push(Hazard::NeverClosed);
    }
    // A script commits; a statement that is not known may.
    let is_committed = usage.commits > 0 || usage.unknown > 0;
    let is_lost = usage.writes > 0 && !is_committed && begins_by_itself(connection, usage);
    let is_certain = !has("commit") && !has("executescript") && !has("release");
    if is_lost && is_certain && !in_memory {
        found.push(Hazard::WriteNotCommitted);
    }
    found
}

/// Whether the class stands alone, and no other code names the attribute. Only a name that begins with `_` is the class's own:
/// what else uses an instance may be in files that say nothing of SQLite.
fn is_own(connection: &Connection<'_, '_>, class: &ast::StmtClassDef, attribute: &str) -> bool {
    let is_plain = class.decorator_list.is_empty() && class.arguments.is_none();
    let named = format!(".{attribute}");
    let touches = |text: &str, own: Option<TextRange>| {
        let mut places = memmem::find_iter(text.as_bytes(), named.as_bytes());
        places.any(|at| {
            let is_in_class = own.is_some_and(|own| {
                let (start, end) = (usize::from(own.start()), usize::from(own.end()));
                (start..end).contains(&at)
            });
            // `self` of another class is no instance of this one, which has no heirs.
            !is_in_class && !text[..at].ends_with("self")
        })
    };
    let mut files = connection.project().files();
    is_plain
        && attribute.starts_with('_')
        && !files.any(|(id, file)| {
            let own = (id == connection.file()).then_some(class.range);
            let is_base = file.names.scopes().any(|(_, scope)| match scope.kind {
                ScopeKind::Class(heir) => heir.bases().iter().any(|base| is_named(base, class)),
                _ => false,
            });
            is_base || touches(&file.parsed.source.text, own)
        })
}

fn is_named(base: &Expr, class: &ast::StmtClassDef) -> bool {
    match base {
        Expr::Name(name) => name.id == class.name.id,
        Expr::Attribute(attribute) => attribute.attr.id == class.name.id,
        _ => true,
    }
}

/// Whether the call's connection is all that the attribute ever is, but for `None`.
fn is_bound_once(connection: &Connection<'_, '_>, class: ScopeId, attribute: &str) -> bool {
    let bindings = connection.names().attribute_of(class, attribute);
    let is_call = |value: &Expr| connection.is_opened_by(value.range());
    bindings.iter().all(|binding| match binding.bound {
        Bound::Value(value) => value.is_none_literal_expr() || is_call(value),
        _ => false,
    })
}

/// Whether a method gives it to something else, or has something else use it.
fn is_given_away(connection: &Connection<'_, '_>, class: ScopeId) -> bool {
    let names = connection.names();
    names.scopes().any(|(scope, known)| {
        let ScopeKind::Function(function) = known.kind else {
            return false;
        };
        if names.method_of(scope).is_none_or(|(of, _)| of != class) {
            return false;
        }
        let escapes = escapes(connection, scope, &function.body);
        let mut given = Given {
            connection,
            scope,
            is_found: false,
        };
        given.visit_body(&function.body);
        escapes.may_close || escapes.may_commit || given.is_found
    })
}

struct Given<'a, 'p, 'c> {
    connection: &'c Connection<'a, 'p>,
    scope: ScopeId,
    is_found: bool,
}

impl Given<'_, '_, '_> {
    fn look_at(&mut self, call: &ExprCall) {
        self.is_found |= self.connection.is_given_to(self.scope, call);
    }
}

impl<'a> Scoped<'a> for Given<'a, '_, '_> {
    fn names(&self) -> &Names<'a> {
        self.connection.names()
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Visitor<'a> for Given<'a, '_, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression {
            self.look_at(call);
        }
        walk_expr(self, expression);
    }
}
