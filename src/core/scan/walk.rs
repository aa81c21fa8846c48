//! A walk through a tree that knows in which scope it is.

use super::names::{Names, ScopeId};
use super::syntax::{Expr, Stmt, Visitor, ast, visitor};

/// A visitor that follows the scopes; its `visit_stmt` and `visit_expr` go on by `walk_stmt` and `walk_expr`.
pub trait Scoped<'a>: Visitor<'a> + Sized {
    /// The names of the file that is walked through.
    fn names(&self) -> &Names<'a>;
    /// The scope that the walk is in.
    fn scope(&mut self) -> &mut ScopeId;
}

fn within<'a, V: Scoped<'a>, T>(visitor: &mut V, node: &'a T, visit: impl FnOnce(&mut V)) {
    let outer = *visitor.scope();
    let inner = visitor.names().made_by(node).unwrap_or(outer);
    *visitor.scope() = inner;
    visit(visitor);
    *visitor.scope() = outer;
}

/// Go on into a statement.
pub fn walk_stmt<'a, V: Scoped<'a>>(visitor: &mut V, statement: &'a Stmt) {
    match statement {
        Stmt::FunctionDef(function) => {
            for decorator in &function.decorator_list {
                visitor.visit_decorator(decorator);
            }
            // Defaults and annotations are evaluated outside of the function.
            visitor.visit_parameters(&function.parameters);
            if let Some(returns) = &function.returns {
                visitor.visit_annotation(returns);
            }
            within(visitor, function, |visitor| {
                visitor.visit_body(&function.body)
            });
        }
        Stmt::ClassDef(class) => {
            for decorator in &class.decorator_list {
                visitor.visit_decorator(decorator);
            }
            if let Some(arguments) = &class.arguments {
                visitor.visit_arguments(arguments);
            }
            within(visitor, class, |visitor| visitor.visit_body(&class.body));
        }
        _ => visitor::walk_stmt(visitor, statement),
    }
}

/// Go on into an expression.
pub fn walk_expr<'a, V: Scoped<'a>>(visitor: &mut V, expression: &'a Expr) {
    let walk = |visitor: &mut V| visitor::walk_expr(visitor, expression);
    match expression {
        Expr::Lambda(lambda) => {
            if let Some(parameters) = &lambda.parameters {
                visitor.visit_parameters(parameters);
            }
            within(visitor, lambda, |visitor| visitor.visit_expr(&lambda.body));
        }
        Expr::ListComp(list) => within(visitor, list, walk),
        Expr::SetComp(set) => within(visitor, set, walk),
        Expr::DictComp(dict) => within(visitor, dict, walk),
        Expr::Generator(generator) => within(visitor, generator, walk),
        _ => walk(visitor),
    }
}

/// What an expression stands in.
#[derive(Debug, Clone, Copy)]
pub enum Around<'a> {
    /// A statement.
    Statement(&'a Stmt),
    /// An expression.
    Expression(&'a Expr),
    /// `with expression as target`, before its statement's.
    Item(&'a ast::WithItem),
}

/// A visitor that follows the scopes, and what it is within; its methods go on by the functions that end in `within`.
pub trait Surrounded<'a>: Scoped<'a> {
    /// What is around, from the file down.
    fn around(&mut self) -> &mut Vec<Around<'a>>;
}

/// Go on into a statement.
pub fn walk_stmt_within<'a, V: Surrounded<'a>>(visitor: &mut V, statement: &'a Stmt) {
    visitor.around().push(Around::Statement(statement));
    walk_stmt(visitor, statement);
    visitor.around().pop();
}

/// Go on into an item of a `with`.
pub fn walk_item_within<'a, V: Surrounded<'a>>(visitor: &mut V, item: &'a ast::WithItem) {
    visitor.around().push(Around::Item(item));
    visitor::walk_with_item(visitor, item);
    visitor.around().pop();
}

/// Go on into an expression.
pub fn walk_expr_within<'a, V: Surrounded<'a>>(visitor: &mut V, expression: &'a Expr) {
    visitor.around().push(Around::Expression(expression));
    walk_expr(visitor, expression);
    visitor.around().pop();
}
