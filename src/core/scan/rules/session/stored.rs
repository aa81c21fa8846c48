//! DBM107: a class keeps a manager in the place of a connection, and each method opens a session for what it does.

use super::places::Places;
use super::region::{Form, Opening, Region};
use super::{Manager, arguments, rewrite, transactions};
use crate::core::scan::case::Case;
use crate::core::scan::edits::Edit;
use crate::core::scan::held::Holder;
use crate::core::scan::importing::{Import, is_free_for};
use crate::core::scan::layout::Layout;
use crate::core::scan::names::{ScopeId, ScopeKind};
use crate::core::scan::rules::{Choice, Needed, Proposal, Verdict};
use crate::core::scan::sql::Sql;
use crate::core::scan::suites;
use crate::core::scan::syntax::{Expr, ExprCall, Ranged, Stmt, TextRange, Visitor, ast, visitor};
use crate::core::scan::uses::Use;

type Refusal = String;

/// What the local name of a session may be.
const LOCAL_NAMES: [&str; 3] = ["connection", "session", "opened"];

/// Propose it, or tell why not.
pub fn propose(case: &Case<'_, '_>, choice: &Choice) -> Result<Proposal, Refusal> {
    let Holder::Attribute(class, attribute) = case.connection.holder() else {
        return Err("no name of its function holds it".to_owned());
    };
    if !is_free_for(case.file(), case.site.scope, Import::Manager) {
        return Err("the name 'DatabaseManager' means something else here".to_owned());
    }
    let ScopeKind::Class(node) = case.file().names.scope(class).kind else {
        return Err("it is not in a class".to_owned());
    };
    let arguments = arguments::of(case)?;
    let manager = Manager::of(case, &arguments, choice);
    if let Some(set) = case.usage.sets.iter().find(|set| !is_told_anew(set)) {
        return Err(format!(
            "its connection is told once what each session would have to be told: {set}"
        ));
    }
    if has_heirs(case, class) {
        return Err("other classes are derived from its class".to_owned());
    }
    let mut stored = Stored::of(case, class, attribute)?;
    let methods = stored.methods();
    let users: Vec<&str> = methods
        .iter()
        .map(|method| method.node.name.as_str())
        .collect();
    let mut conditions = vec![format!(
        "if nothing but its class uses '{attribute}', and no method counts on what another one did on the connection, as with \
         temporary tables"
    )];
    conditions.extend(manager.condition.clone());
    for method in &methods {
        conditions.extend(stored.rewrite(method, &users)?);
    }
    stored.replace_opening(&manager.expression)?;
    conditions.dedup();
    Ok(Proposal {
        rule: "DBM107",
        also: manager.is_named.then_some("DBM108").into_iter().collect(),
        verdict: Verdict::Unsafe,
        reason: conditions.join("; "),
        extent: case.source().whole_lines(node.range),
        edits: stored.edits,
        needed: vec![Needed {
            import: Import::Manager,
            local: super::super::swap::local_import(case),
        }],
    })
}

/// What is set on a connection and on each session, or has sessions have it anyway.
fn is_told_anew(set: &str) -> bool {
    let is_redundant = || Sql::of(set, true) == Sql::Redundant;
    matches!(set, "row_factory" | "text_factory") || is_redundant()
}

/// Whether a class of the project is derived from this one.
fn has_heirs(case: &Case<'_, '_>, class: ScopeId) -> bool {
    let dotted = format!(
        "{}.{}",
        case.file().dotted,
        case.file().names.qualified_name(class)
    );
    let project = case.project;
    project.files().any(|(id, file)| {
        file.names
            .scopes()
            .any(|(_, scope)| match (scope.kind, scope.parent) {
                (ScopeKind::Class(node), Some(around)) => node.bases().iter().any(|base| {
                    let named = project.named(id, around, base);
                    named.names.contains(&dotted)
                }),
                _ => false,
            })
    })
}

struct Stored<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    class: ScopeId,
    /// The statement that opens the connection.
    opening: TextRange,
    /// `self`, as it is called there.
    instance: &'a str,
    manager: String,
    local: &'static str,
    /// What each session has to be told: the sources of `row_factory` and `text_factory`.
    set: Vec<(String, String)>,
    /// Statements that set these.
    setting: Vec<TextRange>,
    edits: Vec<Edit>,
}

/// A method that uses the connection.
struct Method<'a> {
    scope: ScopeId,
    node: &'a ast::StmtFunctionDef,
    places: Places,
}

