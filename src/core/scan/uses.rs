//! Every place in a function that names a connection or a cursor of it, and whether a rule can go by what is done there.

use super::connection::Connection;
use super::names::{Names, ScopeId, ScopeKind};
use super::project::Project;
use super::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast};
use super::walk::{
    Around, Scoped, Surrounded, walk_expr_within, walk_item_within, walk_stmt_within,
};

/// What is done with a connection or cursor at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Something that a session does as well.
    Fine,
    /// `connection.close()`, as a statement.
    Closed,
    /// `connection.rollback()`, as a statement.
    RolledBack,
    /// `with connection:`, or `with closing(connection):`
    Entered,
    /// It is asked whether it is there.
    Tested,
    /// It is given to a function that may do anything with it.
    Given,
    /// It is yielded, by a statement of its own.
    Yielded,
    /// The connection's name is bound.
    Bound,
    /// It is used by a function that stands in its function.
    WithinFunction,
    /// What no rule can go by, and why.
    Refused(&'static str),
}

/// A place that names a connection or a cursor.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Where.
    pub range: TextRange,
    /// What is done.
    pub what: Use,
    /// Whether it is the connection, and not a cursor.
    pub is_connection: bool,
}

const CONNECTION_METHODS: [&str; 11] = [
    "execute",
    "executemany",
    "executescript",
    "cursor",
    "commit",
    "rollback",
    "close",
    "create_function",
    "create_aggregate",
    "create_window_function",
    "create_collation",
];
const CURSOR_METHODS: [&str; 9] = [
    "execute",
    "executemany",
    "executescript",
    "fetchone",
    "fetchmany",
    "fetchall",
    "close",
    "setinputsizes",
    "setoutputsize",
];
const CONNECTION_ATTRIBUTES: [&str; 3] = ["row_factory", "text_factory", "total_changes"];
const CURSOR_ATTRIBUTES: [&str; 5] = [
    "lastrowid",
    "rowcount",
    "description",
    "arraysize",
    "row_factory",
];

/// Functions that take all rows before they return.
const STRICT: [&str; 12] = [
    "all",
    "any",
    "dict",
    "frozenset",
    "len",
    "list",
    "max",
    "min",
    "set",
    "sorted",
    "sum",
    "tuple",
];
/// Functions that take rows later, or one.
const LAZY: [&str; 6] = ["enumerate", "filter", "iter", "map", "next", "zip"];
/// Functions that look at what they are given, only.
const LOOK: [&str; 5] = ["bool", "isinstance", "print", "repr", "type"];

/// Find the places in the function or module that the connection's name is bound in.
pub fn uses<'a>(
    project: &Project<'a>,
    connection: &Connection<'a, '_>,
    home: ScopeId,
) -> Vec<Named> {
    let names = &project.file(connection.file()).names;
    let mut finder = Finder {
        names,
        project,
        connection,
        home,
        scope: home,
        around: Vec::new(),
        found: Vec::new(),
    };
    match names.scope(home).kind {
        ScopeKind::Function(function) => finder.visit_body(&function.body),
        ScopeKind::Module => finder.visit_body(names.body()),
        _ => {}
    }
    finder.found
}

struct Finder<'a, 'p, 'c> {
    names: &'c Names<'a>,
    project: &'p Project<'a>,
    connection: &'c Connection<'a, 'p>,
    home: ScopeId,
    scope: ScopeId,
    around: Vec<Around<'a>>,
    found: Vec<Named>,
}

impl<'a> Finder<'a, '_, '_> {
    fn look(&mut self, expression: &'a Expr) {
        if self.connection.is_opened_by(expression.range()) {
            return;
        }
        let is_it = self.connection.is(self.scope, expression);
        if !is_it && !self.connection.is_it_or_cursor(self.scope, expression) {
            return;
        }
        let what = match self.is_within_another_function() {
            true => Use::WithinFunction,
            false => match self.use_in_generator() {
                Use::Fine => self.use_of(expression, is_it),
                refused => refused,
            },
        };
        self.found.push(Named {
            range: expression.range(),
            what,
            is_connection: is_it,
        });
    }

