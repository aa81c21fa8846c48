//! `Connection`: everything that makes SQLite call Python — functions, collations, hooks.

use super::audit;
use super::connection::Connection;
use super::error::{exception, last_exception, operational_error, programming_error};
use super::function::{Aggregate, Scalar};
use super::hook::{Hook, PendingError, report};
use super::names::c_string;
use super::settings::{CInt, Optional};
use super::state::state;
use crate::core::raw::LockGuard;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};
use rusqlite::ffi as sqlite;
use std::cmp::Ordering;
use std::ffi::{CStr, c_int};
use std::sync::Arc;

/// Compare two texts with a Python callable.
fn collate(hook: &Hook, pending: &PendingError, left: &[u8], right: &[u8]) -> Ordering {
    let outcome = hook.enter(|py, callable| {
        // One step may compare often: bail out when an earlier comparison failed.
        if pending.is_set(py) {
            return Ordering::Equal;
        }
        match compare(py, callable, left, right) {
            Ok(ordering) => ordering,
            Err(error) => {
                pending.set(py, error, callable);
                Ordering::Equal
            }
        }
    });
    outcome.unwrap_or(Ordering::Equal)
}

fn compare(
    py: Python<'_>,
    callable: &Bound<'_, PyAny>,
    left: &[u8],
    right: &[u8],
) -> PyResult<Ordering> {
    let left = PyString::from_bytes(py, left)?;
    let right = PyString::from_bytes(py, right)?;
    let result = callable.call1((left, right))?;
    let mut overflow: c_int = 0;
    // SAFETY: any object may be asked; errors are looked at below.
    let value = unsafe { ffi::PyLong_AsLongAndOverflow(result.as_ptr(), &mut overflow) };
    if overflow != 0 {
        return Ok(overflow.cmp(&0));
    }
    if value == -1 && PyErr::take(py).is_some() {
        // Not a number: the stdlib takes it for equal.
        return Ok(Ordering::Equal);
    }
    Ok(value.cmp(&0))
}

fn authorize(hook: &Hook, action: c_int, strings: [Option<&CStr>; 4]) -> c_int {
    let answer = hook.enter(|py, callable| {
        let text = |index: usize| -> PyResult<Option<Bound<'_, PyString>>> {
            strings[index]
                .map(|text| PyString::from_bytes(py, text.to_bytes()))
                .transpose()
        };
        let outcome = (|| {
            let result = callable.call1((action, text(0)?, text(1)?, text(2)?, text(3)?))?;
            if result.is_instance_of::<PyInt>() {
                CInt::of(&result)
            } else {
                Ok(sqlite::SQLITE_DENY)
            }
        })();
        outcome.unwrap_or_else(|error| {
            report(py, error, callable);
            sqlite::SQLITE_DENY
        })
    });
    answer.unwrap_or(sqlite::SQLITE_OK)
}

impl Connection {
    /// Remember a function or collation for the garbage collector, forgetting those that are gone.
    fn watch(&self, py: Python<'_>, hook: &Arc<Hook>) {
        // SAFETY: neither the clean-up nor the push runs Python code.
        let functions = unsafe { self.functions.peek_mut(py) };
        functions.retain(|function| function.strong_count() > 0);
        functions.push(Arc::downgrade(hook));
    }

    fn hook(
        &self,
        py: Python<'_>,
        guard: &LockGuard<'_>,
        callable: &Bound<'_, PyAny>,
    ) -> Arc<Hook> {
        let hook = Arc::new(Hook::new(callable.clone(), guard.database()));
        self.watch(py, &hook);
        hook
    }
}

/// A truth value, False if it was not given.
fn truth(value: &Optional<'_>) -> PyResult<bool> {
    value
        .0
        .as_ref()
        .map_or(Ok(false), |value| value.is_truthy())
}

