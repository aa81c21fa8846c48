//! A call in the words of the report.

use super::case::Case;
use super::files;
use super::names::ScopeKind;
use super::project::ProjectFile;
use super::report::{Call, Reference};
use super::rules::{self, Choice};
use super::services::Services;
use super::sites;
use super::syntax::Ranged;
use std::collections::BTreeMap;

/// Describe a call.
pub fn describe(case: &Case<'_, '_>, services: &Services) -> Call {
    let (file, source, site) = (case.file(), case.source(), case.site);
    let position = source.position(site.call.range().start());
    let judgement = rules::judge(case, &Choice::default());
    let scope = file.names.qualified_name(site.scope);
    Call {
        file: files::shown(&source.path),
        line: position.line,
        column: position.column,
        kind: site.kind,
        module: file.dotted.clone(),
        service: services.of(&file.dotted),
        scope: shown_scope(scope),
        scope_kind: scope_kind(case),
        held: case.held,
        keywords: keywords(case),
        database: case
            .database
            .path
            .clone()
            .unwrap_or_else(|| "unknown".to_owned()),
        database_from: case.database.from,
        database_expression: case.database.expression.clone(),
        usage: case.usage.clone(),
        hazards: case.hazards.clone(),
        rule: judgement.rule,
        verdict: judgement.verdict,
        reason: judgement.reason,
        proposed: judgement.proposed,
        call: source.slice(site.call.range()).to_owned(),
        code: source.lines(site.call.range()).to_owned(),
    }
}

/// Describe a place that names a function and does not call it.
pub fn describe_reference(
    file: &ProjectFile<'_>,
    reference: &sites::Reference,
    services: &Services,
) -> Reference {
    let source = &file.parsed.source;
    let position = source.position(reference.within.start());
    let scope = file.names.qualified_name(reference.scope);
    Reference {
        file: files::shown(&source.path),
        line: position.line,
        column: position.column,
        kind: reference.kind,
        service: services.of(&file.dotted),
        scope: shown_scope(scope),
        is_given: reference.within != reference.range,
        call: source.slice(reference.within).to_owned(),
        code: source.lines(reference.within).to_owned(),
    }
}

fn shown_scope(scope: String) -> String {
    match scope.is_empty() {
        true => "<module>".to_owned(),
        false => scope,
    }
}

fn keywords(case: &Case<'_, '_>) -> BTreeMap<String, String> {
    let keywords = case.site.call.arguments.keywords.iter().map(|keyword| {
        let name = keyword.arg.as_ref().map_or("**", |name| name.as_str());
        let value = case.source().slice(keyword.value.range());
        (name.to_owned(), value.to_owned())
    });
    keywords.collect()
}

fn scope_kind(case: &Case<'_, '_>) -> &'static str {
    let names = &case.file().names;
    let Some((scope, function)) = names.function_around(case.site.scope) else {
        return match names.scope(case.site.scope).kind {
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
