//! A scan and its result: every call with what is known of it, and nothing that was found by text left out.

use super::database::{self, Database, is_sqlite_url};
use super::files::{self, Unreadable};
use super::held::{Held, held};
use super::hits::Hits;
use super::imports::{self, Importers};
use super::names::ScopeKind;
use super::order::{self, Service};
use super::project::{FileId, Packages, Parsed, Project};
use super::rules::{self, Verdict};
use super::services::Services;
use super::sites::{self, Kind, Site, WORDS};
use super::source::Source;
use super::summary::Summary;
use super::syntax::{ExprCall, Ranged, parse};
use super::usage::{Usage, usage};
use memchr::memmem;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A call that opens a database directly.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// The file, as found from the path that was asked for.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The library.
    pub kind: Kind,
    /// The module's dotted name.
    pub module: String,
    /// The service that the module belongs to.
    pub service: String,
    /// The function or class around it, `<module>` if there is none.
    pub scope: String,
    /// `module`, `class`, `function`, `method`, `async function` or `async method`
    pub scope_kind: &'static str,
    /// How the connection is held.
    pub held: Held,
    /// The keyword arguments, by name and source.
    pub keywords: BTreeMap<String, String>,
    /// The database's path, `unknown` if that is not certain.
    pub database: String,
    /// How the call names it.
    pub database_from: database::From,
    /// The expression that names it.
    pub database_expression: String,
    /// What is done with the connection.
    pub usage: Usage,
    /// The rule that rewrites it, empty if none does.
    pub rule: &'static str,
    /// How safe that is.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The call's lines.
    pub code: String,
}

/// A file that is not read as Python.
#[derive(Debug, Clone, Serialize)]
pub struct Unparsable {
    /// The file.
    pub file: String,
    /// The line of the first error, from 1; 0 if the text can't be decoded.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
    /// How often the text names a function that opens a database.
    pub hits: usize,
}

/// A file or folder that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct NotRead {
    /// Which.
    pub file: String,
    /// What the system said.
    pub reason: String,
}

/// The version of what `Report` is written as.
const VERSION: u32 = 1;

/// Everything that a scan found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Grows when what is there changes its meaning.
    pub version: u32,
    /// The calls, by file and line.
    pub calls: Vec<Call>,
    /// The files that are no Python.
    pub unparsable: Vec<Unparsable>,
    /// The files and folders that could not be read, and why.
    pub unreadable: Vec<NotRead>,
    /// What a search by text finds, by what it turned out to be.
    pub hits: Hits,
    /// The services, in the order in which they are best moved.
    pub services: Vec<Service>,
    /// The numbers of all together.
    pub summary: Summary,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            version: VERSION,
            calls: Vec::new(),
            unparsable: Vec::new(),
            unreadable: Vec::new(),
            hits: Hits::default(),
            services: Vec::new(),
            summary: Summary::default(),
        }
    }
}

/// What a file is before names are followed.
enum Read {
    Parsed(Parsed),
    Unparsable(Unparsable, Hits),
}

/// Scan the Python files below `roots`.
pub fn scan(roots: &[PathBuf], services: &Services) -> Report {
    let read = Collected::default();
    let walked = files::walk(roots, &WORDS, |path, content| {
        read.push(read_file(path, content))
    });
    let mut parsed = Vec::new();
    let mut unparsable = Vec::new();
    for file in read.take() {
        match file {
            Read::Parsed(file) => parsed.push(file),
            Read::Unparsable(file, hits) => unparsable.push((file, hits)),
        }
    }
    add_importers(&mut parsed, roots);
    let report = report(parsed, unparsable, roots, services);
    Report {
        unreadable: walked.unreadable.iter().map(told).collect(),
        services: order::services(&report.calls, &who_imports(&report.calls, roots, services)),
        summary: Summary::of(&report.calls, walked.files, walked.bytes),
        ..report
    }
}

/// Who imports the modules that have calls.
fn who_imports(
    calls: &[Call],
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
    let packages = Mutex::new(Packages::default());
    let dotted_name = |path: &Path| {
        let mut packages = packages.lock().unwrap_or_else(PoisonError::into_inner);
        packages.dotted_name(path, roots)
    };
    imports::importers(roots, &modules, services, dotted_name)
}

/// What several threads collect.
#[derive(Default)]
struct Collected(Mutex<Vec<Read>>);

