//! DBM105: a function that gives its connection back gives a pooled one.

use super::swap::{refusal, swapped};
use super::{Proposal, Rule};
use crate::core::scan::case::Case;

pub const RULE: Rule = Rule {
    code: "DBM105",
    name: "factory of connections",
    what: "Has a function that opens a connection and returns it open a pooled one. Its callers stay as they are.",
    why: "One line moves all callers: they close the connection, or forget it, and it goes back to the pool.",
    example: (
        "def connection():\n    opened = sqlite3.connect(PATH)\n    opened.row_factory = sqlite3.Row\n    return opened",
        "def connection():\n    opened = dbmanager.connect(PATH)\n    opened.row_factory = sqlite3.Row\n    return opened",
    ),
    safety: "Safe: what the callers get behaves as before. They have the connection until they close it or nothing holds it any \
             more, so those who keep one for long are better given sessions by hand.",
};

pub fn propose(case: &Case<'_, '_>) -> Proposal {
    match refusal(case) {
        Some(reason) => Proposal::by_hand(reason),
        None => swapped(
            case,
            RULE.code,
            "the callers get a pooled connection that behaves alike",
        ),
    }
}
