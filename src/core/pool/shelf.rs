//! The connections of one database for one door: r2d2 keeps the idle ones.
//!
//! They are opened in the thread that needs one, so that a bad path fails at once with SQLite's own error; r2d2's
//! worker only adopts them, when they first come back.

use super::idle::IdleCount;
use super::opener::{Door, Kept, Opener};
use super::statistics::{Counters, Reason};
use super::workers;
use crate::core::error::{Error, Result};
use crate::core::process;
use crate::core::raw::Database;
use crate::core::sqlite::open::Access;
use crate::core::sync::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// See the head of this file.
pub struct Shelf {
    /// Made when there is something to keep; another one when more are to be kept than it was made for.
    ///
    /// Locked while r2d2 is asked for an idle connection or given one, so that no thread waits for a lock of r2d2's: if
    /// the process forked at that moment, the child could have a table of waiters that nobody ever unlocks (`core::sync`).
    /// Only when one is adopted threads wait there, and no fork is under way then.
    keeper: Mutex<Option<Keeper>>,
    pub opener: Arc<Opener>,
    /// How many are kept.
    size: AtomicU32,
    /// How many of those that are kept are lent, or about to be. As long as they are fewer than `size`, r2d2 has one
    /// for whoever asks: idle, being adopted, or there is room for another one.
    lent: AtomicU32,
    idle: IdleCount,
    /// Held while someone has connections in hand that are not lent: to close them, to work with them, to have them
    /// adopted. Whoever lets go of the file waits for it. Nothing logs meanwhile.
    in_hand: Mutex<()>,
    counters: Arc<Counters>,
}

/// An idle connection is too old to be lent.
struct Aged;

/// A connection that is lent.
pub enum Held {
    /// One of those that are kept.
    Kept(r2d2::PooledConnection<Adopter>),
    /// One to be kept when it comes back in good order; not before, because r2d2's worker must be waited for.
    New(Box<Kept>),
    /// One more.
    Overflow(Box<Kept>),
}

impl Held {
    #[inline]
    pub fn kept(&self) -> &Kept {
        match self {
            Self::Kept(connection) => match &**connection {
                Some(kept) => kept,
                None => unreachable!("a blank is not lent"),
            },
            Self::New(connection) | Self::Overflow(connection) => connection,
        }
    }

    #[inline]
    pub fn kept_mut(&mut self) -> &mut Kept {
        match self {
            Self::Kept(connection) => match &mut **connection {
                Some(kept) => kept,
                None => unreachable!("a blank is not lent"),
            },
            Self::New(connection) | Self::Overflow(connection) => connection,
        }
    }
}

/// How long a connection that comes back for the first time is offered to r2d2, and how long in one go.
const ADOPTION: Duration = Duration::from_secs(1);
const ADOPTION_ROUND: Duration = Duration::from_millis(1);

/// r2d2's pool, and where its connections come from.
#[derive(Clone)]
struct Keeper {
    pool: r2d2::Pool<Adopter>,
    source: Arc<Source>,
}

/// A pool for so many connections. It takes the memory for all of them at once.
fn build(size: u32) -> Keeper {
    let source = Arc::new(Source::default());
    let pool = r2d2::Pool::builder()
        .max_size(size.max(1))
        .min_idle(Some(0))
        .test_on_check_out(false)
        .connection_timeout(Duration::from_secs(30))
        .idle_timeout(None)
        .max_lifetime(None)
        .error_handler(Box::new(r2d2::NopErrorHandler))
        .thread_pool(workers::adopter())
        .build_unchecked(Adopter(Arc::clone(&source)));
    Keeper { pool, source }
}

impl Keeper {
    /// An idle connection, if there is one.
    #[inline]
    fn idle(&self) -> Option<Held> {
        loop {
            let mut connection = self.pool.try_get()?;
            // r2d2 forgets a blank that is given back.
            if let Some(kept) = &mut *connection {
                self.source.arrived(kept);
                return Some(Held::Kept(connection));
            }
        }
    }
}

impl Shelf {
    pub fn new(access: Access, door: Door, size: u32, counters: &Arc<Counters>) -> Self {
        let opener = Arc::new(Opener::new(access, door, Arc::clone(counters)));
        Self {
            keeper: Mutex::new(None),
            opener,
            size: AtomicU32::new(size),
            lent: AtomicU32::new(0),
            idle: IdleCount::default(),
            in_hand: Mutex::new(()),
            counters: Arc::clone(counters),
        }
    }

