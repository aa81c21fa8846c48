//! Temporary files that stay in memory while they are small.
//!
//! What SQLite sorts, groups or sets aside beyond its cache goes to a nameless file that is deleted when it is closed.
//! Such a file of a few megabytes costs more in system calls than in work. It begins in memory here, in blocks from one
//! budget for the process, and moves to the disk when the budget is used up.

use super::room;
use parking_lot::Mutex;
use rusqlite::ffi;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a block.
const BLOCK: usize = 64 * 1024;
/// Blocks that all temporary files of the process may take together: 32 MB.
const BUDGET: usize = 512;
/// Blocks that wait for the next file, with their pages in place: 4 MB.
const SPARE: usize = 64;

type Block = Box<[MaybeUninit<u8>; BLOCK]>;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static SPARES: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// Opens the file on the disk that takes over when memory is used up.
pub type OpenOnDisk = unsafe fn(*mut ffi::sqlite3_file, c_int) -> c_int;

/// What is kept for a file.
struct Temporary {
    blocks: Vec<Block>,
    /// Bytes of the file. What lies behind in the last block is undefined.
    size: usize,
    flags: c_int,
    open_on_disk: OpenOnDisk,
}

/// Whether a file that SQLite opens may be kept in memory: it has no name, so that nobody else can see it.
pub fn may_stay_in_memory(name: ffi::sqlite3_filename, flags: c_int) -> bool {
    name.is_null() && flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0
}

/// Open a temporary file in memory. `open_on_disk` opens the file that it moves to, with the same flags.
///
/// # Safety
/// `file` has the memory that `room::memory_of_file` asked for.
pub unsafe fn open(file: *mut ffi::sqlite3_file, flags: c_int, open_on_disk: OpenOnDisk) -> c_int {
    let Some(place) = room::place(file) else {
        return ffi::SQLITE_CANTOPEN;
    };
    // SAFETY: the file's memory has room for ours, as the caller promises.
    unsafe {
        ptr::write(
            place,
            Temporary {
                blocks: Vec::new(),
                size: 0,
                flags,
                open_on_disk,
            },
        );
        (*file).pMethods = &METHODS;
    }
    ffi::SQLITE_OK
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(nothing_to_do),
    xFileSize: Some(file_size),
    xLock: Some(nothing_to_do),
    xUnlock: Some(nothing_to_do),
    xCheckReservedLock: Some(is_not_reserved),
    xFileControl: Some(no_such_control),
    xSectorSize: Some(zero),
    xDeviceCharacteristics: Some(zero),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// A block, if the budget has one left. What is in it is undefined.
fn take_block() -> Option<Block> {
    IN_USE
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            (taken < BUDGET).then_some(taken + 1)
        })
        .ok()?;
    let spare = SPARES.lock().pop();
    Some(spare.unwrap_or_else(|| Box::new([MaybeUninit::uninit(); BLOCK])))
}

impl Temporary {
    /// Take blocks until there are enough for `size` bytes. False if the budget is used up.
    fn grow(&mut self, size: usize) -> bool {
        while self.blocks.len() * BLOCK < size {
            match take_block() {
                Some(block) => self.blocks.push(block),
                None => return false,
            }
        }
        true
    }

    /// Keep the blocks of the first `size` bytes.
    fn shrink(&mut self, size: usize) {
        let kept = size.div_ceil(BLOCK).min(self.blocks.len());
        let given_back = self.blocks.len() - kept;
        if given_back == 0 {
            return;
        }
        let mut spares = SPARES.lock();
        let spared = (SPARE - spares.len()).min(given_back);
        spares.extend(self.blocks.drain(self.blocks.len() - spared..));
        drop(spares);
        self.blocks.truncate(kept);
        IN_USE.fetch_sub(given_back, Ordering::Relaxed);
    }

    /// Call `each` with the memory of bytes `start` to `end`, part by part, and where in the range a part begins.
    fn parts(
        &mut self,
        start: usize,
        end: usize,
        mut each: impl FnMut(&mut [MaybeUninit<u8>], usize),
    ) {
        let mut at = start;
        while at < end {
            let from = at % BLOCK;
            let part = (BLOCK - from).min(end - at);
            each(&mut self.blocks[at / BLOCK][from..from + part], at - start);
            at += part;
        }
    }

