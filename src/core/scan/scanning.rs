//! A scan: the files are read and parsed in parallel, those that import from them are added, and all is put together.

use super::case::Case;
use super::database::{self, is_sqlite_url};
use super::depth;
use super::describe::{describe, describe_reference};
use super::files::{self, Unreadable, Walked};
use super::hits::Hits;
use super::imports::{self, Importers, Lines};
use super::libraries::{self, Kind, WORDS};
use super::order;
use super::parallel::{STACK_BYTES, drop_in_parallel, in_parallel};
use super::patches;
use super::project::{FileId, Packages, Parsed, Project};
use super::report::{Call, NotRead, Report, Unparsable};
use super::schema;
use super::services::Services;
use super::sites::{self, Site, Sites};
use super::source::Source;
use super::summary::Summary;
use super::syntax::{ExprCall, parse};
use aho_corasick::AhoCorasick;
use foldhash::{HashMap, HashSet};
use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What a file is before names are followed.
pub enum Read {
    Parsed(Parsed),
    Unparsable(Unparsable, Hits),
}

/// The files of some roots that may open databases.
pub struct Collection {
    /// Those that are Python.
    pub parsed: Vec<Parsed>,
    /// Those that are not, with what a search finds in each.
    pub unparsable: Vec<(Unparsable, Hits)>,
    /// What was walked through.
    pub walked: Walked,
    /// What every file imports.
    pub imports: Vec<Lines>,
    /// Where a file of SQL declares a foreign key, if one does.
    pub foreign_keys: Option<String>,
}

/// Read the Python files below `roots`.
pub fn collect(roots: &[PathBuf]) -> Collection {
    let mut collection = read(roots);
    complete(&mut collection, roots, |_| ());
    collection
}

/// Read those that mention a library.
fn read(roots: &[PathBuf]) -> Collection {
    let found = Contents::default();
    let imports = Mutex::new(Vec::new());
    let walked = files::walk_all(roots, &WORDS, |path, content, has_word| {
        let lines: Vec<&str> = imports::lines(content).collect();
        let lines = (path.to_owned(), lines.join("\n"));
        imports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(lines);
        if has_word {
            found.push(path, content);
        }
    });
    let mut parsed = Vec::new();
    let mut unparsable = Vec::new();
    for file in found.read() {
        match file {
            Read::Parsed(file) => parsed.push(file),
            Read::Unparsable(file, hits) => unparsable.push((file, hits)),
        }
    }
    let imports = imports.into_inner().unwrap_or_else(PoisonError::into_inner);
    unparsable.sort_by(|(one, _), (other, _)| one.file.cmp(&other.file));
    Collection {
        foreign_keys: walked.sql.iter().find_map(|path| schema::in_sql(path)),
        parsed,
        unparsable,
        walked,
        imports,
    }
}

/// Scan the Python files below `roots`.
pub fn scan(roots: &[PathBuf], services: &Services) -> Report {
    let mut collection = read(roots);
    let unparsable = std::mem::take(&mut collection.unparsable);
    let report = complete(&mut collection, roots, |project| {
        report(project, unparsable, services)
    });
    let Collection {
        walked,
        imports,
        parsed,
        ..
    } = collection;
    drop_in_parallel(parsed, depth::STACK_BYTES);
    Report {
        unreadable: walked.unreadable.iter().map(told).collect(),
        services: order::services(
            &report.calls,
            &who_imports(&report.calls, &imports, roots, services),
            &report.pooled,
        ),
        summary: Summary::of(&report.calls, walked.files, walked.bytes),
        ..report
    }
}

/// The services of all files that a scan looks at, by the files' names.
pub fn services_of_files(roots: &[PathBuf], services: &Services) -> BTreeMap<String, String> {
    let known = Mutex::new((Packages::default(), BTreeMap::new()));
    // The empty word is in every file.
    files::walk(roots, &[""], |path, _| {
        let (packages, files) = &mut *known.lock().unwrap_or_else(PoisonError::into_inner);
        let module = packages.dotted_name(path, roots);
        files.insert(files::shown(path), services.of(&module));
    });
    known.into_inner().unwrap_or_else(PoisonError::into_inner).1
}