impl<'a, 'p, 'c> Stored<'a, 'p, 'c> {
    fn of(case: &'c Case<'a, 'p>, class: ScopeId, attribute: &'a str) -> Result<Self, Refusal> {
        let names = &case.file().names;
        if names.attribute_of(class, attribute).len() != 1 {
            return Err("its attribute is bound several times".to_owned());
        }
        let (scope, node) = names
            .function_around(case.site.scope)
            .ok_or("it is not in a method")?;
        let (_, instance) = names.method_of(scope).ok_or("it is not in a method")?;
        let call = case.site.call.range();
        let (suite, index) = suites::innermost(&node.body, call).ok_or("it is not in a method")?;
        let Stmt::Assign(assign) = &suite[index] else {
            return Err("it is not bound by a plain assignment".to_owned());
        };
        let is_plain = assign.value.range() == call && assign.targets.len() == 1;
        if !is_plain || !case.source().is_alone_on_its_lines(assign.range) {
            return Err("it is not bound by a plain assignment".to_owned());
        }
        let manager = match attribute.starts_with('_') {
            true => "_manager",
            false => "manager",
        };
        if !names.attribute_of(class, manager).is_empty() {
            return Err(format!("its class has a '{manager}' already"));
        }
        let words = case.source().slice(match names.scope(class).kind {
            ScopeKind::Class(class) => class.range,
            _ => assign.range,
        });
        let is_word = |name: &&&str| {
            !words
                .split(|sign: char| !sign.is_alphanumeric() && sign != '_')
                .any(|word| word == **name)
        };
        let local = LOCAL_NAMES
            .iter()
            .find(is_word)
            .ok_or("no name is free for its sessions")?;
        Ok(Self {
            case,
            class,
            opening: assign.range,
            instance,
            manager: manager.to_owned(),
            local,
            set: Vec::new(),
            setting: Vec::new(),
            edits: Vec::new(),
        })
    }

