//! Room for what our VFS keeps of a file: behind the structure of SQLite's own VFS, in the memory that SQLite gives to
//! every file.

use rusqlite::ffi;
use std::ffi::c_int;
use std::sync::OnceLock;

/// Bytes that the largest of what is kept takes, and its alignment.
const SIZE: usize = 192;
const ALIGN: usize = 16;

/// Where the room begins in a file's memory.
static OFFSET: OnceLock<usize> = OnceLock::new();

/// The memory that a file needs when the structure of its VFS takes `own_size` bytes. Called once.
pub fn memory_of_file(own_size: c_int) -> c_int {
    let offset = (own_size as usize).next_multiple_of(ALIGN);
    (OFFSET.get_or_init(|| offset) + SIZE) as c_int
}

/// Where a file keeps its `T`; None before `memory_of_file` was asked.
#[inline]
pub fn place<T>(file: *mut ffi::sqlite3_file) -> Option<*mut T> {
    const { assert!(size_of::<T>() <= SIZE && ALIGN.is_multiple_of(align_of::<T>())) };
    OFFSET
        .get()
        .map(|offset| file.wrapping_byte_add(*offset).cast())
}

/// A file's `T`.
///
/// # Safety
/// A `T` was written to the file's place, and nobody else uses it as long as this is used.
#[inline]
pub unsafe fn kept<'a, T>(file: *mut ffi::sqlite3_file) -> &'a mut T {
    match place(file) {
        // SAFETY: as the caller promises.
        Some(place) => unsafe { &mut *place },
        None => unreachable!("files are opened only after their memory was asked for"),
    }
}
