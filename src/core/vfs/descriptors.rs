//! What is known of the file descriptors that SQLite has open, by their number. Read at every lock, so without a lock of
//! its own.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

/// No descriptor.
pub const NONE: c_int = -1;

/// What a descriptor is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// SQLite has not opened it, or its number is beyond the table.
    No,
    /// SQLite has it open and took no lock yet.
    Open,
    /// Its locks are record locks of the process: its file system has no others.
    Plain,
    /// The locks of this database file go through another descriptor.
    Locks(c_int),
    /// The locks of this WAL index go through another descriptor, which is its alone.
    IndexLocks(c_int),
}

/// Numbers of kinds, and of descriptors behind them: twice their number, plus one for an index.
const OPEN: i32 = 1;
const PLAIN: i32 = 2;
const FIRST: i32 = 4;

impl Known {
    fn encode(self) -> i32 {
        match self {
            Self::No => 0,
            Self::Open => OPEN,
            Self::Plain => PLAIN,
            Self::Locks(descriptor) => FIRST + 2 * descriptor,
            Self::IndexLocks(descriptor) => FIRST + 2 * descriptor + 1,
        }
    }

    #[inline]
    fn decode(number: i32) -> Self {
        match number {
            OPEN => Self::Open,
            PLAIN => Self::Plain,
            number if number < FIRST => Self::No,
            number if number % 2 == 0 => Self::Locks((number - FIRST) / 2),
            number => Self::IndexLocks((number - FIRST) / 2),
        }
    }
}

const IN_CHUNK: usize = 1024;
const CHUNKS: usize = 1024;

type Chunk = [AtomicI32; IN_CHUNK];

/// See the head of this file.
pub struct Descriptors {
    /// Made when a number in them is first noted, and kept as long as the table.
    chunks: [AtomicPtr<Chunk>; CHUNKS],
}

impl Descriptors {
    pub const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS],
        }
    }

    #[inline]
    fn place(&self, descriptor: c_int) -> Option<&AtomicI32> {
        let number = usize::try_from(descriptor).ok()?;
        let chunk = self.chunks.get(number / IN_CHUNK)?.load(Ordering::Acquire);
        // SAFETY: null, or a chunk that lives as long as the table.
        unsafe { chunk.as_ref() }.map(|chunk| &chunk[number % IN_CHUNK])
    }

    #[inline]
    pub fn get(&self, descriptor: c_int) -> Known {
        match self.place(descriptor) {
            Some(place) => Known::decode(place.load(Ordering::Acquire)),
            None => Known::No,
        }
    }

    /// Forget a descriptor, and tell what was known of it.
    pub fn take(&self, descriptor: c_int) -> Known {
        match self.place(descriptor) {
            Some(place) => Known::decode(place.swap(0, Ordering::AcqRel)),
            None => Known::No,
        }
    }

    pub fn set(&self, descriptor: c_int, known: Known) {
        if self.place(descriptor).is_none() {
            self.make_chunk(descriptor);
        }
        if let Some(place) = self.place(descriptor) {
            place.store(known.encode(), Ordering::Release);
        }
    }

    /// Have all that are known as one thing known as another.
    pub fn replace(&self, old: Known, new: Known) {
        for chunk in &self.chunks {
            // SAFETY: null, or a chunk that lives as long as the table.
            let chunk = unsafe { chunk.load(Ordering::Acquire).as_ref() };
            for place in chunk.into_iter().flatten() {
                // One that is closed meanwhile is none of them any more.
                let _ = place.compare_exchange(
                    old.encode(),
                    new.encode(),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
            }
        }
    }

    #[cold]
    fn make_chunk(&self, descriptor: c_int) {
        let index = usize::try_from(descriptor).map(|number| number / IN_CHUNK);
        let Some(chunk) = index.ok().and_then(|index| self.chunks.get(index)) else {
            return;
        };
        let new = Box::into_raw(Box::new([const { AtomicI32::new(0) }; IN_CHUNK]));
        let outcome =
            chunk.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
        if outcome.is_err() {
            // SAFETY: another thread was quicker, so nobody else knows the one that was just made.
            drop(unsafe { Box::from_raw(new) });
        }
    }

    /// Forget all, and tell each.
    pub fn take_all(&self, mut each: impl FnMut(c_int, Known)) {
        for (index, chunk) in self.chunks.iter().enumerate() {
            // SAFETY: null, or a chunk that lives as long as the table.
            let Some(chunk) = (unsafe { chunk.load(Ordering::Acquire).as_ref() }) else {
                continue;
            };
            for (rest, place) in chunk.iter().enumerate() {
                let known = Known::decode(place.swap(0, Ordering::AcqRel));
                if known != Known::No {
                    each((index * IN_CHUNK + rest) as c_int, known);
                }
            }
        }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        for chunk in &mut self.chunks {
            let chunk = *chunk.get_mut();
            if !chunk.is_null() {
                // SAFETY: it came from a box, and nobody uses the table any more.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

/// A descriptor's file, as the system knows it.
pub fn status(descriptor: c_int) -> Option<libc::stat> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the kernel writes to a place of the right size; any number may be asked for.
    unsafe { (libc::fstat(descriptor, status.as_mut_ptr()) == 0).then(|| status.assume_init()) }
}

/// Whether a descriptor's file still has a name; None if it can't be told. One system call, and a cheap one.
#[inline]
pub fn has_name(descriptor: c_int) -> Option<bool> {
    status(descriptor).map(|status| status.st_nlink > 0)
}

/// Which file a descriptor is open on: device and inode. None if on none.
#[inline]
pub fn file_of(descriptor: c_int) -> Option<(u64, u64)> {
    status(descriptor).map(|status| (status.st_dev, status.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_of_a_number_is_known_until_it_is_taken() {
        let table = Descriptors::new();
        let all = [
            (0, Known::Locks(0)),
            (1, Known::IndexLocks(2)),
            (1023, Known::Open),
            (1024, Known::Plain),
            (1_000_000, Known::Locks(1_048_575)),
        ];
        for (number, known) in all {
            assert_eq!(table.get(number), Known::No);
            table.set(number, known);
            assert_eq!(table.get(number), known);
        }
        assert_eq!(table.take(1023), Known::Open);
        assert_eq!(table.take(1023), Known::No);
        let mut rest = Vec::new();
        table.take_all(|number, known| rest.push((number, known)));
        assert_eq!(rest, [all[0], all[1], all[3], all[4]]);
        assert_eq!(table.get(0), Known::No);
    }

    #[test]
    fn numbers_beyond_the_table_are_not_known() {
        let table = Descriptors::new();
        for number in [NONE, (IN_CHUNK * CHUNKS) as c_int, c_int::MAX] {
            table.set(number, Known::Open);
            assert_eq!(table.get(number), Known::No);
            assert_eq!(table.take(number), Known::No);
        }
    }
}
