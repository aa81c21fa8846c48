//! The files of a project as Python imports them, and what an expression in one of them names, followed through
//! imports, re-exports and aliases.

use super::callers;
use super::importing::is_stdlib;
use super::imports::is_test;
use super::libraries;
use super::names::{Binding, Bound, Names, Scope, ScopeId, ScopeKind};
use super::parallel::{STACK_BYTES, in_parallel};
use super::schema;
use super::source::Source;
use super::syntax::{Expr, Module, TextSize, ast};
use foldhash::{HashMap, HashSet};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A file of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(usize);

/// A parsed file.
#[derive(Debug)]
pub struct Parsed {
    /// Its text.
    pub source: Source,
    /// Its tree.
    pub module: Module,
}

/// A file with its names.
#[derive(Debug)]
pub struct ProjectFile<'a> {
    /// Its text and tree.
    pub parsed: &'a Parsed,
    /// Its names.
    pub names: Names<'a>,
    /// Its dotted name, as it is imported.
    pub dotted: String,
    is_package: bool,
}

impl ProjectFile<'_> {
    /// Whether it is the `__init__` of a package.
    pub fn is_package(&self) -> bool {
        self.is_package
    }

    /// The package that a relative import starts from.
    fn package(&self) -> &str {
        if self.is_package {
            return &self.dotted;
        }
        self.dotted
            .rsplit_once('.')
            .map_or("", |(package, _)| package)
    }

    /// The module that `from module import …` with `level` dots means here.
    pub fn absolute(&self, module: &str, level: u32) -> String {
        if level == 0 {
            return module.to_owned();
        }
        let mut base = self.package();
        for _ in 1..level {
            base = base.rsplit_once('.').map_or("", |(package, _)| package);
        }
        join(base, module)
    }
}

/// What an expression may name, as dotted names: `sqlite3.connect`, `app.store.Store`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// All that are known.
    pub names: BTreeSet<String>,
    /// Whether it may be something else, too.
    pub or_other: bool,
}

impl Named {
    fn one(name: impl Into<String>) -> Self {
        Self {
            names: BTreeSet::from([name.into()]),
            or_other: false,
        }
    }

    fn other() -> Self {
        Self {
            names: BTreeSet::new(),
            or_other: true,
        }
    }

    fn add(&mut self, more: Self) {
        self.names.extend(more.names);
        self.or_other |= more.or_other;
    }

    /// The one name, if there is no doubt.
    pub fn certain(&self) -> Option<&str> {
        let mut names = self.names.iter();
        match (names.next(), names.next(), self.or_other) {
            (Some(name), None, false) => Some(name),
            _ => None,
        }
    }
}

/// The parsed files of some roots.
#[derive(Debug)]
pub struct Project<'a> {
    files: Vec<ProjectFile<'a>>,
    /// Looked for when it is asked for first, if no file of SQL declares one.
    foreign_keys: OnceLock<Option<String>>,
    /// Made when they are asked for first.
    last_names: OnceLock<HashSet<&'a str>>,
    callers: OnceLock<callers::Index<'a>>,
    /// By their dotted names, those that there is one of.
    functions: HashMap<String, Option<(FileId, ScopeId)>>,
    classes: HashMap<String, Option<(FileId, ScopeId)>>,
    modules: HashMap<String, FileId>,
}

/// How many imports and aliases are followed one behind another.
const FOLLOWED: usize = 20;

impl<'a> Project<'a> {
    /// Put files together.
    pub fn new(parsed: &'a [Parsed], roots: &[PathBuf]) -> Self {
        let mut packages = Packages::default();
        let names = in_parallel(parsed, STACK_BYTES, |parsed| Names::of(&parsed.module.body));
        let files = parsed.iter().zip(names).map(|(parsed, names)| ProjectFile {
            parsed,
            names,
            dotted: packages.dotted_name(&parsed.source.path, roots),
            is_package: parsed
                .source
                .path
                .file_name()
                .is_some_and(|name| name == "__init__.py"),
        });
        let files: Vec<_> = files.collect();
        let modules = files
            .iter()
            .enumerate()
            .map(|(id, file)| (file.dotted.clone(), FileId(id)));
        let modules = modules.collect();
        let functions = in_modules(&files, |kind| matches!(kind, ScopeKind::Function(_)));
        let classes = in_modules(&files, |kind| matches!(kind, ScopeKind::Class(_)));
        Self {
            files,
            foreign_keys: OnceLock::new(),
            last_names: OnceLock::new(),
            callers: OnceLock::new(),
            functions,
            classes,
            modules,
        }
    }