#[pymethods]
impl Connection {
    /// Creates a new function.
    #[cfg(not(Py_3_13))]
    #[pyo3(signature = (name, narg, func, *, deterministic=Optional(None)),
        text_signature = "($self, /, name, narg, func, *, deterministic=False)")]
    fn create_function(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        narg: CInt,
        func: &Bound<'_, PyAny>,
        deterministic: Optional<'_>,
    ) -> PyResult<()> {
        self.add_function(py, name, narg, func, truth(&deterministic)?)
    }

    /// Creates a new aggregate.
    #[cfg(not(Py_3_13))]
    #[pyo3(signature = (name, n_arg, aggregate_class))]
    fn create_aggregate(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        n_arg: CInt,
        aggregate_class: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.add_aggregate(py, name, n_arg, aggregate_class)
    }

    /// Set authorizer callback.
    #[cfg(not(Py_3_13))]
    #[pyo3(signature = (authorizer_callback))]
    fn set_authorizer(
        &self,
        py: Python<'_>,
        authorizer_callback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.change_authorizer(py, authorizer_callback)
    }

    /// Set progress handler callback.
    #[cfg(not(Py_3_13))]
    #[pyo3(signature = (progress_handler, n))]
    fn set_progress_handler(
        &self,
        py: Python<'_>,
        progress_handler: &Bound<'_, PyAny>,
        n: CInt,
    ) -> PyResult<()> {
        self.change_progress_handler(py, progress_handler, n)
    }

    /// Set a trace callback called for each SQL statement (passed as unicode).
    #[cfg(not(Py_3_13))]
    #[pyo3(signature = (trace_callback))]
    fn set_trace_callback(
        &self,
        py: Python<'_>,
        trace_callback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.change_trace_callback(py, trace_callback)
    }

    /// Creates or redefines an aggregate window function.
    #[pyo3(signature = (name, num_params, aggregate_class, /))]
    fn create_window_function(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        num_params: CInt,
        aggregate_class: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let name = c_string(name, "create_window_function() argument 1")?;
        self.check(py)?;
        let guard = self.lock(py)?;
        let outcome = if aggregate_class.is_none() {
            guard.remove_window(&name, num_params.0)
        } else {
            let hook = self.hook(py, &guard, aggregate_class);
            guard.create_window(&name, num_params.0, Aggregate(hook))
        };
        outcome.map_err(|failure| programming_error(py, failure.message))
    }

    /// Creates a collation function.
    #[pyo3(signature = (name, callback, /))]
    fn create_collation(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        callback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let name = c_string(name, "create_collation() argument 1")?;
        self.check(py)?;
        let guard = self.lock(py)?;
        let code = if callback.is_none() {
            guard.create_collation(&name, None)
        } else if callback.is_callable() {
            let hook = self.hook(py, &guard, callback);
            let pending = Arc::clone(&self.pending);
            let collation = move |left: &[u8], right: &[u8]| collate(&hook, &pending, left, right);
            guard.create_collation(&name, Some(Arc::new(collation)))
        } else {
            return Err(PyTypeError::new_err("parameter must be callable"));
        };
        if code == sqlite::SQLITE_OK {
            return Ok(());
        }
        Err(last_exception(py, &guard))
    }

    /// Enable dynamic loading of SQLite extension modules.
    #[pyo3(signature = (enable, /))]
    fn enable_load_extension(slf: &Bound<'_, Self>, enable: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let enable = enable.is_truthy()?;
        audit::object_and_switch(c"sqlite3.enable_load_extension", slf.as_any(), enable)?;
        slf.get().check(py)?;
        let guard = slf.get().lock(py)?;
        guard
            .enable_load_extension(enable)
            .map_err(|_| operational_error(py, "Error enabling load extension"))
    }

    /// Load SQLite extension module.
    #[pyo3(signature = (name, /, *, entrypoint=None))]
    fn load_extension(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        entrypoint: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let path = c_string(name, "load_extension() argument 1")?;
        let entry = entrypoint
            .map(|entry| c_string(entry, "load_extension() argument 'entrypoint'"))
            .transpose()?;
        audit::object_and_text(c"sqlite3.load_extension", slf.as_any(), &path)?;
        slf.get().check(py)?;
        let guard = slf.get().lock(py)?;
        guard
            .load_extension(&path, entry.as_deref())
            .map_err(|message| operational_error(py, message))
    }
}

