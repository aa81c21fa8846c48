//! DBM001: the call stays as it is and opens a pooled connection.

use super::{Needed, Proposal, Rule, Verdict, stdlib_only};
use crate::core::scan::case::Case;
use crate::core::scan::edits::Edit;
use crate::core::scan::importing::{Import, is_free_for};
use crate::core::scan::names::{Bound, ScopeId, ScopeKind};
use crate::core::scan::syntax::{Expr, Ranged, TextSize};

pub const RULE: Rule = Rule {
    code: "DBM001",
    name: "pooled drop-in",
    what: "Calls `dbmanager.connect` in the place of `sqlite3.connect`, with the same arguments. Annotations and \
           `except sqlite3.Error` stay as they are.",
    why: "Opening a connection is the larger part of what a short query costs, and a pooled one is open already. Connections \
          that are not closed go back to the pool when nobody has them any more.",
    example: (
        "connection = sqlite3.connect(path, timeout=10)",
        "connection = dbmanager.connect(path, timeout=10)",
    ),
    safety: "Safe: the connection behaves as the stdlib's, and raises its exceptions. A `factory` must be derived from \
             `dbmanager.sqlite3.Connection`, which is by hand.",
};

pub fn propose(case: &Case<'_, '_>) -> Proposal {
    match refusal(case) {
        Some(reason) => Proposal::by_hand(reason),
        None => swapped(
            case,
            RULE.code,
            "the drop-in takes the same arguments and behaves alike",
        ),
    }
}

/// Why a call can't be swapped, if so.
pub fn refusal(case: &Case<'_, '_>) -> Option<&'static str> {
    let site = case.site;
    let arguments = &site.call.arguments;
    if site.or_other {
        return Some("the function may be another one, too: its name is bound in several ways");
    }
    let is_factory = |name: &str| name == "factory";
    let mut keywords = arguments.keywords.iter();
    // `factory` is the sixth argument.
    if arguments.args.len() > 5
        || keywords.any(|keyword| keyword.arg.as_deref().is_some_and(is_factory))
    {
        return Some("a factory must be derived from dbmanager.sqlite3.Connection");
    }
    if let Some(reason) = stdlib_only::reason(case) {
        return Some(reason);
    }
    if !is_free_for(case.file(), site.scope, Import::Package) {
        return Some("the name 'dbmanager' means something else here");
    }
    None
}

/// The proposal to swap, by a rule's code.
pub fn swapped(case: &Case<'_, '_>, rule: &'static str, reason: &str) -> Proposal {
    let function = case.site.call.func.range();
    Proposal {
        rule,
        verdict: Verdict::Safe,
        also: Vec::new(),
        reason: reason.to_owned(),
        extent: function,
        edits: vec![Edit::replace(function, "dbmanager.connect")],
        needed: vec![Needed {
            import: Import::Package,
            local: local_import(case),
        }],
    }
}

/// The import within the function that the call's own function comes from, if it does.
pub fn local_import(case: &Case<'_, '_>) -> Option<(ScopeId, TextSize)> {
    let names = &case.file().names;
    let (home, bindings) = names.lookup(root(&case.site.call.func)?, case.site.scope)?;
    let is_import = |bound| matches!(bound, Bound::Import(_) | Bound::Member { .. });
    let ScopeKind::Function(_) = names.scope(home).kind else {
        return None;
    };
    let first = bindings.first()?;
    bindings
        .iter()
        .all(|binding| is_import(binding.bound))
        .then_some((home, first.offset))
}

/// The name that a dotted expression begins with.
pub fn root(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => root(&attribute.value),
        _ => None,
    }
}
