//! The prepared statements that a physical connection keeps, by text, least recently used going first.
//!
//! A statement leaves the cache while it is in use and returns to its place afterwards. A second use of
//! the same text meanwhile compiles a statement of its own, which is let go if the place is filled again.

use crate::core::raw::Statement;
use foldhash::HashMap;

/// Where a text has its place: the slot's index and the serial number of the text in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    const SLOT_BITS: u32 = 16;

    fn new(slot: usize, serial: u64) -> Self {
        Place((serial << Self::SLOT_BITS) | slot as u64)
    }

    #[inline]
    fn slot(self) -> usize {
        (self.0 & ((1 << Self::SLOT_BITS) - 1)) as usize
    }
}

struct Slot {
    place: Place,
    sql: Box<str>,
    used: u64,
    statement: Option<Box<Statement>>,
}

/// See the head of this file.
pub struct StatementCache {
    capacity: usize,
    slots: Vec<Slot>,
    by_text: HashMap<Box<str>, usize>,
    clock: u64,
    serial: u64,
}

impl StatementCache {
    /// A cache for `capacity` texts; 0 keeps none. More than 32,768 are cut to that.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.min(1 << 15),
            slots: Vec::new(),
            by_text: HashMap::default(),
            clock: 0,
            serial: 0,
        }
    }

    /// Keep another number of texts from now on; fewer begins with none.
    pub fn set_capacity(&mut self, capacity: usize) {
        let capacity = capacity.min(1 << 15);
        if capacity < self.capacity {
            self.clear();
        }
        self.capacity = capacity;
    }

    /// Take the statement of a place that `find` or `put` gave earlier. None: evicted or in use.
    #[inline]
    pub fn take(&mut self, place: Place) -> Option<Box<Statement>> {
        let slot = self.slots.get_mut(place.slot())?;
        if slot.place != place {
            return None;
        }
        self.clock += 1;
        slot.used = self.clock;
        slot.statement.take()
    }

    /// The place of a text, if it has one.
    pub fn find(&self, sql: &str) -> Option<Place> {
        self.by_text.get(sql).map(|&slot| self.slots[slot].place)
    }

    /// Give a text a place (evicting the least recently used one) and note it in the statement.
    pub fn assign(&mut self, sql: &str, statement: &Statement) -> Option<Place> {
        if self.capacity == 0 {
            return None;
        }
        if let Some(place) = self.find(sql) {
            statement.home.set(place.0);
            return Some(place);
        }
        self.clock += 1;
        self.serial += 1;
        let index = if self.slots.len() < self.capacity {
            self.slots.len()
        } else {
            self.least_recently_used()
        };
        let place = Place::new(index, self.serial);
        let slot = Slot {
            place,
            sql: sql.into(),
            used: self.clock,
            statement: None,
        };
        if index == self.slots.len() {
            self.slots.push(slot);
        } else {
            let evicted = std::mem::replace(&mut self.slots[index], slot);
            self.by_text.remove(&evicted.sql);
        }
        self.by_text.insert(sql.into(), index);
        statement.home.set(place.0);
        Some(place)
    }

    fn least_recently_used(&self) -> usize {
        let oldest = self.slots.iter().enumerate().min_by_key(|(_, s)| s.used);
        oldest.map_or(0, |(index, _)| index)
    }

    /// Put a statement back that is reset. Gives it back to the caller when its place is gone or taken.
    #[inline]
    pub fn put(&mut self, statement: Box<Statement>) -> Option<Box<Statement>> {
        let place = Place(statement.home.get());
        match self.slots.get_mut(place.slot()) {
            Some(slot) if slot.place == place && slot.statement.is_none() => {
                slot.statement = Some(statement);
                None
            }
            _ => Some(statement),
        }
    }

    /// Let all statements go.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.by_text.clear();
    }

    /// Number of statements that are here now, not in use.
    pub fn idle_len(&self) -> usize {
        self.slots.iter().filter(|s| s.statement.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sqlite::open;

    #[test]
    fn a_statement_in_use_is_not_handed_out_twice() {
        let db = open::memory().unwrap();
        let mut cache = StatementCache::new(2);
        let first = Box::new(Statement::prepare(&db, "select 1").unwrap());
        let place = cache.assign("select 1", &first).unwrap();
        assert!(cache.take(place).is_none());
        assert!(cache.put(first).is_none());
        assert!(cache.take(place).is_some());
        assert!(cache.take(place).is_none());
    }

    #[test]
    fn the_least_recently_used_text_goes_first() {
        let db = open::memory().unwrap();
        let mut cache = StatementCache::new(2);
        for sql in ["select 1", "select 2"] {
            let statement = Box::new(Statement::prepare(&db, sql).unwrap());
            cache.assign(sql, &statement);
            assert!(cache.put(statement).is_none());
        }
        let one = cache.find("select 1").unwrap();
        let statement = cache.take(one).unwrap();
        cache.put(statement);
        let third = Box::new(Statement::prepare(&db, "select 3").unwrap());
        cache.assign("select 3", &third);
        assert!(cache.find("select 2").is_none());
        assert!(cache.find("select 1").is_some());
    }

    #[test]
    fn a_statement_whose_place_was_given_away_is_not_kept() {
        let db = open::memory().unwrap();
        let mut cache = StatementCache::new(1);
        let first = Box::new(Statement::prepare(&db, "select 1").unwrap());
        cache.assign("select 1", &first);
        let second = Box::new(Statement::prepare(&db, "select 2").unwrap());
        cache.assign("select 2", &second);
        assert!(cache.put(first).is_some());
        assert!(cache.put(second).is_none());
    }

    #[test]
    fn capacity_zero_keeps_nothing() {
        let db = open::memory().unwrap();
        let mut cache = StatementCache::new(0);
        let statement = Box::new(Statement::prepare(&db, "select 1").unwrap());
        assert!(cache.assign("select 1", &statement).is_none());
        assert!(cache.put(statement).is_some());
    }
}
