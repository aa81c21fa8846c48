//! What the module keeps for the life of the interpreter: the stdlib's exception classes and registries.
//!
//! `dbmanager.sqlite3` is about to be imported in place of the stdlib's module, so the real one is
//! imported here, once, before anyone can replace it. Its classes and its two registries (adapters and
//! converters) are shared on purpose: a service that is not migrated yet registers for both.

use pyo3::exceptions::{PyException, PyImportError, PyRuntimeWarning};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// The classes of PEP 249, in the order of `EXCEPTIONS`.
pub struct Exceptions {
    pub warning: Py<PyType>,
    pub error: Py<PyType>,
    pub interface_error: Py<PyType>,
    pub database_error: Py<PyType>,
    pub data_error: Py<PyType>,
    pub operational_error: Py<PyType>,
    pub integrity_error: Py<PyType>,
    pub internal_error: Py<PyType>,
    pub programming_error: Py<PyType>,
    pub not_supported_error: Py<PyType>,
}

/// See the head of this file.
pub struct State {
    pub exceptions: Exceptions,
    /// `dbmanager.MixedOpenWarning`, a RuntimeWarning.
    pub mixed_open_warning: Py<PyType>,
    /// `dbmanager.PoolTimeout`, an OperationalError.
    pub pool_timeout: Py<PyType>,
    /// `dbmanager.NoResultFound` and `dbmanager.MultipleResultsFound`, ProgrammingErrors.
    pub no_result_found: Py<PyType>,
    pub multiple_results_found: Py<PyType>,
    /// `(type, protocol)` → adapter
    pub adapters: Py<PyDict>,
    /// upper-case type name → converter
    pub converters: Py<PyDict>,
    /// The marker class that adapters are registered for.
    pub prepare_protocol: Py<PyType>,
    /// The stdlib's `Row` and `Cursor`, where there is a stdlib `sqlite3`.
    pub stdlib: Option<Stdlib>,
    /// Report exceptions of callbacks through `sys.unraisablehook`.
    pub callback_tracebacks: AtomicBool,
    /// Size of `adapters` when it was last searched for adapters of plain types; `usize::MAX` when some
    /// plain type has one, so that every parameter must be looked up.
    pub adapters_seen: AtomicUsize,
}

/// Classes of the stdlib's module that an application may hand to us.
pub struct Stdlib {
    pub connection: Py<PyType>,
    pub cursor: Py<PyType>,
    pub row: Py<PyType>,
    pub blob: Py<PyType>,
    /// Its function, whatever others put in its place in the module.
    pub connect: Py<PyAny>,
}

impl Stdlib {
    /// The class that an object of ours names as its `__class__`: the stdlib's (`theirs`), so that `isinstance` holds in code
    /// that knows only that (pandas). An instance of a Python subclass tells its own.
    pub fn class_of<'py>(
        object: &Bound<'py, PyAny>,
        ours: &[Bound<'py, PyType>],
        theirs: impl FnOnce(&Self) -> &Py<PyType>,
    ) -> Bound<'py, PyType> {
        let py = object.py();
        let class = object.get_type();
        match &state(py).stdlib {
            Some(stdlib) if ours.iter().any(|known| class.is(known)) => {
                theirs(stdlib).bind(py).clone()
            }
            _ => class,
        }
    }
}

static STATE: PyOnceLock<State> = PyOnceLock::new();

