//! One library beside another copy of SQLite in this process: whose locks are kept out, and whose survive.

use super::lockers::SHARED_LOCKS;
use super::parking::PARKED_OF_USED_FILE;
use super::system::{is_writable, whole_file};
use super::*;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::AtomicBool;

/// A file that another copy of SQLite has open, too. Closing a descriptor of it drops the process's locks: the test's
/// own are open until its end.
struct Shared {
    path: CString,
    theirs: c_int,
    witness: std::fs::File,
    _folder: tempfile::TempDir,
}

/// Where SQLite locks a database.
const PENDING: i64 = 0x4000_0000;

fn lock(kind: c_int, start: i64) -> libc::flock {
    let mut lock = whole_file(kind);
    lock.l_start = start;
    lock.l_len = 1;
    lock
}

impl Shared {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let file = std::fs::File::create_new(&path).unwrap();
        Self {
            path: CString::new(path.as_os_str().as_bytes()).unwrap(),
            witness: std::fs::File::options()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap(),
            theirs: file.into_raw_fd(),
            _folder: folder,
        }
    }

    /// Change a lock of the process, as the other copy does.
    fn they(&self, kind: c_int) -> bool {
        // SAFETY: the command reads a lock.
        unsafe { libc::fcntl(self.theirs, libc::F_SETLK, &lock(kind, PENDING)) == 0 }
    }

    /// Whether the process has the lock, as others see it.
    fn they_have_it(&self) -> bool {
        let mut seen = lock(libc::F_WRLCK, PENDING);
        // SAFETY: the command reads and writes a lock.
        let code = unsafe { libc::fcntl(self.witness.as_raw_fd(), libc::F_OFD_GETLK, &mut seen) };
        assert_eq!(code, 0);
        seen.l_pid == std::process::id() as i32
    }

    fn open(&self, isolation: &Isolation) -> c_int {
        // SAFETY: a C string.
        let descriptor = unsafe {
            isolation.open(
                self.path.as_ptr(),
                libc::O_RDWR | libc::O_CLOEXEC,
                0,
                || true,
            )
        };
        assert!(descriptor >= 0);
        descriptor
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        close_at_once(self.theirs);
    }
}

/// Change a lock of ours. Tells whether that was possible.
fn we(isolation: &Isolation, descriptor: c_int, kind: c_int, start: i64) -> bool {
    let mut lock = lock(kind, start);
    // SAFETY: the command reads a lock.
    unsafe { isolation.control(descriptor, libc::F_SETLK, (&raw mut lock).cast()) == 0 }
}

#[test]
fn each_copys_locks_keep_the_other_out() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    let ours = shared.open(&isolation);
    assert!(shared.they(libc::F_WRLCK));
    assert!(!we(&isolation, ours, libc::F_RDLCK, PENDING));
    assert!(shared.they(libc::F_UNLCK));
    assert!(we(&isolation, ours, libc::F_WRLCK, PENDING));
    assert!(!shared.they(libc::F_WRLCK));
    assert!(we(&isolation, ours, libc::F_UNLCK, PENDING));
    assert!(shared.they(libc::F_WRLCK));
    isolation.close(ours);
}

#[test]
fn connections_of_ours_share_their_locks_by_file() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    let (first, second) = (shared.open(&isolation), shared.open(&isolation));
    assert!(isolation.prepare(first).is_ok());
    // As SQLite does, which keeps account: what one has locked, the other gives back.
    assert!(we(&isolation, first, libc::F_WRLCK, PENDING));
    assert!(we(&isolation, second, libc::F_WRLCK, PENDING));
    assert!(!shared.they(libc::F_WRLCK));
    assert!(we(&isolation, second, libc::F_UNLCK, PENDING));
    assert!(shared.they(libc::F_WRLCK));
    assert!(shared.they(libc::F_UNLCK));
    isolation.close(first);
    assert_eq!(isolation.parked(), 1, "it waits for the other");
    isolation.close(second);
    assert_eq!(isolation.parked(), 0);
}

#[test]
fn two_indexes_at_one_inode_keep_each_other_out() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    let (first, second) = (shared.open(&isolation), shared.open(&isolation));
    assert!(we(&isolation, first, libc::F_WRLCK, INDEX_LOCKS.start));
    assert!(!we(&isolation, second, libc::F_WRLCK, INDEX_LOCKS.start));
    isolation.close(first);
    assert!(
        we(&isolation, second, libc::F_WRLCK, INDEX_LOCKS.start),
        "it ended with its file"
    );
    isolation.close(second);
    assert_eq!(isolation.parked(), 0);
}

#[test]
fn a_close_drops_no_lock_of_the_process_and_what_is_parked_is_used_again() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    for start in [PENDING, INDEX_LOCKS.start] {
        assert!(shared.they(libc::F_WRLCK));
        let mut seen = Vec::new();
        for _ in 0..5 {
            let ours = shared.open(&isolation);
            // Another byte: theirs is taken.
            assert!(we(&isolation, ours, libc::F_WRLCK, start + 1));
            isolation.close(ours);
            assert!(shared.they_have_it());
            seen.push(isolation.parked());
            isolation.close_parked();
            assert!(shared.they_have_it());
        }
        assert_eq!(seen, [2; 5], "a descriptor and that of its locks");
        assert!(shared.they(libc::F_UNLCK));
        isolation.close_parked();
        assert_eq!(isolation.parked(), 0);
    }
}

