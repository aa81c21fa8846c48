//! Whose turn it is to write to a database: sessions of this process queue here, first come, first served, instead
//! of fighting for SQLite's lock.

use super::gate::{Gate, Place};
use crate::core::process::PerProcess;
use crate::core::raw::this_thread;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A thread that writes again and again keeps its turn for so long while others wait.
const SLICE: Duration = Duration::from_millis(2);

/// The queue of one database.
pub struct Writers {
    gate: Arc<Gate>,
    /// The thread whose turn it is; 0 if nobody's.
    owner: AtomicUsize,
}

/// A thread's turn to write; dropping it lets the next one in.
pub struct Turn {
    writers: Arc<Writers>,
    // Dropped after the owner was cleared (`Drop` below runs first).
    place: Place,
}

impl Turn {
    /// Whether dropping it hands it over to another thread, which then wants to run.
    pub fn hands_over(&self) -> bool {
        self.place.hands_over()
    }
}

/// Why there was no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurn {
    /// It is this thread's own turn already, in another session.
    OwnTurn,
    /// The thread whose turn it is waits, directly or through others, for a database that this thread has.
    DeadLock,
    /// Nobody let go in time.
    TimedOut { waiting: u32 },
    /// The interrupt check said so.
    Interrupted,
}

/// Which queue each waiting thread waits in.
static WAITING: PerProcess<Mutex<HashMap<usize, Arc<Writers>>>> = PerProcess::new(Mutex::default);

impl Writers {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::with_slice(1, SLICE),
            owner: AtomicUsize::new(0),
        })
    }

    /// This thread's turn, if it is nobody else's.
    #[inline]
    pub fn try_enter(self: &Arc<Self>) -> Option<Turn> {
        self.gate.try_enter().map(|place| self.turn(place))
    }

    /// Wait for this thread's turn.
    pub fn enter(self: &Arc<Self>, timeout: Duration) -> Result<Turn, NoTurn> {
        if let Some(place) = self.gate.try_enter() {
            return Ok(self.turn(place));
        }
        let me = this_thread();
        if self.owner.load(Ordering::Acquire) == me {
            return Err(NoTurn::OwnTurn);
        }
        {
            let mut waiting = WAITING.lock();
            if self.leads_back(me, &waiting) {
                return Err(NoTurn::DeadLock);
            }
            waiting.insert(me, Arc::clone(self));
        }
        let outcome = self.gate.enter(timeout);
        let outcome = outcome.map(|place| self.turn(place));
        WAITING.lock().remove(&me);
        outcome.map_err(|load| match load.interrupted {
            true => NoTurn::Interrupted,
            false => NoTurn::TimedOut {
                waiting: load.waiting,
            },
        })
    }

    /// Whether waiting here would close a circle of threads that wait for each other.
    fn leads_back(&self, me: usize, waiting: &HashMap<usize, Arc<Writers>>) -> bool {
        let mut owner = self.owner.load(Ordering::Acquire);
        // Each thread waits in one queue, so there is one way to follow; a circle that this thread is not part
        // of was refused to the thread that would have closed it.
        for _ in 0..=waiting.len() {
            let Some(next) = waiting.get(&owner) else {
                return false;
            };
            owner = next.owner.load(Ordering::Acquire);
            if owner == me {
                return true;
            }
        }
        false
    }

    fn turn(self: &Arc<Self>, place: Place) -> Turn {
        self.owner.store(this_thread(), Ordering::Release);
        Turn {
            writers: Arc::clone(self),
            place,
        }
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> u32 {
        self.gate.load().1
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.writers.owner.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_thread_does_not_wait_for_itself() {
        let writers = Writers::new();
        let turn = writers.enter(Duration::ZERO).ok().unwrap();
        assert_eq!(writers.enter(LONG).err(), Some(NoTurn::OwnTurn));
        drop(turn);
        assert!(writers.enter(Duration::ZERO).is_ok());
    }

    #[test]
    fn waiting_in_opposite_order_is_refused_to_the_second() {
        let (one, two) = (Writers::new(), Writers::new());
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            let own = one.enter(LONG).ok().unwrap();
            let (one, two) = (&one, &two);
            let other = scope.spawn(move || {
                let own = two.enter(LONG).ok().unwrap();
                sender.send(()).unwrap();
                let both = one.enter(LONG).is_ok();
                drop(own);
                both
            });
            receiver.recv().unwrap();
            while one.waiting() == 0 {
                std::thread::yield_now();
            }
            assert_eq!(two.enter(LONG).err(), Some(NoTurn::DeadLock));
            drop(own);
            assert!(other.join().unwrap());
        });
    }

    #[test]
    fn waiting_in_vain_says_how_many_wait() {
        let writers = Writers::new();
        let _turn = writers.enter(Duration::ZERO).ok().unwrap();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| writers.enter(Duration::from_millis(1)).err());
            assert_eq!(other.join().unwrap(), Some(NoTurn::TimedOut { waiting: 0 }));
        });
    }
}