    /// What stands in a generator is done when its values are taken, but for what it goes through first.
    fn use_in_generator(&self) -> Use {
        let around = self.around.iter().rev().enumerate();
        for (depth, around) in around {
            match around {
                Around::Statement(_) => break,
                Around::Expression(Expr::Generator(generator)) => {
                    let first = &generator.generators[0].iter;
                    let inner = depth
                        .checked_sub(1)
                        .and_then(|inner| self.around.iter().rev().nth(inner));
                    let is_first = match inner {
                        Some(Around::Expression(inner)) => {
                            first.range().contains_range(inner.range())
                        }
                        _ => true,
                    };
                    if !is_first {
                        return self.use_of_lazy(depth + 1);
                    }
                }
                _ => {}
            }
        }
        Use::Fine
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

    fn use_of(&self, expression: &'a Expr, is_it: bool) -> Use {
        if let Expr::Name(name) = expression
            && !name.ctx.is_load()
        {
            return match (name.ctx.is_store(), is_it) {
                (true, true) => Use::Bound,
                (true, false) => Use::Fine,
                (false, _) => Use::Refused("its name is deleted"),
            };
        }
        let range = expression.range();
        match self.around.last() {
            Some(Around::Expression(parent)) => self.use_in_expression(parent, expression, is_it),
            Some(Around::Item(_)) if is_it => Use::Entered,
            Some(Around::Item(_)) if is_closing(expression) => Use::Fine,
            Some(Around::Item(_)) => Use::Refused("a cursor of it is entered by 'with'"),
            Some(Around::Statement(statement)) => self.use_in_statement(statement, range, is_it),
            None => Use::Refused("it stands alone"),
        }
    }

    fn use_in_statement(&self, statement: &Stmt, range: TextRange, is_it: bool) -> Use {
        match statement {
            Stmt::Expr(_) => Use::Fine,
            Stmt::If(_) | Stmt::While(_) => Use::Tested,
            Stmt::Assign(assign) if !is_it && !assign.value.is_call_expr() => {
                Use::Refused("a cursor of it gets another name")
            }
            Stmt::AnnAssign(assign)
                if !is_it
                    && assign
                        .value
                        .as_ref()
                        .is_some_and(|value| value.is_call_expr()) =>
            {
                match &*assign.target {
                    Expr::Name(_) => Use::Fine,
                    _ => Use::Refused("a cursor of it is kept"),
                }
            }
            Stmt::Assign(assign) if !is_it => match &*assign.targets {
                [Expr::Name(_)] => Use::Fine,
                _ => Use::Refused("a cursor of it is kept"),
            },
            Stmt::Assign(_) => Use::Refused("it gets another name"),
            Stmt::For(each) if !each.is_async && each.iter.range() == range && !is_it => Use::Fine,
            Stmt::Return(_) => Use::Refused("a cursor of it is returned"),
            Stmt::Delete(_) => Use::Refused("its name is deleted"),
            _ => Use::Refused("it is used in a way that the rules do not know"),
        }
    }

    fn use_in_expression(&self, parent: &'a Expr, expression: &'a Expr, is_it: bool) -> Use {
        let range = expression.range();
        match parent {
            Expr::Attribute(attribute) => self.use_of_attribute(attribute, is_it),
            Expr::Call(call) => self.use_as_argument(call, expression, is_it),
            Expr::ListComp(ast::ExprListComp { generators, .. })
            | Expr::SetComp(ast::ExprSetComp { generators, .. })
            | Expr::DictComp(ast::ExprDictComp { generators, .. })
                if is_iterated(generators, range) && !is_it =>
            {
                Use::Fine
            }
            Expr::Generator(generator) if is_iterated(&generator.generators, range) && !is_it => {
                self.use_of_lazy(1)
            }
            Expr::Named(named) if named.value.range() == range && !is_it => Use::Fine,
            Expr::Compare(compare) if is_it && is_with_none(compare) => Use::Tested,
            Expr::UnaryOp(operation) if is_it && operation.op == ast::UnaryOp::Not => Use::Tested,
            Expr::Await(_) => Use::Refused("it is awaited"),
            Expr::Yield(_) if is_it => match self.around.iter().rev().nth(1) {
                Some(Around::Statement(Stmt::Expr(_))) => Use::Yielded,
                _ => Use::Refused("what it is yielded to gives something back"),
            },
            Expr::Yield(_) | Expr::YieldFrom(_) => Use::Refused("a cursor of it is yielded"),
            _ => Use::Refused("it is used in a way that the rules do not know"),
        }
    }

    fn use_of_attribute(&self, attribute: &ast::ExprAttribute, is_it: bool) -> Use {
        let name = attribute.attr.as_str();
        let call = match self.around.iter().rev().nth(1) {
            Some(Around::Expression(Expr::Call(call))) if call.func.range() == attribute.range => {
                Some(call)
            }
            _ => None,
        };
        let (methods, attributes): (&[&str], &[&str]) = match is_it {
            true => (&CONNECTION_METHODS, &CONNECTION_ATTRIBUTES),
            false => (&CURSOR_METHODS, &CURSOR_ATTRIBUTES),
        };
        match (name, call) {
            ("cursor", Some(call)) if !call.arguments.is_empty() => {
                Use::Refused("its cursors are of a class of their own")
            }
            ("close", Some(_)) if is_it => self.as_statement(Use::Closed),
            ("rollback", Some(_)) if is_it => self.as_statement(Use::RolledBack),
            (name, Some(_)) if methods.contains(&name) => Use::Fine,
            (name, None) if attributes.contains(&name) => Use::Fine,
            ("isolation_level" | "autocommit", None) => {
                Use::Refused("it sets how transactions begin")
            }
            ("in_transaction", None) => Use::Refused("it asks whether a transaction is open"),
            _ => Use::Refused(told(name)),
        }
    }

    /// A use whose call is a statement; another one is fine as it is.
    fn as_statement(&self, what: Use) -> Use {
        match self.around.iter().rev().nth(2) {
            Some(Around::Statement(Stmt::Expr(_))) => what,
            _ => Use::Fine,
        }
    }

    fn use_as_argument(&self, call: &'a ExprCall, expression: &Expr, is_it: bool) -> Use {
        let file = self.connection.file();
        let named = self.project.named(file, self.scope, &call.func);
        let Some(function) = named.certain() else {
            return Use::Given;
        };
        if function == "contextlib.closing" && call.arguments.args.len() == 1 {
            // What it gives is looked at by itself.
            let is_item = matches!(self.around.iter().rev().nth(1), Some(Around::Item(_)));
            return match (is_it, is_item) {
                (false, _) => Use::Fine,
                (true, true) => Use::Entered,
                (true, false) => Use::Refused("it is closed in a way that the rules do not know"),
            };
        }
        if matches!(function, "pandas.read_sql" | "pandas.read_sql_query") {
            let is_lazy = call.arguments.find_keyword("chunksize").is_some();
            return if is_lazy { Use::Given } else { Use::Fine };
        }
        let is_first = call
            .arguments
            .args
            .first()
            .is_some_and(|first| first.range() == expression.range());
        match function.strip_prefix("builtins.") {
            Some(name) if LOOK.contains(&name) => Use::Fine,
            Some(name) if STRICT.contains(&name) && !is_it && is_first => Use::Fine,
            Some(name) if STRICT.contains(&name) && !is_it => {
                Use::Refused("a cursor of it is kept")
            }
            Some("next") if !is_it && is_first => Use::Fine,
            Some(name) if LAZY.contains(&name) && !is_it => self.use_of_lazy(1),
            _ => Use::Given,
        }
    }

    /// What takes rows later does so before the connection goes, if the expression around it takes them all.
    fn use_of_lazy(&self, depth: usize) -> Use {
        let lazy = match self.around.iter().rev().nth(depth - 1) {
            Some(Around::Expression(lazy)) => lazy.range(),
            _ => return Use::Refused("its rows are taken later"),
        };
        let is_strict = match self.around.iter().rev().nth(depth) {
            Some(Around::Statement(Stmt::For(each))) => each.iter.range() == lazy,
            Some(Around::Expression(Expr::Call(call))) => {
                let file = self.connection.file();
                let named = self.project.named(file, self.scope, &call.func);
                let name = named
                    .certain()
                    .and_then(|name| name.strip_prefix("builtins."));
                let joins = matches!(&*call.func, Expr::Attribute(method) if method.attr.as_str() == "join");
                match name {
                    Some(name) if STRICT.contains(&name) || name == "next" => true,
                    Some(name) if LAZY.contains(&name) => return self.use_of_lazy(depth + 1),
                    _ => joins,
                }
            }
            Some(Around::Expression(Expr::ListComp(list))) => is_iterated(&list.generators, lazy),
            Some(Around::Expression(Expr::SetComp(set))) => is_iterated(&set.generators, lazy),
            Some(Around::Expression(Expr::DictComp(dict))) => is_iterated(&dict.generators, lazy),
            _ => false,
        };
        match is_strict {
            true => Use::Fine,
            false => Use::Refused("its rows are taken later"),
        }
    }
}

/// What a session does otherwise, or has not.
fn told(name: &str) -> &'static str {
    match name {
        "backup" => "it is copied by backup()",
        "iterdump" => "it is told as SQL by iterdump()",
        "blobopen" => "it opens BLOBs",
        "serialize" | "deserialize" => "it is serialized",
        "interrupt" => "it is interrupted",
        "set_trace_callback" => "its statements are traced",
        "set_authorizer" => "it has an authorizer",
        "set_progress_handler" => "it has a progress handler",
        "enable_load_extension" | "load_extension" => "it loads extensions",
        "connection" => "it is asked for by its cursor",
        _ => "it is used by something that the rules do not know",
    }
}

/// `closing(connection.cursor())`
fn is_closing(expression: &Expr) -> bool {
    matches!(expression, Expr::Call(call) if call.arguments.args.iter().any(Expr::is_call_expr))
}

fn is_iterated(generators: &[ast::Comprehension], range: TextRange) -> bool {
    let mut generators = generators.iter();
    generators.any(|generator| !generator.is_async && generator.iter.range() == range)
}

fn is_with_none(compare: &ast::ExprCompare) -> bool {
    matches!(&*compare.comparators, [Expr::NoneLiteral(_)])
}

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
