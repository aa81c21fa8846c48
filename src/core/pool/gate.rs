//! Admission to a pool: so many places, given first come, first served.
//!
//! r2d2 wakes its waiters in no order, and none when a connection is discarded, so nobody waits there.

use super::waits::{self, Circle, Wait};
use crate::core::sync::{Condvar, Mutex, MutexGuard};
use crate::core::{process, thread};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// See the head of this file.
pub struct Gate {
    state: Mutex<State>,
    /// The process that it belongs to.
    process: AtomicU32,
    /// How long a thread may come again before those who wait, so that not each hand-over waits for a thread to wake
    /// up.
    slice: Duration,
}

struct State {
    places: u32,
    /// The threads that have a place; who has several is there as often.
    holders: Vec<usize>,
    queue: VecDeque<Arc<Waiter>>,
    /// The thread that came last from outside the queue or out of it, and when it came first without another one in
    /// between.
    last: usize,
    since: Option<Instant>,
    /// The first in the queue was woken and has not looked yet.
    is_woken: bool,
}

impl State {
    fn in_use(&self) -> u32 {
        self.holders.len() as u32
    }

    /// Whether a thread may come in past the queue.
    fn lets_in(&self, thread: usize) -> bool {
        self.in_use() < self.places && (self.first().is_none() || self.last == thread)
    }

    /// Where the first in the queue is who could take a place now.
    fn first(&self) -> Option<usize> {
        self.queue.iter().position(|waiter| !waiter.is_away())
    }

    fn position(&self, waiter: &Arc<Waiter>) -> Option<usize> {
        let mut queue = self.queue.iter();
        queue.position(|other| Arc::ptr_eq(other, waiter))
    }

    /// Whether the thread that came last may come again before those who wait.
    fn is_in_slice(&self, slice: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() < slice)
    }

    fn take(&mut self, thread: usize, slice: Duration) {
        self.holders.push(thread);
        if !slice.is_zero() && self.last != thread {
            self.last = thread;
            self.since = Some(Instant::now());
        }
    }
}

struct Waiter {
    thread: usize,
    /// It runs the interrupt check, which may itself wait here. Changed under the gate's lock.
    away: AtomicBool,
    news: Mutex<News>,
    signal: Condvar,
}

/// What a waiter was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    None,
    /// There may be a place for it.
    MayLook,
    /// It has a place.
    Admitted,
}

impl Waiter {
    fn new(thread: usize) -> Arc<Self> {
        Arc::new(Self {
            thread,
            away: AtomicBool::new(false),
            news: Mutex::new(News::None),
            signal: Condvar::new(),
        })
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Tell it something. It need not sleep yet.
    fn tell(&self, what: News) {
        let mut news = self.news.lock();
        if *news != News::Admitted {
            *news = what;
        }
        self.signal.notify_one();
    }

    /// Wait for news without being woken.
    fn stay_awake(&self) {
        let until = Instant::now() + STAY_AWAKE;
        while *self.news.lock() != News::Admitted && Instant::now() < until {
            std::hint::spin_loop();
        }
    }
}

/// A place in the pool; dropping it lets the first waiter in.
pub struct Place {
    gate: Arc<Gate>,
    /// The one that it was given to; it may be let go of in another one.
    thread: usize,
}

impl Place {
    /// Whether dropping it hands it over to another thread.
    pub fn hands_over(&self) -> bool {
        if !self.gate.is_here() {
            return false;
        }
        let state = self.gate.state.lock();
        state.first().is_some() && !state.is_in_slice(self.gate.slice)
    }
}

/// Waiting was in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InVain {
    pub reason: Refusal,
    /// The threads that have the places, one entry each place.
    pub holders: Vec<usize>,
    /// Others that still wait.
    pub waiting: u32,
}

/// Why nobody was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    TimedOut,
    /// The interrupt check said so, before the time was up.
    Interrupted,
    /// It was not waited at all: that would never have ended.
    Endless(Circle),
}

/// Tells whether the calling thread is to give up waiting (Ctrl-C in Python). It is handed what runs the part of it that may
/// take long, or wait itself.
pub type InterruptCheck = fn(&mut dyn FnMut(&mut dyn FnMut())) -> bool;

static INTERRUPT_CHECK: OnceLock<InterruptCheck> = OnceLock::new();

/// Let waiting threads ask from time to time whether they are to give up. The first call wins.
pub fn set_interrupt_check(check: InterruptCheck) {
    INTERRUPT_CHECK.get_or_init(|| check);
}

