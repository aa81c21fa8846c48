//! Imports that nothing needs any more when the calls that used them are rewritten.

use super::edits::Edit;
use super::importing;
use super::libraries::is_library;
use super::names::{Binding, Bound, Star};
use super::project::{FileId, Project, ProjectFile};
use super::suites;
use super::syntax::{Quoted, TextRange, TextSize};
use memchr::memmem;
use std::collections::BTreeSet;

/// The edits that leave out the imports of `names` from libraries that open databases, where nothing else names them.
pub fn imports(project: &Project<'_>, index: usize, names: &BTreeSet<String>) -> Vec<Edit> {
    let Some((id, file)) = project.files().nth(index) else {
        return Vec::new();
    };
    let unused = names.iter().filter(|name| is_unused(project, id, name));
    let mut edits: Vec<Edit> = unused.flat_map(|name| removals(file, name)).collect();
    // Two names of one statement would leave a comma too much.
    edits.dedup_by(|later, earlier| later.range.start() < earlier.range.end());
    edits
}

fn bindings<'f>(file: &'f ProjectFile<'_>, name: &str) -> Vec<&'f Binding<'f>> {
    let all = file.names.bindings().filter(|(bound, _)| *bound == name);
    all.map(|(_, binding)| binding).collect()
}

fn is_unused(project: &Project<'_>, id: FileId, name: &str) -> bool {
    let file = project.file(id);
    let bindings = bindings(file, name);
    let is_of_library = |binding: &&Binding<'_>| match binding.bound {
        Bound::Import(module) => is_library(module) || module == "dbmanager",
        Bound::Member { module, level, .. } => level == 0 && is_library(module),
        _ => false,
    };
    // What a package imports, others may import from it.
    !file.is_package()
        && !bindings.is_empty()
        && bindings.iter().all(is_of_library)
        && uses(file, name) == bindings.len()
        && !is_named_elsewhere(project, id, name)
        && !is_attribute_elsewhere(project, id, name)
}

/// Whether another file that names the module has an attribute of that name: `import store as s`, `s.sqlite3.Error`.
fn is_attribute_elsewhere(project: &Project<'_>, id: FileId, name: &str) -> bool {
    let dotted = &project.file(id).dotted;
    let last = dotted.rsplit('.').next().unwrap_or(dotted);
    let attribute = format!(".{name}");
    let mut others = project.files().filter(|(other, _)| *other != id);
    others.any(|(_, file)| {
        let text = file.parsed.source.text.as_bytes();
        let has = |word: &str| memmem::find(text, word.as_bytes()).is_some();
        has(&attribute) && has(last)
    })
}

/// How often a name stands in a file, comments left out; in strings it may be an annotation.
fn uses(file: &ProjectFile<'_>, name: &str) -> usize {
    let text = file.parsed.source.text.as_bytes();
    let is_part = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
    };
    let is_use = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        let is_whole = !is_part(before) && !is_part(text.get(at + name.len()));
        let offset = TextSize::try_from(*at).ok();
        match offset.and_then(|offset| file.parsed.module.quoted_at(offset)) {
            Some(Quoted::Comment) => false,
            Some(Quoted::Text) => is_whole,
            // Behind a dot it is another thing's attribute, and behind `from` a module.
            None => is_whole && before != Some(&b'.') && !text[..*at].ends_with(b"from "),
        }
    };
    memmem::find_iter(text, name.as_bytes())
        .filter(is_use)
        .count()
}

/// Whether another file takes the name from this one, or a text says so: `patch("app.store.sqlite3")`.
pub fn is_named_elsewhere(project: &Project<'_>, id: FileId, name: &str) -> bool {
    let dotted = &project.file(id).dotted;
    let last = dotted.rsplit('.').next().unwrap_or(dotted);
    let as_member = format!("{last}.{name}");
    let takes = |other: &ProjectFile<'_>| {
        let takes = |binding: &Binding<'_>| match binding.bound {
            Bound::Member {
                module,
                level,
                name: member,
            } => member == name && other.absolute(module, level) == *dotted,
            _ => false,
        };
        let is_star = |star: &Star<'_>| other.absolute(star.module, star.level) == *dotted;
        other.names.bindings().any(|(_, binding)| takes(binding))
            || other
                .names
                .scopes()
                .any(|(scope, _)| other.names.stars_in(scope).iter().any(is_star))
            || memmem::find(other.parsed.source.text.as_bytes(), as_member.as_bytes()).is_some()
    };
    project
        .files()
        .any(|(other, file)| other != id && takes(file))
}

fn removals(file: &ProjectFile<'_>, name: &str) -> Vec<Edit> {
    let removals = bindings(file, name).into_iter().map(|binding| {
        let body = &file.parsed.module.body;
        let (suite, _) = suites::innermost(body, TextRange::empty(binding.offset))?;
        importing::removal(&file.parsed.source, suite, binding.offset)
    });
    // All or none: a name that stays bound somewhere may be meant elsewhere.
    removals.collect::<Option<Vec<Edit>>>().unwrap_or_default()
}
