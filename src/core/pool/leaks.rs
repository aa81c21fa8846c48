//! Who holds sessions, and since when: for the message of a time-out, and to report those that are held too long.

use crate::core::sync::Mutex;
use crate::core::thread;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where a session was opened, in the caller's words (a stack of Python's).
pub type Place = String;

struct Holder {
    thread: usize,
    since: Instant,
    place: Place,
    reported: bool,
}

/// See the head of this file. Only sessions that were opened while tracking was on are known.
#[derive(Default)]
pub struct Holders {
    next: AtomicU64,
    all: Mutex<BTreeMap<u64, Holder>>,
}

impl Holders {
    /// Whether no thread that is gone was just changing it, in the child of a fork.
    pub fn is_whole(&self) -> bool {
        self.all.try_lock().is_some()
    }

    /// Note a session of this thread. Gives its number.
    pub fn enter(&self, place: Place) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let holder = Holder {
            thread: thread::number(),
            since: Instant::now(),
            place,
            reported: false,
        };
        self.all.lock().insert(number, holder);
        number
    }

    /// Forget a session.
    pub fn leave(&self, number: u64) {
        self.all.lock().remove(&number);
    }

    /// Where the sessions that are open, those of some threads or all, were opened, the longest first.
    pub fn places(&self, threads: Option<&[usize]>) -> Vec<(Duration, Place)> {
        self.all
            .lock()
            .values()
            .filter(|holder| threads.is_none_or(|threads| threads.contains(&holder.thread)))
            .map(|holder| (holder.since.elapsed(), holder.place.clone()))
            .collect()
    }

    /// Those that are held for longer than `threshold` and were not given here before.
    pub fn overdue(&self, now: Instant, threshold: Duration) -> Vec<(Duration, Place)> {
        self.all
            .lock()
            .values_mut()
            .filter(|holder| !holder.reported)
            .filter_map(|holder| {
                let held = now.saturating_duration_since(holder.since);
                (held > threshold).then(|| {
                    holder.reported = true;
                    (held, holder.place.clone())
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_held_too_long_is_reported_once() {
        let holders = Holders::default();
        let number = holders.enter("service.py:7".to_owned());
        let later = Instant::now() + Duration::from_secs(5);
        assert!(holders.overdue(later, Duration::from_secs(10)).is_empty());
        let overdue = holders.overdue(later, Duration::from_secs(1));
        assert_eq!(overdue[0].1, "service.py:7");
        assert!(holders.overdue(later, Duration::from_secs(1)).is_empty());
        assert_eq!(holders.places(None).len(), 1);
        assert_eq!(holders.places(Some(&[thread::number()])).len(), 1);
        assert!(holders.places(Some(&[0])).is_empty());
        holders.leave(number);
        assert!(holders.places(None).is_empty());
    }
}
