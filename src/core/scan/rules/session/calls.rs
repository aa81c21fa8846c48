//! The mode of a session: whether it has to keep others from writing from its begin.

use super::beginning::Beginning;
use super::region::Region;
use super::transactions::Proof;
use crate::core::scan::case::Case;
use crate::core::scan::dependence::writes_what_it_read;
use crate::core::scan::importing::is_stdlib;
use crate::core::scan::imports::is_test;
use crate::core::scan::names::{Binding, Bound, Scope, ScopeKind};
use crate::core::scan::project::Named;
use crate::core::scan::syntax::{Expr, ExprCall, TextRange, Visitor, ast, visitor};

/// A session's mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It begins with the first write.
    Auto,
    /// It begins at once: what it reads is still so when it writes.
    Write,
    /// The same, above a statement, since handlers are around that.
    WriteFrom(TextRange),
    /// It should begin at once, and can't: its statements are in several places that handle errors.
    AutoInTry,
    /// It should begin at once, and can't: it sets something that can't be set in a transaction.
    AutoForSettings,
    /// It should begin at once, and can't: a function that is called may open the database, too.
    AutoForOthers,
    /// It should begin at once, and can't: its function may be called where the database is open already.
    AutoWithin,
}

impl Mode {
    /// The argument of `session`.
    pub fn argument(self) -> &'static str {
        match self {
            Self::Write => "mode=\"write\"",
            _ => "",
        }
    }

    /// The statement above which it begins to keep others from writing.
    pub fn begin(self) -> Option<TextRange> {
        match self {
            Self::WriteFrom(statement) => Some(statement),
            _ => None,
        }
    }

    /// What is to be said of it.
    pub fn note(self) -> Option<String> {
        let note = match self {
            Self::Auto => return None,
            Self::Write | Self::WriteFrom(_) => {
                "it writes what hangs on what it read, so nobody else may write in between"
            }
            Self::AutoInTry => {
                "it writes what hangs on what it read, but handles errors in several places, one of which is for a locked \
                 database: see where begin() is possible"
            }
            Self::AutoForSettings => {
                "it writes what hangs on what it read, but sets a PRAGMA that does nothing in a transaction: see where begin() is \
                 possible"
            }
            Self::AutoForOthers => {
                "it writes what hangs on what it read, but calls what may open the database as well, or wait for others: see whether \
                 mode=\"write\" is possible"
            }
            Self::AutoWithin => {
                "it writes what hangs on what it read, but is called by functions that may be writing already: see whether \
                 mode=\"write\" is possible"
            }
        };
        Some(note.to_owned())
    }
}

/// Builtins that give values of their own.
const PLAIN_FUNCTIONS: [&str; 14] = [
    "bytes",
    "dict",
    "float",
    "format",
    "frozenset",
    "int",
    "list",
    "range",
    "repr",
    "round",
    "set",
    "sorted",
    "str",
    "tuple",
];
/// Modules whose functions do.
const PLAIN_MODULES: [&str; 12] = [
    "base64",
    "collections",
    "datetime",
    "decimal",
    "hashlib",
    "json",
    "logging",
    "math",
    "pathlib",
    "re",
    "time",
    "uuid",
];

/// Modules and functions of the stdlib that wait for others, or run what is not seen.
const WAITS: [&str; 34] = [
    "asyncio",
    "builtins.__import__",
    "builtins.breakpoint",
    "builtins.eval",
    "builtins.exec",
    "builtins.input",
    "concurrent",
    "ctypes",
    "ftplib",
    "getpass",
    "http",
    "imaplib",
    "importlib",
    "multiprocessing",
    "os.popen",
    "os.system",
    "os.wait",
    "os.waitpid",
    "poplib",
    "queue",
    "runpy",
    "select",
    "selectors",
    "signal",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time.sleep",
    "urllib.request.urlopen",
    "urllib.request.urlretrieve",
    "xmlrpc",
];

/// Which mode a session of some statements needs.
pub fn mode<'a>(case: &Case<'a, '_>, region: &Region<'a>, proof: &Proof) -> Mode {
    if !writes_what_it_read(&case.connection, region.home, &region.kept) {
        return Mode::Auto;
    }
    let mut finder = Others {
        case,
        region,
        are_called: false,
    };
    for statement in &region.kept {
        finder.visit_stmt(statement);
    }
    match finder.are_called {
        true => Mode::AutoForOthers,
        false if is_called_within(case, region) => Mode::AutoWithin,
        false if proof.sets => Mode::AutoForSettings,
        false => match Beginning::of(case, region, &proof.runs) {
            Beginning::Entry => Mode::Write,
            Beginning::Above(statement) => Mode::WriteFrom(statement),
            Beginning::Nowhere => Mode::AutoInTry,
        },
    }
}

