//! The states that a connection may be in, and how a part of a program may be left with them.

use std::ops::{BitOr, BitOrAssign};

/// A set of states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct States(u8);

impl States {
    pub const NONE: Self = Self(0);
    /// Not opened yet.
    pub const BEFORE: Self = Self(1);
    /// Open, with nothing written that is not committed.
    pub const CLEAN: Self = Self(2);
    /// Open, with something written that is not committed.
    pub const DIRTY: Self = Self(4);
    /// The same, and an exception was caught since.
    pub const CAUGHT: Self = Self(8);
    pub const CLOSED: Self = Self(16);
    /// Open, and something was done with it that is not known.
    pub const MAYBE: Self = Self(32);
    pub const OPEN: Self = Self(2 | 4 | 8 | 32);

    pub fn has(self, states: Self) -> bool {
        self.0 & states.0 != 0
    }

    pub fn without(self, states: Self) -> Self {
        Self(self.0 & !states.0)
    }

    pub fn only(self, states: Self) -> Self {
        Self(self.0 & states.0)
    }

    pub fn is_within(self, states: Self) -> bool {
        self.0 & !states.0 == 0
    }

    /// Those that are in `from` become `to`.
    pub fn turn(self, from: Self, to: Self) -> Self {
        match self.has(from) {
            true => Self(self.0 & !from.0) | to,
            false => self,
        }
    }
}

impl BitOr for States {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for States {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// How a part of a program may be left, each with the states then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends {
    pub next: States,
    pub returned: States,
    pub broken: States,
    pub continued: States,
    pub raised: States,
}

impl Ends {
    pub fn next(next: States) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// The states in which it is left without an exception.
    pub fn normal(self) -> States {
        self.next | self.returned | self.broken | self.continued
    }

    /// These, with what was left behind them.
    pub fn with_exits_of(mut self, other: Self) -> Self {
        self.returned |= other.returned;
        self.broken |= other.broken;
        self.continued |= other.continued;
        self.raised |= other.raised;
        self
    }

    pub fn joined(self, other: Self) -> Self {
        Self {
            next: self.next | other.next,
            ..self.with_exits_of(other)
        }
    }

    pub fn map(self, change: impl Fn(States) -> States) -> Self {
        Self {
            next: change(self.next),
            returned: change(self.returned),
            broken: change(self.broken),
            continued: change(self.continued),
            raised: change(self.raised),
        }
    }
}
