//! A migration: the calls that the rules may rewrite are rewritten, round by round, until none is left.
//!
//! A round takes of each file the proposals that do not touch each other; what stands within the lines of another one
//! comes in the next round, with the file read anew. Nothing is written here.

use super::case::Case;
use super::describe::{describe, describe_reference};
use super::edits::{self, Edit};
use super::files;
use super::importing::{self, Import};
use super::names::ScopeKind;
use super::patches::{self, Patch};
use super::project::{FileId, Parsed, Project};
use super::report::{Call, NotRead, Reference, Unparsable};
use super::rules::{self, Choice, Needed, Proposal, Verdict};
use super::scanning::{self, Collection, collect, each_file};
use super::services::Services;
use super::sites::Sites;
use super::source::Source;
use super::suites;
use super::syntax::{Ranged, TextRange, TextSize, parse};
use super::unused;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What may be rewritten.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// By which rules.
    pub choice: Choice,
    /// Of which services; of all, if none is named.
    pub services: BTreeSet<String>,
}

impl Options {
    fn is_about(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.contains(service)
    }
}

/// A call that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Rewritten {
    /// The file.
    pub file: String,
    /// The line that the call was on, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The service.
    pub service: String,
    /// The function or class around it.
    pub scope: String,
    /// The rule.
    pub rule: &'static str,
    /// Other rules that it went by as well.
    pub also: Vec<&'static str>,
    /// How safe it is.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// A file that changes.
#[derive(Debug)]
pub struct Change {
    /// Its path.
    pub path: PathBuf,
    /// The service that it belongs to.
    pub service: String,
    /// The content that was read.
    pub before: Vec<u8>,
    /// The new content.
    pub after: Vec<u8>,
}

/// What a migration comes to.
#[derive(Debug, Default, Serialize)]
pub struct Migration {
    /// The calls that are rewritten.
    pub rewritten: Vec<Rewritten>,
    /// The calls that are left, as a scan of the new files tells them.
    pub left: Vec<Call>,
    /// The functions where they are named without a call: whoever gets them may call them.
    pub references: Vec<Reference>,
    /// Places that put something in the place of `sqlite3.connect`, which rewritten modules do not call.
    pub patches: Vec<Patch>,
    /// The files that are no Python.
    pub unparsable: Vec<Unparsable>,
    /// The files and folders that could not be read, and why.
    pub unreadable: Vec<NotRead>,
    /// The files that can't be changed, and why: then none is.
    pub failures: Vec<NotRead>,
    /// How many Python files were looked through.
    pub files: usize,
    /// The changes.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

/// Migrate the Python files below `roots`.
pub fn migrate(roots: &[PathBuf], services: &Services, options: &Options) -> Migration {
    let Collection {
        parsed,
        unparsable,
        walked,
        foreign_keys,
        ..
    } = collect(roots);
    Migration {
        unparsable: unparsable.into_iter().map(|(file, _)| file).collect(),
        unreadable: walked.unreadable.iter().map(scanning::told).collect(),
        files: walked.files,
        ..rewrite(parsed, roots, services, options, foreign_keys)
    }
}

/// Migrate files that are parsed.
pub fn rewrite(
    parsed: Vec<Parsed>,
    roots: &[PathBuf],
    services: &Services,
    options: &Options,
    foreign_keys: Option<String>,
) -> Migration {
    let mut rewriting = Rewriting {
        foreign_keys,
        roots,
        services,
        options,
        parsed,
        changed: BTreeMap::new(),
        rewritten: Vec::new(),
        failures: Vec::new(),
    };
    rewriting.run();
    rewriting.finish()
}

struct Rewriting<'o> {
    roots: &'o [PathBuf],
    services: &'o Services,
    options: &'o Options,
    parsed: Vec<Parsed>,
    /// Where a file of SQL declares some.
    foreign_keys: Option<String>,
    /// By the file's place among them.
    changed: BTreeMap<usize, Changed>,
    rewritten: Vec<Rewritten>,
    failures: Vec<NotRead>,
}

/// A file that was changed in some round.
struct Changed {
    first: String,
    service: String,
    /// The edits of each round.
    rounds: Vec<Vec<Edit>>,
    /// The names that rewritten calls began with: their imports may be needed no more.
    roots: BTreeSet<String>,
}

