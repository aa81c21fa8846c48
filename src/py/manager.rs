//! `DatabaseManager`: the pooled connections of one database.

use super::asked::{self, Wish};
use super::block::Block;
use super::bypass;
use super::error::core_exception;
use super::in_session::Mode;
use super::listener;
use super::names::{string, wrong_argument};
use super::open_sessions;
use super::session::Session;
use super::settings::Optional;
use crate::core::session::Manager;
use crate::core::session::url::Target;
use crate::core::sync::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The managers of this process. The lock is held for look-ups only; no Python code runs under it.
#[derive(Default)]
struct Managers {
    by_target: HashMap<Target, Py<DatabaseManager>>,
    /// The URLs that were asked for; None is that of `DatabaseManager()`.
    by_url: HashMap<Option<String>, Known>,
}

/// What a URL was resolved to at its first use.
struct Known {
    /// The URL itself, or that of the environment.
    url: String,
    target: Target,
    /// The manager of the target has the settings of the URL.
    is_agreed: bool,
}

static MANAGERS: PyOnceLock<Mutex<Managers>> = PyOnceLock::new();

fn managers(py: Python<'_>) -> &'static Mutex<Managers> {
    MANAGERS.get_or_init(py, Mutex::default)
}

/// What is asked for, with the target of the URL's first use.
pub fn resolve(
    py: Python<'_>,
    url: Option<&str>,
    given: Option<&Bound<'_, PyDict>>,
) -> PyResult<Wish> {
    let key = url.map(str::to_owned);
    let known = managers(py)
        .lock()
        .by_url
        .get(&key)
        .map(|known| (known.url.clone(), known.target.clone()));
    let wish = asked::read(py, url, known, given)?;
    let mut managers = managers(py).lock();
    let known = managers.by_url.entry(key).or_insert_with(|| Known {
        url: wish.url.clone(),
        target: wish.target.clone(),
        is_agreed: false,
    });
    Ok(Wish {
        target: known.target.clone(),
        ..wish
    })
}

/// Close and forget all managers.
pub fn close_all(py: Python<'_>) {
    let all = std::mem::take(&mut *managers(py).lock());
    for object in all.by_target.values() {
        DatabaseManager::close(object.bind(py));
    }
}

/// The pooled connections of one database; one object a process and database.
#[pyclass(frozen, name = "DatabaseManager", module = "dbmanager", weakref)]
pub struct DatabaseManager {
    pub(super) manager: Arc<Manager>,
}

impl DatabaseManager {
    /// The manager of a database: the one there is, unless it has other settings, or a new one.
    pub(super) fn of(py: Python<'_>, wish: Wish) -> PyResult<Py<Self>> {
        let known = managers(py)
            .lock()
            .by_target
            .get(&wish.target)
            .map(|known| known.clone_ref(py));
        if let Some(known) = known {
            return Self::as_asked(py, known, &wish);
        }
        let manager = Manager::new(&wish.url, wish.target.clone(), &wish.asked)
            .map_err(|error| core_exception(py, error))?;
        if !manager
            .settings()
            .checkpoint_after
            .is_some_and(|after| after.is_zero())
        {
            listener::listen_if_possible(py);
        }
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
                .entry(wish.target.clone())
                .or_insert(created)
                .clone_ref(py)
        };
        Self::as_asked(py, first, &wish)
    }

    /// A manager that there is already, if nobody asks for other settings than it has.
    fn as_asked(py: Python<'_>, known: Py<Self>, wish: &Wish) -> PyResult<Py<Self>> {
        let manager = &known.get().manager;
        let differences = manager
            .differences(&wish.asked)
            .map_err(|error| core_exception(py, error))?;
        if differences.is_empty() {
            return Ok(known);
        }
        let differences: Vec<String> = differences
            .into_iter()
            .map(|(name, one, another)| format!("{name}: {one} and {another}"))
            .collect();
        Err(PyValueError::new_err(format!(
            "there is a DatabaseManager for '{}' already, with other settings than are asked for with \
             '{}': {}",
            manager.url(),
            wish.url,
            differences.join("; ")
        )))
    }

    /// Whether sessions for the module whose code is calling are on connections of the stdlib's.
    fn is_plain(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let is_file = matches!(slf.get().manager.target(), Target::File(_));
        Ok(is_file && bypass::is_calling(slf.py())?)
    }

    fn forget(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let forgotten = {
            let mut known = managers(py).lock();
            let target = slf.get().manager.target();
            match known.by_target.get(target) {
                Some(object) if object.is(slf) => {
                    known.by_url.retain(|_, other| other.target != *target);
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
            Some(url) => Some(string(url, "url")?.to_str()?),
            None => None,
        };
        let key = url.map(str::to_owned);
        if settings.is_none() {
            // The common question needs no look at the file system.
            let all = managers(py).lock();
            let known = all.by_url.get(&key).filter(|known| known.is_agreed);
            if let Some(manager) = known.and_then(|known| all.by_target.get(&known.target)) {
                return Ok(manager.clone_ref(py));
            }
        }
        let manager = Self::of(py, resolve(py, url, settings)?)?;
        if settings.is_none()
            && let Some(known) = managers(py).lock().by_url.get_mut(&key)
        {
            known.is_agreed = true;
        }
        Ok(manager)
    }

    /// The manager of a database by its path, as `sqlite3.connect` takes it.
    #[staticmethod]
    #[pyo3(signature = (path, /))]
    fn at(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        let wish = asked::of_path(py, path)?;
        match wish.target {
            Target::File(_) => Self::of(py, wish),
            // Each has its own, as each connection has.
            Target::Memory => {
                let manager = Manager::new(&wish.url, wish.target, &wish.asked)
                    .map_err(|error| core_exception(py, error))?;
                let manager = Arc::new(manager);
                Py::new(py, Self { manager })
            }
        }
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
    #[pyo3(
        signature = (mode=Optional(None), *, join=false),
        text_signature = "($self, mode='auto', *, join=False)"
    )]
    fn session<'py>(
        slf: &Bound<'py, Self>,
        mode: Optional<'py>,
        join: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let parsed = Mode::of(&mode)?;
        let plain = Self::is_plain(slf)?;
        if join {
            return py
                .import("dbmanager._session")?
                .call_method1("Joined", (slf, parsed.name(), plain));
        }
        if plain {
            return py
                .import("dbmanager._plain")?
                .call_method1("session", (slf, parsed.name()));
        }
        Ok(Session::of(py, &slf.get().manager, parsed)?.into_any())
    }

    /// The path of its file, None for a database in memory.
    #[getter]
    fn _path(&self) -> Option<&Path> {
        match self.manager.target() {
            Target::File(path) => Some(path),
            Target::Memory => None,
        }
    }

    /// The block of a new session with a connection of its own.
    fn _block(&self) -> Block {
        Block::new(&self.manager)
    }

    /// `session`, to be handed to frameworks that call a class.
    #[getter(Session)]
    fn session_factory<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.getattr("session")
    }

    /// The session of this thread that was opened last and is open still, None if there is none.
    fn current_session<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        open_sessions::current(py, &self.manager)
    }

    /// Run a function with a session, again if the database was busy: `db.run(lambda s: …)`.
    #[pyo3(
        signature = (function, /, *, retries=Optional(None), mode=Optional(None), join=false),
        text_signature = "($self, function, /, *, retries=3, mode='write', join=False)"
    )]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        function: &Bound<'py, PyAny>,
        retries: Optional<'py>,
        mode: Optional<'py>,
        join: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        if !function.is_callable() {
            return Err(wrong_argument(function, "function", "callable"));
        }
        let mode = match mode.0 {
            None => Mode::Write,
            given => Mode::of(&Optional(given))?,
        };
        let retries = match &retries.0 {
            None => 3,
            Some(given) => match given.cast::<PyInt>() {
                Ok(number) => number.extract::<u32>().map_err(|_| {
                    let most = u32::MAX;
                    PyValueError::new_err(format!(
                        "retries must be a number from 0 to {most}, not {number}"
                    ))
                })?,
                Err(_) => return Err(wrong_argument(given, "retries", "int")),
            },
        };
        let plain = Self::is_plain(slf)?;
        slf.py()
            .import("dbmanager._session")?
            .call_method1("run", (slf, function, retries, mode.name(), join, plain))
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
                    .set(name, &asked::value(name, given)?)
                    .map_err(|error| core_exception(py, error))?;
            }
        }
        py.detach(|| self.manager.resize(settings))
            .map_err(|error| core_exception(py, error))?;
        // What the URLs ask for is to be compared anew.
        let target = self.manager.target();
        for known in managers(py).lock().by_url.values_mut() {
            known.is_agreed &= known.target != *target;
        }
        Ok(())
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

    fn __repr__(&self) -> String {
        format!("<dbmanager.DatabaseManager {}>", self.manager.url())
    }
}

/// How many connections of `connect()` and of sessions are open, by the path of their file.
#[pyfunction]
pub fn _leases(py: Python<'_>) -> Vec<(PathBuf, u32)> {
    py.detach(crate::core::pool::registry::lent)
}

/// Keep at most so many idle connections in the process, over all databases, each with up to five open files.
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
}
