//! The core's messages, in Python's `logging`.

use crate::core::raw::edge::StopForeignUnwind;
use log::{LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;
use pyo3_log::Caching;

/// pyo3-log's logger, whose Python code a thread may not come back from when the interpreter is going down.
struct Logger(pyo3_log::Logger);

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        StopForeignUnwind::guard(|| self.0.log(record));
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Send the messages there. Levels are asked for each time, because they may be set late; messages are few.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let logger = pyo3_log::Logger::new(py, Caching::Loggers)?;
    // A second import finds the logger of the first; other extensions of this process have copies of their own.
    if log::set_boxed_logger(Box::new(Logger(logger))).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
    Ok(())
}
