//! Tests that put something in the place of `sqlite3.connect`: a module that was rewritten calls another function.

use super::files;
use super::libraries::Kind;
use super::names::{Names, ScopeId};
use super::project::{FileId, Project};
use super::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor};
use super::walk::{Scoped, walk_stmt};
use serde::Serialize;

/// A place where the function is replaced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Patch {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// The last names of functions that replace what they are given: `mock.patch`, `patch.object`, `monkeypatch.setattr`.
const REPLACING: [&str; 4] = ["patch", "object", "setattr", "replace"];

/// Find the places in a file.
pub fn patches(project: &Project<'_>, id: FileId) -> Vec<Patch> {
    let file = project.file(id);
    let mut finder = Finder {
        project,
        file: id,
        names: &file.names,
        scope: ScopeId::MODULE,
        found: Vec::new(),
    };
    for (scope, call) in file.names.calls() {
        finder.scope = *scope;
        if finder.replaces(call) {
            finder.found.push(call.range());
        }
    }
    if file.names.assigns_attribute("connect") {
        finder.visit_body(&file.parsed.module.body);
    }
    finder.found.sort_by_key(|range| range.start());
    let source = &file.parsed.source;
    let patch = |range: TextRange| Patch {
        file: files::shown(&source.path),
        line: source.position(range.start()).line,
    };
    finder.found.into_iter().map(patch).collect()
}

struct Finder<'a, 'p> {
    project: &'p Project<'a>,
    file: FileId,
    names: &'p Names<'a>,
    scope: ScopeId,
    found: Vec<TextRange>,
}

impl<'a> Finder<'a, '_> {
    fn replaces(&self, call: &ExprCall) -> bool {
        let last = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(method) => method.attr.as_str(),
            _ => return false,
        };
        if !REPLACING.contains(&last) {
            return false;
        }
        match &*call.arguments.args {
            [Expr::StringLiteral(target), ..] => names_function(target.value.to_str()),
            [module, Expr::StringLiteral(name), ..] if name.value.to_str() == "connect" => {
                let named = self.project.named(self.file, self.scope, module);
                let mut whole = named
                    .names
                    .iter()
                    .map(|module| format!("{module}.{}", name.value.to_str()));
                whole.any(|name| names_function(&name))
            }
            _ => false,
        }
    }

    fn is_function(&self, target: &Expr) -> bool {
        let may_be = target
            .as_attribute_expr()
            .is_some_and(|attribute| attribute.attr.as_str() == "connect");
        may_be
            && self
                .project
                .named(self.file, self.scope, target)
                .names
                .iter()
                .any(|name| names_function(name))
    }
}

fn names_function(name: &str) -> bool {
    Kind::of_name(name) == Some(Kind::Sqlite3) && name.ends_with(".connect")
}

impl<'a> Scoped<'a> for Finder<'a, '_> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Visitor<'a> for Finder<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if let Stmt::Assign(assign) = statement
            && assign.targets.iter().any(|target| self.is_function(target))
        {
            self.found.push(assign.range);
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, _: &'a Expr) {}
}

#[cfg(test)]
mod tests {
    use super::super::project::of_texts::parsed;
    use super::*;

    #[test]
    fn replacements_are_found_in_the_usual_forms() {
        let text = "import sqlite3\nfrom unittest.mock import patch\nimport app.db\n\
                    @patch('sqlite3.connect')\ndef test_a(m): pass\n\
                    def test_b(monkeypatch):\n    monkeypatch.setattr(sqlite3, 'connect', f)\n    \
                    monkeypatch.setattr('app.db.sqlite3.connect', f)\n    patch.object(sqlite3, 'connect')\n    \
                    sqlite3.connect = f\n    monkeypatch.setattr(sqlite3, 'Row', f)\n    'x'.replace('a', 'b')\n    \
                    patch('app.other.connect')\n";
        let parsed = parsed(&[("a.py", text)]);
        let project = Project::new(&parsed, &[]);
        let (id, _) = project.files().next().unwrap();
        let lines: Vec<usize> = patches(&project, id)
            .iter()
            .map(|patch| patch.line)
            .collect();
        assert_eq!(lines, [4, 7, 8, 9, 10]);
    }
}
