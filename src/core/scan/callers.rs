//! Who calls the functions and classes of a project, and with what: as far as all of it is seen.

use super::imports::is_test;
use super::names::{Binding, Bound, Names, ScopeId, ScopeKind};
use super::parallel::{STACK_BYTES, in_parallel};
use super::project::{FileId, Project, ProjectFile};
use super::sites;
use super::syntax::{Expr, ExprCall, Ranged, Stmt, Visitor, are_written_out, ast};
use super::walk::{Scoped, walk_expr, walk_stmt};
use aho_corasick::AhoCorasick;
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

/// The calls of what opens databases, and of what gives on the paths.
#[derive(Debug, Default)]
pub struct Index<'a> {
    /// By the dotted names of what is called.
    called: HashMap<String, Callers<'a>>,
    /// The functions and classes that call these with a parameter of theirs: their callers know it.
    passing: Vec<(FileId, String)>,
    /// What is given for the paths.
    paths: Vec<(FileId, ScopeId, &'a Expr)>,
}

impl<'a> Index<'a> {
    /// The calls of a function or class; None if there are none, or if it has nothing to do with databases.
    pub fn of(&self, dotted: &str) -> Option<&Callers<'a>> {
        self.called.get(dotted)
    }

    /// The functions and classes that give on what they are called with, by the names that they have in their files.
    pub fn passing(&self) -> &[(FileId, String)] {
        &self.passing
    }

    /// What is given for the path of a database, each with where it stands.
    pub fn paths(&self) -> &[(FileId, ScopeId, &'a Expr)] {
        &self.paths
    }
}

/// How many callers a path is followed through.
const FOLLOWED: usize = 3;

/// Go through all files; again for those who give on the path that they were given, and for these once more.
pub fn index<'a>(project: &Project<'a>) -> Index<'a> {
    let mut index = Index::default();
    let mut wanted = project.names_of_openers();
    let mut known = HashSet::default();
    let mut given = paths_given(project);
    for _ in 0..FOLLOWED {
        let called = calls_of(project, &wanted);
        known.extend(wanted);
        let paths = given_to(project, &called, &given);
        given = paths
            .iter()
            .filter_map(|(file, scope, path)| {
                let (function, parameter) = parameter_of(&project.file(*file).names, *scope, path)?;
                Some((*file, function, parameter))
            })
            .collect();
        index.paths.extend(paths);
        let mut names = HashSet::default();
        for (file, function, _) in &given {
            let names_of_file = &project.file(*file).names;
            if let Some(name) = called_for(names_of_file, *function) {
                names.extend(last_name(names_of_file, *function));
                index.passing.push((*file, name));
            }
        }
        index.called.extend(called);
        wanted = project.with_aliases(names);
        wanted.retain(|name| !known.contains(name));
        if wanted.is_empty() {
            break;
        }
    }
    index.passing.sort();
    index.passing.dedup();
    index
}

/// Parameters of functions.
type Parameters<'a> = HashSet<(FileId, ScopeId, &'a str)>;

/// The parameters that are the paths of databases in the functions themselves.
fn paths_given<'a>(project: &Project<'a>) -> Parameters<'a> {
    let of_file = |(id, file): (FileId, &ProjectFile<'a>)| {
        let calls = file.names.calls().iter();
        let opening = calls.filter(|(_, call)| sites::may_name(project.last_names(), &call.func));
        let found = opening.filter_map(|(scope, call)| {
            let path = sites::path_argument(call)?;
            let (function, parameter) = parameter_of(&file.names, *scope, path)?;
            Some((id, function, parameter))
        });
        found.collect::<Vec<_>>()
    };
    project.files().flat_map(of_file).collect()
}

/// What calls give for parameters.
fn given_to<'a>(
    project: &Project<'a>,
    called: &HashMap<String, Callers<'a>>,
    parameters: &Parameters<'a>,
) -> Vec<(FileId, ScopeId, &'a Expr)> {
    let mut found = Vec::new();
    for (file, function, parameter) in parameters {
        let callee = project.file(*file);
        let ScopeKind::Function(node) = callee.names.scope(*function).kind else {
            continue;
        };
        let name = called_for(&callee.names, *function);
        let callers = name.and_then(|name| called.get(&format!("{}.{name}", callee.dotted)));
        let is_method = callee.names.method_of(*function).is_some();
        for (caller, scope, call) in callers.into_iter().flat_map(|callers| &callers.calls) {
            let given = argument(call, node, parameter, is_method).ok().flatten();
            found.extend(given.map(|given| (*caller, *scope, given)));
        }
    }
    found
}

