//! `DatabaseManager` and `Session`.

use super::connection::Connection;
use super::error::{core_exception, programming_error};
use super::guarded::Guarded;
use super::physical::Physical;
use crate::core::pool::Options;
use crate::core::session::Manager;
use parking_lot::Mutex;
use pyo3::exceptions::{PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;

const DEFAULT_URL: &str = "sqlite:///app.db";

/// The managers of this process by URL. The lock is held for look-ups only; no Python code runs under it.
static MANAGERS: PyOnceLock<Mutex<HashMap<String, Py<DatabaseManager>>>> = PyOnceLock::new();

fn managers(py: Python<'_>) -> &'static Mutex<HashMap<String, Py<DatabaseManager>>> {
    MANAGERS.get_or_init(py, Mutex::default)
}

/// The pooled connections of one database; one object a process and URL.
#[pyclass(frozen, name = "DatabaseManager", module = "dbmanager")]
pub struct DatabaseManager {
    manager: Arc<Manager>,
}

#[pymethods]
impl DatabaseManager {
    #[new]
    #[pyo3(signature = (url=None))]
    fn __new__(py: Python<'_>, url: Option<String>) -> PyResult<Py<Self>> {
        let url = url
            .or_else(|| std::env::var("DATABASE_URL").ok())
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        if let Some(known) = managers(py).lock().get(&url) {
            return Ok(known.clone_ref(py));
        }
        let folder = std::env::current_dir()
            .map_err(|error| PyOSError::new_err(format!("no current directory: {error}")))?;
        let manager = Manager::new(&url, &folder, Options::default())
            .map_err(|error| core_exception(py, error))?;
        let created = Py::new(
            py,
            Self {
                manager: Arc::new(manager),
            },
        )?;
        // Another thread may have been quicker, while the object was made: the first one stays.
        let mut known = managers(py).lock();
        Ok(known.entry(url).or_insert(created).clone_ref(py))
    }

    /// The URL that the manager was made for.
    #[getter]
    fn url(&self) -> &str {
        self.manager.url()
    }

    /// A session: `with db.session() as s:` leases a connection, commits, or rolls back on an exception.
    fn session<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Session>> {
        let session = Session {
            manager: Arc::clone(&self.manager),
            used: Guarded::new(false),
        };
        let base = Connection::unopened("this session is not open; use it within its `with` block");
        Bound::new(py, PyClassInitializer::from(base).add_subclass(session))
    }

    /// The pool's figures; counters since its start end in `_total`.
    fn get_stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self
            .manager
            .statistics()
            .map_err(|error| core_exception(py, error))?;
        let figures = PyDict::new(py);
        for (name, value) in statistics.named() {
            figures.set_item(name, value)?;
        }
        Ok(figures)
    }

    /// Close the idle connections and refuse further sessions; a new manager can be asked for.
    fn close(slf: &Bound<'_, Self>) {
        let py = slf.py();
        let forgotten = {
            let mut known = managers(py).lock();
            let url = slf.get().manager.url();
            match known.get(url) {
                Some(object) if object.is(slf) => known.remove(url),
                _ => None,
            }
        };
        drop(forgotten);
        let manager = Arc::clone(&slf.get().manager);
        py.detach(|| manager.close());
    }

    /// Close and forget every manager of this process. For tests.
    #[staticmethod]
    fn reset(py: Python<'_>) {
        let all = std::mem::take(&mut *managers(py).lock());
        for object in all.values() {
            Self::close(object.bind(py));
        }
    }

    fn __repr__(&self) -> String {
        format!("<dbmanager.DatabaseManager {}>", self.manager.url())
    }
}

/// A connection for the time of a `with` block.
#[pyclass(frozen, extends = Connection, name = "Session", module = "dbmanager")]
pub struct Session {
    manager: Arc<Manager>,
    used: Guarded<bool>,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __new__(
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Err(PyTypeError::new_err(
            "a Session is made by DatabaseManager().session()",
        ))
    }

    /// A session is opened by its `with` block only.
    #[pyo3(signature = (*_args, **_kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Err(programming_error(
            slf.py(),
            "a Session can't be opened anew; ask the DatabaseManager for another one",
        ))
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let this = slf.get();
        if this.used.get(py) {
            let message = if slf.as_super().get().is_open(py) {
                "this session is open already; use it as it is, without another `with`"
            } else {
                "this session was used already; ask the DatabaseManager for another one"
            };
            return Err(programming_error(py, message));
        }
        this.used.set(py, true);
        let manager = Arc::clone(&this.manager);
        let lease = py
            .detach(|| manager.lease())
            .map_err(|error| core_exception(py, error))?;
        slf.as_super()
            .get()
            .lend(py, Physical::Leased(Box::new(lease)));
        Ok(slf.clone())
    }

    #[pyo3(signature = (r#type, value, traceback, /))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        r#type: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = slf.py();
        let connection = slf.as_super().get();
        if let Err(error) = connection.check_thread(py) {
            // Nobody else will come to give it back; what was not committed is rolled back.
            connection.give_up(py);
            return Err(error);
        }
        connection.finish_retired(py);
        if !connection.is_open(py) {
            // Closed within the block: what was not committed by then is gone, as with any connection.
            return Ok(false);
        }
        let failed = !(r#type.is_none() && value.is_none() && traceback.is_none());
        let outcome = match failed {
            true => Ok(()),
            false => connection.lock(py).and_then(|guard| {
                // An open BLOB would keep the COMMIT from going through.
                guard.close_blobs();
                connection.commit_open(py, &guard)
            }),
        };
        // The pool rolls back what is open, after an exception as after a failed commit.
        connection.give_up(py);
        outcome.map(|()| false)
    }
}
