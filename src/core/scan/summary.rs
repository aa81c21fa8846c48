//! The numbers of a whole scan.

use super::hazards::Hazard;
use super::held::Held;
use super::libraries::Kind;
use super::report::Call;
use super::rules::Verdict;
use serde::Serialize;
use std::collections::BTreeMap;

/// How many calls there are of each sort.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Python files that were looked through.
    pub files: usize,
    /// Their sizes together.
    pub bytes: usize,
    /// Calls that open a database directly.
    pub calls: usize,
    /// By library.
    pub kinds: BTreeMap<Kind, usize>,
    /// By how the connection is held.
    pub held: BTreeMap<Held, usize>,
    /// By database.
    pub databases: BTreeMap<String, usize>,
    /// By what may go wrong.
    pub hazards: BTreeMap<Hazard, usize>,
    /// By what is to be done with them.
    pub verdicts: BTreeMap<Verdict, usize>,
}

impl Summary {
    /// Count calls.
    pub fn of(calls: &[Call], files: usize, bytes: usize) -> Self {
        let mut summary = Self {
            files,
            bytes,
            calls: calls.len(),
            ..Self::default()
        };
        for call in calls {
            *summary.kinds.entry(call.kind).or_default() += 1;
            *summary.held.entry(call.held).or_default() += 1;
            *summary.databases.entry(call.database.clone()).or_default() += 1;
            for hazard in &call.hazards {
                *summary.hazards.entry(*hazard).or_default() += 1;
            }
            *summary.verdicts.entry(call.verdict).or_default() += 1;
        }
        summary
    }
}