/// Whether a function that may be called while another one writes makes or drops what may be there, or gone, already: the
/// stdlib takes no lock for that, and a session its turn to write.
pub fn makes_within<'a>(case: &Case<'a, '_>, region: &Region<'a>) -> bool {
    let mut finder = Makes {
        case,
        region,
        is_found: false,
    };
    region
        .kept
        .iter()
        .for_each(|statement| finder.visit_stmt(statement));
    finder.is_found && is_called_within(case, region)
}

struct Makes<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    region: &'c Region<'a>,
    is_found: bool,
}

impl<'e> Visitor<'e> for Makes<'_, '_, '_> {
    fn visit_expr(&mut self, expression: &'e Expr) {
        if let Expr::Call(call) = expression {
            let connection = &self.case.connection;
            let is_run = connection.method(self.region.home, call).is_some();
            let text = is_run.then(|| connection.statement(self.region.home, call));
            let text = text.flatten().unwrap_or_default().to_ascii_lowercase();
            let words: Vec<&str> = text.split_whitespace().collect();
            self.is_found |= words
                .windows(2)
                .any(|pair| pair == ["if", "not"] || pair == ["if", "exists"]);
        }
        visitor::walk_expr(self, expression);
    }
}

/// How many callers are looked at one behind another.
const CALLERS: usize = 3;

/// Whether the function may be called while another one has a connection: as far as names and texts tell, and so rather too
/// often. One that is called without a call, a property or a special method, is taken to be.
fn is_called_within(case: &Case<'_, '_>, region: &Region<'_>) -> bool {
    let ScopeKind::Function(function) = case.file().names.scope(region.home).kind else {
        return false;
    };
    let is_special = function.name.starts_with("__") && function.name.as_str() != "__init__";
    is_special
        || makes_property(function)
        || is_called_by_holders(case, function.name.as_str(), CALLERS)
}

/// Whether a function is called where an attribute is asked for.
fn makes_property(function: &ast::StmtFunctionDef) -> bool {
    let mut decorators = function.decorator_list.iter();
    decorators.any(|decorator| match &decorator.expression {
        Expr::Name(name) => name.id.ends_with("property"),
        Expr::Attribute(name) => matches!(name.attr.as_str(), "cached_property" | "setter"),
        _ => false,
    })
}

/// Whether some class of the project has a property of a name, which may do anything.
fn is_property(case: &Case<'_, '_>, name: &str) -> bool {
    let is_one = |scope: &Scope<'_>| matches!(scope.kind, ScopeKind::Function(function) if function.name.as_str() == name && makes_property(function));
    let mut files = case.project.files();
    files.any(|(_, file)| file.names.scopes().any(|(_, scope)| is_one(scope)))
}

fn is_called_by_holders(case: &Case<'_, '_>, name: &str, left: usize) -> bool {
    let Some(left) = left.checked_sub(1) else {
        return false;
    };
    let is_it = |call: &ExprCall| match &*call.func {
        Expr::Name(function) => function.id.as_str() == name,
        Expr::Attribute(method) => method.attr.as_str() == name,
        _ => false,
    };
    let production = case
        .project
        .files()
        .filter(|(_, file)| !is_test(&file.parsed.source.path));
    let mut callers = production.flat_map(|(_, file)| {
        let calls = file.names.calls().iter();
        let calls = calls.filter(|(_, call)| is_it(call));
        calls.filter_map(|(scope, _)| {
            let (_, function) = file.names.function_around(*scope)?;
            Some((file.parsed.source.slice(function.range), function))
        })
    });
    callers.any(|(text, caller)| {
        let holds = |word: &str| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some();
        holds("connect(")
            || holds(".execute")
            || holds(".session(")
            || (caller.name.as_str() != name
                && is_called_by_holders(case, caller.name.as_str(), left))
    })
}

struct Others<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    region: &'c Region<'a>,
    are_called: bool,
}

