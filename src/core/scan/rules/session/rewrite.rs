//! The edits that put a session in the place of a connection.

use super::region::{Opening, Region};
use super::transactions::Proof;
use crate::core::scan::case::Case;
use crate::core::scan::edits::Edit;
use crate::core::scan::layout::{self, Layout};
use crate::core::scan::suites::suites_of;
use crate::core::scan::syntax::{Ranged, Stmt, TextRange, TextSize};

const MOVED: &str = "its lines can't be moved";
const COMMENT: &str = "a comment would be lost";

/// Make them, or tell why not. The session keeps others from writing from above the statement at `begin`, if there is one.
pub fn edits(
    case: &Case<'_, '_>,
    region: &Region<'_>,
    proof: &Proof,
    session: &str,
    set: &[String],
    begin: Option<TextRange>,
) -> Result<Vec<Edit>, &'static str> {
    let source = case.source();
    let step = region.step.or_else(|| step_of_file(case, region));
    let unit = step.map_or(Some("    ".to_owned()), |(outer, inner)| {
        layout::unit(source, outer, inner)
    });
    let unit = unit.ok_or(MOVED)?;
    let mut layout = Layout::new(source, &case.file().parsed.module, unit);
    match region.opening {
        Opening::Item(range) if case.has_comment(range) => return Err(COMMENT),
        Opening::Item(range) => layout.replace(range, session),
        Opening::Above(range) => {
            layout.insert_outside(range, &format!("with {session}:"));
        }
        Opening::Assignment(range) => {
            if case.has_comment(range) {
                return Err(COMMENT);
            }
            layout.replace(range, format!("with {session} as {}:", region.name));
        }
    }
    region
        .moved_in
        .iter()
        .for_each(|range| layout.move_in(*range));
    region
        .moved_out
        .iter()
        .for_each(|range| layout.move_out(*range));
    let redundant = proof.redundant.iter();
    for range in region.deleted.iter().chain(redundant) {
        layout.delete(*range);
    }
    if region
        .deleted
        .iter()
        .any(|range| is_losing_a_comment(case, *range))
    {
        return Err(COMMENT);
    }
    if let Some(first) = region.kept.first() {
        set.iter()
            .for_each(|line| layout.insert_above(first.range(), line));
    }
    let commit = format!("{}.commit()", region.name);
    for range in &proof.committed {
        layout.insert_below(*range, &commit);
    }
    if let Some(first) = begin {
        layout.insert_above(first, &format!("{}.begin()", region.name));
    }
    for first in &proof.rolled_back {
        layout.insert_above(*first, &format!("{}.rollback()", region.name));
    }
    region
        .cut
        .iter()
        .for_each(|range| layout.replace(*range, ""));
    for range in &region.emptied {
        layout.replace(*range, "pass");
    }
    layout.edits().ok_or(MOVED)
}

fn is_losing_a_comment(case: &Case<'_, '_>, range: TextRange) -> bool {
    case.has_comment(case.source().whole_lines(range))
}

/// Two statements of the file of which the second one is within the first one, the function's own first.
fn step_of_file(case: &Case<'_, '_>, region: &Region<'_>) -> Option<(TextSize, TextSize)> {
    let body = &case.file().parsed.module.body;
    let around = body
        .iter()
        .find(|statement| statement.range().contains_range(region.extent));
    around
        .into_iter()
        .chain(body)
        .find_map(|statement| step_within(case, statement))
}

fn step_within(case: &Case<'_, '_>, statement: &Stmt) -> Option<(TextSize, TextSize)> {
    let source = case.source();
    suites_of(statement).into_iter().find_map(|suite| {
        let first = suite.first()?;
        let (outer, inner) = (statement.start(), first.start());
        let is_below = source.line_start(outer) != source.line_start(inner);
        match is_below && layout::unit(source, outer, inner).is_some() {
            true => Some((outer, inner)),
            false => suite
                .iter()
                .find_map(|statement| step_within(case, statement)),
        }
    })
}