/// Since Python 3.13 these warn when their parameters are passed by keyword.
#[cfg(Py_3_13)]
mod since_3_13 {
    use super::*;
    use crate::py::signature::{Parameters, deprecated_keywords};
    use pyo3::types::{PyDict, PyTuple};

    /// Objects for parameters that are all mandatory.
    fn required<'py, const N: usize>(
        function: &'static str,
        names: [&'static str; N],
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<[Bound<'py, PyAny>; N]> {
        let found = Parameters::all_required(function, names).parse(args, kwargs)?;
        Ok(found.map(|object| match object {
            Some(object) => object,
            None => unreachable!("parse refuses missing mandatory parameters"),
        }))
    }

    #[pymethods]
    impl Connection {
        /// Creates a new function.
        #[pyo3(signature = (*args, deterministic=Optional(None), **kwargs), text_signature = "($self, /, name, narg, func, *, deterministic=False)")]
        fn create_function(
            &self,
            py: Python<'_>,
            args: &Bound<'_, PyTuple>,
            deterministic: Optional<'_>,
            kwargs: Option<&Bound<'_, PyDict>>,
        ) -> PyResult<()> {
            let names = ["name", "narg", "func"];
            deprecated_keywords(py, "create_function", &names, kwargs)?;
            let [name, narg, func] = required("create_function", names, args, kwargs)?;
            self.add_function(py, &name, narg.extract()?, &func, truth(&deterministic)?)
        }

        /// Creates a new aggregate.
        #[pyo3(signature = (*args, **kwargs), text_signature = "($self, /, name, n_arg, aggregate_class)")]
        fn create_aggregate(
            &self,
            py: Python<'_>,
            args: &Bound<'_, PyTuple>,
            kwargs: Option<&Bound<'_, PyDict>>,
        ) -> PyResult<()> {
            let names = ["name", "n_arg", "aggregate_class"];
            deprecated_keywords(py, "create_aggregate", &names, kwargs)?;
            let [name, n_arg, class] = required("create_aggregate", names, args, kwargs)?;
            self.add_aggregate(py, &name, n_arg.extract()?, &class)
        }

        /// Set authorizer callback.
        #[pyo3(signature = (*args, **kwargs), text_signature = "($self, /, authorizer_callback)")]
        fn set_authorizer(
            &self,
            py: Python<'_>,
            args: &Bound<'_, PyTuple>,
            kwargs: Option<&Bound<'_, PyDict>>,
        ) -> PyResult<()> {
            let names = ["authorizer_callback"];
            deprecated_keywords(py, "set_authorizer", &names, kwargs)?;
            let [callback] = required("set_authorizer", names, args, kwargs)?;
            self.change_authorizer(py, &callback)
        }

        /// Set progress handler callback.
        #[pyo3(signature = (*args, **kwargs), text_signature = "($self, /, progress_handler, n)")]
        fn set_progress_handler(
            &self,
            py: Python<'_>,
            args: &Bound<'_, PyTuple>,
            kwargs: Option<&Bound<'_, PyDict>>,
        ) -> PyResult<()> {
            let names = ["progress_handler", "n"];
            deprecated_keywords(py, "set_progress_handler", &names[..1], kwargs)?;
            let [callback, n] = required("set_progress_handler", names, args, kwargs)?;
            self.change_progress_handler(py, &callback, n.extract()?)
        }

        /// Set a trace callback called for each SQL statement (passed as unicode).
        #[pyo3(signature = (*args, **kwargs), text_signature = "($self, /, trace_callback)")]
        fn set_trace_callback(
            &self,
            py: Python<'_>,
            args: &Bound<'_, PyTuple>,
            kwargs: Option<&Bound<'_, PyDict>>,
        ) -> PyResult<()> {
            let names = ["trace_callback"];
            deprecated_keywords(py, "set_trace_callback", &names, kwargs)?;
            let [callback] = required("set_trace_callback", names, args, kwargs)?;
            self.change_trace_callback(py, &callback)
        }
    }
}

impl Connection {
    fn add_function(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        narg: CInt,
        func: &Bound<'_, PyAny>,
        deterministic: bool,
    ) -> PyResult<()> {
        let name = c_string(name, "create_function() argument 'name'")?;
        self.check(py)?;
        let guard = self.lock(py)?;
        let hook = self.hook(py, &guard, func);
        guard
            .create_scalar(&name, narg.0, deterministic, Scalar(hook))
            .map_err(|_| operational_error(py, "Error creating function"))
    }