impl Others<'_, '_, '_> {
    /// Whether a method is one of a value that the stdlib made, or of a logger.
    fn is_of_value(&self, function: &Expr) -> bool {
        let Expr::Attribute(method) = function else {
            return false;
        };
        match &*method.value {
            Expr::StringLiteral(_)
            | Expr::FString(_)
            | Expr::List(_)
            | Expr::Dict(_)
            | Expr::Set(_) => true,
            Expr::Name(name) => {
                let names = &self.case.file().names;
                let bound = names.lookup(name.id.as_str(), self.region.home);
                let is_value = |binding: &Binding<'_>| match binding.bound {
                    Bound::Value(value) => self.is_value(value),
                    _ => false,
                };
                bound.is_some_and(|(_, bindings)| bindings.iter().all(is_value))
            }
            _ => false,
        }
    }

    fn is_value(&self, value: &Expr) -> bool {
        match value {
            Expr::Call(call) => self.gives_plain_value(call),
            Expr::StringLiteral(_)
            | Expr::FString(_)
            | Expr::List(_)
            | Expr::Dict(_)
            | Expr::Set(_)
            | Expr::Tuple(_)
            | Expr::ListComp(_)
            | Expr::DictComp(_)
            | Expr::SetComp(_) => true,
            _ => false,
        }
    }

    fn is_method_of_it(&self, call: &ExprCall) -> bool {
        let connection = &self.case.connection;
        connection.method(self.region.home, call).is_some()
    }

    fn named(&self, call: &ExprCall) -> Named {
        let (project, file) = (self.case.project, self.case.site.file);
        project.named(file, self.region.home, &call.func)
    }

    /// Whether a call gives a value whose methods are the stdlib's, and run nothing of others.
    fn gives_plain_value(&self, call: &ExprCall) -> bool {
        if self.is_method_of_it(call) {
            return true;
        }
        let named = self.named(call);
        named
            .certain()
            .is_some_and(|name| match name.split_once('.') {
                Some(("builtins", function)) => PLAIN_FUNCTIONS.contains(&function),
                Some((module, _)) => PLAIN_MODULES.contains(&module),
                None => false,
            })
    }

    /// Whether a call is of a function that can't open the database.
    fn is_harmless(&self, call: &ExprCall) -> bool {
        self.is_harmless_function(call) || self.is_of_value(&call.func)
    }

    fn is_harmless_function(&self, call: &ExprCall) -> bool {
        if self.is_method_of_it(call) {
            return true;
        }
        let named = self.named(call);
        let is_other = |name: &String| {
            let module = name.split('.').next().unwrap_or(name);
            is_stdlib(name) && !WAITS.contains(&module) && !WAITS.contains(&name.as_str())
        };
        !named.or_other
            && !named.names.is_empty()
            && named.names.iter().all(is_other)
            && !self.hands_over_a_function(call)
    }

    /// Whether a call is given a function of the project, which it may call.
    fn hands_over_a_function(&self, call: &ExprCall) -> bool {
        let (project, file) = (self.case.project, self.case.site.file);
        let keywords = call.arguments.keywords.iter().map(|keyword| &keyword.value);
        let mut given = call.arguments.args.iter().chain(keywords);
        given.any(|given| {
            matches!(given, Expr::Name(_) | Expr::Attribute(_)) && {
                let named = project.named(file, self.region.home, given);
                named
                    .names
                    .iter()
                    .any(|name| project.function(name).is_some())
            }
        })
    }

    /// Whether something that a `with` enters may wait, or do anything: it is no call, which is looked at as such.
    fn is_entered_by_name(&self, item: &ast::WithItem) -> bool {
        let connection = &self.case.connection;
        !matches!(item.context_expr, Expr::Call(_))
            && !connection.is_it_or_cursor(self.region.home, &item.context_expr)
    }
}

/// Whether a function calls itself, as far as its name tells, while it has a session.
pub fn calls_itself(case: &Case<'_, '_>, region: &Region<'_>) -> bool {
    let ScopeKind::Function(function) = case.file().names.scope(region.home).kind else {
        return false;
    };
    let mut finder = Itself {
        name: function.name.as_str(),
        is_found: false,
    };
    region
        .kept
        .iter()
        .for_each(|statement| finder.visit_stmt(statement));
    finder.is_found
}

struct Itself<'n> {
    name: &'n str,
    is_found: bool,
}

impl<'a> Visitor<'a> for Itself<'_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression {
            self.is_found |= match &*call.func {
                Expr::Name(name) => name.id.as_str() == self.name,
                Expr::Attribute(method) => method.attr.as_str() == self.name,
                _ => false,
            };
        }
        visitor::walk_expr(self, expression);
    }
}

impl<'a> Visitor<'a> for Others<'a, '_, '_> {
    fn visit_with_item(&mut self, item: &'a ast::WithItem) {
        self.are_called |= self.is_entered_by_name(item);
        visitor::walk_with_item(self, item);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Call(call) => self.are_called |= !self.is_harmless(call),
            Expr::Attribute(attribute) => {
                self.are_called |= is_property(self.case, attribute.attr.as_str());
            }
            _ => {}
        }
        visitor::walk_expr(self, expression);
    }
}
