//! The statements of a function in which a connection lives, and what is left of them when a session opens it.

mod assigned;
mod unwrapped;

use super::places::Places;
use crate::core::scan::case::Case;
use crate::core::scan::flow::managers;
use crate::core::scan::held::{Held, Holder};
use crate::core::scan::names::{ScopeId, ScopeKind};
use crate::core::scan::suites;
use crate::core::scan::syntax::{Expr, Ranged, Stmt, TextRange, TextSize, ast};
use crate::core::scan::unused::is_named_elsewhere;
use crate::core::scan::uses::Use;
use crate::core::scan::walk::Around;
use std::ptr;

/// What ends a connection, which is what the rules are named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `close()` behind the statements, or nothing.
    Close,
    /// `close()` in a `finally`.
    Finally,
    /// `with connection`: it commits, or rolls back.
    With,
    /// `with closing(connection)`
    Closing,
}

/// How the connection is opened.
#[derive(Debug, Clone, Copy)]
pub enum Opening {
    /// By an expression of a `with`.
    Item(TextRange),
    /// By an assignment.
    Assignment(TextRange),
    /// Elsewhere: the session's block begins above a statement.
    Above(TextRange),
}

/// Where a connection lives. All lines of it change together.
#[derive(Debug)]
pub struct Region<'a> {
    /// What ends it.
    pub form: Form,
    /// How it begins.
    pub opening: Opening,
    /// The connection's name.
    pub name: &'a str,
    /// The scope that it is bound in.
    pub home: ScopeId,
    /// The statements that are left, in their order.
    pub kept: Vec<&'a Stmt>,
    /// Whether the session ends right behind the last one.
    pub is_direct: bool,
    /// How many of these stand before the block that commits.
    pub before_block: usize,
    /// The statement whose `finally` is left out.
    pub left_out: Option<TextRange>,
    /// Lines that are left out.
    pub deleted: Vec<TextRange>,
    /// Lines that move one step further in.
    pub moved_in: Vec<TextRange>,
    /// Lines that move one step further out.
    pub moved_out: Vec<TextRange>,
    /// Parts of lines that are left out.
    pub cut: Vec<TextRange>,
    /// Statements that go and leave nothing else in their suites.
    pub emptied: Vec<TextRange>,
    /// Two statements of which the second one is a step further in, if there are any.
    pub step: Option<(TextSize, TextSize)>,
    /// Everything together.
    pub extent: TextRange,
}

type Refusal = &'static str;

const OUTSIDE: Refusal = "it is used outside of the statements that follow";
const ONE_LINE: Refusal = "its statements share lines";

impl<'a> Region<'a> {
    /// One of which all lines stay as they are, and all statements are kept. It is bound to a name in a scope.
    pub fn new(
        form: Form,
        opening: Opening,
        (home, name): (ScopeId, &'a str),
        kept: Vec<&'a Stmt>,
        extent: TextRange,
    ) -> Self {
        Self {
            form,
            opening,
            name,
            home,
            kept,
            is_direct: true,
            before_block: 0,
            left_out: None,
            deleted: Vec::new(),
            moved_in: Vec::new(),
            moved_out: Vec::new(),
            cut: Vec::new(),
            emptied: Vec::new(),
            step: None,
            extent,
        }
    }

    /// Find it.
    pub fn of(case: &Case<'a, '_>, places: &Places) -> Result<Self, Refusal> {
        let Holder::Name(home, name) = case.connection.holder() else {
            return Err("no name of its function holds it");
        };
        let Some(body) = body_of(case, home) else {
            return Err("no name of its function holds it");
        };
        let range = case.site.call.range();
        let (suite, index) = suites::innermost(body, range).ok_or(OUTSIDE)?;
        if home == ScopeId::MODULE {
            check_module(case, places, name)?;
        }
        let finder = RegionFinder {
            case,
            places,
            home,
            name,
            suite,
            index,
        };
        match &suite[index] {
            Stmt::With(with) => finder.of_with(with),
            Stmt::Assign(_) | Stmt::AnnAssign(_) => finder.of_assignment(),
            _ => Err("it is not bound by a plain assignment"),
        }
    }
}

/// A module's connection must be its own, and closed.
fn check_module(case: &Case<'_, '_>, places: &Places, name: &str) -> Result<(), Refusal> {
    let is_closed = places.all().any(|place| place.what == Use::Closed);
    let is_entered = case.held == Held::With || case.held == Held::Closing;
    if !is_closed && !is_entered {
        return Err("nothing in its module closes it");
    }
    match is_named_elsewhere(case.project, case.site.file, name) {
        true => Err("other modules may use it"),
        false => Ok(()),
    }
}

/// The statements of the function or module that a scope is.
pub fn body_of<'a>(case: &Case<'a, '_>, scope: ScopeId) -> Option<&'a [Stmt]> {
    let names = &case.file().names;
    match names.scope(scope).kind {
        ScopeKind::Function(function) => Some(&function.body),
        ScopeKind::Module => Some(names.body()),
        _ => None,
    }
}

struct RegionFinder<'a, 'p, 'c> {
    case: &'c Case<'a, 'p>,
    places: &'c Places,
    home: ScopeId,
    name: &'a str,
    /// The suite with the statement that opens the connection.
    suite: &'a [Stmt],
    index: usize,
}

