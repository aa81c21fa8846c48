//! Scans of small projects.

mod hazards;
mod rewriting;
mod sessions;

use super::database::From;
use super::hazards::Hazard;
use super::held::Held;
use super::hits::Hits;
use super::libraries::Kind;
use super::project::{Parsed, Project};
use super::report::{Call, Report, Unparsable};
use super::scanning::{Read, read_file, report, scan};
use super::services::Services;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Scan texts as files of a project at `/project`.
fn scanned(files: &[(&str, &str)]) -> Report {
    let (mut parsed, mut unparsable) = (Vec::new(), Vec::new());
    for (path, text) in files {
        match read_file(&Path::new("/project").join(path), text.as_bytes()) {
            Read::Parsed(file) => parsed.push(file),
            Read::Unparsable(file, hits) => unparsable.push((file, hits)),
        }
    }
    parsed.sort_by(|one: &Parsed, other| one.source.path.cmp(&other.source.path));
    let project = Project::new(&parsed, &[PathBuf::from("/project")]);
    report(&project, unparsable, &Services::default())
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
        ("app.db", From::Attribute)
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

#[test]
fn what_may_go_wrong_is_told() {
    use Hazard::{NestedOpen, NeverClosed, OpenAfterException, OpenAfterReturn, WriteNotCommitted};
    let write = "c.execute('INSERT INTO t VALUES (1)')";
    for (body, hazards) in [
        // Written and never committed.
        (
            format!("c = connect()\n{write}\nc.close()"),
            vec![WriteNotCommitted, OpenAfterException],
        ),
        (
            format!("c = connect()\ntry:\n    {write}\nfinally:\n    c.close()"),
            vec![WriteNotCommitted],
        ),
        (
            format!("with closing(connect()) as c:\n    {write}"),
            vec![WriteNotCommitted],
        ),
        (
            "with closing(connect()) as c:\n    cur = c.cursor()\n    cur.execute('DELETE FROM t')"
                .to_owned(),
            vec![WriteNotCommitted],
        ),
        (
            format!("c = connect()\n{write}\nif path:\n    c.commit()\nc.close()"),
            vec![WriteNotCommitted, OpenAfterException],
        ),
        (
            format!("c = connect()\n{write}\nif path:\n    return\nc.commit()\nc.close()"),
            vec![WriteNotCommitted, OpenAfterReturn, OpenAfterException],
        ),
        (
            format!("while path:\n    c = connect()\n    {write}\n    c.close()"),
            vec![WriteNotCommitted, OpenAfterException],
        ),
        ("with closing(connect()) as c:\n    with closing(c.cursor()) as cur:\n        cur.execute('DELETE FROM t')".to_owned(), vec![WriteNotCommitted]),
        (format!("with closing(connect()) as c:\n    {write}\n    return list(c.execute('SELECT 1'))"), vec![WriteNotCommitted]),
        // Committed on every path, or undone on purpose.
        (
            format!("c = connect()\n{write}\nc.commit()\nc.close()"),
            vec![OpenAfterException],
        ),
        (
            format!("c = connect()\ntry:\n    {write}\n    c.commit()\nfinally:\n    c.close()"),
            vec![],
        ),
        (
            format!(
                "c = connect()\ntry:\n    {write}\n    c.commit()\nexcept E:\n    return False\nfinally:\n    c.close()"
            ),
            vec![],
        ),
        (
            format!(
                "c = connect()\ntry:\n    {write}\nexcept E:\n    c.rollback()\n    raise\nelse:\n    c.commit()\nfinally:\n    c.close()"
            ),
            vec![],
        ),
        (
            format!("c = connect()\nfor x in path:\n    {write}\nc.commit()\nc.close()"),
            vec![OpenAfterException],
        ),
        (
            format!("with closing(connect()) as c, c:\n    {write}"),
            vec![],
        ),
        (
            format!(
                "with closing(connect()) as c:\n    with c:\n        {write}\n        return 1"
            ),
            vec![],
        ),
        (
            format!("with connect() as c:\n    {write}\n    return 1"),
            vec![NeverClosed],
        ),
        (
            "c = connect()\nfill(c)\nc.close()".to_owned(),
            vec![OpenAfterException],
        ),
        (
            "c = connect(isolation_level=None)\nc.execute('DELETE FROM t')\nc.close()".to_owned(),
            vec![OpenAfterException],
        ),
        // An early return.
        (
            "c = connect()\nif path:\n    return 1\nc.close()".to_owned(),
            vec![OpenAfterReturn, OpenAfterException],
        ),
        (
            "c = connect()\nif path:\n    c.close()\n    return 1\nc.close()".to_owned(),
            vec![OpenAfterException],
        ),
        // One within another.
        (
            "with closing(connect()) as c:\n    with closing(connect()) as d:\n        pass"
                .to_owned(),
            vec![NestedOpen],
        ),
    ] {
        let body = body
            .replace("connect()", "sqlite3.connect(path)")
            .replace("connect(iso", "sqlite3.connect(path, iso");
        let text = format!(
            "import sqlite3\nfrom contextlib import closing\ndef f(path):\n    {}\n",
            body.replace('\n', "\n    ")
        );
        assert_eq!(
            scanned(&[("a.py", &text)]).calls[0].hazards,
            hazards,
            "{body}"
        );
    }
}

#[test]
fn a_database_in_memory_loses_nothing_that_would_have_stayed() {
    let call = call_in(
        "c = sqlite3.connect(':memory:')\nc.execute('INSERT INTO t VALUES (1)')\nc.close()",
    );
    assert_eq!(call.hazards, [Hazard::OpenAfterException]);
}

#[test]
fn paths_that_all_callers_give_alike_are_known() {
    let store = "import sqlite3\nclass Store:\n    def __init__(self, path, timeout=5):\n        self.path = path\n    \
                 def f(self):\n        return sqlite3.connect(self.path)\ndef load(name='b.db'):\n    \
                 return sqlite3.connect(str(name))\n";
    let databases = |callers: &str| -> Vec<String> {
        let report = scanned(&[("app/store.py", store), ("app/main.py", callers)]);
        report.calls.into_iter().map(|call| call.database).collect()
    };
    let imported = "from app.store import Store, load\nDB = 'a.db'\n";
    assert_eq!(
        databases(&format!("{imported}Store(DB)\nStore(path=DB)\nload()\n")),
        ["a.db", "b.db"]
    );
    assert_eq!(
        databases(&format!("{imported}Store(DB)\nStore('c.db')\nload(DB)\n")),
        ["unknown", "a.db"]
    );
    assert_eq!(
        databases(&format!(
            "{imported}class Own(Store): pass\nStore(DB)\nmap(load, [])\nload(DB)\n"
        )),
        ["unknown"; 2]
    );
    assert_eq!(
        databases(&format!(
            "{imported}def f(s: Store, p=DB): Store(p)\nf(1)\n"
        )),
        ["a.db", "unknown"]
    );
    assert_eq!(databases(imported), ["unknown"; 2]);
}

#[test]
fn a_text_is_proposed_for_what_no_rule_makes_a_session_of() {
    for (body, proposed) in [
        // Perhaps a forgotten commit: for its maintainer to decide.
        (
            "    conn = sqlite3.connect(path)\n    conn.execute('DELETE FROM t')\n    conn.close()\n",
            "    with DatabaseManager.at(path).session() as conn:\n        conn.execute('DELETE FROM t')",
        ),
        // Only on request.
        (
            "    conn = sqlite3.connect(path)\n    other(conn)\n    conn.close()\n",
            "    with DatabaseManager.at(path).session() as conn:\n        other(conn)",
        ),
        // How it would begin.
        (
            "    conn = sqlite3.connect(path)\n    conn.execute('BEGIN IMMEDIATE')\n    \
             conn.execute('DELETE FROM t')\n    conn.execute('COMMIT')\n    conn.close()\n",
            "    with DatabaseManager.at(path).session(mode=\"write\") as conn:\n        ...",
        ),
        (
            "    return sqlite3.connect(path).execute('SELECT 1').fetchall()\n",
            "    with DatabaseManager.at(path).session() as session:\n        ...",
        ),
        // Rewritten by a safe rule, or with arguments that a session has not.
        (
            "    with sqlite3.connect(path) as conn:\n        conn.execute('DELETE FROM t')\n",
            "",
        ),
        ("    return sqlite3.connect(path)\n", ""),
        (
            "    conn = sqlite3.connect(path, uri=True)\n    other(conn)\n",
            "",
        ),
    ] {
        let text = format!("import sqlite3\ndef f(path):\n{body}");
        let report = scanned(&[("a.py", &text)]);
        assert_eq!(report.calls[0].proposed, proposed, "{text}");
    }
    let class = "import sqlite3\nclass A:\n    def __init__(self, path):\n        self.conn = sqlite3.connect(path)\n    \
                 def f(self):\n        self.conn.execute('DELETE FROM t')\n";
    assert_eq!(
        scanned(&[("a.py", class)]).calls[0].proposed,
        "        self.manager = DatabaseManager.at(path)\n        # and in each method:\n        \
         with self.manager.session() as session:\n            ..."
    );
}

/// What database a last expression of a project of one or two modules is told to open.
fn database_of(config: &str, expression: &str) -> String {
    let text = format!(
        "import sqlite3\nimport config\nfrom config import *\nsqlite3.connect({expression})\n"
    );
    let report = scanned(&[("config.py", config), ("use.py", &text)]);
    report.calls.last().unwrap().database.clone()
}

#[test]
fn attributes_of_classes_and_of_objects_made_once_are_known() {
    let config = "from dataclasses import dataclass\nclass Settings:\n    db = 'a.db'\n    \
                  def __init__(self, other='b.db'):\n        self.other = 'c.db'\n\
                  @dataclass\nclass Config:\n    path: str = 'd.db'\n\
                  class App:\n    def __init__(self):\n        self.settings = Settings()\n\
                  settings = Settings()\nconf = Config()\ngiven = Config('e.db')\napp = App()\n";
    for (expression, database) in [
        ("config.Settings.db", "a.db"),
        ("Settings.db", "a.db"),
        ("config.settings.db", "a.db"),
        ("str(config.settings.other)", "c.db"),
        ("config.conf.path", "d.db"),
        ("config.app.settings.other", "c.db"),
        ("config.Settings().db", "a.db"),
        // What its maker is given counts.
        ("config.given.path", "unknown"),
        ("config.settings.missing", "unknown"),
    ] {
        assert_eq!(database_of(config, expression), database, "{expression}");
    }
    // What is bound behind a star is what it says.
    let config = "from .base import *\nDB = 'f.db'\n";
    assert_eq!(database_of(config, "config.DB"), "f.db");
}

#[test]
fn attributes_that_may_be_otherwise_are_not_known() {
    for (config, expression) in [
        // Assigned from outside.
        (
            "class S:\n    db = 'a.db'\ns = S()\ns.db = input()\n",
            "config.s.db",
        ),
        ("class S:\n    db = 'a.db'\nS.db = input()\n", "config.S.db"),
        // Another value in a class derived from it.
        (
            "class S:\n    db = 'a.db'\n    @classmethod\n    def f(cls): return cls.db\nclass T(S):\n    db = 'b.db'\n",
            "config.S.db",
        ),
        // Made by what it is derived from, or decorated with.
        (
            "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    db: str = 'a.db'\ns = S()\n",
            "config.s.db",
        ),
        (
            "@other\nclass S:\n    db = 'a.db'\ns = S()\n",
            "config.s.db",
        ),
        // Set by names that are not seen.
        (
            "class S:\n    db = 'a.db'\n    def __init__(self, **kw):\n        for k, v in kw.items(): setattr(self, k, v)\ns = S()\n",
            "config.s.db",
        ),
        (
            "class S:\n    db = 'a.db'\nclass T(S):\n    def __init__(self, **kw): self.__dict__.update(kw)\n",
            "config.S.db",
        ),
        // Members of an enumeration are no texts.
        (
            "from enum import Enum\nclass S(Enum):\n    db = 'a.db'\n",
            "config.S.db",
        ),
        // Bound anew by what is not known.
        (
            "DB = 'a.db'\ntry:\n    from .local import *\nexcept ImportError:\n    pass\n",
            "config.DB",
        ),
        // Several.
        (
            "class S:\n    db = 'a.db'\nif input():\n    s = S()\nelse:\n    s = None\n",
            "config.s.db",
        ),
        (
            "class S:\n    db = 'a.db'\n    def f(self): self.db = 'b.db'\ns = S()\n",
            "config.s.db",
        ),
        (
            "class S:\n    @property\n    def db(self): return 'a.db'\ns = S()\n",
            "config.s.db",
        ),
    ] {
        assert_eq!(database_of(config, expression), "unknown", "{config}");
    }
}

#[test]
fn paths_are_followed_through_callers_of_callers() {
    let store = "import sqlite3\nclass Repo:\n    def __init__(self, path):\n        self.path = path\n    \
                 def open(self):\n        return sqlite3.connect(self.path)\n";
    let database = |callers: &str| {
        let callers = format!("from store import Repo\n{callers}");
        let report = scanned(&[("store.py", store), ("main.py", &callers)]);
        report.calls[0].database.clone()
    };
    let service = "class Service:\n    def __init__(self, path):\n        self.repo = Repo(path)\n";
    assert_eq!(database(&format!("{service}Service('a.db')\n")), "a.db");
    assert_eq!(
        database(&format!(
            "{service}def main(name='b.db'):\n    Service(f'data/{{name}}')\nmain()\n"
        )),
        "data/b.db"
    );
    assert_eq!(
        database(&format!("{service}Service('a.db')\nService('b.db')\n")),
        "unknown"
    );
    assert_eq!(
        database(&format!(
            "{service}make = Service\nprint(Service)\nService('a.db')\n"
        )),
        "unknown"
    );
}

#[test]
fn callers_of_callers_in_files_that_do_not_mention_sqlite_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "store.py",
        "import sqlite3\ndef load(path):\n    return sqlite3.connect(path)\n",
    );
    write(
        "service.py",
        "from store import load\ndef begin(path):\n    return load(path)\n",
    );
    write(
        "main.py",
        "from service import begin\nfrom settings import settings\nbegin(settings.db)\n",
    );
    write(
        "settings.py",
        "class Settings:\n    db = 'main.db'\nsettings = Settings()\n",
    );
    let report = scan(&[folder.path().to_owned()], &Services::default());
    assert_eq!(report.calls[0].database, "main.db");
}

