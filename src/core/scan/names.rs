//! The names that a file binds: in which scope, where, and to what (Python's own rules of scopes).

use super::syntax::{
    ExceptHandler, Expr, ExprCall, Parameters, Stmt, TextSize, Visitor, ast, visitor,
};
use foldhash::{HashMap, HashSet};
use std::ptr;

/// A scope of a file; the module's is `ScopeId::MODULE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(usize);

impl ScopeId {
    /// The module itself.
    pub const MODULE: Self = Self(0);
}

/// What makes a scope.
#[derive(Debug, Clone, Copy)]
pub enum ScopeKind<'a> {
    /// The file.
    Module,
    /// A class; its names are not seen by the functions in it.
    Class(&'a ast::StmtClassDef),
    /// A function or method.
    Function(&'a ast::StmtFunctionDef),
    /// A lambda.
    Lambda,
    /// A comprehension or a generator expression.
    Comprehension,
}

/// What a name is bound to.
#[derive(Debug, Clone, Copy)]
pub enum Bound<'a> {
    /// `import a.b as name` (`a.b`), `import a.b` (`a`).
    Import(&'a str),
    /// `from module import name`, with as many dots before it as `level`.
    Member {
        module: &'a str,
        level: u32,
        name: &'a str,
    },
    /// `name = value`
    Value(&'a Expr),
    /// `with value as name`
    Entered(&'a Expr),
    /// A parameter, with its default.
    Parameter(Option<&'a Expr>),
    /// `def name`
    Function(&'a ast::StmtFunctionDef),
    /// `class name`
    Class(&'a ast::StmtClassDef),
    /// `for name in values`
    Each(&'a Expr),
    /// `name += value`
    Extended,
    /// In another way: a loop, an unpacking, `del`, …
    Other,
}

impl Bound<'_> {
    /// Whether the name may stand for something that another name stands for, too.
    pub fn may_be_another(&self) -> bool {
        match self {
            Self::Import(_) | Self::Member { .. } => true,
            Self::Value(value) => !matches!(
                value,
                Expr::StringLiteral(_)
                    | Expr::BytesLiteral(_)
                    | Expr::NumberLiteral(_)
                    | Expr::List(_)
                    | Expr::Tuple(_)
                    | Expr::Dict(_)
                    | Expr::Set(_)
                    | Expr::FString(_)
            ),
            _ => false,
        }
    }
}

/// One binding of a name.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Where.
    pub offset: TextSize,
    /// The scope that its value is evaluated in.
    pub scope: ScopeId,
    /// To what.
    pub bound: Bound<'a>,
}

/// `from module import *`, with as many dots before it as `level`.
#[derive(Debug, Clone, Copy)]
pub struct Star<'a> {
    /// From which module.
    pub module: &'a str,
    /// How many dots stand before it.
    pub level: u32,
    /// Where.
    pub offset: TextSize,
}

/// A scope and the names bound in it.
#[derive(Debug)]
pub struct Scope<'a> {
    /// What makes it.
    pub kind: ScopeKind<'a>,
    /// The scope around it.
    pub parent: Option<ScopeId>,
    bindings: HashMap<&'a str, Vec<Binding<'a>>>,
    global: HashSet<&'a str>,
    nonlocal: HashSet<&'a str>,
    stars: Vec<Star<'a>>,
}

/// All scopes of a file.
#[derive(Debug)]
pub struct Names<'a> {
    body: &'a [Stmt],
    scopes: Vec<Scope<'a>>,
    made_by: HashMap<usize, ScopeId>,
    /// What is assigned to `self.attribute`, by class and attribute.
    attributes: HashMap<(ScopeId, &'a str), Vec<Binding<'a>>>,
    /// The names of variables and attributes that stand for another name's value, each with the last part of that one.
    aliases: Vec<(&'a str, &'a str)>,
    /// The attributes that are assigned to something else than the instance of the class around.
    assigned: HashSet<&'a str>,
    calls: Vec<(ScopeId, &'a ExprCall)>,
}

impl<'a> Names<'a> {
    /// Collect the names of a file.
    pub fn of(body: &'a [Stmt]) -> Self {
        let mut collector = Collector {
            names: Self {
                body,
                scopes: Vec::new(),
                made_by: HashMap::default(),
                attributes: HashMap::default(),
                aliases: Vec::new(),
                assigned: HashSet::default(),
                calls: Vec::new(),
            },
            scope: ScopeId::MODULE,
        };
        collector.names.add(ScopeKind::Module, None);
        collector.visit_body(body);
        collector.names
    }

    /// The file's statements.
    pub fn body(&self) -> &'a [Stmt] {
        self.body
    }

    /// The scope that a function, class, lambda or comprehension makes.
    pub fn made_by<T>(&self, node: &T) -> Option<ScopeId> {
        self.made_by.get(&address(node)).copied()
    }

    /// A scope.
    pub fn scope(&self, id: ScopeId) -> &Scope<'a> {
        &self.scopes[id.0]
    }

    /// The scopes, with their numbers.
    pub fn scopes(&self) -> impl Iterator<Item = (ScopeId, &Scope<'a>)> {
        self.scopes
            .iter()
            .enumerate()
            .map(|(id, scope)| (ScopeId(id), scope))
    }

    /// The scope where a name that is used in `from` is bound, and its bindings there in the order of the text.
    pub fn lookup(&self, name: &str, from: ScopeId) -> Option<(ScopeId, &[Binding<'a>])> {
        let mut id = from;
        if self.scope(from).global.contains(name) {
            id = ScopeId::MODULE;
        }
        loop {
            let scope = self.scope(id);
            let sees = id == from || !matches!(scope.kind, ScopeKind::Class(_));
            if let Some(bindings) = scope.bindings.get(name).filter(|_| sees) {
                return Some((id, bindings));
            }
            id = scope.parent?;
        }
    }

    /// All bindings of names and of attributes of instances, with the name.
    pub fn bindings(&self) -> impl Iterator<Item = (&'a str, &Binding<'a>)> {
        let named = self.scopes.iter().flat_map(|scope| &scope.bindings);
        let attributes = self
            .attributes
            .iter()
            .map(|((_, name), bindings)| (name, bindings));
        let all = named.chain(attributes);
        all.flat_map(|(name, bindings)| bindings.iter().map(|binding| (*name, binding)))
    }

    /// The names of variables and attributes that stand for another name's value, each with the last part of that one.
    pub fn aliases(&self) -> &[(&'a str, &'a str)] {
        &self.aliases
    }

    /// All calls, each with the scope that it is evaluated in.
    pub fn calls(&self) -> &[(ScopeId, &'a ExprCall)] {
        &self.calls
    }

    /// The bindings of a name in the scope itself.
    pub fn bound_in(&self, scope: ScopeId, name: &str) -> &[Binding<'a>] {
        self.scope(scope)
            .bindings
            .get(name)
            .map_or(&[], Vec::as_slice)
    }

    /// The names bound in a scope.
    pub fn names_in(&self, scope: ScopeId) -> impl Iterator<Item = &'a str> {
        self.scope(scope).bindings.keys().copied()
    }

    /// What a scope imports all names from.
    pub fn stars_in(&self, scope: ScopeId) -> &[Star<'a>] {
        &self.scope(scope).stars
    }

    /// What a class assigns to an attribute of its instances: in its body, or by `self.attribute = …` in its methods.
    pub fn attribute_of(&self, class: ScopeId, attribute: &str) -> Vec<Binding<'a>> {
        let in_methods = self.attributes.get(&(class, attribute));
        let in_body = self.bound_in(class, attribute);
        in_methods
            .into_iter()
            .flatten()
            .chain(in_body)
            .copied()
            .collect()
    }

    /// The classes that have an attribute of that name, in their bodies or by assignments in their methods.
    pub fn classes_with(&self, attribute: &str) -> impl Iterator<Item = ScopeId> {
        let has = move |(id, scope): (ScopeId, &Scope<'a>)| {
            let is_class = matches!(scope.kind, ScopeKind::Class(_));
            let is_there = || {
                scope.bindings.contains_key(attribute)
                    || self.attributes.contains_key(&(id, attribute))
            };
            (is_class && is_there()).then_some(id)
        };
        self.scopes().filter_map(has)
    }

    /// Whether an attribute of that name is assigned to something else than the instance of the class around.
    pub fn assigns_attribute(&self, attribute: &str) -> bool {
        self.assigned.contains(attribute)
    }

    /// The function around a scope (itself, if it is one), past lambdas and comprehensions.
    pub fn function_around(&self, scope: ScopeId) -> Option<(ScopeId, &'a ast::StmtFunctionDef)> {
        match self.scope(scope).kind {
            ScopeKind::Function(function) => Some((scope, function)),
            ScopeKind::Module | ScopeKind::Class(_) => None,
            ScopeKind::Lambda | ScopeKind::Comprehension => {
                self.function_around(self.scope(scope).parent?)
            }
        }
    }

    /// The class that a function is a method of, and the name that its instance has there (`self`).
    pub fn method_of(&self, function: ScopeId) -> Option<(ScopeId, &'a str)> {
        let scope = self.scope(function);
        let (ScopeKind::Function(node), Some(parent)) = (scope.kind, scope.parent) else {
            return None;
        };
        let ScopeKind::Class(_) = self.scope(parent).kind else {
            return None;
        };
        let is_static = |decorator: &ast::Decorator| matches!(&decorator.expression, Expr::Name(name) if name.id == "staticmethod");
        if node.decorator_list.iter().any(is_static) {
            return None;
        }
        let first = node
            .parameters
            .posonlyargs
            .first()
            .or(node.parameters.args.first())?;
        Some((parent, first.parameter.name.as_str()))
    }

    /// The class whose instance `name` is in `scope`: the `self` of a method, also in a function within it.
    pub fn class_of_instance(&self, name: &str, scope: ScopeId) -> Option<ScopeId> {
        let (bound_in, bindings) = self.lookup(name, scope)?;
        let (class, instance) = self.method_of(bound_in)?;
        (instance == name && bindings.len() == 1).then_some(class)
    }

    /// A scope's dotted name in its file, as `__qualname__` without `<locals>`; empty for the module.
    pub fn qualified_name(&self, scope: ScopeId) -> String {
        let Scope { kind, parent, .. } = self.scope(scope);
        let around = parent.map_or_else(String::new, |parent| self.qualified_name(parent));
        let own = match kind {
            ScopeKind::Function(function) => function.name.as_str(),
            ScopeKind::Class(class) => class.name.as_str(),
            ScopeKind::Lambda => "<lambda>",
            ScopeKind::Module | ScopeKind::Comprehension => return around,
        };
        if around.is_empty() {
            own.to_owned()
        } else {
            format!("{around}.{own}")
        }
    }

    fn add(&mut self, kind: ScopeKind<'a>, parent: Option<ScopeId>) -> ScopeId {
        self.scopes.push(Scope {
            kind,
            parent,
            bindings: HashMap::default(),
            global: HashSet::default(),
            nonlocal: HashSet::default(),
            stars: Vec::new(),
        });
        ScopeId(self.scopes.len() - 1)
    }
}

/// The last parts of the names that an expression's value may have, where it is nothing but a name or a choice of some.
pub fn each_last_name<'e>(expression: &'e Expr, found: &mut impl FnMut(&'e str)) {
    match expression {
        Expr::Name(name) => found(name.id.as_str()),
        Expr::Attribute(attribute) => found(attribute.attr.as_str()),
        Expr::If(either) => {
            each_last_name(&either.body, found);
            each_last_name(&either.orelse, found);
        }
        Expr::BoolOp(operation) => {
            for value in &operation.values {
                each_last_name(value, found);
            }
        }
        Expr::Named(named) => each_last_name(&named.value, found),
        _ => {}
    }
}

/// Nodes of a tree that lives on are told apart by where they are.
fn address<T>(node: &T) -> usize {
    ptr::from_ref(node).addr()
}

struct Collector<'a> {
    names: Names<'a>,
    scope: ScopeId,
}

impl<'a> Collector<'a> {
    fn bind(&mut self, name: &'a str, offset: TextSize, bound: Bound<'a>) {
        let home = self.home_of(name);
        self.alias(name, bound);
        let binding = Binding {
            offset,
            scope: self.scope,
            bound,
        };
        self.names.scopes[home.0]
            .bindings
            .entry(name)
            .or_default()
            .push(binding);
    }

    fn alias(&mut self, name: &'a str, bound: Bound<'a>) {
        let aliases = &mut self.names.aliases;
        match bound {
            Bound::Member { name: last, .. } => aliases.push((name, last)),
            Bound::Value(value) => each_last_name(value, &mut |last| aliases.push((name, last))),
            _ => {}
        }
    }

    /// The scope that an assignment to a name in the present one binds it in.
    fn home_of(&self, name: &str) -> ScopeId {
        let scope = self.names.scope(self.scope);
        if scope.global.contains(name) {
            return ScopeId::MODULE;
        }
        if scope.nonlocal.contains(name) {
            let around = scope
                .parent
                .and_then(|parent| self.names.lookup(name, parent));
            return around.map_or(self.scope, |(home, _)| home);
        }
        self.scope
    }

    fn within<T>(&mut self, node: &'a T, kind: ScopeKind<'a>, visit: impl FnOnce(&mut Self)) {
        let outer = self.scope;
        self.scope = self.names.add(kind, Some(outer));
        self.names.made_by.insert(address(node), self.scope);
        visit(self);
        self.scope = outer;
    }

    /// Bind what an assignment's left side names.
    fn bind_target(&mut self, target: &'a Expr, bound: Bound<'a>) {
        match target {
            Expr::Name(name) => self.bind(name.id.as_str(), name.range.start(), bound),
            Expr::Attribute(attribute) => self.bind_attribute(attribute, bound),
            Expr::Starred(starred) => self.bind_target(&starred.value, Bound::Other),
            Expr::Tuple(tuple) => self.bind_each(&tuple.elts, bound),
            Expr::List(list) => self.bind_each(&list.elts, bound),
            _ => {}
        }
    }

    /// `a, b = x, y` binds each to its own; other unpackings are not followed.
    fn bind_each(&mut self, targets: &'a [Expr], bound: Bound<'a>) {
        let values = match bound {
            Bound::Value(Expr::Tuple(values)) if values.elts.len() == targets.len() => {
                Some(&values.elts)
            }
            _ => None,
        };
        for (index, target) in targets.iter().enumerate() {
            let value = values.map_or(Bound::Other, |values| Bound::Value(&values[index]));
            self.bind_target(target, value);
        }
    }

    fn bind_each_of(&mut self, target: &'a Expr, values: &'a Expr) {
        let bound = match target {
            Expr::Name(_) => Bound::Each(values),
            _ => Bound::Other,
        };
        self.bind_target(target, bound);
    }

    fn bind_attribute(&mut self, attribute: &'a ast::ExprAttribute, bound: Bound<'a>) {
        let class = match &*attribute.value {
            Expr::Name(instance) => self
                .names
                .class_of_instance(instance.id.as_str(), self.scope),
            _ => None,
        };
        let Some(class) = class else {
            self.names.assigned.insert(attribute.attr.as_str());
            return;
        };
        self.alias(attribute.attr.as_str(), bound);
        let binding = Binding {
            offset: attribute.range.start(),
            scope: self.scope,
            bound,
        };
        let attributes = &mut self.names.attributes;
        attributes
            .entry((class, attribute.attr.as_str()))
            .or_default()
            .push(binding);
    }

    fn bind_parameters(&mut self, parameters: &'a Parameters) {
        for parameter in parameters.iter_non_variadic_params() {
            let name = &parameter.parameter.name;
            self.bind(
                name.as_str(),
                name.range.start(),
                Bound::Parameter(parameter.default.as_deref()),
            );
        }
        for variadic in [&parameters.vararg, &parameters.kwarg]
            .into_iter()
            .flatten()
        {
            self.bind(
                variadic.name.as_str(),
                variadic.name.range.start(),
                Bound::Other,
            );
        }
    }

    fn import(&mut self, alias: &'a ast::Alias) {
        let whole = alias.name.as_str();
        let offset = alias.range.start();
        match &alias.asname {
            Some(name) => self.bind(name.as_str(), offset, Bound::Import(whole)),
            None => {
                let top = whole.split('.').next().unwrap_or(whole);
                self.bind(top, offset, Bound::Import(top));
            }
        }
    }

    fn import_from(&mut self, import: &'a ast::StmtImportFrom) {
        let module = import.module.as_ref().map_or("", |module| module.as_str());
        for alias in &import.names {
            let name = alias.name.as_str();
            let offset = alias.range.start();
            if name == "*" {
                self.names.scopes[self.scope.0].stars.push(Star {
                    module,
                    level: import.level,
                    offset,
                });
                continue;
            }
            let bound = Bound::Member {
                module,
                level: import.level,
                name,
            };
            let local = alias.asname.as_ref().map_or(name, |alias| alias.as_str());
            self.bind(local, alias.range.start(), bound);
        }
    }

    fn function(&mut self, function: &'a ast::StmtFunctionDef) {
        self.bind(
            function.name.as_str(),
            function.name.range.start(),
            Bound::Function(function),
        );
        for decorator in &function.decorator_list {
            self.visit_decorator(decorator);
        }
        // Defaults and annotations are evaluated outside of the function.
        self.visit_parameters(&function.parameters);
        if let Some(returns) = &function.returns {
            self.visit_annotation(returns);
        }
        self.within(function, ScopeKind::Function(function), |collector| {
            // Known first: an assignment to such a name anywhere in the function is not its own.
            declared_elsewhere(
                &function.body,
                &mut collector.names.scopes[collector.scope.0],
            );
            collector.bind_parameters(&function.parameters);
            collector.visit_body(&function.body);
        });
    }

    fn class(&mut self, class: &'a ast::StmtClassDef) {
        self.bind(
            class.name.as_str(),
            class.name.range.start(),
            Bound::Class(class),
        );
        for decorator in &class.decorator_list {
            self.visit_decorator(decorator);
        }
        if let Some(arguments) = &class.arguments {
            self.visit_arguments(arguments);
        }
        self.within(class, ScopeKind::Class(class), |collector| {
            collector.visit_body(&class.body)
        });
    }

    fn comprehension<T>(
        &mut self,
        node: &'a T,
        generators: &'a [ast::Comprehension],
        parts: &[&'a Expr],
    ) {
        self.within(node, ScopeKind::Comprehension, |collector| {
            for generator in generators {
                collector.visit_expr(&generator.iter);
                collector.bind_each_of(&generator.target, &generator.iter);
                generator
                    .ifs
                    .iter()
                    .for_each(|test| collector.visit_expr(test));
            }
            parts.iter().for_each(|part| collector.visit_expr(part));
        });
    }

    /// A walrus binds outside of comprehensions.
    fn bind_named(&mut self, named: &'a ast::ExprNamed) {
        let inner = self.scope;
        while matches!(self.names.scope(self.scope).kind, ScopeKind::Comprehension) {
            match self.names.scope(self.scope).parent {
                Some(parent) => self.scope = parent,
                None => break,
            }
        }
        self.bind_target(&named.target, Bound::Value(&named.value));
        self.scope = inner;
    }
}

impl<'a> Visitor<'a> for Collector<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => return self.function(function),
            Stmt::ClassDef(class) => return self.class(class),
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.import(alias)),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.bind_target(target, Bound::Value(&assign.value));
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.bind_target(&assign.target, Bound::Value(value));
                }
            }
            Stmt::AugAssign(assign) if assign.op == ast::Operator::Add => {
                self.bind_target(&assign.target, Bound::Extended);
            }
            Stmt::AugAssign(assign) => self.bind_target(&assign.target, Bound::Other),
            Stmt::For(each) => self.bind_each_of(&each.target, &each.iter),
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    self.bind_target(target, Bound::Other);
                }
            }
            Stmt::With(with) => {
                for item in &with.items {
                    if let Some(target) = &item.optional_vars {
                        self.bind_target(target, Bound::Entered(&item.context_expr));
                    }
                }
            }
            _ => {}
        }
        visitor::walk_stmt(self, statement);
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(caught) = handler;
        if let Some(name) = &caught.name {
            self.bind(name.as_str(), name.range.start(), Bound::Other);
        }
        visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a ast::Pattern) {
        let name = match pattern {
            ast::Pattern::MatchAs(pattern) => pattern.name.as_ref(),
            ast::Pattern::MatchStar(pattern) => pattern.name.as_ref(),
            ast::Pattern::MatchMapping(pattern) => pattern.rest.as_ref(),
            _ => None,
        };
        if let Some(name) = name {
            self.bind(name.as_str(), name.range.start(), Bound::Other);
        }
        visitor::walk_pattern(self, pattern);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Lambda(lambda) => {
                let parameters = lambda.parameters.as_deref();
                parameters
                    .into_iter()
                    .for_each(|parameters| self.visit_parameters(parameters));
                self.within(lambda, ScopeKind::Lambda, |collector| {
                    parameters
                        .into_iter()
                        .for_each(|parameters| collector.bind_parameters(parameters));
                    collector.visit_expr(&lambda.body);
                });
            }
            Expr::ListComp(list) => self.comprehension(list, &list.generators, &[&list.elt]),
            Expr::SetComp(set) => self.comprehension(set, &set.generators, &[&set.elt]),
            Expr::Generator(generator) => {
                self.comprehension(generator, &generator.generators, &[&generator.elt])
            }
            Expr::DictComp(dict) => {
                let parts: Vec<&Expr> = dict
                    .key
                    .as_deref()
                    .into_iter()
                    .chain([&*dict.value])
                    .collect();
                self.comprehension(dict, &dict.generators, &parts);
            }
            Expr::Named(named) => {
                self.bind_named(named);
                visitor::walk_expr(self, expression);
            }
            Expr::Call(call) => {
                self.names.calls.push((self.scope, call));
                if let Some(name) = set_by_name(call) {
                    self.names.assigned.insert(name);
                }
                visitor::walk_expr(self, expression);
            }
            _ => visitor::walk_expr(self, expression),
        }
    }
}

