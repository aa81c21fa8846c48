//! Python source: its direct calls of `sqlite3.connect`, what each of them is, and how it is rewritten.

pub mod connection;
pub mod database;
mod describe;
pub mod files;
pub mod flow;
pub mod hazards;
pub mod held;
pub mod hits;
pub mod imports;
pub mod libraries;
pub mod names;
pub mod order;
mod parallel;
pub mod project;
pub mod report;
pub mod rules;
pub mod scanning;
pub mod services;
pub mod sites;
pub mod source;
pub mod summary;
pub mod syntax;
pub mod usage;
pub mod values;
mod walk;

#[cfg(test)]
mod tests;
