//! The same for many, in several threads.

use super::files;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

/// The room of a thread that goes through files of a usual depth.
pub const STACK_BYTES: usize = 64 << 20;

/// Do something with each, in several threads with so much room each; the results are in order.
pub fn in_parallel<'i, T: Sync, R: Send>(
    items: &'i [T],
    stack_bytes: usize,
    act: impl Fn(&'i T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            done.push((index, act(item)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let spawn = || {
            Builder::new()
                .stack_size(stack_bytes)
                .spawn_scoped(scope, work)
        };
        // Where the system has no room for a thread, the others do its work.
        let others: Vec<_> = (0..files::threads()).filter_map(|_| spawn().ok()).collect();
        let mut done = match others.is_empty() {
            true => work(),
            false => Vec::new(),
        };
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

/// Let go of many, in several threads with so much room each.
pub fn drop_in_parallel<T: Send>(items: Vec<T>, stack_bytes: usize) {
    let items: Vec<_> = items
        .into_iter()
        .map(|item| Mutex::new(Some(item)))
        .collect();
    in_parallel(&items, stack_bytes, |item| {
        drop(item.lock().unwrap_or_else(PoisonError::into_inner).take());
    });
}
