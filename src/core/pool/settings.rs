//! The settings of a pool, named as SQLAlchemy names them where it has them.

use super::pragmas::Pragmas;
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
    pub pragmas: Pragmas,
    /// Run `PRAGMA optimize` before a connection is closed.
    pub optimize_on_close: bool,
    /// How long after the last session what was committed is brought from the WAL into the file; zero: before it ends.
    pub checkpoint_after: Option<Duration>,
    /// Trust neither the schema nor the SQL: views and triggers may use harmless functions only, and nothing may damage
    /// the file.
    pub defensive: bool,
}

/// The greatest number of a setting; in seconds more than thirty years.
const MOST: f64 = 1e9;

/// The greatest `pool_size`: the memory for the idle connections is taken at once.
const MOST_KEPT: f64 = 1e5;

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
            pragmas: Pragmas::default(),
            optimize_on_close: true,
            checkpoint_after: Some(Duration::from_secs(1)),
            defensive: false,
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
pub const NAMES: [&str; 14] = [
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
    "checkpoint_after",
    "defensive",
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
            "checkpoint_after" => self.checkpoint_after = value.limit(name)?,
            "defensive" => self.defensive = value.truth(name)?,
            _ => {
                return Err(Error::Setting(format!(
                    "'{name}' is no setting; there are {}",
                    NAMES.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// What another one has otherwise, for a message: the name, this one's value and the other one's.
    pub fn differences(&self, other: &Self) -> Vec<(String, String, String)> {
        let mut all: Vec<_> = self
            .shown()
            .into_iter()
            .zip(other.shown())
            .filter(|((name, one), (_, another))| one != another && *name != "pragmas")
            .map(|((name, one), (_, another))| (name.to_owned(), one, another))
            .collect();
        let pragmas = self.pragmas.differences(&other.pragmas);
        all.extend(
            pragmas
                .into_iter()
                .map(|(name, one, another)| (format!("pragma {name}"), one, another)),
        );
        all
    }

    /// Every setting with its value as Python would write it.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let limit = |limit: Option<Duration>| {
            limit.map_or("None".to_owned(), |limit| limit.as_secs_f64().to_string())
        };
        let truth = |truth| if truth { "True" } else { "False" }.to_owned();
        let pragmas: Vec<String> = self
            .pragmas
            .in_order()
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
            ("checkpoint_after", limit(self.checkpoint_after)),
            ("defensive", truth(self.defensive)),
            ("pragmas", format!("{{{}}}", pragmas.join(", "))),
        ]
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

#[cfg(test)]
mod tests {
    use super::*;

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