    /// The methods of the class that use the connection, the opening one first.
    fn methods(&mut self) -> Vec<Method<'a>> {
        let names = &self.case.file().names;
        let mut methods = Vec::new();
        for (scope, known) in names.scopes() {
            let ScopeKind::Function(node) = known.kind else {
                continue;
            };
            if names
                .method_of(scope)
                .is_none_or(|(class, _)| class != self.class)
            {
                continue;
            }
            let places = Places::of(self.case, scope);
            if places.ranges().next().is_some() || node.range.contains_range(self.opening) {
                methods.push(Method {
                    scope,
                    node,
                    places,
                });
            }
        }
        methods.sort_by_key(|method| !method.node.range.contains_range(self.opening));
        methods
    }

    fn rewrite(&mut self, method: &Method<'a>, users: &[&str]) -> Result<Vec<String>, Refusal> {
        let body = &method.node.body;
        let uses = |statement: &Stmt| {
            !self.opening.contains_range(statement.range())
                && method
                    .places
                    .within(statement.range())
                    .any(|place| place.what != Use::Bound)
        };
        let used: Vec<usize> = (0..body.len())
            .filter(|index| uses(&body[*index]))
            .collect();
        let mut kept_from = None;
        let mut kept_to = 0;
        let mut ended = Vec::new();
        for index in used {
            let statement = &body[index];
            if self.is_setting(method, statement) {
                continue;
            }
            if method.places.is_closer(statement) {
                ended.push(statement.range());
                continue;
            }
            kept_from = kept_from.or(Some(index));
            kept_to = index;
        }
        self.leave_out(method, &ended)?;
        let Some(from) = kept_from else {
            return Ok(Vec::new());
        };
        let kept: Vec<&Stmt> = body[from..=kept_to].iter().collect();
        let has_end_within = ended
            .iter()
            .any(|end| kept.iter().any(|statement| statement.range() == *end));
        if has_end_within
            || kept
                .iter()
                .any(|statement| statement.range().contains_range(self.opening))
        {
            return Err("its method opens or closes it in between".to_owned());
        }
        self.check_calls(&kept, users)?;
        let proof = self.put_session(method, kept)?;
        Ok(proof)
    }

    /// `self.connection.row_factory = …` behind the opening: each session has to be told.
    fn is_setting(&mut self, method: &Method<'a>, statement: &Stmt) -> bool {
        let Stmt::Assign(assign) = statement else {
            return false;
        };
        let [Expr::Attribute(target)] = &*assign.targets else {
            return false;
        };
        let is_its = method
            .places
            .ranges()
            .any(|range| range == target.value.range());
        let is_opening = method.node.range.contains_range(self.opening);
        let name = target.attr.as_str();
        let is_set = is_its && is_opening && matches!(name, "row_factory" | "text_factory");
        if is_set {
            let value = self.case.source().slice(assign.value.range()).to_owned();
            self.set.push((name.to_owned(), value));
            self.setting.push(assign.range);
        }
        is_set
    }

    /// There is nothing to close any more.
    fn leave_out(&mut self, method: &Method<'a>, ended: &[TextRange]) -> Result<(), Refusal> {
        let (source, module) = (self.case.source(), &self.case.file().parsed.module);
        let is_docstring = |statement: &&Stmt| !matches!(statement, Stmt::Expr(text) if text.value.is_string_literal_expr());
        let statements = method.node.body.iter().filter(is_docstring).count();
        let mut layout = Layout::new(source, module, String::new());
        let is_emptied = statements == ended.len();
        for (index, range) in ended.iter().enumerate() {
            match is_emptied && index == 0 {
                true => layout.replace(*range, "pass"),
                false => layout.leave_out(*range),
            }
        }
        let edits = layout.edits().ok_or("its lines can't be moved")?;
        self.edits.extend(edits);
        Ok(())
    }

    /// A method that is called within a session would open another one.
    fn check_calls(&self, kept: &[&'a Stmt], users: &[&str]) -> Result<(), Refusal> {
        let mut calls = OwnCalls {
            instance: self.instance,
            users,
            is_found: false,
        };
        kept.iter()
            .for_each(|statement| calls.visit_stmt(statement));
        match calls.is_found {
            true => Err("its methods use it while they call each other".to_owned()),
            false => Ok(()),
        }
    }

    fn put_session(
        &mut self,
        method: &Method<'a>,
        kept: Vec<&'a Stmt>,
    ) -> Result<Vec<String>, Refusal> {
        let source = self.case.source();
        let (first, last) = (kept[0].range(), kept[kept.len() - 1].range());
        let block = match &kept[..] {
            [Stmt::With(with)] if is_block(with, &method.places) => Some(with),
            _ => None,
        };
        let (form, opening, kept) = match block {
            Some(with) => {
                let item = with.items[0].context_expr.range();
                (Form::With, Opening::Item(item), with.body.iter().collect())
            }
            None => (Form::Close, Opening::Above(first), kept),
        };
        let name = (method.scope, self.local);
        let mut region = Region::new(form, opening, name, kept, first.cover(last));
        region.step = Some((method.node.range.start(), method.node.body[0].start()));
        if block.is_none() {
            region.moved_in.push(first.cover(last));
        }
        if source.line_start(method.node.range.start()) == source.line_start(first.start()) {
            return Err("its statements share lines".to_owned());
        }
        let proof = transactions::prove(self.case, &region, &method.places);
        let mut proof = proof?;
        if proof.is_suspected {
            return Err("a method leaves something uncommitted for another one".to_owned());
        }
        if proof.is_yielded {
            return Err("it is yielded".to_owned());
        }
        proof.redundant.clear();
        let set: Vec<String> = self
            .set
            .iter()
            .map(|(name, value)| format!("{}.{name} = {value}", self.local))
            .collect();
        let session = format!(
            "{}.{}.session() as {}",
            self.instance, self.manager, self.local
        );
        let edits = rewrite::edits(self.case, &region, &proof, &session, &set, None);
        self.edits.extend(edits?);
        let skipped = block.map(|with| with.items[0].context_expr.range());
        for place in method.places.within(region.extent) {
            let is_skipped = skipped.is_some_and(|skipped| skipped == place.range);
            if place.is_connection && !is_skipped {
                self.edits.push(Edit::replace(place.range, self.local));
            }
        }
        Ok(proof.conditions)
    }

    fn replace_opening(&mut self, manager: &str) -> Result<(), Refusal> {
        let (source, module) = (self.case.source(), &self.case.file().parsed.module);
        if self.case.has_comment(self.opening) {
            return Err("a comment would be lost".to_owned());
        }
        let mut layout = Layout::new(source, module, String::new());
        layout.replace(
            self.opening,
            format!("{}.{} = {manager}", self.instance, self.manager),
        );
        self.setting
            .iter()
            .for_each(|range| layout.leave_out(*range));
        self.edits
            .extend(layout.edits().ok_or("its lines can't be moved")?);
        Ok(())
    }
}

/// `with self.connection:`
fn is_block(with: &ast::StmtWith, places: &Places) -> bool {
    let [item] = &*with.items else {
        return false;
    };
    let mut entered = places.within(item.range());
    item.optional_vars.is_none()
        && !with.is_async
        && entered
            .any(|place| place.what == Use::Entered && place.range == item.context_expr.range())
}

struct OwnCalls<'a, 'u> {
    instance: &'a str,
    users: &'u [&'u str],
    is_found: bool,
}

impl<'a> Visitor<'a> for OwnCalls<'a, '_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(ExprCall { func, .. }) = expression
            && let Expr::Attribute(method) = &**func
            && matches!(&*method.value, Expr::Name(name) if name.id.as_str() == self.instance)
        {
            self.is_found |= self.users.contains(&method.attr.as_str());
        }
        visitor::walk_expr(self, expression);
    }
}
