//! Rewritten texts: before, after, and a second time.

use super::super::migration::{Migration, Options, rewrite};
use super::super::project::of_texts::parsed;
use super::super::services::Services;
use std::path::PathBuf;

pub fn migration(files: &[(&str, &str)], options: &Options) -> Migration {
    rewrite(
        parsed(files),
        &[PathBuf::from("root")],
        &Services::default(),
        options,
        None,
    )
}

/// The texts of files after a migration, which a second one does not change.
pub fn rewritten(files: &[(&str, &str)], options: &Options) -> Vec<String> {
    let mut files: Vec<(String, String)> = files
        .iter()
        .map(|(path, text)| (format!("root/{path}"), (*text).to_owned()))
        .collect();
    let mut last_changes = usize::MAX;
    for _ in 0..2 {
        let given: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let migration = migration(&given, options);
        assert!(migration.failures.is_empty(), "{:?}", migration.failures);
        last_changes = migration.changes.len();
        for change in migration.changes {
            let path = change.path.display().to_string();
            let (_, text) = files.iter_mut().find(|(known, _)| *known == path).unwrap();
            *text = String::from_utf8(change.after).unwrap();
        }
    }
    assert_eq!(last_changes, 0, "a second migration changes something");
    files.into_iter().map(|(_, text)| text).collect()
}

fn by_rules(rules: &[&str]) -> Options {
    let mut options = Options::default();
    options.choice.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    options
}

fn swapped(text: &str) -> String {
    let options = by_rules(&["DBM001", "DBM105"]);
    rewritten(&[("a.py", text)], &options).remove(0)
}

#[test]
fn a_call_is_swapped_by_whatever_name_it_is_called() {
    for (before, after) in [
        (
            "import sqlite3\n\nc = sqlite3.connect('a', timeout=3)\n",
            "import dbmanager\n\nc = dbmanager.connect('a', timeout=3)\n",
        ),
        (
            "import os\nimport sqlite3 as sql\n\nc = sql.connect('a')\n",
            "import os\n\nimport dbmanager\n\nc = dbmanager.connect('a')\n",
        ),
        (
            "from sqlite3 import Row, connect\n\nc = connect('a')\nc.row_factory = Row\n",
            "from sqlite3 import Row\n\nimport dbmanager\n\nc = dbmanager.connect('a')\nc.row_factory = Row\n",
        ),
        (
            "import sqlite3\n\ntry:\n    c = sqlite3.connect('a')\nexcept sqlite3.Error:\n    raise\n",
            "import sqlite3\n\nimport dbmanager\n\ntry:\n    c = dbmanager.connect('a')\nexcept sqlite3.Error:\n    raise\n",
        ),
        (
            "import sqlite3.dbapi2\nc = sqlite3.dbapi2.connect('a')\n",
            "import dbmanager\nc = dbmanager.connect('a')\n",
        ),
        (
            "def f():\n    import sqlite3\n    return sqlite3.connect('a')\n",
            "def f():\n    import dbmanager\n    return dbmanager.connect('a')\n",
        ),
    ] {
        assert_eq!(swapped(before), after, "{before}");
    }
}

#[test]
fn an_import_is_put_where_others_of_its_sort_stand() {
    for (imports, after) in [
        ("import os\nimport sqlite3", "import os\n\nimport dbmanager"),
        (
            "import sqlite3\n\nimport attrs\nimport flask\nfrom jinja2 import x",
            "import attrs\nimport dbmanager\nimport flask\nfrom jinja2 import x",
        ),
        (
            "import sqlite3\n\nfrom jinja2 import x",
            "import dbmanager\nfrom jinja2 import x",
        ),
        (
            "import sqlite3\n\nfrom .db import y",
            "import dbmanager\n\nfrom .db import y",
        ),
        (
            "\"\"\"Doc.\"\"\"\n\nfrom __future__ import annotations\n\nimport sqlite3\n\nimport attrs",
            "\"\"\"Doc.\"\"\"\n\nfrom __future__ import annotations\n\nimport attrs\nimport dbmanager",
        ),
        ("import sqlite3\nimport dbmanager", "import dbmanager"),
    ] {
        let body = "\n\n\nc = sqlite3.connect('x')\n";
        let expected = format!("{after}{}", body.replace("sqlite3", "dbmanager"));
        assert_eq!(swapped(&format!("{imports}{body}")), expected, "{imports}");
    }
}

#[test]
fn what_is_not_rewritten_stays_byte_for_byte() {
    let text = |import: &str, function: &str| {
        format!(
            "# -*- x -*-\r\n{import}\r\n\r\nX = '''a\r\n  b'''\r\ndef f( a,b ):\r\n\treturn \\\r\n\t\t{function} ( a )  # c\r\n"
        )
    };
    let before = text("import sqlite3  # the db", "sqlite3 . connect");
    let after = text("\r\nimport dbmanager", "dbmanager.connect");
    assert_eq!(swapped(&before), after);
}

