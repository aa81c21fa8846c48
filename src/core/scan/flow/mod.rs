//! What can happen to a connection on the paths through the function that opens it: whether what it wrote is committed or
//! discarded, and whether it is closed.
//!
//! Each statement is followed with the set of states that the connection may be in before it, and gives those after it,
//! by how it is left: to the next one, by `return`, `break`, `continue` or an exception. An exception may come from every
//! expression.

mod conditions;
mod effects;
mod leaks;
pub mod managers;
mod passing;
mod raising;
mod states;

use super::connection::Connection;
use super::libraries::Kind;
use super::names::ScopeId;
use super::sql::Sql;
use super::syntax::{
    ExceptHandler, Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast, visitor,
};
use effects::{Effects, Found};
use foldhash::HashMap;
pub use passing::Transfer;
pub use states::{Ends, States};
use std::collections::BTreeMap;

/// What an expression does to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The call that opens it.
    Opens,
    /// A statement.
    Runs(Sql),
    /// A script, by what its only statement is.
    RunsScript(Sql),
    /// It is given to a function that is not known.
    Given,
    /// It is given to a function that is.
    Passed(Transfer),
    Commits,
    RollsBack,
    Closes,
    /// A call of something else.
    Elsewhere,
}

/// What a connection is followed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Whether what it wrote is lost. What may go wrong is told only where it is seen, so what is not known does what is good.
    Writes,
    /// Whether it is left open, likewise.
    Leaks,
    /// A proof: what is not known does anything.
    Proof,
}

/// What goes wrong on some path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hazards {
    /// A write is discarded, as nothing commits it before the connection goes.
    pub discards_write: bool,
    /// A path that ends without an exception leaves the connection open.
    pub ends_open: bool,
    /// An exception leaves it open.
    pub raises_open: bool,
    /// Something closes it on some path.
    pub is_closed: bool,
}

/// How a connection is entered by `with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entered {
    /// It is not.
    No,
    /// As it is: the end commits.
    Itself,
    /// By `closing`: the end closes.
    Closing,
}

/// What becomes of the writes of a connection.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Writes {
    /// Whether one is lost on some path.
    pub is_discarded: bool,
    /// The calls of other things that are made while one is in progress.
    pub calls_during: Vec<TextRange>,
}

/// Follow a connection through the body that opens it, for what becomes of its writes.
pub fn writes<'a>(connection: &Connection<'a, '_>, scope: ScopeId, body: &'a [Stmt]) -> Writes {
    let mut flow = Flow::new(connection, scope, Purpose::Writes);
    let ends = flow.suite(body, States::BEFORE);
    Writes {
        is_discarded: flow.hazards.discards_write | (ends.next | ends.returned).has(States::DIRTY),
        calls_during: flow.calls_during,
    }
}

/// Follow it, for where it is left open.
pub fn leaks<'a>(connection: &Connection<'a, '_>, scope: ScopeId, body: &'a [Stmt]) -> Hazards {
    let mut flow = Flow::new(connection, scope, Purpose::Leaks);
    let ends = flow.suite(body, States::BEFORE);
    flow.hazards.ends_open |= (ends.next | ends.returned).has(States::OPEN);
    flow.hazards.raises_open |= ends.raised.has(States::OPEN);
    flow.hazards
}

/// What was seen on the paths through some statements, by where it stands.
#[derive(Debug, Default, Clone)]
pub struct Trace {
    /// How the connection is told to do something, with the states before.
    pub effects: Vec<(TextRange, Effect, States)>,
    /// The blocks that enter the connection itself, with the states before.
    pub blocks: BTreeMap<(u32, u32), States>,
    /// The handlers that catch an exception, with the states then.
    pub handlers: BTreeMap<(u32, u32), States>,
}

impl Trace {
    fn note(&mut self, range: TextRange, effect: Effect, states: States) {
        let known = self.effects.iter_mut();
        let mut known = known.filter(|(at, what, _)| *at == range && *what == effect);
        match known.next() {
            Some((.., before)) => *before |= states,
            None => self.effects.push((range, effect, states)),
        }
    }
}

