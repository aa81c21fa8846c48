//! Which file a `file:` URI means, by SQLite's rules (sqlite.org/uri.html), so that it shares a pool with its path.

use crate::core::sqlite::open::Access;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// The file of a URI behind its `file:`, and how it is opened. None if it is more than a file: in memory, of another VFS,
/// with a shared cache, or nothing that SQLite takes.
pub fn file(uri: &[u8]) -> Option<(PathBuf, Access)> {
    let (path, query) = parts(uri);
    let path = path_of(path)?;
    Some((path, access(query)?))
}

/// The path in a URI behind its `file:`, whatever its parameters ask for. None if it has none.
pub fn path(uri: &[u8]) -> Option<PathBuf> {
    path_of(parts(uri).0)
}

/// What is before the parameters, and these.
fn parts(uri: &[u8]) -> (&[u8], &[u8]) {
    let end = uri.iter().position(|byte| *byte == b'#');
    let uri = &uri[..end.unwrap_or(uri.len())];
    match uri.iter().position(|byte| *byte == b'?') {
        Some(at) => (&uri[..at], &uri[at + 1..]),
        None => (uri, b""),
    }
}

fn path_of(uri: &[u8]) -> Option<PathBuf> {
    let path = match uri.strip_prefix(b"//") {
        Some(rest) => rest.strip_prefix(b"localhost").unwrap_or(rest),
        None => uri,
    };
    let is_rooted = path.starts_with(b"/");
    if uri.starts_with(b"//") && !is_rooted {
        return None;
    }
    let path = decoded(path)?;
    let is_file = !path.is_empty() && path != b":memory:";
    is_file.then(|| PathBuf::from(OsString::from_vec(path)))
}

/// Whether a name that may be a URI may ask for a shared cache: if it does not plainly ask for none. Parameters may have
/// escapes.
pub fn may_share_cache(name: &[u8]) -> bool {
    let Some(uri) = name.strip_prefix(b"file:") else {
        return false;
    };
    let is_suspect = |part: &[u8]| part.eq_ignore_ascii_case(b"cache") || part[0] == b'%';
    file(uri).is_none() && uri.windows(5).any(is_suspect)
}

/// A text without its escapes; None if one of them stands for NUL.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octet = match first {
            b'%' => after.first_chunk::<2>().and_then(octet),
            _ => None,
        };
        match octet {
            Some(0) => return None,
            Some(octet) => {
                plain.push(octet);
                rest = &after[2..];
            }
            // A sign that is no escape stands for itself.
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    Some(plain)
}

fn octet(digits: &[u8; 2]) -> Option<u8> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let [high, low] = *digits;
    Some((value(high)? * 16 + value(low)?) as u8)
}

/// What the parameters ask for. None if they ask for more, or for one thing twice.
fn access(query: &[u8]) -> Option<Access> {
    let (mut access, mut cache) = (None, None);
    let parameters = query.split(|byte| *byte == b'&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
        let twice = match parameter {
            b"mode=rwc" => access.replace(Access::ReadWriteCreate).is_some(),
            b"mode=rw" => access.replace(Access::ReadWrite).is_some(),
            b"mode=ro" => access.replace(Access::ReadOnly).is_some(),
            b"cache=private" => cache.replace(()).is_some(),
            _ => return None,
        };
        if twice {
            return None;
        }
    }
    Some(access.unwrap_or(Access::ReadWriteCreate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_one_file_mean_that_file() {
        for uri in [
            "/a/b.db",
            "///a/b.db",
            "//localhost/a/b.db",
            "/a/b.db#x?mode=ro",
            "/a/b.db?",
            "/a/b.db?mode=rwc&cache=private",
            "/%61/b%2Edb",
            "/%61/b%2edb?&#",
        ] {
            let expected = (PathBuf::from("/a/b.db"), Access::ReadWriteCreate);
            assert_eq!(file(uri.as_bytes()), Some(expected), "{uri}");
        }
        let (path, access) = file(b"a%3Fb%zz%4?mode=ro").unwrap();
        assert_eq!((path, access), ("a?b%zz%4".into(), Access::ReadOnly));
        let (path, access) = file(b"a.db?mode=rw").unwrap();
        assert_eq!((path, access), ("a.db".into(), Access::ReadWrite));
    }

    #[test]
    fn a_shared_cache_is_suspected_where_none_is_ruled_out() {
        for name in [
            "a.db",
            "file:a.db",
            "file:a.db?cache=private",
            "file:a%20b?mode=ro",
            "cache=shared",
        ] {
            assert!(!may_share_cache(name.as_bytes()), "{name}");
        }
        for name in [
            "file:a.db?cache=shared",
            "file:a.db?c%61che=shared",
            "file:a?mode=memory&Cache=x",
        ] {
            assert!(may_share_cache(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_is_more_than_a_file_is_left_to_sqlite() {
        for uri in [
            "",
            ":memory:",
            "//host/a.db",
            "//a.db",
            "//localhosta.db",
            "a.db?mode=memory",
            "a.db?cache=shared",
            "a.db?immutable=1",
            "a.db?mode=ro&mode=rw",
            "a.db?vfs=unix-none",
            "a%00b.db",
            "?mode=ro",
        ] {
            assert_eq!(file(uri.as_bytes()), None, "{uri}");
        }
    }
}