#[test]
fn a_path_that_other_code_puts_something_else_in_the_place_of_gets_no_name() {
    let a = "import sqlite3\nDB = '/srv/app.db'\ndef f():\n    with sqlite3.connect(DB) as c:\n        c.execute('SELECT 1')\n";
    let mut options = Options::default();
    let databases = &mut options.choice.databases;
    databases.push((PathBuf::from("/srv/app.db"), "app".to_owned()));
    let named = rewritten(&[("a.py", a)], &options).remove(0);
    assert!(named.contains("DatabaseManager.named(\"app\")"), "{named}");
    for replaces in [
        "def test_a(monkeypatch):\n    monkeypatch.setattr(a, 'DB', '/tmp/x.db')\n",
        "def test_a(monkeypatch):\n    monkeypatch.setattr('a.DB', '/tmp/x.db')\n",
        "with patch('a.DB', '/tmp/x.db'):\n    a.f()\n",
        "with patch.object(a, 'DB', '/tmp/x.db'):\n    a.f()\n",
        "import a\na.DB = '/tmp/x.db'\n",
    ] {
        let files = [("a.py", a), ("tests/test_a.py", replaces)];
        let text = rewritten(&files, &options).remove(0);
        assert!(
            text.contains("DatabaseManager.at(DB)"),
            "{replaces}: {text}"
        );
    }
}

#[test]
fn an_import_that_others_need_stays() {
    for (other, name) in [
        ("from a import sqlite3\nsqlite3.Row\n", "import of it"),
        ("from a import *\nsqlite3.Row\n", "star"),
        ("import a as b\nb.sqlite3.Row\n", "another name of it"),
        ("patch('a.sqlite3.connect')\n", "patch"),
    ] {
        let a = "import sqlite3\nc = sqlite3.connect('a')\n";
        let texts = rewritten(&[("a.py", a), ("b.py", other)], &Options::default());
        let kept = texts[0].starts_with("import sqlite3\n");
        assert!(kept, "{name}: {}", texts[0]);
    }
    let annotated =
        "import sqlite3\ndef f() -> 'sqlite3.Connection':\n    return sqlite3.connect('a')\n";
    assert!(swapped(annotated).starts_with("import sqlite3\n"));
}

#[test]
fn what_can_not_be_swapped_is_left_with_the_reason() {
    for (text, reason) in [
        (
            "import sqlite3\ndbmanager = 1\nsqlite3.connect('a')\n",
            "means something else",
        ),
        (
            "import sqlite3\ndef f(dbmanager):\n    sqlite3.connect('a')\n",
            "means something else",
        ),
        (
            "import sqlite3\nsqlite3.connect('a', factory=F)\n",
            "factory",
        ),
        (
            "try:\n    import sqlite3\nexcept ImportError:\n    sqlite3 = None\nsqlite3.connect('a')\n",
            "bound in several ways",
        ),
    ] {
        let migration = migration(&[("root/a.py", text)], &Options::default());
        assert!(migration.changes.is_empty(), "{text}");
        let told = &migration.left[0].reason;
        assert!(told.contains(reason), "{told}");
    }
}

#[test]
fn only_the_services_and_rules_that_are_asked_for_are_rewritten() {
    let text = "import sqlite3\nsqlite3.connect('a')\n";
    let files = [("root/services/a.py", text), ("root/services/b.py", text)];
    let of_service = Options {
        services: ["services.b".to_owned()].into(),
        ..Options::default()
    };
    let of_b = migration(&files, &of_service);
    assert_eq!(of_b.changes.len(), 1);
    let [rewritten] = &of_b.rewritten[..] else {
        panic!("one call")
    };
    assert_eq!(rewritten.service, "services.b");
    assert_eq!((rewritten.line, rewritten.column), (2, 1));
    assert!(of_b.left.is_empty());
    let by_rule = migration(&files, &by_rules(&["DBM105"]));
    assert!(by_rule.changes.is_empty());
    assert_eq!(by_rule.left.len(), 2);
}

#[test]
fn calls_that_were_swapped_become_sessions_later() {
    let text = "import dbmanager\n\ndef f(p):\n    c = dbmanager.connect(p)\n    rows = c.execute(g()).fetchall()\n    c.close()\n    return rows\n";
    let files = [("a.py", text)];
    assert_eq!(rewritten(&files, &Options::default())[0], text);
    let mut with_unsafe = Options::default();
    with_unsafe.choice.with_unsafe = true;
    let after = rewritten(&files, &with_unsafe).remove(0);
    assert!(!after.contains("import dbmanager\n"), "{after}");
    assert!(
        after.contains("    with DatabaseManager.at(p).session() as c:\n        rows = c"),
        "{after}"
    );
    assert!(
        migration(&[("root/a.py", text)], &Options::default())
            .left
            .is_empty()
    );
}
