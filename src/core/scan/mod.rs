//! Python source: its direct calls of `sqlite3.connect`, what each of them is, and how it is rewritten.

pub mod database;
pub mod files;
pub mod held;
pub mod hits;
pub mod imports;
pub mod names;
pub mod order;
pub mod project;
pub mod report;
pub mod rules;
pub mod services;
pub mod sites;
pub mod source;
pub mod summary;
pub mod syntax;
pub mod usage;
pub mod values;
mod walk;
