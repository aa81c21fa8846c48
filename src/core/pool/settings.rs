//! The settings of a pool, named as SQLAlchemy names them where it has them.

use crate::core::error::{Error, Result};
use std::time::Duration;

/// How a pool and its connections behave. Durations that are None are without a limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Connections that are kept open.
    pub pool_size: u32,
    /// Sessions that may be open at a time beyond `pool_size`; None: any number. Their connections are closed
    /// when they end.
    pub max_overflow: Option<u32>,
    /// How long a session waits for a connection.
    pub pool_timeout: Duration,
    /// Age at which a connection is replaced instead of lent again.
    pub pool_recycle: Option<Duration>,
    /// By how much of `pool_recycle`, at most, a connection's life is shortened at random, so that those that were
    /// opened together don't end together. 0 to 1.
    pub pool_recycle_jitter: f64,
    /// Whether to look, before a connection is lent, if its file is still the one at its path, unchanged by others.
    pub pool_pre_ping: bool,
    /// A connection that was used within this time is lent without that look.
    pub pool_pre_ping_after: Duration,
    /// How long a connection is kept without use.
    pub pool_idle_timeout: Option<Duration>,
    /// Prepared statements kept by each connection.
    pub cached_statements: u32,
    /// Sessions open for longer are reported in the log, with the place that opened them.
    pub leak_detection_threshold: Option<Duration>,
    /// `PRAGMA name = value` for each new connection.
    pub pragmas: Vec<(String, String)>,
    /// Run `PRAGMA optimize` before a connection is closed.
    pub optimize_on_close: bool,
}

/// The greatest number of a setting; in seconds more than thirty years.
const MOST: f64 = 1e9;

/// The greatest `pool_size`: the memory for the idle connections is taken at once.
const MOST_KEPT: f64 = 1e5;

const JOURNAL_MODES: [&str; 6] = ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "WAL", "OFF"];

fn is_journal_mode(word: &str) -> bool {
    JOURNAL_MODES
        .iter()
        .any(|mode| mode.eq_ignore_ascii_case(word))
}

/// What a managed database is set to, unless its settings say otherwise.
const MANAGED: [(&str, &str); 4] = [
    ("busy_timeout", "5000"),
    ("journal_mode", "WAL"),
    ("synchronous", "NORMAL"),
    ("foreign_keys", "ON"),
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            pool_size: 10,
            max_overflow: Some(10),
            pool_timeout: Duration::from_secs(30),
            pool_recycle: None,
            pool_recycle_jitter: 0.1,
            pool_pre_ping: true,
            pool_pre_ping_after: Duration::ZERO,
            pool_idle_timeout: Some(Duration::from_secs(600)),
            cached_statements: 128,
            leak_detection_threshold: None,
            pragmas: MANAGED
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            optimize_on_close: true,
        }
    }
}

/// A value of a setting, whether it comes from a call, a URL or a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    None,
    Truth(bool),
    Number(f64),
    Text(String),
}

impl Value {
    /// Read a value as it stands in a URL.
    pub fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "none" | "null" => Self::None,
            "true" | "yes" | "on" => Self::Truth(true),
            "false" | "no" | "off" => Self::Truth(false),
            _ => match text.parse() {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Text(text.to_owned()),
            },
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("'{text}'"),
        }
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        Error::Setting(format!("{name} must be {expected}, not {}", self.shown()))
    }

    fn count(&self, name: &str, most: f64) -> Result<u32> {
        match *self {
            Self::Number(number) if (0.0..=most).contains(&number) && number.fract() == 0.0 => {
                Ok(number as u32)
            }
            _ => Err(self.wrong(name, &format!("a whole number from 0 to {most}"))),
        }
    }

    fn fraction(&self, name: &str) -> Result<f64> {
        match *self {
            Self::Number(number) => Ok(number),
            _ => Err(self.wrong(name, "a number")),
        }
    }

    fn truth(&self, name: &str) -> Result<bool> {
        match *self {
            Self::Truth(truth) => Ok(truth),
            Self::Number(0.0) => Ok(false),
            Self::Number(1.0) => Ok(true),
            _ => Err(self.wrong(name, "True or False")),
        }
    }

    fn seconds(&self, name: &str) -> Result<Duration> {
        self.duration(name, "seconds", 1.0)
    }

    fn duration(&self, name: &str, unit: &str, seconds: f64) -> Result<Duration> {
        match *self {
            Self::Number(number) if (0.0..=MOST).contains(&number) => {
                Ok(Duration::from_secs_f64(number * seconds))
            }
            _ => Err(self.wrong(name, &format!("a number of {unit} from 0 to {MOST}"))),
        }
    }

    /// None, or a negative number as SQLAlchemy writes it, is no limit.
    fn limit(&self, name: &str) -> Result<Option<Duration>> {
        match *self {
            Self::None => Ok(None),
            Self::Number(number) if number < 0.0 => Ok(None),
            Self::Number(number) if number <= MOST => self.seconds(name).map(Some),
            _ => Err(self.wrong(
                name,
                &format!("a number of seconds up to {MOST}, or None for no limit"),
            )),
        }
    }
}