impl Collected {
    fn push(&self, file: Read) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(file);
    }

    fn take(self) -> Vec<Read> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Parse the files as well that import one of the functions under a name that does not tell it: `from app.compat import
/// connect`. Their text may not hold the word.
fn add_importers(parsed: &mut Vec<Parsed>, roots: &[PathBuf]) {
    let mut asked = BTreeSet::new();
    loop {
        let exports: Vec<_> = unnamed_exports(parsed, roots)
            .into_iter()
            .filter(|export| asked.insert(export.clone()))
            .collect();
        if exports.is_empty() {
            return;
        }
        let known: HashSet<PathBuf> = parsed.iter().map(|file| file.source.path.clone()).collect();
        let names: Vec<&str> = exports.iter().map(|(_, name)| name.as_str()).collect();
        let read = Collected::default();
        files::walk(roots, &names, |path, content| {
            let may_import = |(module, name): &(String, String)| {
                let has = |word: &str| memmem::find(content, word.as_bytes()).is_some();
                has(name) && (has(module) || has("from ."))
            };
            if !known.contains(path) && exports.iter().any(may_import) {
                read.push(read_file(path, content));
            }
        });
        // What is no Python does not hold the word either, so nothing is left out with it.
        parsed.extend(read.take().into_iter().filter_map(|file| match file {
            Read::Parsed(file) => Some(file),
            Read::Unparsable(..) => None,
        }));
    }
}

/// Names by which modules of the project give the functions on, without saying so: the module's last name, and the name.
fn unnamed_exports(parsed: &[Parsed], roots: &[PathBuf]) -> BTreeSet<(String, String)> {
    let project = Project::new(parsed, roots);
    let is_wanted = |name: &str| {
        sites::is_library(name) || Kind::of_name(name).is_some_and(|kind| kind != Kind::Sqlalchemy)
    };
    let exports = project.exports(is_wanted).into_iter();
    // The library's own files are known by its name.
    let unnamed = exports.filter(|(file, name)| {
        let is_own = sites::is_library(&project.file(*file).dotted);
        !is_own && !WORDS.iter().any(|word| name.contains(word))
    });
    unnamed
        .map(|(file, name)| {
            let dotted = &project.file(file).dotted;
            let module = dotted.rsplit('.').next().unwrap_or(dotted);
            (module.to_owned(), name.to_owned())
        })
        .collect()
}

/// Put together what is known of files.
fn report(
    mut parsed: Vec<Parsed>,
    mut unparsable: Vec<(Unparsable, Hits)>,
    roots: &[PathBuf],
    services: &Services,
) -> Report {
    parsed.sort_by(|one, other| one.source.path.cmp(&other.source.path));
    unparsable.sort_by(|(one, _), (other, _)| one.file.cmp(&other.file));
    let mut report = Report::default();
    for (file, hits) in unparsable {
        report.unparsable.push(file);
        report.hits.add(hits);
    }
    let project = Project::new(&parsed, roots);
    let last_names = sites::last_names(&project);
    let files: Vec<FileId> = project.files().map(|(id, _)| id).collect();
    let described = in_parallel(&files, |id| {
        let is_sqlite = |scope, call: &ExprCall| is_sqlite_url(&project, id, scope, call);
        let sites = sites::find(&project, id, &last_names, is_sqlite);
        let calls = sites.calls.iter();
        let calls: Vec<Call> = calls
            .map(|site| describe(&project, id, site, services))
            .collect();
        (Hits::of(project.file(id).parsed, &sites), calls)
    });
    for (hits, calls) in described {
        report.hits.add(hits);
        report.calls.extend(calls);
    }
    report
}