/// Follow an open connection with nothing written through statements, with all that they may do. The `finally` of the
/// statement at `left_out` is not followed.
pub fn trace<'a>(
    connection: &Connection<'a, '_>,
    scope: ScopeId,
    body: &[&'a Stmt],
    left_out: Option<TextRange>,
) -> (Ends, Trace) {
    trace_from(connection, scope, body, left_out, States::CLEAN)
}

/// `trace`, with a rollback at the begin of some handlers.
pub fn ends_with_rollbacks<'a>(
    connection: &Connection<'a, '_>,
    scope: ScopeId,
    body: &[&'a Stmt],
    left_out: Option<TextRange>,
    rolled_back: Vec<(u32, u32)>,
) -> Ends {
    let flow = Flow {
        left_out,
        rolled_back,
        ..Flow::new(connection, scope, Purpose::Proof)
    };
    flow.through(body, States::CLEAN).0
}

/// `trace`, of a connection in other states.
fn trace_from<'a>(
    connection: &Connection<'a, '_>,
    scope: ScopeId,
    body: &[&'a Stmt],
    left_out: Option<TextRange>,
    states: States,
) -> (Ends, Trace) {
    let flow = Flow {
        left_out,
        ..Flow::new(connection, scope, Purpose::Proof)
    };
    flow.through(body, states)
}

/// A range as a key that has an order.
pub fn key(range: TextRange) -> (u32, u32) {
    (range.start().into(), range.end().into())
}

struct Flow<'a, 'p, 'c> {
    connection: &'c Connection<'a, 'p>,
    /// The scope of the function.
    scope: ScopeId,
    purpose: Purpose,
    left_out: Option<TextRange>,
    /// Handlers that begin with a rollback that is not there yet.
    rolled_back: Vec<(u32, u32)>,
    hazards: Hazards,
    calls_during: Vec<TextRange>,
    trace: Trace,
    /// How statements end, by the states that they came with.
    known: HashMap<((u32, u32), States), Ends>,
}

impl<'a, 'p, 'c> Flow<'a, 'p, 'c> {
    fn new(connection: &'c Connection<'a, 'p>, scope: ScopeId, purpose: Purpose) -> Self {
        Self {
            connection,
            scope,
            purpose,
            left_out: None,
            rolled_back: Vec::new(),
            hazards: Hazards::default(),
            calls_during: Vec::new(),
            trace: Trace::default(),
            known: HashMap::default(),
        }
    }

