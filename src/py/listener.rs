//! What others do, as Python's audit events tell it (PEP 578): that they copy or move files, start programs, or open a
//! database with another SQLite.
//!
//! The hook is native and looks at names first, because every import and every opened file comes by. It is installed when
//! there is something to listen for, since CPython raises events only where a hook is, and can't remove one. It runs in
//! the midst of what others do, so it never raises, but to refuse what it is set to refuse.

use super::guarded::Guarded;
use super::mixed;
use crate::core::pool::registry;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::cell::Cell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

type Hook = unsafe extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int;

unsafe extern "C" {
    // Not among pyo3-ffi's.
    fn PySys_AddAuditHook(hook: Hook, data: *mut c_void) -> c_int;
}

/// What is called with the database that another SQLite is about to open.
static CONNECTS: Guarded<Option<Py<PyAny>>> = Guarded::new(None);

static LISTENS: AtomicBool = AtomicBool::new(false);

/// Whose opens a thread's events tell of.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Others,
    /// Others', but whoever listens knows of it.
    Noted,
    Ours,
}

thread_local! {
    static WHOSE: Cell<Whose> = const { Cell::new(Whose::Others) };
}

/// An event about files. Its arguments, by their numbers:
struct OfFiles {
    name: &'static str,
    /// Paths of files that are read.
    read: &'static [usize],
    /// Paths of files that get another content, or go.
    replaced: &'static [usize],
}

const fn of_files(
    name: &'static str,
    read: &'static [usize],
    replaced: &'static [usize],
) -> OfFiles {
    OfFiles {
        name,
        read,
        replaced,
    }
}

static OF_FILES: [OfFiles; 7] = [
    of_files("open", &[0], &[]),
    of_files("os.link", &[0, 1], &[]),
    of_files("os.remove", &[], &[0]),
    of_files("os.rename", &[], &[0, 1]),
    of_files("os.truncate", &[], &[0]),
    of_files("shutil.copyfile", &[0], &[1]),
    of_files("shutil.move", &[], &[0, 1]),
];

/// How long programs wait, when they are started, for what is brought into files before: most take less.
const PATIENCE: Duration = Duration::from_millis(10);

/// Events after which another program, or a copy of a whole folder, may read any file.
const OF_ALL_FILES: [&str; 8] = [
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "shutil.copytree",
    "shutil.make_archive",
    "subprocess.Popen",
];

/// Listen from now on. Idempotent.
pub fn listen(py: Python<'_>) -> PyResult<()> {
    if LISTENS.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: the interpreter is held; the function lives for ever.
    if unsafe { PySys_AddAuditHook(hear, ptr::null_mut()) } == 0 {
        return Ok(());
    }
    LISTENS.store(false, Ordering::Relaxed);
    // Another hook may refuse more hooks, by an exception or by none.
    Err(PyErr::take(py).unwrap_or_else(|| PyRuntimeError::new_err("no audit hook can be added")))
}

/// `listen`, unless another hook refuses new ones: it only saves a wait for what is done anyway. Asks once.
#[inline]
pub fn listen_if_possible(py: Python<'_>) {
    static ASKED: AtomicBool = AtomicBool::new(false);
    if !ASKED.load(Ordering::Relaxed) {
        ASKED.store(true, Ordering::Relaxed);
        if let Err(error) = listen(py) {
            log::debug!("audit events are not heard: {error}");
        }
    }
}

/// Have a function called with each database that another SQLite is about to open; its exception refuses that. None ends
/// it.
#[pyfunction]
#[pyo3(name = "_listen_to_connects", signature = (listener, /))]
pub fn listen_to_connects(py: Python<'_>, listener: Option<Py<PyAny>>) -> PyResult<()> {
    if listener.is_some() {
        listen(py)?;
    }
    drop(CONNECTS.replace(py, listener));
    Ok(())
}

/// Raise an event that is ours, and is not to be taken for somebody else's.
#[inline]
pub fn as_ours<R>(raise: impl FnOnce() -> R) -> R {
    raise_as(Whose::Ours, raise)
}

/// Raise an event of somebody else's, which whoever listens knows of.
pub fn as_noted<R>(raise: impl FnOnce() -> R) -> R {
    raise_as(Whose::Noted, raise)
}

#[inline]
fn raise_as<R>(whose: Whose, raise: impl FnOnce() -> R) -> R {
    if !LISTENS.load(Ordering::Relaxed) {
        return raise();
    }
    let before = WHOSE.replace(whose);
    let result = raise();
    WHOSE.set(before);
    result
}

