//! The rules by which calls are rewritten: one a file, each with its own words for the documentation.

mod swap;

use super::libraries::Kind;
use super::sites::Site;
use serde::Serialize;

/// Whether a rule may rewrite a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Verdict {
    /// What is stored and discarded, and what is raised, stays as it was.
    #[serde(rename = "safe")]
    Safe,
    /// It stays so under a condition that the reason names.
    #[serde(rename = "unsafe")]
    Unsafe,
    /// No rule can.
    #[serde(rename = "by hand")]
    ByHand,
}

/// A rule's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub const RULES: [Rule; 1] = [swap::RULE];

/// What is to be done with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The rule that rewrites it; empty if none does.
    pub rule: &'static str,
    /// How safe that is.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// Judge a call.
pub fn judge(site: &Site<'_>) -> Judgement {
    let by_hand = |reason: &str| Judgement {
        rule: "",
        verdict: Verdict::ByHand,
        reason: reason.to_owned(),
    };
    match site.kind {
        Kind::Sqlite3 => swap::judge(site),
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
