//! What a text or path expression is worth, where the project's own source leaves no doubt.

mod attributes;
mod beginnings;
mod paths;

use super::callers;
use super::names::{Binding, Bound, ScopeId, ScopeKind};
use super::project::{FileId, Project};
use super::syntax::{Expr, ast};
pub use beginnings::{text_begins, texts_begin};
use std::path::PathBuf;

/// A value that is known before the program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A `str`.
    Text(String),
    /// A `Path`.
    Path(PathBuf),
}

impl Value {
    /// Its text, as `str(…)` or `os.fspath(…)` gives it.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Path(path) => path.to_string_lossy().into_owned(),
        }
    }

    fn into_path(self) -> PathBuf {
        match self {
            Self::Text(text) => PathBuf::from(text),
            Self::Path(path) => path,
        }
    }
}

/// How many names are followed one behind another.
const FOLLOWED: usize = 32;

/// How many of these one caller counts for: each has callers of its own.
const CALLER: usize = 8;

/// The value of an expression, if it is certain.
pub fn value_of(
    project: &Project<'_>,
    file: FileId,
    scope: ScopeId,
    expression: &Expr,
) -> Option<Value> {
    Evaluator { project }.value(At::new(file, scope), expression)
}

/// Where an expression stands, and how many more may be looked into from there.
#[derive(Clone, Copy)]
struct At {
    file: FileId,
    scope: ScopeId,
    left: usize,
}

impl At {
    fn new(file: FileId, scope: ScopeId) -> Self {
        Self {
            file,
            scope,
            left: FOLLOWED,
        }
    }

    fn in_scope(self, scope: ScopeId) -> Self {
        Self { scope, ..self }
    }

    fn deeper(self) -> Option<Self> {
        let left = self.left.checked_sub(1)?;
        Some(Self { left, ..self })
    }
}

struct Evaluator<'p, 'a> {
    project: &'p Project<'a>,
}

