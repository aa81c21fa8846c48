//! Edits of whole lines: statements are left out, put below others, and moved further in or out.
//!
//! Lines that begin in the midst of a string stay as they are: what is in the string would change.

use super::edits::Edit;
use super::source::Source;
use super::syntax::{Module, TextRange, TextSize};

/// How lines move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    In,
    Out,
}

/// Edits of one region of a file.
pub struct Layout<'s> {
    source: &'s Source,
    module: &'s Module,
    unit: String,
    moved: Vec<(TextRange, Move)>,
    deleted: Vec<TextRange>,
    inserted: Vec<Edit>,
    replaced: Vec<Edit>,
}

impl<'s> Layout<'s> {
    /// No edits yet; `unit` is what a step further in is made of.
    pub fn new(source: &'s Source, module: &'s Module, unit: String) -> Self {
        Self {
            source,
            module,
            unit,
            moved: Vec::new(),
            deleted: Vec::new(),
            inserted: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Move the lines of a range one step further in.
    pub fn move_in(&mut self, range: TextRange) {
        self.moved.push((self.source.whole_lines(range), Move::In));
    }

    /// Move the lines of a range one step further out.
    pub fn move_out(&mut self, range: TextRange) {
        self.moved.push((self.source.whole_lines(range), Move::Out));
    }

    /// Leave out the lines of a range.
    pub fn delete(&mut self, range: TextRange) {
        self.deleted.push(self.source.whole_lines(range));
    }

    /// Leave out a statement: its lines, or itself alone where others stand on them.
    pub fn leave_out(&mut self, statement: TextRange) {
        match self.source.is_alone_on_its_lines(statement) {
            true => self.delete(statement),
            false => self.replace(statement, "pass"),
        }
    }

    /// Put a text in the place of another one within a line.
    pub fn replace(&mut self, range: TextRange, text: impl Into<String>) {
        self.replaced.push(Edit::replace(range, text));
    }

    /// Put a statement below another one, as far in as that one will be.
    pub fn insert_below(&mut self, statement: TextRange, text: &str) {
        let indentation = self.indentation_after(statement.start());
        let (at, is_ended) = self.source.next_line(statement.end());
        let end = self.source.line_end_mark();
        let text = match is_ended {
            true => format!("{indentation}{text}{end}"),
            false => format!("{end}{indentation}{text}"),
        };
        self.inserted.push(Edit::insert(at, text));
    }

    /// Put a statement above another one, as far in as that one will be.
    pub fn insert_above(&mut self, statement: TextRange, text: &str) {
        let indentation = self.indentation_after(statement.start());
        let at = self.source.line_start(statement.start());
        let end = self.source.line_end_mark();
        self.inserted
            .push(Edit::insert(at, format!("{indentation}{text}{end}")));
    }

    /// Put a statement above another one, as far in as that one was.
    pub fn insert_outside(&mut self, statement: TextRange, text: &str) {
        let indentation = self.source.indentation(statement.start());
        let at = self.source.line_start(statement.start());
        let end = self.source.line_end_mark();
        self.inserted
            .push(Edit::insert(at, format!("{indentation}{text}{end}")));
    }

    fn indentation_after(&self, at: TextSize) -> String {
        let mut indentation = self.source.indentation(at).to_owned();
        for (lines, how) in &self.moved {
            if lines.contains(at) {
                indentation = match how {
                    Move::In => format!("{indentation}{}", self.unit),
                    Move::Out => indentation
                        .strip_prefix(&self.unit)
                        .unwrap_or(&indentation)
                        .to_owned(),
                };
            }
        }
        indentation
    }

    fn is_deleted(&self, at: TextSize) -> bool {
        self.deleted.iter().any(|lines| lines.contains(at))
    }

    /// The edits; None if a line that should move out is not far enough in.
    pub fn edits(self) -> Option<Vec<Edit>> {
        let mut edits = self.inserted.clone();
        for (lines, how) in &self.moved {
            let mut at = lines.start();
            while at < lines.end() {
                edits.extend(self.moved_line(at, *how)?);
                at = self.source.next_line(at).0;
            }
        }
        edits.extend(self.joined_deletions());
        edits.extend(self.replaced);
        Some(edits)
    }

    /// Ranges that touch each other are left out as one.
    fn joined_deletions(&self) -> Vec<Edit> {
        let mut deleted = self.deleted.clone();
        deleted.sort_by_key(|lines| lines.start());
        let mut joined: Vec<TextRange> = Vec::new();
        for lines in deleted {
            match joined.last_mut() {
                Some(last) if last.end() >= lines.start() => *last = last.cover(lines),
                _ => joined.push(lines),
            }
        }
        joined.into_iter().map(Edit::delete).collect()
    }

    fn moved_line(&self, at: TextSize, how: Move) -> Option<Option<Edit>> {
        let is_blank = self.source.is_blank_line(at);
        if is_blank || self.is_deleted(at) || self.module.is_within_string(at) {
            return Some(None);
        }
        match how {
            Move::In => Some(Some(Edit::insert(at, self.unit.clone()))),
            Move::Out => {
                let indentation = self.source.indentation(at);
                let length = TextSize::of(self.unit.as_str());
                // A comment may stand anywhere.
                let is_comment = self.source.is_comment_line(at);
                match (indentation.starts_with(&self.unit), is_comment) {
                    (true, _) => Some(Some(Edit::delete(TextRange::at(at, length)))),
                    (false, true) => Some(None),
                    (false, false) => None,
                }
            }
        }
    }
}

/// What a step further in is made of: what stands before a statement more than before the one that it is within.
pub fn unit(source: &Source, outer: TextSize, inner: TextSize) -> Option<String> {
    let (outer, inner) = (source.indentation(outer), source.indentation(inner));
    let unit = inner.strip_prefix(outer)?;
    (!unit.is_empty()).then(|| unit.to_owned())
}
