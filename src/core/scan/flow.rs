//! What can happen to a connection on the paths through the function that opens it: whether what it wrote is committed or
//! discarded, and whether it is closed.
//!
//! Each statement is followed with the set of states that the connection may be in before it, and gives those after it,
//! by how it is left: to the next one, by `return`, `break`, `continue` or an exception. An exception may come from every
//! expression.

use super::connection::Connection;
use super::names::ScopeId;
use super::syntax::{ExceptHandler, Expr, ExprCall, Ranged, Stmt, Visitor, ast, visitor};
use crate::core::text::{Keyword, leading_keyword};
use std::ops::{BitOr, BitOrAssign};

/// A set of states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct States(u8);

impl States {
    const NONE: Self = Self(0);
    /// Not opened yet.
    const BEFORE: Self = Self(1);
    /// Open, with nothing written that is not committed.
    const CLEAN: Self = Self(2);
    /// Open, with something written that is not committed.
    const DIRTY: Self = Self(4);
    /// The same, and an exception was caught since.
    const CAUGHT: Self = Self(8);
    const CLOSED: Self = Self(16);
    const OPEN: Self = Self(2 | 4 | 8);

    fn has(self, states: Self) -> bool {
        self.0 & states.0 != 0
    }

    /// Those that are in `from` become `to`.
    fn turn(self, from: Self, to: Self) -> Self {
        match self.has(from) {
            true => Self(self.0 & !from.0) | to,
            false => self,
        }
    }
}

impl BitOr for States {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for States {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// How a part of a program may be left, each with the states then.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    next: States,
    returned: States,
    broken: States,
    continued: States,
    raised: States,
}

impl Ends {
    fn next(next: States) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// These, with what was left behind them.
    fn with_exits_of(mut self, other: Self) -> Self {
        self.returned |= other.returned;
        self.broken |= other.broken;
        self.continued |= other.continued;
        self.raised |= other.raised;
        self
    }

    fn joined(self, other: Self) -> Self {
        Self {
            next: self.next | other.next,
            ..self.with_exits_of(other)
        }
    }

    fn map(self, change: impl Fn(States) -> States) -> Self {
        Self {
            next: change(self.next),
            returned: change(self.returned),
            broken: change(self.broken),
            continued: change(self.continued),
            raised: change(self.raised),
        }
    }
}

/// What an expression does to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Opens,
    Writes,
    /// Commits, or is left to others, who may.
    Commits,
    RollsBack,
    Closes,
}

/// What goes wrong on some path.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Hazards {
    /// A write is discarded, as nothing commits it before the connection goes.
    pub discards_write: bool,
    /// A `return` leaves the connection open.
    pub returns_open: bool,
}

/// How a connection is entered by `with`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It is not.
    No,
    /// As it is: the end commits.
    Itself,
    /// By `closing`: the end closes.
    Closing,
}

/// Follow a connection through the body of the function that opens it. `entered` tells how the statement of the call does.
pub fn hazards<'a>(
    connection: &Connection<'a, '_>,
    scope: ScopeId,
    entered: Entered,
    body: &'a [Stmt],
) -> Hazards {
    let mut flow = Flow {
        connection,
        scope,
        entered,
        hazards: Hazards::default(),
    };
    let ends = flow.suite(body, States::BEFORE);
    let left = ends.next | ends.returned;
    flow.hazards.discards_write |= left.has(States::DIRTY);
    flow.hazards.returns_open |= ends.returned.has(States::OPEN);
    flow.hazards
}

struct Flow<'a, 'p, 'c> {
    connection: &'c Connection<'a, 'p>,
    /// The scope of the function.
    scope: ScopeId,
    entered: Entered,
    hazards: Hazards,
}

impl<'a> Flow<'a, '_, '_> {
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

    fn statement(&mut self, statement: &'a Stmt, states: States) -> Ends {
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
                let mut ends = Ends::next(subject.next);
                for case in &choice.cases {
                    ends = ends.joined(self.suite(&case.body, subject.next));
                }
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
        let test = self.expression(&choice.test, states);
        let mut ends = self.suite(&choice.body, test.next).with_exits_of(test);
        let mut otherwise = test.next;
        let mut is_whole = false;
        for clause in &choice.elif_else_clauses {
            if let Some(test) = &clause.test {
                let test = self.expression(test, otherwise);
                otherwise = test.next;
                ends = ends.with_exits_of(test);
            } else {
                is_whole = true;
            }
            ends = ends.joined(self.suite(&clause.body, otherwise));
        }
        if !is_whole {
            ends.next |= otherwise;
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
            let test = self.optional(test, before);
            let round = self.suite(body, test.next);
            let again = before | round.next | round.continued;
            if again != before {
                before = again;
                continue;
            }
            let after = if is_endless { States::NONE } else { test.next };
            let mut ends = self.suite(orelse, after);
            ends.next |= round.broken;
            ends.returned |= round.returned;
            ends.raised |= round.raised | test.raised;
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
            ends = ends.joined(self.suite(&handler.body, caught));
        }
        if !attempt.handlers.iter().any(catches_all) {
            ends.raised |= body.raised;
        }
        self.finally(&attempt.finalbody, ends)
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
        let mut entered = Ends::next(states);
        let mut ending = Entered::No;
        for item in &with.items {
            entered = self
                .expression(&item.context_expr, entered.next)
                .with_exits_of(entered);
            ending = match self.enters(&item.context_expr) {
                Entered::No => ending,
                how => how,
            };
        }
        let body = self.suite(&with.body, entered.next);
        let body = match ending {
            Entered::No => body,
            Entered::Itself => Ends {
                raised: after(body.raised, Effect::RollsBack),
                ..body.map(|states| after(states, Effect::Commits))
            },
            Entered::Closing => {
                self.note_discarded(body.next | body.returned | body.broken | body.continued);
                body.map(|states| after(states, Effect::Closes))
            }
        };
        body.with_exits_of(entered)
    }

