//! The proof that a session keeps and discards what the connection did, or why there is none.

use super::control::{AWAITS, Handlers, Suspended};
use super::line_of;
use super::places::Places;
use super::region::{Form, Region};
use crate::core::scan::case::Case;
use crate::core::scan::flow::{self, Effect, Ends, States, Trace, key};
use crate::core::scan::names::ScopeKind;
use crate::core::scan::sql::Sql;
use crate::core::scan::suites;
use crate::core::scan::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor};
use crate::core::scan::uses::Use;

/// What was found out.
#[derive(Debug, Default)]
pub struct Proof {
    /// What must be so, and is not seen here; none for a safe rewriting.
    pub conditions: Vec<String>,
    /// Statements behind which a `commit()` is needed, since the stdlib has committed by itself.
    pub committed: Vec<TextRange>,
    /// Handlers that need a `rollback()` at their begin, since closing discarded what was written.
    pub rolled_back: Vec<TextRange>,
    /// Statements that do what the session does anyway.
    pub redundant: Vec<TextRange>,
    /// Where something runs on the connection.
    pub runs: Vec<TextRange>,
    /// Whether it sets something that can't be set in a transaction, perhaps.
    pub sets: bool,
    /// Whether its function yields it.
    pub is_yielded: bool,
    /// Whether a write is discarded that a session would commit.
    pub is_suspected: bool,
}

type Refusal = String;

pub const SUSPECTED: &str = "a write is not committed on some path, so the stdlib discards it, and a session would commit it: \
                         a bug, perhaps";

/// Look at all paths.
pub fn prove<'a>(
    case: &Case<'a, '_>,
    region: &Region<'a>,
    places: &Places,
) -> Result<Proof, Refusal> {
    let yielded = yielded(region, places)?;
    check_function(case, region, yielded)?;
    check_places(region, places)?;
    let connection = &case.connection;
    let (ends, trace) = flow::trace(connection, region.home, &region.kept, region.left_out);
    let mut proof = Proof {
        runs: runs(&trace),
        sets: trace
            .effects
            .iter()
            .any(|(_, effect, _)| matches!(effect, Effect::Runs(Sql::Sets))),
        is_yielded: yielded.is_some(),
        ..Proof::default()
    };
    let mut prover = Prover {
        case,
        region,
        places,
        proof: &mut proof,
    };
    match prover.look_at_all(ends, &trace) {
        // What is found first is told.
        Err(_) if proof.is_suspected => Err(SUSPECTED.to_owned()),
        Err(reason) => Err(reason),
        Ok(()) => Ok(proof),
    }
}

fn runs(trace: &Trace) -> Vec<TextRange> {
    let runs = |effect: &Effect| match effect {
        Effect::Runs(sql) => *sql != Sql::Redundant,
        Effect::RunsScript(_) | Effect::Given => true,
        _ => false,
    };
    let effects = trace.effects.iter();
    effects
        .filter(|(_, effect, _)| runs(effect))
        .map(|(range, ..)| *range)
        .collect()
}

/// The place where it is yielded, if it is.
fn yielded(region: &Region<'_>, places: &Places) -> Result<Option<TextRange>, Refusal> {
    let mut yielded = places
        .within(region.extent)
        .filter(|place| place.what == Use::Yielded);
    match (yielded.next(), yielded.next()) {
        (_, Some(_)) => Err("its function yields it several times".to_owned()),
        (first, None) => Ok(first.map(|place| place.range)),
    }
}

/// What a function must not do while it holds a session.
fn check_function(
    case: &Case<'_, '_>,
    region: &Region<'_>,
    yielded: Option<TextRange>,
) -> Result<(), Refusal> {
    let mut finder = Suspended {
        yielded,
        reason: None,
    };
    for statement in &region.kept {
        finder.visit_stmt(statement);
    }
    let is_async = matches!(case.file().names.scope(region.home).kind, ScopeKind::Function(function) if function.is_async);
    if is_async && yielded.is_some() {
        return Err(AWAITS.to_owned());
    }
    match (finder.reason, case.file().names.scope(region.home).kind) {
        (Some(reason), _) => Err(reason.to_owned()),
        (None, ScopeKind::Function(_) | ScopeKind::Module) => Ok(()),
        (None, _) => Err("no name of its function holds it".to_owned()),
    }
}

