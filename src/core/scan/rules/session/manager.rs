//! Which manager a session is of: that of a path, or a named one.

use super::arguments::Arguments;
use crate::core::scan::case::Case;
use crate::core::scan::project::Project;
use crate::core::scan::rules::Choice;
use crate::core::scan::sites::path_argument;
use crate::core::scan::syntax::{Expr, Visitor, visitor};
use std::path::{Path, absolute};

/// The expression of a manager.
#[derive(Debug)]
pub struct Manager {
    /// Its source.
    pub expression: String,
    /// Whether it is one by name.
    pub is_named: bool,
    /// What must be so, and is not seen here.
    pub condition: Option<String>,
}

impl Manager {
    /// That of a call's database.
    pub fn of(case: &Case<'_, '_>, arguments: &Arguments, choice: &Choice) -> Self {
        let by_path = Self {
            expression: format!("DatabaseManager.at({})", arguments.path),
            is_named: false,
            condition: None,
        };
        let path = case.database.path.as_deref().map(Path::new);
        let Some(path) = path.filter(|_| choice.has("DBM108")) else {
            return by_path;
        };
        let is_certain = path.is_absolute();
        let Ok(whole) = absolute(path) else {
            return by_path;
        };
        match choice.databases.iter().find(|(known, _)| *known == whole) {
            // A test that puts another path there means it.
            _ if is_replaced(case) => by_path,
            Some((_, name)) if is_certain || choice.with_unsafe => Self {
                expression: format!("DatabaseManager.named(\"{name}\")"),
                is_named: true,
                condition: (!is_certain).then(|| {
                    format!(
                        "if '{}' is meant from the folder of the configuration",
                        path.display()
                    )
                }),
            },
            _ => by_path,
        }
    }
}

/// Whether some code assigns to an attribute that has the name of one in the path's expression.
fn is_replaced(case: &Case<'_, '_>) -> bool {
    struct Finder<'a, 'p>(&'a Project<'p>, bool);
    impl<'e> Visitor<'e> for Finder<'_, '_> {
        fn visit_expr(&mut self, expression: &'e Expr) {
            let name = match expression {
                Expr::Name(name) => Some(name.id.as_str()),
                Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
                _ => None,
            };
            self.1 |= name.is_some_and(|name| self.0.replaces_attribute(name));
            visitor::walk_expr(self, expression);
        }
    }
    let mut finder = Finder(case.project, false);
    if let Some(path) = path_argument(case.site.call) {
        finder.visit_expr(path);
    }
    finder.1
}