/// What a round changes in a file.
struct Step {
    service: String,
    edits: Vec<Edit>,
    rewritten: Vec<(TextSize, Rewritten)>,
    roots: BTreeSet<String>,
}

impl<'o> Rewriting<'o> {
    fn project(&self) -> Project<'_> {
        Project::new(&self.parsed, self.roots).with_foreign_keys(self.foreign_keys.as_ref())
    }

    fn run(&mut self) {
        while self.failures.is_empty() {
            let steps = self.round();
            if steps.is_empty() {
                break;
            }
            for (index, step) in steps {
                self.take(index, step);
            }
        }
        self.leave_out_imports();
    }

    fn round(&self) -> Vec<(usize, Step)> {
        let project = self.project();
        let steps = each_file(&project, |file, sites| {
            let direct = Case::of_calls(&project, sites);
            let pooled = Case::of_pooled(&project, sites);
            self.step(&project, file, direct.iter().chain(&pooled))
        });
        let steps = steps.into_iter().enumerate();
        steps
            .filter_map(|(index, step)| Some((index, step?)))
            .collect()
    }

    fn step<'c, 'a: 'p, 'p: 'c>(
        &self,
        project: &Project<'_>,
        file: FileId,
        cases: impl Iterator<Item = &'c Case<'a, 'p>>,
    ) -> Option<Step> {
        let service = self.services.of(&project.file(file).dotted);
        if !self.options.is_about(&service) {
            return None;
        }
        let mut chosen: Vec<(&Case<'_, '_>, Proposal)> = Vec::new();
        for case in cases {
            let proposals = rules::proposals(case, &self.options.choice).into_iter();
            let allowed = proposals.filter(|proposal| self.options.choice.allows(proposal));
            let is_apart = |proposal: &Proposal| {
                let others = chosen.iter();
                let mut others = others.map(|(_, other)| other.extent);
                others.all(|other| {
                    other
                        .intersect(proposal.extent)
                        .is_none_or(TextRange::is_empty)
                })
            };
            // The best one waits for the next round, if it touches another one.
            if let Some(best) = allowed.into_iter().next().filter(is_apart) {
                chosen.push((case, best));
            }
        }
        let first = chosen.first()?;
        let step = put_together(project, file, &service, &chosen);
        step.or_else(|| put_together(project, file, &service, std::slice::from_ref(first)))
    }

    fn take(&mut self, index: usize, step: Step) {
        let source = &self.parsed[index].source;
        let shown = files::shown(&source.path);
        let text = edits::apply(&source.text, &step.edits);
        let parsed = text.map(|text| source.with_text(text)).and_then(|source| {
            let module = parse(&source.text).ok()?;
            Some(Parsed { source, module })
        });
        let Some(parsed) = parsed else {
            let reason = "a rewritten text is no Python; please report it".to_owned();
            return self.failures.push(NotRead {
                file: shown,
                reason,
            });
        };
        let first = || Changed {
            first: source.text.clone(),
            service: step.service,
            rounds: Vec::new(),
            roots: BTreeSet::new(),
        };
        let changed = self.changed.entry(index).or_insert_with(first);
        for (offset, rewritten) in step.rewritten {
            let rounds = changed.rounds.iter().rev();
            let origin = rounds.fold(offset, |offset, edits| edits::origin(edits, offset));
            let position = source.with_text(changed.first.clone()).position(origin);
            self.rewritten.push(Rewritten {
                line: position.line,
                column: position.column,
                ..rewritten
            });
        }
        changed.rounds.push(step.edits);
        changed.roots.extend(step.roots);
        self.parsed[index] = parsed;
    }

    /// Leave out the imports that only the rewritten calls needed.
    fn leave_out_imports(&mut self) {
        let indexes: Vec<usize> = self.changed.keys().copied().collect();
        for index in indexes {
            let project = self.project();
            let edits = unused::imports(&project, index, &self.changed[&index].roots);
            drop(project);
            if edits.is_empty() {
                continue;
            }
            let step = Step {
                service: String::new(),
                edits,
                rewritten: Vec::new(),
                roots: BTreeSet::new(),
            };
            self.take(index, step);
        }
    }

    fn finish(mut self) -> Migration {
        let mut changes = Vec::new();
        for (index, changed) in &self.changed {
            let source = &self.parsed[*index].source;
            match source
                .encode(&changed.first)
                .zip(source.encode(&source.text))
            {
                Some((before, after)) => changes.push(Change {
                    path: source.path.clone(),
                    service: changed.service.clone(),
                    before,
                    after,
                }),
                None => self.failures.push(NotRead {
                    file: files::shown(&source.path),
                    reason: "the file's encoding lacks a character of the new text".to_owned(),
                }),
            }
        }
        self.rewritten.sort();
        let project = self.project();
        let told = each_file(&project, |file, sites| self.left_of(&project, file, sites));
        let mut migration = Migration::default();
        for (calls, references, patches) in told {
            migration.left.extend(calls);
            migration.references.extend(references);
            migration.patches.extend(patches);
        }
        Migration {
            rewritten: self.rewritten,
            failures: self.failures,
            changes,
            ..migration
        }
    }

    /// What is left of a file to be done, as far as it is asked for, and who replaces the function there.
    fn left_of<'a>(
        &self,
        project: &Project<'a>,
        id: FileId,
        sites: &Sites<'a>,
    ) -> (Vec<Call>, Vec<Reference>, Vec<Patch>) {
        let patches = patches::patches(project, id);
        let file = project.file(id);
        if !self.options.is_about(&self.services.of(&file.dotted)) {
            return (Vec::new(), Vec::new(), patches);
        }
        let cases = Case::of_calls(project, sites);
        let calls = cases.iter().map(|case| describe(case, self.services));
        let references = sites.references.iter();
        let references = references.map(|one| describe_reference(file, one, self.services));
        (calls.collect(), references.collect(), patches)
    }
}