fn check_places(region: &Region<'_>, places: &Places) -> Result<(), Refusal> {
    let is_deleted = |range: TextRange| {
        let mut deleted = region.deleted.iter();
        deleted.any(|lines| lines.contains_range(range))
    };
    for place in places.all() {
        let is_within = region.extent.contains_range(place.range);
        match place.what {
            Use::WithinFunction => {
                return Err("a function within its function uses it".to_owned());
            }
            _ if !is_within => {}
            Use::Refused(reason) if !is_deleted(place.range) => return Err(reason.to_owned()),
            Use::Tested if !is_deleted(place.range) => {
                return Err("it is asked whether it is there".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

struct Prover<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    region: &'c Region<'a>,
    places: &'c Places,
    proof: &'c mut Proof,
}

impl Prover<'_, '_, '_> {
    fn require(&mut self, condition: String) {
        if !self.proof.conditions.contains(&condition) {
            self.proof.conditions.push(condition);
        }
    }

    fn look_at_all(&mut self, ends: Ends, trace: &Trace) -> Result<(), Refusal> {
        for (range, effect, states) in &trace.effects {
            self.look_at(*range, *effect, *states, trace)?;
        }
        self.look_at_ends(ends, trace)?;
        self.look_at_foreign_keys(trace);
        self.find_redundant(trace);
        Ok(())
    }

    fn look_at(
        &mut self,
        range: TextRange,
        effect: Effect,
        states: States,
        trace: &Trace,
    ) -> Result<(), Refusal> {
        if states.has(States::CLOSED) && !matches!(effect, Effect::Closes) {
            return Err("it is used after it was closed".to_owned());
        }
        let line = line_of(self.case, &range);
        match effect {
            Effect::Opens => Err("it is opened again within".to_owned()),
            Effect::Runs(Sql::Refused(reason)) | Effect::RunsScript(Sql::Refused(reason)) => {
                Err(reason.to_owned())
            }
            Effect::Runs(Sql::Controls) | Effect::RunsScript(Sql::Controls) => {
                Err("it controls transactions by SQL".to_owned())
            }
            Effect::Runs(Sql::Unknown) => {
                self.require(format!(
                    "if the statement in line {line} changes no schema, and is committed if it writes: its text is not known \
                     here"
                ));
                Ok(())
            }
            Effect::RunsScript(Sql::Unknown) => {
                self.require(format!(
                    "if the script in line {line} never fails half way: the stdlib would keep what it did before"
                ));
                self.autocommitted(range, states)
            }
            // What the function itself leaves uncommitted behind it is looked at with its ends.
            Effect::Given if self.proof.is_yielded => {
                self.require("if those who use it change no schema".to_owned());
                Ok(())
            }
            Effect::Given => {
                self.require(format!(
                    "if what the connection is given to in line {line} leaves nothing uncommitted, changes no schema and keeps \
                     nothing of it"
                ));
                Ok(())
            }
            Effect::RunsScript(Sql::Reads | Sql::Sets | Sql::Redundant)
                if !states.is_within(States::CLEAN) =>
            {
                Err("a script commits what was written before it".to_owned())
            }
            Effect::Runs(Sql::Schema) if states.is_within(States::DIRTY) => Ok(()),
            Effect::Runs(Sql::Schema) | Effect::RunsScript(Sql::Schema | Sql::Writes) => {
                self.autocommitted(range, states)
            }
            Effect::Closes if states.has(States::DIRTY) => {
                self.proof.is_suspected = true;
                Ok(())
            }
            Effect::Closes if self.is_in_committing_block(range, trace) => {
                Err("it is closed within the block that commits".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn is_in_committing_block(&self, range: TextRange, trace: &Trace) -> bool {
        let (start, end) = flow::key(range);
        let mut inner = trace.blocks.keys();
        if inner.any(|(first, last)| *first < start && end <= *last) {
            return true;
        }
        let block = &self.region.kept[self.region.before_block..];
        let mut block = block.iter();
        self.region.form == Form::With
            && block.any(|statement| statement.range().contains_range(range))
    }

    /// A statement that the stdlib commits by itself, unless something else is open.
    fn autocommitted(&mut self, range: TextRange, states: States) -> Result<(), Refusal> {
        if states.has(States::MAYBE) {
            let line = line_of(self.case, &range);
            self.require(format!(
                "if nothing is uncommitted before line {line}, which changes the schema"
            ));
        } else if !states.is_within(States::CLEAN) {
            return Err(
                "it changes the schema, with something uncommitted on some paths".to_owned(),
            );
        }
        let (suite, index) = self.statement_of(range).ok_or(NOT_ALONE)?;
        let statement = &suite[index];
        let is_simple = matches!(
            statement,
            Stmt::Expr(_) | Stmt::Assign(_) | Stmt::AnnAssign(_)
        );
        if !is_simple || !self.case.source().is_alone_on_its_lines(statement.range()) {
            return Err(NOT_ALONE.to_owned());
        }
        let is_commit = |statement: &Stmt| matches!(statement, Stmt::Expr(expression) if matches!(&*expression.value, Expr::Call(call) if self.method(call) == Some("commit")));
        let is_last = self.region.is_direct
            && self
                .region
                .kept
                .last()
                .is_some_and(|last| last.range() == statement.range());
        if !is_last && !suite.get(index + 1).is_some_and(is_commit) {
            self.proof.committed.push(statement.range());
        }
        Ok(())
    }

    fn method<'e>(&self, call: &'e ExprCall) -> Option<&'e str> {
        self.case.connection.method(self.region.home, call)
    }

    /// The statement that an expression belongs to, in its suite.
    fn statement_of(&self, range: TextRange) -> Option<(&[Stmt], usize)> {
        let body = super::region::body_of(self.case, self.region.home)?;
        suites::innermost(body, range)
    }

    fn look_at_ends(&mut self, ends: Ends, trace: &Trace) -> Result<(), Refusal> {
        let normal = match self.region.form {
            // The end of its block commits; what stands before the block may be left without.
            Form::With => self.ends_before_block(),
            _ => ends.normal(),
        };
        if normal.has(States::DIRTY) {
            self.proof.is_suspected = true;
        }
        if normal.has(States::CAUGHT) {
            self.roll_back_in_handlers(trace)?;
        }
        if normal.has(States::MAYBE) && self.proof.is_yielded {
            self.require("if what they do not commit may be committed".to_owned());
        } else if normal.has(States::MAYBE) && self.proof.conditions.is_empty() {
            self.require("if nothing is uncommitted at the end".to_owned());
        }
        Ok(())
    }

    fn ends_before_block(&self) -> States {
        let before = &self.region.kept[..self.region.before_block];
        let (ends, _) = flow::trace(&self.case.connection, self.region.home, before, None);
        Ends {
            next: States::NONE,
            ..ends
        }
        .normal()
    }

    /// Handlers that go on with something uncommitted, which closing discards, are given a rollback.
    fn roll_back_in_handlers(&mut self, trace: &Trace) -> Result<(), Refusal> {
        let mut effects = trace.effects.iter();
        let commits = |(_, effect, states): &(TextRange, Effect, States)| {
            states.has(States::CAUGHT) && !matches!(effect, Effect::RollsBack | Effect::Closes)
        };
        let mut blocks = trace.blocks.values();
        if effects.any(commits) || blocks.any(|states| states.has(States::CAUGHT)) {
            return Err("a handler goes on with something uncommitted".to_owned());
        }
        let caught = trace
            .handlers
            .iter()
            .filter(|(_, states)| states.has(States::CAUGHT));
        let caught: Vec<(u32, u32)> = caught.map(|(key, _)| *key).collect();
        let mut rolled_back = Vec::new();
        let mut handlers = Handlers(Vec::new());
        for statement in &self.region.kept {
            handlers.visit_stmt(statement);
        }
        for handler in handlers
            .0
            .iter()
            .filter(|handler| caught.contains(&key(handler.range)))
        {
            let is_used = self.places.within(handler.range).next().is_some();
            let first = handler.body.first().map_or(handler.range, Ranged::range);
            let lines = self.case.source();
            if is_used {
                continue;
            }
            if lines.line_start(first.start()) == lines.line_start(handler.range.start()) {
                return Err("a handler stands on one line".to_owned());
            }
            rolled_back.push(key(handler.range));
            self.proof.rolled_back.push(first);
        }
        // With these, nothing may be left.
        match self
            .ends_with(rolled_back)
            .has(States::CAUGHT | States::DIRTY)
        {
            true => Err("a handler goes on with something uncommitted".to_owned()),
            false => Ok(()),
        }
    }

    fn ends_with(&self, rolled_back: Vec<(u32, u32)>) -> States {
        let (body, left_out) = match self.region.form {
            Form::With => (&self.region.kept[..self.region.before_block], None),
            _ => (&self.region.kept[..], self.region.left_out),
        };
        let connection = &self.case.connection;
        let ends =
            flow::ends_with_rollbacks(connection, self.region.home, body, left_out, rolled_back);
        match self.region.form {
            Form::With => Ends {
                next: States::NONE,
                ..ends
            },
            _ => ends,
        }
        .normal()
    }

    /// Sessions have foreign keys enforced.
    fn look_at_foreign_keys(&mut self, trace: &Trace) {
        let writes = |effect: &Effect| {
            matches!(
                effect,
                Effect::Runs(Sql::Writes | Sql::Unknown) | Effect::RunsScript(_) | Effect::Given
            )
        };
        let is_written = trace.effects.iter().any(|(_, effect, _)| writes(effect));
        let Some(place) = self.case.project.foreign_keys() else {
            return;
        };
        if is_written && !self.sets_foreign_keys(trace) {
            self.require(format!(
                "if the data keeps to the foreign keys ({place}): sessions enforce them, and this connection does not"
            ));
        }
    }

    /// Whether a statement of its own says how foreign keys are to be, on every path, before something is written: within a
    /// transaction it does nothing.
    fn sets_foreign_keys(&self, trace: &Trace) -> bool {
        let connection = &self.case.connection;
        let is_plain = |effect: &Effect| {
            matches!(
                effect,
                Effect::Runs(Sql::Reads | Sql::Sets | Sql::Redundant)
            )
        };
        let mut others = trace
            .effects
            .iter()
            .filter(|(_, effect, _)| !is_plain(effect));
        let first = others.next().map(|(range, ..)| range.start());
        let statements = self
            .region
            .kept
            .iter()
            .filter_map(|statement| match statement {
                Stmt::Expr(expression) => match &*expression.value {
                    Expr::Call(call) if first.is_none_or(|first| call.range().start() < first) => {
                        connection.statement(self.region.home, call)
                    }
                    _ => None,
                },
                _ => None,
            });
        let mut texts = statements.map(|text| text.to_ascii_lowercase().replace(' ', ""));
        texts.any(|text| text.trim().starts_with("pragmaforeign_keys"))
    }

    /// Pragmas that a session has set, and a commit right before its end.
    fn find_redundant(&mut self, trace: &Trace) {
        for (range, effect, states) in &trace.effects {
            let is_last = self
                .region
                .kept
                .last()
                .is_some_and(|last| last.range().contains_range(*range));
            let is_redundant = match effect {
                Effect::Runs(Sql::Redundant) => states.is_within(States::CLEAN),
                Effect::Commits => is_last && self.region.is_direct && self.region.kept.len() > 1,
                _ => false,
            };
            let alone = self.statement_of(*range).filter(|(suite, index)| {
                let statement = &suite[*index];
                let lines = self.case.source().whole_lines(statement.range());
                matches!(statement, Stmt::Expr(expression) if expression.value.range() == *range)
                    && self.case.source().is_alone_on_its_lines(statement.range())
                    && !self.case.has_comment(lines)
                    && (suite.len() > 1)
            });
            let is_top =
                |range: TextRange| self.region.kept.iter().any(|kept| kept.range() == range);
            if let Some((suite, index)) = alone.filter(|_| is_redundant)
                && is_top(suite[index].range())
            {
                let range = suite[index].range();
                self.proof.redundant.push(range);
            }
        }
        // Something must be left.
        if self.proof.redundant.len() == self.region.kept.len() {
            self.proof.redundant.clear();
        }
    }
}

const NOT_ALONE: &str = "it changes the schema in the midst of a statement";
