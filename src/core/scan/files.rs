//! The Python files below some paths: read in parallel, those that `.gitignore` names left out, and only those looked
//! into that mention what is searched for.

use aho_corasick::AhoCorasick;
use ignore::{DirEntry, WalkBuilder, WalkState};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// A file or folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// Which; empty where the system does not tell.
    pub path: PathBuf,
    /// What the system said.
    pub reason: String,
}

/// What a walk came by.
#[derive(Debug, Default)]
pub struct Walked {
    /// How many Python files there are.
    pub files: usize,
    /// Their sizes together.
    pub bytes: usize,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
    /// Files of SQL.
    pub sql: Vec<PathBuf>,
}

/// Read every Python file below `roots`, and hand those that hold one of the words to `each`, in any order and from
/// several threads.
pub fn walk(roots: &[PathBuf], words: &[&str], each: impl Fn(&Path, &[u8]) + Sync) -> Walked {
    walk_all(roots, words, |path, content, has_word| {
        if has_word {
            each(path, content);
        }
    })
}

/// `walk`, with every Python file handed on, and whether it holds one of the words.
pub fn walk_all(
    roots: &[PathBuf],
    words: &[&str],
    each: impl Fn(&Path, &[u8], bool) + Sync,
) -> Walked {
    let mut walked = Walked::default();
    let absolute = |root: &PathBuf| std::path::absolute(root).unwrap_or_else(|_| root.clone());
    let wholes: Vec<PathBuf> = roots.iter().map(absolute).collect();
    for (index, (root, whole)) in roots.iter().zip(&wholes).enumerate() {
        let mut others = wholes.iter().enumerate();
        if others
            .any(|(other, above)| whole.starts_with(above) && (whole != above || other < index))
        {
            continue;
        }
        let mut below = walk_below(root, words, &each, true);
        if below.files == 0 {
            // It is left out itself by what stands above it, but it was asked for.
            below = walk_below(root, words, &each, false);
        }
        walked.files += below.files;
        walked.bytes += below.bytes;
        walked.unreadable.extend(below.unreadable);
        walked.sql.extend(below.sql);
    }
    walked.unreadable.sort();
    walked.sql.sort();
    walked
}

