//! Rounds of time, in the first part of which things may linger, and the thread that ends that part.
//!
//! All processes count rounds by the same clock, so that in the last part nothing lingers in any of them. Rounds go on as
//! long as something lingers; else the thread sleeps.

use crate::core::sync::{Condvar, Mutex, MutexGuard};
use crate::core::{process, thread};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long a round is, and its first part.
const ROUND: Duration = Duration::from_millis(12);
const FIRST_PART: Duration = Duration::from_millis(10);

/// The rounds of a process, in which things of type `T` linger.
pub struct Rounds<T: 'static> {
    /// What may linger until the first part of this round ends; None when nothing may.
    listed: Mutex<Option<Vec<T>>>,
    /// Ends a thing's lingering.
    end: fn(&T),
    clockwork: Mutex<Clockwork>,
    /// Wakes the thread.
    change: Condvar,
    sleeps: AtomicBool,
    /// The system's number of the thread.
    number: AtomicI32,
}

#[derive(Default)]
struct Clockwork {
    thread: Option<JoinHandle<()>>,
    is_wanted: bool,
    stops: bool,
    /// How many threads have paused it.
    pauses: u32,
}

impl<T: Send> Rounds<T> {
    /// Rounds that have not begun, and the function that ends a thing's lingering.
    pub fn new(end: fn(&T)) -> Self {
        Self {
            listed: Mutex::new(None),
            end,
            clockwork: Mutex::default(),
            change: Condvar::new(),
            sleeps: AtomicBool::new(true),
            number: AtomicI32::new(0),
        }
    }

    /// Let a thing linger until the end of the round's first part, and tell whether it may.
    pub fn list(&self, thing: T) -> bool {
        match &mut *self.listed.lock() {
            Some(listed) => {
                listed.push(thing);
                true
            }
            None => false,
        }
    }

    /// Call a function for all that may linger.
    pub fn each(&self, visit: impl FnMut(&T)) {
        self.listed.lock().iter().flatten().for_each(visit);
    }

    /// End the round's first part, and tell whether anything was listed.
    pub fn shut(&self) -> bool {
        let mut listed = self.listed.lock();
        listed.iter().flatten().for_each(self.end);
        listed.take().is_some_and(|listed| !listed.is_empty())
    }

    /// Begin rounds if none are going on. The thread does it: in a moment.
    pub fn begin(&'static self) {
        if !self.sleeps.load(Ordering::Relaxed) {
            return;
        }
        let mut clockwork = self.clockwork.lock();
        let is_paused = process::is_forking() || clockwork.stops || clockwork.pauses > 0;
        if is_paused || clockwork.is_wanted {
            return;
        }
        if clockwork.thread.is_none() {
            let builder = Builder::new().name("dbmanager-locks".into());
            // Without a thread nothing lingers.
            clockwork.thread = thread::without_signals(|| builder.spawn(|| self.run())).ok();
        }
        clockwork.is_wanted = clockwork.thread.is_some();
        self.change.notify_one();
    }

    fn run(&self) {
        self.number.store(thread::this(), Ordering::Release);
        let mut clockwork = self.clockwork.lock();
        while !clockwork.stops {
            if !clockwork.is_wanted || clockwork.pauses > 0 {
                clockwork.is_wanted = false;
                self.sleeps.store(true, Ordering::Relaxed);
                clockwork = self.change.wait(clockwork);
                continue;
            }
            self.sleeps.store(false, Ordering::Relaxed);
            if let Some(rest) = FIRST_PART.checked_sub(passed()) {
                *self.listed.lock() = Some(Vec::new());
                clockwork = self.wait(clockwork, rest);
                clockwork.is_wanted = self.shut();
            }
            clockwork = self.wait(clockwork, ROUND.saturating_sub(passed()));
        }
    }

    /// Wait for a time, or until the thread is to end.
    fn wait<'a>(
        &self,
        mut clockwork: MutexGuard<'a, Clockwork>,
        time: Duration,
    ) -> MutexGuard<'a, Clockwork> {
        let until = Instant::now() + time;
        while !clockwork.stops && Instant::now() < until {
            clockwork = self.change.wait_until(clockwork, until);
        }
        clockwork
    }

    /// Have nothing linger until `go_on` is called.
    pub fn pause(&self) {
        self.clockwork.lock().pauses += 1;
        self.shut();
    }

    /// Let things linger again after a `pause`.
    pub fn go_on(&self) {
        self.clockwork.lock().pauses -= 1;
    }

    /// Let the thread end, and wait for that, but not beyond a time. It is started again when it is needed.
    pub fn stop(&self, until: Instant) {
        let thread = {
            let mut clockwork = self.clockwork.lock();
            clockwork.stops = true;
            self.change.notify_one();
            clockwork.thread.take()
        };
        if thread.is_some_and(|thread| thread.join().is_ok()) {
            let number = self.number.load(Ordering::Acquire);
            thread::wait(until, || !thread::is_running(number));
        }
        let mut clockwork = self.clockwork.lock();
        clockwork.stops = false;
        clockwork.is_wanted = false;
        self.sleeps.store(true, Ordering::Relaxed);
    }
}

/// How much of the round has passed, by the system's clock.
fn passed() -> Duration {
    let nanoseconds = clock(libc::CLOCK_MONOTONIC).as_nanos() % ROUND.as_nanos();
    Duration::from_nanos(nanoseconds as u64)
}

/// The time in milliseconds, as cheaply as it can be had: up to some milliseconds late.
#[inline]
pub fn coarse_milliseconds() -> u64 {
    #[cfg(target_os = "linux")]
    let which = libc::CLOCK_MONOTONIC_COARSE;
    #[cfg(not(target_os = "linux"))]
    let which = libc::CLOCK_MONOTONIC;
    clock(which).as_millis() as u64
}

fn clock(which: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is written to a live structure. These clocks are always there.
    unsafe { libc::clock_gettime(which, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
