//! DBM001: the call stays as it is and opens a pooled connection.

use super::{Judgement, Rule, Verdict};
use crate::core::scan::sites::Site;

pub const RULE: Rule = Rule {
    code: "DBM001",
    name: "pooled drop-in",
    what: "Calls `dbmanager.connect` in the place of `sqlite3.connect`, with the same arguments.",
    why: "Opening a connection is the larger part of what a short query costs, and a pooled one is open already. Connections \
          that are not closed go back to the pool when nobody has them any more.",
    example: (
        "connection = sqlite3.connect(path, timeout=10)",
        "connection = dbmanager.connect(path, timeout=10)",
    ),
    safety: "Safe: the connection behaves as the stdlib's, and raises its exceptions. A `factory` must be derived from \
             `dbmanager.sqlite3.Connection`, which is by hand.",
};

pub fn judge(site: &Site<'_>) -> Judgement {
    let by_hand = |reason: &str| Judgement {
        rule: "",
        verdict: Verdict::ByHand,
        reason: reason.to_owned(),
    };
    let arguments = &site.call.arguments;
    let is_factory = |name: &str| name == "factory";
    if site.or_other {
        return by_hand("the function may be another one, too: its name is bound in several ways");
    }
    // `factory` is the sixth argument.
    if arguments.args.len() > 5
        || arguments
            .keywords
            .iter()
            .any(|keyword| keyword.arg.as_deref().is_some_and(is_factory))
    {
        return by_hand("a factory must be derived from dbmanager.sqlite3.Connection");
    }
    Judgement {
        rule: RULE.code,
        verdict: Verdict::Safe,
        reason: "the drop-in takes the same arguments and behaves alike".to_owned(),
    }
}
