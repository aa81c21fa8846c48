//! Database URLs, as SQLAlchemy writes them.

use super::asked::Asked;
use crate::core::error::{Error, Result};
use crate::core::pool::settings::Value;
use std::path::{Component, Path, PathBuf};

/// What a database URL points at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A file, by its absolute path without links as far as it exists.
    File(PathBuf),
    /// A database in memory, for the manager's life.
    Memory,
}

impl Target {
    /// What the path means that a connection is opened with; a relative one from `folder`.
    pub fn of_path(path: &Path, folder: impl FnOnce() -> Result<PathBuf>) -> Result<Self> {
        Ok(match path.to_str() {
            Some("" | ":memory:") => Self::Memory,
            _ if path.is_absolute() => Self::File(resolved(path)),
            _ => Self::File(resolved(&folder()?.join(path))),
        })
    }
}

/// A URL that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseUrl {
    pub target: Target,
    /// The options behind the question mark.
    pub options: Vec<(String, String)>,
}

impl DatabaseUrl {
    /// Read a URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` (memory), each with options
    /// (`?pool_size=5&pool_timeout=10`). Relative paths are resolved against `folder`, which is asked for if need be.
    pub fn parse(url: &str, folder: impl FnOnce() -> Result<PathBuf>) -> Result<Self> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(Error::Url(format!(
                "'{url}' is not a database URL; write sqlite:///relative.db or sqlite:////absolute.db"
            )));
        };
        if scheme != "sqlite" {
            // The URL of a server may hold a password.
            let instead = match scheme.starts_with("sqlite") {
                true => "write sqlite://, without the driver's name",
                false => "dbmanager opens SQLite files only (sqlite:///…)",
            };
            return Err(Error::Url(format!(
                "the scheme '{scheme}' is not supported; {instead}"
            )));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let path = rest.strip_prefix('/').unwrap_or(rest);
        if !rest.is_empty() && !rest.starts_with('/') {
            return Err(Error::Url(format!(
                "'{url}' names a host; a SQLite file has three slashes: sqlite:///{rest}"
            )));
        }
        let target = match path {
            "" | ":memory:" => Target::Memory,
            _ if path.contains('\0') => {
                return Err(Error::Url("the URL contains a null character".to_owned()));
            }
            _ if path.starts_with('/') => Target::File(resolved(Path::new(path))),
            _ => Target::File(resolved(&folder()?.join(path))),
        };
        Ok(Self {
            target,
            options: options(url, query)?,
        })
    }

    /// The settings that the options ask for.
    pub fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for (name, text) in &self.options {
            match name.strip_prefix("pragma.") {
                Some(pragma) => asked.pragma(pragma, text),
                None => asked.setting(name, Value::parse(text)),
            }
        }
        asked
    }
}

fn options(url: &str, query: &str) -> Result<Vec<(String, String)>> {
    let mut options: Vec<(String, String)> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| Error::Url(format!("the option '{part}' of '{url}' has no value")))?;
        let (name, value) = (decoded(url, name)?, decoded(url, value)?);
        if options.iter().any(|(known, _)| *known == name) {
            return Err(Error::Url(format!(
                "the option '{name}' is there twice in '{url}'; leave one"
            )));
        }
        options.push((name, value));
    }
    Ok(options)
}

/// A part of a query with its escapes undone.
fn decoded(url: &str, text: &str) -> Result<String> {
    let wrong = || Error::Url(format!("'{text}' in '{url}' has a wrong escape"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| (byte? as char).to_digit(16);
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err(wrong());
                };
                bytes.push((high * 16 + low) as u8);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// A path without links and dots as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let mut path = path.to_owned();
    // Links to a file that is not there yet. The system follows as many.
    for _ in 0..40 {
        let (Ok(target), Some(folder)) = (path.read_link(), path.parent()) else {
            break;
        };
        path = folder.join(target);
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => match parent.canonicalize() {
            Ok(parent) => parent.join(name),
            Err(_) => without_dots(&path),
        },
        _ => path,
    }
}

/// A path of which the folders are not there (yet), so that no link changes what `..` means.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<DatabaseUrl> {
        DatabaseUrl::parse(url, || Ok("/srv/none".into()))
    }

    #[test]
    fn urls_are_read_as_sqlalchemy_writes_them() {
        let file = |path: &str| Target::File(path.into());
        assert_eq!(
            parse("sqlite:///app.db").unwrap().target,
            file("/srv/none/app.db")
        );
        assert_eq!(
            parse("sqlite:////no/app.db").unwrap().target,
            file("/no/app.db")
        );
        assert_eq!(parse("sqlite://").unwrap().target, Target::Memory);
        assert_eq!(parse("sqlite:///:memory:").unwrap().target, Target::Memory);
    }

    #[test]
    fn one_file_is_one_target_whatever_the_spelling() {
        let folder = tempfile::tempdir().unwrap();
        let path = || Ok(folder.path().to_owned());
        let url = |name: &str| DatabaseUrl::parse(&format!("sqlite:///{name}"), path);
        assert_eq!(
            url("no/a.db").unwrap(),
            url("no/../no/./b/../a.db").unwrap()
        );
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        assert_eq!(url("a.db").unwrap(), url("sub/../a.db").unwrap());
        assert_eq!(url("a.db").unwrap(), url("./a.db").unwrap());
        std::os::unix::fs::symlink("../a.db", folder.path().join("sub/link.db")).unwrap();
        std::os::unix::fs::symlink("sub/link.db", folder.path().join("far.db")).unwrap();
        for made in [false, true] {
            if made {
                std::fs::write(folder.path().join("a.db"), b"").unwrap();
            }
            assert_eq!(url("a.db").unwrap(), url("far.db").unwrap());
        }
        std::os::unix::fs::symlink("loop.db", folder.path().join("loop.db")).unwrap();
        assert!(url("loop.db").is_ok());
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let of = |path: &str| Target::of_path(Path::new(path), || Ok("/srv/none".into())).unwrap();
        assert_eq!(of(":memory:"), Target::Memory);
        assert_eq!(of(""), Target::Memory);
        assert_eq!(of("a.db"), Target::File("/srv/none/a.db".into()));
        assert_eq!(of("/no/a?b=%20.db"), Target::File("/no/a?b=%20.db".into()));
        assert_eq!(of("file:a.db"), Target::File("/srv/none/file:a.db".into()));
    }

    #[test]
    fn options_are_settings_and_pragmas() {
        let url = parse("sqlite:///a.db?pool_size=3&pool_recycle=none&pragma.synchronous=FULL");
        let settings = url.unwrap().asked().settings().unwrap();
        assert_eq!(settings.pool_size, 3);
        assert_eq!(settings.pragmas.get("synchronous"), Some("FULL"));
    }

    #[test]
    fn what_is_not_supported_says_what_to_write() {
        for url in [
            "app.db",
            "postgresql://h/db",
            "sqlite://app.db",
            "sqlite:///a?x",
            "sqlite:///a?x=%zz",
            "sqlite:///a?pool_size=3&pool_size=4",
        ] {
            assert!(matches!(parse(url), Err(Error::Url(_))), "{url}");
        }
        let unknown = parse("sqlite:///a?pool_sise=3").unwrap();
        let Err(Error::Setting(text)) = unknown.asked().settings() else {
            panic!("there is no such setting")
        };
        assert!(
            text.contains("pool_sise") && text.contains("pool_size"),
            "{text}"
        );
    }
}
