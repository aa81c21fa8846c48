//! The rules by which calls are rewritten: one a file, each with its own words for the documentation.

mod choice;
mod closed_finally;
mod closing;
mod factory;
mod named;
mod open_close;
pub mod proposal;
mod redundant;
mod session;
mod stdlib_only;
mod stored;
mod swap;
mod with_connection;
mod yielded;

use super::case::Case;
use super::held::Held;
use super::importing::Import;
use super::libraries::Kind;
pub use choice::Choice;
pub use proposal::{Judgement, Needed, Proposal, Verdict};
use serde::Serialize;
pub use swap::root;

/// A rule's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// `DBM` and a number.
    pub code: &'static str,
    /// Some words for it.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Why that is better.
    pub why: &'static str,
    /// Before and after.
    pub example: (&'static str, &'static str),
    /// When it is safe.
    pub safety: &'static str,
}

/// All rules, by their codes.
pub const RULES: [Rule; 10] = [
    swap::RULE,
    open_close::RULE,
    closed_finally::RULE,
    with_connection::RULE,
    closing::RULE,
    factory::RULE,
    yielded::RULE,
    stored::RULE,
    named::RULE,
    redundant::RULE,
];

/// What the rules make of a call: the best first. None is empty: the last one says why there is no other.
pub fn proposals(case: &Case<'_, '_>, choice: &Choice) -> Vec<Proposal> {
    let by_hand = |reason: &str| vec![Proposal::by_hand(reason)];
    match case.site.kind {
        Kind::Dbmanager => match session::propose(case, choice) {
            Ok(session) => vec![session],
            Err(reason) => by_hand(&reason),
        },
        Kind::Sqlite3 if case.held == Held::Factory => vec![factory::propose(case)],
        Kind::Sqlite3 => of_sqlite3(case, choice),
        Kind::Pysqlite3 => by_hand(
            "another build of SQLite, chosen for something it has: see whether dbmanager's has it, too",
        ),
        Kind::Aiosqlite => by_hand(
            "aiosqlite runs each connection in a thread of its own; dbmanager has no sessions for asyncio yet",
        ),
        Kind::Sqlalchemy => {
            by_hand("an engine has a pool of its own; dbmanager has no dialect for SQLAlchemy yet")
        }
    }
}

fn of_sqlite3(case: &Case<'_, '_>, choice: &Choice) -> Vec<Proposal> {
    let swapped = swap::propose(case);
    match session::propose(case, choice) {
        Ok(session) if session.verdict == Verdict::Safe => vec![session, swapped],
        Ok(session) if session.verdict == Verdict::ByHand => {
            let reason = format!("{}; no session: {}", swapped.reason, session.reason);
            vec![Proposal { reason, ..swapped }, session]
        }
        Ok(session) => {
            let conditions = &session.reason;
            let reason = format!(
                "{}; {} is unsafe: {conditions}",
                swapped.reason, session.rule
            );
            vec![session.clone(), Proposal { reason, ..swapped }]
        }
        Err(reason) => {
            let reason = format!("{}; no session: {reason}", swapped.reason);
            vec![Proposal { reason, ..swapped }]
        }
    }
}

/// Judge a call: by the best proposal that is safe, else by the best one.
pub fn judge(case: &Case<'_, '_>, choice: &Choice) -> Judgement {
    let proposals = proposals(case, choice);
    let best = proposals
        .iter()
        .find(|proposal| proposal.verdict == Verdict::Safe);
    let mut others = proposals.iter().filter(|proposal| {
        proposal.verdict == Verdict::Unsafe
            || (proposal.verdict == Verdict::ByHand && !proposal.edits.is_empty())
    });
    let has_session = proposals
        .iter()
        .any(|proposal| proposal.verdict == Verdict::Safe && proposal.rule != swap::RULE.code);
    let proposed = match others.next() {
        Some(other) => other.lines(case.source()),
        None if has_session || case.site.kind != Kind::Sqlite3 => String::new(),
        None => session::sketch(case, choice).unwrap_or_default(),
    };
    let by_hand = Proposal::by_hand("no rule knows it");
    let best = best.or(proposals.first()).unwrap_or(&by_hand);
    Judgement {
        rule: best.rule,
        verdict: best.verdict,
        reason: best.reason.clone(),
        proposed,
    }
}
