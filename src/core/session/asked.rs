//! Settings that somebody asks for, by name. Those that are not named are as they are.

use crate::core::error::Result;
use crate::core::pool::Settings;
use crate::core::pool::settings::Value;

/// See the head of this file. Of two for one name the later one counts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Setting(String, Value),
    Pragma(String, String),
}

impl Asked {
    pub fn setting(&mut self, name: &str, value: Value) {
        self.changes.push(Change::Setting(name.to_owned(), value));
    }

    pub fn pragma(&mut self, name: &str, value: &str) {
        let change = Change::Pragma(name.to_owned(), value.to_owned());
        self.changes.push(change);
    }

    /// Write them into settings. Wrong names and values are errors.
    pub fn apply(&self, settings: &mut Settings) -> Result<()> {
        for change in &self.changes {
            match change {
                Change::Setting(name, value) => settings.set(name, value)?,
                Change::Pragma(name, value) => settings.pragmas.set(name, value)?,
            }
        }
        settings.check()
    }

    /// The settings of somebody who has no others.
    pub fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::default();
        self.apply(&mut settings)?;
        Ok(settings)
    }
}
