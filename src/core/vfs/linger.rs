//! Read locks that linger: a connection keeps the lock of its last read for some milliseconds, so that the next read asks
//! the system for nothing.
//!
//! In WAL mode a read takes a shared lock on a read mark and gives it back when it ends (sqlite.org/walformat.html): two
//! system calls, most of the time of a look-up by key. Here the lock stays where it is, and SQLite is told that it was
//! given back. Reads are never stale, as SQLite compares the header of the WAL index when each begins. What others see
//! is a reader that takes some milliseconds longer, but never one for ever: time goes in rounds, and in the last part of
//! each no lock lingers (`rounds`); a lock that this process wants exclusively is given up at once; and only what is taken
//! again and again lingers at all.

use super::rounds::{self, Rounds};
use crate::core::process::PerProcess;
use rusqlite::ffi;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// The locks of readers, among those of the WAL index.
const READ_LOCKS: std::ops::Range<c_int> = 3..8;

/// Those that go with a read mark. The first one stands for the database without the WAL.
const READ_MARKS: std::ops::Range<c_int> = 4..8;

/// A lock may linger when the one before was given back not longer ago than this, in milliseconds of a clock that may
/// move in larger steps: who reads now and then gains nothing.
const REPEATED_WITHIN: u64 = 1;

/// So many locks in a row must have been given back to begin rounds: waking their thread takes as long as some ten reads.
const IN_A_ROW: u32 = 16;

type ShmLock = unsafe extern "C" fn(*mut ffi::sqlite3_file, c_int, c_int, c_int) -> c_int;

const GIVE_SHARED: c_int = ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_SHARED;
const TAKE_SHARED: c_int = ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_SHARED;
const TAKE_EXCLUSIVE: c_int = ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE;

/// No lock.
const NONE: c_int = -1;

/// The connection uses its locks as SQLite knows them.
const OWNED: u8 = 0;
/// It holds one that SQLite thinks was given back. Whoever changes this may give it back.
const LINGERS: u8 = 1;
/// Somebody else is just giving it back.
const BEING_GIVEN: u8 = 2;

static ROUNDS: PerProcess<Rounds<Arc<Locks>>> = PerProcess::new(|| {
    Rounds::new(|locks| {
        locks.is_listed.store(false, Ordering::SeqCst);
        locks.give_back();
    })
});

/// Whether locks may linger.
static IS_ALLOWED: AtomicBool = AtomicBool::new(true);

/// Let locks linger or not.
pub fn allow(allowed: bool) {
    IS_ALLOWED.store(allowed, Ordering::SeqCst);
    if !allowed {
        ROUNDS.shut();
    }
}

/// Let the thread end that gives locks back, and wait for that, but not beyond a time.
pub fn stop(until: Instant) {
    ROUNDS.stop(until);
}

/// Have no lock linger when the process forks: the child's SQLite would think that it holds them. Called once.
pub fn watch_forks() {
    // The child begins with rounds of its own, as its parent's are paused for ever.
    // SAFETY: the functions run in the thread that forks, before and after; they need nothing that another thread may hold
    // for long.
    if unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork), None) } != 0 {
        allow(false);
    }
}

unsafe extern "C" fn before_fork() {
    ROUNDS.pause();
}

unsafe extern "C" fn after_fork() {
    ROUNDS.go_on();
}

/// The locks of one connection on its WAL index.
pub struct Locks {
    file: *mut ffi::sqlite3_file,
    own: ShmLock,
    /// Where the index is mapped: the same place for all connections of the process to one database.
    index: usize,
    state: AtomicU8,
    /// The lock that lingers.
    lingering: AtomicI32,
    /// It is among those that the round's end gives back.
    is_listed: AtomicBool,
    /// When a lock was last really given back, in milliseconds.
    given_at: AtomicU64,
    /// How many locks were given back, none long after the one before.
    in_a_row: AtomicU32,
    /// The next transaction is to keep its mark: see `expect_write`.
    writes_next: AtomicBool,
}

// SAFETY: the file is used by others than its connection only for giving a lock back, in the state `BEING_GIVEN`, in which
// the connection waits; SQLite's own method guards what connections share.
unsafe impl Send for Locks {}
// SAFETY: see above.
unsafe impl Sync for Locks {}

impl Locks {
    /// The locks of a file whose WAL index was just mapped.
    ///
    /// # Safety
    /// `file` is open until `settle` is called for the last time, and `own` is its method.
    pub unsafe fn new(file: *mut ffi::sqlite3_file, own: ShmLock, index: usize) -> Arc<Self> {
        Arc::new(Self {
            file,
            own,
            index,
            state: AtomicU8::new(OWNED),
            lingering: AtomicI32::new(NONE),
            is_listed: AtomicBool::new(false),
            given_at: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            writes_next: AtomicBool::new(false),
        })
    }

