//! A connection that is bound by an assignment: the statements behind it, in its suite or in the body of a `try`.

use super::{Form, ONE_LINE, OUTSIDE, Opening, Refusal, Region, RegionFinder, body_of};
use crate::core::scan::names::Bound;
use crate::core::scan::suites;
use crate::core::scan::syntax::{ExceptHandler, Expr, Ranged, Stmt, TextRange, ast};
use crate::core::scan::uses::Use;
use crate::core::scan::walk::Around;
use std::ptr;

impl<'a> RegionFinder<'a, '_, '_> {
    /// `connection = connect(…)`, and statements behind it.
    pub(super) fn of_assignment(&self) -> Result<Region<'a>, Refusal> {
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
    pub(super) fn last(&self) -> Result<usize, Refusal> {
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
    pub(super) fn attempt_around(&self, own: TextRange) -> Option<&'a ast::StmtTry> {
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
    pub(super) fn within_attempt(
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
            if !self.is_alone(none) {
                return Err(ONE_LINE);
            }
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

    /// `connection = None` before a `try`.
    pub(super) fn none_before(&self, attempt: &ast::StmtTry) -> Option<TextRange> {
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
    pub(super) fn of_followers(&self, followers: &'a [Stmt]) -> Result<Region<'a>, Refusal> {
        let opening = Opening::Assignment(self.suite[self.index].range());
        let is_plain_closer = |statement: &&Stmt| {
            let range = statement.range();
            self.places.is_closer(statement) && !self.has_comment(range) && self.is_alone(range)
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
}
