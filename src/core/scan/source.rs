//! The text of a Python file: decoded as Python decodes it, and encoded back without a change to what was not edited.

use super::syntax::{TextRange, TextSize};
use encoding_rs::{Encoding, UTF_8};
use std::path::{Path, PathBuf};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A Python file as text.
#[derive(Debug)]
pub struct Source {
    /// Its path, as it was found from the path that was asked for.
    pub path: PathBuf,
    /// Its text, without a byte order mark.
    pub text: String,
    encoding: &'static Encoding,
    has_mark: bool,
    line_starts: Vec<usize>,
}

/// A place in a text as editors tell it: both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl Source {
    /// Decode a file's content; the error says why it can't be.
    pub fn decode(path: &Path, content: &[u8]) -> Result<Self, String> {
        let (content, has_mark) = match content.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (rest, true),
            None => (content, false),
        };
        if content.len() >= u32::MAX as usize {
            return Err("the file is larger than 4 GiB".to_owned());
        }
        let encoding = match declared_encoding(content) {
            Some(name) => {
                find_encoding(&name).ok_or_else(|| format!("the encoding '{name}' is not known"))?
            }
            None => UTF_8,
        };
        let text = encoding
            .decode_without_bom_handling_and_without_replacement(content)
            .ok_or_else(|| format!("the content is not {}", encoding.name()))?
            .into_owned();
        Ok(Self {
            path: path.to_owned(),
            line_starts: line_starts(&text),
            text,
            encoding,
            has_mark,
        })
    }

    /// This file with another text.
    pub fn with_text(&self, text: String) -> Self {
        Self {
            path: self.path.clone(),
            line_starts: line_starts(&text),
            text,
            encoding: self.encoding,
            has_mark: self.has_mark,
        }
    }

    /// The bytes of a text in this file's encoding; None if it can't tell a character of it.
    pub fn encode(&self, text: &str) -> Option<Vec<u8>> {
        let (bytes, _, replaced) = self.encoding.encode(text);
        if replaced {
            return None;
        }
        let mark = if self.has_mark { BYTE_ORDER_MARK } else { &[] };
        Some([mark, &bytes].concat())
    }

    /// Where an offset is.
    pub fn position(&self, offset: TextSize) -> Position {
        let offset = usize::from(offset);
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let before = &self.text[self.line_starts[line - 1]..offset];
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// The text of a range.
    pub fn slice(&self, range: TextRange) -> &str {
        &self.text[usize::from(range.start())..usize::from(range.end())]
    }

    /// All of it.
    pub fn whole(&self) -> TextRange {
        TextRange::up_to(text_size(self.text.len()))
    }

    /// Where the line of an offset begins.
    pub fn line_start(&self, offset: TextSize) -> TextSize {
        let line = self
            .line_starts
            .partition_point(|start| *start <= usize::from(offset));
        text_size(self.line_starts[line - 1])
    }

    /// Where the line below that of an offset begins, and whether the offset's line has an end.
    pub fn next_line(&self, offset: TextSize) -> (TextSize, bool) {
        let line = self
            .line_starts
            .partition_point(|start| *start <= usize::from(offset));
        match self.line_starts.get(line) {
            Some(start) => (text_size(*start), true),
            None => (text_size(self.text.len()), false),
        }
    }

    /// What stands before the first character of the line of an offset.
    pub fn indentation(&self, offset: TextSize) -> &str {
        let line = &self.text[usize::from(self.line_start(offset))..];
        &line[..line.len() - line.trim_start_matches([' ', '\t', '\x0c']).len()]
    }

    /// How a line of this file ends.
    pub fn line_end_mark(&self) -> &'static str {
        match self.text.find(['\r', '\n']).map(|at| &self.text[at..]) {
            Some(rest) if rest.starts_with("\r\n") => "\r\n",
            Some(rest) if rest.starts_with('\r') => "\r",
            _ => "\n",
        }
    }

    /// The lines that a range touches, ends included.
    pub fn whole_lines(&self, range: TextRange) -> TextRange {
        TextRange::new(
            self.line_start(range.start()),
            self.next_line(range.end()).0,
        )
    }

    /// Whether nothing but blanks and a comment stands beside a range on its lines.
    pub fn is_alone_on_its_lines(&self, range: TextRange) -> bool {
        let lines = self.whole_lines(range);
        let before = self.slice(TextRange::new(lines.start(), range.start()));
        let behind = self.slice(TextRange::new(range.end(), lines.end())).trim();
        before.trim().is_empty() && (behind.is_empty() || behind.starts_with('#'))
    }

    /// Whether the line below that of an offset is there and blank.
    pub fn is_blank_below(&self, offset: TextSize) -> bool {
        let (at, _) = self.next_line(offset);
        usize::from(at) < self.text.len() && self.is_blank_line(at)
    }

    /// Lines, with the blank one below if there is one above as well, or nothing.
    pub fn with_blank_line_below(&self, lines: TextRange) -> TextRange {
        let above = usize::from(lines.start());
        let is_blank_above =
            above == 0 || self.is_blank_line(self.line_start(text_size(above - 1)));
        let is_blank_below =
            usize::from(lines.end()) < self.text.len() && self.is_blank_line(lines.end());
        match is_blank_above && is_blank_below {
            true => TextRange::new(lines.start(), self.next_line(lines.end()).0),
            false => lines,
        }
    }

    /// Whether there is nothing but a comment on the line that begins at an offset.
    pub fn is_comment_line(&self, start: TextSize) -> bool {
        let end = self.next_line(start).0;
        let line = self.slice(TextRange::new(start, end));
        line.trim_start().starts_with('#')
    }

    /// Whether there is nothing on the line that begins at an offset.
    pub fn is_blank_line(&self, start: TextSize) -> bool {
        let end = self.next_line(start).0;
        self.slice(TextRange::new(start, end)).trim().is_empty()
    }

    /// The lines that a range touches, without the last one's end.
    pub fn lines(&self, range: TextRange) -> &str {
        let first = self
            .line_starts
            .partition_point(|start| *start <= usize::from(range.start()))
            - 1;
        let rest = &self.text[usize::from(range.end())..];
        let end = usize::from(range.end()) + rest.find(['\r', '\n']).unwrap_or(rest.len());
        &self.text[self.line_starts[first]..end]
    }
}

