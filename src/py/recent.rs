//! The text objects that a connection executed lately, each with its statement's place in the cache: comparing an
//! address is quicker than hashing a text.

use crate::core::sqlite::cache::Place;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::mem::MaybeUninit;

const TEXTS: usize = 16;

/// See the head of this file. Each text is kept alive, so that its address stays its own.
pub struct RecentTexts {
    entries: [MaybeUninit<(Py<PyString>, Place)>; TEXTS],
    /// A bit for each entry that there is: most connections of `connect()` execute a text or two.
    used: u16,
}

#[inline]
fn index(text: &Bound<'_, PyString>) -> usize {
    let address = text.as_ptr() as usize;
    ((address >> 4) ^ (address >> 9)) % TEXTS
}

impl RecentTexts {
    pub const fn new() -> Self {
        Self {
            entries: [const { MaybeUninit::uninit() }; TEXTS],
            used: 0,
        }
    }

    /// The place of a text object's statement.
    #[inline]
    pub fn find(&self, text: &Bound<'_, PyString>) -> Option<Place> {
        let index = index(text);
        if self.used & (1 << index) == 0 {
            return None;
        }
        // SAFETY: the bit says that the entry was written.
        let (known, place) = unsafe { self.entries[index].assume_init_ref() };
        (known.as_ptr() == text.as_ptr()).then_some(*place)
    }

    /// Note a text object. Gives the one whose entry it took.
    pub fn note(&mut self, text: &Bound<'_, PyString>, place: Place) -> Option<Py<PyString>> {
        let index = index(text);
        let entry = MaybeUninit::new((text.clone().unbind(), place));
        let old = std::mem::replace(&mut self.entries[index], entry);
        let was_used = self.used & (1 << index) != 0;
        self.used |= 1 << index;
        // SAFETY: the bit said that the entry was written.
        was_used.then(|| unsafe { old.assume_init() }.0)
    }
}

impl Drop for RecentTexts {
    fn drop(&mut self) {
        while self.used != 0 {
            let index = self.used.trailing_zeros() as usize;
            self.used &= self.used - 1;
            // SAFETY: the bit said that the entry was written, and it is cleared.
            unsafe { self.entries[index].assume_init_drop() };
        }
    }
}
