//! Which transitions were reached, and how often: every variant of the three enums must be.

use mission::{EffectKind, Fact, Input, Rejected};
use std::{collections::BTreeMap, fmt};
use strum::VariantNames;

/// Counts by variant.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Inputs that were taken.
    pub inputs: BTreeMap<&'static str, u64>,
    /// Durable facts.
    pub facts: BTreeMap<&'static str, u64>,
    /// Effects carried out.
    pub effects: BTreeMap<&'static str, u64>,
    /// Which facts came out of which input.
    pub transitions: BTreeMap<(&'static str, &'static str), u64>,
    /// Inputs refused, by the reason.
    pub refusals: BTreeMap<String, u64>,
}

impl Coverage {
    /// An input was taken, with these facts.
    pub fn taken(&mut self, input: &Input, facts: &[Fact]) {
        let input: &'static str = input.into();
        *self.inputs.entry(input).or_default() += 1;
        for fact in facts {
            *self.transitions.entry((input, fact.kind())).or_default() += 1;
        }
    }

    /// An input was refused.
    pub fn refused(&mut self, why: &Rejected) {
        let name = format!("{why:?}");
        let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        *self.refusals.entry(name.to_owned()).or_default() += 1;
    }

    /// A fact is durable.
    pub fn durable(&mut self, fact: &Fact) {
        *self.facts.entry(fact.kind()).or_default() += 1;
    }

    /// An effect is carried out.
    pub fn carried_out(&mut self, effect: &EffectKind) {
        *self.effects.entry(effect.into()).or_default() += 1;
    }

    /// Adds what another run reached.
    pub fn add(&mut self, other: Coverage) {
        let sum = |into: &mut BTreeMap<&'static str, u64>, from: BTreeMap<&'static str, u64>| {
            from.into_iter().for_each(|(name, count)| *into.entry(name).or_default() += count);
        };
        sum(&mut self.inputs, other.inputs);
        sum(&mut self.facts, other.facts);
        sum(&mut self.effects, other.effects);
        other.transitions.into_iter().for_each(|(pair, count)| *self.transitions.entry(pair).or_default() += count);
        other.refusals.into_iter().for_each(|(why, count)| *self.refusals.entry(why).or_default() += count);
    }

    /// Every variant that was not reached, as `input woke`.
    pub fn missing(&self) -> Vec<String> {
        let missing = |what: &str, all: &[&'static str], reached: &BTreeMap<&'static str, u64>| -> Vec<String> {
            all.iter().filter(|name| !reached.contains_key(*name)).map(|name| format!("{what} {name}")).collect()
        };
        [
            missing("input", Input::VARIANTS, &self.inputs),
            missing("fact", Fact::VARIANTS, &self.facts),
            missing("effect", EffectKind::VARIANTS, &self.effects),
        ]
        .concat()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = [
            ("inputs", Input::VARIANTS, &self.inputs),
            ("facts", Fact::VARIANTS, &self.facts),
            ("effects", EffectKind::VARIANTS, &self.effects),
        ];
        for (what, all, reached) in tables {
            writeln!(f, "{what}: {} of {} reached", reached.len(), all.len())?;
            for name in all {
                writeln!(f, "  {name:<20} {:>12}", reached.get(name).copied().unwrap_or_default())?;
            }
        }
        writeln!(f, "refusals: {}", self.refusals.len())?;
        for (why, count) in &self.refusals {
            writeln!(f, "  {why:<20} {count:>12}")?;
        }
        writeln!(f, "transitions (input, fact): {}", self.transitions.len())
    }
}
