//! Who calls the functions and classes of a project, and with what: as far as all of it is seen.

use super::imports::is_test;
use super::names::{Names, ScopeId, ScopeKind};
use super::parallel::{STACK_BYTES, in_parallel};
use super::project::{FileId, Project};
use super::syntax::{Expr, ExprCall, Ranged, Stmt, Visitor, are_written_out, ast};
use super::walk::{Scoped, walk_expr, walk_stmt};
use foldhash::{HashMap, HashSet};

/// The calls of one function or class.
#[derive(Debug, Default)]
pub struct Callers<'a> {
    /// The calls outside of tests, each with where it stands.
    pub calls: Vec<(FileId, ScopeId, &'a ExprCall)>,
    /// It is named without a call somewhere, as a callback or a base class: others may call it.
    pub or_others: bool,
}

impl Callers<'_> {
    fn add(&mut self, more: Self) {
        self.calls.extend(more.calls);
        self.or_others |= more.or_others;
    }
}

/// By the dotted names of what is called.
pub type Index<'a> = HashMap<String, Callers<'a>>;

/// Go through all files.
pub fn index<'a>(project: &Project<'a>) -> Index<'a> {
    let defined = project.names_of_openers();
    let files: Vec<_> = project.files().collect();
    let of_files = in_parallel(&files, STACK_BYTES, |(id, file)| {
        let mut collector = Collector {
            project,
            file: *id,
            names: &file.names,
            scope: ScopeId::MODULE,
            called: None,
            is_production: !is_test(&file.parsed.source.path),
            defined: &defined,
            index: Index::default(),
        };
        collector.visit_body(&file.parsed.module.body);
        collector.index
    });
    let mut index = Index::default();
    for (name, callers) in of_files.into_iter().flatten() {
        index.entry(name).or_default().add(callers);
    }
    index
}

/// The argument that a call gives for a parameter; None if it gives none, an error if that can't be told.
pub fn argument<'a>(
    call: &'a ExprCall,
    function: &ast::StmtFunctionDef,
    name: &str,
    is_method: bool,
) -> Result<Option<&'a Expr>, ()> {
    let arguments = &call.arguments;
    if !are_written_out(arguments) {
        return Err(());
    }
    let by_name = arguments.keywords.iter().find(|keyword| {
        keyword
            .arg
            .as_ref()
            .is_some_and(|argument| argument.as_str() == name)
    });
    if let Some(keyword) = by_name {
        return Ok(Some(&keyword.value));
    }
    let parameters = &function.parameters;
    let mut positional = parameters.posonlyargs.iter().chain(&parameters.args);
    let position = positional.position(|parameter| parameter.parameter.name.as_str() == name);
    let position = position.map(|position| position - usize::from(is_method && position > 0));
    Ok(position.and_then(|position| arguments.args.get(position)))
}

struct Collector<'a, 'p> {
    project: &'p Project<'a>,
    file: FileId,
    names: &'p Names<'a>,
    scope: ScopeId,
    /// The function of the call that is looked at, which is no other use of it.
    called: Option<&'a Expr>,
    is_production: bool,
    /// The last names of all that is looked for.
    defined: &'p HashSet<&'a str>,
    index: Index<'a>,
}

impl<'a> Collector<'a, '_> {
    /// The dotted name of an expression, if the project defines what it names.
    fn own(&self, expression: &Expr) -> Option<String> {
        let last = match expression {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return None,
        };
        if !self.defined.contains(last) {
            return None;
        }
        let named = self.project.named(self.file, self.scope, expression);
        let name = named.certain()?;
        self.project.defines(name).then(|| name.to_owned())
    }
}

impl<'a> Scoped<'a> for Collector<'a, '_> {
    fn names(&self) -> &Names<'a> {
        self.names
    }

    fn scope(&mut self) -> &mut ScopeId {
        &mut self.scope
    }
}

impl<'a> Visitor<'a> for Collector<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        walk_stmt(self, statement);
    }

    // What is annotated is not called.
    fn visit_annotation(&mut self, _: &'a Expr) {}

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => {
                if self.is_production
                    && let Some(name) = self.own(&call.func)
                {
                    let callers = self.index.entry(name).or_default();
                    callers.calls.push((self.file, self.scope, call));
                }
                self.called = Some(&call.func);
            }
            Expr::Name(_) | Expr::Attribute(_) => {
                let is_called = self
                    .called
                    .is_some_and(|called| called.range() == expression.range());
                if !is_called && let Some(name) = self.own(expression) {
                    self.index.entry(name).or_default().or_others = true;
                }
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

/// The function or class that is called when a parameter of a function gets its value: the class, for its `__init__`.
pub fn called_for(names: &Names<'_>, function: ScopeId) -> Option<String> {
    let ScopeKind::Function(node) = names.scope(function).kind else {
        return None;
    };
    let parent = names.scope(function).parent?;
    match names.scope(parent).kind {
        _ if !node.decorator_list.is_empty() => None,
        ScopeKind::Module => Some(names.qualified_name(function)),
        ScopeKind::Class(_) if node.name.as_str() == "__init__" => {
            Some(names.qualified_name(parent))
        }
        _ => None,
    }
}
