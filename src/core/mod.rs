//! The engine, the pool and the sessions in pure Rust: no pyo3 below this line.
//!
//! Imports go down only: `session` → `pool` → `sqlite` → `raw` → `text`, `vfs` → `process`, `thread`, `error`.

pub mod error;
pub mod pool;
pub mod process;
pub mod raw;
pub mod scan;
pub mod session;
pub mod sqlite;
pub mod sync;
pub mod text;
pub mod thread;
pub mod vfs;