/// Do something with each, in several threads; the results are in order.
fn in_parallel<T: Copy + Sync, R: Send>(items: &[T], act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            done.push((index, act(*item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..files::threads()).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            // A panic goes on in the thread that waits.
            done.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn told(unreadable: &Unreadable) -> NotRead {
    NotRead {
        file: files::shown(&unreadable.path),
        reason: unreadable.reason.clone(),
    }
}

fn read_file(path: &Path, content: &[u8]) -> Read {
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
        Ok(module) => Read::Parsed(Parsed { source, module }),
        Err(error) => unparsable(source.position(error.offset).line, error.message),
    }
}

fn describe(project: &Project<'_>, id: FileId, site: &Site<'_>, services: &Services) -> Call {
    let file = project.file(id);
    let source = &file.parsed.source;
    let position = source.position(site.call.range().start());
    let (held, holder) = held(project, site);
    let judgement = rules::judge(site);
    let Database {
        from,
        path,
        expression,
    } = database::database(project, site);
    let keywords = site.call.arguments.keywords.iter().map(|keyword| {
        let name = keyword.arg.as_ref().map_or("**", |name| name.as_str());
        (
            name.to_owned(),
            source.slice(keyword.value.range()).to_owned(),
        )
    });
    let scope = file.names.qualified_name(site.scope);
    Call {
        file: files::shown(&source.path),
        line: position.line,
        column: position.column,
        kind: site.kind,
        module: file.dotted.clone(),
        service: services.of(&file.dotted),
        scope: if scope.is_empty() {
            "<module>".to_owned()
        } else {
            scope
        },
        scope_kind: scope_kind(project, id, site),
        held,
        keywords: keywords.collect(),
        database: path.unwrap_or_else(|| "unknown".to_owned()),
        database_from: from,
        database_expression: expression,
        usage: usage(project, site, holder),
        rule: judgement.rule,
        verdict: judgement.verdict,
        reason: judgement.reason,
        code: source.lines(site.call.range()).to_owned(),
    }
}

fn scope_kind(project: &Project<'_>, id: FileId, site: &Site<'_>) -> &'static str {
    let names = &project.file(id).names;
    let Some((scope, function)) = names.function_around(site.scope) else {
        return match names.scope(site.scope).kind {
            ScopeKind::Class(_) => "class",
            _ => "module",
        };
    };
    let is_method = names
        .scope(scope)
        .parent
        .is_some_and(|parent| matches!(names.scope(parent).kind, ScopeKind::Class(_)));
    match (function.is_async, is_method) {
        (false, false) => "function",
        (false, true) => "method",
        (true, false) => "async function",
        (true, true) => "async method",
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::Held;
    use super::*;

    /// Scan texts as files of a project at `/root`.
    fn scanned(files: &[(&str, &str)]) -> Report {
        let (mut parsed, mut unparsable) = (Vec::new(), Vec::new());
        for (path, text) in files {
            match read_file(&Path::new("/root").join(path), text.as_bytes()) {
                Read::Parsed(file) => parsed.push(file),
                Read::Unparsable(file, hits) => unparsable.push((file, hits)),
            }
        }
        report(
            parsed,
            unparsable,
            &[PathBuf::from("/root")],
            &Services::default(),
        )
    }

    /// The only call of a function's body, with what is known of it.
    fn call_in(body: &str) -> Call {
        let body = body.replace('\n', "\n    ");
        let text =
            format!("import sqlite3\nfrom contextlib import closing\ndef f(path):\n    {body}\n");
        let [call] = <[Call; 1]>::try_from(scanned(&[("a.py", &text)]).calls).unwrap();
        call
    }

    #[test]
    fn how_a_connection_is_held_is_told() {
        for (body, held) in [
            (
                "with sqlite3.connect(path) as c:\n    c.execute('SELECT 1')",
                Held::With,
            ),
            ("c = sqlite3.connect(path)\nwith c:\n    pass", Held::With),
            (
                "with closing(sqlite3.connect(path)) as c:\n    pass",
                Held::Closing,
            ),
            (
                "c = sqlite3.connect(path)\nwith closing(c):\n    pass",
                Held::Closing,
            ),
            (
                "c = sqlite3.connect(path)\ntry:\n    pass\nfinally:\n    c.close()",
                Held::Finally,
            ),
            (
                "import atexit\nc = sqlite3.connect(path)\natexit.register(c.close)",
                Held::Finally,
            ),
            ("c = sqlite3.connect(path)\nc.close()", Held::Closed),
            (
                "c = None\nif path:\n    c = sqlite3.connect(path)\n    c.close()",
                Held::Closed,
            ),
            (
                "c = sqlite3.connect(path)\nc.execute('SELECT 1')",
                Held::Unclosed,
            ),
            ("sqlite3.connect(path)", Held::Unclosed),
            ("return sqlite3.connect(path)", Held::Factory),
            (
                "c = sqlite3.connect(path)\nc.row_factory = None\nreturn c",
                Held::Factory,
            ),
            ("return lambda: sqlite3.connect(path)", Held::Factory),
            ("yield sqlite3.connect(path)", Held::Yielded),
            (
                "c = sqlite3.connect(path)\ntry:\n    yield c\nfinally:\n    c.close()",
                Held::Yielded,
            ),
            (
                "with closing(sqlite3.connect(path)) as c:\n    yield c",
                Held::Yielded,
            ),
            ("path.c = sqlite3.connect(path)", Held::Attribute),
            ("c = sqlite3.connect(path)\npath.c = c", Held::Attribute),
            ("global c\nc = sqlite3.connect(path)", Held::Module),
            ("print(sqlite3.connect(path))", Held::Argument),
            ("sqlite3.connect(path).execute('SELECT 1')", Held::Chained),
            ("x = sqlite3.connect(path).cursor()", Held::Chained),
            ("return [sqlite3.connect(path)]", Held::Other),
        ] {
            assert_eq!(call_in(body).held, held, "{body}");
        }
    }

    #[test]
    fn what_is_done_with_a_connection_is_counted() {
        let usage = call_in(
            "c = sqlite3.connect(path)\nc.row_factory = sqlite3.Row\nc.execute('PRAGMA foreign_keys = ON')\n\
             cur = c.cursor()\ncur.execute('SELECT 1')\nsql = 'INSERT INTO t VALUES (?)'\ncur.executemany(sql, [])\n\
             c.execute(f'DELETE FROM {path}')\nc.execute(path)\nc.execute('CREATE TABLE t (a)')\n\
             c.create_function('f', 0, f)\nc.commit()\nc.rollback()\nwith c:\n    c.execute('UPDATE t SET a = 1').fetchall()",
        )
        .usage;
        let sets: Vec<_> = usage.sets.iter().map(String::as_str).collect();
        assert_eq!(
            sets,
            ["PRAGMA foreign_keys = ON", "create_function", "row_factory"]
        );
        assert_eq!(
            (usage.reads, usage.writes, usage.schema, usage.unknown),
            (1, 3, 1, 1)
        );
        assert_eq!((usage.commits, usage.rollbacks), (2, 1));
    }

    #[test]
    fn connections_in_attributes_are_followed_through_their_class() {
        let text = "import sqlite3\nclass S:\n    def __init__(self, p):\n        self.path = 'app.db'\n        \
                    self.c = sqlite3.connect(self.path)\n    def add(self):\n        \
                    self.c.execute('INSERT INTO t VALUES (1)')\n        self.c.commit()\n";
        let report = scanned(&[("services/shop.py", text)]);
        let call = &report.calls[0];
        assert_eq!((call.usage.writes, call.usage.commits), (1, 1));
        assert_eq!(
            (call.scope.as_str(), call.scope_kind),
            ("S.__init__", "method")
        );
        assert_eq!(
            (call.database.as_str(), call.database_from),
            ("app.db", database::From::Attribute)
        );
        assert_eq!(
            (call.service.as_str(), call.line, call.column),
            ("services.shop", 5, 18)
        );
    }

    #[test]
    fn every_place_that_a_search_finds_is_accounted_for() {
        let text = "import sqlite3\n# sqlite3.connect\nx = 'sqlite3.connect'\nf'{sqlite3.connect(\"a\")} sqlite3.connect'\n\
                    y = sqlite3.connect\nmy_sqlite3 = None\nmy_sqlite3.connect\n";
        let hits = scanned(&[
            ("a.py", text),
            ("b.py", "sqlite3.connect(\nprint 'x' sqlite3.connect"),
        ])
        .hits;
        let expected = Hits {
            call: 1,
            reference: 1,
            string: 2,
            comment: 1,
            other: 1,
            unparsable: 2,
        };
        assert_eq!(hits, expected);
    }

    #[test]
    fn a_file_that_is_no_python_is_told_with_the_line() {
        let report = scanned(&[("a.py", "import sqlite3\nsqlite3.connect(\n")]);
        assert!(report.calls.is_empty());
        let [file] = <[Unparsable; 1]>::try_from(report.unparsable).unwrap();
        assert_eq!((file.hits, file.line >= 2), (1, true));
    }

    #[test]
    fn engines_count_if_their_url_is_one_of_sqlite() {
        let text = "from sqlalchemy import create_engine\nURL = 'sqlite:///app.db'\ncreate_engine(URL)\n\
                    create_engine('postgresql://x')\ncreate_engine(f'sqlite:///{x}')\n";
        let report = scanned(&[("a.py", text)]);
        let databases: Vec<_> = report
            .calls
            .iter()
            .map(|call| call.database.as_str())
            .collect();
        assert_eq!(databases, ["app.db", "unknown"]);
        assert!(
            report
                .calls
                .iter()
                .all(|call| call.kind == Kind::Sqlalchemy)
        );
    }

    #[test]
    fn calls_under_names_that_do_not_tell_the_library_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        std::fs::create_dir(root.join("app")).unwrap();
        for (name, text) in [
            (
                "app/__init__.py",
                "from .compat import connect as open_it\n",
            ),
            (
                "app/compat.py",
                "from sqlite3 import connect\nimport sqlite3 as db\n",
            ),
            (
                "app/use.py",
                "from app.compat import connect, db\nconnect('a')\ndb.connect('b')\n",
            ),
            ("app/other.py", "from . import open_it\nopen_it('c')\n"),
            ("app/innocent.py", "def connect():\n    pass\nconnect()\n"),
        ] {
            std::fs::write(root.join(name), text).unwrap();
        }
        let report = scan(&[root], &Services::default());
        let databases: BTreeSet<_> = report
            .calls
            .iter()
            .map(|call| call.database.as_str())
            .collect();
        assert_eq!(databases, BTreeSet::from(["a", "b", "c"]));
    }
}