#[test]
fn what_was_opened_and_never_locked_drops_no_lock_either() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    assert!(shared.they(libc::F_WRLCK));
    let ours = shared.open(&isolation);
    isolation.close(ours);
    assert!(shared.they_have_it());
    assert_eq!(isolation.parked(), 1);
    assert!(shared.they(libc::F_UNLCK));
    isolation.close_parked();
    assert_eq!(isolation.parked(), 0);
}

#[test]
fn a_descriptor_for_reading_is_not_given_to_who_wants_to_write() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    assert!(shared.they(libc::F_WRLCK));
    // SAFETY: a C string.
    let open = |flags| unsafe { isolation.open(shared.path.as_ptr(), flags, 0, || true) };
    let reading = open(libc::O_RDONLY);
    isolation.close(reading);
    assert_eq!(isolation.parked(), 1);
    let writing = open(libc::O_RDWR);
    assert!(writing != reading && is_writable(writing));
    assert_eq!(open(libc::O_RDONLY), reading);
    isolation.close(writing);
    isolation.close(reading);
    assert!(shared.they_have_it());
    assert!(shared.they(libc::F_UNLCK));
    isolation.close_parked();
    assert_eq!(isolation.parked(), 0);
}

#[test]
fn a_locker_for_reading_hands_its_locks_over_at_the_first_lock_to_write() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    let reading = shared.open(&isolation);
    assert!(isolation.prepare(reading).is_ok());
    // As if the process could only read the file then.
    // SAFETY: a C string.
    let for_reading = unsafe { libc::open(shared.path.as_ptr(), libc::O_RDONLY) };
    for locker in isolation.files().lockers.values_mut() {
        let before = std::mem::replace(&mut locker.descriptor, for_reading);
        locker.is_writable = false;
        let after = Known::Locks(for_reading);
        isolation.descriptors.replace(Known::Locks(before), after);
        close_at_once(before);
    }
    let shared_lock = SHARED_LOCKS.start;
    assert!(we(&isolation, reading, libc::F_RDLCK, shared_lock));
    assert!(!we(&isolation, reading, libc::F_WRLCK, PENDING));
    let writing = shared.open(&isolation);
    assert!(isolation.prepare(writing).is_ok());
    assert_eq!(isolation.parked(), 0);
    assert!(we(&isolation, writing, libc::F_WRLCK, PENDING));
    assert!(!shared.they(libc::F_RDLCK));
    let is_read = |isolation: &Isolation| {
        let mut seen = lock(libc::F_WRLCK, shared_lock);
        // SAFETY: the command reads and writes a lock.
        unsafe { libc::fcntl(shared.theirs, libc::F_OFD_GETLK, &mut seen) };
        assert_eq!(isolation.parked(), 1, "the one before");
        c_int::from(seen.l_type) == libc::F_RDLCK
    };
    assert!(is_read(&isolation));
    assert!(we(&isolation, reading, libc::F_UNLCK, shared_lock));
    assert!(!is_read(&isolation));
    assert!(we(&isolation, reading, libc::F_WRLCK, shared_lock));
    let mut all = whole_file(libc::F_UNLCK);
    // SAFETY: the command reads a lock.
    unsafe { isolation.control(reading, libc::F_SETLK, (&raw mut all).cast()) };
    isolation.close(writing);
    isolation.close(reading);
    assert_eq!(isolation.parked(), 0);
}

#[test]
fn few_descriptors_wait_for_a_file_that_stays_in_use() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    let stays = shared.open(&isolation);
    assert!(we(&isolation, stays, libc::F_RDLCK, PENDING));
    let many: Vec<_> = (0..3 * PARKED_OF_USED_FILE)
        .map(|_| shared.open(&isolation))
        .collect();
    assert!(we(&isolation, stays, libc::F_UNLCK, PENDING));
    for descriptor in many {
        assert!(isolation.prepare(descriptor).is_ok());
        isolation.close(descriptor);
        assert!(isolation.parked() as usize <= PARKED_OF_USED_FILE);
    }
    isolation.close(stays);
    assert_eq!(isolation.parked(), 0);
}

/// Lets the other thread end, whatever comes of this one.
struct EndOfTest<'a>(&'a AtomicBool);

impl Drop for EndOfTest<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn closing_while_another_thread_locks_never_drops_its_lock() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    let is_over = AtomicBool::new(false);
    let taken = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let ours = shared.open(&isolation);
                assert!(isolation.prepare(ours).is_ok());
                isolation.close(ours);
                isolation.close_parked();
            }
        });
        let _end = EndOfTest(&is_over);
        let mut taken = 0;
        for _ in 0..100_000 {
            // Refused for the moment of a close, which holds the whole file.
            if shared.they(libc::F_WRLCK) {
                assert!(shared.they_have_it());
                std::hint::spin_loop();
                assert!(shared.they_have_it());
                assert!(shared.they(libc::F_UNLCK));
                taken += 1;
            }
        }
        taken
    });
    assert!(taken > 1_000, "only {taken} locks could be taken");
    isolation.close_parked();
    assert_eq!(isolation.parked(), 0);
}

#[test]
fn journals_folders_and_others_are_just_closed() {
    let (isolation, shared) = (Isolation::new(), Shared::new());
    // SAFETY: C strings.
    let (folder, null) = unsafe {
        (
            isolation.open(c"/".as_ptr(), libc::O_RDONLY, 0, || false),
            isolation.open(c"/dev/null".as_ptr(), libc::O_RDWR, 0, || false),
        )
    };
    for descriptor in [folder, null, shared.open(&isolation)] {
        assert_eq!(isolation.close(descriptor), 0);
        assert!(descriptors::status(descriptor).is_none());
    }
    assert_eq!(isolation.parked(), 0);
}
