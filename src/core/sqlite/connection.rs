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
    left_open: bool,
}

impl Connection {
    /// Open a file (or `:memory:`), possibly on a shared cache, with room for `cached_statements` prepared statements.
    pub fn open(
        path: &Path,
        uri: bool,
        shares_cache: bool,
        cached_statements: usize,
    ) -> Result<Self> {
        let database = super::open::file(path, uri, shares_cache)?;
        Ok(Self::new(database, cached_statements))
    }

    /// Wrap an open handle.
    pub fn new(database: Arc<Database>, cached_statements: usize) -> Self {
        Self {
            database,
            cache: StatementCache::new(cached_statements),
            left_open: false,
        }
    }

    /// Let go of the handle without closing it: statements of cursors still read from it.
    pub fn leave_open(mut self) {
        self.set_left_open();
    }

    /// Don't close the handle when this is dropped; the last statement of a cursor does it.
    pub fn set_left_open(&mut self) {
        self.left_open = true;
        self.cache.clear();
    }

    /// Whether the handle is to stay open.
    pub fn is_left_open(&self) -> bool {
        self.left_open
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

impl Drop for Connection {
    /// Close the handle, whatever cursors and BLOBs are still open on it; but not while something of it is
    /// running on this thread, which holds a reference of its own.
    fn drop(&mut self) {
        if self.left_open {
            return;
        }
        let guard = self.database.lock();
        if guard.can_close() {
            guard.close();
        }
    }
}
