//! Whether what some statements write hangs on what they have read before: then nobody must write in between.

use super::connection::Connection;
use super::names::ScopeId;
use super::sql::Sql;
use super::syntax::{Expr, ExprCall, Stmt, Visitor, ast, visitor};
use foldhash::HashSet;

/// Whether a write of the connection hangs on rows that it has read: by its parameters, or by a condition.
pub fn writes_what_it_read<'a>(
    connection: &Connection<'a, '_>,
    scope: ScopeId,
    body: &[&'a Stmt],
) -> bool {
    let mut reader = Reader {
        connection,
        scope,
        read: HashSet::default(),
        conditions: 0,
        is_found: false,
    };
    // What a loop reads in one round it may write in the next.
    for _ in 0..2 {
        reader.conditions = 0;
        for statement in body {
            reader.visit_stmt(statement);
        }
    }
    reader.is_found
}

struct Reader<'a, 'p, 'c> {
    connection: &'c Connection<'a, 'p>,
    scope: ScopeId,
    /// Names that hold what was read, or what was made of it.
    read: HashSet<&'a str>,
    /// How many conditions that hang on it are around.
    conditions: usize,
    is_found: bool,
}

impl<'a> Reader<'a, '_, '_> {
    /// Whether an expression's value hangs on what was read.
    fn hangs_on_rows(&self, expression: &'a Expr) -> bool {
        let mut finder = Finder {
            reader: self,
            is_found: false,
        };
        finder.visit_expr(expression);
        finder.is_found
    }

    fn reads(&self, call: &ExprCall) -> bool {
        match self.connection.method(self.scope, call) {
            Some("execute" | "executemany") => {
                let sql = self.connection.runs(self.scope, call);
                matches!(sql, Sql::Reads | Sql::Unknown)
            }
            Some("fetchone" | "fetchall" | "fetchmany") => true,
            Some(_) => false,
            None => self.connection.is_given_to(self.scope, call),
        }
    }

    fn writes(&self, call: &ExprCall) -> bool {
        match self.connection.method(self.scope, call) {
            Some("execute" | "executemany") => {
                let sql = self.connection.runs(self.scope, call);
                matches!(sql, Sql::Writes | Sql::Unknown)
            }
            Some(_) => false,
            None => self.connection.is_given_to(self.scope, call),
        }
    }

    fn bind(&mut self, target: &'a Expr, value: &'a Expr) {
        let is_read = self.hangs_on_rows(value) || self.conditions > 0;
        self.note(target, is_read);
    }

    fn note(&mut self, target: &'a Expr, is_read: bool) {
        match target {
            Expr::Name(name) if is_read => {
                self.read.insert(name.id.as_str());
            }
            Expr::Tuple(tuple) => tuple
                .elts
                .iter()
                .for_each(|target| self.note(target, is_read)),
            Expr::List(list) => list
                .elts
                .iter()
                .for_each(|target| self.note(target, is_read)),
            Expr::Starred(starred) => self.note(&starred.value, is_read),
            // What is put into something is in it.
            Expr::Attribute(attribute) => self.note(&attribute.value, is_read),
            Expr::Subscript(subscript) => self.note(&subscript.value, is_read),
            _ => {}
        }
    }

    /// Visit a suite under a condition; whoever leaves it early puts what follows under the condition as well.
    fn under(&mut self, hangs: bool, visit: impl FnOnce(&mut Self)) {
        self.conditions += usize::from(hangs);
        visit(self);
        self.conditions -= usize::from(hangs);
    }

    fn choice(&mut self, choice: &'a ast::StmtIf) {
        let clauses = choice.elif_else_clauses.iter();
        let tests = clauses.clone().filter_map(|clause| clause.test.as_ref());
        let mut tests = std::iter::once(&*choice.test).chain(tests);
        let hangs = tests.any(|test| self.hangs_on_rows(test));
        self.visit_expr(&choice.test);
        let suites = std::iter::once(&choice.body).chain(clauses.map(|clause| &clause.body));
        let mut leaves = false;
        for suite in suites {
            leaves |= suite.iter().any(leaves_early);
            self.under(hangs, |reader| reader.visit_body(suite));
        }
        // The rest of the function hangs on it, too.
        self.conditions += usize::from(hangs && leaves);
    }
}

fn leaves_early(statement: &Stmt) -> bool {
    matches!(
        statement,
        Stmt::Return(_) | Stmt::Raise(_) | Stmt::Break(_) | Stmt::Continue(_)
    )
}

impl<'a> Visitor<'a> for Reader<'a, '_, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::If(choice) => return self.choice(choice),
            Stmt::While(repeated) => {
                let hangs = self.hangs_on_rows(&repeated.test);
                return self.under(hangs, |reader| visitor::walk_stmt(reader, statement));
            }
            Stmt::For(each) => {
                let hangs = self.hangs_on_rows(&each.iter);
                self.note(&each.target, hangs);
                return self.under(hangs, |reader| visitor::walk_stmt(reader, statement));
            }
            Stmt::Match(choice) => {
                let hangs = self.hangs_on_rows(&choice.subject);
                return self.under(hangs, |reader| visitor::walk_stmt(reader, statement));
            }
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            _ => {}
        }
        visitor::walk_stmt(self, statement);
        match statement {
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    self.bind(target, &assign.value);
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.bind(&assign.target, value);
                }
            }
            Stmt::AugAssign(assign) => self.bind(&assign.target, &assign.value),
            _ => {}
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => {
                let mut arguments = call.arguments.args.iter();
                let hangs = |argument: &'a Expr| self.hangs_on_rows(argument);
                self.is_found |= self.writes(call) && (self.conditions > 0 || arguments.any(hangs));
                // `rows.append(row)` puts what was read into it.
                let mut arguments = call.arguments.args.iter();
                if let Expr::Attribute(method) = &*call.func
                    && arguments.any(|argument| self.hangs_on_rows(argument))
                    && self.connection.method(self.scope, call).is_none()
                {
                    self.note(&method.value, true);
                }
            }
            Expr::Named(named) => self.bind(&named.target, &named.value),
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}

struct Finder<'a, 'p, 'c, 'r> {
    reader: &'r Reader<'a, 'p, 'c>,
    is_found: bool,
}

impl<'a> Visitor<'a> for Finder<'a, '_, '_, '_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        self.is_found |= match expression {
            Expr::Name(name) => self.reader.read.contains(name.id.as_str()),
            Expr::Call(call) => self.reader.reads(call),
            _ => false,
        };
        if !self.is_found {
            visitor::walk_expr(self, expression);
        }
    }
}