/// The state; made by the first call, which is the module's import.
#[inline]
pub fn state(py: Python<'_>) -> &'static State {
    match STATE.get(py) {
        Some(state) => state,
        // The module's initialisation runs `initialise` before anything else can be called.
        None => unreachable!("dbmanager._core was used before its import"),
    }
}

/// Import what the state holds. Idempotent.
pub fn initialise(py: Python<'_>) -> PyResult<&'static State> {
    STATE.get_or_try_init(py, || match py.import("_sqlite3") {
        Ok(_) => shared_with_stdlib(py),
        // Python was built without SQLite: everything of our own.
        Err(error) if error.is_instance_of::<PyImportError>(py) => standalone(py),
        Err(error) => Err(error),
    })
}

fn class(module: &Bound<'_, PyModule>, name: &str) -> PyResult<Py<PyType>> {
    Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
}

fn shared_with_stdlib(py: Python<'_>) -> PyResult<State> {
    let module = py.import("sqlite3")?;
    let exceptions = Exceptions {
        warning: class(&module, "Warning")?,
        error: class(&module, "Error")?,
        interface_error: class(&module, "InterfaceError")?,
        database_error: class(&module, "DatabaseError")?,
        data_error: class(&module, "DataError")?,
        operational_error: class(&module, "OperationalError")?,
        integrity_error: class(&module, "IntegrityError")?,
        internal_error: class(&module, "InternalError")?,
        programming_error: class(&module, "ProgrammingError")?,
        not_supported_error: class(&module, "NotSupportedError")?,
    };
    let [
        mixed_open_warning,
        pool_timeout,
        no_result_found,
        multiple_results_found,
    ] = own_classes(py, &exceptions)?;
    Ok(State {
        mixed_open_warning,
        pool_timeout,
        no_result_found,
        multiple_results_found,
        exceptions,
        adapters: module.getattr("adapters")?.cast_into()?.unbind(),
        converters: module.getattr("converters")?.cast_into()?.unbind(),
        prepare_protocol: class(&module, "PrepareProtocol")?,
        stdlib: Some(Stdlib {
            connection: class(&module, "Connection")?,
            cursor: class(&module, "Cursor")?,
            row: class(&module, "Row")?,
            blob: class(&module, "Blob")?,
            connect: py.import("_sqlite3")?.getattr("connect")?.unbind(),
        }),
        callback_tracebacks: AtomicBool::new(false),
        adapters_seen: AtomicUsize::new(0),
    })
}

/// A class without anything of its own.
fn make_class(
    py: Python<'_>,
    module: &str,
    name: &str,
    base: &Bound<'_, PyAny>,
) -> PyResult<Py<PyType>> {
    let namespace = PyDict::new(py);
    namespace.set_item("__module__", module)?;
    let bases = PyTuple::new(py, [base])?;
    let class = py
        .get_type::<PyType>()
        .call1((name, bases, namespace))?
        .cast_into::<PyType>()?;
    Ok(class.unbind())
}

/// The exceptions and the warning that are our own, in the order of `State`.
fn own_classes(py: Python<'_>, exceptions: &Exceptions) -> PyResult<[Py<PyType>; 4]> {
    let own = |name: &str, base: &Bound<'_, PyAny>, text: &str| {
        let class = make_class(py, "dbmanager", name, base)?;
        class.bind(py).setattr("__doc__", text)?;
        Ok::<_, PyErr>(class)
    };
    let programming_error = exceptions.programming_error.bind(py);
    Ok([
        own(
            "MixedOpenWarning",
            &py.get_type::<PyRuntimeWarning>(),
            "A file is open with two copies of SQLite in one process, whose locks can't be kept apart.",
        )?,
        own(
            "PoolTimeout",
            exceptions.operational_error.bind(py),
            "No connection of the pool came free within `pool_timeout` seconds.",
        )?,
        own(
            "NoResultFound",
            programming_error,
            "A row was required, and there was none.",
        )?,
        own(
            "MultipleResultsFound",
            programming_error,
            "One row was required, and there were more.",
        )?,
    ])
}

fn standalone(py: Python<'_>) -> PyResult<State> {
    let make = |name: &str, base: &Bound<'_, PyAny>| make_class(py, "sqlite3", name, base);
    let root = py.get_type::<PyException>();
    let error = make("Error", &root)?;
    let database_error = make("DatabaseError", error.bind(py))?;
    let database = database_error.bind(py);
    let exceptions = Exceptions {
        warning: make("Warning", &root)?,
        interface_error: make("InterfaceError", error.bind(py))?,
        data_error: make("DataError", database)?,
        operational_error: make("OperationalError", database)?,
        integrity_error: make("IntegrityError", database)?,
        internal_error: make("InternalError", database)?,
        programming_error: make("ProgrammingError", database)?,
        not_supported_error: make("NotSupportedError", database)?,
        database_error: database_error.clone_ref(py),
        error: error.clone_ref(py),
    };
    let object = py.import("builtins")?.getattr("object")?;
    let [
        mixed_open_warning,
        pool_timeout,
        no_result_found,
        multiple_results_found,
    ] = own_classes(py, &exceptions)?;
    Ok(State {
        mixed_open_warning,
        pool_timeout,
        no_result_found,
        multiple_results_found,
        exceptions,
        adapters: PyDict::new(py).unbind(),
        converters: PyDict::new(py).unbind(),
        prepare_protocol: make("PrepareProtocol", &object)?,
        stdlib: None,
        callback_tracebacks: AtomicBool::new(false),
        adapters_seen: AtomicUsize::new(0),
    })
}

impl Exceptions {
    /// `(name, class)` for everything that a module or connection shows.
    pub fn named(&self) -> [(&'static str, &Py<PyType>); 10] {
        [
            ("Warning", &self.warning),
            ("Error", &self.error),
            ("InterfaceError", &self.interface_error),
            ("DatabaseError", &self.database_error),
            ("DataError", &self.data_error),
            ("OperationalError", &self.operational_error),
            ("IntegrityError", &self.integrity_error),
            ("InternalError", &self.internal_error),
            ("ProgrammingError", &self.programming_error),
            ("NotSupportedError", &self.not_supported_error),
        ]
    }
}
