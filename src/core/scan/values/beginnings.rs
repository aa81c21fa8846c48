//! How texts begin whose rest may not be known: the statements that a connection runs.

use super::{At, Evaluator, Value};
use crate::core::scan::names::{Binding, Bound, ScopeId};
use crate::core::scan::project::{FileId, Project};
use crate::core::scan::syntax::{Expr, ExprCall, ast};

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

impl<'a> Evaluator<'_, 'a> {
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

    pub(super) fn of_parts(&self, at: At, literal: &ast::ExprFString) -> Beginning {
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
}

fn common_beginning<'t>(first: &'t str, second: &str) -> &'t str {
    let mut pairs = first.char_indices().zip(second.chars());
    let end = pairs
        .find(|((_, one), other)| one != other)
        .map(|((at, _), _)| at);
    &first[..end.unwrap_or(first.len().min(second.len()))]
}

#[cfg(test)]
mod tests {
    use super::super::super::project::of_texts::{last_line, parsed};
    use super::*;
    use std::path::PathBuf;

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