/// Who imports the modules that have calls.
fn who_imports(
    calls: &[Call],
    files: &[Lines],
    roots: &[PathBuf],
    services: &Services,
) -> BTreeMap<String, Importers> {
    let modules: BTreeMap<String, String> = calls
        .iter()
        .map(|call| (call.module.clone(), call.service.clone()))
        .collect();
    if modules.is_empty() {
        return BTreeMap::new();
    }
    let mut packages = Packages::default();
    imports::importers(files, &modules, services, |path| {
        packages.dotted_name(path, roots)
    })
}

/// Files that several threads have come by, with their contents.
#[derive(Default)]
struct Contents(Mutex<Vec<(PathBuf, Vec<u8>)>>);

impl Contents {
    fn push(&self, path: &Path, content: &[u8]) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found.push((path.to_owned(), content.to_owned()));
    }

    fn read(self) -> Vec<Read> {
        let found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        in_parallel(&found, depth::STACK_BYTES, |(path, content)| {
            read_file(path, content)
        })
    }
}

/// Parse the files as well that import one of the functions under a name that does not tell it, `from app.compat import
/// connect`, and those that tell which database is opened; look at the project when none is missing any more.
fn complete<R>(
    collection: &mut Collection,
    roots: &[PathBuf],
    look: impl FnOnce(&Project<'_>) -> R,
) -> R {
    let parsed = &mut collection.parsed;
    let mut asked = BTreeSet::new();
    loop {
        parsed.sort_by(|one, other| one.source.path.cmp(&other.source.path));
        let project =
            Project::new(parsed, roots).with_foreign_keys(collection.foreign_keys.as_ref());
        let new: Vec<Sought> = sought(&project)
            .into_iter()
            .filter(|sought| asked.insert(sought.clone()))
            .collect();
        let more = match new.is_empty() {
            true => Vec::new(),
            false => files_of(&new, &project, &collection.imports),
        };
        if more.is_empty() {
            return look(&project);
        }
        parsed.extend(more);
    }
}

/// A name of a module that files outside of the project have to do with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Sought {
    /// The module's last name.
    module: String,
    name: String,
    /// Whether it is a value: those who import it matter only if they give it another one.
    is_value: bool,
}

/// The files that have to do with one of these, and are not in the project yet.
fn files_of(sought: &[Sought], project: &Project<'_>, imports: &[Lines]) -> Vec<Parsed> {
    let known: HashSet<&Path> = project
        .files()
        .map(|(_, file)| &*file.parsed.source.path)
        .collect();
    let others = imports.iter().filter(|(path, _)| !known.contains(&**path));
    let others: Vec<&Lines> = others.collect();
    let search = Search::of(sought);
    let found = in_parallel(&others, STACK_BYTES, |(path, lines)| {
        search.content_of(path, lines)
    });
    let found = Contents(Mutex::new(found.into_iter().flatten().collect()));
    // What is no Python does not hold the word either, so nothing is left out with it.
    let parsed = found.read().into_iter().filter_map(|file| match file {
        Read::Parsed(file) => Some(file),
        Read::Unparsable(..) => None,
    });
    parsed.collect()
}

/// Looks for names in the files that may import or define them.
struct Search<'s> {
    sought: &'s [Sought],
    by_module: HashMap<&'s OsStr, Vec<&'s Sought>>,
    /// Finds the words of these, the module of one right before its name; None if there are too many.
    finder: Option<AhoCorasick>,
}

impl<'s> Search<'s> {
    fn of(sought: &'s [Sought]) -> Self {
        let mut by_module: HashMap<&OsStr, Vec<&Sought>> = HashMap::default();
        for one in sought {
            let module = OsStr::new(&one.module);
            by_module.entry(module).or_default().push(one);
        }
        let words = sought.iter().flat_map(|one| [&one.module, &one.name]);
        // It fails for more than 2 GiB of names.
        let finder = AhoCorasick::new(words).ok();
        Self {
            sought,
            by_module,
            finder,
        }
    }

