//! Imports that a file gets, where others of their sort stand, and imports that it needs no more.

use super::edits::Edit;
use super::names::{Binding, Bound, ScopeId};
use super::project::{FileId, Project, ProjectFile};
use super::source::Source;
use super::syntax::{Ranged, Stmt, TextRange, TextSize, ast};
use foldhash::HashSet;
use std::sync::LazyLock;

/// The stdlib's modules, as `sys.stdlib_module_names` of Python 3.11 to 3.13 tells them, without those that begin with `_`.
static STDLIB: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("stdlib_modules.txt").lines().collect());

/// Whether a dotted name is the stdlib's, or a builtin.
pub fn is_stdlib(dotted: &str) -> bool {
    let first = dotted.split('.').next().unwrap_or(dotted);
    STDLIB.contains(first) || first == "builtins" || first.starts_with('_')
}

const PACKAGE: &str = "dbmanager";

/// What is imported of our package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Import {
    /// `import dbmanager`
    Package,
    /// `from dbmanager import DatabaseManager`
    Manager,
}

impl Import {
    /// The name that it binds.
    pub fn name(self) -> &'static str {
        match self {
            Self::Package => PACKAGE,
            Self::Manager => "DatabaseManager",
        }
    }

    fn statement(self) -> String {
        match self {
            Self::Package => format!("import {PACKAGE}"),
            Self::Manager => format!("from {PACKAGE} import {}", self.name()),
        }
    }

    fn is_bound_by(self, binding: &Binding<'_>) -> bool {
        match binding.bound {
            Bound::Import(module) => self == Self::Package && module == PACKAGE,
            Bound::Member {
                module,
                level,
                name,
            } => self == Self::Manager && level == 0 && module == PACKAGE && name == self.name(),
            _ => false,
        }
    }
}

/// Whether a name in a scope is, or can be made, what an import binds: nothing else is bound to it.
pub fn is_free_for(file: &ProjectFile<'_>, scope: ScopeId, import: Import) -> bool {
    let bound = file.names.lookup(import.name(), scope);
    let module = file.names.bound_in(ScopeId::MODULE, import.name());
    let bindings = bound.map_or(&[][..], |(_, bindings)| bindings);
    bindings
        .iter()
        .chain(module)
        .all(|binding| import.is_bound_by(binding))
}

/// The edits that give a file imports at its top, without those that it has there. The imports are in order.
pub fn at_top(project: &Project<'_>, id: FileId, imports: &[Import]) -> Vec<Edit> {
    let file = project.file(id);
    let body = &file.parsed.module.body;
    let source = &file.parsed.source;
    let mut edits = Vec::new();
    let mut blocks: Vec<(Place, String)> = Vec::new();
    for import in imports.iter().filter(|import| !has(body, **import)) {
        let mut statements = body.iter();
        if let Some(edit) = statements.find_map(|statement| joined(source, statement, *import)) {
            edits.push(edit);
            continue;
        }
        let place = Place::of(project, id, *import);
        match blocks.last_mut() {
            // In one block of their own.
            Some((last, text)) if *last == place && place.makes_block() => {
                *text = format!("{text}{}{}", source.line_end_mark(), import.statement());
            }
            _ => blocks.push((place, import.statement())),
        }
    }
    edits.extend(blocks.iter().map(|(place, text)| place.edit(source, text)));
    edits
}

/// The edits that give a function an import behind a statement of its own.
pub fn behind(source: &Source, body: &[Stmt], statement: &Stmt, import: Import) -> Vec<Edit> {
    if has(body, import) {
        return Vec::new();
    }
    let indentation = source.indentation(statement.range().start()).to_owned();
    let text = format!("{indentation}{}", import.statement());
    vec![after_line(source, statement.range(), &text)]
}

fn has(body: &[Stmt], import: Import) -> bool {
    body.iter().any(|statement| match statement {
        Stmt::Import(found) => {
            import == Import::Package
                && found
                    .names
                    .iter()
                    .any(|alias| alias.asname.is_none() && alias.name.as_str() == PACKAGE)
        }
        Stmt::ImportFrom(found) => {
            let names =
                |alias: &ast::Alias| alias.asname.is_none() && alias.name.as_str() == import.name();
            is_of_package(found) && import == Import::Manager && found.names.iter().any(names)
        }
        _ => false,
    })
}

fn is_of_package(import: &ast::StmtImportFrom) -> bool {
    import.level == 0
        && import
            .module
            .as_ref()
            .is_some_and(|module| module.as_str() == PACKAGE)
}

/// `from dbmanager import …` that has room for another name.
fn joined(source: &Source, statement: &Stmt, import: Import) -> Option<Edit> {
    let Stmt::ImportFrom(found) = statement else {
        return None;
    };
    if import != Import::Manager || !is_of_package(found) {
        return None;
    }
    let text = source.slice(found.range);
    let first = found
        .names
        .first()
        .filter(|alias| alias.name.as_str() != "*")?;
    if text.contains(['(', '\\', '\n', '\r']) {
        return None;
    }
    let next = found
        .names
        .iter()
        .find(|alias| alias.name.as_str() > import.name());
    Some(match next {
        Some(next) => Edit::insert(next.range.start(), format!("{}, ", import.name())),
        None => {
            let last = found.names.last().unwrap_or(first);
            Edit::insert(last.range.end(), format!(", {}", import.name()))
        }
    })
}