    /// A file.
    pub fn file(&self, id: FileId) -> &ProjectFile<'a> {
        &self.files[id.0]
    }

    /// All files, with their numbers.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &ProjectFile<'a>)> {
        self.files
            .iter()
            .enumerate()
            .map(|(id, file)| (FileId(id), file))
    }

    /// The function of a dotted name, if there is one only, in a module itself: a method may be another one's.
    pub fn function(&self, dotted: &str) -> Option<(FileId, ScopeId)> {
        *self.functions.get(dotted)?
    }

    /// The class of a dotted name, if there is one only, in a module itself.
    pub fn class(&self, dotted: &str) -> Option<(FileId, ScopeId)> {
        *self.classes.get(dotted)?
    }

    /// Whether code other than tests assigns an attribute of that name to something else than the instance of a class by
    /// which it is defined.
    pub fn assigns_attribute(&self, attribute: &str) -> bool {
        self.files.iter().any(|file| {
            file.names.assigns_attribute(attribute) && !is_test(&file.parsed.source.path)
        })
    }

    /// Whether some code, tests among it, assigns an attribute of that name.
    pub fn replaces_attribute(&self, attribute: &str) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.names.assigns_attribute(attribute))
    }

    /// The texts of the classes that are derived from one of that name.
    pub fn heirs(&self, class: &str) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(move |file| {
            file.names.scopes().filter_map(move |(_, scope)| {
                let ScopeKind::Class(node) = scope.kind else {
                    return None;
                };
                derives(node, class).then(|| file.parsed.source.slice(node.range))
            })
        })
    }

    /// Whether a class that is derived from one of that name has an attribute of its own of this name.
    pub fn overrides_attribute(&self, class: &str, attribute: &str) -> bool {
        self.files.iter().any(|file| {
            file.names.classes_with(attribute).any(|scope| {
                matches!(file.names.scope(scope).kind, ScopeKind::Class(node) if derives(node, class))
            })
        })
    }

    /// Whether a dotted name is that of a function or class in a module of the project.
    pub fn defines(&self, dotted: &str) -> bool {
        let Some((module, name)) = dotted.rsplit_once('.') else {
            return false;
        };
        let bindings = self
            .module(module)
            .map(|id| self.file(id).names.bound_in(ScopeId::MODULE, name));
        bindings.is_some_and(|bindings| {
            let is_definition = |binding: &Binding<'_>| {
                matches!(binding.bound, Bound::Function(_) | Bound::Class(_))
            };
            bindings.iter().any(is_definition)
        })
    }

    /// The names of the functions and classes that stand in modules and whose text opens a database, and what these are bound
    /// to: all others need no look at who calls them.
    pub fn names_of_openers(&self) -> HashSet<&'a str> {
        let mut names = HashSet::default();
        for file in &self.files {
            let opens = |range| {
                let text = file.parsed.source.slice(range).as_bytes();
                let has = |word: &str| memchr::memmem::find(text, word.as_bytes()).is_some();
                has("connect(") || has("Connection(") || has("create_engine(")
            };
            for name in file.names.names_in(ScopeId::MODULE) {
                let is_opener = |binding: &Binding<'_>| match binding.bound {
                    Bound::Function(function) => opens(function.range),
                    Bound::Class(class) => opens(class.range),
                    _ => false,
                };
                let bindings = file.names.bound_in(ScopeId::MODULE, name);
                if bindings.iter().any(is_opener) {
                    names.insert(name);
                }
            }
        }
        self.with_aliases(names)
    }

    /// The last names under which the project's files may name a function that opens a database: their own, and what these
    /// are bound to. All others need no further look.
    pub fn last_names(&self) -> &HashSet<&'a str> {
        let names = || self.with_aliases(libraries::LAST_NAMES.into_iter().collect());
        self.last_names.get_or_init(names)
    }

    /// These names, and all that stand for one of them somewhere, also by way of others.
    pub fn with_aliases(&self, mut names: HashSet<&'a str>) -> HashSet<&'a str> {
        loop {
            let before = names.len();
            let aliases = self.files.iter().flat_map(|file| file.names.aliases());
            for (alias, last) in aliases {
                if names.contains(last) {
                    names.insert(alias);
                }
            }
            if names.len() == before {
                return names;
            }
        }
    }

    /// Who calls a function or class; None if nobody is seen.
    pub fn callers(&self, dotted: &str) -> Option<&callers::Callers<'a>> {
        self.index_of_callers().of(dotted)
    }

    /// The functions and classes that give on a path that they are called with, by the names that they have in their files.
    pub fn passing(&self) -> &[(FileId, String)] {
        self.index_of_callers().passing()
    }

    /// What is given for the path of a database, each with where it stands.
    pub fn paths_given(&self) -> &[(FileId, ScopeId, &'a Expr)] {
        self.index_of_callers().paths()
    }

    fn index_of_callers(&self) -> &callers::Index<'a> {
        self.callers.get_or_init(|| callers::index(self))
    }

    /// The file of a module.
    pub fn module(&self, dotted: &str) -> Option<FileId> {
        self.modules.get(dotted).copied()
    }

    /// This project, with a place in a file of SQL where a foreign key is declared, if there is one.
    pub fn with_foreign_keys(mut self, place: Option<&String>) -> Self {
        if let Some(place) = place {
            self.foreign_keys = OnceLock::from(Some(place.clone()));
        }
        self
    }

    /// Where a foreign key is declared, if there is one: file and line.
    pub fn foreign_keys(&self) -> Option<&str> {
        let look = || {
            self.files
                .iter()
                .find_map(|file| schema::in_python(file.parsed))
        };
        self.foreign_keys.get_or_init(look).as_deref()
    }

    /// Whether a module is in the project: in the package of a file, or in one that holds another file.
    pub fn has_package_of(&self, file: FileId, module: &str) -> bool {
        let first = |dotted: &str| dotted.split('.').next().unwrap_or_default().to_owned();
        let package = first(module);
        !package.is_empty()
            && (first(&self.file(file).dotted) == package
                || self
                    .files
                    .iter()
                    .any(|other| first(&other.dotted) == package))
    }

    /// What an expression in a scope of a file names.
    pub fn named(&self, file: FileId, scope: ScopeId, expression: &Expr) -> Named {
        self.follow(file, scope, expression, FOLLOWED)
    }

    fn follow(&self, file: FileId, scope: ScopeId, expression: &Expr, left: usize) -> Named {
        if left == 0 {
            return Named::other();
        }
        match expression {
            Expr::Name(name) => self.follow_name(file, scope, name.id.as_str(), left),
            Expr::Attribute(attribute) => {
                let name = attribute.attr.as_str();
                if let Some(bindings) = self.instance_attribute(file, scope, &attribute.value, name)
                {
                    return self.follow_bindings(file, &bindings, left);
                }
                let of = self.follow(file, scope, &attribute.value, left);
                let mut named = Named {
                    names: BTreeSet::new(),
                    or_other: of.or_other,
                };
                for base in of.names {
                    named.add(self.member(&base, name, left - 1));
                }
                named
            }
            Expr::If(either) => {
                let mut named = self.follow(file, scope, &either.body, left - 1);
                named.add(self.follow(file, scope, &either.orelse, left - 1));
                named
            }
            Expr::BoolOp(operation) => {
                let mut named = Named::default();
                for value in &operation.values {
                    named.add(self.follow(file, scope, value, left - 1));
                }
                named
            }
            // `importlib.import_module("sqlite3")`, and what others build on it.
            Expr::Call(call) => match (&*call.func, &*call.arguments.args) {
                (
                    Expr::Attribute(ast::ExprAttribute { attr: last, .. }),
                    [Expr::StringLiteral(module)],
                ) if last.as_str() == "import_module" => Named::one(module.value.to_str()),
                _ => Named::other(),
            },
            Expr::Named(named) => self.follow(file, scope, &named.value, left - 1),
            _ => Named::other(),
        }
    }

    /// What is assigned to `self.attribute`, where `self` is an instance of a class in this file.
    fn instance_attribute(
        &self,
        file: FileId,
        scope: ScopeId,
        of: &Expr,
        name: &str,
    ) -> Option<Vec<Binding<'a>>> {
        let Expr::Name(instance) = of else {
            return None;
        };
        let names = &self.file(file).names;
        let class = names.class_of_instance(instance.id.as_str(), scope)?;
        Some(names.attribute_of(class, name))
    }

    fn follow_name(&self, file: FileId, scope: ScopeId, name: &str, left: usize) -> Named {
        match self.file(file).names.lookup(name, scope) {
            Some((_, bindings)) => self.follow_bindings(file, bindings, left),
            None => self.unbound(file, scope, name, left),
        }
    }

    /// A name that the file does not bind: from a star import, else a builtin.
    fn unbound(&self, file: FileId, scope: ScopeId, name: &str, left: usize) -> Named {
        let here = self.file(file);
        let function = here.names.function_around(scope).map(|(scope, _)| scope);
        for scope in function.into_iter().chain([ScopeId::MODULE]) {
            for star in here.names.stars_in(scope) {
                let module = here.absolute(star.module, star.level);
                if let Some(named) = self.starred(&module, name, left - 1) {
                    return named;
                }
            }
        }
        Named::one(join("builtins", name))
    }

    /// Whether a star import behind an offset of a module may bind a name anew: one of which not all names are known.
    pub fn may_be_starred(&self, file: FileId, name: &str, offset: TextSize) -> bool {
        let here = self.file(file);
        let stars = here.names.stars_in(ScopeId::MODULE).iter();
        let mut behind = stars.filter(|star| star.offset > offset);
        behind.any(|star| {
            let module = here.absolute(star.module, star.level);
            match self.module(&module) {
                Some(file) => {
                    let names = &self.file(file).names;
                    !names.bound_in(ScopeId::MODULE, name).is_empty()
                        || !names.stars_in(ScopeId::MODULE).is_empty()
                }
                None => star.level > 0 || !is_stdlib(&module),
            }
        })
    }

    /// What `from module import *` gives for a name; None where the module is known not to have it, or is not known.
    fn starred(&self, module: &str, name: &str, left: usize) -> Option<Named> {
        if libraries::is_library(module) {
            return libraries::exports(module, name).then(|| Named::one(join(module, name)));
        }
        let file = self.module(module)?;
        let names = &self.file(file).names;
        let is_there = !names.bound_in(ScopeId::MODULE, name).is_empty()
            || !names.stars_in(ScopeId::MODULE).is_empty();
        let named = (is_there && left > 0).then(|| self.member(module, name, left))?;
        (!named.or_other).then_some(named)
    }

    fn follow_bindings(&self, file: FileId, bindings: &[Binding<'a>], left: usize) -> Named {
        let mut named = Named::default();
        if bindings.is_empty() {
            return Named::other();
        }
        for binding in bindings {
            named.add(self.follow_binding(file, binding, left));
        }
        named
    }

    fn follow_binding(&self, file: FileId, binding: &Binding<'a>, left: usize) -> Named {
        if left == 0 {
            return Named::other();
        }
        let here = self.file(file);
        let own = |name: &str| {
            join(
                &here.dotted,
                &join(&here.names.qualified_name(binding.scope), name),
            )
        };
        match binding.bound {
            Bound::Import(module) => Named::one(module),
            Bound::Member {
                module,
                level,
                name,
            } => self.member(&here.absolute(module, level), name, left - 1),
            Bound::Value(value) => self.follow(file, binding.scope, value, left - 1),
            Bound::Function(function) => Named::one(own(function.name.as_str())),
            Bound::Class(class) => Named::one(own(class.name.as_str())),
            Bound::Parameter(_)
            | Bound::Entered(_)
            | Bound::Each(_)
            | Bound::Extended
            | Bound::Other => Named::other(),
        }
    }

    /// What a module's or class's member is.
    fn member(&self, of: &str, name: &str, left: usize) -> Named {
        let whole = join(of, name);
        let Some(file) = self.module(of) else {
            return Named::one(whole);
        };
        if left == 0 {
            return Named::other();
        }
        let bindings = self.file(file).names.bound_in(ScopeId::MODULE, name);
        if !bindings.is_empty() {
            return self.follow_bindings(file, bindings, left);
        }
        if self.module(&whole).is_some() {
            return Named::one(whole);
        }
        match self.unbound(file, ScopeId::MODULE, name, left) {
            // Not from a star: a module that is not parsed, or one that makes its names when it runs.
            named if named.names.iter().any(|name| name.starts_with("builtins.")) => {
                Named::one(whole)
            }
            named => named,
        }
    }

    /// The names of modules of this project that stand for `wanted` without saying so in their text, each with the file
    /// that binds it: other files can only be found by these.
    pub fn exports(&self, wanted: impl Fn(&str) -> bool) -> Vec<(FileId, &'a str)> {
        let mut exports = Vec::new();
        for (id, file) in self.files() {
            for name in file.names.names_in(ScopeId::MODULE) {
                let mut bindings = file.names.bound_in(ScopeId::MODULE, name).iter();
                if !bindings.any(|binding| binding.bound.may_be_another()) {
                    continue;
                }
                let named = self.follow_name(id, ScopeId::MODULE, name, FOLLOWED);
                if named.names.iter().any(|name| wanted(name)) {
                    exports.push((id, name));
                }
            }
        }
        exports
    }
}