/// The attribute that is assigned to by `setattr(object, "attribute", …)`, `monkeypatch.setattr("module.attribute", …)`,
/// `patch("module.attribute")` or `patch.object(object, "attribute")`.
fn set_by_name(call: &ExprCall) -> Option<&str> {
    let function = match &*call.func {
        Expr::Name(function) => function.id.as_str(),
        Expr::Attribute(function) => function.attr.as_str(),
        _ => return None,
    };
    if !matches!(function, "setattr" | "patch" | "object") {
        return None;
    }
    let mut given = call.arguments.args.iter().take(2);
    let name = given.find_map(|given| match given {
        Expr::StringLiteral(name) => Some(name.value.to_str()),
        _ => None,
    })?;
    Some(name.rsplit('.').next().unwrap_or(name))
}

/// Note `global` and `nonlocal` of a function's own statements.
fn declared_elsewhere<'a>(body: &'a [Stmt], scope: &mut Scope<'a>) {
    struct Declared<'a, 'b>(&'b mut Scope<'a>);
    impl<'a> Visitor<'a> for Declared<'a, '_> {
        fn visit_stmt(&mut self, statement: &'a Stmt) {
            match statement {
                Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
                Stmt::Global(global) => self
                    .0
                    .global
                    .extend(global.names.iter().map(ast::Identifier::as_str)),
                Stmt::Nonlocal(nonlocal) => self
                    .0
                    .nonlocal
                    .extend(nonlocal.names.iter().map(ast::Identifier::as_str)),
                _ => visitor::walk_stmt(self, statement),
            }
        }
        fn visit_expr(&mut self, _: &'a Expr) {}
    }
    let mut declared = Declared(scope);
    declared.visit_body(body);
}

