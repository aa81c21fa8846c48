//! What an expression does to the connection, in the order in which it happens.

use super::{Effect, Flow, States};
use crate::core::scan::syntax::{Expr, Ranged, TextRange, Visitor, ast, visitor};

/// Collects effects in the order in which they happen.
pub(super) struct Effects<'a, 'p, 'c, 'f> {
    pub flow: &'f Flow<'a, 'p, 'c>,
    pub found: Vec<Found>,
    /// How many expressions are around that may not be evaluated.
    pub optional: usize,
}

/// An effect, and whether it may not come about.
pub struct Found {
    pub range: TextRange,
    pub effect: Effect,
    pub is_optional: bool,
}

impl<'a> Effects<'a, '_, '_, '_> {
    fn note(&mut self, range: TextRange, effect: Effect) {
        let is_optional = self.optional > 0;
        self.found.push(Found {
            range,
            effect,
            is_optional,
        });
    }

    fn visit_optional(&mut self, expressions: impl IntoIterator<Item = &'a Expr>) {
        self.optional += 1;
        expressions
            .into_iter()
            .for_each(|expression| self.visit_expr(expression));
        self.optional -= 1;
    }

    /// Whether a test is whether the connection is there: what is done then is as good as done always.
    fn is_asked_for(&self, test: &Expr) -> bool {
        let opened = States::CLEAN;
        let (then, otherwise) = self.flow.by_test(test, opened);
        then == opened && otherwise == States::NONE
    }

    fn visit_comprehension_of(&mut self, generators: &'a [ast::Comprehension], parts: &[&'a Expr]) {
        for (index, generator) in generators.iter().enumerate() {
            match index {
                0 => self.visit_expr(&generator.iter),
                _ => self.visit_optional([&generator.iter]),
            }
            self.visit_optional(&generator.ifs);
        }
        self.visit_optional(parts.iter().copied());
    }

    /// Visit what is within an expression, with regard to what of it may not be evaluated.
    fn visit_within(&mut self, expression: &'a Expr) {
        match expression {
            Expr::If(either) => {
                self.visit_expr(&either.test);
                match self.is_asked_for(&either.test) {
                    true => self.visit_expr(&either.body),
                    false => self.visit_optional([&*either.body]),
                }
                self.visit_optional([&*either.orelse]);
            }
            Expr::BoolOp(operation) => {
                let (first, others) = operation.values.split_at(1);
                first.iter().for_each(|value| self.visit_expr(value));
                let is_asked_for = operation.op == ast::BoolOp::And
                    && first.iter().all(|value| self.is_asked_for(value));
                match is_asked_for {
                    true => others.iter().for_each(|value| self.visit_expr(value)),
                    false => self.visit_optional(others),
                }
            }
            Expr::Compare(compare) if compare.comparators.len() > 1 => {
                self.visit_expr(&compare.left);
                self.visit_optional(&compare.comparators);
            }
            Expr::ListComp(list) => self.visit_comprehension_of(&list.generators, &[&list.elt]),
            Expr::SetComp(set) => self.visit_comprehension_of(&set.generators, &[&set.elt]),
            Expr::Generator(generator) => {
                self.visit_comprehension_of(&generator.generators, &[&generator.elt]);
            }
            Expr::DictComp(dict) => {
                let parts: Vec<&Expr> = dict
                    .key
                    .as_deref()
                    .into_iter()
                    .chain([&*dict.value])
                    .collect();
                self.visit_comprehension_of(&dict.generators, &parts);
            }
            _ => visitor::walk_expr(self, expression),
        }
    }
}

impl<'a> Visitor<'a> for Effects<'a, '_, '_, '_> {
    fn visit_expr(&mut self, expression: &'a Expr) {
        if matches!(expression, Expr::Lambda(_)) {
            return;
        }
        self.visit_within(expression);
        if let Expr::Yield(ast::ExprYield {
            value: Some(value),
            range,
            ..
        }) = expression
            && self.flow.connection.is(self.flow.scope, value)
        {
            self.note(*range, Effect::Given);
        }
        if let Expr::Call(call) = expression
            && let Some(effect) = self.flow.effect_of(call)
        {
            self.note(call.range(), effect);
        }
    }
}
