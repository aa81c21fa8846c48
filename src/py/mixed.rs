//! A file that this process has open with the stdlib's SQLite and with ours, where their locks can't be kept apart
//! (`core::vfs::unisolated`): on systems without locks of open files, and on file systems that refuse them. Each copy can
//! then drop and overlook the other's locks, so it is said, or refused.

use super::error::operational_error;
use super::listener;
use super::names::string;
use super::state::state;
use crate::core::pool::uri;
use crate::core::raw::connections_to;
use crate::core::sync::Mutex;
use crate::core::text::effect::attached;
use crate::core::vfs;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeSet;
use std::ffi::{CString, c_int};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

/// What is done about it.
const NAMES: [&str; 3] = ["warn", "refuse", "ignore"];
const WARN: u8 = 0;
const REFUSE: u8 = 1;
const IGNORE: u8 = 2;

/// Device and inode.
type FileNumber = (u64, u64);

static POLICY: AtomicU8 = AtomicU8::new(WARN);

/// What others opened, as far as that was heard. They may have closed it since. Used with the interpreter held.
static OPENED_BY_OTHERS: Mutex<Heard> = Mutex::new(Heard {
    files: BTreeSet::new(),
    unmade: BTreeSet::new(),
});

struct Heard {
    files: BTreeSet<FileNumber>,
    /// Where there was no file yet: whoever opened it made it.
    unmade: BTreeSet<PathBuf>,
}

/// So many of each are remembered.
const REMEMBERED: usize = 1000;

impl Heard {
    fn note(&mut self, path: PathBuf) {
        self.look_again();
        match number_of(&path) {
            Some(file) if self.files.len() < REMEMBERED => drop(self.files.insert(file)),
            None if self.unmade.len() < REMEMBERED => drop(self.unmade.insert(path)),
            _ => {}
        }
    }

    /// Look which files were made since.
    fn look_again(&mut self) {
        let files = &mut self.files;
        self.unmade.retain(|path| {
            let made = number_of(path);
            if files.len() < REMEMBERED {
                files.extend(made);
            }
            made.is_none()
        });
    }

    fn has(&mut self, file: FileNumber) -> bool {
        self.look_again();
        self.files.contains(&file)
    }
}

