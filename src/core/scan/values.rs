//! What a text or path expression is worth, where the project's own source leaves no doubt.

use super::callers;
use super::names::{Binding, Bound, ScopeId, ScopeKind};
use super::project::{FileId, Project};
use super::syntax::{Expr, ExprCall, ast};
use std::path::{Path, PathBuf};

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
const FOLLOWED: usize = 20;

/// How many of these one caller counts for: each has callers of its own.
const CALLER: usize = 6;

/// The value of an expression, if it is certain.
pub fn value_of(
    project: &Project<'_>,
    file: FileId,
    scope: ScopeId,
    expression: &Expr,
) -> Option<Value> {
    Evaluator { project }.value(At::new(file, scope), expression)
}

/// The beginning of a text that is known, for an expression whose rest may not be: `f"INSERT INTO {table}"`.
pub fn text_begins(
    project: &Project<'_>,
    file: FileId,
    scope: ScopeId,
    expression: &Expr,
) -> Option<Beginning> {
    Evaluator { project }.beginning(At::new(file, scope), expression)
}

/// The beginnings of all texts that an expression may be: several, if it is a loop's name for those of a list that is
/// written out.
pub fn texts_begin(
    project: &Project<'_>,
    file: FileId,
    scope: ScopeId,
    expression: &Expr,
) -> Option<Vec<Beginning>> {
    let evaluator = Evaluator { project };
    let at = At::new(file, scope);
    match expression {
        Expr::Name(name) => evaluator.each_of_name(at, name.id.as_str()),
        _ => None,
    }
    .or_else(|| Some(vec![evaluator.beginning(at, expression)?]))
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

/// A text as far as it is known.
pub struct Beginning {
    /// What it begins with.
    pub text: String,
    /// Whether that is all.
    pub is_whole: bool,
}

impl Beginning {
    fn whole(text: String) -> Self {
        Self {
            text,
            is_whole: true,
        }
    }

    /// What this one and another one have in common.
    fn common_with(self, other: Self) -> Self {
        match self.text == other.text {
            true => Self {
                is_whole: self.is_whole && other.is_whole,
                ..self
            },
            false => Self::of(common_beginning(&self.text, &other.text)),
        }
    }

    fn of(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_whole: false,
        }
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

    fn beginning(&self, at: At, expression: &Expr) -> Option<Beginning> {
        let at = at.deeper()?;
        match expression {
            Expr::FString(literal) => Some(self.of_parts(at, literal)),
            Expr::BinOp(operation) if operation.op == ast::Operator::Add => {
                let first = self.beginning(at, &operation.left)?;
                if !first.is_whole {
                    return Some(first);
                }
                Some(match self.beginning(at, &operation.right) {
                    Some(second) => Beginning {
                        text: first.text + &second.text,
                        is_whole: second.is_whole,
                    },
                    None => Beginning::of(first.text),
                })
            }
            // "… %s" % x and "… {}".format(x): the beginning is before the first place to be filled.
            Expr::BinOp(operation) if operation.op == ast::Operator::Mod => {
                let Beginning { text, .. } = self.beginning(at, &operation.left)?;
                Some(Beginning::of(text.split('%').next()?))
            }
            Expr::Call(call) => match &*call.func {
                Expr::Attribute(method) if method.attr.as_str() == "format" => {
                    let Beginning { text, .. } = self.beginning(at, &method.value)?;
                    Some(Beginning::of(text.split('{').next()?))
                }
                Expr::Attribute(method)
                    if matches!(method.attr.as_str(), "strip" | "lstrip" | "rstrip") =>
                {
                    self.beginning(at, &method.value)
                }
                _ if self.keeps_beginning(at, call) => {
                    self.beginning(at, call.arguments.args.first()?)
                }
                _ => self.whole(at, expression),
            },
            Expr::Name(name) => self.beginning_of_name(at, name.id.as_str()),
            _ => self.whole(at, expression),
        }
    }

    fn whole(&self, at: At, expression: &Expr) -> Option<Beginning> {
        let value = self.value(at, expression)?;
        Some(Beginning::whole(value.into_text()))
    }

    fn of_parts(&self, at: At, literal: &ast::ExprFString) -> Beginning {
        let mut text = String::new();
        for part in &literal.value {
            let elements = match part {
                ast::FStringPart::Literal(part) => {
                    text.push_str(part);
                    continue;
                }
                ast::FStringPart::FString(part) => &part.elements,
            };
            for element in elements {
                match self.element(at, element) {
                    Some(part) => text.push_str(&part),
                    None => return Beginning::of(text),
                }
            }
        }
        Beginning::whole(text)
    }

    /// Whether a function gives a text that begins as its argument, blanks aside.
    fn keeps_beginning(&self, at: At, call: &ExprCall) -> bool {
        let named = self.project.named(at.file, at.scope, &call.func);
        matches!(
            named.certain(),
            Some("textwrap.dedent" | "inspect.cleandoc" | "sqlalchemy.text")
        )
    }

    /// A name whose texts all begin alike; what `+=` adds stands behind.
    fn beginning_of_name(&self, at: At, name: &str) -> Option<Beginning> {
        let (_, bindings) = self.project.file(at.file).names.lookup(name, at.scope)?;
        let mut common: Option<Beginning> = None;
        let mut is_extended = false;
        for binding in bindings {
            let beginning = match binding.bound {
                Bound::Extended => {
                    is_extended = true;
                    continue;
                }
                Bound::Value(value) => self.beginning(at.in_scope(binding.scope), value)?,
                _ => Beginning::whole(self.of_binding(at, binding)?.into_text()),
            };
            common = Some(match common {
                None => beginning,
                Some(before) => before.common_with(beginning),
            });
        }
        let common = common?;
        Some(Beginning {
            is_whole: common.is_whole && !is_extended,
            ..common
        })
    }

    /// How the texts begin that a loop's name stands for.
    fn each_of_name(&self, at: At, name: &str) -> Option<Vec<Beginning>> {
        let (_, bindings) = self.project.file(at.file).names.lookup(name, at.scope)?;
        let [
            Binding {
                bound: Bound::Each(values),
                scope,
                ..
            },
        ] = bindings
        else {
            return None;
        };
        let at = at.in_scope(*scope);
        let elements = self.elements(at, values)?;
        elements
            .iter()
            .map(|element| self.beginning(at, element))
            .collect()
    }

    /// Whether a name stands where it is bound and where it is gone through, and nowhere else: nothing changes its list.
    fn is_named_twice(&self, name: &str) -> bool {
        let texts = self
            .project
            .files()
            .map(|(_, file)| file.parsed.source.text.as_bytes());
        let count = |text| memchr::memmem::find_iter(text, name.as_bytes()).count();
        texts.map(count).sum::<usize>() == 2
    }

    /// The elements of a list or tuple that is written out, there or where its name is bound.
    fn elements(&self, at: At, values: &'a Expr) -> Option<&'a [Expr]> {
        match values {
            Expr::List(list) => Some(&list.elts),
            Expr::Tuple(tuple) => Some(&tuple.elts),
            Expr::Set(set) => Some(&set.elts),
            Expr::Name(name) => {
                let names = &self.project.file(at.file).names;
                let (_, bindings) = names.lookup(name.id.as_str(), at.scope)?;
                match bindings {
                    [
                        Binding {
                            bound: Bound::Value(value),
                            scope,
                            ..
                        },
                    ] if value.is_tuple_expr() || self.is_named_twice(name.id.as_str()) => {
                        self.elements(at.in_scope(*scope).deeper()?, value)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn element(&self, at: At, element: &ast::InterpolatedStringElement) -> Option<String> {
        match element {
            ast::InterpolatedStringElement::Literal(literal) => Some(literal.value.to_string()),
            ast::InterpolatedStringElement::Interpolation(part) => {
                let plain = part.conversion.is_none()
                    && part.format_spec.is_none()
                    && part.debug_text.is_none();
                let value = plain.then(|| self.value(at, &part.expression))?;
                value.map(Value::into_text)
            }
        }
    }

    fn own_path(&self, at: At) -> Option<String> {
        let path = std::path::absolute(&self.project.file(at.file).parsed.source.path).ok()?;
        Some(path.to_string_lossy().into_owned())
    }

    fn of_name(&self, at: At, name: &str) -> Option<Value> {
        let (_, bindings) = self.project.file(at.file).names.lookup(name, at.scope)?;
        self.of_bindings(at, name, bindings)
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

    fn of_attribute(&self, at: At, attribute: &ast::ExprAttribute) -> Option<Value> {
        let name = attribute.attr.as_str();
        if let Expr::Name(instance) = &*attribute.value {
            let names = &self.project.file(at.file).names;
            if let Some(class) = names.class_of_instance(instance.id.as_str(), at.scope) {
                return self.of_bindings(at, name, &names.attribute_of(class, name));
            }
        }
        if let Some(module) = self
            .project
            .named(at.file, at.scope, &attribute.value)
            .certain()
            && self.project.module(module).is_some()
        {
            return self.of_member(at, module, name);
        }
        let Value::Path(path) = self.value(at, &attribute.value)? else {
            return None;
        };
        match name {
            "parent" => path.parent().map(|parent| Value::Path(parent.to_owned())),
            "name" => path
                .file_name()
                .map(|name| Value::Text(name.to_string_lossy().into_owned())),
            "stem" => path
                .file_stem()
                .map(|name| Value::Text(name.to_string_lossy().into_owned())),
            _ => None,
        }
    }

    /// `path.parents[n]`
    fn of_parents(&self, at: At, subscript: &ast::ExprSubscript) -> Option<Value> {
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

    fn of_call(&self, at: At, call: &ExprCall) -> Option<Value> {
        if !call.arguments.keywords.is_empty() {
            return None;
        }
        if let Some(value) = self.of_method(at, call) {
            return Some(value);
        }
        let named = self.project.named(at.file, at.scope, &call.func);
        let function = named.certain()?;
        let arguments = call
            .arguments
            .args
            .iter()
            .map(|argument| self.value(at, argument));
        let arguments: Vec<Value> = arguments.collect::<Option<_>>()?;
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

    fn of_method(&self, at: At, call: &ExprCall) -> Option<Value> {
        let Expr::Attribute(method) = &*call.func else {
            return None;
        };
        let Value::Path(path) = self.value(at, &method.value)? else {
            return None;
        };
        let arguments = call
            .arguments
            .args
            .iter()
            .map(|argument| self.value(at, argument));
        let arguments: Vec<Value> = arguments.collect::<Option<_>>()?;
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

fn common_beginning<'t>(first: &'t str, second: &str) -> &'t str {
    let mut pairs = first.char_indices().zip(second.chars());
    let end = pairs
        .find(|((_, one), other)| one != other)
        .map(|((at, _), _)| at);
    &first[..end.unwrap_or(first.len().min(second.len()))]
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

    #[test]
    fn the_beginning_of_a_text_is_known_where_its_rest_is_not() {
        for (text, beginning) in [
            ("f'DELETE FROM {x}'", Some("DELETE FROM ")),
            ("'DELETE FROM %s' % x", Some("DELETE FROM ")),
            ("'DELETE FROM {}'.format(x)", Some("DELETE FROM ")),
            ("q = 'SELECT a'\nq += x\nq", Some("SELECT a")),
            ("q = 'SELECT a'\nq = 'SELECT b'\nq", Some("SELECT ")),
            (
                "from textwrap import dedent as d\nd('SELECT 1')",
                Some("SELECT 1"),
            ),
            (
                "import textwrap\ntextwrap.dedent('SELECT 1')",
                Some("SELECT 1"),
            ),
            ("other.dedent('SELECT 1')", None),
            ("x", None),
        ] {
            let parsed = parsed(&[("/project/a.py", text)]);
            let project = Project::new(&parsed, &[PathBuf::from("/project")]);
            let (id, last) = last_line(&project);
            let found = text_begins(&project, id, ScopeId::MODULE, last);
            let found = found.map(|found| found.text);
            assert_eq!(found.as_deref(), beginning, "{text}");
        }
    }
}
