//! One manager a process and database URL: where a URL points, and the registry of managers.

use crate::core::error::{Error, Result};
use crate::core::pool::{Lease, Options, Pool, Statistics};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// What a database URL points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Absolute path of the file.
    pub path: PathBuf,
}

impl Target {
    /// Read a URL as SQLAlchemy writes them: `sqlite:///relative.db`, `sqlite:////absolute.db`.
    /// Relative paths are resolved against `folder`.
    pub fn parse(url: &str, folder: &Path) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::Url(format!(
                "'{url}' is not a database URL; write sqlite:///relative.db or sqlite:////absolute.db"
            )));
        };
        if scheme != "sqlite" {
            return Err(Error::Url(format!(
                "the scheme '{scheme}' of '{url}' is not supported; dbmanager opens SQLite files only \
                 (sqlite:///…)"
            )));
        }
        let path = rest.strip_prefix('/').unwrap_or(rest);
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(Error::Url(format!(
                "'{url}' names a host; a SQLite file has three slashes: sqlite:///{rest}"
            )));
        }
        if path.is_empty() || path == ":memory:" {
            return Err(Error::Url(format!(
                "'{url}' is a database in memory, which each connection would have for itself; give a \
                 file, or use dbmanager.connect(':memory:')"
            )));
        }
        if path.contains('?') {
            return Err(Error::Url(format!(
                "'{url}' has options, which are not supported in a URL"
            )));
        }
        Ok(Self {
            path: folder.join(path),
        })
    }
}

/// The pool of one URL and whether it may still be used.
pub struct Manager {
    url: String,
    pool: Mutex<Option<std::sync::Arc<Pool>>>,
    path: PathBuf,
    options: Options,
    closed: AtomicBool,
}

impl Manager {
    /// A manager; opens nothing yet.
    pub fn new(url: &str, folder: &Path, options: Options) -> Result<Self> {
        let target = Target::parse(url, folder)?;
        Ok(Self {
            url: url.to_owned(),
            pool: Mutex::new(None),
            path: target.path,
            options,
            closed: AtomicBool::new(false),
        })
    }

    /// The URL it was made for.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn pool(&self) -> Result<std::sync::Arc<Pool>> {
        let mut slot = self.pool.lock();
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::ManagerClosed(self.url.clone()));
        }
        let pool = slot.get_or_insert_with(|| {
            std::sync::Arc::new(Pool::new(&self.path, self.options.clone()))
        });
        Ok(std::sync::Arc::clone(pool))
    }

    /// Lend a connection. Blocks; call it without the interpreter.
    pub fn lease(&self) -> Result<Lease> {
        self.pool()?.lease()
    }

    /// The pool's figures.
    pub fn statistics(&self) -> Result<Statistics> {
        Ok(self.pool()?.statistics())
    }

    /// Close the idle connections and refuse further leases; what is lent is closed when it comes back.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let pool = self.pool.lock().take();
        if let Some(pool) = pool {
            pool.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PathBuf> {
        Target::parse(url, Path::new("/srv/app")).map(|target| target.path)
    }

    #[test]
    fn urls_are_read_as_sqlalchemy_writes_them() {
        assert_eq!(
            parse("sqlite:///app.db").unwrap(),
            Path::new("/srv/app/app.db")
        );
        assert_eq!(
            parse("sqlite:////data/app.db").unwrap(),
            Path::new("/data/app.db")
        );
    }

    #[test]
    fn what_is_not_supported_says_what_to_write() {
        for url in [
            "app.db",
            "postgresql://h/db",
            "sqlite://app.db",
            "sqlite://",
            "sqlite:///a?x=1",
        ] {
            assert!(matches!(parse(url), Err(Error::Url(_))), "{url}");
        }
    }

    #[test]
    fn a_closed_manager_lends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let manager = Manager::new("sqlite:///a.db", folder.path(), Options::default()).unwrap();
        drop(manager.lease().unwrap());
        manager.close();
        assert!(matches!(manager.lease(), Err(Error::ManagerClosed(_))));
    }
}