    /// Those that a file may define, by its name.
    fn defined_by(&self, path: &Path) -> &[&'s Sought] {
        let defined = module_name(path).and_then(|own| self.by_module.get(own));
        defined.map_or(&[], Vec::as_slice)
    }

    /// Those that a file may import, by the lines of its imports.
    fn imported_by(&self, lines: &str) -> BTreeSet<&'s Sought> {
        let Some(finder) = &self.finder else {
            return self.sought.iter().collect();
        };
        // The name may be one of the module's package, too.
        let is_relative = lines.contains("from .");
        let words = finder.find_overlapping_iter(lines);
        let words = words.map(|found| found.pattern().as_usize());
        let imported = words.filter(|word| is_relative || word % 2 == 0);
        imported.map(|word| &self.sought[word / 2]).collect()
    }

    /// A file with its content, if it has to do with one of them.
    fn content_of(&self, path: &Path, lines: &str) -> Option<(PathBuf, Vec<u8>)> {
        let defined = self.defined_by(path);
        let imported = self.imported_by(lines);
        if defined.is_empty() && imported.is_empty() {
            return None;
        }
        // What can't be read any more is told of by the walk, if it could not be read then.
        let content = std::fs::read(path).ok()?;
        let has = |one: &Sought| memmem::find(&content, one.name.as_bytes()).is_some();
        let uses = |one: &Sought| match one.is_value {
            true => assigns(&content, &one.name),
            false => has(one),
        };
        let is_sought = defined.iter().any(|one| has(one)) || imported.iter().any(|one| uses(one));
        is_sought.then(|| (path.to_owned(), content))
    }
}

/// Whether a text may give a name, or an attribute of that name, a value.
fn assigns(text: &[u8], name: &str) -> bool {
    memmem::find_iter(text, name.as_bytes()).any(|at| {
        let behind = text[at + name.len()..].trim_ascii_start();
        // `config.DB = path`, `config.DB += "2"`, `setattr(config, "DB", path)`
        matches!(behind, [b'=', next, ..] if *next != b'=')
            || [&b"+="[..], b"\",", b"',", b"\")", b"')"]
                .iter()
                .any(|sign| behind.starts_with(sign))
    })
}

/// The last name of the module that a file is.
fn module_name(path: &Path) -> Option<&OsStr> {
    match path.file_stem()? {
        stem if stem == "__init__" => path.parent()?.file_name(),
        stem => Some(stem),
    }
}

/// Names by which modules of the project give the functions on without saying so, and those that tell which database is
/// opened.
fn sought(project: &Project<'_>) -> BTreeSet<Sought> {
    let is_wanted = |name: &str| {
        libraries::is_library(name)
            || Kind::of_name(name)
                .is_some_and(|kind| !matches!(kind, Kind::Sqlalchemy | Kind::Dbmanager))
    };
    let exports = project.exports(is_wanted).into_iter();
    // The library's own files are known by its name.
    let unnamed = exports.filter(|(file, name)| {
        let is_own = libraries::is_library(&project.file(*file).dotted);
        !is_own && !WORDS.iter().any(|word| name.contains(word))
    });
    let of_functions = unnamed.map(|(file, name)| export(project, file, name));
    of_functions.chain(given_paths(project)).collect()
}

/// A name of a module, by the module's last name.
fn export(project: &Project<'_>, file: FileId, name: &str) -> Sought {
    let dotted = &project.file(file).dotted;
    let module = dotted.rsplit('.').next().unwrap_or(dotted);
    Sought {
        module: module.to_owned(),
        name: name.to_owned(),
        is_value: false,
    }
}

/// A value of a module.
fn constant((module, name): (String, String)) -> Sought {
    Sought {
        module,
        name,
        is_value: true,
    }
}

