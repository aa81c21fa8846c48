//! Whose turn it is to write to a database: sessions of this process queue here, first come, first served, instead
//! of fighting for SQLite's lock.

use super::gate::{Gate, InVain, Place};
use std::sync::Arc;
use std::time::Duration;

/// A thread that writes again and again keeps its turn for so long while others wait.
const SLICE: Duration = Duration::from_millis(2);

/// The queue of one database.
pub struct Writers {
    gate: Arc<Gate>,
}

/// A thread's turn to write; dropping it lets the next one in.
pub struct Turn {
    place: Place,
}

impl Turn {
    /// Whether dropping it hands it over to another thread, which then wants to run.
    pub fn hands_over(&self) -> bool {
        self.place.hands_over()
    }
}

impl Writers {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::with_slice(1, SLICE),
        })
    }

    /// This thread's turn, if it is nobody else's.
    #[inline]
    pub fn try_enter(&self) -> Option<Turn> {
        self.gate.try_enter().map(|place| Turn { place })
    }

    /// Wait for this thread's turn.
    pub fn enter(&self, timeout: Duration) -> Result<Turn, InVain> {
        self.gate.enter(timeout).map(|place| Turn { place })
    }

    /// Whether it can be used on in the child of a fork.
    pub fn is_whole(&self) -> bool {
        self.gate.is_whole()
    }

    /// Use it on in the child of a fork.
    pub fn inherit(&self) {
        self.gate.inherit();
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> u32 {
        self.gate.load().1
    }
}
