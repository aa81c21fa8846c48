//! A physical connection: the open handle and the statement cache that stays with it.

use super::cache::StatementCache;
use crate::core::error::Result;
use crate::core::raw::Database;
use std::path::Path;
use std::sync::Arc;

/// See the head of this file.
pub struct Connection {
    database: Arc<Database>,
    cache: StatementCache,
}

impl Connection {
    /// Open a file (or `:memory:`), with room for `cached_statements` prepared statements.
    pub fn open(path: &Path, uri: bool, cached_statements: usize) -> Result<Self> {
        let database = super::open::file(path, uri)?;
        Ok(Self::new(database, cached_statements))
    }

    /// Wrap an open handle.
    pub fn new(database: Arc<Database>, cached_statements: usize) -> Self {
        Self {
            database,
            cache: StatementCache::new(cached_statements),
        }
    }

    /// The handle.
    #[inline]
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// How many prepared statements are in the cache now; each holds a reference to the database.
    pub fn statements_kept(&self) -> usize {
        self.cache.idle_len()
    }

    /// The prepared statements that are not in use.
    #[inline]
    pub fn cache(&mut self) -> &mut StatementCache {
        &mut self.cache
    }
}