    fn through(mut self, body: &[&'a Stmt], states: States) -> (Ends, Trace) {
        let mut ends = Ends::next(states);
        for statement in body {
            if ends.next != States::NONE {
                ends = self.statement(statement, ends.next).with_exits_of(ends);
            }
        }
        (ends, self.trace)
    }

    fn suite(&mut self, body: &'a [Stmt], states: States) -> Ends {
        let mut ends = Ends::next(states);
        for statement in body {
            if ends.next == States::NONE {
                break;
            }
            ends = self.statement(statement, ends.next).with_exits_of(ends);
        }
        ends
    }

    /// Follow a statement. What is noted on the way is the same each time that it comes with the same states, so once is
    /// enough: in loops and `finally`s within each other it would be followed again and again.
    fn statement(&mut self, statement: &'a Stmt, states: States) -> Ends {
        let key = (key(statement.range()), states);
        if let Some(ends) = self.known.get(&key) {
            return *ends;
        }
        let ends = self.statement_anew(statement, states);
        self.known.insert(key, ends);
        ends
    }

    fn statement_anew(&mut self, statement: &'a Stmt, states: States) -> Ends {
        match statement {
            Stmt::Return(ast::StmtReturn { value, .. }) => {
                let ends = self.optional(value.as_deref(), states);
                Ends {
                    next: States::NONE,
                    returned: ends.next,
                    ..ends
                }
            }
            Stmt::Raise(raise) => {
                let ends = self.optional(raise.exc.as_deref(), states);
                Ends {
                    raised: ends.raised | ends.next,
                    ..Ends::default()
                }
            }
            Stmt::Break(_) => Ends {
                broken: states,
                ..Ends::default()
            },
            Stmt::Continue(_) => Ends {
                continued: states,
                ..Ends::default()
            },
            Stmt::If(choice) => self.choice(choice, states),
            Stmt::While(repeated) => {
                let is_endless =
                    matches!(&*repeated.test, Expr::BooleanLiteral(literal) if literal.value);
                self.repeated(
                    Some(&repeated.test),
                    &repeated.body,
                    &repeated.orelse,
                    is_endless,
                    states,
                )
            }
            Stmt::For(each) => {
                let over = self.expression(&each.iter, states);
                self.repeated(None, &each.body, &each.orelse, false, over.next)
                    .with_exits_of(over)
            }
            Stmt::Try(attempt) => self.attempt(attempt, states),
            Stmt::With(with) => self.with(with, states),
            Stmt::Match(choice) => {
                let subject = self.expression(&choice.subject, states);
                let mut before = subject.next;
                let mut ends = Ends::default();
                for case in &choice.cases {
                    let guard = self.optional(case.guard.as_deref(), before);
                    let body = self.suite(&case.body, guard.next);
                    ends = ends.joined(body).with_exits_of(guard);
                    before = match takes_all(case) {
                        true => States::NONE,
                        false => before | guard.next,
                    };
                }
                ends.next |= before;
                ends.with_exits_of(subject)
            }
            Stmt::FunctionDef(_)
            | Stmt::ClassDef(_)
            | Stmt::Pass(_)
            | Stmt::Global(_)
            | Stmt::Nonlocal(_) => Ends::next(states),
            _ => self.simple(statement, states),
        }
    }

    fn choice(&mut self, choice: &'a ast::StmtIf, states: States) -> Ends {
        let test = self.test(&choice.test, states);
        let (then, mut otherwise) = self.by_test(&choice.test, test.next);
        let mut ends = self.suite(&choice.body, then).with_exits_of(test);
        let mut is_whole = false;
        for clause in &choice.elif_else_clauses {
            let mut then = otherwise;
            if let Some(test) = &clause.test {
                let tested = self.test(test, otherwise);
                (then, otherwise) = self.by_test(test, tested.next);
                ends = ends.with_exits_of(tested);
            } else {
                is_whole = true;
            }
            ends = ends.joined(self.suite(&clause.body, then));
        }
        if !is_whole {
            ends.next |= match self.is_opened_on_condition() && choice.elif_else_clauses.is_empty()
            {
                true => self.as_if_closed(choice, otherwise),
                false => otherwise,
            };
        }
        ends
    }

    fn repeated(
        &mut self,
        test: Option<&'a Expr>,
        body: &'a [Stmt],
        orelse: &'a [Stmt],
        is_endless: bool,
        states: States,
    ) -> Ends {
        let mut before = states;
        loop {
            let (tested, then, otherwise) = match test {
                Some(test) => {
                    let tested = self.test(test, before);
                    let (then, otherwise) = self.by_test(test, tested.next);
                    (tested, then, otherwise)
                }
                None => (Ends::next(before), before, before),
            };
            let round = self.suite(body, then);
            let again = before | round.next | round.continued;
            if again != before {
                before = again;
                continue;
            }
            let after = if is_endless { States::NONE } else { otherwise };
            let mut ends = self.suite(orelse, after);
            ends.next |= round.broken;
            ends.returned |= round.returned;
            ends.raised |= round.raised | tested.raised;
            return ends;
        }
    }

    fn attempt(&mut self, attempt: &'a ast::StmtTry, states: States) -> Ends {
        let body = self.suite(&attempt.body, states);
        let mut ends = self.suite(&attempt.orelse, body.next).with_exits_of(Ends {
            raised: States::NONE,
            ..body
        });
        let caught = body.raised.turn(States::DIRTY, States::CAUGHT);
        for ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
            *self.trace.handlers.entry(key(handler.range)).or_default() |= caught;
            let before = match self.rolled_back.contains(&key(handler.range)) {
                true => caught.turn(States::CAUGHT, States::CLEAN),
                false => caught,
            };
            ends = ends.joined(self.suite(&handler.body, before));
        }
        let catches_all = |handler: &ExceptHandler| {
            catches(handler, "BaseException")
                || (self.purpose == Purpose::Leaks && catches(handler, "Exception"))
        };
        if !attempt.handlers.iter().any(catches_all) {
            ends.raised |= body.raised;
        }
        match self.left_out == Some(attempt.range) {
            true => ends,
            false => self.finally(&attempt.finalbody, ends),
        }
    }