/// Whether a class has a base of that last name.
fn derives(node: &ast::StmtClassDef, class: &str) -> bool {
    node.bases().iter().any(|base| match base {
        Expr::Name(name) => name.id.as_str() == class,
        Expr::Attribute(name) => name.attr.as_str() == class,
        _ => false,
    })
}

/// What stands in modules itself and makes a scope of a kind, by dotted name; None where a name stands for several.
fn in_modules(
    files: &[ProjectFile<'_>],
    is_kind: impl Fn(&ScopeKind<'_>) -> bool,
) -> HashMap<String, Option<(FileId, ScopeId)>> {
    let mut found = HashMap::default();
    for (id, file) in files.iter().enumerate() {
        let is_one =
            |scope: &Scope<'_>| is_kind(&scope.kind) && scope.parent == Some(ScopeId::MODULE);
        for (scope, _) in file.names.scopes().filter(|(_, scope)| is_one(scope)) {
            let dotted = join(&file.dotted, &file.names.qualified_name(scope));
            let known = found.entry(dotted).and_modify(|known| *known = None);
            known.or_insert(Some((FileId(id), scope)));
        }
    }
    found
}

/// Join dotted names; either may be empty.
fn join(base: &str, name: &str) -> String {
    match (base.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => base.to_owned(),
        _ => format!("{base}.{name}"),
    }
}

/// Which folders are packages, asked once each.
#[derive(Default)]
pub struct Packages(HashMap<PathBuf, bool>);

impl Packages {
    /// The name that a file is imported by: from its topmost package, else from the root or its `src`.
    pub fn dotted_name(&mut self, path: &Path, roots: &[PathBuf]) -> String {
        let mut parts = Vec::new();
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned());
        parts.extend(stem.filter(|stem| stem != "__init__"));
        let mut folder = path.parent();
        while let Some(package) = folder.filter(|folder| self.is_package(folder)) {
            parts.extend(
                package
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
            folder = package.parent();
        }
        if let Some(root) = roots.iter().find(|root| path.starts_with(root)) {
            let above = folder
                .and_then(|folder| folder.strip_prefix(root).ok())
                .into_iter();
            let above = above
                .flat_map(Path::iter)
                .map(|part| part.to_string_lossy().into_owned());
            let mut above: Vec<String> = above.collect();
            if above.first().is_some_and(|first| first == "src") {
                above.remove(0);
            }
            parts.extend(above.into_iter().rev());
        }
        parts.reverse();
        parts.join(".")
    }

    fn is_package(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.0.get(folder) {
            return *known;
        }
        let known = folder.join("__init__.py").is_file();
        self.0.insert(folder.to_owned(), known);
        known
    }
}

/// What tests of the scan share: projects of a few texts.
#[cfg(test)]
pub mod of_texts {
    use super::super::syntax::{Stmt, parse};
    use super::*;

    /// Parse texts as files with these paths.
    pub fn parsed(files: &[(&str, &str)]) -> Vec<Parsed> {
        let parsed = files.iter().map(|(path, text)| Parsed {
            source: Source::decode(Path::new(path), text.as_bytes()).unwrap(),
            module: parse(text).unwrap(),
        });
        parsed.collect()
    }

    /// The expression that is the last line of a project's last file.
    pub fn last_line<'a>(project: &Project<'a>) -> (FileId, &'a Expr) {
        let (id, file) = project.files().last().unwrap();
        let Some(Stmt::Expr(last)) = file.parsed.module.body.last() else {
            panic!("no expression")
        };
        (id, &last.value)
    }
}

#[cfg(test)]
mod tests {
    use super::of_texts::{last_line, parsed};
    use super::*;

    /// What the last line of the last file, an expression, names.
    fn last_line_names(files: &[(&str, &str)]) -> Named {
        let parsed = parsed(files);
        let project = Project::new(&parsed, &[PathBuf::from("root")]);
        let (id, last) = last_line(&project);
        project.named(id, ScopeId::MODULE, last)
    }

    fn certain(files: &[(&str, &str)]) -> String {
        last_line_names(files).certain().unwrap().to_owned()
    }

    #[test]
    fn aliases_of_modules_and_functions_are_followed() {
        for text in [
            "import sqlite3\nsqlite3.connect",
            "import sqlite3 as x\nx.connect",
            "from sqlite3 import connect as c\nc",
            "import sqlite3\ny = sqlite3\nz = y.connect\nz",
            "from sqlite3 import *\nconnect",
            "import sqlite3\n(w := sqlite3.connect)",
            "import importlib\nx = importlib.import_module('sqlite3')\nx.connect",
        ] {
            assert_eq!(certain(&[("root/a.py", text)]), "sqlite3.connect", "{text}");
        }
        assert_eq!(
            certain(&[("root/a.py", "import sqlite3.dbapi2 as d\nd.connect")]),
            "sqlite3.dbapi2.connect"
        );
    }

    #[test]
    fn re_exports_within_the_project_are_followed() {
        for (path, export, use_of_it) in [
            (
                "root/app/db.py",
                "import sqlite3",
                "from app.db import sqlite3\nsqlite3.connect",
            ),
            (
                "root/app/db.py",
                "import sqlite3 as s",
                "from app import db\ndb.s.connect",
            ),
            (
                "root/app/db.py",
                "import sqlite3",
                "import app.db\napp.db.sqlite3.connect",
            ),
            (
                "root/app/db.py",
                "from sqlite3 import connect as c",
                "from .db import c\nc",
            ),
            (
                "root/app/db.py",
                "from sqlite3 import *",
                "from .db import *\nconnect",
            ),
            (
                "root/src/app/db.py",
                "import sqlite3",
                "from app.db import sqlite3\nsqlite3.connect",
            ),
        ] {
            let files = [(path, export), ("root/app/use.py", use_of_it)];
            assert_eq!(certain(&files), "sqlite3.connect", "{use_of_it}");
        }
    }

    #[test]
    fn re_exports_of_other_projects_keep_their_names() {
        assert_eq!(
            certain(&[("root/a.py", "from peewee import sqlite3 as s\ns.connect")]),
            "peewee.sqlite3.connect"
        );
    }

    #[test]
    fn a_name_bound_in_several_ways_names_all_of_them() {
        let text = "try:\n    import pysqlite3 as s\nexcept ImportError:\n    import sqlite3 as s\ns.connect";
        let named = last_line_names(&[("root/a.py", text)]);
        let names: Vec<_> = named.names.into_iter().collect();
        assert_eq!(names, ["pysqlite3.connect", "sqlite3.connect"]);
        let text =
            "try:\n    import sqlite3\nexcept ImportError:\n    sqlite3 = None\nsqlite3.connect";
        assert!(last_line_names(&[("root/a.py", text)]).or_other);
    }

    #[test]
    fn a_star_gives_what_the_library_of_that_name_has() {
        for (text, name) in [
            (
                "from pysqlite3.dbapi2 import *\nconnect",
                "pysqlite3.dbapi2.connect",
            ),
            ("from mysqlite3 import *\nconnect", "builtins.connect"),
            ("from sqlite3 import *\nother", "builtins.other"),
        ] {
            assert_eq!(certain(&[("root/a.py", text)]), name, "{text}");
        }
    }

    #[test]
    fn circular_imports_end() {
        let files = [
            ("root/a.py", "from b import x"),
            ("root/b.py", "from a import x\nx"),
        ];
        assert_eq!(last_line_names(&files), Named::other());
    }
}