    /// Do what SQLite asks for.
    #[inline]
    pub fn lock(self: &Arc<Self>, first: c_int, count: c_int, flags: c_int) -> c_int {
        match flags {
            TAKE_SHARED if READ_LOCKS.contains(&first) => self.take_shared(first),
            GIVE_SHARED if READ_LOCKS.contains(&first) => self.give_shared(first),
            TAKE_EXCLUSIVE => self.take_exclusive(first, count),
            _ => {
                self.settle();
                self.really(first, count, flags)
            }
        }
    }

    /// The next transaction will write. It needs no read mark of its own: the one that lingers, which is some milliseconds
    /// old, keeps nobody but checkpoints of others from more than they would do anyway, and saves the four system calls
    /// that move a mark.
    pub fn expect_write(&self) {
        self.writes_next.store(true, Ordering::Relaxed);
    }

    /// Whether the lock of a read mark lingers. The mark is not beyond the end of the WAL then, which can't begin anew: so
    /// SQLite takes it, or a later one, if it can't move any.
    fn keeps_mark(&self) -> bool {
        self.state.load(Ordering::Relaxed) == LINGERS
            && READ_MARKS.contains(&self.lingering.load(Ordering::Relaxed))
    }

    #[inline]
    fn take_shared(&self, lock: c_int) -> c_int {
        self.writes_next.store(false, Ordering::Relaxed);
        match self.claim() {
            held if held == lock => return ffi::SQLITE_OK,
            NONE => {}
            other => {
                self.really(other, 1, GIVE_SHARED);
            }
        }
        self.really(lock, 1, TAKE_SHARED)
    }

    #[inline]
    fn give_shared(self: &Arc<Self>, lock: c_int) -> c_int {
        if !self.is_listed.load(Ordering::Relaxed) && !self.comes_to_be_listed() {
            return self.really(lock, 1, GIVE_SHARED);
        }
        self.lingering.store(lock, Ordering::Relaxed);
        self.state.store(LINGERS, Ordering::SeqCst);
        // Either this sees that the round ended, or what ends it sees the lock.
        if !self.is_listed.load(Ordering::SeqCst) {
            self.give_back();
        }
        ffi::SQLITE_OK
    }

    /// Whether locks of this connection linger from now on: they do if locks are taken again and again.
    #[cold]
    fn comes_to_be_listed(self: &Arc<Self>) -> bool {
        let now = rounds::coarse_milliseconds();
        let before = self.given_at.swap(now, Ordering::Relaxed);
        let in_a_row = match now - before {
            0..=REPEATED_WITHIN => self.in_a_row.load(Ordering::Relaxed) + 1,
            _ => 0,
        };
        self.in_a_row
            .store(in_a_row.min(IN_A_ROW), Ordering::Relaxed);
        if in_a_row == 0 || !IS_ALLOWED.load(Ordering::Relaxed) {
            return false;
        }
        self.is_listed.store(true, Ordering::SeqCst);
        let is_listed = ROUNDS.list(Arc::clone(self));
        if !is_listed {
            self.is_listed.store(false, Ordering::SeqCst);
            if in_a_row >= IN_A_ROW {
                ROUNDS.begin();
            }
        }
        is_listed
    }

    #[inline]
    fn take_exclusive(&self, first: c_int, count: c_int) -> c_int {
        if self.writes_next.load(Ordering::Relaxed) {
            if READ_MARKS.contains(&first) && count == 1 && self.keeps_mark() {
                return ffi::SQLITE_BUSY;
            }
            // A checkpoint, which must get what it wants.
            self.writes_next.store(false, Ordering::Relaxed);
        }
        self.settle();
        match self.really(first, count, TAKE_EXCLUSIVE) {
            ffi::SQLITE_BUSY if first + count > READ_LOCKS.start => {
                self.others_give_back();
                // Even if none did: somebody else may just have made them.
                self.really(first, count, TAKE_EXCLUSIVE)
            }
            code => code,
        }
    }

    /// Have the other connections to this database give back what lingers.
    #[cold]
    fn others_give_back(&self) {
        ROUNDS.each(|other| {
            if other.index == self.index {
                other.give_back();
            }
        });
    }

    /// Have nothing linger, for the connection.
    #[inline]
    pub fn settle(&self) {
        let lock = self.claim();
        if lock != NONE {
            self.really(lock, 1, GIVE_SHARED);
        }
    }

