//! The suites of statements that stand in others.

use super::syntax::{ExceptHandler, Ranged, Stmt, TextRange, ast};

/// The suites that a statement holds, in their order.
pub fn suites_of(statement: &Stmt) -> Vec<&[Stmt]> {
    match statement {
        Stmt::FunctionDef(function) => vec![&function.body],
        Stmt::ClassDef(class) => vec![&class.body],
        Stmt::With(with) => vec![&with.body],
        Stmt::For(each) => vec![&each.body, &each.orelse],
        Stmt::While(repeated) => vec![&repeated.body, &repeated.orelse],
        Stmt::If(choice) => {
            let others = choice
                .elif_else_clauses
                .iter()
                .map(|clause| &clause.body[..]);
            std::iter::once(&choice.body[..]).chain(others).collect()
        }
        Stmt::Match(choice) => choice.cases.iter().map(|case| &case.body[..]).collect(),
        Stmt::Try(attempt) => suites_of_try(attempt),
        _ => Vec::new(),
    }
}

/// Those of a `try`: its body, its handlers, and what is behind.
pub fn suites_of_try(attempt: &ast::StmtTry) -> Vec<&[Stmt]> {
    let handlers = attempt.handlers.iter().map(|handler| {
        let ExceptHandler::ExceptHandler(handler) = handler;
        &handler.body[..]
    });
    std::iter::once(&attempt.body[..])
        .chain(handlers)
        .chain([&attempt.orelse[..], &attempt.finalbody[..]])
        .collect()
}

/// The innermost suite with a statement that holds a range, and which one of it that is.
pub fn innermost(body: &[Stmt], range: TextRange) -> Option<(&[Stmt], usize)> {
    let index = body
        .iter()
        .position(|statement| statement.range().contains_range(range))?;
    let deeper = suites_of(&body[index])
        .into_iter()
        .find_map(|suite| innermost(suite, range));
    Some(deeper.unwrap_or((body, index)))
}

#[cfg(test)]
mod tests {
    use super::super::syntax::{TextSize, parse};
    use super::*;

    #[test]
    fn the_innermost_suite_is_found_in_every_kind_of_statement() {
        for text in [
            "x",
            "def f():\n    a\n    x",
            "class A:\n    x",
            "with a:\n    x",
            "for a in b:\n    a\nelse:\n    x",
            "while a:\n    x",
            "if a:\n    a\nelif b:\n    x",
            "match a:\n    case 1:\n        x",
            "try:\n    a\nexcept B:\n    x",
            "try:\n    a\nfinally:\n    if b:\n        x",
        ] {
            let module = parse(text).unwrap();
            let at = TextSize::try_from(text.rfind('x').unwrap()).unwrap();
            let range = TextRange::at(at, 1.into());
            let (suite, index) = innermost(&module.body, range).unwrap();
            assert_eq!(suite[index].range(), range, "{text}");
        }
    }
}
