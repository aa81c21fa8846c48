//! Context managers that are known not to swallow exceptions; all others may.

use crate::core::scan::connection::Connection;
use crate::core::scan::names::ScopeId;
use crate::core::scan::syntax::{Expr, ast};

const KNOWN: [&str; 14] = [
    "builtins.open",
    "codecs.open",
    "contextlib.closing",
    "contextlib.nullcontext",
    "contextlib.redirect_stdout",
    "contextlib.redirect_stderr",
    "gzip.open",
    "io.open",
    "os.scandir",
    "socket.create_connection",
    "tarfile.open",
    "urllib.request.urlopen",
    "zipfile.ZipFile",
    "concurrent.futures.ThreadPoolExecutor",
];

/// Whether a `with` may go on behind an exception, for the sake of one of its items.
pub fn may_swallow(connection: &Connection<'_, '_>, scope: ScopeId, with: &ast::StmtWith) -> bool {
    let is_known = |item: &ast::WithItem| is_known(connection, scope, &item.context_expr);
    !with.items.iter().all(is_known)
}

/// Whether an item of a `with` is known to let exceptions through.
pub fn is_known(connection: &Connection<'_, '_>, scope: ScopeId, item: &Expr) -> bool {
    if connection.is_it_or_cursor(scope, item) {
        return true;
    }
    let (name, is_call) = match item {
        Expr::Call(call) => (&*call.func, true),
        other => (other, false),
    };
    let last = match name {
        Expr::Name(name) => name.id.as_str(),
        Expr::Attribute(attribute) => attribute.attr.as_str(),
        _ => return false,
    };
    let last = last.to_ascii_lowercase();
    let is_lock = ["lock", "mutex", "semaphore"]
        .iter()
        .any(|end| last.ends_with(end));
    // `path.open()`
    let is_opened = is_call && last == "open";
    let named = connection.project().named(connection.file(), scope, name);
    let is_listed = named.certain().is_some_and(|name| {
        KNOWN.contains(&name) || name.starts_with("tempfile.") || name.starts_with("threading.")
    });
    is_lock || is_opened || is_listed
}
