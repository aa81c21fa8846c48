//! All that is known of one call.

use super::connection::Connection;
use super::database;
use super::files;
use super::hazards;
use super::held::held;
use super::names::ScopeKind;
use super::project::{FileId, Project};
use super::report::Call;
use super::rules;
use super::services::Services;
use super::sites::Site;
use super::syntax::Ranged;
use super::usage::usage;

/// Describe a call, beside the `others` of its file.
pub fn describe<'a>(
    project: &Project<'a>,
    site: &Site<'a>,
    others: &[&Site<'a>],
    services: &Services,
) -> Call {
    let id = site.file;
    let file = project.file(id);
    let source = &file.parsed.source;
    let position = source.position(site.call.range().start());
    let (held, holder) = held(project, site);
    let judgement = rules::judge(site);
    let database = database::database(project, site);
    let mut connection = Connection::new(project, site, holder);
    let usage = usage(&file.names, &mut connection);
    let hazards = hazards::hazards(project, &connection, held, &usage, &database, others);
    let keywords = site.call.arguments.keywords.iter().map(|keyword| {
        let name = keyword.arg.as_ref().map_or("**", |name| name.as_str());
        (
            name.to_owned(),
            source.slice(keyword.value.range()).to_owned(),
        )
    });
    let scope = file.names.qualified_name(site.scope);
    Call {
        file: files::shown(&source.path),
        line: position.line,
        column: position.column,
        kind: site.kind,
        module: file.dotted.clone(),
        service: services.of(&file.dotted),
        scope: if scope.is_empty() {
            "<module>".to_owned()
        } else {
            scope
        },
        scope_kind: scope_kind(project, id, site),
        held,
        keywords: keywords.collect(),
        database: database.path.unwrap_or_else(|| "unknown".to_owned()),
        database_from: database.from,
        database_expression: database.expression,
        usage,
        hazards,
        rule: judgement.rule,
        verdict: judgement.verdict,
        reason: judgement.reason,
        code: source.lines(site.call.range()).to_owned(),
    }
}

fn scope_kind(project: &Project<'_>, id: FileId, site: &Site<'_>) -> &'static str {
    let names = &project.file(id).names;
    let Some((scope, function)) = names.function_around(site.scope) else {
        return match names.scope(site.scope).kind {
            ScopeKind::Class(_) => "class",
            _ => "module",
        };
    };
    let is_method = names
        .scope(scope)
        .parent
        .is_some_and(|parent| matches!(names.scope(parent).kind, ScopeKind::Class(_)));
    match (function.is_async, is_method) {
        (false, false) => "function",
        (false, true) => "method",
        (true, false) => "async function",
        (true, true) => "async method",
    }
}