/// What else tells which database is opened: the functions and classes that are given its path, whose callers know, and
/// constants of other modules.
fn given_paths(project: &Project<'_>) -> BTreeSet<Sought> {
    let files: Vec<FileId> = project.files().map(|(id, _)| id).collect();
    let given = in_parallel(&files, STACK_BYTES, |file| {
        let is_sqlite = |scope, call: &ExprCall| is_sqlite_url(project, *file, scope, call);
        let calls = sites::calls(project, *file, is_sqlite);
        let is_unknown = |site: &&Site<'_>| database::database(project, site).path.is_none();
        let unknown = calls.iter().filter(is_unknown);
        let names = unknown.flat_map(|site| {
            let called = database::called_with_path(project, site);
            let called = called.map(|name| export(project, *file, &name));
            let path = sites::path_argument(site.call);
            let constants = path.map(|path| database::constants(project, *file, site.scope, path));
            let constants = constants.into_iter().flatten().map(constant);
            called.into_iter().chain(constants)
        });
        names.collect::<Vec<_>>()
    });
    let mut given: BTreeSet<_> = given.into_iter().flatten().collect();
    if !given.is_empty() {
        let passing = project.passing().iter();
        given.extend(passing.map(|(file, name)| export(project, *file, name)));
        let paths = project.paths_given().iter();
        given.extend(
            paths
                .flat_map(|(file, scope, path)| database::constants(project, *file, *scope, path))
                .map(constant),
        );
    }
    given
}

/// Put together what is known of files.
pub fn report(
    project: &Project<'_>,
    unparsable: Vec<(Unparsable, Hits)>,
    services: &Services,
) -> Report {
    let mut report = Report::default();
    for (file, hits) in unparsable {
        report.unparsable.push(file);
        report.hits.add(hits);
    }
    let described = each_file(project, |file, sites| {
        let cases = Case::of_calls(project, sites);
        let calls: Vec<Call> = cases.iter().map(|case| describe(case, services)).collect();
        let pooled = sites.pooled.len() + sites.managers;
        let service = services.of(&project.file(file).dotted);
        let patches = patches::patches(project, file);
        let hits = Hits::of(project.file(file).parsed, sites);
        let references = sites.references.iter();
        let references =
            references.map(|one| describe_reference(project.file(file), one, services));
        let references: Vec<_> = references.collect();
        (hits, calls, references, patches, (service, pooled))
    });
    for (hits, calls, references, patches, (service, pooled)) in described {
        report.hits.add(hits);
        report.references.extend(references);
        report.patches.extend(patches);
        report.calls.extend(calls);
        if pooled > 0 {
            *report.pooled.entry(service).or_default() += pooled;
        }
    }
    report
}

/// Find the calls of every file, and look at them, in parallel; the answers are in the files' order.
pub fn each_file<'a, T: Send>(
    project: &Project<'a>,
    look: impl Fn(FileId, &Sites<'a>) -> T + Sync,
) -> Vec<T> {
    let files: Vec<FileId> = project.files().map(|(id, _)| id).collect();
    in_parallel(&files, STACK_BYTES, |id| {
        let is_sqlite = |scope, call: &ExprCall| is_sqlite_url(project, *id, scope, call);
        look(*id, &sites::find(project, *id, is_sqlite))
    })
}

pub fn told(unreadable: &Unreadable) -> NotRead {
    NotRead {
        file: files::shown(&unreadable.path),
        reason: unreadable.reason.clone(),
    }
}

/// Parse a file's content.
pub fn read_file(path: &Path, content: &[u8]) -> Read {
    let unparsable = |line, reason| {
        let hits = Hits::of_unparsable(content);
        let file = Unparsable {
            file: files::shown(path),
            line,
            reason,
            hits: hits.unparsable,
        };
        Read::Unparsable(file, hits)
    };
    let source = match Source::decode(path, content) {
        Ok(source) => source,
        Err(reason) => return unparsable(0, reason),
    };
    match parse(&source.text) {
        Ok(module) if depth::is_too_deep(&module) => {
            unparsable(0, format!("it is nested more than {} deep", depth::DEEPEST))
        }
        Ok(module) => Read::Parsed(Parsed { source, module }),
        Err(error) => unparsable(source.position(error.offset).line, error.message),
    }
}
