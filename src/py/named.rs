//! Databases by name: those of `configure`, and those of a project's configuration file.

use super::asked::{self, Wish};
use super::manager::{self, DatabaseManager};
use super::names::{string, wrong_argument};
use crate::core::session::url::Target;
use crate::core::sync::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyMapping, PyString};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A database with a name.
struct Named {
    wish: Wish,
    /// Somebody asked for it: it stays what it is.
    is_used: bool,
}

/// The databases by name. The lock is held for look-ups only; no Python code runs under it.
fn names(py: Python<'_>) -> &'static Mutex<BTreeMap<String, Named>> {
    static NAMES: PyOnceLock<Mutex<BTreeMap<String, Named>>> = PyOnceLock::new();
    NAMES.get_or_init(py, Mutex::default)
}

/// An argument as a dict, whatever kind of mapping it is.
fn dict<'py>(
    object: &Bound<'py, PyAny>,
    what: &str,
    expected: &str,
) -> PyResult<Bound<'py, PyDict>> {
    if object.cast::<PyMapping>().is_err() {
        return Err(wrong_argument(object, what, expected));
    }
    let copy = object.py().get_type::<PyDict>().call1((object,))?;
    Ok(copy.cast_into()?)
}

/// What an entry of `configure` asks for.
fn wish(entry: &Bound<'_, PyAny>) -> PyResult<Wish> {
    let py = entry.py();
    if let Ok(url) = entry.cast::<PyString>() {
        return manager::resolve(py, Some(url.to_str()?), None);
    }
    let given = dict(entry, "it", "a URL, or a dict with 'url' and settings")?;
    let Some(url) = given.get_item("url")? else {
        return Err(PyValueError::new_err("it has no 'url'"));
    };
    given.del_item("url")?;
    manager::resolve(py, Some(string(&url, "'url'")?.to_str()?), Some(&given))
}

/// Name databases. The errors tell the name, and the file that it comes from.
fn configure(py: Python<'_>, databases: &Bound<'_, PyDict>, file: Option<&str>) -> PyResult<()> {
    let mut named = Vec::new();
    for (name, entry) in databases.iter() {
        let name = string(&name, "the name of a database")?
            .to_str()?
            .to_owned();
        let wish = wish(&entry).map_err(|error| {
            let place = match file {
                Some(file) => format!("{file}: the database '{name}'"),
                None => format!("the database '{name}'"),
            };
            asked::within(py, &error, &place)
        })?;
        named.push((name, wish));
    }
    let mut names = names(py).lock();
    for (name, wish) in &named {
        let used = names.get(name).filter(|known| known.is_used);
        if let Some(Named { wish: known, .. }) = used
            && !known.is_the_same_as(wish)
        {
            return Err(PyValueError::new_err(format!(
                "the database '{name}' is in use already as {known}, and is now to be {wish}; name databases before \
                 they are asked for, once"
            )));
        }
    }
    for (name, wish) in named {
        let is_used = names.get(&name).is_some_and(|known| known.is_used);
        names.insert(name, Named { wish, is_used });
    }
    Ok(())
}

/// The manager of the database of a name, which keeps its meaning from now on. None if there is no such name.
fn manager_of(py: Python<'_>, name: &str) -> PyResult<Option<Py<DatabaseManager>>> {
    let wish = names(py).lock().get(name).map(|named| named.wish.clone());
    let Some(wish) = wish else {
        return Ok(None);
    };
    let manager = DatabaseManager::of(py, wish)?;
    if let Some(named) = names(py).lock().get_mut(name) {
        named.is_used = true;
    }
    Ok(Some(manager))
}

/// The name of the database at a path, if it has one.
#[pyfunction]
#[pyo3(name = "_name_of", signature = (path, /))]
pub fn name_of(py: Python<'_>, path: PathBuf) -> Option<String> {
    let canonical = path.canonicalize().unwrap_or(path);
    let is_it = |target: &Target| matches!(target, Target::File(file) if *file == canonical);
    let names = names(py).lock();
    let mut found = names.iter().filter(|(_, named)| is_it(&named.wish.target));
    found.next().map(|(name, _)| name.clone())
}

/// The names that there are.
fn known(py: Python<'_>) -> Vec<String> {
    names(py).lock().keys().cloned().collect()
}

#[pymethods]
impl DatabaseManager {
    /// Name databases: `configure({"app": "sqlite:///app.db", "portfolio": {"url": …, "pool_size": 5}})`.
    #[staticmethod]
    #[pyo3(name = "configure", signature = (databases, /))]
    fn configure_databases(py: Python<'_>, databases: &Bound<'_, PyAny>) -> PyResult<()> {
        let databases = dict(databases, "databases", "a dict of names and URLs")?;
        configure(py, &databases, None)
    }

    /// The manager of a database that was named by `configure`, or in `[tool.dbmanager.databases]` of
    /// pyproject.toml, or in `[databases]` of dbmanager.toml.
    #[staticmethod]
    #[pyo3(signature = (name, /))]
    fn named(py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let name = string(name, "name")?.to_str()?;
        if let Some(manager) = manager_of(py, name)? {
            return Ok(manager);
        }
        let (file, loaded): (String, Bound<'_, PyDict>) = py
            .import("dbmanager._config")?
            .call_method0("databases")?
            .extract()?;
        // What was configured in code counts.
        for known in known(py) {
            if loaded.contains(&known)? {
                loaded.del_item(known)?;
            }
        }
        configure(py, &loaded, Some(&file))?;
        if let Some(manager) = manager_of(py, name)? {
            return Ok(manager);
        }
        let known = known(py);
        Err(PyValueError::new_err(format!(
            "no database is named '{name}' ({}); name it with DatabaseManager.configure() or in \
             [tool.dbmanager.databases] of pyproject.toml",
            match known.is_empty() {
                true => "none has a name yet".to_owned(),
                false => format!("there are {}", known.join(", ")),
            }
        )))
    }

    /// Close and forget every manager of this process, and the names of databases. For tests.
    #[staticmethod]
    fn reset(py: Python<'_>) {
        names(py).lock().clear();
        manager::close_all(py);
    }
}
