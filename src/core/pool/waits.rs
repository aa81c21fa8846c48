//! Which thread waits for which others, over all queues of the process: a wait that could never end is refused instead of
//! begun.

use crate::core::process::PerProcess;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};

/// Tells for which threads one waits, any of which can end that by going on; None if it waits no more.
pub type Holders = Box<dyn Fn() -> Option<Vec<usize>> + Send>;

type All = HashMap<usize, Holders>;

static WAITING: PerProcess<Mutex<All>> = PerProcess::new(Mutex::default);

/// Why a wait would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circle {
    /// It would be for the waiting thread itself.
    Own,
    /// All for whom it would be wait, directly or through others, for the thread itself.
    Others,
}

/// A thread's entry among those that wait; dropping it takes it out.
pub struct Waiting {
    thread: usize,
    /// What it waited for already: a signal's handler waits for something else meanwhile.
    before: Option<Holders>,
}

/// Note that a thread begins to wait, unless that could never end.
pub fn begin(thread: usize, holders: Holders) -> Result<Waiting, Circle> {
    let mut all = WAITING.get().lock();
    let own = holders().unwrap_or_default();
    let before = all.insert(thread, holders);
    let entry = Waiting { thread, before };
    if can_go_on(thread, &all, &mut HashSet::from([thread])) {
        return Ok(entry);
    }
    drop(all);
    drop(entry);
    Err(match own.iter().all(|holder| *holder == thread) {
        true => Circle::Own,
        false => Circle::Others,
    })
}

/// Whether a thread runs, or waits for one that can go on. Those in `seen` wait, and don't count again.
fn can_go_on(thread: usize, all: &All, seen: &mut HashSet<usize>) -> bool {
    let Some(holders) = all.get(&thread).and_then(|holders| holders()) else {
        return true;
    };
    // If nobody has it, the first in its queue is about to take it.
    holders.is_empty()
        || holders
            .into_iter()
            .any(|holder| seen.insert(holder) && can_go_on(holder, all, seen))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut all = WAITING.get().lock();
        match self.before.take() {
            Some(before) => all.insert(self.thread, before),
            None => all.remove(&self.thread),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers that no thread of other tests has.
    const ONE: usize = 1;
    const TWO: usize = 2;
    const THREE: usize = 3;
    const RUNS: usize = 4;

    fn of(threads: &[usize]) -> Holders {
        let threads = threads.to_vec();
        Box::new(move || Some(threads.clone()))
    }

    #[test]
    fn a_wait_ends_if_one_of_those_waited_for_can_go_on() {
        let _one = begin(ONE, of(&[TWO, THREE])).ok().unwrap();
        let two = begin(TWO, of(&[ONE, RUNS])).ok().unwrap();
        // TWO waits for RUNS, too.
        let three = begin(THREE, of(&[ONE])).ok().unwrap();
        drop((two, three));
        let _three = begin(THREE, of(&[ONE])).ok().unwrap();
        assert_eq!(begin(TWO, of(&[ONE, TWO])).err(), Some(Circle::Others));
        assert_eq!(begin(TWO, of(&[TWO, TWO])).err(), Some(Circle::Own));
        // What was refused does not wait.
        assert!(begin(RUNS, of(&[TWO])).is_ok());
    }

    #[test]
    fn what_was_waited_for_before_counts_again_afterwards() {
        let (five, six) = (5, 6);
        let _outer = begin(five, of(&[six])).ok().unwrap();
        drop(begin(five, of(&[RUNS])));
        assert_eq!(begin(six, of(&[five])).err(), Some(Circle::Others));
    }
}