    fn finally(&mut self, body: &'a [Stmt], ends: Ends) -> Ends {
        if body.is_empty() {
            return ends;
        }
        let mut all = Ends::default();
        let mut run = |flow: &mut Self, states: States, put: fn(&mut Ends, States)| {
            if states != States::NONE {
                let after = flow.suite(body, states);
                put(&mut all, after.next);
                all = all.with_exits_of(after);
            }
        };
        run(self, ends.next, |all, states| all.next |= states);
        run(self, ends.returned, |all, states| all.returned |= states);
        run(self, ends.broken, |all, states| all.broken |= states);
        run(self, ends.continued, |all, states| all.continued |= states);
        // What an exception discards is discarded on purpose.
        let raised = ends.raised.turn(States::DIRTY, States::CAUGHT);
        run(self, raised, |all, states| all.raised |= states);
        all
    }

    fn with(&mut self, with: &'a ast::StmtWith, states: States) -> Ends {
        let swallows = self.purpose == Purpose::Proof
            && managers::may_swallow(self.connection, self.scope, with);
        let mut ends = self.items(with, &with.items, swallows, states);
        if swallows {
            ends.next |= ends.raised;
        }
        ends
    }

    /// Some items of a `with`, and its body: what one does at its end is done for those behind it, too.
    fn items(
        &mut self,
        with: &'a ast::StmtWith,
        items: &'a [ast::WithItem],
        swallows: bool,
        states: States,
    ) -> Ends {
        let Some((item, others)) = items.split_first() else {
            let mut body = self.suite(&with.body, states);
            if swallows {
                body.next |= body.raised.turn(States::DIRTY, States::CAUGHT);
            }
            return body;
        };
        let mut entered = self.expression(&item.context_expr, states);
        let ending = self.enters(&item.context_expr);
        if ending == Entered::Itself {
            let blocks = &mut self.trace.blocks;
            *blocks.entry(key(with.range)).or_default() |= entered.next;
        }
        if let Some(target) = &item.optional_vars {
            entered.next = self.behind_target(target, &item.context_expr, entered.next);
        }
        let body = self.items(with, others, swallows, entered.next);
        self.left(ending, body).with_exits_of(entered)
    }

    fn left(&mut self, ending: Entered, body: Ends) -> Ends {
        match ending {
            Entered::No => body,
            Entered::Itself => Ends {
                raised: self.after(body.raised, Effect::RollsBack),
                ..body.map(|states| self.after(states, Effect::Commits))
            },
            Entered::Closing => {
                self.note_discarded(body.next | body.returned | body.broken | body.continued);
                self.hazards.is_closed = true;
                body.map(|states| self.after(states, Effect::Closes))
            }
        }
    }

    fn enters(&self, expression: &Expr) -> Entered {
        let is_it = |expression: &Expr| self.connection.is(self.scope, expression);
        let is_given = |given: &Expr| is_it(named_value(given));
        match expression {
            _ if is_it(named_value(expression)) => self.entered_itself(),
            Expr::Call(call) if arguments(call).any(is_given) && self.is_closing(call) => {
                Entered::Closing
            }
            _ => Entered::No,
        }
    }

    /// That of aiosqlite closes, and does not commit.
    fn entered_itself(&self) -> Entered {
        match self.connection.site().map(|site| site.kind) {
            Some(Kind::Aiosqlite) => Entered::Closing,
            _ => Entered::Itself,
        }
    }

