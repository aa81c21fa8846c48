//! Connections as the rest of the crate uses them: opening, the statement cache.

pub mod cache;
pub mod connection;
pub mod open;
pub mod spill;

pub use cache::StatementCache;
pub use connection::Connection;