#[cfg(test)]
mod tests {
    use super::super::syntax::{Module, parse};
    use super::*;

    /// The scope of the function with that qualified name.
    fn scope_named(names: &Names<'_>, name: &str) -> ScopeId {
        names
            .scopes()
            .map(|(id, _)| id)
            .find(|id| names.qualified_name(*id) == name)
            .unwrap()
    }

    fn module(text: &str) -> Module {
        parse(text).unwrap()
    }

    #[test]
    fn functions_do_not_see_the_names_of_their_class() {
        let module = module("x = 1\nclass A:\n    x = 2\n    def f(self):\n        return x\n");
        let names = Names::of(&module.body);
        let (scope, _) = names.lookup("x", scope_named(&names, "A.f")).unwrap();
        assert_eq!(scope, ScopeId::MODULE);
        let (scope, _) = names.lookup("x", scope_named(&names, "A")).unwrap();
        assert_eq!(scope, scope_named(&names, "A"));
    }

    #[test]
    fn global_and_nonlocal_bind_elsewhere_wherever_they_stand() {
        let module = module(
            "def f():\n    if a:\n        global x\n    x = 1\n    y = 2\n    def g():\n        nonlocal y\n        y = 3\n",
        );
        let names = Names::of(&module.body);
        assert_eq!(names.bound_in(ScopeId::MODULE, "x").len(), 1);
        assert_eq!(names.bound_in(scope_named(&names, "f"), "y").len(), 2);
    }

