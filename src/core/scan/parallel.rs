//! The same for many, in several threads.

use super::files;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Do something with each, in several threads; the results are in order.
pub fn in_parallel<T: Copy + Sync, R: Send>(items: &[T], act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            done.push((index, act(*item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..files::threads()).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            // A panic goes on in the thread that waits.
            done.extend(
                other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
