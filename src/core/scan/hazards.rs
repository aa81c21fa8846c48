//! What may go wrong at a call, in words.

use super::connection::Connection;
use super::database::Database;
use super::escapes::{Escapes, escapes};
use super::flow::{self, Writes};
use super::held::{Held, Holder};
use super::keepers;
use super::libraries::Kind;
use super::names::{ScopeId, ScopeKind};
use super::nesting;
use super::project::Project;
use super::sites::Site;
use super::syntax::{Expr, Stmt, ast};
use super::unused::is_named_elsewhere;
use super::usage::Usage;
use super::walk::Around;
use serde::Serialize;

/// Something that may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Hazard {
    /// A write is discarded on some path, as nothing commits it.
    WriteNotCommitted,
    /// A path without an exception leaves the connection open, as by a `return`, by a `continue`, or where its name is given to
    /// another one.
    OpenAfterReturn,
    /// An exception leaves the connection open.
    OpenAfterException,
    /// Nothing closes the connection.
    NeverClosed,
    /// The same database is opened by another call in the block of this connection, or while a write of it is in progress.
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
    // An engine is no connection: its pool opens and closes them.
    if kind_of(connection) == Some(Kind::Sqlalchemy) {
        return Vec::new();
    }
    let followed = Followed::of(project, connection, held);
    let mut found = left_open(connection, held, followed.as_ref());
    // One in memory goes with its connection anyway, and each connection has its own.
    let in_memory = database.is_private_memory();
    let written = followed.map_or_else(Writes::default, |followed| followed.writes(held, usage));
    if let Holder::Attribute(class, attribute) = connection.holder() {
        found.extend(keepers::hazards(
            connection, usage, class, attribute, in_memory,
        ));
    }
    if written.is_discarded && !in_memory {
        found.push(Hazard::WriteNotCommitted);
    }
    let is_nested = connection.site().is_some_and(|site| {
        nesting::is_opened_within(project, site, database, others, &written.calls_during)
    });
    if is_nested && !in_memory {
        found.push(Hazard::NestedOpen);
    }
    found.sort();
    found
}

fn kind_of(connection: &Connection<'_, '_>) -> Option<Kind> {
    connection.site().map(|site| site.kind)
}

/// `connect(…).close()`
fn is_closed_at_once(connection: &Connection<'_, '_>) -> bool {
    let around = connection.site().and_then(|site| site.around.last());
    matches!(around, Some(Around::Expression(Expr::Attribute(method))) if method.attr.as_str() == "close")
}

/// How it may be left open.
fn left_open<'a>(
    connection: &Connection<'a, '_>,
    held: Held,
    followed: Option<&Followed<'a, '_, '_>>,
) -> Vec<Hazard> {
    let Some(followed) = followed else {
        let closes_itself = (held == Held::With && kind_of(connection) == Some(Kind::Aiosqlite))
            || (held == Held::Chained && is_closed_at_once(connection));
        return match held {
            Held::With | Held::Unclosed | Held::Chained if !closes_itself => {
                vec![Hazard::NeverClosed]
            }
            _ => Vec::new(),
        };
    };
    if followed.escapes.may_close {
        return Vec::new();
    }
    let leaks = flow::leaks(connection, followed.scope, followed.body);
    let is_open = leaks.ends_open || leaks.raises_open;
    let is_for_others = matches!(held, Held::Yielded | Held::Closing | Held::Finally);
    match leaks.is_closed {
        false if is_open && !is_for_others => vec![Hazard::NeverClosed],
        false => Vec::new(),
        true => {
            let ways = [
                (leaks.ends_open, Hazard::OpenAfterReturn),
                (leaks.raises_open, Hazard::OpenAfterException),
            ];
            let ways = ways.into_iter();
            ways.filter_map(|(is, hazard)| is.then_some(hazard))
                .collect()
        }
    }
}

/// A connection whose paths can be followed, through the function or module that binds its name.
struct Followed<'a, 'p, 'c> {
    connection: &'c Connection<'a, 'p>,
    scope: ScopeId,
    body: &'a [Stmt],
    escapes: Escapes,
}

impl<'a, 'p, 'c> Followed<'a, 'p, 'c> {
    fn of(
        project: &'p Project<'a>,
        connection: &'c Connection<'a, 'p>,
        held: Held,
    ) -> Option<Self> {
        let Holder::Name(scope, name) = connection.holder() else {
            return None;
        };
        let names = connection.names();
        let body = match names.scope(scope).kind {
            ScopeKind::Function(function)
                if held != Held::Yielded || is_context_manager(connection, scope, function) =>
            {
                &function.body
            }
            // Another module may close it.
            ScopeKind::Module if !is_named_elsewhere(project, connection.file(), name) => {
                names.body()
            }
            _ => return None,
        };
        let is_followed = matches!(
            held,
            Held::With
                | Held::Closing
                | Held::Finally
                | Held::Closed
                | Held::Unclosed
                | Held::Yielded
        );
        is_followed.then(|| Self {
            connection,
            scope,
            body,
            escapes: escapes(connection, scope, body),
        })
    }

    /// What becomes of its writes, where transactions are as the stdlib begins them by itself.
    fn writes(&self, held: Held, usage: &Usage) -> Writes {
        let is_followed = begins_by_itself(self.connection, usage)
            && held != Held::Yielded
            && !self.escapes.may_commit;
        match is_followed {
            true => flow::writes(self.connection, self.scope, self.body),
            false => Writes::default(),
        }
    }
}

/// Arguments of `connect` before `isolation_level`: the path, the timeout, what types to detect.
const BEFORE_ISOLATION_LEVEL: usize = 3;

/// Whether neither its call nor its user tells how its transactions begin.
pub fn begins_by_itself(connection: &Connection<'_, '_>, usage: &Usage) -> bool {
    let sets_transactions = |name: &str| matches!(name, "isolation_level" | "autocommit");
    let is_positional = connection.site().is_some_and(|site| {
        let given = &site.call.arguments.args;
        given.len() > BEFORE_ISOLATION_LEVEL || given.iter().any(Expr::is_starred_expr)
    });
    let keywords = connection.site().into_iter();
    let keywords = keywords.flat_map(|site| &site.call.arguments.keywords);
    // `connect(**options)` may.
    let mut names = keywords.map(|keyword| keyword.arg.as_ref().map(ast::Identifier::as_str));
    !is_positional
        && !names.any(|name| name.is_none_or(sets_transactions))
        && !usage.sets.iter().any(|name| sets_transactions(name))
}

/// Whether a function that yields is thrown into what is raised where it is used: by `contextlib`.
fn is_context_manager(
    connection: &Connection<'_, '_>,
    scope: ScopeId,
    function: &ast::StmtFunctionDef,
) -> bool {
    let around = connection.names().scope(scope).parent;
    let around = around.unwrap_or(ScopeId::MODULE);
    function.decorator_list.iter().any(|decorator| {
        let project = connection.project();
        let named = project.named(connection.file(), around, &decorator.expression);
        let names = [
            "contextlib.contextmanager",
            "contextlib.asynccontextmanager",
        ];
        named.certain().is_some_and(|name| names.contains(&name))
    })
}
