//! What is done with a connection that a call opens: the statements it runs, by kind, what is set on it, and where its
//! transactions end.

use super::connection::Connection;
use super::held::Holder;
use super::names::{Names, ScopeId, ScopeKind};
use super::sql::{Sql, is_limited};
use super::syntax::{Expr, ExprCall, Stmt, Visitor};
use super::walk::Around;
use super::walk::{Scoped, walk_expr, walk_stmt};
use crate::core::text::{Keyword, leading_keyword};
use serde::Serialize;
use std::collections::BTreeSet;

/// What is done with a connection, as its source says.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// What is set: `row_factory`, `PRAGMA foreign_keys=ON`, `create_function`.
    pub sets: BTreeSet<String>,
    /// Statements that read.
    pub reads: usize,
    /// Statements that write rows.
    pub writes: usize,
    /// Statements that change the schema.
    pub schema: usize,
    /// Statements whose text is not known.
    pub unknown: usize,
    /// `commit()`, and `with connection`.
    pub commits: usize,
    /// `rollback()`
    pub rollbacks: usize,
}

/// Collect what is done with a site's connection. It knows its cursors afterwards.
pub fn usage<'a>(names: &Names<'a>, connection: &mut Connection<'a, '_>) -> Usage {
    let mut collector = Collector {
        names,
        scope: connection.site().map_or(ScopeId::MODULE, |site| site.scope),
        connection,
        usage: Usage::default(),
    };
    match collector.connection.holder() {
        Holder::Name(scope, _) => collector.walk_scope(scope),
        Holder::Attribute(class, _) => collector.walk_scope(class),
        Holder::Nothing => collector.walk_chain(),
    }
    collector.usage
}

struct Collector<'a, 'p, 'c> {
    names: &'c Names<'a>,
    connection: &'c mut Connection<'a, 'p>,
    scope: ScopeId,
    usage: Usage,
}

impl<'a> Collector<'a, '_, '_> {
    fn walk_scope(&mut self, scope: ScopeId) {
        self.scope = scope;
        match self.names.scope(scope).kind {
            ScopeKind::Function(function) => self.visit_body(&function.body),
            ScopeKind::Class(class) => self.visit_body(&class.body),
            ScopeKind::Module => self.visit_body(self.names.body()),
            ScopeKind::Lambda | ScopeKind::Comprehension => {}
        }
    }

    /// `connect(…).execute(…)`: what the call stands in, as long as it goes on as a chain.
    fn walk_chain(&mut self) {
        let around = self.connection.site().map_or(&[][..], |site| &site.around);
        for around in around.iter().rev() {
            match *around {
                Around::Expression(Expr::Call(call)) => self.look_at_call(call),
                Around::Expression(Expr::Attribute(_) | Expr::Await(_)) => {}
                _ => return,
            }
        }
    }

    fn look_at_call(&mut self, call: &'a ExprCall) {
        let Some(method) = self.connection.method(self.scope, call) else {
            return;
        };
        match method {
            "execute" | "executemany" | "executescript" => self.look_at_statement(call),
            "cursor" if !call.arguments.is_empty() => {
                self.usage.sets.insert("cursor class".to_owned());
            }
            "commit" => self.usage.commits += 1,
            "rollback" => self.usage.rollbacks += 1,
            name @ ("create_function"
            | "create_aggregate"
            | "create_collation"
            | "create_window_function"
            | "set_authorizer"
            | "set_progress_handler"
            | "set_trace_callback"
            | "enable_load_extension"
            | "load_extension"
            | "setlimit"
            | "setconfig") => {
                self.usage.sets.insert(name.to_owned());
            }
            _ => {}
        }
    }

    fn look_at_statement(&mut self, call: &'a ExprCall) {
        let Some(text) = self.connection.statement(self.scope, call) else {
            self.usage.unknown += 1;
            return;
        };
        match leading_keyword(&text) {
            Keyword::Query if self.connection.runs(self.scope, call) != Sql::Reads => {
                self.usage.writes += 1;
            }
            Keyword::Query | Keyword::Explain => self.usage.reads += 1,
            Keyword::Dml => {
                self.usage.writes += 1;
                if is_limited(&text) {
                    self.usage.sets.insert("LIMIT of a change".to_owned());
                }
            }
            Keyword::Schema => self.usage.schema += 1,
            Keyword::Begin | Keyword::End | Keyword::Attach => {
                let word = text.split_whitespace().next().unwrap_or_default();
                self.usage.sets.insert(word.to_ascii_uppercase());
            }
            Keyword::Other => self.look_at_other(&text),
        }
    }

    fn look_at_other(&mut self, text: &str) {
        let words = text.trim().trim_end_matches(';').split_whitespace();
        let text = words.collect::<Vec<_>>().join(" ");
        if text
            .get(..6)
            .is_some_and(|word| word.eq_ignore_ascii_case("pragma"))
        {
            self.usage.sets.insert(format!("PRAGMA{}", &text[6..]));
        } else {
            self.usage.unknown += 1;
        }
    }
}

impl<'a> Scoped<'a> for Collector<'a, '_, '_> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Visitor<'a> for Collector<'a, '_, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.connection.bind(self.scope, target, &assign.value);
                    if let Expr::Attribute(attribute) = target
                        && self.connection.is(self.scope, &attribute.value)
                    {
                        self.usage.sets.insert(attribute.attr.to_string());
                    }
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.connection.bind(self.scope, &assign.target, value);
                }
            }
            Stmt::With(with) => {
                for item in &with.items {
                    if self.connection.is(self.scope, &item.context_expr) {
                        self.usage.commits += 1;
                    }
                    if let Some(target) = &item.optional_vars {
                        self.connection.bind(self.scope, target, &item.context_expr);
                    }
                }
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => self.look_at_call(call),
            Expr::Named(named) => {
                self.connection
                    .bind(self.scope, &named.target, &named.value);
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}
