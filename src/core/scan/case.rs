//! All that is known of one call, which the rules go by and the report tells.

use super::connection::Connection;
use super::database::{self, Database};
use super::hazards::{self, Hazard};
use super::held::{self, Held};
use super::project::{Project, ProjectFile};
use super::sites::{Site, Sites};
use super::source::Source;
use super::syntax::{Quoted, TextRange};
use super::usage::{self, Usage};

/// A call, and what the project's source tells of it.
#[derive(Debug)]
pub struct Case<'a, 'p> {
    /// The project.
    pub project: &'p Project<'a>,
    /// The call.
    pub site: &'p Site<'a>,
    /// How its connection is held.
    pub held: Held,
    /// The connection, which knows its cursors.
    pub connection: Connection<'a, 'p>,
    /// What is done with it.
    pub usage: Usage,
    /// What may go wrong.
    pub hazards: Vec<Hazard>,
    /// The database.
    pub database: Database,
}

impl<'a, 'p> Case<'a, 'p> {
    /// Look at a call, beside the `others` of its file.
    fn of(project: &'p Project<'a>, site: &'p Site<'a>, others: &[&Site<'a>]) -> Self {
        let (held, holder) = held::held(project, site);
        let database = database::database(project, site);
        let mut connection = Connection::new(project, site, holder);
        let usage = usage::usage(&project.file(site.file).names, &mut connection);
        let hazards = hazards::hazards(project, &connection, held, &usage, &database, others);
        Self {
            project,
            site,
            held,
            connection,
            usage,
            hazards,
            database,
        }
    }

    /// Look at the direct calls of a file.
    pub fn of_calls(project: &'p Project<'a>, sites: &'p Sites<'a>) -> Vec<Self> {
        let others: Vec<&Site<'a>> = sites.calls.iter().collect();
        let case = |site| Self::of(project, site, &others);
        sites.calls.iter().map(case).collect()
    }

    /// Look at the calls of a file that open pooled connections already.
    pub fn of_pooled(project: &'p Project<'a>, sites: &'p Sites<'a>) -> Vec<Self> {
        let case = |site| Self::of(project, site, &[]);
        sites.pooled.iter().map(case).collect()
    }

    /// The file that the call is in.
    pub fn file(&self) -> &'p ProjectFile<'a> {
        self.project.file(self.site.file)
    }

    /// Its text.
    pub fn source(&self) -> &'p Source {
        &self.file().parsed.source
    }

    /// Whether there is a comment within a range.
    pub fn has_comment(&self, range: TextRange) -> bool {
        let quoted = self.file().parsed.module.quoted_in(range);
        quoted.into_iter().any(|(_, what)| what == Quoted::Comment)
    }
}
