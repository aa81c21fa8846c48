//! What Python asks of a `DatabaseManager`: a URL and settings, looked through before anything is made.

use super::error::core_exception;
use super::names::{string, type_name, wrong_argument};
use super::settings::file_system_path;
use crate::core::error::Error;
use crate::core::pool::Settings;
use crate::core::pool::settings::{NAMES, Value};
use crate::core::session::asked::Asked;
use crate::core::session::url::{DatabaseUrl, Target};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const DEFAULT_URL: &str = "sqlite:///app.db";

/// The environment variable with the URL of `DatabaseManager()`.
const VARIABLE: &str = "DATABASE_URL";

/// A database that was asked for.
#[derive(Clone)]
pub struct Wish {
    pub url: String,
    pub target: Target,
    pub asked: Asked,
}

impl Wish {
    /// Whether another one comes to the same.
    pub fn is_the_same_as(&self, other: &Self) -> bool {
        self.target == other.target && self.asked.settings() == other.asked.settings()
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}'", self.url)?;
        if let Target::File(path) = &self.target
            && !self.url.contains(&*path.to_string_lossy())
        {
            write!(formatter, " ({})", path.display())?;
        }
        // The defaults are of no interest.
        let Ok(settings) = self.asked.settings() else {
            return Ok(());
        };
        let differences = Settings::default().differences(&settings);
        let shown: Vec<String> = differences
            .into_iter()
            .map(|(name, _, value)| format!("{name}={value}"))
            .collect();
        match shown.is_empty() {
            true => Ok(()),
            false => write!(formatter, " with {}", shown.join(", ")),
        }
    }
}

/// A value of a setting from Python.
pub fn value(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if object.is_none() {
        return Ok(Value::None);
    }
    if object.is_exact_instance_of::<PyBool>() {
        return Ok(Value::Truth(object.is_truthy()?));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Value::Text(text.to_str()?.to_owned()));
    }
    match object.extract::<f64>() {
        Ok(number) => Ok(Value::Number(number)),
        // Larger than any setting.
        Err(_) if object.is_instance_of::<PyInt>() => Ok(Value::Number(f64::INFINITY)),
        Err(_) => Err(PyTypeError::new_err(format!(
            "{name} must be a number, a str, True, False or None, not {}",
            type_name(object)
        ))),
    }
}

/// Add keyword arguments to what is asked for.
fn add(asked: &mut Asked, given: &Bound<'_, PyDict>) -> PyResult<()> {
    for (name, object) in given.iter() {
        let name = string(&name, "the name of a setting")?.to_str()?;
        if name == "pragmas" {
            let pragmas = object
                .cast::<PyDict>()
                .map_err(|_| wrong_argument(&object, "pragmas", "a dict of names and values"))?;
            for (pragma, set) in pragmas.iter() {
                let pragma = string(&pragma, "the name of a pragma")?.to_str()?;
                if set.is_none() {
                    return Err(PyValueError::new_err(format!(
                        "None is no value for PRAGMA {pragma}; write a number, a word, True or False"
                    )));
                }
                match set.is_exact_instance_of::<PyBool>() {
                    true => asked.pragma(pragma, if set.is_truthy()? { "ON" } else { "OFF" }),
                    false => asked.pragma(pragma, set.str()?.to_str()?),
                }
            }
            continue;
        }
        if !NAMES.contains(&name) {
            return Err(PyTypeError::new_err(format!(
                "'{name}' is no setting of a DatabaseManager; there are {}",
                NAMES.join(", ")
            )));
        }
        asked.setting(name, value(name, &object)?);
    }
    Ok(())
}

/// The URL of `DatabaseManager()`, and where it comes from.
fn default_url() -> PyResult<(String, bool)> {
    match std::env::var(VARIABLE) {
        Ok(url) if url.is_empty() => Err(PyValueError::new_err(format!(
            "the environment variable {VARIABLE} is empty; unset it (then it is {DEFAULT_URL}), or write \
             sqlite:///relative.db or sqlite:////absolute.db"
        ))),
        Ok(url) => Ok((url, true)),
        Err(std::env::VarError::NotPresent) => Ok((DEFAULT_URL.to_owned(), false)),
        Err(error) => Err(PyValueError::new_err(format!(
            "the environment variable {VARIABLE}: {error}"
        ))),
    }
}

/// What is asked for with a URL, that of the environment if there is none, and with settings beside it. What a URL was
/// resolved to at its first use is `known`.
pub fn read(
    py: Python<'_>,
    url: Option<&str>,
    known: Option<(String, Target)>,
    given: Option<&Bound<'_, PyDict>>,
) -> PyResult<Wish> {
    let (known, (url, is_of_environment)) = match (known, url) {
        (Some((url, target)), _) => (Some(target), (url, false)),
        (None, Some(url)) => (None, (url.to_owned(), false)),
        (None, None) => (None, default_url()?),
    };
    let folder = || {
        if known.is_some() {
            // It leads to nothing.
            return Ok(PathBuf::from("/"));
        }
        std::env::current_dir().map_err(|error| {
            Error::File(format!(
                "the relative path in '{url}' leads nowhere, because the working directory can't be told: {error}"
            ))
        })
    };
    let looked_through = DatabaseUrl::parse(&url, folder).and_then(|parsed| {
        let asked = parsed.asked();
        asked.settings()?;
        Ok((known.clone().unwrap_or(parsed.target), asked))
    });
    let (target, mut asked) = looked_through.map_err(|error| {
        let error = core_exception(py, error);
        match is_of_environment {
            true => within(py, &error, &format!("the environment variable {VARIABLE}")),
            false => error,
        }
    })?;
    if let Some(given) = given {
        add(&mut asked, given)?;
        asked
            .settings()
            .map_err(|error| core_exception(py, error))?;
    }
    Ok(Wish { url, target, asked })
}

/// What is asked for with a path, as `connect` takes it, and without settings.
pub fn of_path(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Wish> {
    let bytes = file_system_path(path)?;
    let path = PathBuf::from(OsStr::from_bytes(bytes.as_bytes()));
    let folder = || {
        std::env::current_dir().map_err(|error| {
            Error::File(format!(
                "the relative path '{}' leads nowhere, because the working directory can't be told: {error}",
                path.display()
            ))
        })
    };
    let target = py.detach(|| Target::of_path(&path, folder));
    let target = target.map_err(|error| core_exception(py, error))?;
    let url = match &target {
        Target::Memory => "sqlite://".to_owned(),
        Target::File(path) => format!("sqlite:///{}", path.display()),
    };
    Ok(Wish {
        url,
        target,
        asked: Asked::default(),
    })
}

/// An error with the place in front of its text.
pub fn within(py: Python<'_>, error: &PyErr, place: &str) -> PyErr {
    let message = format!("{place}: {}", error.value(py));
    PyErr::from_type(error.get_type(py), message)
}
