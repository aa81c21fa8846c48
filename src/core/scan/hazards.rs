//! What may go wrong at a call, in words.

use super::flow::{self, Entered, Followed};
use super::held::{Held, Holder};
use super::names::ScopeKind;
use super::project::Project;
use super::sites::{Around, Site};
use super::syntax::{Ranged, Stmt};
use super::usage::Usage;
use serde::Serialize;
use std::ptr;

/// Something that may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// A write is discarded on some path, as nothing commits it.
    WriteNotCommitted,
    /// A `return` leaves the connection open.
    OpenAfterReturn,
    /// An exception leaves the connection open.
    OpenAfterException,
    /// Nothing closes the connection.
    NeverClosed,
    /// The same database is opened by another call while this connection is in use.
    NestedOpen,
}

/// Tell what may go wrong at a site. `others` are the sites of its file, with what tells their databases apart.
pub fn hazards<'a>(
    project: &Project<'a>,
    site: &Site<'a>,
    (held, holder): (Held, Holder<'a>),
    usage: &Usage,
    others: &[&Site<'a>],
    same_database: impl Fn(&Site<'a>) -> bool,
) -> Vec<Hazard> {
    let mut found = match held {
        Held::With | Held::Unclosed | Held::Chained => vec![Hazard::NeverClosed],
        Held::Closed => vec![Hazard::OpenAfterException],
        _ => Vec::new(),
    };
    if let Some(paths) = on_paths(project, site, (held, holder), usage) {
        if paths.discards_write {
            found.push(Hazard::WriteNotCommitted);
        }
        if paths.returns_open && held == Held::Closed {
            found.push(Hazard::OpenAfterReturn);
        }
    }
    let is_nested = |other: &&&Site<'a>| within_block_of(site, other) && same_database(other);
    if others.iter().any(|other| is_nested(&other)) {
        found.push(Hazard::NestedOpen);
    }
    found.sort();
    found
}

/// Follow the paths through the function, where transactions are as the stdlib begins them by itself.
fn on_paths<'a>(
    project: &Project<'a>,
    site: &Site<'a>,
    (held, holder): (Held, Holder<'a>),
    usage: &Usage,
) -> Option<flow::Hazards> {
    let is_followed = matches!(
        held,
        Held::With | Held::Closing | Held::Finally | Held::Closed | Held::Unclosed
    );
    let keywords = site.call.arguments.keywords.iter();
    let mut keywords = keywords.filter_map(|keyword| keyword.arg.as_ref());
    let sets_transactions = |name: &str| matches!(name, "isolation_level" | "autocommit");
    let Holder::Name(scope, name) = holder else {
        return None;
    };
    let ScopeKind::Function(function) = project.file(site.file).names.scope(scope).kind else {
        return None;
    };
    if !is_followed
        || keywords.any(|name| sets_transactions(name))
        || usage.sets.iter().any(|name| sets_transactions(name))
    {
        return None;
    }
    let followed = Followed {
        file: site.file,
        scope,
        name,
        call: site.call.range(),
        entered: if held == Held::Closing {
            Entered::Closing
        } else {
            Entered::Itself
        },
    };
    Some(flow::hazards(project, followed, &function.body))
}

/// Whether another call is made in the block of the `with` that enters this one's connection.
fn within_block_of(site: &Site<'_>, other: &Site<'_>) -> bool {
    let mut around = site.around.iter().rev();
    let Some(statement) = around.find_map(|around| match around {
        Around::Statement(statement @ Stmt::With(_)) => Some(*statement),
        _ => None,
    }) else {
        return false;
    };
    let is_it = |around: &Around<'_>| matches!(around, Around::Statement(found) if ptr::eq(*found, statement));
    let is_item = |around: &Around<'_>| matches!(around, Around::Item(_));
    let enters_here = site
        .around
        .iter()
        .rev()
        .find(|around| is_item(around) || is_it(around))
        .is_some_and(is_item);
    let depth = other.around.iter().position(is_it);
    enters_here && depth.is_some_and(|depth| !other.around.get(depth + 1).is_some_and(is_item))
}