    fn enters(&self, expression: &Expr) -> Entered {
        let is_it = |expression: &Expr| self.connection.is(self.scope, expression);
        let opens = |expression: &Expr| expression.range() == self.connection.site().call.range();
        match expression {
            _ if is_it(expression) => Entered::Itself,
            Expr::Call(call) if call.arguments.args.iter().any(opens) => self.entered,
            Expr::Call(call) if call.arguments.args.iter().any(is_it) => {
                let last = match &*call.func {
                    Expr::Name(name) => name.id.as_str(),
                    Expr::Attribute(name) => name.attr.as_str(),
                    _ => return Entered::No,
                };
                if last == "closing" {
                    Entered::Closing
                } else {
                    Entered::No
                }
            }
            _ => Entered::No,
        }
    }

    fn simple(&mut self, statement: &'a Stmt, states: States) -> Ends {
        let mut effects = Effects {
            flow: self,
            found: Vec::new(),
        };
        visitor::walk_stmt(&mut effects, statement);
        let found = effects.found;
        self.apply(&found, states)
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
        };
        effects.visit_expr(expression);
        let found = effects.found;
        self.apply(&found, states)
    }

    fn apply(&mut self, effects: &[Effect], states: States) -> Ends {
        let mut ends = Ends {
            next: states,
            raised: states,
            ..Ends::default()
        };
        for effect in effects {
            if matches!(effect, Effect::Closes | Effect::Opens) {
                self.note_discarded(ends.next);
            }
            ends.next = after(ends.next, *effect);
            ends.raised |= ends.next;
        }
        ends
    }

    fn note_discarded(&mut self, states: States) {
        self.hazards.discards_write |= states.has(States::DIRTY);
    }

    fn effect_of(&self, call: &ExprCall) -> Option<Effect> {
        if call.range() == self.connection.site().call.range() {
            return Some(Effect::Opens);
        }
        let Some(method) = self.connection.method(self.scope, call) else {
            let is_given = self.connection.is_given_to(self.scope, call);
            return is_given.then_some(Effect::Commits);
        };
        match method {
            "commit" | "executescript" => Some(Effect::Commits),
            "rollback" => Some(Effect::RollsBack),
            "close" if self.is_of_connection(call) => Some(Effect::Closes),
            "execute" | "executemany" => self.effect_of_statement(call),
            _ => None,
        }
    }

    /// Whether a method is called on the connection, and not on a cursor.
    fn is_of_connection(&self, call: &ExprCall) -> bool {
        matches!(&*call.func, Expr::Attribute(method) if self.connection.is(self.scope, &method.value))
    }

    fn effect_of_statement(&self, call: &ExprCall) -> Option<Effect> {
        match leading_keyword(&self.connection.statement(self.scope, call)?) {
            Keyword::Dml => Some(Effect::Writes),
            Keyword::End => Some(Effect::Commits),
            _ => None,
        }
    }
}

fn after(states: States, effect: Effect) -> States {
    match effect {
        Effect::Opens => match states {
            States::NONE => States::NONE,
            _ => States::CLEAN,
        },
        Effect::Writes => states.turn(States::CLEAN, States::DIRTY),
        Effect::Commits | Effect::RollsBack => {
            states.turn(States::DIRTY | States::CAUGHT, States::CLEAN)
        }
        Effect::Closes => states.turn(States::OPEN, States::CLOSED),
    }
}

fn catches_all(handler: &ExceptHandler) -> bool {
    let ExceptHandler::ExceptHandler(handler) = handler;
    match handler.type_.as_deref() {
        None => true,
        Some(Expr::Name(name)) => name.id == "BaseException",
        Some(_) => false,
    }
}

/// Collects effects in the order in which they happen.
struct Effects<'a, 'p, 'c, 'f> {
    flow: &'f Flow<'a, 'p, 'c>,
    found: Vec<Effect>,
}

impl<'a> Visitor<'a> for Effects<'a, '_, '_, '_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if matches!(expression, Expr::Lambda(_)) {
            return;
        }
        visitor::walk_expr(self, expression);
        if let Expr::Call(call) = expression {
            self.found.extend(self.flow.effect_of(call));
        }
    }
}
