//! How the connection that a call opens is held, and what closes it.

use super::names::{Names, ScopeId, ScopeKind};
use super::project::Project;
use super::sites::Site;
use super::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast, visitor};
use super::walk::Around;
use serde::Serialize;
use std::collections::HashSet;

/// How a connection is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// `with connect(…)`, which ends a transaction and does not close.
    With,
    /// `with closing(connect(…))`
    Closing,
    /// In a local name that is closed whatever happens.
    Finally,
    /// In a local name that is closed unless something goes wrong before.
    Closed,
    /// In a local name that nothing closes.
    Unclosed,
    /// Given back by its function.
    Factory,
    /// Yielded by its function: a context manager, a fixture, a dependency.
    Yielded,
    /// In an attribute.
    Attribute,
    /// In a name of the module.
    Module,
    /// Passed to another function at once.
    Argument,
    /// Used at once, in a name of no one.
    Chained,
    /// In another way.
    Other,
}

/// What holds a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A name in a scope.
    Name(ScopeId, &'a str),
    /// An attribute of a class's instances.
    Attribute(ScopeId, &'a str),
    /// Nothing that has a name.
    Nothing,
}

/// Tell how the connection of a call is held.
pub fn held<'a>(project: &Project<'a>, site: &Site<'a>) -> (Held, Holder<'a>) {
    let names = &project.file(site.file).names;
    let mut value = site.call.range();
    let mut is_closing = false;
    let mut named = None;
    for around in site.around.iter().rev() {
        match *around {
            Around::Expression(expression) => match passes(project, site, expression, value) {
                Passed::On => value = expression.range(),
                Passed::Closing => {
                    is_closing = true;
                    value = expression.range();
                }
                // What is around `(name := connect(…))` may close it.
                Passed::Named(name) => {
                    named = Some(name);
                    value = expression.range();
                }
                Passed::Held(held) => {
                    return match named {
                        Some(name) => in_name(names, site, name, is_closing),
                        None => (held, Holder::Nothing),
                    };
                }
            },
            Around::Item(item) => return entered(names, site, item, named, is_closing),
            Around::Statement(statement) => {
                return match named {
                    Some(name) => in_name(names, site, name, is_closing),
                    None => in_statement(names, site, statement, value, is_closing),
                };
            }
        }
    }
    (Held::Other, Holder::Nothing)
}

/// What becomes of a connection in an expression around it.
enum Passed<'a> {
    On,
    Closing,
    Named(&'a str),
    Held(Held),
}

fn passes<'a>(
    project: &Project<'a>,
    site: &Site<'a>,
    expression: &'a Expr,
    value: TextRange,
) -> Passed<'a> {
    match expression {
        Expr::Await(_) | Expr::BoolOp(_) => Passed::On,
        Expr::If(either) if either.test.range() != value => Passed::On,
        Expr::Named(named) => match &*named.target {
            Expr::Name(name) => Passed::Named(name.id.as_str()),
            _ => Passed::Held(Held::Other),
        },
        Expr::Attribute(_) => Passed::Held(Held::Chained),
        Expr::Lambda(_) => Passed::Held(Held::Factory),
        Expr::Yield(_) => Passed::Held(Held::Yielded),
        Expr::Call(call) => as_argument(project, site, call),
        _ => Passed::Held(Held::Other),
    }
}

fn as_argument<'a>(project: &Project<'a>, site: &Site<'a>, call: &'a ExprCall) -> Passed<'a> {
    if let Expr::Attribute(method) = &*call.func
        && matches!(
            method.attr.as_str(),
            "enter_context" | "enter_async_context"
        )
    {
        return Passed::On;
    }
    let named = project.named(site.file, site.scope, &call.func);
    match named.certain() {
        Some("contextlib.closing" | "contextlib.aclosing") => Passed::Closing,
        Some("typing.cast") => Passed::On,
        _ => Passed::Held(Held::Argument),
    }
}

