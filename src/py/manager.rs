//! `DatabaseManager`: the pooled connections of one database.

use super::error::core_exception;
use super::session::{self, Mode, Session};
use crate::core::pool::Settings;
use crate::core::pool::settings::{NAMES, Value};
use crate::core::session::Manager;
use crate::core::session::url::{DatabaseUrl, Target};
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use std::collections::HashMap;
use std::sync::Arc;

const DEFAULT_URL: &str = "sqlite:///app.db";

/// The managers of this process. The lock is held for look-ups only; no Python code runs under it.
#[derive(Default)]
struct Managers {
    by_target: HashMap<Target, Py<DatabaseManager>>,
    /// What a URL was resolved to at its first use; the empty one is that of `DatabaseManager()`.
    by_url: HashMap<String, Target>,
    /// URL and settings by the name that `configure` gave them.
    by_name: HashMap<String, (String, Settings)>,
}

static MANAGERS: PyOnceLock<Mutex<Managers>> = PyOnceLock::new();

fn managers(py: Python<'_>) -> &'static Mutex<Managers> {
    MANAGERS.get_or_init(py, Mutex::default)
}

/// The pooled connections of one database; one object a process and database.
#[pyclass(frozen, name = "DatabaseManager", module = "dbmanager", weakref)]
pub struct DatabaseManager {
    pub(super) manager: Arc<Manager>,
}

/// A value of a setting from Python.
fn value(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Value> {
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
        Err(_) => Err(PyTypeError::new_err(format!(
            "{name} must be a number, a str, True, False or None, not {}",
            super::names::type_name(object)
        ))),
    }
}

/// Write keyword arguments into settings.
fn apply(py: Python<'_>, settings: &mut Settings, given: &Bound<'_, PyDict>) -> PyResult<()> {
    for (name, object) in given.iter() {
        let name: String = name.extract()?;
        if name == "pragmas" {
            let pragmas = object
                .cast::<PyDict>()
                .map_err(|_| PyTypeError::new_err("pragmas must be a dict of names and values"))?;
            for (pragma, set) in pragmas.iter() {
                if set.is_none() {
                    return Err(PyValueError::new_err(format!(
                        "None is no value for PRAGMA {pragma}; write a number, a word, True or False"
                    )));
                }
                let text = match set.is_exact_instance_of::<PyBool>() {
                    true => if set.is_truthy()? { "ON" } else { "OFF" }.to_owned(),
                    false => set.str()?.to_str()?.to_owned(),
                };
                settings
                    .set_pragma(&pragma.extract::<String>()?, &text)
                    .map_err(|error| core_exception(py, error))?;
            }
            continue;
        }
        if !NAMES.contains(&name.as_str()) {
            return Err(PyTypeError::new_err(format!(
                "'{name}' is no setting of a DatabaseManager; there are {}",
                NAMES.join(", ")
            )));
        }
        settings
            .set(&name, &value(&name, &object)?)
            .map_err(|error| core_exception(py, error))?;
    }
    Ok(())
}

/// What a URL means: its target, resolved once, and the settings in it and beside it.
fn resolve(
    py: Python<'_>,
    url: Option<&str>,
    given: Option<&Bound<'_, PyDict>>,
) -> PyResult<(String, Target, Option<Settings>)> {
    let key = url.unwrap_or_default().to_owned();
    let known = managers(py).lock().by_url.get(&key).cloned();
    let text = match url {
        Some(url) => url.to_owned(),
        None => std::env::var("DATABASE_URL").unwrap_or_else(|_| DEFAULT_URL.to_owned()),
    };
    let folder = std::env::current_dir()
        .map_err(|error| PyOSError::new_err(format!("no current directory: {error}")))?;
    let parsed = DatabaseUrl::parse(&text, &folder).map_err(|error| core_exception(py, error))?;
    let target = known.unwrap_or_else(|| parsed.target.clone());
    let has_settings = !parsed.options.is_empty() || given.is_some_and(|given| !given.is_empty());
    let mut settings = None;
    if has_settings {
        let mut all = Settings::default();
        parsed
            .apply(&mut all)
            .map_err(|error| core_exception(py, error))?;
        if let Some(given) = given {
            apply(py, &mut all, given)?;
        }
        settings = Some(all);
    }
    managers(py).lock().by_url.insert(key, target.clone());
    Ok((text, target, settings))
}

impl DatabaseManager {
    /// The manager of a target: the one there is, unless it has other settings, or a new one.
    fn of(
        py: Python<'_>,
        url: &str,
        target: Target,
        settings: Option<Settings>,
    ) -> PyResult<Py<Self>> {
        let known = managers(py)
            .lock()
            .by_target
            .get(&target)
            .map(|known| known.clone_ref(py));
        if let Some(known) = known {
            return Self::as_asked(known, url, settings);
        }
        let manager = Manager::new(url, target.clone(), settings.clone().unwrap_or_default())
            .map_err(|error| core_exception(py, error))?;
        let created = Py::new(
            py,
            Self {
                manager: Arc::new(manager),
            },
        )?;
        // Another thread may have been quicker, while the object was made: the first one stays.
        let first = {
            let mut known = managers(py).lock();
            known
                .by_target
                .entry(target)
                .or_insert(created)
                .clone_ref(py)
        };
        Self::as_asked(first, url, settings)
    }

    /// A manager that there is already, if nobody asks for other settings than it has.
    fn as_asked(known: Py<Self>, url: &str, settings: Option<Settings>) -> PyResult<Py<Self>> {
        let Some(settings) = settings else {
            return Ok(known);
        };
        let manager = &known.get().manager;
        let differences = manager.differences(&settings);
        if differences.is_empty() {
            return Ok(known);
        }
        Err(PyValueError::new_err(format!(
            "there is a DatabaseManager for '{}' already, with other settings than are asked for with \
             '{url}': {}",
            manager.url(),
            differences.join("; ")
        )))
    }

    fn forget(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let forgotten = {
            let mut known = managers(py).lock();
            let target = slf.get().manager.target();
            match known.by_target.get(target) {
                Some(object) if object.is(slf) => {
                    known.by_url.retain(|_, other| other != target);
                    known.by_target.remove(target)
                }
                _ => None,
            }
        };
        drop(forgotten);
    }
}

#[pymethods]
impl DatabaseManager {
    #[new]
    #[pyo3(signature = (url=None, **settings))]
    fn __new__(
        py: Python<'_>,
        url: Option<&Bound<'_, PyAny>>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        let url = match url {
            Some(url) => Some(super::names::string(url, "url")?.to_str()?),
            None => None,
        };
        if let (Some(url), None) = (url, settings) {
            // The common question needs no look at the file system.
            let known = managers(py).lock();
            if let Some(manager) = known.by_url.get(url).and_then(|t| known.by_target.get(t))
                && !url.contains('?')
            {
                return Ok(manager.clone_ref(py));
            }
        }
        let (text, target, settings) = resolve(py, url, settings)?;
        Self::of(py, &text, target, settings)
    }

    /// Name databases: `configure({"app": "sqlite:///app.db", "portfolio": {"url": …, "pool_size": 5}})`.
    #[staticmethod]
    #[pyo3(signature = (databases, /))]
    fn configure(py: Python<'_>, databases: &Bound<'_, PyDict>) -> PyResult<()> {
        let mut named = Vec::new();
        for (name, entry) in databases.iter() {
            let name: String = name.extract()?;
            let (url, given) = match entry.cast::<PyString>() {
                Ok(url) => (url.to_str()?.to_owned(), PyDict::new(py)),
                Err(_) => {
                    let given = entry.cast::<PyDict>().map_err(|_| {
                        PyTypeError::new_err(format!(
                            "the database '{name}' must be a URL, or a dict with 'url' and settings"
                        ))
                    })?;
                    let given = given.copy()?;
                    let Some(url) = given.get_item("url")? else {
                        return Err(PyValueError::new_err(format!(
                            "the database '{name}' has no 'url'"
                        )));
                    };
                    given.del_item("url")?;
                    (url.extract()?, given)
                }
            };
            let (url, _, settings) = resolve(py, Some(&url), Some(&given))?;
            named.push((name, (url, settings.unwrap_or_default())));
        }
        managers(py).lock().by_name.extend(named);
        Ok(())
    }

    /// The manager of a database that was named by `configure`, or in `[tool.dbmanager.databases]` of
    /// pyproject.toml, or in `[databases]` of dbmanager.toml.
    #[staticmethod]
    #[pyo3(signature = (name, /))]
    fn named(py: Python<'_>, name: &str) -> PyResult<Py<Self>> {
        let find = || managers(py).lock().by_name.get(name).cloned();
        let mut found = find();
        if found.is_none() {
            let loaded = py
                .import("dbmanager._config")?
                .call_method0("databases")?
                .cast_into::<PyDict>()?;
            // What was configured in code counts.
            for known in managers(py).lock().by_name.keys() {
                if loaded.contains(known)? {
                    loaded.del_item(known)?;
                }
            }
            Self::configure(py, &loaded)?;
            found = find();
        }
        let Some((url, settings)) = found else {
            let mut known: Vec<String> = managers(py).lock().by_name.keys().cloned().collect();
            known.sort();
            return Err(PyValueError::new_err(format!(
                "no database is named '{name}' ({}); name it with DatabaseManager.configure() or in \
                 [tool.dbmanager.databases] of pyproject.toml",
                match known.is_empty() {
                    true => "none has a name yet".to_owned(),
                    false => format!("there are {}", known.join(", ")),
                }
            )));
        };
        let (text, target, _) = resolve(py, Some(&url), None)?;
        Self::of(py, &text, target, Some(settings))
    }

    /// The URL that the manager was made for.
    #[getter]
    fn url(&self) -> &str {
        self.manager.url()
    }

    /// The settings, by name.
    #[getter]
    fn settings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let literal = py.import("ast")?.getattr("literal_eval")?;
        let settings = PyDict::new(py);
        for (name, text) in self.manager.settings().shown() {
            settings.set_item(name, literal.call1((text,))?)?;
        }
        Ok(settings)
    }

    /// A session: `with db.session() as s:` leases a connection, commits, or rolls back on an exception.
    #[pyo3(signature = (mode="auto", *, join=false))]
    fn session<'py>(slf: &Bound<'py, Self>, mode: &str, join: bool) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let parsed = Mode::parse(mode)?;
        if join {
            return py
                .import("dbmanager._session")?
                .call_method1("Joined", (slf, mode));
        }
        Ok(Session::of(py, &slf.get().manager, parsed)?.into_any())
    }

    /// `session`, to be handed to frameworks that call a class.
    #[getter(Session)]
    fn session_factory<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("session")
    }

    /// The session of this thread that was opened last and is open still, None if there is none.
    fn current_session<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Session>> {
        session::current(py, &self.manager)
    }

    /// Run a function with a session, again if the database was busy: `db.run(lambda s: …)`.
    #[pyo3(signature = (function, /, *, retries=3, mode="write"))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        retries: i128,
        mode: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        Mode::parse(mode)?;
        let retries = u32::try_from(retries).map_err(|_| {
            let most = u32::MAX;
            PyValueError::new_err(format!(
                "retries must be a number from 0 to {most}, not {retries}"
            ))
        })?;
        slf.py()
            .import("dbmanager._session")?
            .call_method1("run", (slf, function, retries, mode))
    }

    /// The pool's figures; counters since its start end in `_total`.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self
            .manager
            .statistics()
            .map_err(|error| core_exception(py, error))?;
        let figures = PyDict::new(py);
        for (name, value) in statistics {
            figures.set_item(name, value)?;
        }
        Ok(figures)
    }

    /// Keep another number of connections, let another number of sessions in.
    #[pyo3(signature = (*, pool_size=None, max_overflow=None))]
    fn resize(
        &self,
        py: Python<'_>,
        pool_size: Option<&Bound<'_, PyAny>>,
        max_overflow: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let mut settings = (*self.manager.settings()).clone();
        for (name, given) in [("pool_size", pool_size), ("max_overflow", max_overflow)] {
            if let Some(given) = given {
                settings
                    .set(name, &value(name, given)?)
                    .map_err(|error| core_exception(py, error))?;
            }
        }
        py.detach(|| self.manager.resize(settings))
            .map_err(|error| core_exception(py, error))
    }

    /// Close the connections that nobody uses. Gives how many.
    fn close_idle(&self, py: Python<'_>) -> u32 {
        py.detach(|| self.manager.close_idle())
    }

    /// Close all connections, those that are lent when they come back.
    fn drain(&self, py: Python<'_>) {
        py.detach(|| self.manager.drain());
    }

    /// Close the idle connections and refuse further sessions; a new manager can be asked for.
    fn close(slf: &Bound<'_, Self>) {
        Self::forget(slf);
        let manager = Arc::clone(&slf.get().manager);
        slf.py().detach(|| manager.close());
    }

    /// Close and forget every manager of this process, and the names of databases. For tests.
    #[staticmethod]
    fn reset(py: Python<'_>) {
        let all = std::mem::take(&mut *managers(py).lock());
        for object in all.by_target.values() {
            Self::close(object.bind(py));
        }
    }

    fn __repr__(&self) -> String {
        format!("<dbmanager.DatabaseManager {}>", self.manager.url())
    }
}

/// Keep at most so many idle connections in the process, over all databases, each with up to three open files.
#[pyfunction]
#[pyo3(signature = (count, /))]
pub fn set_max_idle_connections(py: Python<'_>, count: &Bound<'_, PyInt>) -> PyResult<()> {
    let count: u32 = count.extract().map_err(|_| {
        PyValueError::new_err(format!(
            "count must be a number of connections from 0 to {}, not {count}",
            u32::MAX
        ))
    })?;
    py.detach(|| crate::core::pool::registry::set_max_idle(count));
    Ok(())
}

/// Let a connection keep its last read lock for some milliseconds, or not.
#[pyfunction]
#[pyo3(signature = (enabled, /))]
pub fn set_lingering_locks(py: Python<'_>, enabled: bool) {
    py.detach(|| crate::core::vfs::let_locks_linger(enabled));
}

/// Close all idle connections of the process; registered with `atexit`.
#[pyfunction]
pub fn close_all_pools(py: Python<'_>) {
    py.detach(crate::core::pool::registry::close_all);
    // What is closed later, while the interpreter goes down, can't be logged in Python any more.
    log::set_max_level(log::LevelFilter::Off);
}
