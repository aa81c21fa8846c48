//! Python source: its direct calls of `sqlite3.connect`, what each of them is, and how it is rewritten.

mod callers;
mod case;
pub mod connection;
pub mod database;
pub mod dependence;
mod depth;
mod describe;
mod edits;
mod escapes;
pub mod files;
pub mod flow;
pub mod hazards;
pub mod held;
pub mod hits;
mod importing;
pub mod imports;
mod keepers;
mod layout;
pub mod libraries;
pub mod migration;
pub mod names;
mod nesting;
pub mod order;
mod parallel;
pub mod patches;
pub mod project;
pub mod report;
pub mod rules;
pub mod scanning;
mod schema;
pub mod services;
pub mod sites;
pub mod source;
pub mod sql;
mod suites;
pub mod summary;
pub mod syntax;
mod unused;
pub mod usage;
mod uses;
pub mod values;
pub mod walk;

#[cfg(test)]
mod tests;