impl<'a> RegionFinder<'a, '_, '_> {
    fn region(&self, form: Form, opening: Opening, kept: Vec<&'a Stmt>) -> Region<'a> {
        let statement = self.suite[self.index].range();
        let last = kept.last().map_or(statement, |last| last.range());
        Region::new(
            form,
            opening,
            (self.home, self.name),
            kept,
            statement.cover(last),
        )
    }

    /// `with connect(…) as connection:` and `with closing(connect(…)) as connection:`
    fn of_with(&self, with: &'a ast::StmtWith) -> Result<Region<'a>, Refusal> {
        let call = self.case.site.call.range();
        let item = with
            .items
            .iter()
            .find(|item| item.context_expr.range().contains_range(call));
        let item = item.ok_or(OUTSIDE)?;
        let is_plain = item.context_expr.range() == call;
        if with.is_async || !(is_plain || is_closing_of(&item.context_expr, call)) {
            return Err("it is entered in a way that the rules do not know");
        }
        if !matches!(item.optional_vars.as_deref(), Some(Expr::Name(_))) {
            return Err("no name of its function holds it");
        }
        let form = if is_plain { Form::With } else { Form::Closing };
        let opening = Opening::Item(item.context_expr.range());
        let mut region = self.region(form, opening, with.body.iter().collect());
        region.extent = with.range();
        if let Some(cut) = self.entered_again(with)? {
            region.form = Form::With;
            region.cut.push(cut);
        }
        // What other items do at their end comes before.
        let others = with.items.iter().filter(|item| {
            !region
                .cut
                .iter()
                .any(|cut| cut.contains_range(item.range()))
        });
        let last = others.last().map_or(call, Ranged::range);
        region.is_direct = last.contains_range(call);
        let within = with
            .items
            .iter()
            .skip_while(|item| !item.range().contains_range(call))
            .skip(1);
        let lets_through = |item: &ast::WithItem| {
            managers::is_known(&self.case.connection, self.home, &item.context_expr)
        };
        if !within.into_iter().all(lets_through) {
            return Err("something within the same 'with' may swallow exceptions");
        }
        if is_plain {
            // It is left open by the block: what closes it behind has nothing to do any more.
            let behind = self.suite[self.index + 1..].iter();
            let closers = behind.take_while(|statement| {
                self.places.is_closer(statement) && self.is_alone(statement.range())
            });
            for closer in closers {
                region.deleted.push(closer.range());
                region.extent = region.extent.cover(closer.range());
            }
        }
        let is_outside = |range: &TextRange| !region.extent.contains_range(*range);
        let mut outside = self.places.ranges().filter(is_outside);
        match outside.any(|range| !self.is_of_another(range, region.extent)) {
            true => Err("it is used after its block"),
            false => Ok(region),
        }
    }

    /// `closing(connect(…)) as connection, connection`: what is to be cut of it.
    fn entered_again(&self, with: &ast::StmtWith) -> Result<Option<TextRange>, Refusal> {
        let call = self.case.site.call.range();
        let is_it = |item: &ast::WithItem| {
            let mut places = self.places.within(item.range());
            places.any(|place| place.what == Use::Entered)
        };
        let mut entered = with
            .items
            .iter()
            .enumerate()
            .filter(|(_, item)| is_it(item));
        let Some((index, item)) = entered.next() else {
            return Ok(None);
        };
        let is_only = entered.next().is_none();
        let before = index
            .checked_sub(1)
            .map(|before| with.items[before].range());
        let is_plain = matches!(item.context_expr, Expr::Name(_)) && item.optional_vars.is_none();
        match before.filter(|before| is_only && is_plain && before.contains_range(call)) {
            Some(before) => Ok(Some(TextRange::new(before.end(), item.range().end()))),
            None => Err("it is entered in a way that the rules do not know"),
        }
    }

    /// Whether what a place names is bound by another statement than the one whose lines are `own`.
    fn is_of_another(&self, place: TextRange, own: TextRange) -> bool {
        if self.is_in_loop() {
            return false;
        }
        // Nothing was opened yet.
        if place.end() <= own.start() {
            return true;
        }
        let bindings = self.case.file().names.bound_in(self.home, self.name);
        let mut behind = bindings
            .iter()
            .filter(|binding| binding.offset >= own.end());
        behind.any(|binding| {
            let body = body_of(self.case, self.home).unwrap_or_default();
            let found = suites::innermost(body, TextRange::empty(binding.offset));
            found.is_some_and(|(suite, index)| match &suite[index] {
                Stmt::With(with) => with.range.contains_range(place),
                // Whoever comes by what stands behind comes by the assignment.
                Stmt::Assign(_) | Stmt::AnnAssign(_) => {
                    ptr::eq(suite, self.suite) && binding.offset <= place.start()
                }
                _ => false,
            })
        })
    }

    /// Whether the connection is opened in a loop of its function.
    fn is_in_loop(&self) -> bool {
        let statements = self.case.site.around.iter().rev();
        let mut statements = statements.filter_map(|around| match around {
            Around::Statement(statement) => Some(*statement),
            _ => None,
        });
        let mut within = statements
            .by_ref()
            .take_while(|statement| !matches!(statement, Stmt::FunctionDef(_) | Stmt::ClassDef(_)));
        within.any(|statement| matches!(statement, Stmt::For(_) | Stmt::While(_)))
    }
}

/// `closing(call)`
fn is_closing_of(expression: &Expr, call: TextRange) -> bool {
    matches!(expression, Expr::Call(closing) if closing.arguments.args.len() == 1
        && closing.arguments.keywords.is_empty()
        && closing.arguments.args[0].range() == call)
}