    #[test]
    fn attributes_of_an_instance_are_known_from_all_methods() {
        let module = module(
            "class A:\n    path = 'a'\n    def __init__(self, p):\n        self.path = p\n        other.path = 1\n    \
             def f(this):\n        this.path = 'b'\n    @staticmethod\n    def g(self):\n        self.path = 'c'\n",
        );
        let names = Names::of(&module.body);
        assert_eq!(
            names.attribute_of(scope_named(&names, "A"), "path").len(),
            3
        );
    }

    #[test]
    fn a_walrus_in_a_comprehension_binds_outside_of_it() {
        let module = module("def f():\n    return [y := x for x in range(3)]\n");
        let names = Names::of(&module.body);
        let f = scope_named(&names, "f");
        assert_eq!(names.bound_in(f, "y").len(), 1);
        assert!(names.bound_in(f, "x").is_empty());
    }

    #[test]
    fn an_unpacking_binds_each_name_to_its_own_value() {
        let module = module("a, b = 1, 2\nc, d = f()\n");
        let names = Names::of(&module.body);
        assert!(matches!(
            names.bound_in(ScopeId::MODULE, "b")[0].bound,
            Bound::Value(Expr::NumberLiteral(_))
        ));
        assert!(matches!(
            names.bound_in(ScopeId::MODULE, "d")[0].bound,
            Bound::Other
        ));
    }
}