    #[inline]
    fn idle(&self) -> Option<Held> {
        self.keeper.lock().as_ref()?.idle()
    }

    fn keeper(&self) -> Keeper {
        let mut keeper = self.keeper.lock();
        keeper.get_or_insert_with(|| build(self.size())).clone()
    }

    /// Close an idle connection.
    fn close_held(&self, mut held: Held, reason: Reason) {
        held.kept_mut().leave_shelf();
        self.discard(held.kept_mut(), reason);
        self.put_back(held);
    }

    /// Let r2d2 have a connection of its own again. It forgets one that is not to be kept.
    #[inline]
    fn put_back(&self, held: Held) {
        let _turn = self.keeper.lock();
        drop(held);
    }

    /// An idle connection, if there is one. Takes no time.
    #[inline]
    fn try_take(&self, now: Instant) -> Result<Option<Held>, Aged> {
        let Some(mut held) = self.idle() else {
            return Ok(None);
        };
        if self.opener.age(held.kept(), now).is_err() {
            return Err(Aged);
        }
        held.kept_mut().leave_shelf();
        self.lent.fetch_add(1, Ordering::Relaxed);
        Ok(Some(held))
    }

    /// An idle connection, if there is one and it takes no time.
    #[inline]
    pub fn take_at_once(&self, now: Instant) -> Option<Held> {
        self.try_take(now).unwrap_or_default()
    }

    /// An idle connection, if there is one that is young enough. Blocks where older ones must be closed.
    #[inline]
    pub fn take(&self, now: Instant) -> Option<Held> {
        loop {
            match self.try_take(now) {
                Ok(held) => return held,
                Err(Aged) => self.close_aged(now),
            };
        }
    }

    #[cold]
    fn close_aged(&self, now: Instant) {
        self.close_idle(|kept| self.opener.age(kept, now).err());
    }

    /// Work with an idle connection, if there is one; it stays idle for those who let go of the file. Blocks.
    pub fn with_idle<R>(
        &self,
        most_idle: u32,
        now: Instant,
        work: impl FnOnce(&Kept) -> R,
    ) -> Option<R> {
        loop {
            let in_hand = self.in_hand.lock();
            match self.try_take(now) {
                Ok(None) => return None,
                Ok(Some(held)) if held.kept().is_lost() => {
                    self.lent.fetch_sub(1, Ordering::Relaxed);
                    self.close_held(held, Reason::Broken);
                }
                Ok(Some(held)) => {
                    let outcome = work(held.kept());
                    self.give_back(held, most_idle, now);
                    return Some(outcome);
                }
                Err(Aged) => {
                    drop(in_hand);
                    self.close_aged(now);
                }
            }
        }
    }

    /// A new connection, to be kept if there is room. Blocks.
    pub fn grow(&self, path: &Path) -> Result<Held> {
        let kept = Box::new(self.opener.open(path)?);
        let room = |lent| (lent < self.size()).then_some(lent + 1);
        let reserved = self
            .lent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        if reserved.is_err() {
            self.counters.overflow.fetch_add(1, Ordering::Relaxed);
            return Ok(Held::Overflow(kept));
        }
        Ok(Held::New(kept))
    }

    /// Have r2d2 keep a connection. Waits for r2d2's worker, but not for long: r2d2 wakes no waiter when a connection is
    /// discarded or another thread was quicker. What it does not take is closed.
    fn adopt(&self, kept: Kept) {
        let _in_hand = self.in_hand.lock();
        let database = Arc::clone(kept.connection.database());
        let Keeper { pool, source } = self.keeper();
        source.offers.lock().ahead.push(kept);
        let waits = workers::wait_for_adopter();
        let until = Instant::now() + ADOPTION;
        while Instant::now() < until {
            // Only somebody who finds no idle connection makes r2d2 ask for one, so those are held meanwhile.
            let mut held = Vec::new();
            while let Ok(mut connection) = pool.get_timeout(ADOPTION_ROUND) {
                if let Some(kept) = &mut *connection {
                    source.arrived(kept);
                }
                held.push(connection);
                if source.has_taken(&database) {
                    return;
                }
            }
            // r2d2 forgets the blanks among them, which took places.
            drop(held);
            if source.has_taken(&database) {
                return;
            }
            if pool.state().connections >= pool.max_size() {
                // There are enough: others were kept meanwhile.
                break;
            }
        }
        drop(waits);
        if let Some(mut kept) = source.take_back(&database) {
            kept.leave_shelf();
            self.discard(&mut kept, Reason::Surplus);
        }
    }

