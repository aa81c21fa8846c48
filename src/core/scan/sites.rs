//! Where connections are opened: the calls that name one of the functions that do it, and the places that name one
//! without a call.

use super::libraries::{self, Kind};
use super::names::{Names, ScopeId, each_last_name};
use super::project::{FileId, Named, Project};
use super::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast};
use super::walk::{
    Around, Scoped, Surrounded, walk_expr_within, walk_item_within, walk_stmt_within,
};
use foldhash::HashSet;

/// A call that opens a database.
#[derive(Debug)]
pub struct Site<'a> {
    /// Where.
    pub file: FileId,
    /// The scope that it is evaluated in.
    pub scope: ScopeId,
    /// The call.
    pub call: &'a ExprCall,
    /// By which library.
    pub kind: Kind,
    /// Whether the function may be another one, too.
    pub or_other: bool,
    /// What it stands in, from the file down.
    pub around: Vec<Around<'a>>,
}

/// What a file says of opening databases.
#[derive(Debug, Default)]
pub struct Sites<'a> {
    /// The calls, in their order.
    pub calls: Vec<Site<'a>>,
    /// The calls of this package's own function.
    pub pooled: Vec<Site<'a>>,
    /// How many calls give a manager.
    pub managers: usize,
    /// Where one of the functions is named and not called: passed on, bound, put in another's place.
    pub references: Vec<Reference>,
}

/// A place that names one of the functions, and calls it not.
#[derive(Debug)]
pub struct Reference {
    /// Where.
    pub range: TextRange,
    /// The call that it is given to; itself, if it is given to none.
    pub within: TextRange,
    /// The scope that it is evaluated in.
    pub scope: ScopeId,
    /// The library.
    pub kind: Kind,
}

/// Whether an expression may name one of the functions, by the last part of its name.
pub fn may_name(names: &HashSet<&str>, expression: &Expr) -> bool {
    let mut may = false;
    each_last_name(expression, &mut |last| may |= names.contains(last));
    may
}

/// The argument of a call that names the database.
pub fn path_argument(call: &ExprCall) -> Option<&Expr> {
    let by_name = |name: &str| {
        let keyword = call
            .arguments
            .keywords
            .iter()
            .find(|keyword| keyword.arg.as_ref().is_some_and(|arg| arg.as_str() == name));
        keyword.map(|keyword| &keyword.value)
    };
    call.arguments
        .args
        .first()
        .or_else(|| by_name("database"))
        .or_else(|| by_name("url"))
}

/// Find the direct calls of a file, without what they stand in.
pub fn calls<'a>(
    project: &Project<'a>,
    file: FileId,
    is_sqlite: impl Fn(ScopeId, &ExprCall) -> bool,
) -> Vec<Site<'a>> {
    let mut finder = Finder::new(project, file, is_sqlite);
    for (scope, call) in project.file(file).names.calls() {
        finder.scope = *scope;
        finder.look_at_call(call);
    }
    finder.sites.calls
}

/// Find the calls of a file. `is_sqlite` tells whether an engine's URL is one of SQLite.
pub fn find<'a>(
    project: &Project<'a>,
    file: FileId,
    is_sqlite: impl Fn(ScopeId, &ExprCall) -> bool,
) -> Sites<'a> {
    let mut finder = Finder::new(project, file, is_sqlite);
    finder.visit_body(&project.file(file).parsed.module.body);
    finder.sites
}

struct Finder<'a, 'p, F> {
    project: &'p Project<'a>,
    file: FileId,
    names: &'p Names<'a>,
    last_names: &'p HashSet<&'a str>,
    scope: ScopeId,
    around: Vec<Around<'a>>,
    is_sqlite: F,
    sites: Sites<'a>,
}

impl<'a, 'p, F: Fn(ScopeId, &ExprCall) -> bool> Finder<'a, 'p, F> {
    fn new(project: &'p Project<'a>, file: FileId, is_sqlite: F) -> Self {
        Self {
            project,
            file,
            names: &project.file(file).names,
            last_names: project.last_names(),
            scope: ScopeId::MODULE,
            around: Vec::new(),
            is_sqlite,
            sites: Sites::default(),
        }
    }

    fn kind_of(&self, function: &Expr) -> Option<(Kind, Named)> {
        if !matches!(function, Expr::Name(_) | Expr::Attribute(_))
            || !may_name(self.last_names, function)
        {
            return None;
        }
        let named = self.project.named(self.file, self.scope, function);
        let kind = named.names.iter().find_map(|name| Kind::of_name(name))?;
        Some((kind, named))
    }

    fn look_at_call(&mut self, call: &'a ExprCall) {
        self.sites.managers += usize::from(self.gives_manager(&call.func));
        let Some((kind, named)) = self.kind_of(&call.func) else {
            return;
        };
        if kind == Kind::Sqlalchemy && !(self.is_sqlite)(self.scope, call) {
            return;
        }
        let is_one = |name: &String| Kind::of_name(name) == Some(kind);
        let sites = match kind {
            Kind::Dbmanager => &mut self.sites.pooled,
            _ => &mut self.sites.calls,
        };
        sites.push(Site {
            file: self.file,
            scope: self.scope,
            call,
            kind,
            or_other: named.or_other || !named.names.iter().all(is_one),
            around: self.around.clone(),
        });
    }

    fn gives_manager(&self, function: &Expr) -> bool {
        if !may_name(self.last_names, function) {
            return false;
        }
        let named = self.project.named(self.file, self.scope, function);
        named.certain().is_some_and(libraries::gives_manager)
    }

    fn look_at_reference(&mut self, expression: &'a Expr) {
        let is_called = matches!(self.around.last(), Some(Around::Expression(Expr::Call(call))) if call.func.range() == expression.range());
        // A class that is named is an annotation or a check, mostly; the function is named to be called later.
        let is_function = |name: &String| name.ends_with("connect");
        if is_called {
            return;
        }
        if let Some((kind, named)) = self.kind_of(expression)
            && !matches!(kind, Kind::Sqlalchemy | Kind::Dbmanager)
            && named.names.iter().any(is_function)
        {
            let given = self.around.last().and_then(|around| match around {
                Around::Expression(Expr::Call(call)) => Some(call.range()),
                _ => None,
            });
            self.sites.references.push(Reference {
                range: expression.range(),
                within: given.unwrap_or(expression.range()),
                scope: self.scope,
                kind,
            });
        }
    }
}

impl<'a, F: Fn(ScopeId, &ExprCall) -> bool> Scoped<'a> for Finder<'a, '_, F> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a, F: Fn(ScopeId, &ExprCall) -> bool> Surrounded<'a> for Finder<'a, '_, F> {
    fn around(&mut self) -> &mut Vec<Around<'a>> {
        &mut self.around
    }
}

impl<'a, F: Fn(ScopeId, &ExprCall) -> bool> Visitor<'a> for Finder<'a, '_, F> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        walk_stmt_within(self, statement);
    }

    fn visit_with_item(&mut self, item: &'a ast::WithItem) {
        walk_item_within(self, item);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => self.look_at_call(call),
            Expr::Name(ast::ExprName { ctx, .. })
            | Expr::Attribute(ast::ExprAttribute { ctx, .. })
                if ctx.is_load() =>
            {
                self.look_at_reference(expression);
            }
            _ => {}
        }
        walk_expr_within(self, expression);
    }
}