/// The names of the settings.
pub const NAMES: [&str; 12] = [
    "pool_size",
    "max_overflow",
    "pool_timeout",
    "pool_recycle",
    "pool_recycle_jitter",
    "pool_pre_ping",
    "pool_pre_ping_after_ms",
    "pool_idle_timeout",
    "cached_statements",
    "leak_detection_threshold",
    "optimize_on_close",
    "pragmas",
];

impl Settings {
    /// Those of a database in memory, whose one connection is the database.
    pub fn of_memory(&self) -> Self {
        Self {
            pool_size: 1,
            max_overflow: Some(0),
            pool_recycle: None,
            pool_idle_timeout: None,
            ..self.clone()
        }
    }

    /// Set one by its name (those of `NAMES`, `pragmas` apart). Times are in seconds unless the name says more.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        match name {
            "pool_size" => self.pool_size = value.count(name, MOST_KEPT)?,
            "max_overflow" => {
                self.max_overflow = match value {
                    Value::None => None,
                    Value::Number(number) if *number < 0.0 => None,
                    value => Some(value.count(name, MOST)?),
                }
            }
            "pool_timeout" => self.pool_timeout = value.seconds(name)?,
            "pool_recycle" => self.pool_recycle = value.limit(name)?,
            "pool_recycle_jitter" => self.pool_recycle_jitter = value.fraction(name)?,
            "pool_pre_ping" => self.pool_pre_ping = value.truth(name)?,
            "pool_pre_ping_after_ms" => {
                self.pool_pre_ping_after = value.duration(name, "milliseconds", 0.001)?;
            }
            "pool_idle_timeout" => self.pool_idle_timeout = value.limit(name)?,
            "cached_statements" => self.cached_statements = value.count(name, MOST)?,
            "leak_detection_threshold" => self.leak_detection_threshold = value.limit(name)?,
            "optimize_on_close" => self.optimize_on_close = value.truth(name)?,
            _ => {
                return Err(Error::Setting(format!(
                    "'{name}' is no setting; there are {}",
                    NAMES.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Those settings that two have not in common, as `name=one/other`, for a message.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        self.shown()
            .into_iter()
            .zip(other.shown())
            .filter(|(one, another)| one != another)
            .map(|((name, one), (_, another))| format!("{name}: {one} and {another}"))
            .collect()
    }

    /// What another one has that this one has not, as `name=value`, for a message.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        self.shown()
            .into_iter()
            .zip(other.shown())
            .filter(|(one, another)| one != another)
            .map(|(_, (name, another))| format!("{name}={another}"))
            .collect()
    }

    /// Every setting with its value as Python would write it.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let limit = |limit: Option<Duration>| {
            limit.map_or("None".to_owned(), |limit| limit.as_secs_f64().to_string())
        };
        let truth = |truth| if truth { "True" } else { "False" }.to_owned();
        let pragmas: Vec<String> = self
            .pragmas
            .iter()
            .map(|(name, value)| format!("'{name}': '{value}'"))
            .collect();
        vec![
            ("pool_size", self.pool_size.to_string()),
            (
                "max_overflow",
                self.max_overflow
                    .map_or("-1".to_owned(), |most| most.to_string()),
            ),
            ("pool_timeout", limit(Some(self.pool_timeout))),
            ("pool_recycle", limit(self.pool_recycle)),
            ("pool_recycle_jitter", self.pool_recycle_jitter.to_string()),
            ("pool_pre_ping", truth(self.pool_pre_ping)),
            (
                "pool_pre_ping_after_ms",
                (self.pool_pre_ping_after.as_secs_f64() * 1000.0).to_string(),
            ),
            ("pool_idle_timeout", limit(self.pool_idle_timeout)),
            ("cached_statements", self.cached_statements.to_string()),
            (
                "leak_detection_threshold",
                limit(self.leak_detection_threshold),
            ),
            ("optimize_on_close", truth(self.optimize_on_close)),
            ("pragmas", format!("{{{}}}", pragmas.join(", "))),
        ]
    }

