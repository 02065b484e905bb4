//! Crash points: named places in the driver at which a test can make the process die, as if by `kill -9`.
//!
//! There is one before and one after every append, named by each fact appended, one at the start and one before the settling of every effect,
//! named by its kind, and one before and one after what a model call may cost is durable. A point is armed by its name and a count (`append.after.merged:2`: the second time). Without an armed point they cost a
//! comparison. Nothing else about the program differs, so that what a test kills is the real thing.

use mission::{EffectKind, Fact};
use std::sync::atomic::{AtomicU32, Ordering};
use strum::VariantNames;

/// The armed point, if any.
#[derive(Debug, Default)]
pub struct Faults {
    armed: Option<(String, AtomicU32)>,
}

/// What a point is armed with is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a crash point; write one of those that `Faults::points` lists, and perhaps `:` and how many times it may be passed first"
)]
pub struct NoSuchPoint(String);

/// Where in the driver a point lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    BeforeAppend,
    AfterAppend,
    EffectStart,
    EffectSettle,
    BeforeReserve,
    AfterReserve,
}

impl Place {
    fn prefix(self) -> &'static str {
        match self {
            Place::BeforeAppend => "append.before",
            Place::AfterAppend => "append.after",
            Place::EffectStart => "effect.start",
            Place::EffectSettle => "effect.settle",
            Place::BeforeReserve => "reserve.before",
            Place::AfterReserve => "reserve.after",
        }
    }
}

impl Faults {
    /// No point.
    pub fn none() -> Self {
        Self::default()
    }

    /// Arms one point: its name, optionally followed by `:` and the number of the passing at which the process dies (1 is the first).
    ///
    /// # Errors
    /// [`NoSuchPoint`].
    pub fn armed(spec: &str) -> Result<Self, NoSuchPoint> {
        let (name, count) = spec.split_once(':').unwrap_or((spec, "1"));
        let count: u32 = count.parse().ok().filter(|count| *count > 0).ok_or_else(|| NoSuchPoint(spec.to_owned()))?;
        if !Self::points().any(|point| point == name) {
            return Err(NoSuchPoint(spec.to_owned()));
        }
        Ok(Self { armed: Some((name.to_owned(), AtomicU32::new(count))) })
    }

    /// The name of every point.
    pub fn points() -> impl Iterator<Item = String> {
        let named = |places: [Place; 2], names: &'static [&'static str]| {
            names.iter().flat_map(move |name| places.map(|place| format!("{}.{name}", place.prefix())))
        };
        named([Place::BeforeAppend, Place::AfterAppend], Fact::VARIANTS)
            .chain(named([Place::EffectStart, Place::EffectSettle], EffectKind::VARIANTS))
            .chain(named([Place::BeforeReserve, Place::AfterReserve], &["call"]))
    }

    /// Passes a point; the process ends here if it is the armed one and its count is reached.
    pub(crate) fn pass(&self, place: Place, kind: &str) {
        let Some((name, left)) = &self.armed else { return };
        let here = name.strip_prefix(place.prefix()).and_then(|rest| rest.strip_prefix('.')) == Some(kind);
        if here && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            tracing::error!(?killed, "the crash point could not end the process");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_and_every_effect_has_two_points() {
        assert_eq!(Faults::points().count(), 2 * Fact::VARIANTS.len() + 2 * EffectKind::VARIANTS.len() + 2);
        assert!(Faults::points().any(|point| point == "append.before.merged"));
        assert!(Faults::points().any(|point| point == "effect.settle.run_turn"));
    }

    #[test]
    fn only_points_can_be_armed() {
        assert!(Faults::armed("append.after.merged:2").is_ok());
        for spec in ["append.after.nothing", "merged", "append.after.merged:0", "append.after.merged:x", ""] {
            assert!(Faults::armed(spec).is_err(), "{spec}");
        }
    }
}