    fn is_closing(&self, call: &ExprCall) -> bool {
        let last = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(name) => name.attr.as_str(),
            _ => return false,
        };
        matches!(last, "closing" | "aclosing")
            || self
                .connection
                .project()
                .named(self.connection.file(), self.scope, &call.func)
                .certain()
                .is_some_and(|name| name == "contextlib.closing")
    }

    fn simple(&mut self, statement: &'a Stmt, states: States) -> Ends {
        let mut effects = Effects {
            flow: self,
            found: Vec::new(),
            // With `-O` it is left out.
            optional: usize::from(statement.is_assert_stmt()),
        };
        visitor::walk_stmt(&mut effects, statement);
        let found = effects.found;
        let mut ends = self.apply(&found, states);
        if self.purpose == Purpose::Leaks && !self.may_raise(statement) {
            ends.raised = States::NONE;
        }
        ends.next = self.behind_binding(statement, ends.next);
        if self.purpose == Purpose::Proof {
            return ends;
        }
        let next = ends.next;
        match self.exit(statement) {
            None => return ends,
            // What was written is lost as by a `return`.
            Some(true) if self.purpose == Purpose::Writes => ends.returned |= next,
            Some(_) => ends.raised |= next,
        }
        ends.next = States::NONE;
        ends
    }

    /// A test, or the like: what it does, and what it may raise.
    fn test(&mut self, expression: &'a Expr, states: States) -> Ends {
        let mut ends = self.expression(expression, states);
        if self.purpose == Purpose::Leaks && self.expression_may_raise(expression, true) {
            ends.raised |= states;
        }
        ends
    }

    fn optional(&mut self, expression: Option<&'a Expr>, states: States) -> Ends {
        match expression {
            Some(expression) => self.expression(expression, states),
            None => Ends::next(states),
        }
    }

    fn expression(&mut self, expression: &'a Expr, states: States) -> Ends {
        let mut effects = Effects {
            flow: self,
            found: Vec::new(),
            optional: 0,
        };
        effects.visit_expr(expression);
        let found = effects.found;
        let mut ends = self.apply(&found, states);
        if self.purpose == Purpose::Leaks && !self.expression_may_raise(expression, false) {
            ends.raised = States::NONE;
        }
        ends
    }

    fn apply(&mut self, effects: &[Found], states: States) -> Ends {
        let mut ends = Ends {
            next: states,
            raised: states,
            ..Ends::default()
        };
        for Found {
            range,
            effect,
            is_optional,
        } in effects
        {
            if *effect == Effect::Elsewhere {
                if ends.next.has(States::DIRTY) {
                    self.calls_during.push(*range);
                }
                continue;
            }
            match effect {
                Effect::Closes => {
                    self.note_discarded(ends.next);
                    self.hazards.is_closed |= ends.next.has(States::OPEN);
                }
                // Another one takes its name.
                Effect::Opens if !is_optional => self.lose(ends.next),
                _ => {}
            }
            self.trace.note(*range, *effect, ends.next);
            if let Effect::Passed(transfer) = effect {
                ends.raised |= transfer.raised(ends.next);
            }
            let after = self.after(ends.next, *effect);
            ends.next = match is_optional {
                true => ends.next | after,
                false => after,
            };
            // A call that raises opens nothing.
            if *effect != Effect::Opens {
                ends.raised |= ends.next;
            }
        }
        ends
    }

    fn note_discarded(&mut self, states: States) {
        self.hazards.discards_write |= states.has(States::DIRTY);
    }

    fn after(&self, states: States, effect: Effect) -> States {
        let unknown = |states: States| match self.purpose {
            Purpose::Writes | Purpose::Leaks => states,
            Purpose::Proof => states.turn(States::OPEN, States::MAYBE),
        };
        match effect {
            Effect::Opens => match states {
                States::NONE => States::NONE,
                _ => States::CLEAN,
            },
            Effect::Runs(Sql::Writes) => states.turn(States::CLEAN | States::MAYBE, States::DIRTY),
            Effect::Runs(Sql::Controls) if self.purpose != Purpose::Proof => {
                states.turn(States::OPEN, States::CLEAN)
            }
            Effect::Runs(Sql::Unknown | Sql::Controls | Sql::Refused(_)) => unknown(states),
            Effect::Runs(_) | Effect::Elsewhere => states,
            Effect::Given if self.purpose == Purpose::Proof => unknown(states),
            Effect::Commits | Effect::RollsBack | Effect::RunsScript(_) | Effect::Given => {
                states.turn(States::OPEN, States::CLEAN)
            }
            Effect::Passed(transfer) => transfer.next(states),
            Effect::Closes => states.turn(States::OPEN, States::CLOSED),
        }
    }

    fn effect_of(&self, call: &ExprCall) -> Option<Effect> {
        if self.connection.is_opened_by(call.range()) {
            return Some(Effect::Opens);
        }
        let Some(method) = self.connection.method(self.scope, call) else {
            if self.purpose == Purpose::Writes && !self.connection.is_given_to(self.scope, call) {
                return Some(Effect::Elsewhere);
            }
            if self.purpose == Purpose::Leaks && self.is_closed_later(call) {
                return Some(Effect::Closes);
            }
            if !self.connection.is_given_to(self.scope, call) {
                return None;
            }
            if self.purpose == Purpose::Leaks && passing::closes(self.connection, self.scope, call)
            {
                return Some(Effect::Closes);
            }
            let transfer = passing::transfer(self.connection, self.scope, call);
            return Some(transfer.map_or(Effect::Given, Effect::Passed));
        };
        match method {
            "commit" => Some(Effect::Commits),
            "rollback" => Some(Effect::RollsBack),
            "close" if self.is_of_connection(call) => Some(Effect::Closes),
            "execute" | "executemany" => Some(Effect::Runs(self.connection.runs(self.scope, call))),
            "executescript" => {
                let script = self.connection.runs_script(self.scope, call);
                Some(Effect::RunsScript(script))
            }
            _ => None,
        }
    }

    /// `stack.enter_context(closing(connection))`, `atexit.register(connection.close)`
    pub(super) fn is_closed_later(&self, call: &ExprCall) -> bool {
        let Expr::Attribute(method) = &*call.func else {
            return false;
        };
        let is_close = |given: &Expr| matches!(given, Expr::Attribute(method) if method.attr.as_str() == "close" && self.connection.is(self.scope, &method.value));
        match method.attr.as_str() {
            "enter_context" | "enter_async_context" => {
                let entered = |given| match self.enters(given) {
                    Entered::Itself | Entered::No => false,
                    Entered::Closing => true,
                };
                arguments(call).any(entered)
            }
            _ => arguments(call).any(is_close),
        }
    }

    /// Whether a method is called on the connection, and not on a cursor.
    fn is_of_connection(&self, call: &ExprCall) -> bool {
        matches!(&*call.func, Expr::Attribute(method) if self.connection.is(self.scope, &method.value))
    }
}

fn arguments(call: &ExprCall) -> impl Iterator<Item = &Expr> {
    let keywords = call.arguments.keywords.iter();
    let keywords = keywords.map(|keyword| &keyword.value);
    call.arguments.args.iter().chain(keywords)
}

/// The value of `(name := value)`; of another expression, itself.
fn named_value(expression: &Expr) -> &Expr {
    match expression {
        Expr::Named(named) => &named.value,
        other => other,
    }
}

/// `case _:` and `case name:`
fn takes_all(case: &ast::MatchCase) -> bool {
    let is_any = matches!(&case.pattern, ast::Pattern::MatchAs(all) if all.pattern.is_none());
    is_any && case.guard.is_none()
}

/// `except:`, and `except name:`
fn catches(handler: &ExceptHandler, name: &str) -> bool {
    let ExceptHandler::ExceptHandler(handler) = handler;
    match handler.type_.as_deref() {
        None => true,
        Some(Expr::Name(caught)) => caught.id == name,
        Some(_) => false,
    }
}
