//! Whether the same database is opened again while a connection is in use: in its block, or while a write of it is in progress,
//! which keeps others from writing.

use super::callers::called_for;
use super::database::{self, Database, From};
use super::project::Project;
use super::sites::Site;
use super::syntax::{Expr, Ranged, Stmt, TextRange};
use super::walk::Around;
use std::ptr;

/// Whether one of the `others` of its file is. `during_write` are the calls that are made while a write is in progress.
pub fn is_opened_within<'a>(
    project: &Project<'a>,
    site: &Site<'a>,
    database: &Database,
    others: &[&Site<'a>],
    during_write: &[TextRange],
) -> bool {
    others.iter().any(|other| {
        let opened = || database::database(project, other);
        // The same expression is the same path in the same function, but not in another one, unless it is a constant.
        let is_everywhere = database.path.is_some() || database.from == From::Constant;
        let is_during = during_write.contains(&other.call.range());
        ((is_during || within_block_of(site, other)) && *database == opened())
            || (is_everywhere
                && is_called_during(project, other, during_write)
                && same(database, &opened()))
    })
}

fn same(one: &Database, other: &Database) -> bool {
    match (&one.path, &other.path) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Whether a function that opens a connection is called while a write is in progress.
fn is_called_during(project: &Project<'_>, other: &Site<'_>, during_write: &[TextRange]) -> bool {
    let file = project.file(other.file);
    let opener = file.names.function_around(other.scope);
    let called = opener.and_then(|(scope, _)| called_for(&file.names, scope));
    let callers = called.and_then(|name| project.callers(&format!("{}.{name}", file.dotted)));
    callers.is_some_and(|callers| {
        let mut calls = callers.calls.iter();
        calls.any(|(at, _, call)| *at == other.file && during_write.contains(&call.range()))
    })
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
    let Some(depth) = other.around.iter().position(is_it) else {
        return false;
    };
    let within = &other.around[depth + 1..];
    // A function that stands in the block is called elsewhere.
    let is_later = |around: &Around<'_>| {
        matches!(
            around,
            Around::Statement(Stmt::FunctionDef(_)) | Around::Expression(Expr::Lambda(_))
        )
    };
    enters_here && !within.first().is_some_and(is_item) && !within.iter().any(is_later)
}
