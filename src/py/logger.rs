//! The core's messages, in Python's `logging`.

use log::{LevelFilter, Log, Metadata, Record};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3_log::Caching;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The interpreter is about to go down.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// How many messages are on their way.
static ON_THE_WAY: AtomicUsize = AtomicUsize::new(0);

/// How long the interpreter's end waits for messages.
const PATIENCE: Duration = Duration::from_secs(1);

/// pyo3-log's logger, as long as the interpreter is there. CPython before 3.14 ends threads that run Python code when it
/// goes down by unwinding them, and the process is aborted when that comes to pyo3's frames.
struct Logger(pyo3_log::Logger);

impl Logger {
    /// Log, and report the exception of a handler, which pyo3-log leaves to whoever looks for one next.
    fn deliver(&self, py: Python<'_>, record: &Record<'_>) {
        let before = PyErr::take(py);
        self.0.log(record);
        match PyErr::take(py) {
            // SAFETY: the interpreter is held. The interrupt comes again where it can be raised.
            Some(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => unsafe {
                ffi::PyErr_SetInterrupt();
            },
            Some(error) => error.write_unraisable(py, None),
            None => {}
        }
        if let Some(error) = before {
            error.restore(py);
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !IS_CLOSED.load(Ordering::SeqCst) && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        ON_THE_WAY.fetch_add(1, Ordering::SeqCst);
        if self.enabled(record.metadata()) {
            Python::attach(|py| self.deliver(py, record));
        }
        ON_THE_WAY.fetch_sub(1, Ordering::SeqCst);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// No further messages; those that are on their way are waited for.
#[pyfunction]
fn close_log(py: Python<'_>) {
    IS_CLOSED.store(true, Ordering::SeqCst);
    py.detach(|| {
        let until = Instant::now() + PATIENCE;
        while ON_THE_WAY.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(100));
        }
    });
}

/// Send the messages there. Levels are asked for each time, because they may be set late; messages are few.
pub fn install(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let logger = pyo3_log::Logger::new(py, Caching::Loggers)?;
    // A second import finds the logger of the first; other extensions of this process have copies of their own.
    if log::set_boxed_logger(Box::new(Logger(logger))).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    // The last of ours that is called, because it is the first that is registered.
    let close = wrap_pyfunction!(close_log, module)?;
    py.import("atexit")?.call_method1("register", (close,))?;
    Ok(())
}
