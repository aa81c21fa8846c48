//! Temporary files that stay in memory while they are small.
//!
//! What SQLite sorts, groups or sets aside beyond its cache goes to a nameless file that is deleted when it is closed.
//! Such a file of a few megabytes costs more in system calls than in work. It begins in memory here, in blocks from one
//! budget for the process, and moves to the disk when the budget is used up.

use super::room;
use crate::core::process::PerProcess;
use crate::core::sync::Mutex;
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
static SPARES: PerProcess<Mutex<Vec<Block>>> = PerProcess::new(Mutex::default);

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

/// Whether a temporary file that SQLite has opened, or has not, is on the disk.
///
/// # Safety
/// `file` is null or has the memory of a file of our VFS.
pub unsafe fn is_on_disk(file: *const ffi::sqlite3_file) -> bool {
    // SAFETY: as the caller promises; a file that is not open has no methods.
    let methods = unsafe { file.as_ref() }.map_or(ptr::null(), |file| file.pMethods);
    !methods.is_null() && !ptr::eq(methods, &METHODS)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::vfs;
    use std::ffi::CStr;

    const FLAGS: c_int = ffi::SQLITE_OPEN_TEMP_JOURNAL
        | ffi::SQLITE_OPEN_READWRITE
        | ffi::SQLITE_OPEN_CREATE
        | ffi::SQLITE_OPEN_EXCLUSIVE
        | ffi::SQLITE_OPEN_DELETEONCLOSE;
    /// SQLite writes no more at once.
    const CHUNK: usize = 64 * 1024;

    /// These tests share the budget.
    static ALONE: Mutex<()> = Mutex::new(());

    /// An open temporary file.
    struct File(Box<[u128; 64]>);

    impl File {
        fn closed() -> Self {
            vfs::install();
            Self(Box::new([0; 64]))
        }

        /// As SQLite opens one.
        fn open() -> Self {
            let mut file = Self::closed();
            let name: &CStr = c"dbmanager";
            // SAFETY: our VFS is installed; the memory is longer than a file of it.
            unsafe {
                let vfs = ffi::sqlite3_vfs_find(name.as_ptr());
                assert!((*vfs).szOsFile as usize <= size_of_val(&*file.0));
                let mut given = 0;
                let open = (*vfs).xOpen.unwrap();
                let code = open(vfs, ptr::null(), file.raw(), FLAGS, &mut given);
                assert_eq!((code, given), (ffi::SQLITE_OK, FLAGS));
            }
            file
        }

        fn open_with(open_on_disk: OpenOnDisk) -> Self {
            let mut file = Self::closed();
            // SAFETY: the memory is longer than a file of our VFS.
            let code = unsafe { super::open(file.raw(), FLAGS, open_on_disk) };
            assert_eq!(code, ffi::SQLITE_OK);
            file
        }

        fn raw(&mut self) -> *mut ffi::sqlite3_file {
            self.0.as_mut_ptr().cast()
        }

        fn methods(&mut self) -> &'static ffi::sqlite3_io_methods {
            // SAFETY: an open file's methods live for ever.
            unsafe { &*(*self.raw()).pMethods }
        }

        fn is_in_memory(&mut self) -> bool {
            ptr::eq(self.methods(), &METHODS)
        }

        fn write(&mut self, data: &[u8], offset: usize) -> c_int {
            let write = self.methods().xWrite.unwrap();
            let data_at = data.as_ptr().cast();
            // SAFETY: an open file, and data of that length.
            unsafe { write(self.raw(), data_at, data.len() as c_int, offset as i64) }
        }

        fn read(&mut self, length: usize, offset: usize) -> (c_int, Vec<u8>) {
            let mut buffer = vec![0xEE; length];
            let read = self.methods().xRead.unwrap();
            let buffer_at = buffer.as_mut_ptr().cast();
            // SAFETY: an open file, and a buffer of that length.
            let code = unsafe { read(self.raw(), buffer_at, length as c_int, offset as i64) };
            (code, buffer)
        }

        fn truncate(&mut self, size: usize) {
            let truncate = self.methods().xTruncate.unwrap();
            // SAFETY: an open file.
            let code = unsafe { truncate(self.raw(), size as i64) };
            assert_eq!(code, ffi::SQLITE_OK);
        }

        fn size(&mut self) -> usize {
            let mut size = -1;
            let file_size = self.methods().xFileSize.unwrap();
            // SAFETY: an open file.
            let code = unsafe { file_size(self.raw(), &mut size) };
            assert_eq!(code, ffi::SQLITE_OK);
            size as usize
        }

        /// Write chunk after chunk, each of its own number. Stops at the first that is refused.
        fn fill(&mut self, chunks: usize) -> c_int {
            let mut write = |chunk| self.write(&[(chunk % 251) as u8; CHUNK], chunk * CHUNK);
            (0..chunks)
                .map(&mut write)
                .find(|code| *code != ffi::SQLITE_OK)
                .unwrap_or(ffi::SQLITE_OK)
        }

        fn assert_filled(&mut self, chunks: usize) {
            assert_eq!(self.size(), chunks * CHUNK);
            for chunk in 0..chunks {
                let (code, data) = self.read(CHUNK, chunk * CHUNK);
                assert_eq!(code, ffi::SQLITE_OK);
                assert!(data.iter().all(|byte| *byte == (chunk % 251) as u8));
            }
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let close = self.methods().xClose.unwrap();
            // SAFETY: an open file, which nobody uses any more.
            let code = unsafe { close(self.raw()) };
            assert_eq!(code, ffi::SQLITE_OK);
        }
    }

    /// Numbers that look random and are the same each time.
    fn numbers() -> impl FnMut(usize) -> usize {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        move |below| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        }
    }

    #[test]
    fn a_file_in_memory_holds_what_was_written_and_zeros_between() {
        let _alone = ALONE.lock();
        let mut file = File::open();
        let mut model: Vec<u8> = Vec::new();
        let mut number = numbers();
        for turn in 0..4000 {
            let offset = number(5 * BLOCK);
            let length = 1 + number(match turn % 3 {
                0 => 16,
                1 => 5000,
                _ => 2 * BLOCK,
            });
            match number(10) {
                0 => {
                    file.truncate(offset);
                    model.truncate(offset);
                }
                1..=4 => {
                    let data = vec![turn as u8; length];
                    assert_eq!(file.write(&data, offset), ffi::SQLITE_OK);
                    model.resize(model.len().max(offset + length), 0);
                    model[offset..offset + length].copy_from_slice(&data);
                }
                _ => {
                    let (code, data) = file.read(length, offset);
                    let mut expected = model.get(offset..).unwrap_or_default().to_vec();
                    let is_whole = expected.len() >= length;
                    expected.resize(length, 0);
                    assert!(data == expected, "turn {turn}");
                    let expected = match is_whole {
                        true => ffi::SQLITE_OK,
                        false => ffi::SQLITE_IOERR_SHORT_READ,
                    };
                    assert_eq!(code, expected);
                }
            }
            assert_eq!(file.size(), model.len());
        }
        assert!(file.is_in_memory());
    }

    #[test]
    fn a_file_moves_to_the_disk_when_the_budget_is_used_up_and_gives_its_memory_back() {
        let _alone = ALONE.lock();
        let chunks = BUDGET * BLOCK / CHUNK + 20;
        for _ in 0..2 {
            let mut file = File::open();
            assert_eq!(file.fill(chunks - 60), ffi::SQLITE_OK);
            assert!(file.is_in_memory());
            assert_eq!(file.fill(chunks), ffi::SQLITE_OK);
            assert!(!file.is_in_memory());
            file.assert_filled(chunks);
            let mut next = File::open();
            assert_eq!(next.fill(chunks - 60), ffi::SQLITE_OK);
            assert!(next.is_in_memory());
            next.truncate(0);
            let mut third = File::open();
            assert_eq!(third.fill(chunks - 60), ffi::SQLITE_OK);
            assert!(third.is_in_memory());
        }
    }

    unsafe fn open_nothing(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
        assert_eq!(flags, FLAGS);
        // SAFETY: what a VFS does when it can't open a file.
        unsafe { (*file).pMethods = ptr::null() };
        ffi::SQLITE_CANTOPEN
    }

    /// A disk that is full soon.
    unsafe fn open_small(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
        static SMALL: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
            xWrite: Some(write_little),
            xClose: Some(close_small),
            ..METHODS
        };
        unsafe extern "C" fn write_little(
            _: *mut ffi::sqlite3_file,
            _: *const c_void,
            _: c_int,
            offset: i64,
        ) -> c_int {
            match offset < CHUNK as i64 {
                true => ffi::SQLITE_OK,
                false => ffi::SQLITE_FULL,
            }
        }
        unsafe extern "C" fn close_small(file: *mut ffi::sqlite3_file) -> c_int {
            // SAFETY: as a VFS closes a file.
            unsafe { (*file).pMethods = ptr::null() };
            ffi::SQLITE_OK
        }
        // SAFETY: the memory of a file.
        unsafe { (*file).pMethods = &SMALL };
        ffi::SQLITE_OK
    }

    #[test]
    fn a_disk_that_refuses_is_reported_and_nothing_is_lost() {
        let _alone = ALONE.lock();
        let fits = BUDGET * BLOCK / CHUNK - 40;
        let refusals: [(OpenOnDisk, c_int); 2] = [
            (open_nothing, ffi::SQLITE_CANTOPEN),
            (open_small, ffi::SQLITE_FULL),
        ];
        for (open_on_disk, code) in refusals {
            let mut file = File::open_with(open_on_disk);
            assert_eq!(file.fill(fits + 80), code);
            assert!(file.is_in_memory());
            file.truncate(fits * CHUNK);
            file.assert_filled(fits);
        }
    }
}
