//! What a connection object works on: a connection of its own, or one lent by a pool.

use crate::core::error::Result;
use crate::core::pool::Lease;
use crate::core::pool::registry::{self, Opened};
use crate::core::raw::Database;
use crate::core::sqlite::{Connection, StatementCache};
use crate::core::text::effect::Alone;
use std::path::Path;
use std::sync::Arc;

pub enum Physical {
    Private(Box<Connection>),
    Leased(Box<Lease>),
}

impl Physical {
    /// Open a database as `sqlite3.connect` does. Blocks.
    pub fn open(path: &Path, uri: bool, shares_cache: bool, cached: usize) -> Result<Self> {
        Ok(match registry::connect(path, uri, shares_cache, cached)? {
            Opened::Pooled(lease) => Self::Leased(lease),
            Opened::Private(connection) => Self::Private(connection),
        })
    }

    /// `open` where that takes no time.
    pub fn open_at_once(path: &Path, uri: bool, shares_cache: bool, cached: usize) -> Option<Self> {
        registry::connect_at_once(path, uri, shares_cache, cached)
            .map(|lease| Self::Leased(Box::new(lease)))
    }

    /// Whether `finish` takes no time.
    pub fn finishes_at_once(&self) -> bool {
        match self {
            Self::Private(_) => false,
            Self::Leased(lease) => lease.is_clean(),
        }
    }

    #[inline]
    fn connection(&self) -> &Connection {
        match self {
            Self::Private(connection) => connection,
            Self::Leased(lease) => lease.connection(),
        }
    }

    #[inline]
    pub fn database(&self) -> &Arc<Database> {
        self.connection().database()
    }

    #[inline]
    pub fn cache(&mut self) -> &mut StatementCache {
        match self {
            Self::Private(connection) => connection.cache(),
            Self::Leased(lease) => lease.connection_mut().cache(),
        }
    }

    /// Close it when it is finished with, even if it is lent.
    pub fn keep_no_longer(&mut self) {
        if let Self::Leased(lease) = self {
            lease.keep_no_longer();
        }
    }

    pub fn statements_kept(&self) -> usize {
        self.connection().statements_kept()
    }

    /// Let go of it without closing it: cursors still read from it.
    pub fn leave_open(self) {
        match self {
            Self::Private(connection) => connection.leave_open(),
            Self::Leased(lease) => lease.leave_open(),
        }
    }

    /// Close the own connection or give the lent one back. Blocks; without the interpreter. Gives the
    /// connection back to the caller when something of it is still running on this thread.
    pub fn finish(self) -> Option<Self> {
        let database = Arc::clone(self.database());
        let guard = database.lock();
        if !guard.can_close() {
            return Some(self);
        }
        let mut files = Vec::new();
        if let Self::Private(_) = self {
            files = guard.files(&Alone::All);
            guard.close();
        }
        drop(guard);
        drop(self);
        // The close would have emptied their WAL, if no idle connection of a pool had them open.
        for file in files {
            registry::file_now(&file);
        }
        None
    }
}