/// The changes of chosen proposals and of the imports they need; None if they do not go together.
fn put_together(
    project: &Project<'_>,
    file: FileId,
    service: &str,
    chosen: &[(&Case<'_, '_>, Proposal)],
) -> Option<Step> {
    let needed = chosen.iter().flat_map(|(_, proposal)| &proposal.needed);
    // Imports first: what they are put before may be put further in.
    let mut edits = edits_of_imports(project, file, needed);
    edits.extend(
        chosen
            .iter()
            .flat_map(|(_, proposal)| proposal.edits.clone()),
    );
    edits::apply(&project.file(file).parsed.source.text, &edits)?;
    let rewritten = chosen
        .iter()
        .map(|(case, proposal)| rewritten(case, proposal, service));
    let roots = chosen
        .iter()
        .filter_map(|(case, _)| rules::root(&case.site.call.func));
    Some(Step {
        service: service.to_owned(),
        edits,
        rewritten: rewritten.collect(),
        roots: roots.map(str::to_owned).collect(),
    })
}

fn rewritten(case: &Case<'_, '_>, proposal: &Proposal, service: &str) -> (TextSize, Rewritten) {
    let file = case.file();
    let scope = file.names.qualified_name(case.site.scope);
    let rewritten = Rewritten {
        file: files::shown(&file.parsed.source.path),
        line: 0,
        column: 0,
        service: service.to_owned(),
        scope,
        rule: proposal.rule,
        also: proposal.also.clone(),
        verdict: proposal.verdict,
        reason: proposal.reason.clone(),
    };
    (case.site.call.range().start(), rewritten)
}

fn edits_of_imports<'n>(
    project: &Project<'_>,
    file: FileId,
    needed: impl Iterator<Item = &'n Needed>,
) -> Vec<Edit> {
    let (mut at_top, mut local) = (BTreeSet::new(), BTreeSet::new());
    for Needed {
        import,
        local: within,
    } in needed
    {
        match within {
            Some((scope, offset)) => local.insert((*scope, *offset, *import)),
            None => at_top.insert(*import),
        };
    }
    let of_top = importing::at_top(
        project,
        file,
        &at_top.iter().copied().collect::<Vec<Import>>(),
    );
    // One at the top is seen by the functions as well.
    let is_at_top = |import: Import| at_top.contains(&import);
    let local = local.iter().filter(|(.., import)| !is_at_top(*import));
    let of_functions = local.flat_map(|(scope, offset, import)| {
        let names = &project.file(file).names;
        let source: &Source = &project.file(file).parsed.source;
        let ScopeKind::Function(function) = names.scope(*scope).kind else {
            return Vec::new();
        };
        match suites::innermost(&function.body, TextRange::empty(*offset)) {
            Some((suite, index)) => importing::behind(source, suite, &suite[index], *import),
            None => Vec::new(),
        }
    });
    of_top.into_iter().chain(of_functions).collect()
}
