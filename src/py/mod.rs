//! The Python module `dbmanager._core`: extract, give the interpreter up, call, wrap. No policy.

mod adapters;
mod ahead;
mod asked;
mod audit;
mod begin;
mod bind;
mod blob;
mod block;
mod buffer;
mod bypass;
mod connection;
mod connection_copy;
mod connection_hooks;
mod connection_methods;
mod connection_statements;
mod constants;
mod cursor;
mod cursor_fetch;
mod cursor_many;
mod cursor_script;
mod error;
mod fetch;
#[cfg(Py_3_12)]
mod finalize;
mod fork;
mod freelist;
mod function;
mod guarded;
mod hook;
mod in_session;
mod interpreter;
mod interruptible;
mod listener;
mod logger;
mod manager;
mod memo;
mod mixed;
mod named;
mod names;
mod open_sessions;
mod physical;
mod plain_text;
mod quick;
mod quick_small;
mod recent;
mod result;
mod row;
mod scan;
mod session;
mod settings;
mod signature;
mod slots;
mod stand_in;
mod state;
mod statement;
mod stdlib_row;
mod text;

use self::state::state;
use crate::core::raw::edge::stop_threads_that_are_ended;
use crate::core::raw::library;
use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use settings::CInt;
use std::sync::atomic::{AtomicBool, Ordering};

static SHARED_CACHE: AtomicBool = AtomicBool::new(false);

/// Whether the process-wide shared cache was ever switched on.
fn shared_cache_enabled() -> bool {
    SHARED_CACHE.load(Ordering::Relaxed)
}

/// Open a connection to an SQLite database.
#[cfg(not(Py_3_12))]
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(database, timeout=5.0, detect_types=0, isolation_level='', \
    check_same_thread=True, factory=..., cached_statements=128, uri=False)")]
fn connect<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    make_connection(args, kwargs)
}

/// Open a connection to an SQLite database.
#[cfg(Py_3_12)]
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(database, timeout=5.0, detect_types=0, isolation_level='', \
    check_same_thread=True, factory=..., cached_statements=128, uri=False, *, autocommit=LEGACY_TRANSACTION_CONTROL)")]
fn connect<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    make_connection(args, kwargs)
}

/// Call the factory among the arguments of `connect`.
fn make_connection<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    const FACTORY_POSITION: usize = 5;
    let py = args.py();
    #[cfg(Py_3_13)]
    signature::deprecated_positions(py, "sqlite3.connect", args.len())?;
    let factory = if args.len() > FACTORY_POSITION {
        Some(args.get_item(FACTORY_POSITION)?)
    } else {
        match kwargs {
            Some(kwargs) => kwargs.get_item("factory")?,
            None => None,
        }
    };
    if bypass::is_calling(py)?
        && let Some(connection) = bypass::connect(args, kwargs, factory.as_ref())?
    {
        return Ok(connection);
    }
    match factory {
        Some(factory) => factory.call(args, kwargs),
        None => py.get_type::<connection::Connection>().call(args, kwargs),
    }
}

/// Adapt given object to given protocol.
#[pyfunction]
#[pyo3(signature = (obj, proto=settings::Optional(None), alt=settings::Optional(None), /),
    text_signature = "(obj, proto=PrepareProtocolType, alt=<unrepresentable>, /)")]
fn adapt<'py>(
    obj: &Bound<'py, PyAny>,
    proto: settings::Optional<'py>,
    alt: settings::Optional<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = obj.py();
    let protocol = match proto.0 {
        Some(protocol) => protocol,
        None => state(py).prepare_protocol.bind(py).clone().into_any(),
    };
    adapters::adapt(obj, &protocol, alt.0.as_ref())
}

/// Register a function to adapt Python objects to SQLite values.
#[pyfunction]
#[pyo3(signature = (r#type, adapter, /))]
fn register_adapter(r#type: &Bound<'_, PyAny>, adapter: &Bound<'_, PyAny>) -> PyResult<()> {
    adapters::register(r#type.py(), r#type, adapter)
}

/// Register a function to convert SQLite values to Python objects.
#[pyfunction]
#[pyo3(signature = (typename, converter, /))]
fn register_converter(typename: &Bound<'_, PyAny>, converter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = typename.py();
    let name: &Bound<'_, PyString> = names::string(typename, "register_converter() argument 1")?;
    let name = name.call_method0("upper")?;
    state(py).converters.bind(py).set_item(name, converter)
}

/// Checks if a string contains a complete SQL statement.
#[pyfunction]
#[pyo3(signature = (statement))]
fn complete_statement(statement: &Bound<'_, PyAny>) -> PyResult<bool> {
    let sql = names::c_string(statement, "complete_statement() argument 'statement'")?;
    Ok(library::is_complete(&sql))
}

/// Enable or disable callback functions throwing errors to stderr.
#[pyfunction]
#[pyo3(signature = (enable, /))]
fn enable_callback_tracebacks(py: Python<'_>, enable: CInt) {
    state(py)
        .callback_tracebacks
        .store(enable.0 != 0, Ordering::Relaxed);
}

/// Enable or disable shared cache mode for the calling thread.
#[pyfunction]
#[pyo3(signature = (do_enable))]
#[cfg(not(Py_3_12))]
fn enable_shared_cache(py: Python<'_>, do_enable: CInt) -> PyResult<()> {
    SHARED_CACHE.store(true, Ordering::Relaxed);
    if library::enable_shared_cache(do_enable.0 != 0) {
        return Ok(());
    }
    Err(error::operational_error(
        py,
        "Changing the shared_cache flag failed",
    ))
}

/// Every compile-time option of the bundled SQLite, without the `SQLITE_` prefix.
#[pyfunction]
fn compile_options() -> Vec<String> {
    library::compile_options()
}

/// Refuse sub-interpreters: the exception classes and registries that the module shares with the stdlib
/// belong to the main one.
fn check_interpreter() -> PyResult<()> {
    // SAFETY: called with an interpreter.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(
        "dbmanager can be used in the main interpreter only, not in a sub-interpreter",
    ))
}