    /// Set a pragma for each new connection, instead of what was set before.
    pub fn set_pragma(&mut self, name: &str, value: &str) -> Result<()> {
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
        let takes = match name.as_str() {
            "busy_timeout" if value.parse::<u32>().is_err() => Some("milliseconds".to_owned()),
            "journal_mode" if !is_journal_mode(value) => Some(JOURNAL_MODES.join(", ")),
            "foreign_keys" if !is_one_of(value, &SWITCH) => Some(SWITCH.join(", ")),
            "synchronous" if !is_one_of(value, &SYNCHRONOUS) => Some(SYNCHRONOUS.join(", ")),
            _ => None,
        };
        if let Some(takes) = takes {
            // SQLite would do otherwise without a word.
            return Err(Error::Setting(format!(
                "'{value}' is no value for PRAGMA {name}: it takes {takes}"
            )));
        }
        self.pragmas.retain(|(known, _)| *known != name);
        self.pragmas.push((name, value.to_owned()));
        Ok(())
    }

    /// The most sessions that can be open at a time; None: any number.
    pub fn most_sessions(&self) -> Option<u32> {
        self.max_overflow
            .map(|overflow| self.pool_size.saturating_add(overflow))
    }

    /// Refuse what makes no sense.
    pub fn check(&self) -> Result<()> {
        if self.most_sessions() == Some(0) {
            return Err(Error::Setting(
                "pool_size and max_overflow are both 0, so there could be no session".to_owned(),
            ));
        }
        if !(0.0..=1.0).contains(&self.pool_recycle_jitter) {
            return Err(Error::Setting(format!(
                "pool_recycle_jitter is a fraction between 0 and 1, not {}",
                self.pool_recycle_jitter
            )));
        }
        Ok(())
    }
}

/// Values of the pragmas that are set by default: SQLite takes any other word for "off", or for NORMAL.
const SWITCH: [&str; 8] = ["ON", "OFF", "YES", "NO", "TRUE", "FALSE", "1", "0"];
const SYNCHRONOUS: [&str; 8] = ["OFF", "NORMAL", "FULL", "EXTRA", "0", "1", "2", "3"];

fn is_one_of(value: &str, known: &[&str]) -> bool {
    known.iter().any(|known| known.eq_ignore_ascii_case(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_would_mean_another_is_refused() {
        let mut settings = Settings::default();
        for (name, wrong, right) in [
            ("foreign_keys", "maybe", "off"),
            ("foreign_keys", "2", "1"),
            ("synchronous", "FUL", "full"),
            ("synchronous", "4", "3"),
        ] {
            let refused = settings.set_pragma(name, wrong).unwrap_err().to_string();
            assert!(refused.contains("it takes O"), "{refused}");
            settings.set_pragma(name, right).unwrap();
        }
    }

    #[test]
    fn a_pragma_takes_the_place_of_the_default() {
        let mut settings = Settings::default();
        settings.set_pragma("Synchronous", "FULL").unwrap();
        let set: Vec<_> = settings
            .pragmas
            .iter()
            .filter(|(name, _)| name == "synchronous")
            .collect();
        assert_eq!(set, [&("synchronous".to_owned(), "FULL".to_owned())]);
    }

    #[test]
    fn a_pragma_that_is_more_than_one_is_refused() {
        let mut settings = Settings::default();
        assert!(settings.set_pragma("a; drop table t", "1").is_err());
        assert!(
            settings
                .set_pragma("cache_size", "1; drop table t")
                .is_err()
        );
        assert!(settings.set_pragma("cache_size", "-2000").is_ok());
    }

    #[test]
    fn settings_without_any_session_are_refused() {
        let settings = Settings {
            pool_size: 0,
            max_overflow: Some(0),
            ..Settings::default()
        };
        assert!(matches!(settings.check(), Err(Error::Setting(_))));
    }
}
