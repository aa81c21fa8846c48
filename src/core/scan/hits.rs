//! What a search by text finds, and what each place turned out to be.

use super::project::Parsed;
use super::sites::Sites;
use super::syntax::{Quoted, Ranged, TextRange, TextSize};
use memchr::memmem;
use serde::Serialize;

/// The texts that somebody would search for.
const SEARCHED: [&str; 3] = [
    "sqlite3.connect",
    "sqlite3.dbapi2.connect",
    "aiosqlite.connect",
];

/// How many places of a text are what.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// The function of a call that opens a database.
    pub call: usize,
    /// The function, named without a call: passed on, bound to a name.
    pub reference: usize,
    /// In a string, a documentation string among them.
    pub string: usize,
    /// In a comment.
    pub comment: usize,
    /// In code, and something else: part of a longer name, a name of one's own.
    pub other: usize,
    /// In a file that could not be read as Python.
    pub unparsable: usize,
}

impl Hits {
    /// Classify the places of a parsed file.
    pub fn of(parsed: &Parsed, sites: &Sites<'_>) -> Self {
        let mut hits = Self::default();
        let calls = sorted(sites.calls.iter().map(|site| site.call.func.range()));
        let references = sorted(sites.references.iter().map(|reference| reference.range));
        for place in places(&parsed.source.text) {
            if let Some(quoted) = parsed.module.quoted_at(place.start()) {
                match quoted {
                    Quoted::Text => hits.string += 1,
                    Quoted::Comment => hits.comment += 1,
                }
            } else if holds(&calls, place) {
                hits.call += 1;
            } else if holds(&references, place) {
                hits.reference += 1;
            } else {
                hits.other += 1;
            }
        }
        hits
    }

    /// Count the places of a text that is no Python.
    pub fn of_unparsable(text: &[u8]) -> Self {
        let found = SEARCHED
            .iter()
            .map(|searched| memmem::find_iter(text, searched.as_bytes()).count());
        Self {
            unparsable: found.sum(),
            ..Self::default()
        }
    }

    /// Add those of another file.
    pub fn add(&mut self, other: Self) {
        self.call += other.call;
        self.reference += other.reference;
        self.string += other.string;
        self.comment += other.comment;
        self.other += other.other;
        self.unparsable += other.unparsable;
    }
}

fn places(text: &str) -> Vec<TextRange> {
    let mut places = Vec::new();
    for searched in SEARCHED {
        for at in memmem::find_iter(text.as_bytes(), searched) {
            let offset = |at: usize| TextSize::try_from(at).unwrap_or_default();
            places.push(TextRange::new(offset(at), offset(at + searched.len())));
        }
    }
    places
}

fn sorted(ranges: impl Iterator<Item = TextRange>) -> Vec<TextRange> {
    let mut ranges: Vec<TextRange> = ranges.collect();
    ranges.sort_by_key(|range| range.start());
    ranges
}

/// Whether one of some ranges that do not touch each other holds a place.
fn holds(ranges: &[TextRange], place: TextRange) -> bool {
    let behind = ranges.partition_point(|range| range.start() <= place.start());
    behind > 0 && ranges[behind - 1].contains_range(place)
}