    /// Take a connection back that was set back. Gives why it was closed, if it was.
    pub fn give_back(&self, mut held: Held, most_idle: u32, now: Instant) -> Option<Reason> {
        match held {
            Held::Kept(_) => {
                let kept = held.kept_mut();
                if kept.doom.is_none() {
                    kept.doom = self.refusal(kept, most_idle, now);
                }
                let doom = kept.doom;
                // First, lest others take it for two.
                self.lent.fetch_sub(1, Ordering::Relaxed);
                match doom {
                    Some(reason) => self.discard(kept, reason),
                    None => kept.enter_shelf(&self.idle, now),
                }
                self.put_back(held);
                doom
            }
            Held::New(mut connection) => {
                let doom = connection
                    .doom
                    .or_else(|| self.refusal(&connection, most_idle, now));
                self.lent.fetch_sub(1, Ordering::Relaxed);
                match doom {
                    Some(reason) => self.discard(&mut connection, reason),
                    None => {
                        connection.enter_shelf(&self.idle, now);
                        self.adopt(*connection);
                    }
                }
                doom
            }
            Held::Overflow(mut connection) => {
                let reason = connection.doom.unwrap_or(Reason::Surplus);
                self.discard(&mut connection, reason);
                Some(reason)
            }
        }
    }

    /// Why a connection in good order is not kept.
    fn refusal(&self, kept: &Kept, most_idle: u32, now: Instant) -> Option<Reason> {
        if let Err(reason) = self.opener.age(kept, now) {
            return Some(reason);
        }
        // A database in memory is its connection.
        if process::is_forking() && !self.opener.is_of_memory() {
            return Some(Reason::Closed);
        }
        // Beyond the process's bound another pool's connection goes, unless none at all is wanted.
        let surplus = self.load().0 > self.size() || most_idle == 0;
        surplus.then_some(Reason::Surplus)
    }

    fn discard(&self, kept: &mut Kept, reason: Reason) {
        kept.doom = Some(reason);
        self.counters.discard(reason);
        if kept.is_lost() {
            kept.abandon();
        }
        if kept.connection.is_left_open() {
            return;
        }
        self.opener.close(&kept.connection.database().lock());
    }

    /// Close idle connections: all, or those that a test finds. Gives how many.
    pub fn close_idle(&self, test: impl Fn(&Kept) -> Option<Reason>) -> u32 {
        let mut closed = 0;
        let _in_hand = self.in_hand.lock();
        // All at once, because r2d2 hands out first what came back last.
        let mut all: Vec<_> = std::iter::from_fn(|| self.idle()).collect();
        // In the order in which they were idle.
        while let Some(held) = all.pop() {
            match test(held.kept()) {
                Some(reason) => {
                    self.close_held(held, reason);
                    closed += 1;
                }
                None => self.put_back(held),
            }
        }
        closed
    }

    /// Connections that are kept at most.
    pub fn size(&self) -> u32 {
        self.size.load(Ordering::Relaxed)
    }

    /// Keep so many from now on; those that are too many go when they come back.
    pub fn resize(&self, size: u32) {
        self.size.store(size, Ordering::Relaxed);
        let most = self
            .keeper
            .lock()
            .as_ref()
            .map(|keeper| keeper.pool.max_size());
        if most.is_some_and(|most| size > most) {
            // What is lent goes back to the old one, and is closed for its generation.
            self.opener.next_generation();
            self.let_go(Reason::Closed);
        }
    }

    /// Close the idle connections and forget the pool that kept them.
    pub fn let_go(&self, reason: Reason) {
        let _in_hand = self.in_hand.lock();
        let keeper = self.keeper.lock().take();
        while let Some(held) = keeper.as_ref().and_then(Keeper::idle) {
            self.close_held(held, reason);
        }
    }