fn entered<'a>(
    names: &Names<'a>,
    site: &Site<'a>,
    item: &'a ast::WithItem,
    named: Option<&'a str>,
    is_closing: bool,
) -> (Held, Holder<'a>) {
    let holder = match (item.optional_vars.as_deref(), named) {
        (Some(Expr::Name(name)), None) => holder_of(names, site.scope, name.id.as_str()),
        (None, Some(name)) => holder_of(names, site.scope, name),
        // Of two names, each may be the one that is used.
        _ => Holder::Nothing,
    };
    if let Holder::Name(scope, name) = holder {
        // What is given on from within the block counts more than how it was entered.
        if let Some(held @ (Held::Yielded | Held::Attribute)) =
            Uses::of(names, scope, name).given_on()
        {
            return (held, holder);
        }
    }
    (
        if is_closing {
            Held::Closing
        } else {
            Held::With
        },
        holder,
    )
}

fn in_statement<'a>(
    names: &Names<'a>,
    site: &Site<'a>,
    statement: &'a Stmt,
    value: TextRange,
    is_closing: bool,
) -> (Held, Holder<'a>) {
    match statement {
        Stmt::Return(_) => (Held::Factory, Holder::Nothing),
        Stmt::Expr(_) => (
            if is_closing {
                Held::Closing
            } else {
                Held::Unclosed
            },
            Holder::Nothing,
        ),
        Stmt::Assign(assign) => match assign.targets.as_slice() {
            [target] if assign.value.range() == value => in_target(names, site, target, is_closing),
            targets => match targets
                .iter()
                .find_map(|target| in_instance(names, site, target))
            {
                Some(holder) => (Held::Attribute, holder),
                None => (Held::Other, Holder::Nothing),
            },
        },
        Stmt::AnnAssign(assign) => in_target(names, site, &assign.target, is_closing),
        _ => (Held::Other, Holder::Nothing),
    }
}

fn in_target<'a>(
    names: &Names<'a>,
    site: &Site<'a>,
    target: &'a Expr,
    is_closing: bool,
) -> (Held, Holder<'a>) {
    match target {
        Expr::Name(name) => in_name(names, site, name.id.as_str(), is_closing),
        Expr::Attribute(_) => (
            Held::Attribute,
            in_instance(names, site, target).unwrap_or(Holder::Nothing),
        ),
        _ => (Held::Other, Holder::Nothing),
    }
}

fn in_instance<'a>(names: &Names<'a>, site: &Site<'a>, target: &'a Expr) -> Option<Holder<'a>> {
    let Expr::Attribute(attribute) = target else {
        return None;
    };
    let Expr::Name(instance) = &*attribute.value else {
        return None;
    };
    let class = names.class_of_instance(instance.id.as_str(), site.scope)?;
    Some(Holder::Attribute(class, attribute.attr.as_str()))
}

fn holder_of<'a>(names: &Names<'a>, scope: ScopeId, name: &'a str) -> Holder<'a> {
    names
        .lookup(name, scope)
        .map_or(Holder::Nothing, |(home, _)| Holder::Name(home, name))
}

fn in_name<'a>(
    names: &Names<'a>,
    site: &Site<'a>,
    name: &'a str,
    is_closing: bool,
) -> (Held, Holder<'a>) {
    let holder = holder_of(names, site.scope, name);
    let Holder::Name(home, _) = holder else {
        return (Held::Other, holder);
    };
    if let ScopeKind::Class(_) = names.scope(home).kind {
        return (Held::Attribute, Holder::Attribute(home, name));
    }
    let uses = Uses::of(names, home, name);
    let closed = uses.closed();
    if matches!(names.scope(home).kind, ScopeKind::Module)
        && (site.scope != home || closed.is_none())
    {
        return (Held::Module, holder);
    }
    let held = uses.given_on().or(closed).unwrap_or(match is_closing {
        true => Held::Closing,
        false => Held::Unclosed,
    });
    (held, holder)
}

/// What is done with a name that holds a connection.
#[derive(Debug, Default)]
struct Uses<'a> {
    name: &'a str,
    returned: bool,
    yielded: bool,
    stored: bool,
    closing: bool,
    closed: bool,
    closed_whatever: bool,
    entered: bool,
    in_finally: usize,
    /// The names of its cursors.
    cursors: HashSet<&'a str>,
}

impl<'a> Uses<'a> {
    fn of(names: &Names<'a>, scope: ScopeId, name: &'a str) -> Self {
        let mut uses = Self {
            name,
            ..Self::default()
        };
        match names.scope(scope).kind {
            ScopeKind::Function(function) => uses.visit_body(&function.body),
            ScopeKind::Module => names
                .body()
                .iter()
                .for_each(|statement| uses.visit_stmt(statement)),
            _ => {}
        }
        uses
    }

