//! The room for unsafe code: SQLite's C API behind types that can't be misused from safe Rust.
//!
//! rusqlite opens the handle (`core::sqlite::open`); everything that must outlive a borrow of its
//! `Connection` — statements, blobs, callbacks — is here, over the raw handle. Whoever calls SQLite holds
//! the connection's lock (`Database::lock`), because the handle is opened without SQLite's own mutex.

pub mod backup;
pub mod batch;
pub mod blob;
mod counters;
pub mod database;
pub mod edge;
mod fixed;
pub mod function;
mod handle;
pub mod hooks;
pub mod image;
mod inherited;
mod leftovers;
pub mod library;
mod lock;
pub mod statement;

pub use batch::RowBatch;
pub use database::{Database, LockGuard};
pub use inherited::connections_to;
pub use lock::this_thread;
pub use statement::{ColumnValue, Statement, Step};
