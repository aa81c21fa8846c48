//! Values that are named as attributes: of an instance, a class, a module, or a path.

use super::{At, Evaluator, Value};
use crate::core::scan::syntax::{Expr, ast};

impl Evaluator<'_, '_> {
    pub(super) fn of_attribute(&self, at: At, attribute: &ast::ExprAttribute) -> Option<Value> {
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
}