unsafe extern "C" fn hear(
    event: *const c_char,
    arguments: *mut ffi::PyObject,
    _: *mut c_void,
) -> c_int {
    // SAFETY: called by CPython with a C string.
    let name = unsafe { CStr::from_ptr(event) }.to_bytes();
    let what = match name {
        b"sqlite3.connect" if WHOSE.get() != Whose::Ours => What::Connect,
        _ if !registry::has_pools() => return 0,
        _ if let Some(event) = OF_FILES.iter().find(|event| event.name.as_bytes() == name) => {
            What::File(event)
        }
        _ if OF_ALL_FILES.iter().any(|known| known.as_bytes() == name) => What::AllFiles,
        _ => return 0,
    };
    if !is_in_main_interpreter() {
        return 0;
    }
    let heard = std::panic::catch_unwind(|| {
        // Also where the interpreter is only just being made or taken down, when nothing of ours can be open.
        Python::try_attach(|py| {
            // SAFETY: called by CPython with a tuple, or nothing.
            let arguments = unsafe { Bound::from_borrowed_ptr_or_opt(py, arguments) };
            let arguments = arguments.and_then(|arguments| arguments.cast_into::<PyTuple>().ok());
            match arguments {
                Some(arguments) => what.handle(py, &arguments),
                None => Ok(()),
            }
        })
    });
    match heard {
        Ok(Some(Err(error))) => {
            Python::attach(|py| error.restore(py));
            -1
        }
        _ => 0,
    }
}

/// Whether this thread runs the interpreter that everything here belongs to. Others raise events as well, and must not
/// touch it; and some events come while an interpreter is only just being made or taken down.
fn is_in_main_interpreter() -> bool {
    // SAFETY: tells what this thread runs, or null.
    let state = unsafe { ffi::compat::PyThreadState_GetUnchecked() };
    // SAFETY: the state is this thread's, so it is alive; the main interpreter's is a constant of the process.
    !state.is_null()
        && unsafe { ffi::PyThreadState_GetInterpreter(state) == ffi::PyInterpreterState_Main() }
}

enum What {
    Connect,
    File(&'static OfFiles),
    AllFiles,
}

impl What {
    fn handle(&self, py: Python<'_>, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        let argument = |index: usize| arguments.get_item(index).ok();
        match self {
            Self::Connect => {
                let database = argument(0);
                if let Some(path) = database.as_ref().and_then(path) {
                    mixed::others_connect(py, &path)?;
                }
                if WHOSE.get() == Whose::Noted {
                    return Ok(());
                }
                // SAFETY: cloning a reference runs no Python code.
                let listener = unsafe { CONNECTS.peek(py) }
                    .as_ref()
                    .map(|known| known.clone_ref(py));
                match (listener, database) {
                    (Some(listener), Some(database)) => listener.call1(py, (database,)).map(drop),
                    _ => Ok(()),
                }
            }
            Self::File(event) => {
                let of = |indices: &[usize]| -> Vec<PathBuf> {
                    let arguments = indices.iter().filter_map(|index| argument(*index));
                    let paths = arguments.filter_map(|argument| path(&argument));
                    paths.filter(|path| registry::knows_name(path)).collect()
                };
                let (read, replaced) = match event.name == "open" && is_to_write(argument(2)) {
                    true => (Vec::new(), of(event.read)),
                    false => (of(event.read), of(event.replaced)),
                };
                if !read.is_empty() || !replaced.is_empty() {
                    py.detach(|| {
                        read.iter().for_each(|path| registry::file_now(path));
                        replaced.iter().for_each(|path| registry::make_way(path));
                    });
                }
                Ok(())
            }
            Self::AllFiles => {
                py.detach(|| registry::file_all_now(PATIENCE));
                Ok(())
            }
        }
    }
}

/// Whether the flags of an `open` allow to write.
fn is_to_write(flags: Option<Bound<'_, PyAny>>) -> bool {
    let flags = flags.and_then(|flags| flags.extract::<c_int>().ok());
    flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
}

/// A path as the events tell it: text, bytes, or an object that tells its path.
fn path(object: &Bound<'_, PyAny>) -> Option<PathBuf> {
    match object.cast::<PyBytes>() {
        Ok(bytes) => Some(Path::new(OsStr::from_bytes(bytes.as_bytes())).to_owned()),
        // Names that are no UTF-8 are texts with surrogates.
        Err(_) => object.extract().ok(),
    }
}