/// Say what is to be done about a file that is open twice: "warn", "refuse" or "ignore". Gives what was set before.
#[pyfunction]
#[pyo3(signature = (policy, /))]
pub fn set_mixed_opens(policy: &Bound<'_, PyAny>) -> PyResult<&'static str> {
    let asked = string(policy, "policy")?.to_str()?;
    let Some(number) = NAMES.iter().position(|name| *name == asked) else {
        return Err(PyValueError::new_err(format!(
            "policy must be 'warn', 'refuse' or 'ignore', not '{asked}'"
        )));
    };
    let before = POLICY.swap(number as u8, Ordering::Relaxed);
    Ok(NAMES[usize::from(before)])
}

/// The file that a name of a database means, whatever the working directory will be; None if it means none.
fn file_of(name: &Path) -> Option<PathBuf> {
    let path = match name.as_os_str().as_bytes() {
        b"" | b":memory:" => return None,
        bytes => match bytes.strip_prefix(b"file:") {
            Some(uri) => uri::path(uri)?,
            None => name.to_owned(),
        },
    };
    std::path::absolute(path).ok()
}

fn number_of(path: &Path) -> Option<FileNumber> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_watched() -> bool {
    POLICY.load(Ordering::Relaxed) != IGNORE && vfs::unisolated().is_some()
}

/// Another copy of SQLite is about to open a database.
pub fn others_connect(py: Python<'_>, name: &Path) -> PyResult<()> {
    if !is_watched() {
        return Ok(());
    }
    let Some(path) = file_of(name) else {
        return Ok(());
    };
    let is_ours = number_of(&path).is_some_and(|file| Openers::of(file).ours);
    OPENED_BY_OTHERS.lock().note(path);
    match is_ours {
        true => report(
            py,
            name,
            "is opened with another SQLite while dbmanager has it open",
        ),
        false => Ok(()),
    }
}

/// Open a database, which others may have open. What was opened all the same, because it shows only then that locks
/// can't be kept apart, is marked as nothing to be kept.
pub fn connecting<T>(
    py: Python<'_>,
    name: &Path,
    open: impl FnOnce() -> PyResult<T>,
    keep_no_longer: impl FnOnce(&mut T),
) -> PyResult<T> {
    // Before it is opened: the descriptor of one that is refused would drop the others' locks when it is closed.
    let was_watched = is_watched();
    if was_watched {
        we_connect(py, name)?;
    }
    let mut opened = open()?;
    if !was_watched && is_watched() {
        we_connect(py, name).inspect_err(|_| keep_no_longer(&mut opened))?;
    }
    Ok(opened)
}

/// A text is about to be run that may attach a database. Its name is looked at if it is a literal or a bound value.
pub fn attaching(py: Python<'_>, sql: impl FnOnce() -> Option<String>) -> PyResult<()> {
    if !is_watched() {
        return Ok(());
    }
    match sql().and_then(|sql| attached(&sql)) {
        Some(name) => we_connect(py, Path::new(&name)),
        None => Ok(()),
    }
}

fn we_connect(py: Python<'_>, name: &Path) -> PyResult<()> {
    // From the first file on whose locks can't be isolated.
    listener::listen(py)?;
    let file = file_of(name).and_then(|path| number_of(&path));
    match file.is_some_and(|file| Openers::of(file).others) {
        true => report(
            py,
            name,
            "is opened with dbmanager while another SQLite has it open",
        ),
        false => Ok(()),
    }
}

/// Who has a file open in this process.
struct Openers {
    ours: bool,
    others: bool,
}

impl Openers {
    fn of(file: FileNumber) -> Self {
        let was_heard = OPENED_BY_OTHERS.lock().has(file);
        let all = descriptors_of(file);
        let ours: Option<Vec<bool>> = all.iter().map(|one| vfs::has_opened(*one)).collect();
        match ours {
            Some(ours) => {
                let mut others = all.iter().zip(&ours).filter(|(_, ours)| !**ours);
                Self {
                    ours: ours.contains(&true),
                    others: others.any(|(one, _)| was_heard || is_sqlites(*one)),
                }
            }
            None => {
                let ours = connections_to(file);
                Self {
                    ours: ours > 0,
                    others: was_heard && all.len() > ours,
                }
            }
        }
    }
}

/// Whether a descriptor was opened as SQLite opens databases, and hardly anybody else: one may have been before events
/// were heard.
fn is_sqlites(descriptor: c_int) -> bool {
    // SAFETY: any number may be asked for.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NOFOLLOW != 0
}

/// The descriptors of this process that lead to a file.
fn descriptors_of(file: FileNumber) -> Vec<c_int> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written to a live structure.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let is_of_file = |descriptor: &c_int| {
        // SAFETY: any number may be asked for; a structure of zeros is one.
        unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            libc::fstat(*descriptor, &mut status) == 0
                && (status.st_dev as u64, status.st_ino as u64) == file
        }
    };
    (0..limit.rlim_cur.min(4096) as c_int)
        .filter(is_of_file)
        .collect()
}

fn report(py: Python<'_>, path: &Path, what: &str) -> PyResult<()> {
    let why = vfs::unisolated().unwrap_or_default();
    let text = format!(
        "'{}' {what}, in one process: {why}, so each can drop and overlook the other's locks, and commits can be lost. Use one \
         of the two for this file (docs/safety.md)",
        path.display()
    );
    if POLICY.load(Ordering::Relaxed) == REFUSE {
        return Err(operational_error(py, text));
    }
    let category = state(py).mixed_open_warning.bind(py);
    PyErr::warn(py, category, &CString::new(text)?, 1)
}
