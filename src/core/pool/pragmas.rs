//! The pragmas that a managed connection is opened with.

use crate::core::error::{Error, Result};
use crate::core::raw::library::has_pragma;

/// Names, in small letters, and values, in the order in which they were first named. Two are equal if they come to the
/// same, in whatever order and spelling.
#[derive(Debug, Clone)]
pub struct Pragmas(Vec<(String, String)>);

/// What a managed database is set to, unless its settings say otherwise.
const MANAGED: [(&str, &str); 4] = [
    ("busy_timeout", "5000"),
    ("journal_mode", "WAL"),
    ("synchronous", "NORMAL"),
    ("foreign_keys", "ON"),
];

/// What counts for a file that is made goes before what makes it.
const FIRST: [&str; 4] = ["busy_timeout", "encoding", "page_size", "auto_vacuum"];

const JOURNAL_MODES: [&str; 6] = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "OFF"];

// Values of the pragmas that are set by default: SQLite takes any other word for "off", or for NORMAL.
const SWITCH: [&str; 8] = ["ON", "OFF", "YES", "NO", "TRUE", "FALSE", "1", "0"];
const SYNCHRONOUS: [&str; 8] = ["OFF", "NORMAL", "FULL", "EXTRA", "0", "1", "2", "3"];

impl Default for Pragmas {
    fn default() -> Self {
        let managed = MANAGED.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self(managed.into())
    }
}

impl PartialEq for Pragmas {
    fn eq(&self, other: &Self) -> bool {
        let within = |one: &Self, other: &Self| {
            one.0.iter().all(|(name, value)| {
                let another = other.get(name);
                another.is_some_and(|another| meaning(name, value) == meaning(name, another))
            })
        };
        within(self, other) && within(other, self)
    }
}

/// One spelling of the values that have several.
fn meaning(name: &str, value: &str) -> String {
    let words: &[&str] = match name {
        "synchronous" => &["OFF", "NORMAL", "FULL", "EXTRA"],
        "auto_vacuum" => &["NONE", "FULL", "INCREMENTAL"],
        "temp_store" => &["DEFAULT", "FILE", "MEMORY"],
        "journal_mode" => &[],
        _ => &["OFF", "ON"],
    };
    let value = value.to_ascii_uppercase();
    let number = match value.as_str() {
        "NO" | "FALSE" => Some(0),
        "YES" | "TRUE" => Some(1),
        word => match words.iter().position(|known| *known == word) {
            Some(position) => i64::try_from(position).ok(),
            None => word.parse().ok(),
        },
    };
    number.map_or(value, |number| number.to_string())
}

fn is_one_of(value: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(value))
}

