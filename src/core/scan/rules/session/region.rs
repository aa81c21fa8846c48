//! The statements of a function in which a connection lives, and what is left of them when a session opens it.

use super::places::Places;
use crate::core::scan::case::Case;
use crate::core::scan::flow::managers;
use crate::core::scan::held::{Held, Holder};
use crate::core::scan::names::{Bound, ScopeId, ScopeKind};
use crate::core::scan::suites;
use crate::core::scan::syntax::{ExceptHandler, Expr, Ranged, Stmt, TextRange, TextSize, ast};
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
            let closers = behind.take_while(|statement| self.places.is_closer(statement));
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

    /// `connection = connect(…)`, and statements behind it.
    fn of_assignment(&self) -> Result<Region<'a>, Refusal> {
        let statement = &self.suite[self.index];
        let call = self.case.site.call.range();
        let is_plain = match statement {
            Stmt::Assign(assign) => assign.value.range() == call && assign.targets.len() == 1,
            Stmt::AnnAssign(assign) => assign
                .value
                .as_ref()
                .is_some_and(|value| value.range() == call),
            _ => false,
        };
        if !is_plain {
            return Err("it is not bound by a plain assignment");
        }
        if !self.case.source().is_alone_on_its_lines(statement.range()) {
            return Err(ONE_LINE);
        }
        let last = self.last()?;
        let followers = &self.suite[self.index + 1..=last];
        if followers.is_empty() {
            return Err("nothing is done with it");
        }
        let own = statement.range().cover(self.suite[last].range());
        let outside: Vec<TextRange> = self
            .places
            .ranges()
            .filter(|range| !own.contains_range(*range))
            .filter(|range| !self.is_of_another(*range, own))
            .collect();
        if let Some(attempt) = self.attempt_around(own) {
            return self.within_attempt(attempt, followers, &outside);
        }
        match outside.is_empty() {
            true => self.of_followers(followers),
            false => Err(OUTSIDE),
        }
    }

    /// The last statement of the suite that uses the connection, before its name is bound again.
    fn last(&self) -> Result<usize, Refusal> {
        let bindings = self.case.file().names.bound_in(self.home, self.name);
        let is_bound_in = |statement: &Stmt| {
            let mut bindings = bindings.iter();
            bindings.any(|binding| statement.range().contains(binding.offset))
        };
        let mut last = self.index;
        for (index, statement) in self.suite.iter().enumerate().skip(self.index + 1) {
            if is_bound_in(statement) {
                let is_plain = matches!(
                    statement,
                    Stmt::Assign(_) | Stmt::AnnAssign(_) | Stmt::With(_)
                );
                let uses_it = self
                    .places
                    .within(statement.range())
                    .any(|place| place.what != Use::Bound);
                match (is_plain, statement, uses_it) {
                    (true, Stmt::With(_), _) | (true, _, false) => break,
                    _ => return Err("its name is bound again"),
                }
            }
            if self.places.within(statement.range()).next().is_some() {
                last = index;
            }
        }
        Ok(last)
    }

    /// The `try` that has the suite as its body, if that matters: it closes the connection, or its handlers use it.
    fn attempt_around(&self, own: TextRange) -> Option<&'a ast::StmtTry> {
        let statements = self
            .case
            .site
            .around
            .iter()
            .rev()
            .filter_map(|around| match around {
                Around::Statement(statement) => Some(*statement),
                _ => None,
            });
        let Some(Stmt::Try(attempt)) = statements.into_iter().nth(1) else {
            return None;
        };
        let is_body = ptr::eq(&*attempt.body, self.suite);
        let mut others = self
            .places
            .ranges()
            .filter(|range| !own.contains_range(*range));
        let concerns = others.any(|range| attempt.range.contains_range(range));
        (is_body && concerns).then_some(attempt)
    }

    /// The connection is opened and used in the body of a `try`, of which other parts close it or roll back.
    fn within_attempt(
        &self,
        attempt: &'a ast::StmtTry,
        followers: &'a [Stmt],
        outside: &[TextRange],
    ) -> Result<Region<'a>, Refusal> {
        let is_used = |range: TextRange| outside.iter().any(|place| range.contains_range(*place));
        let mut region = self.of_followers(followers)?;
        region.extent = region.extent.cover(attempt.range);
        let mut accounted: Vec<TextRange> = Vec::new();
        for ExceptHandler::ExceptHandler(handler) in &attempt.handlers {
            let used: Vec<_> = handler
                .body
                .iter()
                .filter(|statement| is_used(statement.range()))
                .collect();
            let ends = |statement: &&&Stmt| {
                self.places.is_closer(statement) || self.places.is_rollback(statement)
            };
            if !used.iter().all(|statement| ends(&statement)) {
                return Err("a handler uses it that is outside of the session");
            }
            accounted.extend(used.iter().map(|statement| statement.range()));
            let is_emptied = used.len() == handler.body.len();
            let (first, others) = used.split_at(usize::from(is_emptied));
            region
                .emptied
                .extend(first.iter().map(|statement| statement.range()));
            region
                .deleted
                .extend(others.iter().map(|statement| statement.range()));
        }
        if attempt
            .finalbody
            .iter()
            .any(|statement| is_used(statement.range()))
        {
            if !self.places.are_closers(&attempt.finalbody) {
                return Err("a 'finally' uses it that is outside of the session");
            }
            let part = self.finally_of(attempt)?;
            accounted.push(part);
            region.deleted.push(part);
            region.form = match region.form {
                Form::Close => Form::Finally,
                form => form,
            };
            if attempt.handlers.is_empty() {
                self.unwrap_around(attempt, &mut region)?;
            }
        }
        if let Some(none) = self.none_before(attempt) {
            accounted.push(none);
            region.deleted.push(none);
            region.extent = region.extent.cover(none);
        }
        let is_accounted =
            |place: &TextRange| accounted.iter().any(|range| range.contains_range(*place));
        match outside.iter().all(is_accounted) {
            true => Ok(region),
            false => Err(OUTSIDE),
        }
    }

    /// Without its `finally`, nothing is left of a `try` but its body.
    fn unwrap_around(
        &self,
        attempt: &'a ast::StmtTry,
        region: &mut Region<'a>,
    ) -> Result<(), Refusal> {
        let (outer, inner) = (attempt.range.start(), self.suite[0].start());
        self.check_header(outer, inner)?;
        region.deleted.push(TextRange::empty(outer));
        region.step = Some((outer, inner));
        let opening = self.suite[self.index].range();
        let begin = self.case.source().next_line(outer).0;
        region.moved_out.push(TextRange::new(begin, opening.end()));
        // What would have moved in stays, and what would have stayed moves out.
        let moved_in = std::mem::take(&mut region.moved_in);
        let source = self.case.source();
        let last = self.suite.last().map_or(opening.end(), Stmt::end);
        let mut at = source.next_line(opening.end()).0;
        for range in moved_in {
            region
                .moved_out
                .extend(self.lines_between(at, range.start()));
            at = source.next_line(range.end()).0;
        }
        let end = source.next_line(last).0;
        region.moved_out.extend(self.lines_between(at, end));
        Ok(())
    }

    /// `connection = None` before a `try`.
    fn none_before(&self, attempt: &ast::StmtTry) -> Option<TextRange> {
        let body = body_of(self.case, self.home)?;
        let (suite, index) = suites::innermost(body, TextRange::empty(attempt.range.start()))?;
        let bindings = self.case.file().names.bound_in(self.home, self.name);
        let is_none = |statement: &&Stmt| match statement {
            Stmt::Assign(assign) => {
                let mut bindings = bindings
                    .iter()
                    .filter(|binding| assign.range.contains(binding.offset));
                bindings.any(|binding| matches!(binding.bound, Bound::Value(Expr::NoneLiteral(_))))
                    && assign.targets.len() == 1
            }
            _ => false,
        };
        let before = suite[..index].iter().rev().find(is_none)?;
        self.case
            .source()
            .is_alone_on_its_lines(before.range())
            .then(|| before.range())
    }

    /// The statements behind an assignment, of which the last one may close the connection.
    fn of_followers(&self, followers: &'a [Stmt]) -> Result<Region<'a>, Refusal> {
        let opening = Opening::Assignment(self.suite[self.index].range());
        let is_plain_closer = |statement: &&Stmt| {
            self.places.is_closer(statement) && !self.has_comment(statement.range())
        };
        let closers = followers.iter().rev().take_while(is_plain_closer);
        let (kept, closers) = followers.split_at(followers.len() - closers.count());
        let mut region = self.region(Form::Close, opening, kept.iter().collect());
        for closer in closers {
            region.deleted.push(closer.range());
            region.extent = region.extent.cover(closer.range());
        }
        let Some(last) = kept.last() else {
            return Err("nothing is done with it");
        };
        let begin = self.case.source().next_line(self.suite[self.index].end()).0;
        region.moved_in = vec![TextRange::new(begin, last.end())];
        match last {
            Stmt::Try(attempt)
                if closers.is_empty() && self.places.are_closers(&attempt.finalbody) =>
            {
                self.of_finally(attempt, region, begin)
            }
            Stmt::With(with) => self.of_block(with, region, begin),
            _ => Ok(region),
        }
    }

    /// The last statement is a `try` whose `finally` closes the connection.
    fn of_finally(
        &self,
        attempt: &'a ast::StmtTry,
        mut region: Region<'a>,
        begin: TextSize,
    ) -> Result<Region<'a>, Refusal> {
        let part = self.finally_of(attempt)?;
        if self.has_comment(part) {
            // What is kept closes it within the session, which comes to the same.
            region.form = Form::Finally;
            return Ok(region);
        }
        region.form = Form::Finally;
        region.left_out = Some(attempt.range);
        region.deleted.push(part);
        if !attempt.handlers.is_empty() {
            region.moved_in = self
                .lines_between(begin, part.start())
                .into_iter()
                .collect();
            return Ok(region);
        }
        let (outer, inner) = (attempt.range.start(), attempt.body[0].start());
        self.check_header(outer, inner)?;
        region.deleted.push(TextRange::empty(outer));
        region.step = Some((outer, inner));
        region.moved_in = self.lines_between(begin, outer).into_iter().collect();
        region.kept.pop();
        region.kept.extend(&attempt.body);
        region.left_out = None;
        // A block that ends it goes as well.
        if let Some(Stmt::With(with)) = attempt.body.last()
            && let Some(form) = self.form_of_block(with)
        {
            self.check_header(with.range.start(), with.body[0].start())?;
            region.form = form;
            region.deleted.push(self.header_of(with));
            region.kept.pop();
            region.before_block = region.kept.len();
            region.kept.extend(&with.body);
            let last = with.body.last().map_or(with.range.end(), Stmt::end);
            let begin = self.case.source().next_line(self.header_of(with).end()).0;
            region.moved_out.push(TextRange::new(begin, last));
        }
        Ok(region)
    }

    /// The last statement is `with connection:` or `with closing(connection):`.
    fn of_block(
        &self,
        with: &'a ast::StmtWith,
        mut region: Region<'a>,
        begin: TextSize,
    ) -> Result<Region<'a>, Refusal> {
        let Some(form) = self.form_of_block(with) else {
            return Ok(region);
        };
        let (outer, inner) = (with.range.start(), with.body[0].start());
        self.check_header(outer, inner)?;
        region.form = form;
        region.deleted.push(self.header_of(with));
        region.step = Some((outer, inner));
        region.moved_in = self.lines_between(begin, outer).into_iter().collect();
        region.kept.pop();
        region.before_block = region.kept.len();
        region.kept.extend(&with.body);
        Ok(region)
    }

    fn form_of_block(&self, with: &ast::StmtWith) -> Option<Form> {
        let [item] = &*with.items else {
            return None;
        };
        if with.is_async || item.optional_vars.is_some() {
            return None;
        }
        let [place] = self.places.within(item.range()).collect::<Vec<_>>()[..] else {
            return None;
        };
        let is_plain = item.context_expr.range() == place.range;
        match place.what {
            Use::Entered if is_plain => Some(Form::With),
            Use::Entered => Some(Form::Closing),
            _ => None,
        }
    }

    fn header_of(&self, with: &ast::StmtWith) -> TextRange {
        let end = with.items.last().map_or(with.range.start(), Ranged::end);
        TextRange::new(with.range.start(), end)
    }

    fn check_header(&self, outer: TextSize, inner: TextSize) -> Result<(), Refusal> {
        let source = self.case.source();
        match source.line_start(outer) == source.line_start(inner) {
            true => Err(ONE_LINE),
            false => Ok(()),
        }
    }

    /// From the word `finally` to the end of the statement.
    fn finally_of(&self, attempt: &ast::StmtTry) -> Result<TextRange, Refusal> {
        let source = self.case.source();
        let first = attempt.finalbody.first().ok_or(OUTSIDE)?.start();
        let mut at = source.line_start(first);
        loop {
            let line = TextRange::new(at, source.next_line(at).0);
            if source.slice(line).trim_start().starts_with("finally") {
                return match line.contains(first) {
                    true => Err(ONE_LINE),
                    false => Ok(TextRange::new(at, attempt.range.end())),
                };
            }
            if at <= attempt.range.start() {
                return Err(ONE_LINE);
            }
            at = source.line_start(at - TextSize::new(1));
        }
    }

    /// The lines from one that begins at `start` to the one above that of `end`, if there are any.
    fn lines_between(&self, start: TextSize, end: TextSize) -> Option<TextRange> {
        let end = self
            .case
            .source()
            .line_start(end)
            .checked_sub(TextSize::new(1))?;
        (start < end).then(|| TextRange::new(start, end))
    }

    fn has_comment(&self, range: TextRange) -> bool {
        let lines = self.case.source().whole_lines(range);
        self.case.has_comment(lines)
    }
}

/// `closing(call)`
fn is_closing_of(expression: &Expr, call: TextRange) -> bool {
    matches!(expression, Expr::Call(closing) if closing.arguments.args.len() == 1
        && closing.arguments.keywords.is_empty()
        && closing.arguments.args[0].range() == call)
}
