//! Why a session got nothing of a pool, in words.

use super::Pool;
use super::gate::{InVain, Refusal};
use super::waits::Circle;
use crate::core::error::Error;
use std::time::Duration;

impl Pool {
    /// The error of a session that got no connection.
    pub(super) fn no_connection(&self, waited: Duration, vain: &InVain) -> Error {
        let (name, in_use, waiting) = (self.name(), vain.holders.len(), vain.waiting);
        Error::PoolTimeout(match vain.reason {
            Refusal::Interrupted => return Error::Interrupted,
            Refusal::TimedOut => format!(
                "pool '{name}' gave no connection in {:.2} s ({in_use} in use, {waiting} waiting){}",
                waited.as_secs_f64(),
                self.held_by(None)
            ),
            Refusal::Endless(Circle::Own) => format!(
                "this thread has all {in_use} session(s) that the pool '{name}' can give ({in_use} in use, {waiting} \
                 waiting), and would wait for itself; use the session that is open (session(join=True)), or let \
                 there be more (pool_size, max_overflow){}",
                self.held_by(None)
            ),
            Refusal::Endless(Circle::Others) => format!(
                "waiting for a connection of the pool '{name}' would never end ({in_use} in use, {waiting} waiting): \
                 the threads that have them wait, directly or through others, for what this thread has; open \
                 sessions of several databases in the same order everywhere, or let there be more (pool_size, \
                 max_overflow){}",
                self.held_by(None)
            ),
        })
    }

    /// The error of who wants a connection after others closed the files of those that there are.
    pub(super) fn lost(&self) -> Error {
        Error::File(format!(
            "the open files of '{}' were closed by other code (os.closerange?), so this process can't use the database \
             any more: close files before the first connection, or fork and close them in the child",
            self.name()
        ))
    }

    /// The error of a session that got no turn to write.
    pub(super) fn no_turn(&self, waited: Duration, vain: &InVain) -> Error {
        let (name, waiting) = (self.name(), vain.waiting);
        match vain.reason {
            Refusal::Interrupted => Error::Interrupted,
            Refusal::TimedOut => Error::PoolTimeout(format!(
                "no turn to write to '{name}' in {:.2} s: another session of this process is writing ({} in use, \
                 {waiting} waiting){}",
                waited.as_secs_f64(),
                vain.holders.len(),
                self.held_by(Some(&vain.holders))
            )),
            Refusal::Endless(Circle::Own) => Error::Endless(format!(
                "this thread has a session that is writing to '{name}' already, and would wait for itself; write \
                 through that session (session(join=True) or run(…, join=True) joins it), or begin this one after its end"
            )),
            Refusal::Endless(Circle::Others) => Error::Endless(format!(
                "waiting for the turn to write to '{name}' would never end: the thread whose turn it is waits, \
                 directly or through others, for what this thread has; write to several databases in the same order \
                 everywhere{}",
                self.held_by(Some(&vain.holders))
            )),
        }
    }

    /// Where the sessions that are open were opened, if that is tracked: all, or those of some threads.
    fn held_by(&self, threads: Option<&[usize]>) -> String {
        let lines: String = self
            .holders
            .places(threads)
            .into_iter()
            .map(|(held, place)| format!("\n  for {:.2} s: {place}", held.as_secs_f64()))
            .collect();
        match lines.is_empty() {
            true => lines,
            false => format!("; held{lines}"),
        }
    }
}
