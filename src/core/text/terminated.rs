//! Texts with a NUL behind them, which SQLite compiles without making a copy.

use std::ffi::{CString, c_char, c_int};
use std::ops::Deref;

/// A text with a NUL byte behind it, or the rest of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminated<'a>(&'a str);

impl<'a> Terminated<'a> {
    /// The text of a C string, if it is UTF-8.
    pub fn of(text: &'a CString) -> Option<Self> {
        text.to_str().ok().map(Self)
    }

    /// A text that is known to have a NUL behind it.
    ///
    /// # Safety
    /// The byte behind the text is readable, and 0, as long as the text lives.
    pub unsafe fn assume(text: &'a str) -> Self {
        Self(text)
    }

    /// What is left behind `length` bytes; nothing if there are fewer.
    pub fn rest(self, length: usize) -> Self {
        // Its end is the same.
        Self(self.0.get(length..).unwrap_or(&self.0[self.0.len()..]))
    }

    /// The text before a rest of it.
    pub fn before(self, rest: Terminated<'_>) -> &'a str {
        &self.0[..self.0.len().saturating_sub(rest.0.len())]
    }

    /// The text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// For SQLite: where the text begins.
    pub fn as_c_char(self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// For SQLite: the length with the NUL. The text is no longer than SQLite's limit.
    pub fn length_with_nul(self) -> c_int {
        self.0.len() as c_int + 1
    }
}

impl Deref for Terminated<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_ends_where_the_text_ends() {
        let owner = CString::new("select 1; select 2").unwrap();
        let text = Terminated::of(&owner).unwrap();
        let rest = text.rest(9);
        assert_eq!(rest.as_str(), " select 2");
        assert_eq!(text.before(rest), "select 1;");
        assert_eq!(text.rest(99).as_str(), "");
        // SAFETY: the NUL is behind the rest.
        assert_eq!(unsafe { *rest.as_c_char().add(rest.len()) }, 0);
    }
}
