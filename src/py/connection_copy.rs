//! `Connection`: whole databases and single values — backup, images, BLOBs, dump, configuration.

use super::bind;
use super::blob::Blob;
use super::buffer::{View, bytes_object};
use super::connection::Connection;
use super::error::{core_exception, operational_error};
use super::interpreter::{self, Stretch};
use super::listener;
use super::names::{c_string, wrong_argument};
use super::settings::{CInt, Optional, switch};
use super::state::state;
use crate::core::raw::Database;
use crate::core::raw::backup::{Backup, Progress};
use crate::core::raw::blob;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString};
use rusqlite::ffi as sqlite;
use std::ffi::{CString, c_int};
use std::sync::Arc;
use std::time::Duration;

/// How a backup is to be made.
struct Plan<'a, 'py> {
    pages: c_int,
    progress: Option<&'a Bound<'py, PyAny>>,
    name: CString,
    pause: Duration,
}

impl Connection {
    fn back_up_into(
        &self,
        py: Python<'_>,
        target: &Connection,
        plan: &Plan<'_, '_>,
    ) -> PyResult<()> {
        let (source, destination) = (self.database(py)?, target.database(py)?);
        for database in [&source, &destination] {
            // The copy locks and unlocks them without the interpreter. If its owner is in the middle of a
            // statement, that is waited for.
            if !interpreter::unreserve(py, database) {
                drop(interpreter::lock(py, database));
                interpreter::unreserve(py, database);
            }
        }
        let outcome = target.set_aside(py, || copy(py, &source, &destination, plan));
        // What its progress callback closed.
        self.finish_retired(py);
        target.finish_retired(py);
        outcome
    }
}

/// Copy a database into another one, which nobody else uses meanwhile.
fn copy(
    py: Python<'_>,
    source: &Arc<Database>,
    destination: &Arc<Database>,
    plan: &Plan<'_, '_>,
) -> PyResult<()> {
    let (name, pages, pause) = (&plan.name, plan.pages, plan.pause);
    let mut backup = py
        .detach(|| Backup::begin(source, destination, name))
        .map_err(|error| core_exception(py, error))?;
    loop {
        let state = py
            .detach(|| backup.step(pages))
            .map_err(|error| core_exception(py, error))?;
        let primary = state.code & 0xff;
        if let Some(progress) = plan.progress {
            let Progress {
                remaining,
                page_count,
                ..
            } = state;
            progress.call1((primary, remaining, page_count))?;
        }
        match primary {
            sqlite::SQLITE_OK => {}
            sqlite::SQLITE_BUSY | sqlite::SQLITE_LOCKED => {
                py.detach(|| std::thread::sleep(pause));
            }
            _ => break,
        }
    }
    py.detach(|| backup.finish())
        .map_err(|error| core_exception(py, error))
}

/// Copy a database of ours into a connection of the stdlib's, by way of a file that the stdlib can open:
/// the two copies of SQLite can't work on one handle.
fn back_up_to_stdlib(
    source: &Bound<'_, Connection>,
    target: &Bound<'_, PyAny>,
    plan: &Plan<'_, '_>,
) -> PyResult<()> {
    let py = source.py();
    let Some(stdlib) = &state(py).stdlib else {
        unreachable!("the target is a connection of the stdlib's module, so there is one");
    };
    let folder = py
        .import("tempfile")?
        .getattr("TemporaryDirectory")?
        .call0()?;
    let path = py
        .import("os.path")?
        .call_method1("join", (folder.getattr("name")?, "image.db"))?;
    let outcome = (|| {
        let class = py.get_type::<Connection>();
        let image = class.call1((&path,))?;
        let whole = Plan {
            pages: -1,
            progress: None,
            name: plan.name.clone(),
            pause: plan.pause,
        };
        let typed = image.cast::<Connection>()?;
        source.get().back_up_into(py, typed.get(), &whole)?;
        image.call_method0("close")?;
        let copy = listener::as_ours(|| stdlib.connect.bind(py).call1((&path,)))?;
        let options = PyDict::new(py);
        options.set_item("pages", plan.pages)?;
        options.set_item("progress", plan.progress)?;
        options.set_item("sleep", plan.pause.as_secs_f64())?;
        let copied = copy.call_method("backup", (target,), Some(&options));
        copy.call_method0("close")?;
        copied.map(drop)
    })();
    folder.call_method0("cleanup")?;
    outcome
}

