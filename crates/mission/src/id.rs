//! Identities inside one mission: counters, small and `Copy`, handed out by the core in the order of its decisions.
//!
//! They say nothing outside their mission. Names that people read (`parser`, `builder-2`) live in the plan.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($int:ty) $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

ids! {
    /// A task, by its position in the plan.
    TaskId(u32) "t";
    /// A role, by its position in the plan.
    RoleId(u32) "r";
    /// An agent, by its position in the registry that the plan makes.
    AgentId(u32) "a";
    /// One try of one task by one agent.
    AttemptId(u32) "x";
    /// One change in the merge queue.
    ChangeId(u32) "c";
    /// One message between agents; increases with every message of the mission.
    MessageId(u32) "m";
    /// Something that a person must answer.
    InterruptId(u32) "i";
    /// One allowance, by its position in the plan.
    AllowanceId(u32) "b";
    /// Something the world was asked to do; asking twice under one id is harmless.
    EffectId(u64) "e";
}

macro_rules! positions {
    ($($name:ident)*) => {$(
        impl $name {
            /// The position in the table that this id indexes.
            pub(crate) fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

positions! { TaskId RoleId AgentId AllowanceId }

/// An instant: milliseconds since the Unix epoch, told by the driver. The core has no clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub u64);

impl At {
    /// This instant and `ms` milliseconds; stops at the end of time.
    #[must_use]
    pub fn after(self, ms: u64) -> At {
        At(self.0.saturating_add(ms))
    }
}

/// Money in millionths of a US dollar. Sums stop at the largest value instead of wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Micros) -> Micros {
        Micros(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing when `other` is more.
    #[must_use]
    pub fn less(self, other: Micros) -> Micros {
        Micros(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Micros {
    /// Dollars, rounded to a hundredth of a cent, with at least two decimals; what is less than a cent in full: `$0.25`, `$0.0313`, `$0.000123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = if self.0 < 10_000 { self.0 } else { self.0.saturating_add(50) / 100 * 100 };
        let (dollars, rest) = (micros / 1_000_000, micros % 1_000_000);
        let digits = format!("{rest:06}");
        let cut = digits.trim_end_matches('0');
        write!(f, "${dollars}.{}", if cut.len() < 2 { &digits[..2] } else { cut })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_like_money() {
        let shown: Vec<String> = [0, 250_000, 1_000_000, 123, 31_250, 1_234_560].map(|m| Micros(m).to_string()).into();
        assert_eq!(shown, ["$0.00", "$0.25", "$1.00", "$0.000123", "$0.0313", "$1.2346"]);
    }
}