/// A text is shorter than 4 GiB (`Source::decode`).
fn text_size(offset: usize) -> TextSize {
    TextSize::new(u32::try_from(offset).unwrap_or(u32::MAX))
}

/// Python's lines end with `\n`, `\r\n` or `\r`, and with nothing else.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = memchr::memchr2_iter(b'\n', b'\r', bytes)
        .filter(|at| bytes[*at] == b'\n' || bytes.get(at + 1) != Some(&b'\n'));
    std::iter::once(0).chain(ends.map(|at| at + 1)).collect()
}

/// The encoding that one of the first two lines names in a comment (PEP 263).
fn declared_encoding(content: &[u8]) -> Option<String> {
    for line in content.split(|byte| *byte == b'\n').take(2) {
        let code = line.trim_ascii_start();
        if !code.is_empty() && code[0] != b'#' {
            return None;
        }
        if let Some(name) = encoding_named_in(line) {
            return Some(name);
        }
    }
    None
}

fn encoding_named_in(comment: &[u8]) -> Option<String> {
    let ends =
        memchr::memmem::find_iter(comment, b"coding").map(|at| &comment[at + b"coding".len()..]);
    let rest = ends
        .filter_map(|rest| rest.strip_prefix(b":").or_else(|| rest.strip_prefix(b"=")))
        .next()?;
    let name = rest.trim_ascii_start().iter().copied();
    let name: String = name
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    (!name.is_empty()).then_some(name)
}

/// An encoding by Python's name for it. Those of one byte that differ from the web's in control characters only (latin-1)
/// are told by the web's, which gives back the same bytes.
fn find_encoding(name: &str) -> Option<&'static Encoding> {
    let name = name.replace('_', "-");
    let web = match name.as_str() {
        "utf8" | "u8" | "utf" | "utf-8-sig" | "utf8-sig" => "utf-8",
        "ascii" | "us-ascii" | "latin" | "l1" | "iso8859-1" | "8859" | "cp819" => "latin1",
        other => other.strip_prefix("cp").map_or(other, |page| match page {
            "932" => "shift-jis",
            "936" => "gbk",
            "949" => "euc-kr",
            "950" => "big5",
            _ => other,
        }),
    };
    // Python's `utf-8-unix` and the like, as Emacs writes them, are UTF-8.
    let web = if web.starts_with("utf-8-") {
        "utf-8"
    } else {
        web
    };
    let web = if web.starts_with("latin-1") || web.starts_with("iso-latin-1") {
        "latin1"
    } else {
        web
    };
    Encoding::for_label(web.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(content: &[u8]) -> Result<Source, String> {
        Source::decode(Path::new("a.py"), content)
    }

    #[test]
    fn what_is_decoded_is_encoded_to_the_same_bytes() {
        for content in [
            &b"a = 'x'\r\n"[..],
            b"\xef\xbb\xbfa = '\xc3\xa4'\n",
            b"# -*- coding: latin-1 -*-\na = '\xe4\x85'\n",
            b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\na = '\x80'\n",
            b"# coding: shift_jis\na = '\x82\xa0'\n",
            b"# -*- coding: utf-8-unix -*-\na = '\xc3\xa4'\n",
        ] {
            let source = decode(content).unwrap();
            assert_eq!(source.encode(&source.text).unwrap(), content);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_with_the_reason() {
        assert_eq!(
            decode(b"a = '\xe4'\n").unwrap_err(),
            "the content is not UTF-8"
        );
        assert_eq!(
            decode(b"# coding: klingon\n").unwrap_err(),
            "the encoding 'klingon' is not known"
        );
    }

    #[test]
    fn a_cookie_counts_in_the_comments_of_the_first_two_lines_only() {
        assert!(decode(b"# This coding is fine; -*- coding: latin-1 -*-\na = '\xe4'\n").is_ok());
        assert!(decode(b"a = 1\n# coding: klingon\n").is_ok());
        assert!(decode(b"\n\n# coding: klingon\n").is_ok());
        assert!(decode(b"\n# coding: klingon\n").is_err());
    }

    #[test]
    fn positions_count_characters_and_every_kind_of_line_end() {
        let source = decode("ä = 1\r\nb\rc\nd".as_bytes()).unwrap();
        let position = |part: char| {
            let at = source.text.find(part).unwrap();
            let Position { line, column } = source.position(TextSize::try_from(at).unwrap());
            (line, column)
        };
        assert_eq!(position('='), (1, 3));
        assert_eq!(position('b'), (2, 1));
        assert_eq!(position('c'), (3, 1));
        assert_eq!(position('d'), (4, 1));
    }

    #[test]
    fn a_character_that_the_encoding_lacks_can_not_be_written() {
        let source = decode(b"# coding: latin-1\n").unwrap();
        assert_eq!(source.encode("\u{4e00}"), None);
    }
}
