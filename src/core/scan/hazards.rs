//! What may go wrong at a call, in words.

use super::connection::Connection;
use super::database::{self, Database};
use super::flow::{self, Entered};
use super::held::{Held, Holder};
use super::names::ScopeKind;
use super::project::Project;
use super::sites::Site;
use super::syntax::Stmt;
use super::usage::Usage;
use super::walk::Around;
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

/// Tell what may go wrong at a connection's call. `others` are the calls of its file.
pub fn hazards<'a>(
    project: &Project<'a>,
    connection: &Connection<'a, '_>,
    held: Held,
    usage: &Usage,
    database: &Database,
    others: &[&Site<'a>],
) -> Vec<Hazard> {
    let mut found = match held {
        Held::With | Held::Unclosed | Held::Chained => vec![Hazard::NeverClosed],
        Held::Closed => vec![Hazard::OpenAfterException],
        _ => Vec::new(),
    };
    let paths = on_paths(project, connection, held, usage);
    if paths.returns_open && held == Held::Closed {
        found.push(Hazard::OpenAfterReturn);
    }
    // One in memory goes with its connection anyway, and each connection has its own.
    let in_memory = database.path.as_deref() == Some(":memory:");
    if paths.discards_write && !in_memory {
        found.push(Hazard::WriteNotCommitted);
    }
    let is_nested = |other: &Site<'a>| {
        let is_within = connection
            .site()
            .is_some_and(|site| within_block_of(site, other));
        is_within && *database == database::database(project, other)
    };
    if !in_memory && others.iter().any(|other| is_nested(other)) {
        found.push(Hazard::NestedOpen);
    }
    found.sort();
    found
}

/// Follow the paths through the function, where transactions are as the stdlib begins them by itself.
fn on_paths<'a>(
    project: &Project<'a>,
    connection: &Connection<'a, '_>,
    held: Held,
    usage: &Usage,
) -> flow::Hazards {
    let sets_transactions = |name: &str| matches!(name, "isolation_level" | "autocommit");
    let keywords = connection
        .site()
        .into_iter()
        .flat_map(|site| &site.call.arguments.keywords);
    let mut keywords = keywords.filter_map(|keyword| keyword.arg.as_ref());
    if keywords.any(|name| sets_transactions(name))
        || usage.sets.iter().any(|name| sets_transactions(name))
    {
        return flow::Hazards::default();
    }
    let entered = match held {
        Held::With | Held::Finally | Held::Closed | Held::Unclosed => Entered::Itself,
        Held::Closing => Entered::Closing,
        _ => return flow::Hazards::default(),
    };
    let Holder::Name(scope, _) = connection.holder() else {
        return flow::Hazards::default();
    };
    match project.file(connection.file()).names.scope(scope).kind {
        ScopeKind::Function(function) => flow::hazards(connection, scope, entered, &function.body),
        _ => flow::Hazards::default(),
    }
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