/// How long the first in the queue stays awake when the other thread's time is up: about as long as that thread needs
/// to end what it is doing, and less than it takes to be woken.
const STAY_AWAKE: Duration = Duration::from_micros(50);

/// How often a waiting thread asks.
const ASK_EVERY: Duration = Duration::from_millis(100);

impl Gate {
    /// A gate with `places` places.
    pub fn new(places: u32) -> Arc<Self> {
        Self::with_slice(places, Duration::ZERO)
    }

    /// A gate through which the last thread may come again for some time before those who wait.
    pub fn with_slice(places: u32, slice: Duration) -> Arc<Self> {
        Arc::new(Self {
            process: AtomicU32::new(process::number()),
            state: Mutex::new(State {
                places,
                holders: Vec::new(),
                queue: VecDeque::new(),
                last: 0,
                since: None,
                is_woken: false,
            }),
            slice,
        })
    }

    /// Take a place if one is free and nobody waits.
    #[inline]
    pub fn try_enter(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.state.lock();
        let me = thread::number();
        if !state.lets_in(me) {
            return None;
        }
        state.take(me, self.slice);
        Some(self.place(me))
    }

    /// Take a place, waiting up to `timeout` for one. Who came first is served first.
    pub fn enter(self: &Arc<Self>, timeout: Duration) -> Result<Place, InVain> {
        let me = thread::number();
        let waiter = Waiter::new(me);
        let waiting = waits::begin(me, || {
            let mut state = self.state.lock();
            if state.lets_in(me) {
                state.take(me, self.slice);
                return None;
            }
            state.queue.push_back(Arc::clone(&waiter));
            Some(self.look_for(&waiter))
        });
        let waiting = match waiting {
            Ok(Some(waiting)) => waiting,
            Ok(None) => return Ok(self.place(me)),
            Err(circle) => return self.give_up(&waiter, Refusal::Endless(circle)),
        };
        let deadline = Instant::now().checked_add(timeout);
        // When to look again without being woken.
        let mut look = None;
        let mut news = waiter.news.lock();
        while *news != News::Admitted {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                drop(news);
                return self.give_up(&waiter, Refusal::TimedOut);
            }
            let ask = now + ASK_EVERY;
            let until = [deadline, look]
                .into_iter()
                .flatten()
                .fold(ask, Instant::min);
            if *news == News::None {
                news = waiter.signal.wait_until(news, until);
            }
            if *news != News::Admitted && !self.slice.is_zero() {
                *news = News::None;
                drop(news);
                if look.is_some_and(|look| Instant::now() >= look) {
                    waiter.stay_awake();
                }
                look = match self.step_in(&waiter) {
                    Ok(()) => return Ok(self.place(me)),
                    Err(look) => look,
                };
                news = waiter.news.lock();
            }
            if let Some(check) = INTERRUPT_CHECK.get()
                && *news != News::Admitted
                && Instant::now() >= ask
                && thread::is_first()
            {
                drop(news);
                if check(&mut |part| self.away(&waiter, part)) {
                    return self.give_up(&waiter, Refusal::Interrupted);
                }
                if let Err(circle) = waiting.check() {
                    return self.give_up(&waiter, Refusal::Endless(circle));
                }
                news = waiter.news.lock();
            }
        }
        drop(news);
        if !self.slice.is_zero() {
            self.state.lock().last = me;
        }
        Ok(self.place(me))
    }

    fn place(self: &Arc<Self>, thread: usize) -> Place {
        Place {
            gate: Arc::clone(self),
            thread,
        }
    }

    /// Do something that may want a place here, too (a signal's handler): meanwhile the others in the queue are served.
    fn away(&self, waiter: &Waiter, part: &mut dyn FnMut()) {
        let mut state = self.state.lock();
        waiter.away.store(true, Ordering::Relaxed);
        state.is_woken = false;
        self.admit(state);
        part();
        state = self.state.lock();
        waiter.away.store(false, Ordering::Relaxed);
        state.is_woken = false;
        self.admit(state);
    }

    /// For whom one waits here.
    fn look_for(self: &Arc<Self>, waiter: &Arc<Waiter>) -> waits::Look {
        let (gate, waiter) = (Arc::clone(self), Arc::clone(waiter));
        Box::new(move || {
            let state = gate.state.lock();
            state.position(&waiter)?;
            Some(Wait {
                holders: state.holders.clone(),
                leavers: (state.in_use() + 1).saturating_sub(state.places) as usize,
            })
        })
    }

    /// Leave the queue. A place that was handed over at the last moment is taken, unless the caller must go all the same.
    fn give_up(self: &Arc<Self>, waiter: &Arc<Waiter>, reason: Refusal) -> Result<Place, InVain> {
        let mut state = self.state.lock();
        match state.position(waiter) {
            Some(position) => {
                state.queue.remove(position);
                let in_vain = InVain {
                    reason,
                    holders: state.holders.clone(),
                    waiting: state.queue.len() as u32,
                };
                // It may have been woken for a free place: the next one's.
                state.is_woken = false;
                self.admit(state);
                Err(in_vain)
            }
            None => {
                let place = self.place(waiter.thread);
                if reason != Refusal::Interrupted {
                    return Ok(place);
                }
                let in_vain = InVain {
                    reason,
                    holders: state.holders.clone(),
                    waiting: state.queue.len() as u32,
                };
                drop(state);
                drop(place);
                Err(in_vain)
            }
        }
    }

    /// Take a free place as the first in the queue. If there is none, tells when to look again unless woken before.
    fn step_in(&self, waiter: &Arc<Waiter>) -> Result<(), Option<Instant>> {
        let mut state = self.state.lock();
        let Some(position) = state.first() else {
            return Err(None);
        };
        if !Arc::ptr_eq(&state.queue[position], waiter) {
            return Err(None);
        }
        if state.in_use() >= state.places {
            let end = state.since.map(|since| since + self.slice);
            let end = end.filter(|end| *end > Instant::now());
            // The other thread comes again and again, until its time is up: no need to be woken each time.
            state.is_woken = end.is_some();
            return Err(end);
        }
        state.is_woken = false;
        state.queue.remove(position);
        state.take(waiter.thread, self.slice);
        Ok(())
    }

    fn leave(&self, thread: usize) {
        let mut state = self.state.lock();
        if let Some(position) = state.holders.iter().position(|holder| *holder == thread) {
            state.holders.swap_remove(position);
        }
        if state.is_in_slice(self.slice) && state.in_use() < state.places {
            // Whoever is quicker: this thread again, or the first of those who wait.
            if let Some(first) = state.first().map(|first| Arc::clone(&state.queue[first]))
                && !std::mem::replace(&mut state.is_woken, true)
            {
                drop(state);
                first.tell(News::MayLook);
            }
            return;
        }
        // Its time is up: it queues like everybody else.
        state.last = 0;
        self.admit(state);
    }

    #[inline]
    fn is_here(&self) -> bool {
        self.process.load(Ordering::Relaxed) == process::number()
    }

    /// Whether it can be used on in the child of a fork: no thread that is gone is using it.
    pub fn is_whole(&self) -> bool {
        self.state.try_lock().is_some_and(|state| {
            let is_there = |thread: &usize| *thread == process::forker();
            state.queue.is_empty() && state.holders.iter().all(is_there)
        })
    }

    /// Use it on in the child of a fork.
    pub fn inherit(&self) {
        self.process.store(process::number(), Ordering::Relaxed);
    }

    /// Let those in for whom there is room.
    fn admit(&self, mut state: MutexGuard<'_, State>) {
        let mut admitted = Vec::new();
        while state.in_use() < state.places
            && let Some(first) = state.first()
            && let Some(waiter) = state.queue.remove(first)
        {
            state.holders.push(waiter.thread);
            state.since = (!self.slice.is_zero()).then(Instant::now);
            state.is_woken = false;
            admitted.push(waiter);
        }
        drop(state);
        for waiter in admitted {
            waiter.tell(News::Admitted);
        }
    }

    /// Have so many places from now on. Who is in stays in.
    pub fn resize(&self, places: u32) {
        let mut state = self.state.lock();
        state.places = places;
        self.admit(state);
    }

    /// Places taken, and callers waiting.
    pub fn load(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.in_use(), state.queue.len() as u32)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Who queued in the parent is not there.
        if self.gate.is_here() {
            self.gate.leave(self.thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn waiters_are_served_in_the_order_they_came() {
        let gate = Gate::new(1);
        let first = gate.enter(Duration::ZERO).ok().unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut threads = Vec::new();
        for number in 0..4 {
            let (gate_of_thread, sender) = (Arc::clone(&gate), sender.clone());
            threads.push(std::thread::spawn(move || {
                let place = gate_of_thread.enter(Duration::from_secs(60)).ok().unwrap();
                sender.send(number).unwrap();
                drop(place);
            }));
            while gate.load().1 <= number {
                std::thread::yield_now();
            }
        }
        drop(first);
        let order: Vec<u32> = receiver.iter().take(4).collect();
        assert_eq!(order, [0, 1, 2, 3]);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(gate.load(), (0, 0));
    }

    #[test]
    fn waiting_in_vain_leaves_the_queue() {
        let gate = Gate::new(1);
        let held = gate.enter(Duration::ZERO).ok().unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| gate.enter(Duration::from_millis(1)).err());
            assert_eq!(
                other.join().unwrap(),
                Some(InVain {
                    reason: Refusal::TimedOut,
                    holders: vec![thread::number()],
                    waiting: 0
                })
            );
        });
        drop(held);
        assert!(gate.enter(Duration::ZERO).is_ok());
    }

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let gate = Gate::new(1);
        let place = gate.enter(Duration::ZERO).ok().unwrap();
        let refused = gate.enter(Duration::from_secs(60)).err().unwrap();
        assert_eq!(refused.reason, Refusal::Endless(Circle::Own));
        assert_eq!(gate.load(), (1, 0));
        // A place may be let go of in another thread.
        std::thread::scope(|scope| scope.spawn(move || drop(place)).join().unwrap());
        assert!(gate.enter(Duration::ZERO).is_ok());
    }

    #[test]
    fn waiting_in_opposite_order_is_refused_to_the_second() {
        let (one, two) = (Gate::new(1), Gate::with_slice(1, Duration::from_millis(2)));
        let long = Duration::from_secs(60);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let own = one.enter(long).ok().unwrap();
            let (one, two) = (&one, &two);
            let other = scope.spawn(move || {
                let own = two.enter(long).ok().unwrap();
                sender.send(()).unwrap();
                let both = one.enter(long).is_ok();
                drop(own);
                both
            });
            receiver.recv().unwrap();
            while one.load().1 == 0 {
                std::thread::yield_now();
            }
            let refused = two.enter(long).err().unwrap();
            assert_eq!(refused.reason, Refusal::Endless(Circle::Others));
            drop(own);
            assert!(other.join().unwrap());
        });
    }

    #[test]
    fn a_waiter_that_does_not_sleep_yet_keeps_the_news() {
        let gate = Gate::with_slice(1, Duration::from_secs(60));
        let place = gate.enter(Duration::ZERO).ok().unwrap();
        let waiter = Waiter::new(usize::MAX);
        gate.state.lock().queue.push_back(Arc::clone(&waiter));
        drop(place);
        assert_eq!(*waiter.news.lock(), News::MayLook);
        assert_eq!(gate.step_in(&waiter), Ok(()));
        assert_eq!(gate.load(), (1, 0));
    }

    #[test]
    fn who_runs_the_interrupt_check_is_passed_over_and_keeps_its_place_in_the_queue() {
        for slice in [Duration::ZERO, Duration::from_secs(60)] {
            let gate = Gate::with_slice(1, slice);
            let place = gate.enter(Duration::ZERO).ok().unwrap();
            let waiters = [Waiter::new(usize::MAX), Waiter::new(usize::MAX - 1)];
            gate.state.lock().queue.extend(waiters.iter().cloned());
            waiters[0].away.store(true, Ordering::Relaxed);
            drop(place);
            match slice.is_zero() {
                true => assert_eq!(*waiters[1].news.lock(), News::Admitted),
                false => assert_eq!(gate.step_in(&waiters[1]), Ok(())),
            }
            drop(gate.place(waiters[1].thread));
            gate.away(&waiters[0], &mut || ());
            assert_eq!(*waiters[0].news.lock(), News::Admitted);
            assert_eq!(gate.load(), (1, 0));
        }
    }

    #[test]
    fn a_gate_that_grows_lets_waiters_in_and_one_that_shrinks_lets_nobody_out() {
        let gate = Gate::new(1);
        let first = gate.enter(Duration::ZERO).ok().unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| gate.enter(Duration::from_secs(60)).is_ok());
            while gate.load().1 == 0 {
                std::thread::yield_now();
            }
            gate.resize(2);
            assert!(other.join().unwrap());
        });
        gate.resize(0);
        assert_eq!(gate.load().0, 1);
        drop(first);
        assert!(gate.try_enter().is_none());
    }

    #[test]
    fn within_its_slice_a_thread_may_come_again_and_then_the_queue_is_served() {
        let gate = Gate::with_slice(1, Duration::from_millis(2));
        let first = gate.enter(Duration::ZERO).ok().unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| gate.enter(Duration::from_secs(60)).is_ok());
            while gate.load().1 == 0 {
                std::thread::yield_now();
            }
            drop(first);
            // However often this thread comes again, the other one gets its turn.
            while gate.load().1 > 0 {
                drop(gate.enter(Duration::from_secs(60)));
            }
            assert!(other.join().unwrap());
        });
        assert_eq!(gate.load(), (0, 0));
    }
}
