//! What a rule would make of a call.

use crate::core::scan::edits::{self, Edit};
use crate::core::scan::importing::Import;
use crate::core::scan::names::ScopeId;
use crate::core::scan::source::Source;
use crate::core::scan::syntax::{TextRange, TextSize};
use serde::Serialize;

/// Whether a rule may rewrite a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Verdict {
    /// What is stored and discarded, and what is raised, stays as it was.
    #[serde(rename = "safe")]
    Safe,
    /// It stays so under a condition that the reason names.
    #[serde(rename = "unsafe")]
    Unsafe,
    /// No rule can.
    #[serde(rename = "by hand")]
    ByHand,
}

/// What is to be done with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The rule that rewrites it; empty if none does.
    pub rule: &'static str,
    /// How safe that is.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// A text to begin with, where no rule makes a session of it safely; else empty.
    pub proposed: String,
}

/// An import that new code needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// Which.
    pub import: Import,
    /// The function whose own import it comes behind; at the file's top, if there is none.
    pub local: Option<(ScopeId, TextSize)>,
}

/// A way to rewrite a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The rule; empty if no rule can.
    pub rule: &'static str,
    /// How safe it is.
    pub verdict: Verdict,
    /// Other rules that it goes by as well.
    pub also: Vec<&'static str>,
    /// Why.
    pub reason: String,
    /// What it looks at: nothing else may change there at the same time.
    pub extent: TextRange,
    /// The changes.
    pub edits: Vec<Edit>,
    /// The imports that these need.
    pub needed: Vec<Needed>,
}

impl Proposal {
    /// None: what no rule can do.
    pub fn by_hand(reason: &str) -> Self {
        Self {
            rule: "",
            verdict: Verdict::ByHand,
            also: Vec::new(),
            reason: reason.to_owned(),
            extent: TextRange::default(),
            edits: Vec::new(),
            needed: Vec::new(),
        }
    }

    /// The lines that it looks at, as they would become.
    pub fn lines(&self, source: &Source) -> String {
        let text = &source.text[..usize::from(self.extent.end())];
        let begin = usize::from(self.extent.start());
        let changed = edits::apply(text, &self.edits);
        // Nothing before its lines changes.
        changed.map_or_else(String::new, |text| text[begin..].trim_end().to_owned())
    }
}
