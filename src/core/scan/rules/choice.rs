//! What may be rewritten, and what is known of the project's configuration.

use super::{Proposal, Verdict};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// See the head of this file.
#[derive(Debug, Default, Clone)]
pub struct Choice {
    /// By which rules; by all, if none is named.
    pub rules: BTreeSet<String>,
    /// By unsafe rules as well.
    pub with_unsafe: bool,
    /// The databases that the configuration names, by their absolute paths.
    pub databases: Vec<(PathBuf, String)>,
}

impl Choice {
    /// Whether a rule is asked for.
    pub fn has(&self, rule: &str) -> bool {
        self.rules.is_empty() || self.rules.contains(rule)
    }

    /// Whether a proposal may be made true.
    pub fn allows(&self, proposal: &Proposal) -> bool {
        let is_allowed = match proposal.verdict {
            Verdict::Safe => true,
            Verdict::Unsafe => self.with_unsafe,
            Verdict::ByHand => false,
        };
        is_allowed && self.has(proposal.rule)
    }
}
