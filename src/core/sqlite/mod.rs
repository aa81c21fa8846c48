//! Connections as the rest of the crate uses them: opening, the statement cache, reading SQL texts.

pub mod cache;
pub mod connection;
pub mod open;
pub mod text;

pub use cache::StatementCache;
pub use connection::Connection;
