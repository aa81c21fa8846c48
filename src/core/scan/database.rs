//! Which database a call opens, as far as the project's source tells.

use super::callers;
use super::libraries::Kind;
use super::names::{Bound, ScopeId};
use super::project::Project;
use super::sites::Site;
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

/// The argument of a call that names the database.
pub fn argument(call: &ExprCall) -> Option<&Expr> {
    let by_name = |name: &str| {
        let keyword = call
            .arguments
            .keywords
            .iter()
            .find(|keyword| keyword.arg.as_ref().is_some_and(|arg| arg.as_str() == name));
        keyword.map(|keyword| &keyword.value)
    };
    call.arguments
        .args
        .first()
        .or_else(|| by_name("database"))
        .or_else(|| by_name("url"))
}

/// Whether an engine's call has an SQLite URL.
pub fn is_sqlite_url(
    project: &Project<'_>,
    file: super::project::FileId,
    scope: ScopeId,
    call: &ExprCall,
) -> bool {
    let Some(url) = argument(call) else {
        return false;
    };
    text_begins(project, file, scope, url).is_some_and(|url| url.text.starts_with("sqlite"))
}

/// Tell which database a site opens.
pub fn database(project: &Project<'_>, site: &Site<'_>) -> Database {
    let Some(argument) = argument(site.call) else {
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

/// The last name of the module that a site's database is named in, and the name there.
pub fn constant(project: &Project<'_>, site: &Site<'_>) -> Option<(String, String)> {
    let mut expression = argument(site.call)?;
    if let Expr::Call(call) = expression {
        expression = call.arguments.args.first()?;
    }
    // `DATA / "app.db"`
    while let Expr::BinOp(operation) = expression {
        expression = &operation.left;
    }
    let named = project.named(site.file, site.scope, expression);
    let (module, name) = named.certain()?.rsplit_once('.')?;
    let last = module.rsplit('.').next().unwrap_or(module);
    let is_known = module == "builtins" || project.module(module).is_some();
    (!is_known).then(|| (last.to_owned(), name.to_owned()))
}

/// The function or class of the file whose parameter names a site's database, if one does.
pub fn called_with_path(project: &Project<'_>, site: &Site<'_>) -> Option<String> {
    let names = &project.file(site.file).names;
    let name = match argument(site.call)? {
        Expr::Call(call) => call.arguments.args.first()?,
        argument => argument,
    };
    let bindings = match name {
        Expr::Name(name) => names.lookup(name.id.as_str(), site.scope)?.1.to_vec(),
        Expr::Attribute(attribute) => {
            let Expr::Name(instance) = &*attribute.value else {
                return None;
            };
            let class = names.class_of_instance(instance.id.as_str(), site.scope)?;
            names.attribute_of(class, attribute.attr.as_str())
        }
        _ => return None,
    };
    bindings.iter().find_map(|binding| match binding.bound {
        Bound::Parameter(_) => callers::called_for(names, binding.scope),
        // `self.path = path`
        Bound::Value(_) if name.is_attribute_expr() => callers::called_for(names, binding.scope),
        _ => None,
    })
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
