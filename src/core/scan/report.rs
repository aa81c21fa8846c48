//! What a scan gives: every call with what is known of it, and nothing that was found by text left out.

use super::database::From;
use super::hazards::Hazard;
use super::held::Held;
use super::hits::Hits;
use super::libraries::Kind;
use super::order::Service;
use super::patches::Patch;
use super::rules::Verdict;
use super::summary::Summary;
use super::usage::Usage;
use serde::Serialize;
use std::collections::BTreeMap;

/// A call that opens a database directly.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// The file, as found from the path that was asked for.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The library.
    pub kind: Kind,
    /// The module's dotted name.
    pub module: String,
    /// The service that the module belongs to.
    pub service: String,
    /// The function or class around it, `<module>` if there is none.
    pub scope: String,
    /// `module`, `class`, `function`, `method`, `async function` or `async method`
    pub scope_kind: &'static str,
    /// How the connection is held.
    pub held: Held,
    /// The keyword arguments, by name and source.
    pub keywords: BTreeMap<String, String>,
    /// The database's path, `unknown` if that is not certain.
    pub database: String,
    /// How the call names it.
    pub database_from: From,
    /// The expression that names it.
    pub database_expression: String,
    /// What is done with the connection.
    pub usage: Usage,
    /// What may go wrong.
    pub hazards: Vec<Hazard>,
    /// The rule that rewrites it, empty if none does.
    pub rule: &'static str,
    /// How safe that is.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// What the lines that no rule rewrites safely may become, or how they would begin; else empty.
    pub proposed: String,
    /// The call alone, as written.
    pub call: String,
    /// The call's lines.
    pub code: String,
}

/// A place that names a function which opens a database, and does not call it: whoever gets it may.
#[derive(Debug, Clone, Serialize)]
pub struct Reference {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The library.
    pub kind: Kind,
    /// The service that the module belongs to.
    pub service: String,
    /// The function or class around it, `<module>` if there is none.
    pub scope: String,
    /// Whether it is given to a call: `asyncio.to_thread(sqlite3.connect, path)`.
    pub is_given: bool,
    /// The call that it is given to, or itself.
    pub call: String,
    /// Its lines.
    pub code: String,
}

/// A file that is not read as Python.
#[derive(Debug, Clone, Serialize)]
pub struct Unparsable {
    /// The file.
    pub file: String,
    /// The line of the first error, from 1; 0 if the text can't be decoded.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
    /// How often the text names a function that opens a database.
    pub hits: usize,
}

/// A file or folder that could not be read.
#[derive(Debug, Clone, Serialize)]
pub struct NotRead {
    /// Which.
    pub file: String,
    /// What the system said.
    pub reason: String,
}

/// The version of what `Report` is written as.
const VERSION: u32 = 1;

/// Everything that a scan found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Grows when what is there changes its meaning.
    pub version: u32,
    /// The calls, by file and line.
    pub calls: Vec<Call>,
    /// The files that are no Python.
    pub unparsable: Vec<Unparsable>,
    /// The files and folders that could not be read, and why.
    pub unreadable: Vec<NotRead>,
    /// The functions where they are named without a call.
    pub references: Vec<Reference>,
    /// Places that put something in the place of `sqlite3.connect`: mostly tests.
    pub patches: Vec<Patch>,
    /// What a search by text finds, by what it turned out to be.
    pub hits: Hits,
    /// The services, in the order in which they are best moved.
    pub services: Vec<Service>,
    /// The numbers of all together.
    pub summary: Summary,
    /// By service, the calls that open pooled connections or ask for a manager.
    #[serde(skip)]
    pub pooled: BTreeMap<String, usize>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            version: VERSION,
            calls: Vec::new(),
            unparsable: Vec::new(),
            unreadable: Vec::new(),
            references: Vec::new(),
            patches: Vec::new(),
            hits: Hits::default(),
            services: Vec::new(),
            summary: Summary::default(),
            pooled: BTreeMap::new(),
        }
    }
}
