//! Admission to a pool: so many places, given first come, first served.
//!
//! r2d2 wakes its waiters in no order, and none when a connection is discarded, so nobody waits there.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the head of this file.
pub struct Gate {
    state: Mutex<State>,
}

struct State {
    free: u32,
    in_use: u32,
    queue: VecDeque<Arc<Waiter>>,
}

#[derive(Default)]
struct Waiter {
    admitted: Mutex<bool>,
    signal: Condvar,
}

/// A place in the pool; dropping it lets the first waiter in.
pub struct Place {
    gate: Arc<Gate>,
}

/// Waiting was in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut {
    /// Places that are taken.
    pub in_use: u32,
    /// Others that still wait.
    pub waiting: u32,
}

impl Gate {
    /// A gate with `places` places.
    pub fn new(places: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                free: places,
                in_use: 0,
                queue: VecDeque::new(),
            }),
        })
    }

    /// Take a place, waiting up to `timeout` for one. Who came first is served first.
    pub fn enter(self: &Arc<Self>, timeout: Duration) -> Result<Place, TimedOut> {
        let waiter = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                state.in_use += 1;
                return Ok(self.place());
            }
            let waiter = Arc::new(Waiter::default());
            state.queue.push_back(Arc::clone(&waiter));
            waiter
        };
        let deadline = Instant::now().checked_add(timeout);
        let mut admitted = waiter.admitted.lock();
        while !*admitted {
            let timed_out = match deadline {
                Some(deadline) => waiter
                    .signal
                    .wait_until(&mut admitted, deadline)
                    .timed_out(),
                None => {
                    waiter.signal.wait(&mut admitted);
                    false
                }
            };
            if timed_out && !*admitted {
                drop(admitted);
                return self.give_up(&waiter);
            }
        }
        Ok(self.place())
    }

    fn place(self: &Arc<Self>) -> Place {
        Place {
            gate: Arc::clone(self),
        }
    }

    /// Leave the queue, unless a place was handed over at the last moment.
    fn give_up(self: &Arc<Self>, waiter: &Arc<Waiter>) -> Result<Place, TimedOut> {
        let mut state = self.state.lock();
        match state
            .queue
            .iter()
            .position(|other| Arc::ptr_eq(other, waiter))
        {
            Some(position) => {
                state.queue.remove(position);
                Err(TimedOut {
                    in_use: state.in_use,
                    waiting: state.queue.len() as u32,
                })
            }
            None => Ok(self.place()),
        }
    }

    fn leave(&self) {
        let next = {
            let mut state = self.state.lock();
            let next = state.queue.pop_front();
            if next.is_none() {
                state.free += 1;
                state.in_use -= 1;
            }
            next
        };
        if let Some(waiter) = next {
            *waiter.admitted.lock() = true;
            waiter.signal.notify_one();
        }
    }

    /// Places taken, and callers waiting.
    pub fn load(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.in_use, state.queue.len() as u32)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.leave();
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
        let outcome = gate.enter(Duration::from_millis(1));
        assert_eq!(
            outcome.err(),
            Some(TimedOut {
                in_use: 1,
                waiting: 0
            })
        );
        drop(held);
        assert!(gate.enter(Duration::ZERO).is_ok());
    }
}
