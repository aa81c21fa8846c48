//! Statements of which a session leaves nothing but their bodies: a `try` whose `finally` closes, a `with` that commits.

use super::{Form, ONE_LINE, OUTSIDE, Refusal, Region, RegionFinder};
use crate::core::scan::syntax::{Ranged, Stmt, TextRange, TextSize, ast};
use crate::core::scan::uses::Use;

impl<'a> RegionFinder<'a, '_, '_> {
    /// Without its `finally`, nothing is left of a `try` but its body.
    pub(super) fn unwrap_around(
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

    /// The last statement is a `try` whose `finally` closes the connection.
    pub(super) fn of_finally(
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
    pub(super) fn of_block(
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

    pub(super) fn form_of_block(&self, with: &ast::StmtWith) -> Option<Form> {
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

    pub(super) fn header_of(&self, with: &ast::StmtWith) -> TextRange {
        let end = with.items.last().map_or(with.range.start(), Ranged::end);
        TextRange::new(with.range.start(), end)
    }

    pub(super) fn check_header(&self, outer: TextSize, inner: TextSize) -> Result<(), Refusal> {
        let source = self.case.source();
        match source.line_start(outer) == source.line_start(inner) {
            true => Err(ONE_LINE),
            false => Ok(()),
        }
    }

    /// From the word `finally` to the end of the statement.
    pub(super) fn finally_of(&self, attempt: &ast::StmtTry) -> Result<TextRange, Refusal> {
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
    pub(super) fn lines_between(&self, start: TextSize, end: TextSize) -> Option<TextRange> {
        let end = self
            .case
            .source()
            .line_start(end)
            .checked_sub(TextSize::new(1))?;
        (start < end).then(|| TextRange::new(start, end))
    }

    /// Whether no other statement shares the lines of one.
    pub(super) fn is_alone(&self, statement: TextRange) -> bool {
        self.case.source().is_alone_on_its_lines(statement)
    }

    pub(super) fn has_comment(&self, range: TextRange) -> bool {
        let lines = self.case.source().whole_lines(range);
        self.case.has_comment(lines)
    }
}
