//! Values that are named as attributes: of an instance, a class, a module, or a path.

use super::{At, Evaluator, Value};
use crate::core::scan::names::{Binding, Bound, ScopeId, ScopeKind};
use crate::core::scan::project::FileId;
use crate::core::scan::syntax::{Expr, ExprCall, ast};

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn of_attribute(&self, at: At, attribute: &ast::ExprAttribute) -> Option<Value> {
        let name = attribute.attr.as_str();
        if let Expr::Name(instance) = &*attribute.value {
            let names = &self.project.file(at.file).names;
            if let Some(class) = names.class_of_instance(instance.id.as_str(), at.scope) {
                return self.of_member_of_class(at, class, name);
            }
        }
        let named = self.project.named(at.file, at.scope, &attribute.value);
        if let Some(named) = named.certain() {
            if self.project.module(named).is_some() {
                return self.of_member(at, named, name);
            }
            if let Some((file, class)) = self.project.class(named) {
                let there = At {
                    file,
                    ..at.deeper()?
                };
                return self.of_member_of_class(there, class, name);
            }
        }
        if let Some((file, class)) = self.class_of(at, &attribute.value) {
            let there = At {
                file,
                ..at.deeper()?
            };
            return self.of_member_of_class(there, class, name);
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

    /// The one value that a class gives an attribute, if nothing else gives it another one.
    fn of_member_of_class(&self, at: At, class: ScopeId, attribute: &str) -> Option<Value> {
        let names = &self.project.file(at.file).names;
        let ScopeKind::Class(node) = names.scope(class).kind else {
            return None;
        };
        let value = self.of_bindings(at, attribute, &names.attribute_of(class, attribute))?;
        if self.sets_attributes_by_name(at.file, node) {
            return None;
        }
        let is_changed = self.project.assigns_attribute(attribute)
            || self
                .project
                .overrides_attribute(node.name.as_str(), attribute);
        (!is_changed).then_some(value)
    }

    /// Whether a class, or one that is derived from it, sets attributes by names that are not seen, or is an enumeration.
    fn sets_attributes_by_name(&self, file: FileId, class: &ast::StmtClassDef) -> bool {
        let sets = |text: &str| {
            ["setattr", "__dict__", "vars("]
                .iter()
                .any(|word| text.contains(word))
        };
        let last_name = |base: &Expr| match base {
            Expr::Name(name) => name.id.as_str().to_owned(),
            Expr::Attribute(name) => name.attr.as_str().to_owned(),
            _ => String::new(),
        };
        let is_enumeration = class.bases().iter().any(|base| {
            let name = last_name(base);
            name.ends_with("Enum") || name.ends_with("Flag")
        });
        let own = self.project.file(file).parsed.source.slice(class.range);
        is_enumeration || sets(own) || self.project.heirs(class.name.as_str()).any(sets)
    }

    /// The class of an object that is made once and bound to a name: `settings = Settings()`.
    fn class_of(&self, at: At, object: &Expr) -> Option<(FileId, ScopeId)> {
        let at = at.deeper()?;
        match object {
            Expr::Call(call) => self.class_called(at, call),
            Expr::Name(name) => {
                let names = &self.project.file(at.file).names;
                let (_, bindings) = names.lookup(name.id.as_str(), at.scope)?;
                self.class_of_bound(at, bindings)
            }
            Expr::Attribute(attribute) => {
                let name = attribute.attr.as_str();
                if let Expr::Name(instance) = &*attribute.value {
                    let names = &self.project.file(at.file).names;
                    if let Some(class) = names.class_of_instance(instance.id.as_str(), at.scope) {
                        return self.class_of_bound(at, &names.attribute_of(class, name));
                    }
                }
                let named = self.project.named(at.file, at.scope, &attribute.value);
                if let Some(module) = named.certain() {
                    return self.class_of_member(at, module, name);
                }
                let (file, class) = self.class_of(at, &attribute.value)?;
                let names = &self.project.file(file).names;
                self.class_of_bound(At { file, ..at }, &names.attribute_of(class, name))
            }
            _ => None,
        }
    }

    fn class_of_bound(&self, at: At, bindings: &[Binding<'a>]) -> Option<(FileId, ScopeId)> {
        let [binding] = bindings else {
            return None;
        };
        match binding.bound {
            Bound::Value(value) => self.class_of(at.in_scope(binding.scope), value),
            Bound::Member {
                module,
                level,
                name,
            } => {
                let dotted = self.project.file(at.file).absolute(module, level);
                self.class_of_member(at, &dotted, name)
            }
            _ => None,
        }
    }

    fn class_of_member(&self, at: At, module: &str, name: &str) -> Option<(FileId, ScopeId)> {
        let there = At {
            file: self.project.module(module)?,
            scope: ScopeId::MODULE,
            ..at.deeper()?
        };
        let names = &self.project.file(there.file).names;
        self.class_of_bound(there, names.bound_in(ScopeId::MODULE, name))
    }

    /// The class that a call makes an instance of, if its own text tells what its instances have: others may be made by what
    /// they are derived from, or decorated with. A dataclass's have what its body says, if nothing else is given.
    fn class_called(&self, at: At, call: &ExprCall) -> Option<(FileId, ScopeId)> {
        let named = self.project.named(at.file, at.scope, &call.func);
        let (file, class) = self.project.class(named.certain()?)?;
        let ScopeKind::Class(node) = self.project.file(file).names.scope(class).kind else {
            return None;
        };
        let is_dataclass = |decorator: &ast::Decorator| {
            let decorator = match &decorator.expression {
                Expr::Call(call) => &*call.func,
                other => other,
            };
            let named = self.project.named(file, ScopeId::MODULE, decorator);
            named.certain() == Some("dataclasses.dataclass")
        };
        let is_plain = match &*node.decorator_list {
            [] => true,
            [decorator] => is_dataclass(decorator) && call.arguments.is_empty(),
            _ => false,
        };
        (is_plain && node.arguments.is_none()).then_some((file, class))
    }
}
