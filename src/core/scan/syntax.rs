//! Python source as a syntax tree: the one place that knows ruff's parser.
//!
//! Its crates are ruff's own and promise no stable interface, so they are pinned to one version, and everything else
//! of `scan` takes their types from here.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Parsed, parse_module};

pub use ruff_python_ast::visitor::{self, Visitor};
pub use ruff_python_ast::{
    self as ast, Arguments, ExceptHandler, Expr, ExprCall, Parameters, Stmt, StmtClassDef,
    StmtFunctionDef,
};
pub use ruff_text_size::{Ranged, TextRange, TextSize};

/// What a stretch of a text is that is neither code nor blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoted {
    /// A string, a part of a formatted one, or bytes.
    Text,
    /// A comment.
    Comment,
}

/// A file's syntax tree, and where its strings and comments are.
#[derive(Debug)]
pub struct Module {
    /// The statements.
    pub body: Vec<Stmt>,
    quoted: Vec<(TextRange, Quoted)>,
    /// Whole strings, of formatted ones with all that is in them.
    strings: Vec<TextRange>,
}

impl Module {
    /// Whether an offset is in the midst of a string.
    pub fn is_within_string(&self, offset: TextSize) -> bool {
        let after = self.strings.partition_point(|range| range.end() <= offset);
        self.strings
            .get(after)
            .is_some_and(|range| range.start() < offset)
    }

    /// What stands at an offset, if it is in a string or a comment.
    pub fn quoted_at(&self, offset: TextSize) -> Option<Quoted> {
        let after = self
            .quoted
            .partition_point(|(range, _)| range.end() <= offset);
        let (range, quoted) = self.quoted.get(after)?;
        range.contains(offset).then_some(*quoted)
    }

    /// The strings and comments within a range, in their order.
    pub fn quoted_in(&self, within: TextRange) -> impl Iterator<Item = (TextRange, Quoted)> {
        let first = self
            .quoted
            .partition_point(|(range, _)| range.end() <= within.start());
        self.quoted[first..]
            .iter()
            .take_while(move |(range, _)| range.start() < within.end())
            .copied()
    }
}

/// Why a text is no Python, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where in the text.
    pub offset: TextSize,
    /// What the parser says.
    pub message: String,
}

/// Whether all arguments of a call stand there: none comes by `*` or `**`.
pub fn are_written_out(arguments: &Arguments) -> bool {
    let is_starred = arguments.args.iter().any(Expr::is_starred_expr);
    !is_starred
        && arguments
            .keywords
            .iter()
            .all(|keyword| keyword.arg.is_some())
}

/// Parse a file's text.
pub fn parse(text: &str) -> Result<Module, SyntaxError> {
    match parse_module(text) {
        Ok(parsed) => {
            let quoted = strings_and_comments(&parsed);
            let strings = strings(&parsed);
            Ok(Module {
                body: parsed.into_syntax().body.into_iter().collect(),
                quoted,
                strings,
            })
        }
        Err(error) => Err(SyntaxError {
            offset: error.location.start(),
            message: error.error.to_string(),
        }),
    }
}

fn strings_and_comments<T>(parsed: &Parsed<T>) -> Vec<(TextRange, Quoted)> {
    let kind = |kind| match kind {
        TokenKind::Comment => Some(Quoted::Comment),
        TokenKind::String | TokenKind::FStringMiddle | TokenKind::TStringMiddle => {
            Some(Quoted::Text)
        }
        _ => None,
    };
    let tokens = parsed.tokens().iter();
    tokens
        .filter_map(|token| Some((token.range(), kind(token.kind())?)))
        .collect()
}

/// The outermost strings.
fn strings<T>(parsed: &Parsed<T>) -> Vec<TextRange> {
    let mut strings = Vec::new();
    let mut begun: Vec<TextSize> = Vec::new();
    for token in parsed.tokens().iter() {
        match token.kind() {
            TokenKind::FStringStart | TokenKind::TStringStart => begun.push(token.start()),
            TokenKind::FStringEnd | TokenKind::TStringEnd => {
                if let (Some(start), true) = (begun.pop(), begun.is_empty()) {
                    strings.push(TextRange::new(start, token.end()));
                }
            }
            TokenKind::String if begun.is_empty() => strings.push(token.range()),
            _ => {}
        }
    }
    strings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_known_by_its_offset() {
        let text = "a = 'x' # y\nb = f'{a} z'\n";
        let module = parse(text).unwrap();
        let at =
            |part: &str| module.quoted_at(TextSize::try_from(text.find(part).unwrap()).unwrap());
        assert_eq!(at("x"), Some(Quoted::Text));
        assert_eq!(at("y"), Some(Quoted::Comment));
        assert_eq!(at("a}"), None);
        assert_eq!(at(" z"), Some(Quoted::Text));
        assert_eq!(at("b ="), None);
    }

    #[test]
    fn what_is_within_a_string_is_known_also_in_the_code_of_a_formatted_one() {
        let text = "a = f\"\"\"\n{b}\nc\"\"\"\nd = 'x'\n";
        let module = parse(text).unwrap();
        let at = |part: &str| {
            module.is_within_string(TextSize::try_from(text.find(part).unwrap()).unwrap())
        };
        assert!(at("{b") && at("b}") && at("c\""));
        assert!(!at("f\"") && !at("d ="));
    }

    #[test]
    fn a_text_that_is_no_python_says_where() {
        let error = parse("a = 1\nprint 'x'\n").unwrap_err();
        assert_eq!(u32::from(error.offset), 12);
        assert!(!error.message.is_empty());
    }
}