    /// Give the lock back that lingers, if one does. Any thread may do this.
    fn give_back(&self) {
        let is_mine =
            self.state
                .compare_exchange(LINGERS, BEING_GIVEN, Ordering::SeqCst, Ordering::SeqCst);
        if is_mine.is_ok() {
            let lock = self.lingering.load(Ordering::Relaxed);
            self.really(lock, 1, GIVE_SHARED);
            self.state.store(OWNED, Ordering::SeqCst);
        }
    }

    /// Take over what lingers, for the connection.
    #[inline]
    fn claim(&self) -> c_int {
        loop {
            match self
                .state
                .compare_exchange(LINGERS, OWNED, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return self.lingering.load(Ordering::Relaxed),
                Err(OWNED) => return NONE,
                // For one system call.
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    #[inline]
    fn really(&self, first: c_int, count: c_int, flags: c_int) -> c_int {
        // SAFETY: the file's own method, with what SQLite asked for, or to give back what it took.
        unsafe { (self.own)(self.file, first, count, flags) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sync::Mutex;
    use std::collections::HashMap;
    use std::time::Duration;

    /// Who really holds what: by lock, how many share it, or -1. One table stands for one database.
    struct Table {
        held: [i32; 8],
        calls: usize,
    }

    static TABLES: Mutex<Option<HashMap<usize, Table>>> = Mutex::new(None);

    /// What an own method does, on the table whose number the file's pointer is.
    unsafe extern "C" fn own(
        file: *mut ffi::sqlite3_file,
        first: c_int,
        count: c_int,
        flags: c_int,
    ) -> c_int {
        let mut tables = TABLES.lock();
        let table = tables.as_mut().unwrap().get_mut(&(file as usize)).unwrap();
        table.calls += 1;
        let range = first as usize..(first + count) as usize;
        let held = &mut table.held[range];
        match flags {
            TAKE_SHARED if held[0] >= 0 => held[0] += 1,
            GIVE_SHARED => {
                assert!(held[0] > 0, "given back twice");
                held[0] -= 1;
            }
            TAKE_EXCLUSIVE if held.iter().all(|count| *count == 0) => held.fill(-1),
            GIVE_EXCLUSIVE => held.fill(0),
            _ => return ffi::SQLITE_BUSY,
        }
        ffi::SQLITE_OK
    }

    const GIVE_EXCLUSIVE: c_int = ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_EXCLUSIVE;

    /// Two connections to one database of this test's.
    fn connections(number: usize) -> [Arc<Locks>; 2] {
        let empty = Table {
            held: [0; 8],
            calls: 0,
        };
        TABLES.lock().get_or_insert_default().insert(number, empty);
        [(); 2].map(|()| connection(number))
    }

    fn connection(number: usize) -> Arc<Locks> {
        // SAFETY: the own method takes the pointer for a number.
        unsafe { Locks::new(std::ptr::without_provenance_mut(number), own, number) }
    }

    fn calls(number: usize) -> usize {
        TABLES.lock().as_ref().unwrap()[&number].calls
    }

    fn held(number: usize, lock: c_int) -> i32 {
        TABLES.lock().as_ref().unwrap()[&number].held[lock as usize]
    }

    fn read(locks: &Arc<Locks>, lock: c_int) {
        assert_eq!(locks.lock(lock, 1, TAKE_SHARED), ffi::SQLITE_OK);
        assert_eq!(locks.lock(lock, 1, GIVE_SHARED), ffi::SQLITE_OK);
    }

    /// Look again and again until something is so.
    fn until(mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(20), "it never was so");
            std::hint::spin_loop();
        }
    }

    /// Read until the lock lingers. It may be given back at any time after.
    fn read_until_it_lingers(locks: &Arc<Locks>, lock: c_int) {
        until(|| {
            read(locks, lock);
            locks.state.load(Ordering::SeqCst) == LINGERS
        });
    }

    #[test]
    fn reads_in_a_row_ask_for_nothing_and_the_first_one_for_its_lock() {
        let [locks, _] = connections(1);
        read(&locks, 4);
        assert_eq!((calls(1), held(1, 4)), (2, 0));
        until(|| {
            let before = calls(1);
            (0..10).for_each(|_| read(&locks, 4));
            calls(1) == before
        });
    }

    #[test]
    fn what_lingers_is_given_back_when_nobody_reads() {
        let [locks, _] = connections(2);
        read_until_it_lingers(&locks, 5);
        until(|| held(2, 5) == 0 && locks.state.load(Ordering::SeqCst) == OWNED);
        read(&locks, 5);
    }

    #[test]
    fn what_lingers_never_keeps_this_process_from_an_exclusive_lock() {
        let [reader, other] = connections(3);
        for (first, count) in [(5, 1), (4, 4), (3, 1), (3, 5)] {
            for _ in 0..20 {
                read_until_it_lingers(&reader, first);
                assert_eq!(other.lock(first, count, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
                assert_eq!(reader.lock(first, 1, TAKE_SHARED), ffi::SQLITE_BUSY);
                assert_eq!(other.lock(first, count, GIVE_EXCLUSIVE), ffi::SQLITE_OK);
                // Its own neither.
                read_until_it_lingers(&reader, first);
                assert_eq!(reader.lock(first, count, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
                assert_eq!(reader.lock(first, count, GIVE_EXCLUSIVE), ffi::SQLITE_OK);
            }
        }
    }

    #[test]
    fn a_lock_in_use_is_not_given_to_others() {
        let [reader, other] = connections(4);
        read_until_it_lingers(&reader, 4);
        assert_eq!(reader.lock(4, 1, TAKE_SHARED), ffi::SQLITE_OK);
        assert_eq!(other.lock(4, 1, TAKE_EXCLUSIVE), ffi::SQLITE_BUSY);
        assert_eq!(held(4, 4), 1);
        assert_eq!(reader.lock(4, 1, GIVE_SHARED), ffi::SQLITE_OK);
        assert_eq!(other.lock(4, 1, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
    }

    #[test]
    fn another_lock_takes_the_place_of_the_one_that_lingers() {
        let [locks, _] = connections(5);
        read_until_it_lingers(&locks, 4);
        assert_eq!(locks.lock(6, 1, TAKE_SHARED), ffi::SQLITE_OK);
        assert_eq!((held(5, 4), held(5, 6)), (0, 1));
        assert_eq!(locks.lock(6, 1, GIVE_SHARED), ffi::SQLITE_OK);
        locks.settle();
        assert_eq!(held(5, 6), 0);
        assert_eq!(held(5, 4), 0);
    }

    #[test]
    fn a_write_that_was_announced_moves_no_mark_while_one_lingers() {
        let [locks, _] = connections(6);
        until(|| {
            read_until_it_lingers(&locks, 4);
            let before = calls(6);
            locks.expect_write();
            let refused =
                (4..8).all(|lock| locks.lock(lock, 1, TAKE_EXCLUSIVE) == ffi::SQLITE_BUSY);
            let kept = refused && calls(6) == before;
            locks.settle();
            kept
        });
        // Without a lock that lingers, or with that of the database without its WAL, marks move.
        locks.expect_write();
        assert_eq!(locks.lock(4, 1, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
        assert_eq!(locks.lock(4, 1, GIVE_EXCLUSIVE), ffi::SQLITE_OK);
        read_until_it_lingers(&locks, 3);
        locks.expect_write();
        assert_eq!(locks.lock(4, 1, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
        assert_eq!(locks.lock(4, 1, GIVE_EXCLUSIVE), ffi::SQLITE_OK);
        // A checkpoint gets what it wants, whatever was announced.
        read_until_it_lingers(&locks, 4);
        locks.expect_write();
        assert_eq!(locks.lock(1, 1, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
        assert_eq!(locks.lock(4, 1, TAKE_EXCLUSIVE), ffi::SQLITE_OK);
        assert_eq!(locks.lock(4, 1, GIVE_EXCLUSIVE), ffi::SQLITE_OK);
    }

    #[test]
    fn nothing_lingers_while_the_process_forks() {
        let [locks, _] = connections(7);
        for _ in 0..20 {
            read_until_it_lingers(&locks, 4);
            ROUNDS.pause();
            assert_eq!(held(7, 4), 0);
            for _ in 0..100 {
                read(&locks, 4);
                assert_eq!(held(7, 4), 0);
            }
            ROUNDS.go_on();
        }
        read_until_it_lingers(&locks, 4);
    }

    #[test]
    fn threads_that_read_and_one_that_wants_all_never_lose_a_lock() {
        let mine = connections(8);
        let writer = connection(8);
        std::thread::scope(|scope| {
            for locks in &mine {
                scope.spawn(move || {
                    for count in 0..200_000 {
                        let lock = 4 + (count / 1_000) % 3;
                        if locks.lock(lock, 1, TAKE_SHARED) == ffi::SQLITE_OK {
                            if count % 64 == 0 {
                                assert!(held(8, lock) > 0);
                            }
                            locks.lock(lock, 1, GIVE_SHARED);
                        }
                    }
                    locks.settle();
                });
            }
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if writer.lock(4, 4, TAKE_EXCLUSIVE) == ffi::SQLITE_OK {
                        assert_eq!(held(8, 4), -1);
                        writer.lock(4, 4, GIVE_EXCLUSIVE);
                    }
                }
            });
        });
        until(|| (3..8).all(|lock| held(8, lock) == 0));
    }
}