    fn add_aggregate(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        n_arg: CInt,
        class: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let name = c_string(name, "create_aggregate() argument 'name'")?;
        self.check(py)?;
        let guard = self.lock(py)?;
        let hook = self.hook(py, &guard, class);
        guard
            .create_aggregate(&name, n_arg.0, Aggregate(hook))
            .map_err(|_| operational_error(py, "Error creating aggregate"))
    }

    fn change_authorizer(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check(py)?;
        let guard = self.lock(py)?;
        if callback.is_none() {
            guard.set_authorizer(None);
            drop(self.authorizer.take(py));
            return Ok(());
        }
        let hook = Arc::new(Hook::new(callback.clone(), guard.database()));
        let shared = Arc::clone(&hook);
        let code = guard.set_authorizer(Some(Arc::new(move |action, strings| {
            authorize(&shared, action, strings)
        })));
        drop(self.authorizer.replace(py, Some(hook)));
        if code != sqlite::SQLITE_OK {
            return Err(operational_error(py, "Error setting authorizer callback"));
        }
        Ok(())
    }

    fn change_progress_handler(
        &self,
        py: Python<'_>,
        callback: &Bound<'_, PyAny>,
        n: CInt,
    ) -> PyResult<()> {
        self.check(py)?;
        let guard = self.lock(py)?;
        if callback.is_none() {
            guard.set_progress(0, None);
            drop(self.progress.take(py));
            return Ok(());
        }
        let hook = Arc::new(Hook::new(callback.clone(), guard.database()));
        let shared = Arc::clone(&hook);
        let interrupts = move || {
            let answer = shared.enter(|py, callable| {
                let outcome = callable.call0().and_then(|answer| answer.is_truthy());
                outcome.unwrap_or_else(|error| {
                    report(py, error, callable);
                    true
                })
            });
            answer.unwrap_or(false)
        };
        guard.set_progress(n.0, Some(Arc::new(interrupts)));
        drop(self.progress.replace(py, Some(hook)));
        Ok(())
    }

    fn change_trace_callback(&self, py: Python<'_>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
        self.check(py)?;
        let guard = self.lock(py)?;
        if callback.is_none() {
            guard.set_trace(None);
            drop(self.trace.take(py));
            return Ok(());
        }
        let hook = Arc::new(Hook::new(callback.clone(), guard.database()));
        let shared = Arc::clone(&hook);
        guard.set_trace(Some(Arc::new(move |statement| {
            shared.enter(|py, callable| {
                let text = match statement.expanded() {
                    Some(text) => text,
                    None => {
                        let message = "Expanded SQL string exceeds the maximum string length";
                        let error = exception(py, &state(py).exceptions.data_error, message);
                        report(py, error, callable);
                        // Fall back to the text without its values.
                        statement.sql.to_bytes().to_vec()
                    }
                };
                let outcome =
                    PyString::from_bytes(py, &text).and_then(|text| callable.call1((text,)));
                if let Err(error) = outcome {
                    report(py, error, callable);
                }
            });
        })));
        drop(self.trace.replace(py, Some(hook)));
        Ok(())
    }
}
