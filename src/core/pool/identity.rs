//! Which file a path names at this moment, and whether it has changed behind our back.

use crate::core::sqlite::open::Access;
use std::ffi::{CString, OsStr};
use std::fs::{self, Metadata};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file, whatever its name: device and inode, and when that was made, because the number of a removed file's inode is
/// given to the next file. (Not every file system tells the time.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
    made: Option<SystemTime>,
}

/// What changes when somebody writes into a file or puts another one in its place, even with the old times set
/// (which moves the time of the last change of status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A look at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub id: FileId,
    pub stamp: Stamp,
    /// It has more than one name. Its journals are called after the name by which it was opened, so each name
    /// is a database of its own.
    pub has_other_names: bool,
    /// Neither a folder nor a device.
    pub is_file: bool,
}

impl Look {
    /// Look at what a path names. One system call.
    pub fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::of(&metadata))
    }

    fn of(metadata: &Metadata) -> Self {
        Self {
            id: FileId {
                device: metadata.dev(),
                inode: metadata.ino(),
                made: metadata.created().ok(),
            },
            stamp: Stamp {
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            has_other_names: metadata.nlink() > 1,
            is_file: metadata.is_file(),
        }
    }
}

/// A file beside a database file that is called after it.
#[derive(Debug, Clone)]
pub struct Beside(CString);

impl Beside {
    /// Its `-wal` file.
    pub fn wal(path: &Path) -> Self {
        Self::of(path, b"-wal")
    }

    /// Its `-shm` file, the WAL's index.
    pub fn shm(path: &Path) -> Self {
        Self::of(path, b"-shm")
    }

    fn of(path: &Path, ending: &[u8]) -> Self {
        let mut name = path.as_os_str().as_bytes().to_vec();
        name.extend_from_slice(ending);
        // A path with a NUL names no file, and neither does an empty one.
        Self(CString::new(name).unwrap_or_default())
    }

    /// Whether it is there and not empty.
    pub fn has_content(&self) -> bool {
        let path = Path::new(OsStr::from_bytes(self.0.as_bytes()));
        fs::metadata(path).is_ok_and(|metadata| metadata.size() > 0)
    }

    /// Whether it is there. One system call, and a cheaper one than a look.
    #[inline]
    pub fn exists(&self) -> bool {
        // SAFETY: the name is a C string.
        unsafe { libc::access(self.0.as_ptr(), libc::F_OK) == 0 }
    }
}

/// What a pool is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub file: FileId,
    /// The canonical path, for a file with several names only: one of a single name is known by its inode.
    pub name: Option<PathBuf>,
    /// Connections opened differently are never lent for each other.
    pub access: Access,
}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Few pools have the rest in common only.
        state.write_u64(self.file.inode);
    }
}

impl Identity {
    /// The identity of a database in memory, of which no other knows.
    pub fn of_memory() -> Self {
        Self {
            file: FileId {
                device: 0,
                inode: 0,
                made: None,
            },
            name: None,
            access: Access::Memory,
        }
    }

    /// The identity of what was seen at a path.
    pub fn of(path: &Path, look: &Look, access: Access) -> io::Result<Self> {
        let name = match look.has_other_names {
            true => Some(fs::canonicalize(path)?),
            false => None,
        };
        Ok(Self {
            file: look.id,
            name,
            access,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_file_keeps_its_identity_by_another_path_but_not_by_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, b"a").unwrap();
        std::os::unix::fs::symlink(&path, folder.path().join("link.db")).unwrap();
        let identity = |path: &Path| {
            Identity::of(path, &Look::at(path).unwrap(), Access::ReadWriteCreate).unwrap()
        };
        assert_eq!(identity(&path), identity(&folder.path().join("link.db")));
        fs::hard_link(&path, folder.path().join("name.db")).unwrap();
        assert_ne!(identity(&path), identity(&folder.path().join("name.db")));
    }

    #[test]
    fn a_file_that_has_the_number_of_a_removed_one_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut seen = std::collections::HashSet::new();
        for _ in 0..50 {
            fs::write(&path, b"a").unwrap();
            let look = Look::at(&path).unwrap();
            assert_eq!(look.id, Look::at(&path).unwrap().id);
            if look.id.made.is_some() {
                assert!(seen.insert(look.id));
            }
            fs::remove_file(&path).unwrap();
            // Times have the resolution of the kernel's clock tick.
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn writing_with_the_old_times_set_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        fs::write(&path, b"old").unwrap();
        let past = SystemTime::now() - Duration::from_secs(3600);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(past).unwrap();
        let before = Look::at(&path).unwrap();
        // Times have the resolution of the kernel's clock tick.
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, b"new").unwrap();
        file.set_modified(past).unwrap();
        let after = Look::at(&path).unwrap();
        assert_eq!(before.id, after.id);
        assert_ne!(before.stamp, after.stamp);
    }
}