/// Refuse a build that lacks what the module relies on.
fn check_build() -> PyResult<()> {
    let missing = library::missing_options();
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = missing
        .iter()
        .map(|(option, gives)| format!("SQLITE_{option} ({gives})"))
        .collect();
    Err(PyImportError::new_err(format!(
        "dbmanager was built without SQLite options it relies on: {}; build it from a checkout or sdist, \
         whose .cargo/config.toml sets them",
        list.join(", ")
    )))
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    check_interpreter()?;
    check_build()?;
    let state = state::initialise(py)?;
    interpreter::install();
    stop_threads_that_are_ended();
    fork::install(module)?;
    logger::install(module)?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<cursor::Cursor>()?;
    module.add_class::<row::Row>()?;
    module.add_class::<blob::Blob>()?;
    module.add_class::<manager::DatabaseManager>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<result::Result>()?;
    freelist::install(py)?;
    quick::install(py)?;
    quick_small::install(py)?;
    #[cfg(Py_3_13)]
    finalize::install(py);
    connection_methods::seal(py)?;
    cursor::seal(py)?;
    slots::make_immutable::<row::Row>(py);
    slots::make_immutable::<blob::Blob>(py);
    module.add("MixedOpenWarning", state.mixed_open_warning.bind(py))?;
    module.add("PoolTimeout", state.pool_timeout.bind(py))?;
    module.add("NoResultFound", state.no_result_found.bind(py))?;
    module.add(
        "MultipleResultsFound",
        state.multiple_results_found.bind(py),
    )?;
    module.add_function(wrap_pyfunction!(manager::close_all_pools, module)?)?;
    module.add_function(wrap_pyfunction!(manager::_leases, module)?)?;
    module.add_function(wrap_pyfunction!(manager::set_lingering_locks, module)?)?;
    module.add_function(wrap_pyfunction!(mixed::set_mixed_opens, module)?)?;
    module.add_function(wrap_pyfunction!(listener::listen_to_connects, module)?)?;
    module.add_function(wrap_pyfunction!(scan::scan, module)?)?;
    module.add_function(wrap_pyfunction!(scan::migrate, module)?)?;
    module.add_function(wrap_pyfunction!(scan::rules, module)?)?;
    module.add_function(wrap_pyfunction!(scan::services_of_files, module)?)?;
    module.add_function(wrap_pyfunction!(named::name_of, module)?)?;
    module.add_function(wrap_pyfunction!(bypass::set_bypass, module)?)?;
    module.add("_StandIn", module.py().get_type::<stand_in::StandIn>())?;
    block::install(module)?;
    module.add_class::<plain_text::Text>()?;
    module.add_function(wrap_pyfunction!(plain_text::statements, module)?)?;
    module.add_function(wrap_pyfunction!(plain_text::parts_of_attach, module)?)?;
    module.add_function(wrap_pyfunction!(manager::set_max_idle_connections, module)?)?;
    module.add("PrepareProtocol", state.prepare_protocol.bind(py))?;
    module.add("adapters", state.adapters.bind(py))?;
    module.add("converters", state.converters.bind(py))?;
    for (name, class) in state.exceptions.named() {
        module.add(name, class.bind(py))?;
    }
    for (name, value) in constants::ERROR_CODES.iter().chain(constants::OTHERS) {
        module.add(*name, *value)?;
    }
    #[cfg(Py_3_12)]
    {
        for (name, value) in constants::CONFIG_OPTIONS {
            module.add(*name, *value)?;
        }
        module.add(
            "LEGACY_TRANSACTION_CONTROL",
            settings::LEGACY_TRANSACTION_CONTROL,
        )?;
    }
    module.add("sqlite_version", library::version())?;
    // PEP 249: connections may be shared between threads (each is locked).
    module.add("threadsafety", 3)?;
    module.add_function(wrap_pyfunction!(connect, module)?)?;
    module.add_function(wrap_pyfunction!(adapt, module)?)?;
    module.add_function(wrap_pyfunction!(register_adapter, module)?)?;
    module.add_function(wrap_pyfunction!(register_converter, module)?)?;
    module.add_function(wrap_pyfunction!(complete_statement, module)?)?;
    module.add_function(wrap_pyfunction!(enable_callback_tracebacks, module)?)?;
    #[cfg(not(Py_3_12))]
    module.add_function(wrap_pyfunction!(enable_shared_cache, module)?)?;
    module.add_function(wrap_pyfunction!(compile_options, module)?)?;
    module.add_function(wrap_pyfunction!(row::dict_row, module)?)?;
    row::register_dict_row(&module.getattr("dict_row")?);
    Ok(())
}
