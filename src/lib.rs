//! `dbmanager`: one pooled `DatabaseManager` and a drop-in `sqlite3` for Python, on bundled SQLite.
//!
//! `core` is pure Rust and knows nothing of Python; `py` binds it. See `docs/architecture.md`.

pub mod core;
#[cfg(feature = "python")]
mod py;
