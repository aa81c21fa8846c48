//! Who imports what: which services use which, and which tests there are for a service.

use super::files;
use super::services::Services;
use aho_corasick::AhoCorasick;
use memchr::memmem;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who imports a service's modules.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Importers {
    /// Other services.
    pub services: BTreeSet<String>,
    /// Files of tests.
    pub tests: BTreeSet<String>,
}

/// The lines of a file that import something.
pub type Lines = (PathBuf, String);

/// Find who imports the given modules, each of a service, among files of which the lines are known that import.
pub fn importers(
    files: &[Lines],
    modules: &BTreeMap<String, String>,
    services: &Services,
    mut dotted_name: impl FnMut(&Path) -> String,
) -> BTreeMap<String, Importers> {
    let last = |module: &String| module.rsplit('.').next().unwrap_or(module).to_owned();
    let words: BTreeSet<String> = modules.keys().map(last).collect();
    let finder = AhoCorasick::new(words).ok();
    let mut found: BTreeMap<String, Importers> = BTreeMap::new();
    let may_import = |lines: &String| finder.as_ref().is_none_or(|finder| finder.is_match(lines));
    for (path, lines) in files.iter().filter(|(_, lines)| may_import(lines)) {
        let importer = dotted_name(path);
        let imported = imported_by(&importer, path, lines.as_bytes());
        let used = imported
            .iter()
            .filter_map(|module| modules.get_key_value(module));
        for (_, service) in used.filter(|(module, _)| **module != importer) {
            let importers = found.entry(service.clone()).or_default();
            if is_test(path) {
                importers.tests.insert(files::shown(path));
            } else if services.of(&importer) != *service {
                importers.services.insert(services.of(&importer));
            }
        }
    }
    found
}

/// Whether a file is one of tests, by pytest's and unittest's names.
pub fn is_test(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy())
        .unwrap_or_default();
    stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem == "conftest"
        || path.iter().any(|part| part == "tests" || part == "test")
}

/// The modules that the lines of a text import, and the members that may be modules. Read line by line, which takes no
/// parser: it only says who uses whom.
fn imported_by(importer: &str, path: &Path, content: &[u8]) -> BTreeSet<String> {
    let package = match path.file_stem().is_some_and(|stem| stem == "__init__") {
        true => importer,
        false => importer.rsplit_once('.').map_or("", |(package, _)| package),
    };
    let mut imported = BTreeSet::new();
    for line in lines(content) {
        add_imported(line.trim_start(), package, &mut imported);
    }
    imported
}

/// The lines with the word `import`.
pub fn lines(content: &[u8]) -> impl Iterator<Item = &str> {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let mut looked_at = 0;
    memmem::find_iter(content, b"import ").filter_map(move |at| {
        let begin = content[..at]
            .iter()
            .rposition(is_end)
            .map_or(0, |end| end + 1);
        if begin < looked_at {
            return None;
        }
        let rest = content[at..].iter().position(is_end);
        looked_at = rest.map_or(content.len(), |end| at + end);
        std::str::from_utf8(&content[begin..looked_at]).ok()
    })
}

fn add_imported(line: &str, package: &str, imported: &mut BTreeSet<String>) {
    let first_word = |text: &str| {
        text.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    if let Some(names) = line.strip_prefix("import ") {
        imported.extend(names.split(',').map(first_word));
    } else if let Some((module, names)) = line
        .strip_prefix("from ")
        .and_then(|rest| rest.split_once(" import "))
    {
        let module = absolute(package, module.trim());
        for name in names.split([',', '(', ')']).map(first_word) {
            imported.insert(
                format!("{module}.{name}")
                    .trim_start_matches('.')
                    .to_owned(),
            );
        }
        imported.insert(module);
    }
}

fn absolute(package: &str, module: &str) -> String {
    let rest = module.trim_start_matches('.');
    let level = module.len() - rest.len();
    if level == 0 {
        return rest.to_owned();
    }
    let mut base = package;
    for _ in 1..level {
        base = base.rsplit_once('.').map_or("", |(package, _)| package);
    }
    match (base.is_empty(), rest.is_empty()) {
        (true, _) => rest.to_owned(),
        (_, true) => base.to_owned(),
        _ => format!("{base}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_read_from_lines() {
        let text = "import os, app.db as d\nfrom app.shop import Cart\nif x:\n    from . import util\nfrom ..web import (view)\n";
        let imported = imported_by(
            "app.services.use",
            Path::new("app/services/use.py"),
            text.as_bytes(),
        );
        for name in [
            "os",
            "app.db",
            "app.shop",
            "app.shop.Cart",
            "app.services.util",
            "app.web",
            "app.web.view",
        ] {
            assert!(imported.contains(name), "{name} of {imported:?}");
        }
    }

    #[test]
    fn tests_are_known_by_their_names() {
        for (path, is) in [
            ("a/test_b.py", true),
            ("a/b_test.py", true),
            ("tests/b.py", true),
            ("a/conftest.py", true),
            ("a/b.py", false),
        ] {
            assert_eq!(is_test(Path::new(path)), is, "{path}");
        }
    }
}
