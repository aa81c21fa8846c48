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
use crate::core::vfs;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is done about it.
const NAMES: [&str; 3] = ["warn", "refuse", "ignore"];
const WARN: u8 = 0;
const REFUSE: u8 = 1;
const IGNORE: u8 = 2;

static POLICY: AtomicU8 = AtomicU8::new(WARN);

/// Files that others opened, as far as that was heard. They may have closed them since. Used with the interpreter held.
static OPENED_BY_OTHERS: Mutex<BTreeSet<(u64, u64)>> = Mutex::new(BTreeSet::new());

/// So many are remembered.
const REMEMBERED: usize = 1000;

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

fn file_at(path: &Path) -> Option<(u64, u64)> {
    let metadata = match path.as_os_str().as_bytes().strip_prefix(b"file:") {
        Some(uri) => fs::metadata(uri::path(uri)?),
        None => fs::metadata(path),
    };
    let metadata = metadata.ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_watched() -> bool {
    POLICY.load(Ordering::Relaxed) != IGNORE && vfs::unisolated().is_some()
}

/// Another copy of SQLite is about to open a file.
pub fn others_connect(py: Python<'_>, path: &Path) -> PyResult<()> {
    if !is_watched() {
        return Ok(());
    }
    let Some(file) = file_at(path) else {
        return Ok(());
    };
    let mut opened = OPENED_BY_OTHERS.lock();
    if opened.len() < REMEMBERED {
        opened.insert(file);
    }
    drop(opened);
    match connections_to(file) {
        0 => Ok(()),
        _ => report(
            py,
            path,
            "is opened with another SQLite while dbmanager has it open",
        ),
    }
}

/// We have opened a file.
pub fn we_connected(py: Python<'_>, path: &Path) -> PyResult<()> {
    if !is_watched() {
        return Ok(());
    }
    // From the first file on whose locks can't be isolated.
    listener::listen(py)?;
    let file = file_at(path).filter(|file| OPENED_BY_OTHERS.lock().contains(file));
    match file.is_some_and(|file| descriptors_of(file) > connections_to(file)) {
        true => report(
            py,
            path,
            "is opened with dbmanager while another SQLite has it open",
        ),
        false => Ok(()),
    }
}

/// How many descriptors of this process lead to a file.
fn descriptors_of(file: (u64, u64)) -> usize {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the limit is written to a live structure.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let is_of_file = |descriptor: &i32| {
        // SAFETY: any number may be asked for; a structure of zeros is one.
        unsafe {
            let mut status: libc::stat = std::mem::zeroed();
            libc::fstat(*descriptor, &mut status) == 0
                && (status.st_dev as u64, status.st_ino as u64) == file
        }
    };
    (0..limit.rlim_cur.min(4096) as i32)
        .filter(is_of_file)
        .count()
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
