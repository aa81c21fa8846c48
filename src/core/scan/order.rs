//! The services with what is known of each, in the order in which they are best moved: least critical and easiest first.

use super::hazards::Hazard;
use super::held::Held;
use super::imports::Importers;
use super::libraries::Kind;
use super::report::Call;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A service.
#[derive(Debug, Clone, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its place in the proposed order, from 1.
    pub order: usize,
    /// Why it has that place.
    pub reasons: Vec<String>,
    /// How many calls it has that open a database directly.
    pub calls: usize,
    /// How many calls it has that open a pooled connection, or ask for a manager: what is done.
    pub pooled: usize,
    /// In how many files.
    pub files: usize,
    /// The statements that write, as far as they are known.
    pub writes: usize,
    /// Whether it has statements whose text is not known, or gives connections to others.
    pub may_write: bool,
    /// How many of its connections may stay open when something goes wrong.
    pub may_leak: usize,
    /// How many of its connections may lose a write that nothing commits.
    pub lost_writes: usize,
    /// The databases that it opens, as far as they are known.
    pub databases: BTreeSet<String>,
    /// The services that import it.
    pub imported_by: BTreeSet<String>,
    /// The files of tests that import it.
    pub tests: BTreeSet<String>,
}

/// Put services in order; those that have pooled calls only come last.
pub fn services(
    calls: &[Call],
    importers: &BTreeMap<String, Importers>,
    pooled: &BTreeMap<String, usize>,
) -> Vec<Service> {
    let mut by_name: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        by_name.entry(&call.service).or_default().push(call);
    }
    for name in pooled.keys() {
        by_name.entry(name).or_default();
    }
    let mut services: Vec<Service> = by_name
        .into_iter()
        .map(|(name, calls)| {
            describe(
                name,
                &calls,
                importers.get(name).cloned().unwrap_or_default(),
                pooled.get(name).copied().unwrap_or_default(),
            )
        })
        .collect();
    let key = |service: &Service| {
        let is_done = service.calls == 0;
        (is_done, weight(service), service.name.clone())
    };
    services.sort_by_cached_key(key);
    for (index, service) in services.iter_mut().enumerate() {
        service.order = index + 1;
    }
    services
}

/// What is lost if it goes wrong counts most, then how much there is to do.
fn weight(service: &Service) -> usize {
    let untested = if service.tests.is_empty() { 10 } else { 0 };
    5 * service.imported_by.len()
        + 3 * service.writes
        + 2 * (service.may_leak + service.lost_writes)
        + service.calls
        + if service.may_write { 5 } else { 0 }
        + untested
}

fn describe(name: &str, calls: &[&Call], importers: Importers, pooled: usize) -> Service {
    let files: BTreeSet<&str> = calls.iter().map(|call| call.file.as_str()).collect();
    let known = calls.iter().filter(|call| call.database != "unknown");
    let mut service = Service {
        name: name.to_owned(),
        order: 0,
        reasons: Vec::new(),
        calls: calls.len(),
        pooled,
        files: files.len(),
        writes: calls
            .iter()
            .map(|call| call.usage.writes + call.usage.schema)
            .sum(),
        may_write: calls.iter().any(|call| {
            call.usage.unknown > 0
                || matches!(
                    call.held,
                    Held::Factory | Held::Yielded | Held::Argument | Held::Other
                )
        }),
        may_leak: calls.iter().filter(|call| may_leak(call)).count(),
        lost_writes: calls
            .iter()
            .filter(|call| call.hazards.contains(&Hazard::WriteNotCommitted))
            .count(),
        databases: known.map(|call| call.database.clone()).collect(),
        imported_by: importers.services,
        tests: importers.tests,
    };
    service.reasons = reasons(&service);
    service
}

fn may_leak(call: &Call) -> bool {
    let leaves_open = |hazard: &Hazard| {
        matches!(
            hazard,
            Hazard::NeverClosed | Hazard::OpenAfterReturn | Hazard::OpenAfterException
        )
    };
    call.kind == Kind::Sqlite3 && call.hazards.iter().any(leaves_open)
}

fn reasons(service: &Service) -> Vec<String> {
    let counted = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    if service.calls == 0 {
        let pooled = counted(service.pooled, "pooled call", "pooled calls");
        return vec!["0 calls".to_owned(), format!("done: {pooled}")];
    }
    let mut reasons = vec![
        counted(service.calls, "call", "calls"),
        match service.writes {
            0 if service.may_write => "what it writes is not known".to_owned(),
            0 => "reads only".to_owned(),
            writes => counted(writes, "statement that writes", "statements that write"),
        },
        match service.imported_by.len() {
            0 => "imported by no other service".to_owned(),
            others => format!(
                "imported by {}",
                counted(others, "other service", "other services")
            ),
        },
        counted(
            service.may_leak,
            "connection that may stay open",
            "connections that may stay open",
        ),
        match service.tests.len() {
            0 => "no tests found".to_owned(),
            tests => format!("tests in {}", counted(tests, "file", "files")),
        },
    ];
    if service.lost_writes > 0 {
        let what = "whose writes are not committed on some path";
        reasons.push(counted(
            service.lost_writes,
            &format!("call {what}"),
            &format!("calls {what}"),
        ));
    }
    reasons
}