fn walk_below(
    root: &Path,
    words: &[&str],
    each: &(impl Fn(&Path, &[u8], bool) + Sync),
    obeys_parents: bool,
) -> Walked {
    let mut builder = WalkBuilder::new(root);
    // A .gitignore counts without a repository, too: an unpacked archive has none.
    builder
        .require_git(false)
        .parents(obeys_parents)
        .threads(threads());
    builder.filter_entry(|entry| entry.depth() == 0 || !is_not_ours(entry));
    // It fails for more than 2 GiB of words.
    let finder = AhoCorasick::new(words).ok();
    let (files, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (unreadable, sql) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    builder.build_parallel().run(|| {
        let mut content = Vec::new();
        let (files, bytes, unreadable, finder) = (&files, &bytes, &unreadable, &finder);
        let sql = &sql;
        Box::new(move |entry| {
            let entry = entry.map_err(told);
            if let Ok(entry) = &entry
                && entry
                    .path()
                    .extension()
                    .is_some_and(|extension| extension == "sql")
            {
                locked(sql).push(entry.path().to_owned());
            }
            match entry.and_then(|entry| read_python(&entry, &mut content)) {
                Ok(None) => {}
                Ok(Some(path)) => {
                    files.fetch_add(1, Ordering::Relaxed);
                    bytes.fetch_add(content.len(), Ordering::Relaxed);
                    let has = |finder: &AhoCorasick| finder.is_match(&content);
                    each(&path, &content, finder.as_ref().is_none_or(has));
                }
                Err(error) => locked(unreadable).push(error),
            }
            WalkState::Continue
        })
    });
    Walked {
        files: files.into_inner(),
        bytes: bytes.into_inner(),
        unreadable: std::mem::take(&mut locked(&unreadable)),
        sql: std::mem::take(&mut locked(&sql)),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path as it is told: what was found from `.` is not begun with it.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// How many threads work at once.
pub fn threads() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(16)
}

/// Folders of others: environments, and what tools have made.
fn is_not_ours(entry: &DirEntry) -> bool {
    if !entry.file_type().is_some_and(|kind| kind.is_dir()) {
        return false;
    }
    matches!(
        entry.file_name().to_str(),
        Some("__pycache__" | "node_modules" | "site-packages")
    ) || entry.path().join("pyvenv.cfg").exists()
}

/// Read a Python file's content; None for everything else.
fn read_python(entry: &DirEntry, content: &mut Vec<u8>) -> Result<Option<PathBuf>, Unreadable> {
    let named = entry.depth() == 0;
    let path = entry.path();
    let is_file = entry.file_type().is_some_and(|kind| kind.is_file()) || (named && path.is_file());
    let extension = path.extension().and_then(|extension| extension.to_str());
    let is_python = matches!(extension, Some("py" | "pyw"));
    if !is_file || !(is_python || named || extension.is_none()) {
        return Ok(None);
    }
    let failed = |error: io::Error| Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut file = File::open(path).map_err(failed)?;
    content.clear();
    if !is_python && !named {
        // A program without a suffix says in its first line what runs it.
        let read = Read::by_ref(&mut file)
            .take(64)
            .read_to_end(content)
            .map_err(failed)?;
        let line = content[..read]
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        if !line.starts_with(b"#!") || memchr::memmem::find(line, b"python").is_none() {
            return Ok(None);
        }
    }
    file.read_to_end(content).map_err(failed)?;
    Ok(Some(path.to_owned()))
}

fn told(error: ignore::Error) -> Unreadable {
    let path = match &error {
        ignore::Error::WithPath { path, .. } => path.clone(),
        ignore::Error::WithDepth { err, .. } => match &**err {
            ignore::Error::WithPath { path, .. } => path.clone(),
            _ => PathBuf::new(),
        },
        _ => PathBuf::new(),
    };
    let reason = error
        .io_error()
        .map_or_else(|| error.to_string(), ToString::to_string);
    Unreadable { path, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn found_in(root: &Path, words: &[&str]) -> (Vec<String>, Walked) {
        let found = Mutex::new(Vec::new());
        let walked = walk(&[root.to_owned()], words, |path, _| {
            let name = path.strip_prefix(root).unwrap().display().to_string();
            found.lock().unwrap().push(name);
        });
        let mut found = found.into_inner().unwrap();
        found.sort();
        (found, walked)
    }

    fn write(root: &Path, name: &str, content: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn python_files_with_the_word_are_found_and_ignored_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (name, content) in [
            ("a.py", "import sqlite3"),
            ("b.py", "nothing"),
            ("c.txt", "sqlite3"),
            ("deep/er/d.pyw", "sqlite3"),
            ("tool", "#!/usr/bin/env python3\nimport sqlite3"),
            ("tool.sh", "#!/bin/sh\nsqlite3"),
            ("shell", "#!/bin/sh\nsqlite3"),
            (".gitignore", "left/\n*_out.py\n"),
            ("left/e.py", "sqlite3"),
            ("f_out.py", "sqlite3"),
            ("env/pyvenv.cfg", ""),
            ("env/lib/g.py", "sqlite3"),
            ("node_modules/h.py", "sqlite3"),
        ] {
            write(root, name, content);
        }
        let (found, walked) = found_in(root, &["sqlite3"]);
        assert_eq!(found, ["a.py", "deep/er/d.pyw", "tool"]);
        assert_eq!(walked.files, 4);
        assert!(walked.unreadable.is_empty());
    }

    #[test]
    fn a_path_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        let (_, walked) = found_in(&missing, &["sqlite3"]);
        assert_eq!(walked.unreadable[0].path, missing);
        assert!(walked.unreadable[0].reason.contains("No such file"));
    }

    #[test]
    fn a_folder_that_is_named_is_walked_though_it_would_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("site-packages");
        write(&root, "a.py", "sqlite3");
        assert_eq!(found_in(&root, &["sqlite3"]).0, ["a.py"]);
    }

    #[test]
    fn a_folder_that_others_ignore_is_walked_if_it_is_named_and_each_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("env/lib");
        write(&root, "a.py", "sqlite3");
        write(folder.path(), "env/.gitignore", "*");
        assert_eq!(found_in(&root, &["sqlite3"]).0, ["a.py"]);
        assert!(found_in(folder.path(), &["sqlite3"]).0.is_empty());
        let roots = [root.clone(), root.join("a.py"), root];
        assert_eq!(walk(&roots, &["sqlite3"], |_, _| {}).files, 1);
    }
}
