//! What the texts of statements tell a session of a bypassed module, whose statements another copy of SQLite runs.

use super::names::string;
use crate::core::text::effect::{asks_journal_mode, can_be_undone, from_first_word, optimizes};
use crate::core::text::{self, Keyword, effect, script};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The text of a statement.
#[pyclass(frozen, name = "_Text", module = "dbmanager")]
pub struct Text {
    keyword: Keyword,
    is_with: bool,
    asks_journal_mode: bool,
    optimizes: bool,
    /// Whether a transaction can undo it, if it writes.
    #[pyo3(get)]
    can_be_undone: bool,
    /// Whether connections to its file that nobody uses are in its way.
    #[pyo3(get)]
    wants_file_alone: bool,
}

#[pymethods]
impl Text {
    #[new]
    #[pyo3(signature = (sql, /))]
    fn new(sql: &str) -> Self {
        let from_first = from_first_word(sql);
        let keyword = text::leading_keyword(from_first);
        let first = from_first.get(..4).unwrap_or("");
        Self {
            keyword,
            is_with: first.eq_ignore_ascii_case("with"),
            asks_journal_mode: asks_journal_mode(sql),
            optimizes: optimizes(sql),
            can_be_undone: can_be_undone(sql),
            wants_file_alone: keyword == Keyword::Other && effect::wants_alone(sql).is_some(),
        }
    }

    /// Whether it is an ATTACH.
    #[getter]
    fn attaches(&self) -> bool {
        self.keyword == Keyword::Attach
    }

    /// Whether the text alone tells that it writes nothing. (What begins by WITH may write.)
    #[getter]
    fn reads(&self) -> bool {
        match self.keyword {
            Keyword::Explain => true,
            Keyword::Query => !self.is_with,
            _ => false,
        }
    }

    /// Whether it writes, if SQLite says of it that it reads only, or does not.
    #[pyo3(signature = (is_readonly, /))]
    fn writes(&self, is_readonly: bool) -> bool {
        match self.keyword {
            Keyword::Explain => false,
            Keyword::Other if is_readonly => self.optimizes,
            Keyword::Other => !self.asks_journal_mode,
            _ => !is_readonly,
        }
    }
}

/// The statements of a script.
#[pyfunction]
#[pyo3(name = "_statements", signature = (script, /))]
pub fn statements(script: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let script = string(script, "executescript() argument")?.to_str()?;
    if script.contains('\0') {
        return Err(PyValueError::new_err("embedded null character"));
    }
    let all = script::statements(script).into_iter();
    Ok(all.map(str::to_owned).collect())
}

/// An ATTACH, cut around the expression that gives the name of its file; None if it can't be.
#[pyfunction]
#[pyo3(name = "_parts_of_attach", signature = (sql, /))]
pub fn parts_of_attach(sql: &str) -> Option<(&str, &str, &str)> {
    script::parts_of_attach(sql)
}