/// Whose module an import is of, in the order in which imports stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Future,
    Stdlib,
    Other,
    Own,
}

/// Where a new import goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a statement, in its block.
    Before(TextRange),
    /// Before a statement, as a block of its own.
    Above(TextRange),
    /// Behind a statement, in its block.
    Behind(TextRange),
    /// Behind a statement, as a block of its own.
    Below(TextRange),
    /// There is no statement to stand by.
    Begin(TextSize),
}

impl Place {
    fn of(project: &Project<'_>, id: FileId, import: Import) -> Self {
        let body = &project.file(id).parsed.module.body;
        let is_docstring = |statement: &Stmt| matches!(statement, Stmt::Expr(expression) if expression.value.is_string_literal_expr());
        let docstring = body.first().filter(|statement| is_docstring(statement));
        let rest = &body[usize::from(docstring.is_some())..];
        let known = |statement: &'_ Stmt| sorted(project, id, statement);
        let imports: Vec<_> = rest.iter().map_while(known).collect();
        let others = || imports.iter().filter(|found| found.whose == Whose::Other);
        let key = (import == Import::Manager, PACKAGE);
        if let Some(next) = others().find(|found| (found.is_from, found.module.as_str()) > key) {
            return Self::Before(next.range);
        }
        if let Some(last) = others().next_back() {
            return Self::Behind(last.range);
        }
        if let Some(last) = imports.iter().rfind(|found| found.whose < Whose::Other) {
            return Self::Below(last.range);
        }
        match (imports.first(), docstring, rest.first()) {
            (Some(first), ..) => Self::Above(first.range),
            (None, Some(docstring), _) => Self::Below(docstring.range()),
            (None, None, Some(first)) => Self::Above(first.range()),
            (None, None, None) => Self::Begin(TextSize::new(0)),
        }
    }

    fn makes_block(self) -> bool {
        !matches!(self, Self::Before(_) | Self::Behind(_))
    }

    fn edit(&self, source: &Source, text: &str) -> Edit {
        let end = source.line_end_mark();
        let above =
            |range: &TextRange, text: String| Edit::insert(source.line_start(range.start()), text);
        match self {
            Self::Before(range) => above(range, format!("{text}{end}")),
            Self::Above(range) => above(range, format!("{text}{end}{end}")),
            Self::Behind(range) => after_line(source, *range, text),
            Self::Below(range) if source.is_blank_below(range.end()) => {
                after_line(source, *range, &format!("{end}{text}"))
            }
            Self::Below(range) => after_line(source, *range, text),
            Self::Begin(at) => Edit::insert(*at, format!("{text}{end}")),
        }
    }
}

struct Found {
    whose: Whose,
    is_from: bool,
    module: String,
    range: TextRange,
}

/// What is needed to put an import in order; None for another statement.
fn sorted(project: &Project<'_>, id: FileId, statement: &Stmt) -> Option<Found> {
    let (module, level, is_from) = match statement {
        Stmt::Import(import) => (import.names.first()?.name.as_str(), 0, false),
        Stmt::ImportFrom(import) => (
            import.module.as_ref().map_or("", |module| module.as_str()),
            import.level,
            true,
        ),
        _ => return None,
    };
    let whose = match module {
        "__future__" => Whose::Future,
        _ if level > 0 || project.has_package_of(id, module) => Whose::Own,
        _ if is_stdlib(module) => Whose::Stdlib,
        _ => Whose::Other,
    };
    Some(Found {
        whose,
        is_from,
        module: module.to_owned(),
        range: statement.range(),
    })
}

/// Put lines below the one that a statement ends on.
fn after_line(source: &Source, statement: TextRange, text: &str) -> Edit {
    let end = source.line_end_mark();
    let (at, is_ended) = source.next_line(statement.end());
    match is_ended {
        true => Edit::insert(at, format!("{text}{end}")),
        false => Edit::insert(at, format!("{end}{text}")),
    }
}

/// The edit that leaves out what a name is bound by, if it is an import, there is no other statement on its line, and its
/// suite does not end up empty.
pub fn removal(source: &Source, suite: &[Stmt], at: TextSize) -> Option<Edit> {
    let statement = suite
        .iter()
        .find(|statement| statement.range().contains(at))?;
    let aliases = match statement {
        Stmt::Import(import) => &import.names,
        Stmt::ImportFrom(import) => &import.names,
        _ => return None,
    };
    let index = aliases.iter().position(|alias| alias.range.contains(at))?;
    if aliases.len() > 1 {
        return Some(Edit::delete(match aliases.get(index + 1) {
            Some(next) => TextRange::new(aliases[index].range.start(), next.range.start()),
            None => TextRange::new(aliases[index - 1].range.end(), aliases[index].range.end()),
        }));
    }
    let whole = source.whole_lines(statement.range());
    let is_alone = source.is_alone_on_its_lines(statement.range()) && suite.len() > 1;
    is_alone.then(|| Edit::delete(source.with_blank_line_below(whole)))
}
