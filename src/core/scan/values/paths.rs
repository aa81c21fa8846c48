//! Paths that are made of others by `pathlib` and `os.path`.

use super::{At, Evaluator, Value};
use crate::core::scan::syntax::{Expr, ExprCall, ast};
use std::path::{Path, PathBuf};

impl Evaluator<'_, '_> {
    /// `path.parents[n]`
    pub(super) fn of_parents(&self, at: At, subscript: &ast::ExprSubscript) -> Option<Value> {
        let (Expr::Attribute(parents), Expr::NumberLiteral(index)) =
            (&*subscript.value, &*subscript.slice)
        else {
            return None;
        };
        let ast::Number::Int(index) = &index.value else {
            return None;
        };
        if parents.attr.as_str() != "parents" {
            return None;
        }
        let Value::Path(path) = self.value(at, &parents.value)? else {
            return None;
        };
        let parent = path.ancestors().nth(index.as_usize()? + 1)?;
        Some(Value::Path(parent.to_owned()))
    }

    pub(super) fn of_call(&self, at: At, call: &ExprCall) -> Option<Value> {
        if !call.arguments.keywords.is_empty() {
            return None;
        }
        if let Some(value) = self.of_method(at, call) {
            return Some(value);
        }
        let named = self.project.named(at.file, at.scope, &call.func);
        let function = named.certain()?;
        let arguments = self.arguments(at, call)?;
        let joined = || {
            arguments
                .iter()
                .cloned()
                .map(Value::into_path)
                .collect::<PathBuf>()
        };
        let one = || {
            <[Value; 1]>::try_from(arguments.clone())
                .ok()
                .map(|[value]| value)
        };
        match function {
            "builtins.str" | "os.fspath" => one().map(|value| Value::Text(value.into_text())),
            "pathlib.Path" | "pathlib.PurePath" | "pathlib.PosixPath" | "pathlib.PurePosixPath" => {
                Some(Value::Path(joined()))
            }
            "os.path.join" if !arguments.is_empty() => {
                Some(Value::Text(joined().to_string_lossy().into_owned()))
            }
            "os.path.abspath" | "os.path.realpath" | "os.path.normpath" => {
                one().map(|value| Value::Text(without_dots(&value.into_path())))
            }
            "os.path.dirname" => one().map(|value| {
                let path = value.into_path();
                Value::Text(
                    path.parent()
                        .unwrap_or(Path::new(""))
                        .to_string_lossy()
                        .into_owned(),
                )
            }),
            _ => None,
        }
    }

    fn arguments(&self, at: At, call: &ExprCall) -> Option<Vec<Value>> {
        let arguments = call.arguments.args.iter();
        arguments.map(|argument| self.value(at, argument)).collect()
    }

    fn of_method(&self, at: At, call: &ExprCall) -> Option<Value> {
        let Expr::Attribute(method) = &*call.func else {
            return None;
        };
        let Value::Path(path) = self.value(at, &method.value)? else {
            return None;
        };
        let arguments = self.arguments(at, call)?;
        match (method.attr.as_str(), arguments.as_slice()) {
            ("resolve" | "absolute", []) => Some(Value::Path(PathBuf::from(without_dots(&path)))),
            ("as_posix", []) => Some(Value::Text(path.to_string_lossy().into_owned())),
            ("joinpath", parts) => Some(Value::Path(
                parts
                    .iter()
                    .cloned()
                    .map(Value::into_path)
                    .fold(path, |path, part| path.join(part)),
            )),
            ("with_name", [Value::Text(name)]) => Some(Value::Path(path.with_file_name(name))),
            ("with_suffix", [Value::Text(suffix)]) => Some(Value::Path(
                path.with_extension(suffix.trim_start_matches('.')),
            )),
            _ => None,
        }
    }
}

/// A path without `.` and `..`, as far as that can be told from its text.
fn without_dots(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if parts.file_name().is_some() => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.to_string_lossy().into_owned()
}
