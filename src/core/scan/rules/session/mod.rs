//! Connections that live in one function become sessions: what the rules DBM101 to DBM104 have in common.
//!
//! A session commits where its block ends, and rolls back if the block raised. So a rule may only go by statements of which
//! each path keeps what it kept, and discards what it discarded.

mod arguments;
mod beginning;
mod calls;
mod control;
mod manager;
mod places;
mod region;
mod rewrite;
mod stored;
mod transactions;

use super::{Choice, Import, Needed, Proposal, Verdict, stdlib_only};
use crate::core::scan::case::Case;
use crate::core::scan::held::Holder;
use crate::core::scan::importing::is_free_for;
use crate::core::scan::syntax::Ranged;
use arguments::Arguments;
use manager::Manager;
use places::Places;
use region::{Form, Region};
use transactions::Proof;

/// The rule for connections that end in a way.
fn rule_of(form: Form) -> &'static str {
    match form {
        Form::Close => "DBM101",
        Form::Finally => "DBM102",
        Form::With => "DBM103",
        Form::Closing => "DBM104",
    }
}

const KEPT: &str = "each path keeps what it kept and discards what it discarded";

/// Propose a session, or tell why there can be none.
pub fn propose(case: &Case<'_, '_>, choice: &Choice) -> Result<Proposal, String> {
    if let Holder::Attribute(..) = case.connection.holder() {
        return stored::propose(case, choice);
    }
    let Holder::Name(home, _) = case.connection.holder() else {
        return Err("no name of its function holds it".to_owned());
    };
    if case.site.or_other {
        return Err("the function may be another one, too".to_owned());
    }
    if !is_free_for(case.file(), case.site.scope, Import::Manager) {
        return Err("the name 'DatabaseManager' means something else here".to_owned());
    }
    if let Some(reason) = stdlib_only::reason(case) {
        return Err(reason.to_owned());
    }
    let arguments = arguments::of(case)?;
    let manager = Manager::of(case, &arguments, choice);
    let places = Places::of(case, home);
    let region = Region::of(case, &places)?;
    let mut proof = transactions::prove(case, &region, &places)?;
    if proof.is_yielded && arguments.is_for_threads {
        return Err("it is yielded to several threads".to_owned());
    }
    if !choice.has("DBM201") {
        proof.redundant.clear();
    }
    proof.conditions.extend(manager.condition.clone());
    if calls::calls_itself(case, &region) {
        let deep =
            "if it does not call itself more than 19 deep: each call has a session of its own";
        proof.conditions.push(deep.to_owned());
    }
    if calls::makes_within(case, &region) {
        let nested = "if it is not called by what is writing already: a session takes its turn to write, also for what is there";
        proof.conditions.push(nested.to_owned());
    }
    let mode = calls::mode(case, &region, &proof);
    let session = format!("{}.session({})", manager.expression, mode.argument());
    let edits = rewrite::edits(case, &region, &proof, &session, &[], mode.begin())?;
    let redundant = (!proof.redundant.is_empty()).then_some("DBM201");
    Ok(Proposal {
        rule: match proof.is_yielded {
            true => "DBM106",
            false => rule_of(region.form),
        },
        also: manager
            .is_named
            .then_some("DBM108")
            .into_iter()
            .chain(redundant)
            .collect(),
        verdict: match proof.conditions.is_empty() {
            // What it would do otherwise is for its maintainer to decide.
            _ if proof.is_suspected => Verdict::ByHand,
            true => Verdict::Safe,
            false => Verdict::Unsafe,
        },
        reason: reason(&proof, &arguments, mode),
        extent: case.source().whole_lines(region.extent),
        edits,
        needed: vec![Needed {
            import: Import::Manager,
            local: super::swap::local_import(case),
        }],
    })
}

fn reason(proof: &Proof, arguments: &Arguments, mode: calls::Mode) -> String {
    if proof.is_suspected {
        return transactions::SUSPECTED.to_owned();
    }
    let mut parts = match proof.conditions.is_empty() {
        true => vec![KEPT.to_owned()],
        false => proof.conditions.clone(),
    };
    parts.extend(arguments.note.clone());
    parts.extend(mode.note());
    parts.join("; ")
}

/// How a session would begin in the place of a call, for a maintainer who writes it by hand; None if it has none.
pub fn sketch(case: &Case<'_, '_>, choice: &Choice) -> Option<String> {
    let arguments = arguments::of(case).ok()?;
    let manager = Manager::of(case, &arguments, choice).expression;
    let mode = match case.usage.sets.contains("BEGIN") {
        true => "mode=\"write\"",
        false => "",
    };
    let names = &case.file().names;
    let lines = match case.connection.holder() {
        Holder::Attribute(..) => {
            let function = names.function_around(case.site.scope);
            let method = function.and_then(|(function, _)| names.method_of(function));
            let instance = method.map_or("self", |(_, instance)| instance);
            vec![
                format!("{instance}.manager = {manager}"),
                "# and in each method:".to_owned(),
                format!("with {instance}.manager.session({mode}) as session:"),
            ]
        }
        Holder::Name(_, name) => vec![format!("with {manager}.session({mode}) as {name}:")],
        Holder::Nothing => vec![format!("with {manager}.session({mode}) as session:")],
    };
    let indentation = case.source().indentation(case.site.call.range().start());
    let mut lines: Vec<_> = lines
        .into_iter()
        .map(|line| format!("{indentation}{line}"))
        .collect();
    lines.push(format!("{indentation}    ..."));
    Some(lines.join("\n"))
}

/// The line of something, for messages.
fn line_of(case: &Case<'_, '_>, node: &impl Ranged) -> usize {
    case.source().position(node.range().start()).line
}