impl Pragmas {
    /// Set one, instead of what it was set to.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let is_word = |text: &str, more: &[u8]| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !is_word(name, b"_") {
            return Err(Error::Setting(format!("'{name}' is no name of a pragma")));
        }
        if !is_word(value, b"_-+.") {
            return Err(Error::Setting(format!(
                "'{value}' is no value for PRAGMA {name}: write a number or a word"
            )));
        }
        let name = name.to_ascii_lowercase();
        if !has_pragma(&name) {
            return Err(Error::Setting(format!(
                "SQLite has no PRAGMA {name}; PRAGMA pragma_list gives all that there are"
            )));
        }
        let words = match name.as_str() {
            "journal_mode" => &JOURNAL_MODES[..],
            "foreign_keys" => &SWITCH,
            "synchronous" => &SYNCHRONOUS,
            _ => &[],
        };
        let takes = match name.as_str() {
            "busy_timeout" if !value.parse::<i32>().is_ok_and(|ms| ms >= 0) => {
                format!("milliseconds, up to {}", i32::MAX)
            }
            _ if !words.is_empty() && !is_one_of(value, words) => words.join(", "),
            _ => {
                match self.0.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, known)) => value.clone_into(known),
                    None => self.0.push((name, value.to_owned())),
                }
                return Ok(());
            }
        };
        // SQLite would do otherwise without a word.
        Err(Error::Setting(format!(
            "'{value}' is no value for PRAGMA {name}: it takes {takes}"
        )))
    }

    /// What one is set to.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether one is set to a value, in whatever spelling.
    pub fn comes_to(&self, name: &str, value: &str) -> bool {
        let own = self.get(name);
        own.is_some_and(|own| meaning(name, own) == meaning(name, value))
    }

    /// All, in the order in which they take effect.
    pub fn in_order(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_first = |pragma: &&(String, String)| FIRST.contains(&pragma.0.as_str());
        let others = self.0.iter().filter(move |pragma| !is_first(pragma));
        let all = self.0.iter().filter(is_first).chain(others);
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Those that another one has otherwise, by name, with both values as Python would write them.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let shown =
            |value: Option<&str>| value.map_or("unset".to_owned(), |value| format!("'{value}'"));
        let mut names: Vec<&str> = self.in_order().map(|(name, _)| name).collect();
        names.extend(other.in_order().map(|(name, _)| name));
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .filter(|name| {
                let of = |pragmas: &Self| pragmas.get(name).map(|value| meaning(name, value));
                of(self) != of(other)
            })
            .map(|name| {
                (
                    name.to_owned(),
                    shown(self.get(name)),
                    shown(other.get(name)),
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[(&str, &str)]) -> Pragmas {
        let mut pragmas = Pragmas::default();
        for (name, value) in set {
            pragmas.set(name, value).unwrap();
        }
        pragmas
    }

    #[test]
    fn a_value_that_would_mean_another_is_refused() {
        let mut pragmas = Pragmas::default();
        for (name, wrong, right) in [
            ("foreign_keys", "maybe", "off"),
            ("foreign_keys", "2", "1"),
            ("synchronous", "FUL", "full"),
            ("synchronous", "4", "3"),
        ] {
            let refused = pragmas.set(name, wrong).unwrap_err().to_string();
            assert!(refused.contains("it takes O"), "{refused}");
            pragmas.set(name, right).unwrap();
        }
        assert!(pragmas.set("busy_timeout", "3000000000").is_err());
    }

    #[test]
    fn a_pragma_takes_the_place_of_the_default() {
        let set = with(&[("Synchronous", "FULL")]);
        assert_eq!(set.get("synchronous"), Some("FULL"));
        let names: Vec<_> = set.in_order().map(|(name, _)| name).collect();
        let managed: Vec<_> = MANAGED.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, managed);
    }

    #[test]
    fn a_pragma_that_is_more_than_one_is_refused() {
        let mut pragmas = Pragmas::default();
        assert!(pragmas.set("a; drop table t", "1").is_err());
        assert!(pragmas.set("cache_size", "1; drop table t").is_err());
        assert!(pragmas.set("cache_size", "-2000").is_ok());
    }

    #[test]
    fn what_comes_to_the_same_is_equal() {
        assert_eq!(with(&[("synchronous", "1")]), Pragmas::default());
        assert_eq!(with(&[("busy_timeout", "05000")]), Pragmas::default());
        let vacuum = |value| with(&[("auto_vacuum", value)]);
        assert_eq!(vacuum("full"), vacuum("1"));
        assert_eq!(vacuum("incremental"), vacuum("2"));
        assert_ne!(vacuum("FULL"), vacuum("2"));
        let (one, other) = (("cache_size", "-100"), ("synchronous", "full"));
        assert_eq!(with(&[one, other]), with(&[("synchronous", "2"), one]));
        assert_ne!(with(&[one]), Pragmas::default());
        let differences = with(&[one]).differences(&with(&[other]));
        let named: Vec<_> = differences
            .iter()
            .map(|(name, _, _)| name.as_str())
            .collect();
        assert_eq!(named, ["cache_size", "synchronous"]);
        assert_eq!(differences[0].2, "unset");
    }
}