    fn given_on(&self) -> Option<Held> {
        let ways = [
            (self.yielded, Held::Yielded),
            (self.returned, Held::Factory),
            (self.stored, Held::Attribute),
        ];
        ways.into_iter().find_map(|(is, held)| is.then_some(held))
    }

    fn closed(&self) -> Option<Held> {
        let ways = [
            (self.closing, Held::Closing),
            (self.closed_whatever, Held::Finally),
            (self.closed, Held::Closed),
            (self.entered, Held::With),
        ];
        ways.into_iter().find_map(|(is, held)| is.then_some(held))
    }

    fn is_it(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Name(name) => name.id == self.name,
            // `cursor.connection`
            Expr::Attribute(attribute) if attribute.attr.as_str() == "connection" => {
                matches!(&*attribute.value, Expr::Name(name) if self.cursors.contains(name.id.as_str()))
            }
            _ => false,
        }
    }

    /// `name = connection.cursor()`
    fn bind(&mut self, targets: &'a [Expr], value: &Expr) {
        let Expr::Call(ExprCall { func, .. }) = value else {
            return;
        };
        let gives_cursor = matches!(&**func, Expr::Attribute(method)
            if self.is_it(&method.value) && matches!(method.attr.as_str(), "cursor" | "execute" | "executemany"));
        if let [Expr::Name(name)] = targets
            && gives_cursor
        {
            self.cursors.insert(name.id.as_str());
        }
    }

    /// Whether an expression's value is the connection, or holds it.
    fn holds_it(&self, expression: &Expr) -> bool {
        match expression {
            Expr::Tuple(tuple) => tuple.elts.iter().any(|element| self.holds_it(element)),
            Expr::List(list) => list.elts.iter().any(|element| self.holds_it(element)),
            Expr::If(either) => self.holds_it(&either.body) || self.holds_it(&either.orelse),
            _ => self.is_it(expression),
        }
    }

    fn look_at_call(&mut self, call: &'a ExprCall) {
        let function = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(method) if self.is_it(&method.value) => {
                if method.attr.as_str() == "close" {
                    self.closed = true;
                    self.closed_whatever |= self.in_finally > 0;
                }
                return;
            }
            Expr::Attribute(method) => method.attr.as_str(),
            _ => return,
        };
        let mut arguments = call.arguments.args.iter();
        match function {
            "closing" | "aclosing" => {
                self.closing |= arguments.any(|argument| self.is_it(argument))
            }
            // Called by another whatever happens: `atexit.register(connection.close)`, `self.addCleanup(…)`.
            "register"
            | "addCleanup"
            | "callback"
            | "addfinalizer"
            | "finalize"
            | "push_async_callback" => {
                let is_close = |argument: &Expr| matches!(argument, Expr::Attribute(method) if method.attr.as_str() == "close" && self.is_it(&method.value));
                self.closed_whatever |= arguments.any(is_close);
            }
            _ => {}
        }
    }
}

impl<'a> Visitor<'a> for Uses<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::Assign(assign) = statement {
            self.bind(&assign.targets, &assign.value);
        }
        match statement {
            Stmt::Return(ast::StmtReturn {
                value: Some(value), ..
            }) => self.returned |= self.holds_it(value),
            Stmt::Assign(assign) if self.holds_it(&assign.value) => {
                let is_kept =
                    |target: &Expr| matches!(target, Expr::Attribute(_) | Expr::Subscript(_));
                self.stored |= assign.targets.iter().any(is_kept);
            }
            Stmt::With(with) => {
                self.entered |= with.items.iter().any(|item| self.is_it(&item.context_expr))
            }
            Stmt::Try(ast::StmtTry {
                body,
                handlers,
                orelse,
                finalbody,
                ..
            }) => {
                self.visit_body(body);
                handlers
                    .iter()
                    .for_each(|handler| self.visit_except_handler(handler));
                self.visit_body(orelse);
                self.in_finally += 1;
                self.visit_body(finalbody);
                self.in_finally -= 1;
                return;
            }
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Yield(ast::ExprYield {
                value: Some(value), ..
            }) => self.yielded |= self.holds_it(value),
            Expr::Call(call) => self.look_at_call(call),
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}