    /// Bytes that were never written are zero once something is written behind them.
    fn fill(&mut self, end: usize) {
        if end > self.size {
            self.parts(self.size, end, |part, _| part.fill(MaybeUninit::new(0)));
            self.size = end;
        }
    }

    /// Put the file on the disk. On an error it stays as it is.
    ///
    /// # Safety
    /// `this` is what `file` keeps; nobody uses it meanwhile.
    unsafe fn move_to_disk(this: *mut Self, file: *mut ffi::sqlite3_file) -> c_int {
        // SAFETY: as the caller promises. Opening the file on the disk overwrites what is before our room, and leaves
        // no methods if it fails.
        unsafe {
            let code = ((*this).open_on_disk)(file, (*this).flags);
            if code != ffi::SQLITE_OK {
                (*file).pMethods = &METHODS;
                return code;
            }
            let methods = &*(*file).pMethods;
            let (Some(write), Some(close)) = (methods.xWrite, methods.xClose) else {
                return ffi::SQLITE_IOERR_WRITE;
            };
            let mut code = ffi::SQLITE_OK;
            let size = (*this).size;
            (*this).parts(0, size, |part, at| {
                if code == ffi::SQLITE_OK {
                    code = write(file, part.as_ptr().cast(), part.len() as c_int, at as i64);
                }
            });
            if code != ffi::SQLITE_OK {
                close(file);
                (*file).pMethods = &METHODS;
                return code;
            }
            (*this).shrink(0);
            ptr::drop_in_place(this);
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: called by SQLite for a file of ours, once.
    unsafe {
        let this: &mut Temporary = room::kept(file);
        this.shrink(0);
        ptr::drop_in_place(this);
        (*file).pMethods = ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: called by SQLite for a file of ours; the buffer has `length` bytes. All below `size` was written.
    unsafe {
        let this: &mut Temporary = room::kept(file);
        let (start, length) = (offset as usize, length as usize);
        let end = (start + length).min(this.size).max(start);
        let buffer = buffer.cast::<MaybeUninit<u8>>();
        this.parts(start, end, |part, at| {
            ptr::copy_nonoverlapping(part.as_ptr(), buffer.add(at), part.len());
        });
        let there = end - start;
        if there < length {
            // SQLite wants the rest as zeros.
            ptr::write_bytes(buffer.add(there), 0, length - there);
            return ffi::SQLITE_IOERR_SHORT_READ;
        }
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: i64,
) -> c_int {
    // SAFETY: called by SQLite for a file of ours; `data` has `length` bytes.
    unsafe {
        let this: &mut Temporary = room::kept(file);
        let (start, end) = (offset as usize, offset as usize + length as usize);
        if !this.grow(end) {
            return match Temporary::move_to_disk(this, file) {
                ffi::SQLITE_OK => match (*(*file).pMethods).xWrite {
                    Some(write) => write(file, data, length, offset),
                    None => ffi::SQLITE_IOERR_WRITE,
                },
                code => code,
            };
        }
        this.fill(start);
        let data = data.cast::<MaybeUninit<u8>>();
        this.parts(start, end, |part, at| {
            ptr::copy_nonoverlapping(data.add(at), part.as_mut_ptr(), part.len());
        });
        this.size = this.size.max(end);
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: called by SQLite for a file of ours.
    let this: &mut Temporary = unsafe { room::kept(file) };
    this.size = this.size.min(size as usize);
    this.shrink(this.size);
    ffi::SQLITE_OK
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: called by SQLite for a file of ours; `size` may be written to.
    unsafe {
        let this: &mut Temporary = room::kept(file);
        *size = this.size as i64;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn nothing_to_do(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn is_not_reserved(_: *mut ffi::sqlite3_file, reserved: *mut c_int) -> c_int {
    // SAFETY: called by SQLite with a place to write to.
    unsafe { *reserved = 0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn no_such_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// The sector size that SQLite shall choose by itself; no special characteristics.
unsafe extern "C" fn zero(_: *mut ffi::sqlite3_file) -> c_int {
    0
}