#[pymethods]
impl Connection {
    /// Makes a backup of the database.
    #[pyo3(signature = (target, *, pages=CInt(-1), progress=None, name=Optional(None), sleep=0.25),
        text_signature = "($self, /, target, *, pages=-1, progress=None, name='main',\n       sleep=0.25)")]
    fn backup<'py>(
        slf: &Bound<'py, Self>,
        target: &Bound<'py, PyAny>,
        pages: CInt,
        progress: Option<&Bound<'py, PyAny>>,
        name: Optional<'py>,
        sleep: f64,
    ) -> PyResult<()> {
        let py = slf.py();
        let ours = target.cast::<Connection>().ok();
        let stdlib = state(py).stdlib.as_ref();
        let theirs = match stdlib {
            Some(stdlib) => target.is_instance(stdlib.connection.bind(py))?,
            None => false,
        };
        if ours.is_none() && !theirs {
            let what = "backup() argument 'target'";
            return Err(wrong_argument(target, what, "sqlite3.Connection"));
        }
        let name = schema_name(&name, "backup()")?;
        slf.get().check(py)?;
        if let Some(ours) = ours {
            ours.get().check_open(py)?;
            ours.get().refuse_to_fill(py, "the target of a backup")?;
        }
        if slf.is(target) {
            return Err(PyValueError::new_err(
                "target cannot be the same connection instance",
            ));
        }
        if progress.is_some_and(|progress| !progress.is_callable()) {
            return Err(PyTypeError::new_err("progress argument must be a callable"));
        }
        let plan = Plan {
            pages: if pages.0 == 0 { -1 } else { pages.0 },
            progress,
            name,
            pause: Duration::try_from_secs_f64(sleep).unwrap_or_default(),
        };
        match ours {
            Some(ours) => slf.get().back_up_into(py, ours.get(), &plan),
            None => back_up_to_stdlib(slf, target, &plan),
        }
    }

    /// Serialize a database into a byte string.
    ///
    /// For an ordinary on-disk database file, the serialization is just a copy of the disk file. For an
    /// in-memory database or a "temp" database, the serialization is the same sequence of bytes which would
    /// be written to disk if that database were backed up to disk.
    #[pyo3(signature = (*, name=Optional(None)), text_signature = "($self, /, *, name='main')")]
    fn serialize<'py>(
        &self,
        py: Python<'py>,
        name: Optional<'py>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let name = schema_name(&name, "serialize()")?;
        self.check(py)?;
        let guard = self.lock(py)?;
        let stretch = Stretch::detached_for_others(py, guard.database());
        let image = guard.serialize(&name);
        drop(stretch);
        match image {
            Some(image) => bytes_object(py, image.as_bytes()),
            None => Err(operational_error(
                py,
                format!("unable to serialize '{}'", name.to_string_lossy()),
            )),
        }
    }

    /// Load a serialized database.
    ///
    /// The deserialize interface causes the database connection to disconnect from the target database, and
    /// then reopen it as an in-memory database based on the given serialized data.
    #[pyo3(signature = (data, /, *, name=Optional(None)), text_signature = "($self, data, /, *, name='main')")]
    fn deserialize(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        name: Optional<'_>,
    ) -> PyResult<()> {
        let name = schema_name(&name, "deserialize()")?;
        let view;
        let image = if let Ok(text) = data.cast::<PyString>() {
            text.to_str()?.as_bytes()
        } else {
            view = View::get(data)?;
            view.bytes()
        };
        self.check(py)?;
        if name.as_bytes().eq_ignore_ascii_case(b"main") {
            self.refuse_to_fill(py, "deserialized into")?;
        }
        let guard = self.lock(py)?;
        let stretch = Stretch::detached_for_others(py, guard.database());
        let outcome = guard.deserialize(&name, image);
        drop(stretch);
        outcome.map_err(|error| core_exception(py, error))
    }

    /// Open and return a BLOB object.
    #[pyo3(signature = (table, column, row, /, *, readonly=Optional(None), name=Optional(None)),
        text_signature = "($self, table, column, row, /, *, readonly=False, name='main')")]
    fn blobopen(
        slf: &Bound<'_, Self>,
        table: &Bound<'_, PyAny>,
        column: &Bound<'_, PyAny>,
        row: &Bound<'_, PyAny>,
        readonly: Optional<'_>,
        name: Optional<'_>,
    ) -> PyResult<Blob> {
        let py = slf.py();
        let readonly = switch(readonly.0.as_ref(), false)?;
        let table = c_string(table, "blobopen() argument 1")?;
        let column = c_string(column, "blobopen() argument 2")?;
        if !row.is_instance_of::<PyInt>() {
            return Err(PyTypeError::new_err("expected 'int'"));
        }
        // SAFETY: just checked.
        let row = unsafe { bind::integer(py, row.as_ptr())? };
        let name = schema_name(&name, "blobopen()")?;
        let this = slf.get();
        this.check(py)?;
        let database = this.database(py)?;
        let guard = this.lock(py)?;
        if !readonly && this.is_session(py) {
            this.before_writing(py, &guard, true)?;
        }
        let stretch = Stretch::attached(py, &database);
        let blob = blob::Blob::open(&database, &guard, &name, &table, &column, row, !readonly);
        drop(stretch);
        let blob = blob.map_err(|error| core_exception(py, error))?;
        Ok(Blob::new(slf.clone().unbind(), blob))
    }

    /// Returns iterator to the dump of the database in an SQL text format.
    #[cfg(not(Py_3_13))]
    fn iterdump<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_open(py)?;
        py.import("dbmanager.sqlite3.dump")?
            .call_method1("_iterdump", (slf,))
    }

    /// Returns iterator to the dump of the database in an SQL text format.
    #[cfg(Py_3_13)]
    #[pyo3(signature = (*, filter=None))]
    fn iterdump<'py>(
        slf: &Bound<'py, Self>,
        filter: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().check_open(py)?;
        let options = PyDict::new(py);
        options.set_item("filter", filter)?;
        py.import("dbmanager.sqlite3.dump")?
            .call_method("_iterdump", (slf,), Some(&options))
    }
}