#[test]
fn callers_in_files_that_do_not_mention_sqlite_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "store.py",
        "import sqlite3\ndef load(path):\n    return sqlite3.connect(path)\n",
    );
    write("main.py", "from store import load\nload('main.db')\n");
    write("test_store.py", "from store import load\nload('test.db')\n");
    let report = scan(&[folder.path().to_owned()], &Services::default());
    assert_eq!(report.calls[0].database, "main.db");
}

#[test]
fn constants_of_modules_that_do_not_mention_sqlite_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.py", "DB = 'app.db'\n");
    write(
        "store.py",
        "import sqlite3\nfrom config import DB\nimport config\nsqlite3.connect(DB)\nsqlite3.connect(str(config.DB))\n",
    );
    let report = scan(&[folder.path().to_owned()], &Services::default());
    let databases: Vec<_> = report
        .calls
        .iter()
        .map(|call| call.database.as_str())
        .collect();
    assert_eq!(databases, ["app.db"; 2]);
}

#[test]
fn a_file_that_is_nested_too_deeply_is_told_with_its_hits() {
    let text = format!(
        "import sqlite3\nx = a{}\nsqlite3.connect('d')\n",
        ".b()".repeat(50_000)
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("deep.py"), text).unwrap();
    let report = scan(&[folder.path().to_owned()], &Services::default());
    assert_eq!(report.unparsable[0].hits, 1);
    assert!(
        report.unparsable[0]
            .reason
            .contains("nested more than 1000 deep")
    );
}
