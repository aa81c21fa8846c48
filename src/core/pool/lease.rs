//! A connection that is lent; dropping the lease gives it back, as good as new.

use super::gate::Place;
use super::shelf::{Held, Shelf};
use super::statistics::Reason;
use super::{Pool, registry};
use crate::core::raw::LockGuard;
use crate::core::sqlite::Connection;
use std::sync::Arc;
use std::time::Instant;

/// What a session has beside its connection.
pub struct Admission {
    // Let go after the connection is back: whoever waits for the place finds it there.
    pub(super) place: Place,
    /// Its number among the holders, if they are tracked.
    pub(super) holder: Option<u64>,
}

/// See the head of this file.
pub struct Lease {
    held: Option<Held>,
    pool: Arc<Pool>,
    since: Instant,
    /// None for a lease of `connect()`, which asks nobody.
    admission: Option<Admission>,
}

impl Lease {
    pub(super) fn new(
        held: Held,
        pool: Arc<Pool>,
        since: Instant,
        admission: Option<Admission>,
    ) -> Self {
        let kept = held.kept();
        let guard = kept.connection.database().lock();
        guard.start_counting();
        if matches!(held, Held::Kept(_)) {
            guard.doubt_schema();
        }
        drop(guard);
        Self {
            held: Some(held),
            pool,
            since,
            admission,
        }
    }

    #[inline]
    fn held(&self) -> &Held {
        match &self.held {
            Some(held) => held,
            None => unreachable!("a lease has its connection until it is dropped"),
        }
    }

    #[inline]
    fn held_mut(&mut self) -> &mut Held {
        match &mut self.held {
            Some(held) => held,
            None => unreachable!("a lease has its connection until it is dropped"),
        }
    }

    /// What was lent.
    #[inline]
    pub fn connection(&self) -> &Connection {
        &self.held().kept().connection
    }

    /// What was lent, for its statement cache.
    #[inline]
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.held_mut().kept_mut().connection
    }

    /// The pool that it came from.
    #[inline]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Let go of the connection without closing it: statements of cursors still read from it. It closes with the
    /// last of them.
    pub fn leave_open(mut self) {
        let kept = self.held_mut().kept_mut();
        kept.connection.set_left_open();
        kept.doom = Some(Reason::Altered);
    }

    /// Close it when it comes back.
    pub fn keep_no_longer(&mut self) {
        self.held_mut().kept_mut().keep_no_longer();
    }

    fn is_session(&self) -> bool {
        self.admission.is_some()
    }

    fn shelf(&self) -> &Shelf {
        self.pool.shelf(self.is_session())
    }

    /// Whether giving it back takes no time: nothing was written, nothing must be undone.
    pub fn is_clean(&self) -> bool {
        if !self.pool.is_here() {
            return true;
        }
        if matches!(self.held(), Held::New(_)) {
            // r2d2's worker is waited for.
            return false;
        }
        let database = self.connection().database();
        match database.try_lock() {
            Some(guard) => database.effects().is_none() && guard.is_autocommit() && is_fit(&guard),
            None => false,
        }
    }
}

fn is_fit(guard: &LockGuard<'_>) -> bool {
    guard.can_close() && !guard.has_blobs()
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.pool.is_here() {
            // The parent's: neither closed nor given back.
            std::mem::forget((
                self.held.take(),
                self.admission.take(),
                Arc::clone(&self.pool),
            ));
            return;
        }
        let opener = Arc::clone(&self.shelf().opener);
        if self.held().kept().doom.is_none() {
            opener.set_back(self.held_mut().kept_mut());
        }
        let connect = !self.is_session();
        let pool = Arc::clone(&self.pool);
        let now = Instant::now();
        pool.settle(self.held_mut().kept_mut(), connect, now);
        if let Some(held) = self.held.take() {
            let reason = self.shelf().give_back(held, self.pool.most_idle(), now);
            self.pool.counters.used_for(now - self.since);
            registry::keep_bound();
            if let Some(reason) = reason {
                log::debug!(
                    target: super::LOG,
                    "{}: closed a connection ({})",
                    self.pool.name(),
                    reason.name()
                );
            }
        }
        if let Some(Admission { place, holder }) = self.admission.take() {
            if let Some(number) = holder {
                self.pool.holders.leave(number);
            }
            drop(place);
        }
    }
}
