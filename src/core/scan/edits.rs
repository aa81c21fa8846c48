//! Changes of a text by ranges: what is not in one of them stays as it is, byte for byte.

use super::syntax::{TextRange, TextSize};

/// A range and what comes in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Where; empty to insert.
    pub range: TextRange,
    /// The new text.
    pub text: String,
}

impl Edit {
    /// Put a text in the place of another one.
    pub fn replace(range: TextRange, text: impl Into<String>) -> Self {
        Self {
            range,
            text: text.into(),
        }
    }

    /// Put a text before an offset.
    pub fn insert(at: TextSize, text: impl Into<String>) -> Self {
        Self::replace(TextRange::empty(at), text)
    }

    /// Leave a text out.
    pub fn delete(range: TextRange) -> Self {
        Self::replace(range, "")
    }
}

/// A text with edits made, None if two of them are about the same characters.
pub fn apply(text: &str, edits: &[Edit]) -> Option<String> {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    // Stable: what is inserted at one place stays in its order.
    edits.sort_by_key(|edit| (edit.range.start(), edit.range.end()));
    edits.dedup_by(|later, earlier| later == earlier && !later.range.is_empty());
    let mut changed = String::with_capacity(text.len() + 64);
    let mut done = 0;
    for edit in edits {
        let (start, end) = (
            usize::from(edit.range.start()),
            usize::from(edit.range.end()),
        );
        if start < done {
            return None;
        }
        changed.push_str(&text[done..start]);
        changed.push_str(&edit.text);
        done = end;
    }
    changed.push_str(&text[done..]);
    Some(changed)
}

/// Where in a text an offset of the changed one comes from; what is new comes from where it was put.
pub fn origin(edits: &[Edit], offset: TextSize) -> TextSize {
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.range.start(), edit.range.end()));
    edits.dedup_by(|later, earlier| later == earlier && !later.range.is_empty());
    // How far the changed text is ahead of the other one.
    let (mut longer, mut shorter) = (TextSize::new(0), TextSize::new(0));
    for edit in edits {
        let start = edit.range.start() + longer - shorter;
        let new = TextSize::of(edit.text.as_str());
        if offset < start {
            break;
        }
        if offset < start + new {
            return edit.range.start();
        }
        longer += new;
        shorter += edit.range.len();
    }
    offset + shorter - longer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> TextRange {
        TextRange::new(start.into(), end.into())
    }

    #[test]
    fn edits_change_their_ranges_and_nothing_else() {
        let edits = [
            Edit::delete(range(6, 7)),
            Edit::replace(range(0, 1), "xyz"),
            Edit::insert(3.into(), "-"),
            Edit::insert(3.into(), "+"),
        ];
        assert_eq!(apply("abcäefgh", &edits).unwrap(), "xyzbc-+äegh");
    }

    #[test]
    fn edits_of_the_same_characters_are_refused_unless_they_are_one() {
        let twice = [Edit::delete(range(0, 2)), Edit::delete(range(0, 2))];
        assert_eq!(apply("abc", &twice).unwrap(), "c");
        let crossing = [Edit::delete(range(0, 2)), Edit::delete(range(1, 3))];
        assert_eq!(apply("abc", &crossing), None);
    }

    #[test]
    fn offsets_of_the_changed_text_are_followed_back() {
        let edits = [
            Edit::insert(0.into(), "++"),
            Edit::delete(range(2, 4)),
            Edit::replace(range(5, 6), "xyz"),
        ];
        let changed = apply("abcdefg", &edits).unwrap();
        assert_eq!(changed, "++abexyzg");
        let at = |offset: u32| u32::from(origin(&edits, offset.into()));
        let found: Vec<u32> = (0..9).map(at).collect();
        assert_eq!(found, [0, 0, 0, 1, 4, 5, 5, 5, 6]);
    }
}
