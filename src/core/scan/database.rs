//! Which database a call opens, as far as the project's source tells.

use super::callers;
use super::libraries::Kind;
use super::names::{Bound, ScopeId};
use super::project::{FileId, Project};
use super::sites::{Site, path_argument};
use super::syntax::{Expr, ExprCall, Ranged};
use super::values::{text_begins, value_of};
use serde::Serialize;

/// How a call names its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// By a text in the call.
    Literal,
    /// By a name of the module, or of another one.
    Constant,
    /// By a name of the function.
    Local,
    /// By an attribute.
    Attribute,
    /// By a parameter of the function.
    Parameter,
    /// By an expression made of others.
    Expression,
    /// Not at all.
    Missing,
}

/// The database of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// How it is named.
    pub from: From,
    /// Its path or URL, if that is certain.
    pub path: Option<String>,
    /// The expression that names it.
    pub expression: String,
}

impl Database {
    /// Whether it is one in memory that no other connection can have.
    pub fn is_private_memory(&self) -> bool {
        let path = self.path.as_deref().unwrap_or_default();
        let is_of_uri = path.starts_with("file:")
            && (path.starts_with("file::memory:") || path.contains("mode=memory"))
            && !path.contains("cache=shared");
        path == ":memory:" || is_of_uri
    }
}

/// Whether an engine's call has an SQLite URL.
pub fn is_sqlite_url(project: &Project<'_>, file: FileId, scope: ScopeId, call: &ExprCall) -> bool {
    let Some(url) = path_argument(call) else {
        return false;
    };
    text_begins(project, file, scope, url).is_some_and(|url| url.text.starts_with("sqlite"))
}

/// Tell which database a site opens.
pub fn database(project: &Project<'_>, site: &Site<'_>) -> Database {
    let Some(argument) = path_argument(site.call) else {
        return Database {
            from: From::Missing,
            path: None,
            expression: String::new(),
        };
    };
    let source = &project.file(site.file).parsed.source;
    let value =
        value_of(project, site.file, site.scope, argument).map(super::values::Value::into_text);
    let path = match site.kind {
        Kind::Sqlalchemy => value.as_deref().map(path_of_url),
        _ => value,
    };
    Database {
        from: from(project, site, argument),
        path,
        expression: source.slice(argument.range()).to_owned(),
    }
}

/// Where a path is named in modules that are not known: each one's last name, and the name there. Of
/// `app.config.settings.path` the module may be `config` or `settings`.
pub fn constants(
    project: &Project<'_>,
    file: FileId,
    scope: ScopeId,
    path: &Expr,
) -> Vec<(String, String)> {
    constants_of(project, file, scope, path).unwrap_or_default()
}

fn constants_of(
    project: &Project<'_>,
    file: FileId,
    scope: ScopeId,
    path: &Expr,
) -> Option<Vec<(String, String)>> {
    let mut expression = path;
    if let Expr::Call(call) = expression {
        expression = call.arguments.args.first()?;
    }
    // `DATA / "app.db"`
    while let Expr::BinOp(operation) = expression {
        expression = &operation.left;
    }
    let named = project.named(file, scope, expression);
    let mut dotted = named.certain()?;
    let mut constants = Vec::new();
    for _ in 0..2 {
        let Some((module, name)) = dotted.rsplit_once('.') else {
            break;
        };
        if module == "builtins" || project.module(module).is_some() {
            break;
        }
        let last = module.rsplit('.').next().unwrap_or(module);
        constants.push((last.to_owned(), name.to_owned()));
        dotted = module;
    }
    Some(constants)
}

/// The function or class of the file whose parameter names a site's database, if one does.
pub fn called_with_path(project: &Project<'_>, site: &Site<'_>) -> Option<String> {
    let names = &project.file(site.file).names;
    callers::called_with(names, site.scope, path_argument(site.call)?)
}

/// The path in an SQLAlchemy URL; all of it, if it is no plain one.
fn path_of_url(url: &str) -> String {
    let Some((_, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let path = rest.strip_prefix('/').unwrap_or(rest);
    let path = path.split('?').next().unwrap_or(path);
    if path.is_empty() {
        ":memory:".to_owned()
    } else {
        path.to_owned()
    }
}

fn from(project: &Project<'_>, site: &Site<'_>, argument: &Expr) -> From {
    match argument {
        Expr::StringLiteral(_) => From::Literal,
        Expr::Name(name) => {
            let names = &project.file(site.file).names;
            let Some((home, bindings)) = names.lookup(name.id.as_str(), site.scope) else {
                return From::Expression;
            };
            match bindings {
                bindings
                    if bindings
                        .iter()
                        .any(|binding| matches!(binding.bound, Bound::Parameter(_))) =>
                {
                    From::Parameter
                }
                _ if home == ScopeId::MODULE => From::Constant,
                _ => From::Local,
            }
        }
        Expr::Attribute(_) => From::Attribute,
        // `str(path)`, `os.fspath(path)`: as what is in it.
        Expr::Call(call)
            if call.arguments.args.len() == 1
                && call.arguments.keywords.is_empty()
                && matches!(&*call.func, Expr::Name(_)) =>
        {
            match from(project, site, &call.arguments.args[0]) {
                From::Literal => From::Expression,
                inner => inner,
            }
        }
        _ => From::Expression,
    }
}
