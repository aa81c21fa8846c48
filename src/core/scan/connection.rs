//! A connection as it appears in the source: which expressions are it, or a cursor of it, and what it is told to run.

use super::held::Holder;
use super::names::{Names, ScopeId};
use super::project::{FileId, Project};
use super::sites::Site;
use super::sql::{Sql, changes_temporary};
use super::syntax::{Expr, ExprCall, Ranged, TextRange, ast};
use super::values::{text_begins, texts_begin};
use foldhash::HashSet;

/// Functions that take rows from a cursor, or look at what they are given.
const ONLY_READ: [&str; 21] = [
    "builtins.all",
    "builtins.any",
    "builtins.bool",
    "builtins.dict",
    "builtins.enumerate",
    "builtins.filter",
    "builtins.frozenset",
    "builtins.isinstance",
    "builtins.iter",
    "builtins.list",
    "builtins.map",
    "builtins.max",
    "builtins.min",
    "builtins.next",
    "builtins.print",
    "builtins.set",
    "builtins.sorted",
    "builtins.sum",
    "builtins.tuple",
    "builtins.zip",
    "contextlib.closing",
];

/// The connection that a call opens or a function is given, and the names of its cursors, as far as they were bound by
/// `bind`.
#[derive(Debug)]
pub struct Connection<'a, 'p> {
    project: &'p Project<'a>,
    names: &'p Names<'a>,
    file: FileId,
    site: Option<&'p Site<'a>>,
    holder: Holder<'a>,
    /// By the scope that they are bound in.
    cursors: HashSet<(ScopeId, &'a str)>,
    /// How many functions it was given on by.
    depth: usize,
}

impl<'a, 'p> Connection<'a, 'p> {
    /// That of a site.
    pub fn new(project: &'p Project<'a>, site: &'p Site<'a>, holder: Holder<'a>) -> Self {
        Self {
            site: Some(site),
            ..Self::of_parameter(project, site.file, holder, 0)
        }
    }

    /// That of a function's parameter.
    pub fn of_parameter(
        project: &'p Project<'a>,
        file: FileId,
        holder: Holder<'a>,
        depth: usize,
    ) -> Self {
        Self {
            project,
            names: &project.file(file).names,
            file,
            site: None,
            holder,
            cursors: HashSet::default(),
            depth,
        }
    }

    /// The project.
    pub fn project(&self) -> &'p Project<'a> {
        self.project
    }

    /// The file that it is in.
    pub fn file(&self) -> FileId {
        self.file
    }

    /// The names of that file.
    pub fn names(&self) -> &'p Names<'a> {
        self.names
    }

    /// Whether its name is `name`.
    pub fn is_named(&self, name: &str) -> bool {
        matches!(self.holder, Holder::Name(_, held) if held == name)
    }

    /// The call that opens it, if one does here.
    pub fn site(&self) -> Option<&'p Site<'a>> {
        self.site
    }

    /// How many functions it was given on by.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether an expression is the call that opens it.
    pub fn is_opened_by(&self, expression: TextRange) -> bool {
        self.site
            .is_some_and(|site| site.call.range() == expression)
    }

    /// What holds it.
    pub fn holder(&self) -> Holder<'a> {
        self.holder
    }

    /// Whether an expression is the connection.
    pub fn is(&self, scope: ScopeId, expression: &Expr) -> bool {
        match (self.holder, expression) {
            (_, Expr::Call(_)) => self.is_opened_by(expression.range()),
            (Holder::Name(home, held), Expr::Name(name)) => {
                let bound = self.names.lookup(held, scope);
                name.id == held && bound.is_some_and(|(scope, _)| scope == home)
            }
            (_, Expr::Attribute(attribute)) if self.is_of_cursor(scope, attribute) => true,
            (Holder::Attribute(class, held), Expr::Attribute(attribute)) => {
                let Expr::Name(instance) = &*attribute.value else {
                    return false;
                };
                let of = self.names.class_of_instance(instance.id.as_str(), scope);
                attribute.attr.as_str() == held && of == Some(class)
            }
            _ => false,
        }
    }

    /// `cursor.connection`, of a name that is nothing but a cursor of it.
    fn is_of_cursor(&self, scope: ScopeId, attribute: &ast::ExprAttribute) -> bool {
        if attribute.attr.as_str() != "connection" {
            return false;
        }
        match &*attribute.value {
            Expr::Name(name) => {
                let bound = self.names.lookup(name.id.as_str(), scope);
                bound.is_some_and(|(home, bindings)| {
                    bindings.len() == 1 && self.cursors.contains(&(home, name.id.as_str()))
                })
            }
            Expr::Call(call) => self.gives_cursor(scope, call),
            _ => false,
        }
    }

