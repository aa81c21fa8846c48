//! What is done with a connection that a call opens: the statements it runs, by kind, what is set on it, and where its
//! transactions end.

use super::held::Holder;
use super::names::{Names, ScopeId, ScopeKind};
use super::project::Project;
use super::sites::{Around, Site};
use super::syntax::{Expr, ExprCall, Ranged, Stmt, Visitor};
use super::values::text_begins;
use super::walk::{Scoped, walk_expr, walk_stmt};
use crate::core::text::{Keyword, leading_keyword};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

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

/// Collect what is done with a site's connection.
pub fn usage<'a>(project: &Project<'a>, site: &Site<'a>, holder: Holder<'a>) -> Usage {
    let names = &project.file(site.file).names;
    let mut collector = Collector {
        project,
        names,
        site,
        holder,
        scope: site.scope,
        cursors: HashSet::new(),
        usage: Usage::default(),
    };
    match holder {
        Holder::Name(scope, _) => collector.walk_scope(scope),
        Holder::Attribute(class, _) => collector.walk_scope(class),
        Holder::Nothing => collector.walk_chain(),
    }
    collector.usage
}

struct Collector<'a, 'p> {
    project: &'p Project<'a>,
    names: &'p Names<'a>,
    site: &'p Site<'a>,
    holder: Holder<'a>,
    scope: ScopeId,
    /// Names of cursors, by the scope that they are bound in.
    cursors: HashSet<(ScopeId, &'a str)>,
    usage: Usage,
}

impl<'a> Collector<'a, '_> {
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
        for around in self.site.around.iter().rev() {
            match *around {
                Around::Expression(Expr::Call(call)) => self.look_at_call(call),
                Around::Expression(Expr::Attribute(_) | Expr::Await(_)) => {}
                _ => return,
            }
        }
    }

    fn is_connection(&self, expression: &Expr) -> bool {
        match (self.holder, expression) {
            (Holder::Name(home, held), Expr::Name(name)) => {
                name.id == held
                    && self
                        .names
                        .lookup(held, self.scope)
                        .is_some_and(|(scope, _)| scope == home)
            }
            (Holder::Attribute(class, held), Expr::Attribute(attribute)) => match &*attribute.value
            {
                Expr::Name(instance) => {
                    attribute.attr.as_str() == held
                        && self
                            .names
                            .class_of_instance(instance.id.as_str(), self.scope)
                            == Some(class)
                }
                _ => false,
            },
            (_, Expr::Call(call)) => call.range() == self.site.call.range(),
            _ => false,
        }
    }

    /// Whether an expression is the connection or a cursor of it.
    fn runs_statements(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Await(awaited) => self.runs_statements(&awaited.value),
            Expr::Name(name) => {
                let home = self
                    .names
                    .lookup(name.id.as_str(), self.scope)
                    .map(|(home, _)| home);
                home.is_some_and(|home| self.cursors.contains(&(home, name.id.as_str())))
                    || self.is_connection(expression)
            }
            Expr::Call(call) if self.is_connection(expression) || self.gives_cursor(call) => true,
            _ => self.is_connection(expression),
        }
    }

    fn gives_cursor(&self, call: &ExprCall) -> bool {
        let Expr::Attribute(method) = &*call.func else {
            return false;
        };
        let gives = matches!(
            method.attr.as_str(),
            "cursor" | "execute" | "executemany" | "executescript"
        );
        gives && self.runs_statements(&method.value)
    }

    fn bind(&mut self, target: &'a Expr, value: &Expr) {
        let value = match value {
            Expr::Await(awaited) => &awaited.value,
            other => other,
        };
        let gives = match value {
            Expr::Call(call) => self.gives_cursor(call) || self.closes_cursor(call),
            _ => false,
        };
        if let Expr::Name(name) = target
            && gives
            && let Some((home, _)) = self.names.lookup(name.id.as_str(), self.scope)
        {
            self.cursors.insert((home, name.id.as_str()));
        }
    }

    /// `closing(connection.cursor())`
    fn closes_cursor(&self, call: &ExprCall) -> bool {
        let [Expr::Call(inner)] = &*call.arguments.args else {
            return false;
        };
        let function = self.project.named(self.site.file, self.scope, &call.func);
        function.certain() == Some("contextlib.closing") && self.gives_cursor(inner)
    }

    fn look_at_call(&mut self, call: &'a ExprCall) {
        let Expr::Attribute(method) = &*call.func else {
            return;
        };
        if !self.runs_statements(&method.value) {
            return;
        }
        match method.attr.as_str() {
            "execute" | "executemany" | "executescript" => self.look_at_statement(call),
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
        let Some(sql) = call.arguments.args.first() else {
            return;
        };
        let Some((text, _)) = text_begins(self.project, self.site.file, self.scope, sql) else {
            self.usage.unknown += 1;
            return;
        };
        match leading_keyword(&text) {
            Keyword::Query | Keyword::Explain => self.usage.reads += 1,
            Keyword::Dml => self.usage.writes += 1,
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

impl<'a> Scoped<'a> for Collector<'a, '_> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Visitor<'a> for Collector<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.bind(target, &assign.value);
                    if let Expr::Attribute(attribute) = target
                        && self.is_connection(&attribute.value)
                    {
                        self.usage.sets.insert(attribute.attr.to_string());
                    }
                }
            }
            Stmt::With(with) => {
                for item in &with.items {
                    if self.is_connection(&item.context_expr) {
                        self.usage.commits += 1;
                    }
                    if let Some(target) = &item.optional_vars {
                        self.bind(target, &item.context_expr);
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
            Expr::Named(named) => self.bind(&named.target, &named.value),
            _ => {}
        }
        walk_expr(self, expression);
    }
}
