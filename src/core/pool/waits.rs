//! Which thread waits for which others, over all queues of the process: a wait that could never end is refused instead of
//! begun.

use crate::core::process::PerProcess;
use crate::core::sync::Mutex;
use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};

/// What a thread waits for.
pub struct Wait {
    /// The threads that have it; who has it several times is there as often.
    pub holders: Vec<usize>,
    /// How many of these must let go.
    pub leavers: usize,
}

/// Tells what a thread waits for now; None if it waits no more.
pub type Look = Box<dyn Fn() -> Option<Wait> + Send>;

type All = HashMap<usize, Look>;

static WAITING: PerProcess<Mutex<All>> = PerProcess::new(Mutex::default);

/// Why a wait would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circle {
    /// It would be for the waiting thread itself.
    Own,
    /// Too few of those for whom it would be can go on: they wait, directly or through others, for the thread itself.
    Others,
}

/// A thread's entry among those that wait; dropping it takes it out.
pub struct Waiting {
    thread: usize,
    /// What it waited for already: a signal's handler waits for something else meanwhile.
    before: Option<Look>,
}

/// Let a thread join a queue, unless its wait could never end. None if it need not wait. Of two that would wait for each
/// other the second to join is refused.
pub fn begin(
    thread: usize,
    join: impl FnOnce() -> Option<Look>,
) -> Result<Option<Waiting>, Circle> {
    let mut all = WAITING.get().lock();
    let Some(look) = join() else {
        return Ok(None);
    };
    let before = all.insert(thread, look);
    let entry = Waiting { thread, before };
    match endless(thread, &all) {
        None => Ok(Some(entry)),
        Some(circle) => {
            // Under the same lock: others would take this thread for one that waits.
            entry.end(&mut all);
            Err(circle)
        }
    }
}

impl Waiting {
    /// Look once more: what a signal's handler did, and what others began to wait for meanwhile, was not seen with this
    /// wait.
    pub fn check(&self) -> Result<(), Circle> {
        endless(self.thread, &WAITING.get().lock()).map_or(Ok(()), Err)
    }

    /// Take it out.
    fn end(mut self, all: &mut All) {
        self.put_back(all);
        std::mem::forget(self);
    }

    fn put_back(&mut self, all: &mut All) {
        match self.before.take() {
            Some(before) => all.insert(self.thread, before),
            None => all.remove(&self.thread),
        };
    }
}

/// Why a thread's wait would never end, if that is so.
fn endless(thread: usize, all: &All) -> Option<Circle> {
    if can_go_on(thread, all) {
        return None;
    }
    let wait = all.get(&thread).and_then(|look| look())?;
    Some(match wait.holders.iter().all(|holder| *holder == thread) {
        true => Circle::Own,
        false => Circle::Others,
    })
}

/// Whether the thread will come to what it waits for, if those that run let go of all that they have.
fn can_go_on(thread: usize, all: &All) -> bool {
    // Those for whom it waits, directly and through others, and wait themselves.
    let mut waiting: HashMap<usize, Wait> = HashMap::new();
    let mut seen = HashSet::new();
    let mut next = vec![thread];
    while let Some(one) = next.pop() {
        if seen.insert(one)
            && let Some(wait) = all.get(&one).and_then(|look| look())
        {
            next.extend(&wait.holders);
            waiting.insert(one, wait);
        }
    }
    loop {
        let come: Vec<usize> = waiting
            .iter()
            .filter(|(_, wait)| {
                let leave = |holder: &&usize| !waiting.contains_key(holder);
                wait.holders.iter().filter(leave).count() >= wait.leavers
            })
            .map(|(one, _)| *one)
            .collect();
        if come.is_empty() {
            return !waiting.contains_key(&thread);
        }
        for one in come {
            waiting.remove(&one);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.put_back(&mut WAITING.get().lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers that no thread of other tests has.
    const MANY: usize = usize::MAX / 4;
    const ONE: usize = MANY;
    const TWO: usize = MANY + 1;
    const THREE: usize = MANY + 2;
    const RUNS: usize = MANY + 3;

    fn some_of(leavers: usize, threads: &[usize]) -> impl FnOnce() -> Option<Look> {
        let holders = threads.to_vec();
        let look = move || {
            Some(Wait {
                holders: holders.clone(),
                leavers,
            })
        };
        || Some(Box::new(look))
    }

    fn one_of(threads: &[usize]) -> impl FnOnce() -> Option<Look> {
        some_of(1, threads)
    }

    #[test]
    fn a_wait_ends_if_one_of_those_waited_for_can_go_on() {
        let _one = begin(ONE, one_of(&[TWO, THREE])).ok().unwrap();
        let two = begin(TWO, one_of(&[ONE, RUNS])).ok().unwrap();
        // TWO waits for RUNS, too.
        let three = begin(THREE, one_of(&[ONE])).ok().unwrap();
        drop((two, three));
        let _three = begin(THREE, one_of(&[ONE])).ok().unwrap();
        assert_eq!(begin(TWO, one_of(&[ONE, TWO])).err(), Some(Circle::Others));
        assert_eq!(begin(TWO, one_of(&[TWO, TWO])).err(), Some(Circle::Own));
        // What was refused does not wait.
        assert!(begin(RUNS, one_of(&[TWO])).is_ok());
    }

    #[test]
    fn where_two_must_let_go_one_that_can_is_not_enough() {
        let (five, six, runs, runs_too) = (MANY + 5, MANY + 6, MANY + 7, MANY + 8);
        let _five = begin(five, one_of(&[six])).ok().unwrap();
        assert!(begin(six, some_of(1, &[five, runs])).is_ok());
        assert!(begin(six, some_of(2, &[runs, runs_too, five])).is_ok());
        let refused = begin(six, some_of(2, &[five, runs])).err();
        assert_eq!(refused, Some(Circle::Others));
        // One that nobody has is about to be taken.
        assert!(begin(six, some_of(0, &[five])).is_ok());
    }

    #[test]
    fn what_was_waited_for_before_counts_again_afterwards() {
        let (one, two) = (2 * MANY, 2 * MANY + 1);
        let _outer = begin(one, one_of(&[two])).ok().unwrap();
        drop(begin(one, one_of(&[RUNS])));
        assert_eq!(begin(two, one_of(&[one])).err(), Some(Circle::Others));
    }

    #[test]
    fn a_circle_that_was_closed_while_a_handler_waited_is_seen_afterwards() {
        let (one, two) = (2 * MANY + 2, 2 * MANY + 3);
        let outer = begin(one, one_of(&[two])).ok().flatten().unwrap();
        let inner = begin(one, one_of(&[RUNS])).ok().flatten().unwrap();
        let _other = begin(two, one_of(&[one])).ok().flatten().unwrap();
        assert_eq!(outer.check(), Ok(()));
        drop(inner);
        assert_eq!(outer.check(), Err(Circle::Others));
    }
}