impl<'a> Evaluator<'_, 'a> {
    fn value(&self, at: At, expression: &Expr) -> Option<Value> {
        let at = at.deeper()?;
        match expression {
            Expr::StringLiteral(literal) => Some(Value::Text(literal.value.to_str().to_owned())),
            Expr::FString(literal) => {
                let parts = self.of_parts(at, literal);
                parts.is_whole.then_some(Value::Text(parts.text))
            }
            Expr::BinOp(operation) => {
                let first = self.value(at, &operation.left)?;
                let second = self.value(at, &operation.right)?;
                match (operation.op, first, second) {
                    (ast::Operator::Add, Value::Text(first), Value::Text(second)) => {
                        Some(Value::Text(first + &second))
                    }
                    (ast::Operator::Div, Value::Path(first), second) => {
                        Some(Value::Path(first.join(second.into_path())))
                    }
                    _ => None,
                }
            }
            Expr::Name(name) if name.id == "__file__" => self.own_path(at).map(Value::Text),
            Expr::Name(name) => self.of_name(at, name.id.as_str()),
            Expr::Attribute(attribute) => self.of_attribute(at, attribute),
            Expr::Subscript(subscript) => self.of_parents(at, subscript),
            Expr::Call(call) => self.of_call(at, call),
            Expr::Named(named) => self.value(at, &named.value),
            _ => None,
        }
    }

    fn own_path(&self, at: At) -> Option<String> {
        let path = std::path::absolute(&self.project.file(at.file).parsed.source.path).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    fn of_name(&self, at: At, name: &str) -> Option<Value> {
        let (home, bindings) = self.project.file(at.file).names.lookup(name, at.scope)?;
        let last = bindings.iter().map(|binding| binding.offset).max()?;
        if home == ScopeId::MODULE && self.project.may_be_starred(at.file, name, last) {
            return None;
        }
        let value = self.of_bindings(at, name, bindings)?;
        // `config.DB = path`, in another module.
        let is_changed = home == ScopeId::MODULE && self.project.assigns_attribute(name);
        (!is_changed).then_some(value)
    }

    /// One value, if all bindings have the same.
    fn of_bindings(&self, at: At, name: &str, bindings: &[Binding<'a>]) -> Option<Value> {
        let of = |binding: &Binding<'a>| match binding.bound {
            Bound::Parameter(default) => self.of_parameter(at, name, binding.scope, default),
            _ => self.of_binding(at, binding),
        };
        let mut values = bindings.iter().map(of);
        let first = values.next()??;
        values
            .all(|value| value.as_ref() == Some(&first))
            .then_some(first)
    }

    fn of_binding(&self, at: At, binding: &Binding<'a>) -> Option<Value> {
        match binding.bound {
            Bound::Value(value) => self.value(at.in_scope(binding.scope), value),
            Bound::Member {
                module,
                level,
                name,
            } => {
                let dotted = self.project.file(at.file).absolute(module, level);
                self.of_member(at, &dotted, name)
            }
            _ => None,
        }
    }

    /// The value that all callers give for a parameter, where all of them are seen.
    fn of_parameter(
        &self,
        at: At,
        name: &str,
        function: ScopeId,
        default: Option<&'a Expr>,
    ) -> Option<Value> {
        let left = at.left.checked_sub(CALLER)?;
        let at = At { left, ..at };
        let file = self.project.file(at.file);
        let ScopeKind::Function(node) = file.names.scope(function).kind else {
            return None;
        };
        let called = callers::called_for(&file.names, function)?;
        let callers = self.project.callers(&format!("{}.{called}", file.dotted))?;
        if callers.or_others || callers.calls.is_empty() {
            return None;
        }
        let is_method = file.names.method_of(function).is_some();
        let mut values = callers.calls.iter().map(|(caller, scope, call)| {
            let there = At {
                file: *caller,
                scope: *scope,
                ..at
            };
            match callers::argument(call, node, name, is_method).ok()? {
                Some(argument) => self.value(there, argument),
                // Defaults are evaluated outside of the function.
                None => self.value(at.in_scope(file.names.scope(function).parent?), default?),
            }
        });
        let first = values.next()??;
        values
            .all(|value| value.as_ref() == Some(&first))
            .then_some(first)
    }

    fn of_member(&self, at: At, module: &str, name: &str) -> Option<Value> {
        let there = At {
            file: self.project.module(module)?,
            scope: ScopeId::MODULE,
            ..at.deeper()?
        };
        self.of_name(there, name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::project::of_texts::{last_line, parsed};
    use super::*;

    fn last_value(files: &[(&str, &str)]) -> Option<String> {
        let parsed = parsed(files);
        let project = Project::new(&parsed, &[PathBuf::from("/project")]);
        let (id, last) = last_line(&project);
        value_of(&project, id, ScopeId::MODULE, last).map(Value::into_text)
    }

    #[test]
    fn paths_made_in_the_usual_ways_are_known() {
        for (text, value) in [
            ("'app.db'", "app.db"),
            ("A = 'app'\nA + '.db'", "app.db"),
            ("A = 'app'\nf'data/{A}.db'", "data/app.db"),
            (
                "from pathlib import Path\nstr(Path('data') / 'app.db')",
                "data/app.db",
            ),
            (
                "import pathlib\npathlib.Path(__file__).resolve().parent / 'app.db'",
                "/project/app.db",
            ),
            (
                "from pathlib import Path\nPath(__file__).parents[1] / 'app.db'",
                "/app.db",
            ),
            (
                "import os\nos.path.join(os.path.dirname(__file__), 'app.db')",
                "/project/app.db",
            ),
            (
                "from os import path\npath.join(path.dirname(path.abspath(__file__)), '..', 'a.db')",
                "/project/../a.db",
            ),
            (
                "from pathlib import Path\nPath('a').with_suffix('.db').as_posix()",
                "a.db",
            ),
        ] {
            assert_eq!(
                last_value(&[("/project/a.py", text)]).as_deref(),
                Some(value),
                "{text}"
            );
        }
    }

    #[test]
    fn constants_of_other_modules_are_known() {
        let files = [
            ("/project/config.py", "DB = 'app.db'\n"),
            ("/project/use.py", "import config\nconfig.DB\n"),
        ];
        assert_eq!(last_value(&files).as_deref(), Some("app.db"));
        let files = [
            ("/project/config.py", "DB = 'app.db'\n"),
            ("/project/use.py", "from config import DB as X\nX\n"),
        ];
        assert_eq!(last_value(&files).as_deref(), Some("app.db"));
    }

    #[test]
    fn a_constant_that_another_module_changes_is_not_known() {
        for change in [
            "config.DB = 'b.db'",
            "from app import config as c\nc.DB += '2'",
            "import config\nsetattr(config, 'DB', 'b.db')",
        ] {
            let files = [
                ("/project/config.py", "DB = 'a.db'\n"),
                ("/project/main.py", change),
                ("/project/use.py", "import config\nconfig.DB\n"),
            ];
            assert_eq!(last_value(&files), None, "{change}");
        }
    }

    #[test]
    fn what_may_be_otherwise_is_not_known() {
        for text in [
            "import os\nos.environ['DB']",
            "A = 'a'\nA = 'b'\nA",
            "def f(): return 'a'\nf()",
            "A = 'a'\nA += 'b'\nA",
            "f'{unknown}.db'",
        ] {
            assert_eq!(last_value(&[("/project/a.py", text)]), None, "{text}");
        }
    }
}
