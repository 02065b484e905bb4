//! A number of tokens as a provider reports it, read with suspicion.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The most tokens of one kind that a report is believed: ten times the longest context that any model is sold with.
pub const TOKENS_MAX: u64 = 100_000_000;

/// A reported number. What is negative, a fraction, beyond [`TOKENS_MAX`] or no number at all is no report, so that
/// the call is estimated; the event that it stands in is read all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Count(pub(super) Option<u64>, Unreadable);

type Unreadable = bool;

impl Count {
    /// Whether something was said that is no number of tokens.
    pub(super) fn is_unreadable(self) -> bool {
        self.1
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Judge)
    }
}

const UNREADABLE: Count = Count(None, true);

struct Judge;

impl<'de> Visitor<'de> for Judge {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of tokens")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Count, E> {
        Ok(if number <= TOKENS_MAX { Count(Some(number), false) } else { UNREADABLE })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
        Ok(UNREADABLE)
    }

    /// `7.0` is seven; some servers write every number so.
    fn visit_f64<E>(self, number: f64) -> Result<Count, E> {
        let whole = number.fract() == 0.0 && (0.0..=TOKENS_MAX as f64).contains(&number);
        Ok(if whole { Count(Some(number as u64), false) } else { UNREADABLE })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
        Ok(UNREADABLE)
    }

    fn visit_str<E>(self, _: &str) -> Result<Count, E> {
        Ok(UNREADABLE)
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Count, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(UNREADABLE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Count, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(UNREADABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_of_tokens_is_one() {
        let read = |json: &str| serde_json::from_str::<Count>(json).unwrap();
        for (json, number) in [("0", 0), ("7", 7), ("7.0", 7), ("100000000", TOKENS_MAX)] {
            assert_eq!(read(json), Count(Some(number), false), "{json}");
        }
        assert_eq!(read("null"), Count(None, false));
        for wrong in ["-1", "-9223372036854775808", "100000001", "1e300", "0.5", "\"7\"", "true", "[1]", r#"{"a":[1]}"#]
        {
            assert_eq!(read(wrong), UNREADABLE, "{wrong}");
        }
    }
}