    /// Whether it can be used on in the child of a fork: no thread that is gone was using it.
    pub fn is_whole(&self) -> bool {
        let is_free = self.in_hand.try_lock().is_some() && self.opener.is_whole();
        is_free && self.keeper.try_lock().is_some()
    }

    /// Connections that belong to the shelf, and how many of them are idle.
    pub fn load(&self) -> (u32, u32) {
        let idle = self.idle.get();
        (self.lent.load(Ordering::Relaxed) + idle, idle)
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.close_idle(|_| Some(Reason::Closed));
    }
}

impl Kept {
    fn is_to(&self, database: &Arc<Database>) -> bool {
        Arc::ptr_eq(self.connection.database(), database)
    }

    /// Count it as idle.
    fn enter_shelf(&mut self, idle: &IdleCount, now: Instant) {
        self.idle_since = now;
        self.idle.get_or_insert_with(|| idle.mark());
    }

    /// Don't count it as idle any more.
    #[inline]
    fn leave_shelf(&mut self) {
        self.idle = None;
    }
}

/// Where r2d2's connections come from.
#[derive(Default)]
struct Source {
    offers: Mutex<Offers>,
}

#[derive(Default)]
struct Offers {
    /// Waiting for r2d2 to adopt them.
    ahead: Vec<Kept>,
    /// In the hands of r2d2's worker: it has asked for them, and has not got them into its pool yet, as far as is known.
    coming: Vec<Arc<Database>>,
}

impl Source {
    /// r2d2 has lent a connection: for the first time, if it is one of those that were coming.
    #[inline]
    fn arrived(&self, kept: &mut Kept) {
        if std::mem::take(&mut kept.is_coming) {
            let database = kept.connection.database();
            let mut offers = self.offers.lock();
            offers.coming.retain(|one| !Arc::ptr_eq(one, database));
        }
    }

    /// Whether r2d2 has it in its pool.
    fn has_taken(&self, database: &Arc<Database>) -> bool {
        let offers = self.offers.lock();
        let waits = offers.ahead.iter().any(|kept| kept.is_to(database));
        !waits && !offers.coming.iter().any(|one| Arc::ptr_eq(one, database))
    }

    /// What r2d2 has not asked for.
    fn take_back(&self, database: &Arc<Database>) -> Option<Kept> {
        let ahead = &mut self.offers.lock().ahead;
        let at = ahead.iter().position(|kept| kept.is_to(database))?;
        Some(ahead.remove(at))
    }
}

/// What r2d2 asks for connections: it adopts those that were opened ahead. Asked for more, it gives a blank: a
/// connection that was opened now, by the worker, could be to another file than is at the path a moment later.
pub struct Adopter(Arc<Source>);

impl r2d2::ManageConnection for Adopter {
    // A box, because r2d2 moves it about.
    type Connection = Option<Box<Kept>>;
    type Error = Error;

    fn connect(&self) -> Result<Option<Box<Kept>>> {
        let mut offers = self.0.offers.lock();
        let Some(mut kept) = offers.ahead.pop() else {
            return Ok(None);
        };
        kept.is_coming = true;
        offers.coming.push(Arc::clone(kept.connection.database()));
        Ok(Some(Box::new(kept)))
    }

    fn is_valid(&self, _connection: &mut Option<Box<Kept>>) -> Result<()> {
        Ok(())
    }

    fn has_broken(&self, connection: &mut Option<Box<Kept>>) -> bool {
        connection.as_ref().is_none_or(|kept| kept.doom.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_of_r2d2s_keeps_no_connection_out() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Access::ReadWriteCreate, Door::Plain, 1, &Arc::default());
        let pool = shelf.keeper().pool;
        // Asked for more than was opened ahead, as happens when its worker is late.
        let _ = pool.get_timeout(Duration::ZERO);
        while pool.state().idle_connections == 0 {
            std::thread::yield_now();
        }
        let held = shelf.grow(&folder.path().join("a.db")).unwrap();
        assert_eq!(shelf.give_back(held, 10, Instant::now()), None);
        assert_eq!(shelf.load(), (1, 1));
        assert!(shelf.take(Instant::now()).is_some());
    }
}
