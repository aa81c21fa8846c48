//! What a function of the project does with a connection that it is given, where that can be told from its own text: it
//! reads, writes, commits, and keeps nothing of it.

use super::{Effect, Flow, Purpose, States, Trace, trace_from};
use crate::core::scan::connection::Connection;
use crate::core::scan::held::Holder;
use crate::core::scan::names::{ScopeId, ScopeKind};
use crate::core::scan::sql::Sql;
use crate::core::scan::syntax::{Expr, ExprCall, Stmt, Visitor, are_written_out, ast, visitor};
use crate::core::scan::usage::usage;
use crate::core::scan::uses::{Use, uses};

/// The states that a function leaves a connection in, by the one that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    clean: Left,
    dirty: Left,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    next: States,
    raised: States,
}

/// How many functions are followed one behind another.
const FOLLOWED: usize = 4;

impl Transfer {
    /// Without an exception.
    pub fn next(self, states: States) -> States {
        self.of(states, |left| left.next)
    }

    /// With one.
    pub fn raised(self, states: States) -> States {
        self.of(states, |left| left.raised)
    }

    fn of(self, states: States, which: fn(Left) -> States) -> States {
        let mut after = states.without(States::CLEAN | States::DIRTY | States::CAUGHT);
        if states.has(States::CLEAN) {
            after |= which(self.clean);
        }
        if states.has(States::DIRTY | States::CAUGHT) {
            after |= which(self.dirty);
        }
        after
    }
}

/// A function of the project that a call gives the connection to, and the connection as it knows it.
fn receiver<'a, 'p>(
    connection: &Connection<'a, 'p>,
    scope: ScopeId,
    call: &ExprCall,
) -> Option<(&'a ast::StmtFunctionDef, ScopeId, Connection<'a, 'p>)> {
    if connection.depth() == FOLLOWED {
        return None;
    }
    let project = connection.project();
    let named = project.named(connection.file(), scope, &call.func);
    let (file, home) = project.function(named.certain()?)?;
    let ScopeKind::Function(function) = project.file(file).names.scope(home).kind else {
        return None;
    };
    let parameter = parameter(connection, scope, call, function)?;
    let holder = Holder::Name(home, parameter);
    let mut inner = Connection::of_parameter(project, file, holder, connection.depth() + 1);
    usage(&project.file(file).names, &mut inner);
    Some((function, home, inner))
}

/// What a call does with the connection that is one of its arguments; None if that is not certain.
pub fn transfer(
    connection: &Connection<'_, '_>,
    scope: ScopeId,
    call: &ExprCall,
) -> Option<Transfer> {
    let (function, home, inner) = receiver(connection, scope, call)?;
    let is_plain =
        !function.is_async && function.decorator_list.is_empty() && !yields(&function.body);
    if !is_plain || !keeps_nothing(&inner, home) {
        return None;
    }
    let body: Vec<&Stmt> = function.body.iter().collect();
    let from = |states| {
        let (ends, trace) = trace_from(&inner, home, &body, None, states);
        let left = Left {
            next: ends.normal(),
            raised: ends.raised,
        };
        let is_open = !(left.next | left.raised).has(States::CLOSED);
        (is_open && only_rows(&trace)).then_some(left)
    };
    Some(Transfer {
        clean: from(States::CLEAN)?,
        dirty: from(States::DIRTY)?,
    })
}

/// Whether a function of the project closes the connection that it is given, whatever it returns.
pub fn closes(connection: &Connection<'_, '_>, scope: ScopeId, call: &ExprCall) -> bool {
    let Some((function, home, inner)) = receiver(connection, scope, call) else {
        return false;
    };
    let mut flow = Flow::new(&inner, home, Purpose::Leaks);
    let left = flow.suite(&function.body, States::CLEAN).normal();
    let is_run = !function.is_async && !yields(&function.body);
    is_run && left.has(States::CLOSED) && !left.has(States::OPEN)
}

/// The name of the parameter that gets the connection, if it is the only argument that is one.
fn parameter<'a>(
    connection: &Connection<'_, '_>,
    scope: ScopeId,
    call: &ExprCall,
    function: &'a ast::StmtFunctionDef,
) -> Option<&'a str> {
    let is_it = |argument: &Expr| connection.is_it_or_cursor(scope, argument);
    let arguments = &call.arguments;
    let mut positions = arguments
        .args
        .iter()
        .enumerate()
        .filter(|(_, argument)| is_it(argument));
    let mut keywords = arguments
        .keywords
        .iter()
        .filter(|keyword| is_it(&keyword.value));
    let parameters = &function.parameters;
    match (
        positions.next(),
        keywords.next(),
        positions.next(),
        keywords.next(),
    ) {
        _ if !are_written_out(arguments) => None,
        (Some((index, argument)), None, None, None) if connection.is(scope, argument) => {
            let mut all = parameters.posonlyargs.iter().chain(&parameters.args);
            all.nth(index)
                .map(|parameter| parameter.parameter.name.as_str())
        }
        (None, Some(keyword), None, None) if connection.is(scope, &keyword.value) => {
            let name = keyword.arg.as_ref()?.as_str();
            let mut all = parameters.args.iter().chain(&parameters.kwonlyargs);
            all.find(|parameter| parameter.parameter.name.as_str() == name)
                .map(|parameter| parameter.parameter.name.as_str())
        }
        _ => None,
    }
}

fn keeps_nothing(connection: &Connection<'_, '_>, home: ScopeId) -> bool {
    let uses = uses(connection.project(), connection, home);
    let is_fine = |what| {
        matches!(
            what,
            Use::Fine | Use::RolledBack | Use::Given | Use::Entered
        )
    };
    uses.iter().all(|place| is_fine(place.what))
}

/// Whether nothing is done that a session does otherwise.
fn only_rows(trace: &Trace) -> bool {
    let is_plain = |effect: &Effect| {
        matches!(
            effect,
            Effect::Runs(Sql::Reads | Sql::Writes | Sql::Sets | Sql::Redundant)
                | Effect::Commits
                | Effect::RollsBack
                | Effect::Passed(_)
        )
    };
    trace.effects.iter().all(|(_, effect, _)| is_plain(effect))
}

fn yields(body: &[Stmt]) -> bool {
    struct Yields(bool);
    impl<'a> Visitor<'a> for Yields {
        fn visit_stmt(&mut self, statement: &'a Stmt) {
            if !matches!(statement, Stmt::FunctionDef(_) | Stmt::ClassDef(_)) {
                visitor::walk_stmt(self, statement);
            }
        }
        fn visit_expr(&mut self, expression: &'a Expr) {
            self.0 |= matches!(
                expression,
                Expr::Yield(_) | Expr::YieldFrom(_) | Expr::Await(_)
            );
            visitor::walk_expr(self, expression);
        }
    }
    let mut yields = Yields(false);
    yields.visit_body(body);
    yields.0
}