/// Configuration options, since Python 3.12.
#[cfg(Py_3_12)]
#[pymethods]
impl Connection {
    /// Query a boolean connection configuration option.
    #[pyo3(signature = (op, /))]
    fn getconfig(&self, py: Python<'_>, op: CInt) -> PyResult<bool> {
        let op = op.0;
        self.check(py)?;
        known_option(op)?;
        let guard = self.lock(py)?;
        guard
            .config(op, -1)
            .map_err(|error| core_exception(py, error))
    }

    /// Set a boolean connection configuration option.
    #[pyo3(signature = (op, enable=None, /), text_signature = "($self, op, enable=True, /)")]
    fn setconfig(
        &self,
        py: Python<'_>,
        op: CInt,
        enable: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let op = op.0;
        let enable = match enable {
            Some(enable) => enable.is_truthy()?,
            None => true,
        };
        self.check(py)?;
        known_option(op)?;
        let guard = self.lock(py)?;
        let state = guard
            .config(op, c_int::from(enable))
            .map_err(|error| core_exception(py, error))?;
        if state != enable {
            return Err(operational_error(py, "Unable to set config"));
        }
        Ok(())
    }
}

#[cfg(Py_3_12)]
fn known_option(op: c_int) -> PyResult<()> {
    if super::constants::CONFIG_OPTIONS
        .iter()
        .any(|(_, known)| *known == op)
    {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("unknown config 'op': {op}")))
}

fn schema_name(name: &Optional<'_>, function: &str) -> PyResult<CString> {
    match &name.0 {
        Some(name) => c_string(name, &format!("{function} argument 'name'")),
        None => Ok(c"main".to_owned()),
    }
}