fn calls_of<'a>(project: &Project<'a>, wanted: &HashSet<&'a str>) -> HashMap<String, Callers<'a>> {
    let finder = AhoCorasick::new(wanted).ok();
    let has_some = |text: &str| finder.as_ref().is_none_or(|finder| finder.is_match(text));
    let files: Vec<_> = project.files().collect();
    let of_files = in_parallel(&files, STACK_BYTES, |(id, file)| {
        let mut collector = Collector {
            project,
            file: *id,
            names: &file.names,
            scope: ScopeId::MODULE,
            called: None,
            is_production: !is_test(&file.parsed.source.path),
            wanted,
            found: HashMap::default(),
        };
        if has_some(&file.parsed.source.text) {
            collector.visit_body(&file.parsed.module.body);
        }
        collector.found
    });
    let mut called: HashMap<String, Callers<'a>> = HashMap::default();
    for (name, callers) in of_files.into_iter().flatten() {
        called.entry(name).or_default().add(callers);
    }
    called
}

/// The function whose parameter a path is made of, and the parameter.
fn parameter_of<'a>(
    names: &Names<'a>,
    scope: ScopeId,
    path: &'a Expr,
) -> Option<(ScopeId, &'a str)> {
    parameter_within(names, scope, path, NAMES_FOLLOWED)
}

/// How many names a parameter is followed through within its file.
const NAMES_FOLLOWED: usize = 4;

fn parameter_within<'a>(
    names: &Names<'a>,
    scope: ScopeId,
    path: &'a Expr,
    left: usize,
) -> Option<(ScopeId, &'a str)> {
    let left = left.checked_sub(1)?;
    let of = |bindings: &[Binding<'a>], name: &'a str| {
        bindings.iter().find_map(|binding| match binding.bound {
            Bound::Parameter(_) => Some((binding.scope, name)),
            Bound::Value(value) => parameter_within(names, binding.scope, value, left),
            _ => None,
        })
    };
    match path {
        Expr::Name(name) => of(names.lookup(name.id.as_str(), scope)?.1, name.id.as_str()),
        Expr::Attribute(attribute) => {
            let Expr::Name(instance) = &*attribute.value else {
                return None;
            };
            let class = names.class_of_instance(instance.id.as_str(), scope)?;
            let name = attribute.attr.as_str();
            of(&names.attribute_of(class, name), name)
        }
        // `str(path)`
        Expr::Call(call) => {
            let first = call.arguments.args.first()?;
            parameter_within(names, scope, first, left)
        }
        Expr::FString(text) => text
            .value
            .elements()
            .filter_map(ast::InterpolatedStringElement::as_interpolation)
            .find_map(|part| parameter_within(names, scope, &part.expression, left)),
        Expr::BinOp(operation) => {
            let of = |part| parameter_within(names, scope, part, left);
            of(&operation.left).or_else(|| of(&operation.right))
        }
        _ => None,
    }
}

/// The last part of the name by which a function is called, or its class.
fn last_name<'a>(names: &Names<'a>, function: ScopeId) -> Option<&'a str> {
    let parent = names.scope(function).parent?;
    match (names.scope(function).kind, names.scope(parent).kind) {
        (_, ScopeKind::Class(class)) => Some(class.name.as_str()),
        (ScopeKind::Function(function), _) => Some(function.name.as_str()),
        _ => None,
    }
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
    wanted: &'p HashSet<&'a str>,
    found: HashMap<String, Callers<'a>>,
}

impl<'a> Collector<'a, '_> {
    /// The dotted name of an expression, if the project defines what it names.
    fn own(&self, expression: &Expr) -> Option<String> {
        let last = match expression {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return None,
        };
        if !self.wanted.contains(last) {
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
                    let callers = self.found.entry(name).or_default();
                    callers.calls.push((self.file, self.scope, call));
                }
                self.called = Some(&call.func);
            }
            Expr::Name(_) | Expr::Attribute(_) => {
                let is_called = self
                    .called
                    .is_some_and(|called| called.range() == expression.range());
                if !is_called && let Some(name) = self.own(expression) {
                    self.found.entry(name).or_default().or_others = true;
                }
            }
            _ => {}
        }
        walk_expr(self, expression);
    }
}

/// The function or class of a file whose parameter an argument in a scope is, by its name there.
pub fn called_with<'a>(names: &Names<'a>, scope: ScopeId, argument: &'a Expr) -> Option<String> {
    called_for(names, parameter_of(names, scope, argument)?.0)
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