    /// Whether an expression is the connection or a cursor of it.
    pub fn is_it_or_cursor(&self, scope: ScopeId, expression: &Expr) -> bool {
        match expression {
            Expr::Await(awaited) => self.is_it_or_cursor(scope, &awaited.value),
            Expr::Call(call) => self.is(scope, expression) || self.gives_cursor(scope, call),
            Expr::Name(name) if self.is_cursor(scope, name.id.as_str()) => true,
            _ => self.is(scope, expression),
        }
    }

    fn is_cursor(&self, scope: ScopeId, name: &str) -> bool {
        let bound = self.names.lookup(name, scope);
        bound.is_some_and(|(home, _)| self.cursors.contains(&(home, name)))
    }

    fn gives_cursor(&self, scope: ScopeId, call: &ExprCall) -> bool {
        match self.method(scope, call) {
            Some("cursor" | "execute" | "executemany" | "executescript") => true,
            _ => self.closes_cursor(scope, call),
        }
    }

    /// `closing(connection.cursor())`
    fn closes_cursor(&self, scope: ScopeId, call: &ExprCall) -> bool {
        let [Expr::Call(inner)] = &*call.arguments.args else {
            return false;
        };
        let function = self.project.named(self.file, scope, &call.func);
        function.certain() == Some("contextlib.closing") && self.gives_cursor(scope, inner)
    }

    /// Note a name if it is bound to a cursor.
    pub fn bind(&mut self, scope: ScopeId, target: &'a Expr, value: &Expr) {
        let value = match value {
            Expr::Await(awaited) => &awaited.value,
            other => other,
        };
        if let (Expr::Name(name), Expr::Call(call)) = (target, value)
            && self.gives_cursor(scope, call)
            && let Some((home, _)) = self.names.lookup(name.id.as_str(), scope)
        {
            self.cursors.insert((home, name.id.as_str()));
        }
    }

    /// The method of the connection, or of a cursor of it, that a call calls.
    pub fn method<'e>(&self, scope: ScopeId, call: &'e ExprCall) -> Option<&'e str> {
        match &*call.func {
            Expr::Attribute(method) if self.is_it_or_cursor(scope, &method.value) => {
                Some(method.attr.as_str())
            }
            _ => None,
        }
    }

    /// Whether a call is given the connection, or a cursor of it, to do with it what it likes.
    pub fn is_given_to(&self, scope: ScopeId, call: &ExprCall) -> bool {
        let keywords = call.arguments.keywords.iter().map(|keyword| &keyword.value);
        let mut arguments = call.arguments.args.iter().chain(keywords);
        if !arguments.any(|argument| self.is_it_or_cursor(scope, argument)) {
            return false;
        }
        let function = self.project.named(self.file, scope, &call.func);
        !function
            .certain()
            .is_some_and(|name| ONLY_READ.contains(&name))
    }

    /// How the statement begins that a call runs, if that is known.
    pub fn statement(&self, scope: ScopeId, call: &ExprCall) -> Option<String> {
        let sql = call.arguments.args.first()?;
        text_begins(self.project, self.file, scope, sql).map(|text| text.text)
    }

    /// What the statement does that a call runs.
    pub fn runs(&self, scope: ScopeId, call: &ExprCall) -> Sql {
        let file = &self.project.file(self.file).parsed.source.text;
        self.sql(scope, call, |text, is_whole| {
            match Sql::of(text, is_whole) {
                Sql::Writes if changes_temporary(text, file) => {
                    Sql::Refused("it writes to a temporary table")
                }
                sql => sql,
            }
        })
    }

    /// What the script does that a call runs.
    pub fn runs_script(&self, scope: ScopeId, call: &ExprCall) -> Sql {
        self.sql(scope, call, Sql::of_script)
    }

    fn sql(&self, scope: ScopeId, call: &ExprCall, of: impl Fn(&str, bool) -> Sql) -> Sql {
        let sql = call.arguments.args.first();
        let texts = sql.and_then(|sql| texts_begin(self.project, self.file, scope, sql));
        let all = texts.unwrap_or_default();
        let all = all.iter().map(|text| of(&text.text, text.is_whole));
        all.reduce(Sql::or).unwrap_or(Sql::Unknown)
    }
}
