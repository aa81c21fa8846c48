//! The threads that all pools share, and a fork beside them.
//!
//! They wait by parking_lot, as all of r2d2 does. It keeps all threads that wait in one table, each with an entry in its own
//! stack, and the child of a fork gets the table while its new threads get the stacks. So no thread may wait there when
//! the process forks: ours wait for it in a job that uses none of it, and nobody else has to do with r2d2's meanwhile.

use super::LOG;
use crate::core::process::{InHand, PerProcess};
use crate::core::sync::{Condvar, Mutex, MutexGuard};
use crate::core::thread;
use log::Level;
use scheduled_thread_pool::{OnPoolDropBehavior, ScheduledThreadPool};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Once, Weak, mpsc};
use std::time::{Duration, Instant};

/// One worker for the housekeeping of all pools, which may wait for the disk.
static HOUSEKEEPER: PerProcess<Mutex<Option<Housekeeper>>> = PerProcess::new(Mutex::default);

struct Housekeeper {
    worker: Worker,
    /// It looks after the pools.
    sweeps: bool,
}

/// One worker for r2d2 in all pools, which is waited for and never waits; r2d2's default is three threads a pool.
static ADOPTER: PerProcess<Mutex<Option<Worker>>> = PerProcess::new(Mutex::default);

/// Those that there are, also if only r2d2's pools have them still.
static ALL: PerProcess<Mutex<Vec<Weak<ScheduledThreadPool>>>> = PerProcess::new(Mutex::default);

/// Held while a thread waits for r2d2's worker.
static WAITS: PerProcess<Mutex<()>> = PerProcess::new(Mutex::default);

/// A pool of one thread.
struct Worker(Arc<ScheduledThreadPool>);

impl Worker {
    fn start(name: &str) -> Self {
        let builder = ScheduledThreadPool::builder()
            .num_threads(1)
            .thread_name_pattern(name)
            // Else the next sweep is waited for.
            .on_drop_behavior(OnPoolDropBehavior::DiscardPendingScheduled);
        let pool = Arc::new(thread::without_signals(|| builder.build()));
        watch_forks();
        let mut all = ALL.lock();
        all.retain(|pool| pool.strong_count() > 0);
        all.push(Arc::downgrade(&pool));
        Self(pool)
    }

    /// Let the thread end when nobody else uses the pool, and wait for that, but not beyond a time.
    fn end(self, until: Instant) {
        // When the thread has told its number, it has begun, and what it did before no longer uses the pool.
        let number = Arc::new(AtomicI32::new(0));
        let told = Arc::clone(&number);
        self.0
            .execute(move || told.store(thread::this(), Ordering::Release));
        let number = || number.load(Ordering::Acquire);
        thread::wait(until, || number() != 0);
        if Arc::into_inner(self.0).is_some() {
            thread::wait(until, || !thread::is_running(number()));
        }
    }
}

fn with_housekeeper(work: impl FnOnce(&mut Housekeeper)) {
    work(HOUSEKEEPER.lock().get_or_insert_with(|| Housekeeper {
        worker: Worker::start("dbmanager-pool-{}"),
        sweeps: false,
    }));
}

/// Have the housekeeper call a function again and again, the same one each time this is said.
pub fn sweep_every(period: Duration, sweep: fn()) {
    with_housekeeper(|housekeeper| {
        if !std::mem::replace(&mut housekeeper.sweeps, true) {
            housekeeper
                .worker
                .0
                .execute_at_fixed_rate(period, period, move || guarded(sweep));
        }
    });
}

/// Run a job that must not end the thread, nor the ones after it.
fn guarded(job: fn()) {
    if let Err(panic) = std::panic::catch_unwind(job) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        log::error!(target: LOG, "a defect of dbmanager, please report it: {}", text.unwrap_or("panic"));
    }
}

/// Log a message by the housekeeper, because the caller may hold locks.
#[cold]
pub fn log_later(level: Level, message: String) {
    with_housekeeper(|housekeeper| {
        housekeeper
            .worker
            .0
            .execute(move || log::log!(target: LOG, level, "{message}"));
    });
}

