//! What a provider says that a call cost.
//!
//! Resellers bill by their own price and say so: OpenRouter puts `cost`, in US dollars, beside the token counts of `usage`
//! (<https://openrouter.ai/docs/use-cases/usage-accounting>).

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The most that a report is believed, in dollars.
const USD_MAX: f64 = 10_000.0;

/// A reported cost in micro-dollars, rounded up. What is negative, absurd or no number is no report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bill(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Bill {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let usd = text.get().parse::<f64>().ok().filter(|usd| (0.0..=USD_MAX).contains(usd));
        // A binary fraction is a little off: what is within a thousandth of a micro-dollar of a whole number is that number.
        Ok(Bill(usd.map(|usd| (usd * 1e6 - 1e-3).ceil().max(0.0) as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_micros_and_nonsense_nothing() {
        let read = |json: &str| serde_json::from_str::<Bill>(json).unwrap().0;
        for (json, micros) in [("0", 0), ("0.00014", 140), ("1.1", 1_100_000), ("1e-7", 1), ("2", 2_000_000)] {
            assert_eq!(read(json), Some(micros), "{json}");
        }
        for wrong in ["-1", "1e300", "null", "\"0.5\"", "{}", "[1]", "true", "10001"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