/// Have the housekeeper run a job, and wait for its end as long as `patience` at most. Not at all where nobody sweeps:
/// there are no pools then.
pub fn run(job: fn(), patience: Duration) {
    let (ended, end) = mpsc::channel();
    if let Some(housekeeper) = HOUSEKEEPER.lock().as_ref() {
        housekeeper.worker.0.execute(move || {
            guarded(job);
            // Whoever asked may have lost patience.
            let _ = ended.send(());
        });
    }
    let _ = end.recv_timeout(patience);
}

/// Wait for r2d2's worker in this time. No thread forks meanwhile.
pub fn wait_for_adopter() -> MutexGuard<'static, ()> {
    WAITS.get().lock()
}

/// The worker for r2d2.
pub fn adopter() -> Arc<ScheduledThreadPool> {
    let mut adopter = ADOPTER.lock();
    let worker = adopter.get_or_insert_with(|| Worker::start("dbmanager-adopt-{}"));
    Arc::clone(&worker.0)
}

/// Let the threads end, and wait for that a little. They are started again when they are needed. r2d2's worker stays as
/// long as it has a pool.
pub fn stop() {
    let until = Instant::now() + Duration::from_millis(100);
    let housekeeper = HOUSEKEEPER.lock().take();
    if let Some(housekeeper) = housekeeper {
        housekeeper.worker.end(until);
    }
    let adopter = ADOPTER.lock().take();
    if let Some(adopter) = adopter {
        adopter.end(until);
    }
}

/// How long a fork waits for a thread that is doing something. It does not wait by parking_lot then.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where the threads are while the process forks.
#[derive(Default)]
struct Halt {
    state: Mutex<HaltState>,
    change: Condvar,
}

#[derive(Default)]
struct HaltState {
    halted: usize,
    is_over: bool,
}

impl Halt {
    /// Stay until it is over.
    fn stay(&self) {
        let mut state = self.state.lock();
        state.halted += 1;
        self.change.notify_one();
        while !state.is_over {
            state = self.change.wait(state);
        }
        // The next one: they are woken one by one.
        self.change.notify_one();
    }

    /// Wait until so many threads stay, or until a time.
    fn wait_for(&self, threads: usize, until: Instant) {
        let mut state = self.state.lock();
        while state.halted < threads && Instant::now() < until {
            state = self.change.wait_until(state, until);
        }
    }

    fn end(&self) {
        self.state.lock().is_over = true;
        self.change.notify_one();
    }
}

/// What a thread that forks has in hand.
struct Fork {
    halt: Arc<Halt>,
    workers: Vec<Arc<ScheduledThreadPool>>,
    _waits: MutexGuard<'static, ()>,
    _housekeeper: MutexGuard<'static, Option<Housekeeper>>,
    _adopter: MutexGuard<'static, Option<Worker>>,
}

static IN_HAND: InHand<Fork> = InHand::new();

fn watch_forks() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // SAFETY: the functions do what may be done in the child of a process with threads.
        let code = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        if code != 0 {
            log::warn!(target: LOG, "no pool may be in use at a fork: it will not be noticed ({code})");
        }
    });
}

unsafe extern "C" fn before() {
    let fork = Fork {
        halt: Arc::default(),
        _waits: wait_for_adopter(),
        _housekeeper: HOUSEKEEPER.get().lock(),
        _adopter: ADOPTER.get().lock(),
        workers: ALL.lock().iter().filter_map(Weak::upgrade).collect(),
    };
    for worker in &fork.workers {
        let halt = Arc::clone(&fork.halt);
        worker.execute(move || halt.stay());
    }
    let until = Instant::now() + PATIENCE;
    fork.halt.wait_for(fork.workers.len(), until);
    // SAFETY: with the locks.
    unsafe { IN_HAND.keep(fork) };
}

unsafe extern "C" fn in_parent() {
    // SAFETY: with the locks, which `before` took.
    if let Some(fork) = unsafe { IN_HAND.take() } {
        fork.halt.end();
    }
}

unsafe extern "C" fn in_child() {
    // What is in hand is the parent's.
    // SAFETY: as above.
    std::mem::forget(unsafe { IN_HAND.take() });
}
